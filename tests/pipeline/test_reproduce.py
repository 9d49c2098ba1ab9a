"""The plan of runs behind reproduce.sh."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from samplenet import device
from samplenet.atomic import write_atomic
from samplenet.greedy import VARIANTS
from samplenet.report import page
from samplenet.report.rows import label
from samplenet.runs.experiments import PRESETS, TRAINED_SAMPLERS, discover

ROOT = Path(__file__).parents[2]
EXPERIMENTS = discover(ROOT)
sys.path.insert(0, str(ROOT))
import plan as plans  # noqa: E402
import reproduce  # noqa: E402


def plan(*words, out=Path("/nowhere")):
    """The jobs that a command line asks for, by name."""
    flags, jobs = reproduce.arguments(list(words), EXPERIMENTS), {}
    for part in plans.make(flags.experiments, EXPERIMENTS, flags, out):
        jobs |= part.jobs
    return jobs


def values(job, flag):
    """What follows a flag in a command; None where it lacks the flag."""
    if flag not in job.command:
        return None
    rest = job.command[job.command.index(flag) + 1 :]
    ends = [i for i, word in enumerate(rest) if word.startswith("--")]
    return rest[: ends[0]] if ends else rest


def test_every_job_comes_after_those_it_needs():
    for flags in (
        ["all", "ablation"],
        ["all", "ablation", "--preset", "smoke"],
        ["classification", "ablation"],
    ):
        names = list(jobs := plan(*flags))
        for name, job in jobs.items():
            before = names[: names.index(name)]
            assert set(job.needs) | set(job.wants) <= set(before)


def test_the_paper_preset_of_pretraining_has_what_is_published_of_each_network(tmp_path):
    flags = ["--preset", "paper", "--grid", "--backbones", "pointnet", "dgcnn"]
    for word in ("data", "pairs", "parts", "rooms", "scanobjectnn"):
        flags += [f"--{word}-root", str(tmp_path)]
    jobs = plan("pretraining", *flags)

    def value(folder, flag):
        return values(jobs[f"pretraining-{tmp_path.name}/{folder}"], flag)

    for name in ("classifier-all-random-seed0", "scenes-random-seed0", "parts-both-seed1"):
        assert value(f"dgcnn/{name}", "--optimizer") == ["sgd"]
        assert value(f"pointnet/{name}", "--optimizer") is None
    assert value("dgcnn/classifier-all-random-seed0", "--augmentation") == ["scale"]
    assert value("pointnet/classifier-all-random-seed0", "--augmentation") is None  # the preset's
    assert value("dgcnn/scenes-random-seed0", "--batch-size") == ["32"]
    scans = "pointnet/scanobjectnn_object_only-all-random-seed0"
    assert value(scans, "--lr-decay-samples") == ["46180"]
    (names,) = value("evaluation", "--data")
    assert "ScanObjectNN" in names and "built-in" not in names


def test_scenes_are_planned_for_srunet_alone(tmp_path):
    jobs = plan("scenes", "--preset", "quick")
    started = jobs["pretraining/scenes/srunet-both-seed2"]
    assert started.needs == ["pretraining/srunet/both"]
    assert jobs["pretraining/srunet/both"].needs == ["pretraining/images-rooms"]
    assert values(started, "--lr-schedule") == ["poly"]
    grid = plan("scenes", "--grid", "--preset", "smoke")
    starts = ("point", "global", "supervised")
    assert {f"pretraining/scenes/srunet-{start}-seed0" for start in starts} < {*grid}
    started = grid["pretraining/scenes/srunet-supervised-seed0"]
    assert started.needs == ["pretraining/srunet/supervised"]
    rooms, batch = (
        values(grid["pretraining/srunet/supervised"], f) for f in ("--rooms", "--batch-size")
    )
    assert int(rooms[0]) >= int(batch[0])
    (tmp_path / "scannetv2_train.txt").touch()
    flags = [f"--{word}-root={tmp_path}" for word in ("data", "rooms", "frames")]
    jobs = plan("scenes", *flags, "--preset", "paper")
    base = f"pretraining-{tmp_path.name}"
    assert values(jobs[f"{base}/scenes/srunet-both-seed0"], "--lr") == ["0.8"]
    assert values(jobs[f"{base}/srunet/both"], "--frames-root") == [str(tmp_path)]
    assert values(jobs[f"{base}/evaluation-scenes"], "--data") == [
        "ScanNet, pre-trained on RGB-D frames"
    ]


def test_a_page_that_does_not_fit_the_disk_is_told(tmp_path, monkeypatch, capsys):
    from samplenet.report import page
    from samplenet.runs import jobs

    monkeypatch.setattr(jobs.Jobs, "_run_all", lambda self: None)
    monkeypatch.setattr(reproduce.signal, "signal", lambda *_: None)
    monkeypatch.setattr("sys.argv", ["reproduce.py", "--preset", "smoke", "--out", str(tmp_path)])

    def write(out, *_, **__):
        (tmp_path / "index.html.part").symlink_to("/dev/full")
        write_atomic(out / "index.html", b"page")

    monkeypatch.setattr(page, "write", write)
    assert reproduce.main() == 1
    told = capsys.readouterr().err
    assert told.startswith("reproduce.sh: no page of the results: ") and told.count("\n") == 1
    assert f"No space left on device: '{tmp_path / 'index.html'}'" in told


def test_tensorflow_runs_in_the_environment_that_set_up_made_for_a_gpu(tmp_path, monkeypatch):
    own = tmp_path / ".venv-tf" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.touch()
    monkeypatch.setattr(plans, "ROOT", tmp_path)
    monkeypatch.setattr(plans, "gpu", lambda: device.Gpu("NVIDIA H200", "580.65.06"))
    plans._python.cache_clear()
    jobs = plan("all", "--preset", "smoke")
    plans._python.cache_clear()
    pythons = {(name.split("/")[0], job.python) for name, job in jobs.items()}
    expected = {
        "classification": str(own),
        "reconstruction": str(own),
        "registration": sys.executable,
    }
    assert pythons == set(expected.items())


def test_alone_it_makes_the_first_table():
    assert list(plan()) == [
        "classification/classifier",
        "classification/snet-32-seed0",
        "classification/samplenet-32-seed0",
        "classification/evaluation",
        "classification/cost",
    ]


def test_a_table_has_every_sampler_size_and_seed():
    jobs = plan("reconstruction", "--seeds", "0", "1", "--sizes", "64", "16")
    evaluation = jobs["reconstruction/evaluation"]
    assert set(evaluation.wants) == {
        *(
            f"reconstruction/{kind}-{m}-seed{s}"
            for kind in ("snet", "samplenet")
            for m in (64, 16)
            for s in (0, 1)
        ),
        *(
            f"reconstruction/{kind}-seed{s}"
            for kind in ("progressivenet", "samplenet_progressive")
            for s in (0, 1)
        ),
    }
    assert values(evaluation, "--runs") == [str(evaluation.runs)] == ["/nowhere/reconstruction"]
    progressive = jobs["reconstruction/progressivenet-seed1"]
    assert values(progressive, "--sample-sizes") == ["16", "32", "64", "128"]
    assert "--no-projection" in progressive.command


def test_the_full_preset_has_three_seeds_of_every_sampler_before_both_classifiers():
    jobs = plan("all", "--preset", "full")
    kinds, progressive = ("snet", "samplenet"), ("progressivenet", "samplenet_progressive")
    trained = {}  # run folders by evaluation and task network
    for name, folder, task, sizes, more in (
        ("classification", "", "classifier", (32, 16, 8), progressive),
        ("classification", "pointnet", "classifier-pointnet", (32, 16, 8), ()),
        ("reconstruction", "", "autoencoder", (32, 16), progressive),
        ("registration", "", "pcrnet", (32, 16), progressive),
    ):
        stems = [*(f"{kind}-{m}" for kind in kinds for m in sizes), *more]
        runs = {str(Path(name, folder, f"{stem}-seed{s}")) for stem in stems for s in (0, 1, 2)}
        evaluation = f"{name}/evaluation" + (f"-{folder}" if folder else "")
        assert set(jobs[evaluation].wants) == runs
        assert values(jobs[evaluation], "--runs") == [str(Path("/nowhere", name, folder))]
        for run in runs | {evaluation}:
            assert jobs[run].needs == [f"{name}/{task}"]
        trained |= dict.fromkeys(runs | {evaluation, f"{name}/{task}"})
    assert set(jobs) == {*trained, "classification/cost"}
    assert values(jobs["classification/classifier-pointnet"], "--model") == ["pointnet"]
    assert values(jobs["classification/classifier"], "--model") is None
    assert values(jobs["classification/samplenet_progressive-seed2"], "--sample-sizes") == [
        *("8", "16", "32", "64", "128")
    ]


def test_without_a_name_the_full_preset_makes_all_of_classification():
    assert plan("--preset", "full") == plan("classification", "--preset", "full")
    one = plan("--preset", "full", "--seeds", "7", "--samplers", "progressivenet")
    assert [Path(name).name for name in one] == [
        *("classifier", "progressivenet-seed7", "evaluation", "cost")
    ]
    own = plan("--preset", "full", "--model", "pointnet")
    assert "classification-pointnet/classifier" in own
    assert not any("classifier-" in name for name in own)


def test_flags_that_an_experiment_does_not_use_are_named(tmp_path):
    def runs(plan):
        plan.add("evaluate.py", "evaluation", output="results.json")

    plain = replace(EXPERIMENTS["registration"], name="plain", runs=runs)
    known = EXPERIMENTS | {"plain": plain}

    def unused(*words):
        flags = reproduce.arguments([*words, "--preset", "full"], known)
        parts = plans.make(flags.experiments, known, flags, tmp_path)
        return {part.experiment.name: part.unused for part in parts if part.unused}

    given = ["--seeds", "3", "--sizes", "8", "--samplers", "snet", "--num-points", "64"]
    every = ["--seeds", "--sizes", "--samplers", "--num-points"]
    assert unused("all", "plain", *given) == {"plain": every}
    assert unused("all", "plain", "--seeds", "0", "1", "2") == unused("plain") == {}
    assert unused("plain", "--samples", str(tmp_path)) == {"plain": ["--samples"]}
    assert unused("ablation", "--seeds", "1", "--num-points", "64") == {}


def test_further_data_are_absolute_and_named_where_they_are_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rooms").mkdir()

    def planned(*words):
        flags = reproduce.arguments([*words, "--preset", "smoke"], EXPERIMENTS)
        (part,) = plans.make(flags.experiments, EXPERIMENTS, flags, tmp_path / "out")
        *_, table = part.jobs.values()
        return part.unused, values(table, "--data"), flags

    scenes = planned("scenes", "--rooms-root", "rooms")
    assert scenes[:2] == ([], ["S3DIS"]) and scenes[2].rooms_root == str(tmp_path / "rooms")
    assert planned("scenes", "--frames-root", "rooms")[1] == [
        "generated rooms, pre-trained on RGB-D frames"
    ]
    assert planned("pretraining", "--rooms-root", "rooms")[:2] == (["--rooms-root"], None)
    assert planned("pretraining", "--rooms-root", "rooms", "--grid")[:2] == (
        [],
        ["S3DIS, built-in shapes"],
    )
    reproduce._check_folders(scenes[2], EXPERIMENTS)
    with pytest.raises(SystemExit, match="--boxes-root: .*nowhere is not a folder"):
        reproduce._check_folders(planned("detection", "--boxes-root", "nowhere")[2], EXPERIMENTS)


def test_the_papers_progressive_sampler_has_the_vanilla_classifier():
    jobs = plan("classification", "--preset", "paper", "--data-root", "/data/modelnet40")
    progressive = jobs["classification-modelnet40/vanilla/samplenet_progressive-seed0"]
    assert progressive.needs == ["classification-modelnet40/classifier-vanilla"]
    assert values(progressive, "--sample-sizes") == [str(2**i) for i in range(1, 11)]
    for suffix, kinds in (
        ("", {"snet", "samplenet"}),
        ("-vanilla", {"progressivenet", "samplenet_progressive"}),
    ):
        evaluation = jobs[f"classification-modelnet40/evaluation{suffix}"]
        assert {Path(w).name.split("-")[0] for w in evaluation.wants} == kinds
        assert Path(*values(evaluation, "--task")).name == f"classifier{suffix}"
    pair = plan(
        "classification",
        "--preset",
        "paper",
        "--data-root",
        "/data/modelnet40",
        "--samplers",
        "snet",
    )
    assert "classification-modelnet40/classifier-vanilla" not in pair


def test_the_papers_cells_are_those_of_its_runs(tmp_path):
    words = ["all", "--preset", "paper", "--data-root", "/d/m40", "--shapenet-root", "/d/snc"]
    jobs, trained = plan(*words), {}
    for name, job in jobs.items():
        base, _, last = name.partition("/")
        for want in job.wants if last.startswith("evaluation") else ():
            sizes = map(int, values(jobs[want], "--sample-sizes"))
            where = base.partition("-")[0], last.removeprefix("evaluation").lstrip("-")
            kind = Path(want).name.partition("-")[0]
            trained.setdefault(where, {}).setdefault(kind, set()).update(sizes)
    # whatever a call asks for, the page says of all of them which have not been run
    flags = reproduce.arguments([*words, "--samplers", "snet", "--sizes", "8"], EXPERIMENTS)
    cells = plans.published_tables(EXPERIMENTS, flags, tmp_path)
    assert set(cells) == set(trained)
    for where, kinds in trained.items():
        learned = {
            kind: set(sizes) for kind, sizes in cells[where].items() if kind in TRAINED_SAMPLERS
        }
        assert set(learned) == set(kinds) and all(learned[kind] >= kinds[kind] for kind in kinds)
        assert all(learned[kind] == kinds[kind] for kind in set(kinds) - set(plans.PROGRESSIVE))
        assert {"random", "fps"} <= set(cells[where]) and "icp" not in cells[where]
    text = page.write(tmp_path, "paper", planned=cells, experiments=EXPERIMENTS).read_text()
    assert all(label(kind) in text for kind in TRAINED_SAMPLERS)
    count = sum(len(sizes) for kinds in cells.values() for sizes in kinds.values())
    assert text.count("<small>not run</small>") == count


def test_the_plan_does_not_depend_on_the_disk(tmp_path):
    folder = tmp_path / "registration" / "snet-64-seed3"
    folder.mkdir(parents=True)
    (folder / "job.json").write_text("{}")
    words = ("registration", "--samplers", "samplenet", "--sizes", "8")
    jobs = plan(*words, out=tmp_path)
    assert list(jobs) == [
        f"registration/{name}" for name in ("pcrnet", "samplenet-8-seed0", "evaluation")
    ]
    assert (
        jobs["registration/evaluation"].runs == tmp_path / "registration"
    )  # it looks for itself what has finished


def test_one_setting_differs_in_each_ablation():
    jobs = plan("ablation")
    main = jobs["classification/samplenet-32-seed0"].command
    for name, changes in EXPERIMENTS["classification"].module.ABLATIONS.items():
        changed = jobs[f"classification/ablation/{name}/samplenet-32-seed0"].command
        new = [w for w in changed if w not in main and "ablation" not in w]
        assert new == [str(w) for w in changes if str(w) not in main]
        evaluation = jobs[f"classification/ablation/{name}/evaluation"]
        assert evaluation.needs == ["classification/classifier"]
        assert values(evaluation, "--samplers") == ["none"] and values(evaluation, "--sizes") == [
            "32"
        ]
        assert evaluation.runs == Path("/nowhere/classification/ablation", name)


def test_the_ablation_alone_has_the_unchanged_samplers_table():
    jobs = plan("ablation", "--seeds", "0", "1")
    names = [
        f"classification/{kind}-32-seed{seed}" for kind in ("snet", "samplenet") for seed in (0, 1)
    ]
    assert list(jobs["classification/evaluation"].wants) == names
    crossed = jobs["classification/ablation/vanilla-to-pointnet/evaluation"]
    assert crossed.needs == ["classification/classifier-pointnet", *names]
    assert values(crossed, "--samplers") == [f"/nowhere/{name}" for name in names]
    assert set(jobs["classification/ablation/k-2/evaluation"].wants) == {
        f"classification/ablation/k-2/samplenet-32-seed{seed}" for seed in (0, 1)
    }


def test_greedy_samplers_are_scored_by_the_network_they_ask_and_by_others():
    jobs = plan("ablation")
    own = jobs["classification/ablation/greedy/evaluation"]
    assert values(own, "--samplers") == list(VARIANTS)
    for name, judge, chooser in (
        ("pointnet-to-vanilla", "classifier", "classifier-pointnet"),
        ("vanilla-to-pointnet", "classifier-pointnet", "classifier"),
        ("seed-0-to-seed-1", "classifier-seed-1", "classifier"),
    ):
        job = jobs[f"classification/ablation/greedy-{name}/evaluation"]
        assert values(job, "--task") == [f"/nowhere/classification/{judge}"]
        assert values(job, "--chooser") == [f"/nowhere/classification/{chooser}"]
        assert job.needs == [f"classification/{judge}", f"classification/{chooser}"]


@pytest.mark.parametrize(
    "experiment, ablation",
    [
        ("classification", "ablation"),
        ("reconstruction", "ablation-reconstruction"),
        ("registration", "ablation-registration"),
    ],
)
def test_the_ablation_evaluates_the_main_table_as_the_experiment_does(experiment, ablation):
    alone, main = plan(ablation), plan(experiment)
    name = f"{experiment}/evaluation"
    assert alone[name].command == main[name].command
    # an extra belongs to one experiment: its framework is set up, and its flags are checked
    assert all(job.split("/")[0] == experiment for job in alone)
    small = plan(ablation, "--num-points", "24")
    (greedy,) = (job for job in small if job.endswith("ablation/greedy/evaluation"))
    assert all(int(m) < 24 for m in values(small[greedy], "--sizes"))


def test_a_network_of_the_users_own_need_not_offer_what_greedy_samplers_ask(tmp_path):
    (tmp_path / "own.py").write_text("")
    own = plan("classification", "--model", f"{tmp_path / 'own.py'}:Own")
    named = values(own["classification-Own/evaluation"], "--samplers")
    assert named == ["random", "fps"]
    named = values(plan("classification")["classification/evaluation"], "--samplers")
    assert named == ["random", "fps", "greedy", "greedy_features_128", "greedy_fps_128"]


def test_the_ablation_does_not_shorten_the_experiments_own_table():
    jobs = plan("ablation", "classification")
    assert len(jobs["classification/evaluation"].wants) == 6


def test_a_data_folder_may_be_called_after_a_seed():
    jobs = plan("classification", "--data-root", "/d/mine-seed1", "--seeds", "2")
    names = [Path(name).name for name in jobs["classification-mine-seed1/evaluation"].wants]
    assert len(names) == 6 and all(name.endswith("-seed2") for name in names)


def test_another_task_network_or_number_of_points_has_folders_of_its_own(tmp_path):
    (tmp_path / "net.py").touch()
    own = f"{tmp_path}/net.py:Net"
    jobs = plan("all", "--model", own, "--num-points", "64", "--seeds", "1")
    assert {name.split("/")[0] for name in jobs} == {
        "classification-Net-n64",
        "registration-n64",
        "reconstruction-n64",
    }

    def value(name, flag):
        found = values(jobs[name], flag)
        return found and found[0]

    assert value("classification-Net-n64/classifier", "--model") == own
    assert value("registration-n64/pcrnet", "--model") is None
    assert "--no-xla" in jobs["classification-Net-n64/classifier"].command
    assert "--no-xla" not in plan("--model", "vanilla")["classification-vanilla/classifier"].command
    for name in (
        "classification-Net-n64/classifier",
        "registration-n64/pcrnet",
        "reconstruction-n64/autoencoder",
    ):
        assert value(name, "--num-points") == "64"
    assert (
        value("classification-Net-n64/samplenet-32-seed1", "--num-points") is None
    )  # it takes its classifier's
    sizes = values(jobs["classification-Net-n64/samplenet_progressive-seed1"], "--sample-sizes")
    assert sizes == ["8", "16", "32"]  # of the preset's, those that 64 points are enough for
    for name in ("classification-Net-n64", "registration-n64", "reconstruction-n64"):
        assert value(f"{name}/evaluation", "--sizes") == "32"
    assert value("classification-Net-n64/cost", "--sizes") == "32"


def test_the_papers_progressive_sampler_has_the_classifier_that_is_asked_for():
    jobs = plan(
        "classification", "--preset", "paper", "--data-root", "/d/m40", "--model", "pointnet"
    )
    needs = jobs["classification-m40-pointnet/samplenet_progressive-seed0"].needs
    assert needs == ["classification-m40-pointnet/classifier"]


def test_samples_of_others_stand_in_the_evaluation(tmp_path):
    jobs = plan("registration", "--samples", str(tmp_path / "theirs"), str(tmp_path / "ours"))
    evaluation = jobs["registration/evaluation"]
    assert values(evaluation, "--samples") == [str(tmp_path / "theirs"), str(tmp_path / "ours")]
    assert evaluation.reads == [tmp_path / "theirs", tmp_path / "ours"]
    assert not jobs["registration/samplenet-32-seed0"].reads


def test_all_is_what_the_experiments_declare_and_everything_is_all_of_them(capsys):
    assert {name.split("/")[0] for name in plan("all")} == {
        name for name, e in EXPERIMENTS.items() if e.in_all
    }
    assert {name.split("/")[0] for name in plan("everything")} == set(EXPERIMENTS)
    assert not any("ablation" in name for name in plan("everything"))
    with pytest.raises(SystemExit):
        plan("--help")
    assert "(all is classification, reconstruction, registration)" in " ".join(
        capsys.readouterr().out.split()
    )


def test_each_experiment_has_its_data():
    jobs = plan("all", "--preset", "paper", "--data-root", "/d/m40", "--shapenet-root", "/d/snc")
    roots = {
        name.split("/")[0]: values(job, "--data-root")
        for name, job in jobs.items()
        if "cost" not in name
    }
    assert roots == {
        "classification-m40": ["/d/m40"],
        "registration-m40": ["/d/m40"],
        "reconstruction-snc": ["/d/snc"],
    }
    assert "reconstruction-snc/evaluation" in plan("reconstruction", "--data-root", "/d/snc")


@pytest.mark.parametrize("preset", PRESETS)
def test_two_runs_of_a_preset_and_seed_give_the_same_weights(preset):
    chosen = [e for e in EXPERIMENTS.values() if (e.folder / f"configs/{preset}.yaml").is_file()]
    roots = [word for e in chosen if e.data_set for word in (e.data_flag, "/data")]
    for job in plan(*(e.name for e in chosen), "--preset", preset, *roots).values():
        settings, script = yaml.safe_load(job.config.read_text()), Path(job.command[0]).stem
        assert not script.startswith("train_") or settings[script]["deterministic"] is True
