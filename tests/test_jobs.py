"""Lists of commands that need each other: order, failures, what is done again and what is not, several at a time."""

import json
import threading
import time

import pytest

from samplenet.jobs import Job, Jobs

# appends its name to the log, so that a test sees what ran; "fail" fails
SCRIPT = (
    "import sys; open('ran', 'a').write(sys.argv[1] + ' '); print('said', sys.argv[1]); sys.exit('fail' in sys.argv)"
)


@pytest.fixture
def run(tmp_path):
    """Run jobs given as name=(needs, extra arguments); returns what ran, in order, and the `Jobs`."""
    config = tmp_path / "preset.yaml"
    config.touch()

    def call(count=1, script=SCRIPT, wants=(), **jobs):
        made = []
        for name, (needs, extra) in jobs.items():
            given = {"wants": needs} if name in wants else {"needs": needs}
            made.append(Job(name, ["-c", script, name, *extra], config, **given))
            (tmp_path / "results" / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "ran").write_text("")
        jobs = Jobs(made, tmp_path / "results", tmp_path, count)
        jobs.run()
        return (tmp_path / "ran").read_text().split(), jobs

    call.config = config
    return call


def test_each_runs_after_those_it_needs_and_leaves_its_record_and_log(run, tmp_path):
    ran, jobs = run(table=(["b", "a"], []), b=(["a"], []), a=([], []))
    assert ran == ["a", "b", "table"] and not jobs.failed
    record = json.loads((tmp_path / "results" / "b" / "job.json").read_text())
    assert record["command"][0] == "python" and record["command"][-1] == "b" and record["seconds"] > 0
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


def test_a_failure_stops_what_needs_it_and_the_rest_goes_on(run):
    plan = {"a": ([], ["fail"]), "b": (["a"], []), "c": (["b"], []), "d": ([], []), "e": (["b", "d"], [])}
    ran, jobs = run(wants=["e"], **plan)
    assert ran == ["a", "d", "e"]  # e only waits for b
    assert jobs.failed["a"].startswith("said a (see ") and jobs.failed["b"] == "not run: it needs a"
    assert list(jobs.finished) == ["d", "e"]
    assert run(wants=["e"], **plan | {"a": ([], [])})[0] == ["a", "b", "c", "e"]  # now e is made from b as well


def test_a_damaged_record_counts_for_nothing(run, tmp_path):
    run(a=([], []))
    (tmp_path / "results" / "a" / "job.json").write_text("{")
    assert run(a=([], []))[0] == ["a"]


def test_a_function_gives_the_command_from_what_has_finished(tmp_path):
    (tmp_path / "table").mkdir()
    (tmp_path / "preset").touch()
    seen = []

    def command(finished):
        seen.append(list(finished))
        return ["-c", "pass"]

    (tmp_path / "a").mkdir()
    first = Job("a", ["-c", "pass"], tmp_path / "preset")
    Jobs([first, Job("table", command, tmp_path / "preset", ["a"])], tmp_path, tmp_path).run()
    assert seen == [["a"]]


def test_two_run_at_once(run):
    """Each waits for the other's file, so one after the other they would never end."""
    script = (
        "import sys, time, pathlib; me = sys.argv[1]; pathlib.Path('here-' + me).touch(); end = time.time() + 60\n"
        "while not pathlib.Path('here-' + {'a': 'b', 'b': 'a'}[me]).exists():\n"
        "    assert time.time() < end; time.sleep(0.01)"
    )
    _, jobs = run(2, script, a=([], []), b=([], []))
    assert not jobs.failed and set(jobs.finished) == {"a", "b"}


def test_stop_ends_what_runs_and_starts_nothing_more(tmp_path):
    (tmp_path / "preset").touch()
    sleep = ["-c", "import pathlib, time; pathlib.Path('started').touch(); time.sleep(600)"]
    jobs = Jobs([Job("a", sleep, tmp_path / "preset"), Job("b", sleep, tmp_path / "preset")], tmp_path, tmp_path)

    def stop():
        while not (tmp_path / "started").exists():
            time.sleep(0.01)
        jobs.stop()

    thread = threading.Thread(target=stop)
    thread.start()
    begin = time.time()
    jobs.run()
    thread.join()
    assert time.time() - begin < 60 and list(jobs.failed) == ["a"] and not jobs.finished
