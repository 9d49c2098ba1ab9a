"""Exported PyTorch samplers give the same: ONNX in onnxruntime, torch.export without samplenet."""

import subprocess
import sys

import numpy as np
import pytest

import samplenet
from samplenet import InputError, export
from samplenet.ops import reference

torch = pytest.importorskip("torch")
from samplenet.export import __main__ as command  # noqa: E402
from samplenet.torch import SampleNet  # noqa: E402

SETTINGS = {
    "classification": {},
    "registration": {"output_batch_norm": False, "output_order": "3m", "bn_epsilon": 1e-5},
    "reconstruction": {"fc_batch_norm": False, "output_batch_norm": False},
}
M = 24


def cloud(batch, n, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (batch, n, 3)).astype(np.float32)


def trained(**settings):
    """A small sampler whose batch norms are not in their first state."""
    torch.manual_seed(0)
    sampler = SampleNet(M, k=4, conv_widths=(16, 24), fc_widths=(16,), bn_momentum=0.5, **settings)
    for module in sampler.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
    for seed in range(3):
        sampler(torch.from_numpy(cloud(8, 50, seed)))
    return sampler.eval()


def check(sampler, run, clouds):
    """Check Q to 1e-5, and indices and points against the sampler and the reference for this Q."""
    with torch.no_grad():
        ours = sampler(torch.from_numpy(clouds))
    found = run(clouds)
    np.testing.assert_allclose(found["queries"], ours.queries, atol=1e-5)
    np.testing.assert_array_equal(found["idx"], ours.idx)
    np.testing.assert_array_equal(found["points"], ours.points)
    _, near = reference.knn(found["queries"], clouds, 1)
    np.testing.assert_array_equal(
        found["idx"], reference.farthest_points(clouds, M, chosen=near[..., 0])
    )
    return [len(set(row)) for row in near[..., 0].tolist()]


@pytest.mark.parametrize("name", SETTINGS)
def test_onnx_agrees_with_pytorch(name, tmp_path):
    pytest.importorskip("onnx", reason="ONNX export needs onnx")
    pytest.importorskip("onnxruntime", reason="running ONNX needs onnxruntime")
    sampler = trained(**SETTINGS[name])
    export.export(sampler, tmp_path / "sampler.onnx")
    run = export.load(tmp_path / "sampler.onnx")
    counts = check(sampler, run, cloud(6, 80))  # one file serves every batch and cloud size
    assert len(set(counts)) > 1  # clouds that need unequal numbers of further points
    check(sampler, run, cloud(1, 61))
    check(sampler, run, cloud(2, M))


def test_onnx_completes_a_sample_that_is_one_point(tmp_path):
    pytest.importorskip("onnx", reason="ONNX export needs onnx")
    pytest.importorskip("onnxruntime", reason="running ONNX needs onnxruntime")
    sampler = trained(output_batch_norm=False)
    torch.nn.init.zeros_(sampler.fc2.weight)
    torch.nn.init.zeros_(sampler.fc2.bias)
    export.export(sampler, tmp_path / "sampler.onnx")
    assert check(sampler, export.load(tmp_path / "sampler.onnx"), cloud(2, 40)) == [1, 1]


def test_onnx_has_standard_operations_only(tmp_path):
    onnx = pytest.importorskip("onnx", reason="ONNX export needs onnx")
    export.export(trained(), tmp_path / "sampler.onnx")
    model = onnx.load(tmp_path / "sampler.onnx")
    assert not model.functions and [
        opset.version for opset in model.opset_import if not opset.domain
    ] == [18]
    assert {node.domain for node in model.graph.node} == {""}
    assert not {"BatchNormalization"} & {node.op_type for node in model.graph.node}


WITHOUT_SAMPLENET = """
import sys, numpy, torch
sampler = torch.export.load("sampler.pt2").module()
numpy.savez("out.npz", **sampler(torch.tensor(numpy.load("clouds.npy"))))
assert "samplenet" not in sys.modules
"""


# PyTorch 2.11 warns about its own files
@pytest.mark.filterwarnings("ignore:The given buffer is not writable:UserWarning")
def test_a_torch_program_agrees_and_needs_no_samplenet(tmp_path):
    sampler, clouds = trained(), cloud(3, 150)
    export.export(sampler, tmp_path / "sampler.pt2")
    check(sampler, export.load(tmp_path / "sampler.pt2"), cloud(1, M))
    np.save(tmp_path / "clouds.npy", clouds)
    subprocess.run([sys.executable, "-c", WITHOUT_SAMPLENET], cwd=tmp_path, check=True)
    assert min(check(sampler, lambda _: np.load(tmp_path / "out.npz"), clouds)) < M


def test_the_command_exports_trained_weights(tmp_path, monkeypatch, capsys):
    pytest.importorskip("onnx", reason="ONNX export needs onnx")
    pytest.importorskip("onnxruntime", reason="running ONNX needs onnxruntime")
    out = tmp_path / "new" / "sampler.onnx"
    monkeypatch.setattr(sys, "argv", ["export", "--weights", "classification-32", "-o", str(out)])
    command.start()
    assert "on 21 built-in shapes Q differs by at most" in capsys.readouterr().out
    sampler = samplenet.load_pretrained("classification-32", framework="torch")
    shapes = np.stack(
        [samplenet.data.shapes.generate(name, 1, num_points=1024) for name in ("chair", "car")]
    )
    apart, same = command.differences(sampler, export.load(out), shapes)
    assert apart < 1e-5 and same == 2
    assert list(out.parent.iterdir()) == [out]


def test_farthest_points_alone(tmp_path, monkeypatch, capsys):
    onnx = pytest.importorskip("onnx", reason="ONNX export needs onnx")
    pytest.importorskip("onnxruntime", reason="running ONNX needs onnxruntime")
    out = tmp_path / "fps.onnx"
    monkeypatch.setattr(sys, "argv", ["export", "--fps", "-o", str(out)])
    command.start()
    assert "of 21 built-in shapes the same 128 in 21" in capsys.readouterr().out
    run = export.load(out)
    for batch, n, m in ((3, 50, 20), (1, 7, 7), (2, 9, 1)):  # one file serves every size
        clouds = cloud(batch, n)
        clouds[0, 3] = clouds[0, 5]  # equal points: the lower index first
        found = run(clouds, m=np.array(m))
        idx = reference.farthest_points(clouds, m)
        np.testing.assert_array_equal(found["idx"], idx)
        points = np.take_along_axis(clouds, idx[..., None], 1)
        np.testing.assert_array_equal(found["points"], points)
    model = onnx.load(out)
    assert not model.functions and {node.domain for node in model.graph.node} == {""}
    with pytest.raises(InputError, match=r"fps\.pt2: farthest point sampling is exported to ONNX"):
        export.export_farthest_points(tmp_path / "fps.pt2")


def test_what_cannot_be_exported_is_named(tmp_path, monkeypatch):
    sampler = trained()
    with pytest.raises(
        InputError, match=r"s\.h5 must end in \.onnx, \.pt2 or \.keras, or be a folder"
    ):
        export.export(sampler, tmp_path / "s.h5")
    with pytest.raises(InputError, match=r"s\.keras: only samplers of samplenet\.tf"):
        export.export(sampler, tmp_path / "s.keras")
    with pytest.raises(InputError, match="is a folder that holds no SavedModel"):
        export.export(sampler, tmp_path)
    with pytest.raises(InputError, match=r"no exported sampler .*gone\.onnx"):
        export.load(tmp_path / "gone.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "samplenet.export.onnx", raising=False)
    with pytest.raises(
        InputError, match=r'onnx is not installed; install samplenet with its extra "export"'
    ):
        export.export(sampler, tmp_path / "s.onnx")
    assert not list(tmp_path.iterdir())
