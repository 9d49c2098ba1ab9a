"""The compiled kernels as a whole: fuzzing, narrower instruction sets, memory, and the builder."""

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from samplenet import InputError, device
from samplenet.ops import build, native

FUZZ = Path(__file__).parent / "fuzz.py"
FUZZ_POOLED_LINEAR = FUZZ.with_name("fuzz_pooled_linear.py")
FUZZ_RENDER_VOXELS = FUZZ.with_name("fuzz_render_voxels.py")
FUZZ_PROJECTIONS = FUZZ.with_name("fuzz_projections.py")
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
MODULES = {"torch": "torch", "tf": "tensorflow"}


def run(*command, **environment) -> subprocess.CompletedProcess:
    environment = {**os.environ, **environment}
    return subprocess.run(
        [str(c) for c in command], env=environment, capture_output=True, text=True
    )


@pytest.fixture
def built(request):
    """Skip unless there are native ops for the framework named by the test's parameter."""
    framework = getattr(request, "param", "torch")
    version = build.framework_version(framework)
    if version is None:
        pytest.skip(f"{build.NAMES[framework]} is not installed")
    if why := native.missing(framework, version):
        pytest.skip(f"no native ops for {framework}: {why}")
    return framework


def fuzz(framework: str, calls: int, script: Path = FUZZ, **environment) -> None:
    flags = ["--framework", framework, "--calls", calls, "--seed", calls]
    done = run(sys.executable, script, *flags, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{calls} calls of each op without a mismatch" in done.stdout


@pytest.mark.parametrize("built", ["torch", "tf"], indirect=True)
def test_random_calls_agree_with_the_reference(built):
    fuzz(built, 500)


@pytest.mark.parametrize("isa", ["baseline", "avx2"])
def test_narrower_instruction_sets_agree_with_the_reference(built, isa):
    fuzz(built, 150, SAMPLENET_ISA=isa)


@pytest.mark.slow
@pytest.mark.parametrize("built", ["torch", "tf"], indirect=True)
def test_ten_thousand_random_calls_agree_with_the_reference(built):
    fuzz(built, 10_000)


@pytest.mark.parametrize("built", ["torch", "tf"], indirect=True)
def test_random_pooled_linear_layers_are_plain_ones(built):
    pytest.importorskip("torch")  # whose plain layers they are
    fuzz(built, 300, FUZZ_POOLED_LINEAR)


@pytest.mark.slow
@pytest.mark.parametrize("built", ["torch", "tf"], indirect=True)
def test_ten_thousand_random_pooled_linear_layers_are_plain_ones(built):
    pytest.importorskip("torch")
    fuzz(built, 10_000, FUZZ_POOLED_LINEAR)


RENDERERS = pytest.mark.parametrize(
    "script", [FUZZ_RENDER_VOXELS, FUZZ_PROJECTIONS], ids=lambda path: path.stem
)


@RENDERERS
@pytest.mark.parametrize(("built", "calls"), [("torch", 300), ("tf", 100)], indirect=["built"])
def test_random_images_agree_with_the_reference(built, calls, script):
    pytest.importorskip("torch", reason="gradients are compared with PyTorch's")
    fuzz(built, calls, script)


@RENDERERS
@pytest.mark.parametrize("isa", ["baseline", "avx2"])
def test_narrower_instruction_sets_draw_the_same_images(built, isa, script):
    fuzz(built, 60, script, SAMPLENET_ISA=isa)


@pytest.mark.slow
@RENDERERS
@pytest.mark.parametrize("built", ["torch", "tf"], indirect=True)
def test_five_thousand_random_images_agree_with_the_reference(built, script):
    pytest.importorskip("torch", reason="gradients are compared with PyTorch's")
    fuzz(built, 5000, script)


@pytest.mark.slow
@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_sanitizers_find_nothing(built, isa, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "sanitized"
    where = {"SAMPLENET_NATIVE_DIR": str(folder)}
    done = run(sys.executable, "-m", "samplenet.ops.build", "--torch", "--sanitize", **where)
    assert done.returncode == 0, done.stderr
    asan, ubsan = (
        run("g++", f"-print-file-name=lib{n}.so").stdout.strip() for n in ("asan", "ubsan")
    )
    where |= {"LD_PRELOAD": f"{asan} {ubsan}", "ASAN_OPTIONS": "detect_leaks=0"}
    fuzz(built, 1000, SAMPLENET_ISA=isa, **where)
    fuzz(built, 1000, FUZZ_RENDER_VOXELS, SAMPLENET_ISA=isa, **where)
    fuzz(built, 1000, FUZZ_PROJECTIONS, SAMPLENET_ISA=isa, **where)


MEMORY = """
import resource, torch
from samplenet.ops import torch as ops
a, b = (torch.rand(2, 20_000, 3, requires_grad=True) for _ in range(2))
ops.chamfer(a[:, :100], b[:, :100]).a2b.sum().backward()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
near = ops.chamfer(a, b)
(near.a2b.sum() + near.b2a.sum()).backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_chamfer_holds_no_distance_matrix(built):
    done = run(sys.executable, "-c", MEMORY)
    kilobytes = int(done.stdout)
    assert kilobytes < 100_000  # the matrix has 2 * 20000 * 20000 * 4 bytes: 3.2 GB


RENDER_MEMORY = """
import resource, torch
from samplenet.ops.torch import render_voxels
points = (torch.randn(64, 500, 3) * 0.2).requires_grad_()
render_voxels(points[:1], 1.5, size=8).silhouette.sum().backward()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
render_voxels(points, 1.5, size=48).silhouette.sum().backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_rendering_holds_no_grid_for_each_cloud(built):
    done = run(sys.executable, "-c", RENDER_MEMORY)
    kilobytes = int(done.stdout)
    assert kilobytes < 20_000, done.stderr  # one grid of all clouds has 64 * 48**3 * 4 bytes: 28 MB


PROJECT_MEMORY = """
import resource, sys, torch
from samplenet.ops import use_native
from samplenet.ops.torch import project_features, project_mask
use_native(sys.argv[1] == "native")
points = (torch.rand(4, 1024, 3) * 64).requires_grad_()
features = torch.rand(4, 1024, 3).requires_grad_()
def step(size):
    loss = project_mask(points, size, size).sum()
    (loss + project_features(points, features, size, size).features.sum()).backward()
step(8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
step(64)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("how", ["native", "framework"])
def test_projections_hold_no_number_for_each_pixel_and_point(built, how):
    done = run(sys.executable, "-c", PROJECT_MEMORY, how)
    kilobytes = int(done.stdout)
    assert kilobytes < 30_000, done.stderr  # 4 * 1024 * 64**2 * 4 bytes would be 67 MB


def test_kernels_know_no_framework():
    for path in native.SOURCES.iterdir():
        common = path.name in ("torch_common.h", "tf_common.h")
        binding = common or path.stem.endswith(("_torch", "_tf"))
        if path.suffix in (".h", ".cc", ".cu", ".cuh") and not binding:
            framework = re.search(r"#include\s*[<\"](torch|tensorflow|ATen|c10)", path.read_text())
            assert not framework, path.name


# the builder


def test_check_tells_what_is_built_and_what_is_not(tmp_path):
    done = run(
        sys.executable, "-m", "samplenet.ops.build", "--check", SAMPLENET_NATIVE_DIR=str(tmp_path)
    )
    assert done.returncode == 0
    assert "compiler:" in done.stdout and "CUDA:" in done.stdout
    for framework, name in build.NAMES.items():
        version = build.framework_version(framework)
        expected = f"{name} {version}: no native ops" if version else f"{name}: not installed"
        assert expected in done.stdout
    assert not any(tmp_path.iterdir())


def test_a_second_build_is_the_first_one(built):
    library = native.folder(built, build.framework_version(built))
    before = {path: path.stat().st_mtime_ns for path in library.iterdir()}
    build.build(built)
    assert {path: path.stat().st_mtime_ns for path in library.iterdir()} == before


def test_sources_that_changed_are_compiled_in_the_folder_that_is_there(monkeypatch, tmp_path):
    framework = installed()
    monkeypatch.setenv("SAMPLENET_NATIVE_DIR", str(tmp_path))
    monkeypatch.setattr(native, "source_hash", lambda: "first")
    folders = []

    def compile_in(framework, use, sanitize, cuda, folder):
        folders.append(sorted(path.name for path in (folder / "build").glob("*")))
        (folder / "build").mkdir(exist_ok=True)
        (folder / "build" / "kept.o").touch()
        (folder / "build" / f"samplenet_{framework}.so").touch()
        return {"compiler": "GNU 12", "cuda": ""}

    monkeypatch.setattr(build, "options", lambda framework: {"cuda": None})
    monkeypatch.setattr(build, "_compile", compile_in)
    build.build(framework)
    assert build.build(framework)["sources"] == "first" and len(folders) == 1
    monkeypatch.setattr(native, "source_hash", lambda: "second")
    done = build.build(framework)
    build.build(framework, force=True)
    assert done["library"] == f"samplenet_{framework}-second.so" and folders == [[], ["kept.o"], []]
    folder = native.folder(framework, build.framework_version(framework))
    assert [path.name for path in folder.glob("*.so")] == [done["library"]]


def test_a_build_folder_that_cmake_refuses_is_begun_anew(monkeypatch, tmp_path):
    """As that of a copied checkout, or of another compiler."""
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "CMakeCache.txt").write_text("CMAKE_HOME_DIRECTORY:INTERNAL=/elsewhere\n")
    commands = []

    def run(*command, env):
        commands.append(command[1])
        if (tmp_path / "build" / "CMakeCache.txt").exists():
            raise InputError("cmake failed: the CMakeCache.txt directory is different")
        (tmp_path / "build").mkdir(exist_ok=True)
        (tmp_path / "build" / "compilers.json").write_text("{}")

    monkeypatch.setattr(build, "tool", lambda name: name)
    monkeypatch.setattr(build, "_run", run)
    assert build._compile("torch", {"compile": [], "link": []}, False, None, tmp_path) == {}
    assert commands == ["-G", "-G", "--build"]


def installed() -> str:
    """A framework that native ops can be built for."""
    for framework in build.NAMES:
        version = build.framework_version(framework)
        if version and not (framework == "torch" and native.too_old(version)):
            return framework
    pytest.skip("no framework is installed that native ops can be built for")


def test_a_library_that_is_gone_is_missed(monkeypatch, tmp_path):
    monkeypatch.setenv("SAMPLENET_NATIVE_DIR", str(tmp_path))
    folder = native.folder("tf", "2.21.0-rc0")
    # TensorFlow and its package's metadata spell it differently
    assert folder == native.folder("tf", "2.21.0rc0+local")
    folder.mkdir()
    done = {"library": "gone.so", "sources": native.source_hash(), "machine": platform.machine()}
    (folder / "build.json").write_text(json.dumps(done))
    assert "gone.so is gone" in native.missing("tf", "2.21.0rc0")
    (folder / "build.json").write_text(json.dumps({**done, "machine": "abacus"}))
    assert "built for abacus" in native.missing("tf", "2.21.0rc0")


def test_a_folder_that_cannot_be_written_to_is_named(monkeypatch, tmp_path):
    framework = installed()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SAMPLENET_NATIVE_DIR", str(tmp_path / "file"))
    if build.compiler() is None or not (build.tool("cmake") and build.tool("ninja")):
        pytest.skip("no compiler, CMake or ninja")
    with pytest.raises(InputError, match="SAMPLENET_NATIVE_DIR"):
        build.build(framework)


def test_a_compiler_named_wrongly_is_an_error(tmp_path):
    where = {"CXX": "no-such-compiler", "SAMPLENET_NATIVE_DIR": str(tmp_path)}
    done = run(sys.executable, "-m", "samplenet.ops.build", **where)
    assert done.returncode == 1
    assert "CXX names 'no-such-compiler'" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_compiler_the_error_says_what_to_install(monkeypatch, tmp_path):
    framework = installed()
    monkeypatch.setenv("SAMPLENET_NATIVE_DIR", str(tmp_path))
    monkeypatch.setattr(build, "compiler", lambda: None)
    with pytest.raises(InputError, match="apt-get install g"):
        build.build(framework)


def test_a_compiler_that_fails_leaves_the_old_build(monkeypatch, tmp_path):
    framework = installed()
    monkeypatch.setenv("SAMPLENET_NATIVE_DIR", str(tmp_path))
    fake = tmp_path / "compiler"
    version = "[ \"$1\" = --version ] && echo 'broken 1.0' && exit 0"
    fake.write_text(f"#!/bin/sh\n{version}\necho 'no such option' >&2; exit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("CXX", str(fake))
    folder = native.folder(framework, build.framework_version(framework))
    folder.mkdir()
    old = {"library": "old.so", "sources": "0", "compiler": "older 1.0"}
    old |= {"sanitize": False, "cuda": None}
    (folder / "build.json").write_text(json.dumps(old))
    (folder / "old.so").write_text("kept")
    if not (build.tool("cmake") and build.tool("ninja")):
        pytest.skip("CMake and ninja are not installed")
    with pytest.raises(InputError, match="no such option"):
        build.build(framework)
    assert native.built(framework, build.framework_version(framework)) == old
    assert (folder / "old.so").read_text() == "kept"


def test_cuda_where_the_framework_has_none_is_an_error(monkeypatch, tmp_path):
    framework = installed()
    monkeypatch.setenv("SAMPLENET_NATIVE_DIR", str(tmp_path))
    use = {"compile": [], "link": [], "cuda": None}
    monkeypatch.setattr(build, "options", lambda framework: use)
    if build.compiler() is None or not (build.tool("cmake") and build.tool("ninja")):
        pytest.skip("no compiler, CMake or ninja")
    with pytest.raises(InputError, match="built without CUDA"):
        build.build(framework, cuda=True)


@pytest.mark.parametrize(
    "named, gpu, target", [("80;90", "H200", "80;90"), ("", "H200", "native"), ("", None, "all")]
)
def test_cuda_kernels_are_for_the_architectures_named_or_the_gpu_or_all(
    named, gpu, target, monkeypatch, tmp_path
):
    def stop(*command, env):
        raise InputError(command[-1])

    monkeypatch.setenv("CUDAARCHS", named)
    monkeypatch.setattr(device, "gpu", lambda: gpu and device.Gpu(gpu, "580.65.06"))
    monkeypatch.setattr(build, "tool", lambda name: name)
    monkeypatch.setattr(build, "_run", stop)
    with pytest.raises(InputError, match=f"CUDA_ARCHITECTURES={target}$"):
        build._compile("torch", {"compile": [], "link": []}, False, "/cuda/bin/nvcc", tmp_path)
    expected = {"80;90": "architectures 80;90", "native": "H200", "all": "every architecture"}
    assert build.cuda_target(asked=True) == expected[target]


@pytest.mark.parametrize(
    ("driver", "release", "why"),
    [
        ("580.65.06", "13.0", None),
        ("570.124.06", "13.0", "nvcc 13.0 compiles needs driver 580 or later, this is 570.124.06"),
        ("570.124.06", "12.9", None),
        (None, "13.0", "no GPU is visible"),
    ],
)
def test_cuda_kernels_are_built_where_the_driver_runs_them(driver, release, why, monkeypatch):
    monkeypatch.setattr(device, "gpu", lambda: driver and device.Gpu("H200", driver))
    monkeypatch.setattr(build, "nvcc", lambda home: ("nvcc", release))
    found = build.why_no_cuda({"cuda": "12.5.1", "cuda_home": None}, False)
    assert found is None if why is None else why in found


def test_nvcc_of_pip_serves_where_the_system_has_none(monkeypatch, tmp_path):
    wheel = tmp_path / "nvidia" / "cu13" / "bin"
    wheel.mkdir(parents=True)
    (wheel / "nvcc").write_text(
        "#!/bin/sh\necho 'Cuda compilation tools, release 13.0, V13.0.88'\n"
    )
    (wheel / "nvcc").chmod(0o755)
    for name in ("CUDACXX", "CUDA_HOME", "CUDA_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(build.sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setenv("PATH", "/nowhere")
    assert build.nvcc() == (str(wheel / "nvcc"), "13.0")


def needs_nvcc():
    if build.nvcc() is None:
        pytest.skip("nvcc is not installed: the CUDA sources are not compiled")


def test_cuda_kernels_compile(tmp_path):
    """To PTX, which takes half the time; the slow tests assemble that too."""
    needs_nvcc()
    for source in sorted(native.SOURCES.glob("*.cu")):
        flags = ["-arch=sm_90", "-std=c++17", "--fmad=false", "-Werror=all-warnings"]
        done = run(build.nvcc()[0], *flags, "-ptx", source, "-o", tmp_path / "kernel.ptx")
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["torch", "tf"])
def test_both_bindings_compile_with_the_nvcc_that_pip_installs(framework, monkeypatch, tmp_path):
    """It is downloaded: 95 MB."""
    if build.framework_version(framework) is None:
        pytest.skip(f"{build.NAMES[framework]} is not installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", tmp_path]
    done = run(*pip, "-c", Path(__file__).parents[2] / "constraints.txt", "nvidia-cuda-nvcc")
    if done.returncode:
        pytest.skip(f"pip cannot download nvidia-cuda-nvcc: {done.stderr.splitlines()[-1]}")
    with_cuda = {**build.options(framework), "cuda": "whatever its wheel says"}
    monkeypatch.setattr(build, "options", lambda framework: with_cuda)
    monkeypatch.setenv("SAMPLENET_NATIVE_DIR", str(tmp_path / "native"))
    monkeypatch.setenv("CUDACXX", str(tmp_path / "nvidia" / "cu13" / "bin" / "nvcc"))
    monkeypatch.setenv("CUDAARCHS", "90")
    done = build.build(framework, cuda=True)
    assert done["device"] == "cuda" and done["cuda"] == "13.0.88"


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["torch", "tf"])
def test_both_bindings_compile_with_cuda_for_every_architecture(framework, monkeypatch, tmp_path):
    needs_nvcc()
    if build.framework_version(framework) is None:
        pytest.skip(f"{build.NAMES[framework]} is not installed")
    with_cuda = {**build.options(framework), "cuda": "whatever its wheel says"}
    monkeypatch.setattr(build, "options", lambda framework: with_cuda)
    monkeypatch.setenv("SAMPLENET_NATIVE_DIR", str(tmp_path))
    done = build.build(framework, cuda=True)
    assert done["device"] == "cuda" and done["gpu"] == build.cuda_target(asked=True)
    assert (native.folder(framework, build.framework_version(framework)) / done["library"]).exists()


AGREE_ON_THE_CPU = """
import sys
sys.path.insert(0, {folder!r})
import gpu_cases as cases, {script} as script
cases.KNN, cases.CHAMFER, cases.FPS = cases.KNN[3:8], cases.CHAMFER[2:5], cases.FPS[4:]
cases.RENDERED, cases.BALLS = cases.RENDERED[3:], cases.BALLS[2:3]
ops = ("knn", "knn backward", "chamfer", "chamfer backward", "farthest_points")
ops += ("render_voxels", "project_mask backward", "project_features backward")
script.TIMED = {{op: (op, 2, 8, 9, 3) for op in ops}}
script.main()
"""


@pytest.fixture
def agree_on_the_cpu(serve_scripts, tmp_path):
    def call(framework, script, *flags):
        program = tmp_path / "agree.py"
        program.write_text(AGREE_ON_THE_CPU.format(folder=str(BENCHMARKS), script=script))
        printed = serve_scripts(framework).run(program, "--device", "cpu", *flags)
        assert "138 calls agree" in printed
        return printed

    return call


def test_the_gpu_script_agrees_with_itself_on_the_cpu_and_times_what_a_program_calls(
    built, tmp_path, agree_on_the_cpu
):
    printed = agree_on_the_cpu("torch", "gpu", "--out", tmp_path / "gpu.json")
    assert re.search(r"\| chamfer backward \| [\d.]+ \|  \|", printed)
    rows = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert len(rows) == 8
    assert all(row["called_microseconds"] > 0 for row in rows)
    assert all(row["device_microseconds"] is None for row in rows)


def test_the_gpu_script_of_tensorflow_agrees_with_itself_on_the_cpu(built, agree_on_the_cpu):
    pytest.importorskip("tensorflow", reason="gpu_tf needs TensorFlow")
    agree_on_the_cpu("tf", "gpu_tf")


def test_the_gpu_script_of_tensorflow_tells_a_difference(monkeypatch):
    """The CPU stands on both sides, and the points of the second run are moved."""
    tf = pytest.importorskip("tensorflow", reason="gpu_tf needs TensorFlow")
    monkeypatch.syspath_prepend(BENCHMARKS)
    import gpu_tf

    moves = iter([0.0, 1e-6])
    with pytest.raises(AssertionError, match="knn: GPU and CPU differ in 6 of 6 values"):
        gpu_tf.same("CPU", "knn", lambda a: [a + next(moves)], tf.ones((1, 2, 3)).numpy())


def test_the_benchmark_prints_a_row_of_ratios(built):
    done = run(sys.executable, BENCHMARKS / "ops.py", "--only", "kNN k=8", "--threads", 1)
    assert done.returncode == 0, done.stderr
    assert re.search(r"\| kNN k=8 B32 64x1024 \| [\d.]+ \| .* \| [\d.]+ \|", done.stdout)
