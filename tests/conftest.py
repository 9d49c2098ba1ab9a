"""What all tests share: the environment they run in and small data sets."""

import importlib
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from samplenet.runs.experiments import discover

ROOT = Path(__file__).parents[1]
EXPERIMENTS = tuple(discover(ROOT))
sys.path[:0] = [str(ROOT / name) for name in EXPERIMENTS]  # their modules, as the tests name them

# What takes longest begins first, so that two workers end together (pytest-xdist).
LONGEST_FIRST = (
    "tests/pipeline/test_smoke.py",
    "tests/faults/test_kills.py",
    "tests/tf/test_replicas.py",
    *(f"tests/{name}" for name in EXPERIMENTS),
    "tests/faults/test_bad_input.py",
    "tests/docs",
    "tests/ops",
    "tests/pipeline",
)

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if workers := int(
    os.environ.get("PYTEST_XDIST_WORKER_COUNT", 0)
):  # they share the cores, as do the processes they start
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        os.environ.setdefault(name, str(max(1, os.cpu_count() // workers)))


def group(item):
    """The tests that one worker runs: a folder whose conftest.py makes what its files share, else a file."""
    folder = item.path.parent
    place = folder if (folder / "conftest.py").exists() and folder != ROOT / "tests" else item.path
    return place.relative_to(ROOT).as_posix()


def pytest_collection_modifyitems(config, items):
    """Order the tests, and tell pytest-xdist which of them belong together."""

    def rank(item):
        name = group(item)
        return next(
            (i for i, first in enumerate(LONGEST_FIRST) if name.startswith(first)),
            len(LONGEST_FIRST),
        )

    items.sort(key=rank)  # stable
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            item.add_marker(pytest.mark.xdist_group(group(item)))


def processor_seconds():
    """Seconds of a processor that this process and the ended ones that it started have taken."""
    return sum(os.times()[:4])


def pytest_runtest_logstart(nodeid, location):
    global measured_until
    measured_until = processor_seconds()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Note what each phase of a test has cost; pytest-xdist hands it to the process that prints."""
    global measured_until
    report = yield
    now = processor_seconds()
    report.processor, measured_until = now - measured_until, now
    return report


def pytest_terminal_summary(terminalreporter):
    """Print the minutes per folder."""
    spent = {}
    for report in (
        r for reports in terminalreporter.stats.values() for r in reports if hasattr(r, "processor")
    ):
        tests, minutes, processor = spent.get(
            folder := os.path.dirname(report.location[0]), (0, 0, 0)
        )
        tests += report.when == "call"
        spent[folder] = tests, minutes + report.duration / 60, processor + report.processor / 60
    terminalreporter.section("minutes per folder")
    terminalreporter.line(f"{'':24}{'tests':>8}{'minutes':>10}{'of a processor':>18}")
    total = [sum(column) for column in zip(*spent.values(), strict=True)] or [0, 0, 0]
    for name, (tests, minutes, processor) in [
        *sorted(spent.items(), key=lambda of: -of[1][2]),
        ("all", total),
    ]:
        terminalreporter.line(f"{name:24}{tests:8}{minutes:10.1f}{processor:18.1f}")


@pytest.fixture(autouse=True)
def finite_coordinates():
    """Non-finite coordinates are errors in the tests."""
    from samplenet.ops import check_inputs

    check_inputs(True)


@pytest.fixture
def beside_a_scan(tmp_path, monkeypatch):
    """The working directory is an empty folder with a scan.ply of 2000 points, as the documentation's code needs it."""
    monkeypatch.chdir(tmp_path)
    header = [
        "ply",
        "format ascii 1.0",
        "element vertex 2000",
        *(f"property float {axis}" for axis in "xyz"),
    ]
    rng = np.random.default_rng(0)
    np.savetxt(
        "scan.ply",
        rng.normal(size=(2000, 3)),
        header="\n".join([*header, "end_header"]),
        comments="",
    )


@pytest.fixture(scope="session")
def shapes_folder(tmp_path_factory):
    """A tiny built-in data set, made once."""
    from samplenet.data import shapes

    return shapes.ensure(tmp_path_factory.mktemp("data"), 3, 2)


@pytest.fixture(scope="session")
def import_scripts():
    """Function of an experiment's name: its modules, as `.evaluate`, and its `folder`.

    Experiments have scripts of the same names, and `import` finds the first one's; here each finds its own neighbours.
    """

    def load(experiment):
        folder, others = (
            ROOT / experiment,
            [ROOT / name for name in EXPERIMENTS if name != experiment],
        )
        names = [file.stem for file in sorted(folder.glob("*.py"))]
        twins = [name for name in names if any((other / f"{name}.py").exists() for other in others)]
        kept = {name: sys.modules.pop(name) for name in twins if name in sys.modules}
        sys.path.insert(0, str(folder))
        try:
            found = {name: importlib.import_module(name) for name in names}
        finally:
            sys.path.remove(str(folder))
            for name in twins:
                sys.modules.pop(name, None)
            sys.modules.update(kept)
        return SimpleNamespace(folder=folder, **found)

    return load


@pytest.fixture(params=[True, False], ids=["native ops", "framework operations"])
def served(request):
    """Both ways in which ops are served."""
    from samplenet.ops import use_native

    old = use_native(request.param)
    yield
    use_native(old)


@pytest.fixture
def most_added(monkeypatch):
    """A list to which each training step in TensorFlow appends the largest number of gradients that it adds at once.

    AddN adds two in either order to the same bits; three or more it adds in an order that changes from run to run.
    """
    from samplenet.tf.replicas import Replicas

    found, compiled = [], Replicas.compiled

    def spy(self, step, xla=False):
        function, seen = compiled(self, step, xla), []

        def run(*args):
            if not seen:
                graph = function.get_concrete_function(*args).graph
                seen.append(
                    max(
                        (len(op.inputs) for op in graph.get_operations() if op.type == "AddN"),
                        default=0,
                    )
                )
                found.extend(seen)
            return function(*args)

        return run

    monkeypatch.setattr(Replicas, "compiled", spy)
    return found


@pytest.fixture(scope="session")
def metrics():
    """Function of a run folder: the lines it logged, without their times."""

    def read(folder):
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        return [{k: v for k, v in line.items() if k != "time"} for line in lines]

    return read


@pytest.fixture(scope="session")
def read_results():
    """Function of an evaluation folder: its results.json, with the fields of each row's method among its own."""

    def read(folder):
        found = json.loads((folder / "results.json").read_text())
        for kind in ("rows", "curves", "runs"):
            if kind in found:
                found[kind] = [{**item.pop("method"), **item} for item in found[kind]]
        return found

    return read
