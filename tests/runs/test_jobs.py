"""Jobs that need each other: order, failures, what is rerun and what is not, several at a time."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import filelock
import numpy as np
import pytest

from samplenet.errors import InputError
from samplenet.runs import sources
from samplenet.runs.checkpoint import save_checkpoint
from samplenet.runs.jobs import Job, Jobs, note

# appends its name to the file "ran", and writes its arguments as its output; fails at "fail"
SCRIPT = """
import sys
open('ran', 'a').write(sys.argv[1] + ' ')
open(f'results/{sys.argv[1]}/out', 'w').write(' '.join(sys.argv))
print('said', sys.argv[1])
sys.exit('fail' in sys.argv)
"""


@pytest.fixture
def run(tmp_path):
    """Run jobs given as name=(needs, extra arguments); return what ran, in order, and `Jobs`."""
    config = tmp_path / "preset.yaml"
    config.touch()

    def call(count=1, script=SCRIPT, wants=(), again=False, **jobs):
        made = []
        for name, (needs, extra) in jobs.items():
            given = {"wants": needs} if name in wants else {"needs": needs}
            made.append(Job(name, ["-c", script, name, *extra], config, "out", **given))
            (tmp_path / "results" / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "ran").write_text("")
        jobs = Jobs(made, tmp_path / "results", tmp_path, count, again)
        call.of_other_code = jobs.of_other_code()
        jobs.run()
        return (tmp_path / "ran").read_text().split(), jobs

    call.config = config
    return call


def test_each_runs_after_those_it_needs_and_leaves_its_record_and_log(run, tmp_path):
    ran, jobs = run(3, a=([], []), b=(["a"], []), table=(["b", "a"], []))
    assert ran == ["a", "b", "table"] and not jobs.failed
    record = json.loads((tmp_path / "results" / "b" / "job.json").read_text())
    assert (
        record["command"][0] == "python"
        and record["command"][-1] == "b"
        and 0 <= record["seconds"] < 60
    )
    assert (tmp_path / "results" / "logs" / "b.log").read_text() == "said b\n"


def test_what_has_finished_is_not_run_again(run, capfd):
    run(a=([], []), b=(["a"], []))
    assert run(a=([], []), b=(["a"], []))[0] == []
    assert "b is finished" in capfd.readouterr().out


def test_a_change_reruns_the_job_and_what_was_made_from_it_and_nothing_else(run):
    plan = {"a": ([], []), "b": (["a"], []), "c": ([], [])}
    run(**plan)
    assert run(**plan | {"a": ([], ["--more"])})[0] == ["a", "b"]
    run(**plan)
    run.config.write_text("epochs: 3")
    assert run(**plan)[0] == ["a", "b", "c"]


def test_an_output_that_has_changed_is_made_again_and_so_is_what_was_made_from_it(run, tmp_path):
    plan = {"a": ([], []), "b": (["a"], []), "c": ([], [])}
    run(**plan)
    (tmp_path / "results" / "a" / "out").unlink()
    assert run(**plan)[0] == ["a"]  # and it is what it was: so is b
    run(**plan | {"a": ([], ["--more"])})
    (tmp_path / "results" / "a" / "out").write_text("by hand")
    assert run(**plan | {"a": ([], ["--more"])})[0] == ["a"]


def test_a_change_of_a_file_that_a_job_reads_reruns_it(run, tmp_path):
    read = tmp_path / "samples" / "theirs"
    read.mkdir(parents=True)
    (read / "points").write_text("1 2 3")
    (tmp_path / "results" / "table").mkdir(parents=True)
    job = Job("table", ["-c", SCRIPT, "table"], run.config, "out", reads=[tmp_path / "samples"])
    for content, runs in (("1 2 3", 1), ("1 2 3", 1), ("4 5 6", 2)):
        (read / "points").write_text(content)
        Jobs([job], tmp_path / "results", tmp_path).run()
        assert (tmp_path / "ran").read_text().split() == ["table"] * runs


def test_a_fault_of_the_disk_fails_the_job_and_the_rest_goes_on(run, tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "logs").mkdir()
    (tmp_path / "results" / "logs" / "a.log").mkdir()  # where the log would be
    ran, jobs = run(a=([], []), b=([], []))
    assert "a.log" in jobs.failed["a"] and ran[-1] == "b" and list(jobs.digests) == ["b"]


def test_a_job_that_measures_time_runs_alone(tmp_path):
    """It would see the other's file if both ran at once."""
    (tmp_path / "preset").touch()
    code = (
        "import pathlib, sys, time; me = pathlib.Path(sys.argv[1])\n"
        "assert not list(pathlib.Path().glob('*.on')), me\n"
        "on = pathlib.Path(f'{me.name}.on'); on.touch(); time.sleep(0.5); on.unlink()\n"
        "(me / 'out').touch()"
    )
    jobs = []
    for name, exclusive in (("a", False), ("b", True), ("c", False)):
        (tmp_path / name).mkdir()
        jobs.append(
            Job(
                name,
                ["-c", code, str(tmp_path / name)],
                tmp_path / "preset",
                "out",
                exclusive=exclusive,
            )
        )
    (jobs := Jobs(jobs[:2] + jobs[2:], tmp_path, tmp_path, 2)).run()
    assert "b" in jobs.digests


def test_a_job_before_one_that_it_needs_is_a_mistake(run):
    with pytest.raises(ValueError, match="^a must come after b$"):
        run(a=(["b"], []), b=([], []))


def test_a_child_ends_with_its_killed_parent(tmp_path):
    code = "import pathlib, os; pathlib.Path('pid').write_text(str(os.getpid()))"
    code += "; import time; time.sleep(600)"
    (tmp_path / "preset").touch()
    script = (
        "import sys; from pathlib import Path; from samplenet.runs.jobs import Job, Jobs\n"
        "here = Path(sys.argv[1])\n"
        f"Jobs([Job('a', ['-c', {code!r}], here / 'preset', 'out')], here, here).run()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.DEVNULL
    )
    end = time.time() + 60
    while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()):
        assert time.time() < end
        time.sleep(0.01)
    parent.kill()
    parent.wait()
    child = Path("/proc") / (tmp_path / "pid").read_text()
    while child.exists() and "State:\tZ" not in (child / "status").read_text():
        assert time.time() < end
        time.sleep(0.01)


def test_a_second_call_is_refused_and_the_first_goes_on(run, tmp_path):
    with filelock.FileLock(tmp_path / "results" / ".lock"):
        with pytest.raises(
            InputError, match=r"results is in use by another process; wait for it or choose another"
        ):
            run(a=([], []))
        assert (tmp_path / "ran").read_text() == "" and not (tmp_path / "results" / "logs").exists()
    assert run(a=([], []))[0] == ["a"]


def test_one_job_runs_alone_once_those_that_it_needs_have_finished(run, tmp_path):
    plan = {"a": ([], []), "b": (["a"], []), "c": (["b"], []), "d": ([], [])}
    _, jobs = run(**plan | {"a": ([], ["fail"])})

    def only(name):
        (tmp_path / "ran").write_text("")
        one = Jobs([*jobs.jobs.values()], tmp_path / "results", tmp_path)
        one.run_only(name)
        return (tmp_path / "ran").read_text().split(), one

    assert only("d")[0] == [] and only("a")[0] == ["a"]
    with pytest.raises(InputError, match="^b needs a, which has not finished; run that first$"):
        only("b")
    run(**plan | {"a": ([], []), "b": (["a"], ["fail"])})
    _, jobs = run(**plan | {"b": (["a"], ["fail"])})
    ran, one = only("b")
    assert ran == ["b"] and one.failed["b"].startswith("said b") and one.unfinished() == ["b", "c"]
    assert run(**plan)[0] == ["b", "c"]
    _, jobs = run(**plan | {"c": (["b"], ["more"])})
    assert only("c")[0] == [] and not only("c")[1].unfinished()


def test_a_job_that_another_process_runs_is_left_to_it(run, tmp_path):
    (tmp_path / "results" / "logs").mkdir(parents=True)
    with filelock.FileLock(tmp_path / "results" / "logs" / ".a.lock"):
        ran, jobs = run(a=([], []), b=([], []))
    assert ran == ["b"] and jobs.failed["a"] == "another process runs a; wait for it"


def test_a_job_waits_for_the_one_that_a_killed_call_has_left(run, tmp_path):
    (tmp_path / "results" / "a").mkdir(parents=True)
    left = filelock.FileLock(tmp_path / "results" / "a" / ".lock", thread_local=False)
    left.acquire()
    threading.Timer(1, left.release).start()
    script = SCRIPT + "import filelock\nfilelock.FileLock('results/a/.lock', timeout=0).acquire()\n"
    script = script.replace("sys.exit('fail' in sys.argv)\n", "")
    assert run(script=script, a=([], []))[0] == ["a"]


def test_the_log_of_a_killed_run_is_kept(run, tmp_path):
    run(a=([], ["fail"]))
    run(a=([], []))
    assert (tmp_path / "results" / "logs" / "a.log").read_text() == "said a\nsaid a\n"


def test_a_failure_stops_what_needs_it_and_the_rest_goes_on(run):
    plan = {
        "a": ([], ["fail"]),
        "b": (["a"], []),
        "c": (["b"], []),
        "d": ([], []),
        "e": (["b", "d"], []),
    }
    ran, jobs = run(wants=["e"], **plan)
    assert ran == ["a", "d", "e"]  # e only waits for b
    assert jobs.failed["a"].startswith("said a (see ") and jobs.failed["b"] == "not run: it needs a"
    assert list(jobs.digests) == ["d", "e"]
    assert run(wants=["e"], **plan | {"a": ([], [])})[0] == ["a", "b", "c"]


def test_a_damaged_record_counts_for_nothing(run, tmp_path):
    run(a=([], []))
    (tmp_path / "results" / "a" / "job.json").write_text("{")
    assert run(a=([], []))[0] == ["a"]


def test_an_evaluation_runs_again_when_another_run_has_finished_where_it_looks(run, tmp_path):
    results = tmp_path / "results"
    (results / "table").mkdir(parents=True)
    job = Job("table", ["-c", SCRIPT, "table"], run.config, "out", runs=results)

    def times(name: str, **meta) -> int:
        """How often the evaluation has run, when there is one more checkpoint."""
        (results / name).mkdir(exist_ok=True)
        save_checkpoint(results / name / "last.safetensors", {"w": np.ones(3)}, meta)
        Jobs([job], results, tmp_path).run()
        return (tmp_path / "ran").read_text().count("table")

    assert times("a", done=True, task="network") == 1
    assert times("b", done=False, task="network") == 1  # it is not read before it has finished
    assert times("b", done=True, task="network") == 2
    assert times("network", done=True, task=None) == 2  # no sampler
    (results / "b" / "last.safetensors").write_bytes(b"damaged")
    Jobs([job], results, tmp_path).run()
    assert (tmp_path / "ran").read_text().count("table") == 3


def test_an_evaluation_of_networks_runs_again_when_another_has_finished(run, tmp_path):
    results = tmp_path / "results"
    (results / "table").mkdir(parents=True)
    job = Job("table", ["-c", SCRIPT, "table"], run.config, "out", networks=results)
    for name, task, times in [("a", None, 1), ("b", None, 2), ("sampler", "network", 2)]:
        (results / name).mkdir()
        meta = {"done": True, "task": task}
        save_checkpoint(results / name / "last.safetensors", {"w": np.ones(3)}, meta)
        Jobs([job], results, tmp_path).run()
        assert (tmp_path / "ran").read_text().count("table") == times


def test_two_run_at_once(run):
    """Each waits for the other's file, so one after the other they would never end."""
    script = (
        "import sys, time, pathlib; me = sys.argv[1]; end = time.time() + 60\n"
        "pathlib.Path('here-' + me).touch()\n"
        "pathlib.Path(f'results/{me}/out').touch()\n"
        "while not pathlib.Path('here-' + {'a': 'b', 'b': 'a'}[me]).exists():\n"
        "    assert time.time() < end; time.sleep(0.01)"
    )
    _, jobs = run(2, script, a=([], []), b=([], []))
    assert not jobs.failed and set(jobs.digests) == {"a", "b"}


def test_stop_ends_what_runs_and_starts_nothing_more(tmp_path):
    (tmp_path / "preset").touch()
    sleep = ["-c", "import pathlib, time; pathlib.Path('started').touch(); time.sleep(600)"]
    jobs = Jobs([Job(name, sleep, tmp_path / "preset", "out") for name in "ab"], tmp_path, tmp_path)

    def stop():
        while not (tmp_path / "started").exists():
            time.sleep(0.01)
        jobs.stop()

    thread = threading.Thread(target=stop)
    thread.start()
    begin = time.time()
    jobs.run()
    thread.join()
    assert time.time() - begin < 60 and list(jobs.failed) == ["a"] and not jobs.digests


# results of other code


def test_a_training_run_made_by_hand_is_adopted(tmp_path):
    """It is in the folder of the job, with the same settings: nothing is trained again."""
    script = tmp_path / "experiment" / "train.py"
    script.parent.mkdir()
    script.write_text(
        "import sys; from dataclasses import dataclass; import numpy as np\n"
        "from samplenet.runs import settings\n"
        "from samplenet.runs.settings import RunConfig\n"
        "from samplenet.runs.run import Run\n"
        "@dataclass\nclass Config(RunConfig): epochs: int = 1\n"
        "config = settings.load(Config)\n"
        "with Run(config.out, config) as run:\n"
        "    if not run.done:\n"
        "        open('trained', 'a').write('once ')\n"
        "        run.checkpoint({'w': np.ones(3)}, {'epoch': 1}, done=True)\n"
    )
    (tmp_path / "preset.yaml").write_text("epochs: 5")
    by_hand = [script, "--config", "preset.yaml", "--out", "results/a"]
    subprocess.run([sys.executable, *by_hand], cwd=tmp_path, check=True)
    command = [
        "experiment/train.py",
        "--config",
        "preset.yaml",
        "--seed",
        "0",
        "--out",
        "results/a",
        "--resume",
    ]
    job = Job("a", command, tmp_path / "preset.yaml", "last.safetensors")
    jobs = Jobs([job], tmp_path / "results", tmp_path)
    assert jobs.of_other_code() == {}
    jobs.run()
    assert list(jobs.digests) == ["a"] and (tmp_path / "trained").read_text() == "once "
    assert (tmp_path / "results" / "a" / "job.json").exists()
    other = Job(
        "a",
        [*command[:-1], "--epochs", "6", "--resume"],
        tmp_path / "preset.yaml",
        "last.safetensors",
    )
    (jobs := Jobs([other], tmp_path / "results", tmp_path)).run()
    assert "holds a run with other settings (epochs: 5 -> 6)" in jobs.failed["a"]


# a small training run: it records its code when it begins; its output names what it was made of
TRAINED = """
import hashlib, json, pathlib, sys
import numpy as np
from samplenet.runs.checkpoint import load_checkpoint, save_checkpoint
from samplenet.runs.run import network_digest
name, seed, *task = sys.argv[1:]
open('ran', 'a').write(name + ' ')
folder = pathlib.Path('results', name)
folder.mkdir(exist_ok=True)
if not (folder / 'environment.json').exists():
    files = [pathlib.Path('code', file) for file in (f'{name}.py', 'all.py')]
    found = {str(file): hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in files}
    (folder / 'environment.json').write_text(json.dumps({'sources': found}))
of = network_digest(pathlib.Path('results', task[0])) if task else None
last = folder / 'last.safetensors'
if last.exists() and load_checkpoint(last)[1]['task'] != of:
    sys.exit('trained for another network')
save_checkpoint(last, {'w': np.array(int(seed))}, {'task': of})
(folder / 'out').write_text(f'seed {seed}, for {of}')
"""


@pytest.fixture
def train(run, tmp_path):
    """Train `task`, `a` for it, and `other`; returns what ran, in order, and the `Jobs`."""
    code = tmp_path / "code"
    code.mkdir()
    for name in ("task", "a", "other", "all"):
        (code / f"{name}.py").write_text("first")

    def call(seed="0", **how):
        return run(
            script=TRAINED, task=([], [seed]), a=(["task"], ["0", "task"]), other=([], ["0"]), **how
        )

    call.code, call.run = code, run
    return call


def test_what_other_code_made_is_kept_and_named_with_the_files_that_changed(train):
    assert train()[0] == ["task", "a", "other"] and train.run.of_other_code == {}
    (train.code / "a.py").write_text("second")
    assert train()[0] == [] and train.run.of_other_code == {"a": ["code/a.py"]}
    (train.code / "all.py").unlink()
    train()
    assert train.run.of_other_code == {"task": ["code/all.py"], "a": ["code/a.py", "code/all.py"],
                                       "other": ["code/all.py"]}  # fmt: skip


def test_again_redoes_what_other_code_made_once_and_keeps_what_it_was(train, tmp_path):
    train()
    old = (tmp_path / "results" / "a" / "environment.json").read_text()
    (train.code / "a.py").write_text("second")
    assert train(again=True)[0] == ["a"]
    assert (tmp_path / "results" / "old" / "1" / "a" / "environment.json").read_text() == old
    assert train(again=True)[0] == [] and train.run.of_other_code == {}
    (train.code / "a.py").write_text("third")
    assert (
        train(again=True)[0] == ["a"]
        and (tmp_path / "results" / "old" / "2" / "a" / "out").exists()
    )


def test_a_run_made_for_one_that_is_redone_is_redone_where_that_became_another(train, tmp_path):
    train()
    (train.code / "task.py").write_text("second")
    assert train(again=True)[0] == ["task"]  # it came out as it was: so is what was made for it
    (train.code / "task.py").write_text("third")
    assert train("1", again=True)[0] == ["task", "a"]
    assert (tmp_path / "results" / "old" / "2" / "a" / "out").exists()


def test_a_redo_that_is_cut_off_goes_on_with_what_is_left(train, tmp_path, monkeypatch):
    train()
    (train.code / "all.py").write_text("second")

    def stop_before_a(self, folder, kept=Jobs._set_aside):
        kept(self, folder)
        self.stopped = True

    with monkeypatch.context() as patch:
        patch.setattr(Jobs, "_set_aside", stop_before_a)
        train(again=True)
    results = tmp_path / "results"
    assert (results / "old" / "1" / "task" / "out").exists() and (results / "a" / "out").exists()
    assert not (results / "old" / "1" / "a").exists()
    assert set(train(again=True)[0]) >= {"a", "other"} and train.run.of_other_code.keys() == {
        "a",
        "other",
    }
    assert (results / "old" / "2" / "other" / "out").exists()


def test_a_run_without_a_record_of_its_code_cannot_be_compared(train, tmp_path):
    train()
    (tmp_path / "results" / "a" / "environment.json").write_text('{"revision": "abc"}')
    train()
    assert train.run.of_other_code == {"a": None}
    assert train(again=True)[0] == ["a"]


def test_a_run_that_is_in_use_is_not_moved_away(train, tmp_path, monkeypatch):
    monkeypatch.setattr("samplenet.runs.jobs.ORPHAN_SECONDS", 0.1)
    train()
    (train.code / "a.py").write_text("second")
    with filelock.FileLock(tmp_path / "results" / "a" / ".lock"):
        _, jobs = train(again=True)
    assert (
        "in use by another process" in jobs.failed["a"]
        and (tmp_path / "results" / "a" / "out").exists()
    )


def test_one_line_says_which_runs_other_code_made_and_what_to_do():
    outdated = {f"run{i}": ["classification/pointnet.py", f"file{i}.py"] for i in range(4)}
    line = note(outdated | {"run9": None})
    kept = "these runs were made by other code and are kept: run0, run1, run2 and 2 more ("
    assert line.startswith(kept)
    assert "\n" not in line
    assert "changed since: classification/pointnet.py, file0.py, file1.py and 2 more;" in line
    assert "2 more; the code of 1 is not on" in line
    assert "--again to redo them" in line and "--out DIR" in line


def test_the_recorded_code_is_what_the_script_had_loaded(tmp_path, monkeypatch):
    script = tmp_path / "experiment" / "train.py"
    script.parent.mkdir()
    for path in (
        script,
        script.with_name("network.py"),
        script.with_name("unused.py"),
        tmp_path / "own.py",
    ):
        path.write_text("import network" if path == script else "")
    command = (
        f"import sys; sys.argv = [{str(script)!r}]; sys.path.insert(0, {str(script.parent)!r})\n"
        "import json, pathlib, network, samplenet.report; from samplenet.runs import sources\n"
        f"sys.path.append({str(tmp_path)!r})\n"
        f"sources.own_folders.add(pathlib.Path({str(tmp_path)!r}).resolve()); import own\n"
        "print(json.dumps([sources.loaded(True), sources.loaded(False)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True
    )
    found, without_kernels = json.loads(done.stdout)
    assert {
        "experiment/network.py",
        str(tmp_path / "own.py"),
        "samplenet/runs/sources.py",
        sources.KERNELS,
    } <= set(found)
    assert not {
        "experiment/unused.py",
        "samplenet/report/page.py",
        "samplenet/console/cli.py",
    } & set(found)
    assert set(found) - set(without_kernels) == {sources.KERNELS}
    assert sources.changed(found, tmp_path) == []
    script.with_name("network.py").write_text("x = 1")
    (tmp_path / "own.py").unlink()
    assert sources.changed(found, tmp_path) == [str(tmp_path / "own.py"), "experiment/network.py"]
