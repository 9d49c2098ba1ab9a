"""What all tests share: their order and cost, script servers, small data sets."""

import contextlib
import functools
import importlib
import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from samplenet.runs.experiments import discover

ROOT = Path(__file__).parents[1]
EXPERIMENTS = tuple(discover(ROOT))
sys.path[:0] = [str(ROOT / name) for name in EXPERIMENTS]  # their modules, as the tests name them

# The longest tests begin first, so that the workers of pytest-xdist end together.
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
workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 0))
if workers:  # they share the cores, as do the processes they start
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        os.environ.setdefault(name, str(max(1, os.cpu_count() // workers)))


def group(item):
    """Name the unit that one worker runs: a folder with its own conftest.py, else a file."""
    folder = item.path.parent
    place = folder if (folder / "conftest.py").exists() and folder != ROOT / "tests" else item.path
    return place.relative_to(ROOT).as_posix()


def pytest_collection_modifyitems(config, items):
    """Order the tests, and group for pytest-xdist those that share fixtures."""

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
    """Return the seconds of processor time of this process and of its ended children."""
    return sum(os.times()[:4]) + sum(server.seconds for server in Server.running)


def pytest_runtest_logstart(nodeid, location):
    global measured_until
    measured_until = processor_seconds()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Record the processor time of each phase of a test in its report, for the summary."""
    global measured_until
    report = yield
    now = processor_seconds()
    report.processor, measured_until = now - measured_until, now
    return report


def pytest_terminal_summary(terminalreporter):
    """Print the minutes and processor minutes per folder."""
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


# Importing a framework takes longer than a tiny run does. A server imports it once and runs every
# script in a fork of itself.
SERVE = """
import importlib.machinery, json, os, runpy, signal, sys
_, allowed, refused, *modules = sys.argv

class Refuse:
    def find_spec(self, name, *_):
        return importlib.machinery.ModuleSpec(name, self) if name == refused else None

    def create_module(self, spec):
        raise ImportError(f"a script of {allowed} imported {refused}")

sys.meta_path.insert(0, Refuse())
for name in modules:
    importlib.import_module(name)

def tell_ended(*_):
    try:
        while (ended := os.wait4(-1, os.WNOHANG))[0]:
            child, status, used = ended
            seconds = used.ru_utime + used.ru_stime
            report = ["ended", child, os.waitstatus_to_exitcode(status), seconds]
            os.write(1, (json.dumps(report) + "\\n").encode())
    except ChildProcessError:
        pass

signal.signal(signal.SIGCHLD, tell_ended)
for line in sys.stdin:
    script, flags, log, errors, more, prepare = json.loads(line)
    if child := os.fork():
        os.write(1, (json.dumps(["started", child]) + "\\n").encode())
        continue
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in ((1, log), (2, errors)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666), number)
    os.environ.update(more)
    sys.argv, sys.path[0] = [script, *flags], os.path.dirname(script)
    exec(prepare)
    runpy.run_path(script, run_name="__main__")
    break
"""
LIBRARY = "runs.script runs.training report.results data.shapes data.shapenet data.modelnet40"
IMPORTED = {
    "tf": ("tensorflow", "torch", "keras", "samplenet.tf", "samplenet.tf.replicas"),
    # Adam and deterministic algorithms import the last two
    "torch": (
        *("torch", "tensorflow", "samplenet.torch", "samplenet.torch.processes"),
        *("torch._dynamo", "torch._inductor.config"),
    ),
}


def words_of(flags):
    """Split flags that are strings, not paths, into words."""
    parts = (flag.split() if isinstance(flag, str) else [str(flag)] for flag in flags)
    return [*itertools.chain.from_iterable(parts)]


class Server:
    """A process that imports one framework, refuses the other, and runs scripts in forks."""

    running = []

    def __init__(self, framework, folder):
        threads = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
        env = {**os.environ, **dict.fromkeys(threads, "1")}
        modules = [f"samplenet.{name}" for name in LIBRARY.split()]
        command = [sys.executable, "-c", SERVE, *IMPORTED[framework], *modules]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
        self.process = subprocess.Popen(command, env=env, cwd=ROOT, **pipes)
        self.folder, self.started = folder, itertools.count()
        self.statuses, self.seconds = {}, 0.0  # of the forks that have ended
        Server.running.append(self)

    def hear(self):
        """Read one report of the server; return the process id if it is of a start, else None."""
        what, process, *ended = json.loads(self.process.stdout.readline())
        if what == "started":
            return process
        self.statuses[process], seconds = ended
        self.seconds += seconds

    def start(self, script, *flags, log=None, env=None, prepare=""):
        """Start a script as `python script *flags`.

        Args:
            log: the file that stdout and stderr go to; by default two files, see `Forked.printed`.
            env: environment variables to set in the fork.
            prepare: code to execute in the fork before the script.
        """
        name = self.folder / str(next(self.started))
        out, errors = (log, log) if log else (name.with_suffix(".out"), name.with_suffix(".err"))
        words = [str(script), words_of(flags), str(out), str(errors), env or {}, prepare]
        self.process.stdin.write(json.dumps(words).encode() + b"\n")
        while not (process := self.hear()):
            pass
        return Forked(self, process, out, errors)

    def run(self, script, *flags, **options):
        """Run a script to its end; return what it prints."""
        return self.start(script, *flags, **options).printed()

    def finish(self, processes):
        """Wait for forks, which must succeed; return what each printed."""
        try:
            return [process.printed() for process in processes]
        finally:
            for process in processes:
                process.kill()

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        Server.running.remove(self)  # from here on, its time is that of an ended process


class Forked:
    """A script in a fork, with the methods of `subprocess.Popen` that the tests need."""

    def __init__(self, server, pid, out, errors):
        self.server, self.pid, self.out, self.errors = server, pid, out, errors

    @property
    def returncode(self):
        return self.server.statuses.get(self.pid)

    def poll(self):
        while select.select([self.server.process.stdout], [], [], 0)[0]:
            self.server.hear()
        return self.returncode

    def wait(self, timeout=300):
        end = time.time() + timeout
        while self.poll() is None:
            assert time.time() < end, f"still running after {timeout} s"
            time.sleep(0.005)
        return self.returncode

    def printed(self):
        """Wait for the script, which must succeed; return what it printed."""
        assert self.wait() == 0, self.errors.read_text()
        return self.out.read_text()

    def send_signal(self, number):
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


@pytest.fixture(scope="session")
def serve_scripts(tmp_path_factory):
    """Return the server of a framework, "tf" or "torch", which the first call starts."""
    start = functools.cache(lambda name: Server(name, tmp_path_factory.mktemp("printed")))
    yield start
    for server in [*Server.running]:
        server.close()


@pytest.fixture(scope="session")
def free_ports():
    """Return a function that finds unused ports of this machine."""

    def find(count):
        with contextlib.ExitStack() as stack:
            holders = [stack.enter_context(socket.socket()) for _ in range(count)]
            for holder in holders:
                holder.bind(("localhost", 0))
            return [holder.getsockname()[1] for holder in holders]

    return find


@pytest.fixture
def torchrun(serve_scripts, free_ports):
    """Return a function that runs a script in two processes, as torchrun, for what both print."""

    def run(script, *flags):
        shared = {
            "MASTER_ADDR": "localhost",
            "MASTER_PORT": str(free_ports(1)[0]),
            "WORLD_SIZE": "2",
        }
        environments = [{**shared, "RANK": rank, "LOCAL_RANK": rank} for rank in "01"]
        server = serve_scripts("torch")
        both = [server.start(script, *flags, env=env) for env in environments]
        return "".join(server.finish(both))

    return run


@pytest.fixture(autouse=True)
def finite_coordinates():
    """Check coordinates: non-finite ones are errors in the tests."""
    from samplenet.ops import check_inputs

    check_inputs(True)


@pytest.fixture
def beside_a_scan(tmp_path, monkeypatch):
    """Work in an empty folder with a scan.ply of 2000 points, which the docs' code expects."""
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
    """Write a tiny built-in data set, once."""
    from samplenet.data import shapes

    return shapes.ensure(tmp_path_factory.mktemp("data"), 3, 2)


@pytest.fixture(scope="session")
def import_scripts():
    """Return a function that imports an experiment: its modules, as `.evaluate`, and its `folder`.

    Experiments have scripts of the same names, of which a plain `import` finds the first. Here each
    script imports those of its own folder.
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


@pytest.fixture(scope="session")
def call_script():
    """Return a function that calls a script's action in this process with flags; see `words_of`."""
    from samplenet.runs import settings

    def call(script, *flags, action="train"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", [script.__file__])  # where settings look for presets
            return getattr(script, action)(settings.load(script.Config, words_of(flags)))

    return call


@pytest.fixture(params=[True, False], ids=["native ops", "framework operations"])
def served(request):
    """Serve the ops by each of the two implementations."""
    from samplenet.ops import use_native

    old = use_native(request.param)
    yield
    use_native(old)


@pytest.fixture
def without_figures():
    """Write zeros for figures, which take seconds to draw, until `without_figures.undo()`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("samplenet.report.png.draw", lambda figure: bytes(200))
        yield patch


@pytest.fixture(scope="session", autouse=True)
def memory_settings_untouched():
    """Keep scripts in this process from changing how it frees memory, which tests measure."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("samplenet.runs.training.keep_freed_memory", lambda: False)
        yield


@pytest.fixture(scope="session")
def gradients_in_one_order():
    """Check that every training step traced in TensorFlow adds at most two gradients at once.

    AddN adds two tensors to the same bits in either order. Three or more it adds in an order that
    changes from run to run.
    """
    from samplenet.tf.replicas import Replicas

    compiled = Replicas.compiled

    def spy(self, step, xla=False):
        function = compiled(self, step, xla)

        def run(*args):
            operations = function.get_concrete_function(*args).graph.get_operations()
            assert all(len(op.inputs) <= 2 for op in operations if op.type == "AddN")
            return function(*args)

        return run

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Replicas, "compiled", spy)
        yield


@pytest.fixture(scope="session")
def host_work():
    """The function that counts what TensorFlow is given by Python, of benchmarks/host_tf.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        yield importlib.import_module("host_tf").host_work


@pytest.fixture(scope="session")
def one_operation_a_step(host_work):
    """Check that from Python every training step in TensorFlow is its batch and one operation.

    An epoch's first step is not looked at, for the epoch before ends with other work.
    """
    from samplenet.runs.training import Training

    add, before = Training.add, Counter()

    def checking(training, measured):
        work = total - before
        if training._added:
            # later tests of this process are looked at too, also those without TensorFlow
            assert work["operations"] <= 1 and work["tensors"] <= 2, work
        before.update(work)
        add(training, measured)

    with host_work() as total, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "add", checking)
        yield


@pytest.fixture(scope="session")
def metrics():
    """Return a function that reads the lines a run logged, without their times."""

    def read(folder):
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        return [{k: v for k, v in line.items() if k != "time"} for line in lines]

    return read


@pytest.fixture(scope="session")
def read_results():
    """Return a function that reads results.json, the fields of `method` moved into each row."""

    def read(folder):
        found = json.loads((folder / "results.json").read_text())
        for kind in ("rows", "curves", "runs"):
            if kind in found:
                found[kind] = [{**item.pop("method"), **item} for item in found[kind]]
        return found

    return read
