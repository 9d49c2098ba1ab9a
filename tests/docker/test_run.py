"""docker/run.sh, with an engine that only notes what it is asked."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from samplenet.runs.experiments import discover

ROOT = Path(__file__).parents[2]
EXPERIMENTS = discover(ROOT)
ENGINE = """#!/bin/sh
[ "$1" != info ] || exit "${DOWN:-0}"
for word in "$@"; do printf '%s\\0' "$word"; done >>"$RECORD"; printf '\\n' >>"$RECORD"
[ "$1" != image ] || { [ -n "$MADE" ] && echo "$MADE"; }
[ "$1" != build ] || exit "${BUILD_FAILS:-0}"
"""


@pytest.fixture
def run(tmp_path):
    """Function of the flags that runs a copy of run.sh: (exit code, stderr, the engine's calls)."""
    checkout, programs = tmp_path / "checkout", tmp_path / "bin"
    (checkout / "docker").mkdir(parents=True)
    shutil.copy(ROOT / "docker/run.sh", checkout / "docker")
    for name in EXPERIMENTS:
        (checkout / name).mkdir()
        shutil.copy(ROOT / name / "experiment.py", checkout / name)
    programs.mkdir()
    for name in ("bash", "sh", "id", "mkdir", "dirname"):
        (programs / name).symlink_to(shutil.which(name))

    def program(name, text):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)

    def call(*flags, engines=("docker",), gpu=False, cwd=None, **environment):
        for engine in engines:
            program(engine, ENGINE)
        program(
            "git",
            '#!/bin/sh\ncase "$*" in *rev-parse*) [ "$REVISION" ] && echo "$REVISION" ;; esac\n',
        )
        if gpu:
            program("nvidia-smi", "#!/bin/sh\n")
        record = tmp_path / "record"
        record.unlink(missing_ok=True)
        environment = {
            "PATH": str(programs),
            "RECORD": str(record),
            "MADE": "cafe",
            "REVISION": "cafe",
            **environment,
        }
        command = [programs / "bash", checkout / "docker/run.sh", *flags]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=cwd)
        calls = record.read_text().splitlines() if record.exists() else []
        return done.returncode, done.stderr, [line.split("\0")[:-1] for line in calls]

    call.checkout = checkout
    return call


def pairs(words: list[str]) -> list[tuple[str, str]]:
    return list(zip(words, words[1:], strict=False))


def test_an_image_of_this_revision_is_run_and_not_built(run):
    code, _, (inspect, ran) = run("registration", "--preset", "smoke")
    assert (
        code == 0 and inspect[:2] == ["image", "inspect"] and inspect[-1] == "samplenet-pytorch:cpu"
    )
    assert (
        ran[:2] == ["run", "--rm"]
        and ("--user", f"{os.getuid()}:{os.getgid()}") in pairs(ran)
        and ("--stop-timeout", "120") in pairs(ran)
    )
    assert ran[-5:] == [
        "samplenet-pytorch:cpu",
        "reproduce.py",
        "registration",
        "--preset",
        "smoke",
    ]
    for folder in ("results", "data"):
        assert ("--volume", f"{run.checkout / folder}:/opt/samplenet/{folder}") in pairs(ran)
        assert (run.checkout / folder).is_dir()
    assert not {"--gpus", "--device", "--userns"} & set(ran)


@pytest.mark.parametrize("made", ["", "0123abc"])
def test_an_image_that_is_missing_or_of_another_revision_is_built(run, made):
    code, _, (_, build, ran) = run("classification", MADE=made, BASE="mine:1", CUDAARCHS="90")
    assert code == 0 and ran[0] == "run" and build[0] == "build" and build[-1] == str(run.checkout)
    assert ("--file", f"{run.checkout}/docker/tensorflow.Dockerfile") in pairs(build)
    given = [value for flag, value in pairs(build) if flag == "--build-arg"]
    assert given == ["DEVICE=cpu", "REVISION=cafe", "BASE=mine:1", "CUDAARCHS=90"]


def test_the_data_folder_is_mounted_for_reading_under_its_own_name(run, tmp_path):
    (tmp_path / "my data").mkdir()
    for flags in (["--data-root", "my data"], ["--data-root=my data"]):
        code, _, calls = run(
            "classification", "--preset", "paper", *flags, "--jobs", "2", cwd=tmp_path
        )
        assert code == 0
        assert ("--volume", f"{tmp_path}/my data:/data/my data:ro") in pairs(calls[-1])
        assert calls[-1][-6:] == [
            "--preset",
            "paper",
            "--data-root",
            "/data/my data",
            "--jobs",
            "2",
        ]


def test_two_data_folders_of_one_name_are_mounted_apart(run, tmp_path):
    for parent in ("m40", "snc"):
        (tmp_path / parent / "h5").mkdir(parents=True)
    flags = [
        "classification",
        "reconstruction",
        "--data-root",
        "m40/h5",
        "--shapenet-root",
        "snc/h5",
    ]
    code, _, calls = run(*flags, cwd=tmp_path)
    assert code == 0
    for volume in (f"{tmp_path}/m40/h5:/data/h5:ro", f"{tmp_path}/snc/h5:/shapenet/h5:ro"):
        assert ("--volume", volume) in pairs(calls[-1])
    assert calls[-1][-5:] == [
        "reconstruction",
        "--data-root",
        "/data/h5",
        "--shapenet-root",
        "/shapenet/h5",
    ]


@pytest.mark.parametrize(
    "engine, flags", [("docker", ("--gpus", "all")), ("podman", ("--device", "nvidia.com/gpu=all"))]
)
def test_gpus_are_passed_where_there_are_any(run, engine, flags):
    code, _, (_, build, ran) = run("registration", engines=[engine], gpu=True, MADE="")
    assert code == 0 and flags in pairs(ran) and "samplenet-pytorch:cuda" in ran
    assert ("--build-arg", "DEVICE=cuda") in pairs(build)
    assert any(word.startswith("TOOLKIT=docker.io/nvidia/cuda:13") for word in build)
    _, _, calls = run("registration", engines=[engine], gpu=True, DEVICE="cpu")
    assert flags not in pairs(calls[-1]) and "samplenet-pytorch:cpu" in calls[-1]


def test_podman_keeps_the_caller(run):
    _, _, calls = run("registration", engines=["podman"])
    assert (("--userns", "keep-id") in pairs(calls[-1])) == (os.getuid() != 0)
    assert ("--security-opt", "label=disable") in pairs(calls[-1])


def test_docker_comes_before_podman_and_can_be_named(run):
    assert run("registration", engines=["docker", "podman"], CONTAINER_ENGINE="podman")[2][
        -1
    ].count("label=disable")
    assert "label=disable" not in run("registration", engines=["docker", "podman"])[2][-1]


def test_the_gpu_check_runs_in_the_cuda_image(run):
    code, _, calls = run("gpu-check", "--out", "results/gpu.json", gpu=True)
    assert code == 0
    assert calls[-1][-3:] == [
        "samplenet-pytorch:cuda",
        "benchmarks/gpu.py",
        "--out=results/gpu.json",
    ]


def test_the_gpu_check_of_tensorflow(run):
    code, _, calls = run("gpu-check", "tensorflow", gpu=True)
    assert code == 0 and calls[-1][-2:] == ["samplenet-tensorflow:cuda", "benchmarks/gpu_tf.py"]


@pytest.mark.parametrize(
    "word", [*EXPERIMENTS, *(extra for e in EXPERIMENTS.values() for extra in e.extras)]
)
def test_each_experiment_runs_in_the_image_of_its_framework(run, word):
    (experiment,) = (e for e in EXPERIMENTS.values() if word in (e.name, *e.extras))
    image = {"tf": "samplenet-tensorflow:cpu", "torch": "samplenet-pytorch:cpu"}[
        experiment.framework
    ]
    code, _, calls = run(word, "--preset", "smoke")
    assert code == 0 and calls[-1][-5:] == [image, "reproduce.py", word, "--preset", "smoke"]


def test_several_experiments_of_one_image(run):
    _, _, calls = run("classification", "ablation", "--preset", "smoke")
    assert calls[-1][-5:] == ["reproduce.py", "classification", "ablation", "--preset", "smoke"]


@pytest.mark.parametrize(
    "environment",
    [{"CUDAARCHS": "80;90"}, {"BASE": "debian:12"}, {"REVISION": "", "MADE": "unknown"}],
)
def test_an_image_that_may_be_another_is_built_again(run, environment):
    assert [call[0] for call in run("registration", **environment)[2]] == ["image", "build", "run"]


@pytest.mark.parametrize(
    "words, environment, said",
    [
        (
            [],
            {},
            # and whatever experiments were added: each one's name is there
            "unknown experiment '', known: classification ablation ",
        ),
        (["segmentation"], {}, "unknown experiment 'segmentation'"),
        (["registration"], {"engines": []}, "docker not found; install docker or podman"),
        (["registration"], {"CONTAINER_ENGINE": "runc"}, "runc not found"),
        (["registration"], {"DOWN": "1"}, "docker is installed, but 'docker info' fails; start it"),
        (["registration", "--data-root", "nowhere"], {}, "--data-root: no folder nowhere"),
        (["reconstruction", "--shapenet-root=nowhere"], {}, "--shapenet-root: no folder nowhere"),
        (["registration", "--data-root"], {}, "--data-root: expected a folder"),
        (["registration", "--out", "elsewhere"], {}, "--out must be below results/"),
        (["registration"], {"DEVICE": "tpu"}, "DEVICE must be cpu or cuda, got 'tpu'"),
        (
            ["classification", "registration"],
            {},
            "'registration' is not in the image of classification",
        ),
        (["registration", "ablation"], {}, "'ablation' is not in the image of registration"),
        (["reconstruction", "all"], {}, "'all' is not in the image of reconstruction"),
        (["registration", "everything"], {}, "'everything' is not in the image of registration"),
        (["gpu-check"], {}, "gpu-check needs a GPU, and nvidia-smi finds none"),
        (
            ["registration"],
            {"MADE": "", "BUILD_FAILS": "1"},
            "docker could not build samplenet-pytorch:cpu",
        ),
    ],
    ids=json.dumps,
)
def test_faults_are_told_in_one_sentence_and_nothing_is_run(run, words, environment, said):
    code, stderr, calls = run(*words, **environment)
    assert (
        code == 1
        and stderr.startswith("run.sh: error: ")
        and stderr.count("\n") == 1
        and said in stderr
    )
    assert not [call for call in calls if call[0] == "run"]
