"""Tests of PyTorch's ops alone: operators, compilation, gradients, switching and loading."""

import json
import math
import os
import platform
import subprocess
import sys

import numpy as np
import pytest

from samplenet import InputError
from samplenet.ops import native, use_native

torch = pytest.importorskip("torch")
from samplenet.ops import torch as ops  # noqa: E402

WHY_NOT = native.missing("torch", torch.__version__)
TOO_OLD = native.too_old(torch.__version__)
needs_stable_interface = pytest.mark.skipif(
    TOO_OLD is not None, reason=f"no native PyTorch ops: {TOO_OLD}"
)
needs_build = pytest.mark.skipif(WHY_NOT is not None, reason=f"no native PyTorch ops: {WHY_NOT}")


@pytest.fixture(params=["framework", pytest.param("native", marks=needs_build)])
def path(request):
    """Both ways the ops are served."""
    use_native(request.param == "native")
    return request.param


@pytest.fixture
def built():
    use_native(True)


def cloud(seed, *shape, dtype=torch.float32, grad=False):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, 3, generator=generator, dtype=dtype).requires_grad_(grad)


def pair(dtype=torch.float32, grad=True):
    return cloud(0, 2, 6, dtype=dtype, grad=grad), cloud(1, 2, 9, dtype=dtype, grad=grad)


def total(a, b, k=3):
    """A scalar made of the ops with a gradient, and of farthest points."""
    dist2, idx = ops.knn(a, b, k)
    near = ops.chamfer(a, b)
    matched = ops.farthest_points(b, 4, chosen=idx[:, :, 0])
    spread = ops.gather(b, matched) - ops.gather(b, ops.farthest_points(b, 4, start=1))
    return (dist2**1.5).sum() + near.a2b.sum() + (near.b2a**2).sum() + (spread**2).sum()


def gradients(function, a, b):
    return torch.autograd.grad(function(a, b), (a, b))


# gradients


def test_gradients_against_finite_differences(path):
    a, b = pair(torch.float64)
    assert torch.autograd.gradcheck(lambda a, b: ops.knn(a, b, 3)[0], (a, b))
    assert torch.autograd.gradcheck(lambda a, b: ops.chamfer(a, b)[:2], (a, b))
    idx = torch.tensor([[[0, 0], [8, 3]], [[1, 2], [3, 3]]])
    assert torch.autograd.gradcheck(lambda b: ops.gather(b, idx), (b,))


def test_gradients_have_the_same_bits_again(path):
    a, b = cloud(0, 4, 200, grad=True), cloud(1, 4, 300, grad=True)
    first, again = gradients(total, a, b), gradients(total, a, b)
    assert all(torch.equal(x, y) for x, y in zip(first, again, strict=True))


@needs_build
def test_native_gradients_are_those_of_framework_operations(built):
    a, b = pair(torch.float64)
    got = gradients(total, a, b)
    use_native(False)
    for x, y in zip(got, gradients(total, a, b), strict=True):
        torch.testing.assert_close(x, y)


def test_padding_with_copies_of_a_point_leaves_the_gradients_of_chamfer(path):
    a, b = pair()
    padded = torch.cat([a, a[:, :1].detach().expand(-1, 4, -1)], 1)
    near, alone = ops.chamfer(padded, b), ops.chamfer(a, b)
    got = torch.autograd.grad(near.a2b[:, :6].sum() + (near.b2a**2).sum(), (a, b))
    want = torch.autograd.grad(alone.a2b.sum() + (alone.b2a**2).sum(), (a, b))
    assert all(map(torch.equal, got, want))


@needs_build
def test_infinite_distances_have_the_native_gradients_in_framework_operations(unchecked):
    def total(a, b):
        near = ops.chamfer(a, b)
        return ops.knn(a, b, 30)[0].sum() + near.a2b.sum() + near.b2a.sum()

    a, b = cloud(0, 3, 20), cloud(1, 3, 30)
    for seed, c in enumerate((a, b)):  # some not finite, and some that overflow when squared
        special = torch.tensor([math.nan, math.inf, -math.inf, 1e30])
        generator = torch.Generator().manual_seed(seed)
        drawn = special[torch.randint(4, c[:2].shape, generator=generator)]
        c[:2] = torch.where(torch.rand(c[:2].shape, generator=generator) < 0.1, drawn, c[:2])
        c.requires_grad_()
    use_native(True)
    native = gradients(total, a, b)
    use_native(False)
    for want, got in zip(native, gradients(total, a, b), strict=True):
        numbers = ~want.isnan()
        assert numbers[2].all() and not numbers.all()
        torch.testing.assert_close(got[numbers], want[numbers])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_point_that_is_no_neighbour_changes_no_gradient_of_knn_finite_or_not(
    path, unchecked, value
):
    a, b = pair()
    more = torch.cat([b, torch.full((2, 4, 3), value)], 1)
    got, want = (
        torch.autograd.grad((ops.knn(a, points, 3)[0] ** 2).sum(), (a, b)) for points in (more, b)
    )
    assert all(map(torch.equal, got, want))


def test_an_output_left_out_of_the_loss_gives_no_gradient(path):
    a, b = pair()
    (one_way,) = torch.autograd.grad(ops.chamfer(a, b).a2b.sum(), b)
    near = ops.chamfer(a, b)
    (both,) = torch.autograd.grad(near.a2b.sum() + 0 * near.b2a.sum(), b)
    assert torch.equal(one_way, both)
    assert not near.idx_ab.requires_grad and not ops.knn(a, b, 1)[1].requires_grad


def test_only_one_cloud_needs_a_gradient(path):
    a, b = pair()
    ops.knn(a.detach(), b, 2)[0].sum().backward()
    assert a.grad is None and b.grad is not None


@needs_build
@pytest.mark.parametrize(
    "op", [lambda a, b: ops.knn(a, b, 2)[0], lambda a, b: ops.chamfer(a, b).a2b]
)
def test_a_second_derivative_is_an_error(built, op):
    a, b = pair()
    (grad,) = torch.autograd.grad((op(a, b) ** 2).sum(), a, create_graph=True)
    with pytest.raises(NotImplementedError, match="no second derivatives"):
        grad.sum().backward()


def test_framework_operations_have_second_derivatives():
    use_native(False)
    a, b = pair(torch.float64)
    assert torch.autograd.gradgradcheck(lambda a, b: ops.knn(a, b, 2)[0], (a, b))


# types, devices, threads, modes


def test_autocast_takes_mixed_halves_to_float32(path):
    a, b = pair()
    half = a.detach().to(torch.bfloat16).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        got = ops.knn(half, b, 2)
    want = ops.knn(half.float(), b, 2)
    assert got[0].dtype == torch.float32 and all(map(torch.equal, got, want))
    got[0].sum().backward()
    assert half.grad.dtype == torch.bfloat16 and b.grad.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(InputError, match="float64"):
        ops.knn(a.double(), b, 2)


def test_clouds_on_two_devices_are_an_error(path):
    a, b = pair()
    with pytest.raises(InputError, match="one device.*meta"):
        ops.knn(a, b.to("meta"), 2)
    with pytest.raises(InputError, match="idx must be on the device of points, cpu, got meta"):
        ops.gather(b, torch.zeros(2, 1, dtype=torch.int64, device="meta"))


def shapes(outputs):
    return [(tuple(out.shape), out.dtype, out.device.type) for out in outputs]


def test_meta_tensors_give_shapes_and_dtypes(path):
    for dtype in (torch.float16, torch.float32, torch.float64):
        a, b = pair(dtype)
        outputs = [
            [
                *ops.knn(a, b, 3),
                *ops.chamfer(a, b),
                ops.farthest_points(b, 4),
                ops.gather(b, ops.knn(a, b, 3)[1]),
                *ops.ball_query(a, b, 0.5, 12),
            ]
            + [
                ops.farthest_points(b, 4, chosen=ops.knn(a, b, 3)[1][:, :, 0]),
                *gradients(total, a, b),
            ]
            for a, b in ((a, b), (a.to("meta"), b.to("meta")))
        ]
        on_cpu, on_meta = map(shapes, outputs)
        assert on_meta == [(*shape_and_dtype, "meta") for *shape_and_dtype, _ in on_cpu]


def test_tensors_stay_where_they_are_whatever_the_default_device(path):
    a, b = pair()
    want = [
        *ops.knn(a, b, 3),
        *ops.chamfer(a, b),
        ops.farthest_points(b, 4),
        *gradients(total, a, b),
    ]
    with torch.device("meta"):
        got = [
            *ops.knn(a, b, 3),
            *ops.chamfer(a, b),
            ops.farthest_points(b, 4),
            *gradients(total, a, b),
        ]
    assert all(map(torch.equal, got, want))


def test_anything_torch_takes_for_a_tensor_will_do(path):
    points = np.eye(3, dtype=np.float32)[None]
    assert ops.farthest_points(points, 2, start=[1]).tolist() == [[1, 0]]
    assert ops.gather(points, [[2]]).tolist() == [[[0, 0, 1]]]


def test_a_non_contiguous_gradient(path):
    a, b = pair()
    weights = cloud(5, 3, 2).permute(2, 0, 1)[:2].transpose(1, 2).repeat(1, 3, 1)  # (2, 6, 3)
    dist2 = ops.knn(a, b, 3)[0]
    strided = weights.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    assert not strided.is_contiguous()
    got = torch.autograd.grad(dist2, a, strided, retain_graph=True)[0]
    assert torch.equal(got, torch.autograd.grad(dist2, a, strided.contiguous())[0])


def test_the_number_of_threads_changes_nothing(path):
    a, b = cloud(0, 3, 400, grad=True), cloud(1, 3, 500, grad=True)
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append([*ops.knn(a, b, 5), *ops.chamfer(a, b), ops.farthest_points(b, 50)])
            results[-1] += gradients(
                lambda a, b: ops.knn(a, b, 5)[0].sum() + ops.chamfer(a, b).b2a.sum(), a, b
            )
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(x, y) for x, y in zip(*results, strict=True))


def test_deterministic_mode_is_satisfied(path):
    a, b = pair()
    want = gradients(total, a, b)
    torch.use_deterministic_algorithms(True)
    try:
        got = gradients(total, a, b)
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(map(torch.equal, got, want))


@needs_build
def test_switching_within_one_process():
    a, b = pair()
    names = []
    for on in (True, False, True):
        use_native(on)
        names.append("samplenet" in type(ops.knn(a, b, 2)[0].grad_fn).__name__)
    assert names == [True, False, True]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_gives_the_numbers_of_the_cpu(path):
    a, b = cloud(0, 4, 300, grad=True), cloud(1, 4, 700, grad=True)
    gpu = [c.detach().cuda().requires_grad_() for c in (a, b)]

    def run(a, b):
        return [*ops.knn(a, b, 9), *ops.chamfer(a, b), ops.farthest_points(b, 60, start=3)]

    for want, got in zip(run(a, b), run(*gpu), strict=True):
        assert torch.equal(want, got.cpu())
    for want, got in zip(gradients(total, a, b), gradients(total, *gpu), strict=True):
        torch.testing.assert_close(want, got.cpu())
    with pytest.raises(InputError, match="one device"):
        ops.knn(a, gpu[1], 2)


# torch.compile


# PyTorch's compiler uses parts of PyTorch that are deprecated
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*")
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
@pytest.mark.parametrize("dynamic", [None, True])
def test_compiled_without_graph_breaks(path, dynamic, backend):
    torch._dynamo.reset()
    compiled = torch.compile(total, fullgraph=True, dynamic=dynamic, backend=backend)
    a, b = pair()
    torch.testing.assert_close(compiled(a, b), total(a, b))
    for got, want in zip(gradients(compiled, a, b), gradients(total, a, b), strict=True):
        torch.testing.assert_close(got, want)
    a, b = (c[:, :5].detach().requires_grad_() for c in (a, b))  # other sizes, another k
    torch.testing.assert_close(compiled(a, b, 2), total(a, b, 2))


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*")
def test_a_compiled_ball_query_has_no_graph_breaks(path):
    torch._dynamo.reset()
    compiled = torch.compile(ops.ball_query, fullgraph=True, dynamic=True, backend="aot_eager")
    for n, radius, k in ((9, 1.5, 3), (4, 0.7, 12)):
        args = cloud(0, 2, 6), cloud(1, 2, n), radius, k
        assert all(map(torch.equal, compiled(*args), ops.ball_query(*args)))


@needs_build
def test_one_graph_serves_clouds_of_any_size(built):
    from torch._dynamo.testing import CompileCounter

    torch._dynamo.reset()
    graphs = CompileCounter()
    compiled = torch.compile(total, fullgraph=True, dynamic=True, backend=graphs)
    for m, n in ((4, 9), (5, 12), (30, 7)):
        compiled(cloud(0, 2, m), cloud(1, 2, n))
    assert graphs.frame_count == 1


@needs_build
def test_a_compiled_function_follows_the_switch():
    torch._dynamo.reset()
    compiled = torch.compile(
        lambda p: ops.farthest_points(p, 3), fullgraph=True, backend="aot_eager"
    )
    for on in (True, False, True):
        use_native(on)
        assert compiled(cloud(0, 1, 9)).shape == (1, 3)


@pytest.mark.parametrize(
    "call",
    [
        lambda p: ops.farthest_points(p, 2, chosen=torch.full((2, 1), 9)),
        lambda p: ops.gather(p, torch.full((2, 1), 9)),
        lambda p: ops.knn(p / 0, p, 1),
    ],
    ids=["chosen", "idx", "not finite"],
)
def test_compiled_code_stops_at_bad_values(path, call):
    torch._dynamo.reset()
    with pytest.raises(RuntimeError):
        torch.compile(call, fullgraph=True, backend="aot_eager")(cloud(0, 2, 9))


# the operators themselves


@needs_build
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_operators_keep_the_rules_of_the_dispatcher(built, dtype):
    a, b = pair(dtype)
    _, idx = ops.knn(a, b, 2)
    near = ops.chamfer(a, b)
    a0, b0 = a.detach(), b.detach()
    samplenet = torch.ops.samplenet
    for operator, args in (
        (samplenet.knn, (a, b, 2)),
        (samplenet.knn_backward, (torch.ones(2, 6, 2, dtype=dtype), a0, b0, idx)),
        (samplenet.chamfer, (a, b)),
        (
            samplenet.chamfer_backward,
            (near.a2b.detach(), near.b2a.detach(), a0, b0, near.idx_ab, near.idx_ba),
        ),
        (samplenet.farthest_points, (b0, idx[:, :, 0], 4)),
        (samplenet.ball_query, (a, b, 1.5, 4)),
        (torch.ops.samplenet_framework.farthest_points, (b0, idx[:, :, 0], 4)),
    ):
        torch.library.opcheck(operator.default, args)


P, D = torch.zeros(2, 5, 3), torch.zeros(2, 5)
IDX = torch.zeros(2, 5, 2, dtype=torch.int64)
DIRECT_CALLS = {
    "rank": (lambda o: o.knn(P[0], P, 1), "queries must have shape"),
    "columns": (lambda o: o.knn(P, P[..., :2], 1), "points must have shape"),
    "batch": (lambda o: o.knn(P, P[:1], 1), "points must have shape"),
    "types": (lambda o: o.knn(P, P.double(), 1), "points must be Float"),
    "half": (lambda o: o.knn(P.half(), P.half(), 1), "float32 or float64"),
    "k": (lambda o: o.knn(P, P, 6), "k must be in"),
    "k zero": (lambda o: o.knn(P, P, 0), "k must be in"),
    "no points": (lambda o: o.knn(P, P[:, :0], 1), "k must be in"),
    "ball points": (lambda o: o.ball_query(P, P[:1], 1.0, 1), "points must have shape"),
    "ball empty": (lambda o: o.ball_query(P, P[:, :0], 1.0, 1), "points is empty"),
    "ball k": (lambda o: o.ball_query(P, P, 1.0, 0), "k must be at least 1"),
    "radius": (lambda o: o.ball_query(P, P, -1.0, 1), "radius must be"),
    "chamfer batch": (lambda o: o.chamfer(P, P[:1]), "b must have shape"),
    "chamfer empty": (lambda o: o.chamfer(P[:, :0], P), "a is empty"),
    "grad shape": (lambda o: o.knn_backward(D, P, P, IDX), "grad must have shape"),
    "grad type": (lambda o: o.knn_backward(IDX.double(), P, P, IDX), "grad must be Float"),
    "idx shape": (lambda o: o.knn_backward(IDX.float(), P, P, IDX[:, :4]), "idx must have shape"),
    "idx type": (lambda o: o.knn_backward(IDX.float(), P, P, IDX.int()), "idx must be Long"),
    "idx above": (lambda o: o.knn_backward(IDX.float(), P, P, IDX + 5), "idx must be in"),
    "idx below": (lambda o: o.knn_backward(IDX.float(), P, P, IDX - 1), "idx must be in"),
    "idx_ba": (
        lambda o: o.chamfer_backward(D, D, P, P, IDX[..., 0], IDX[..., 0] + 5),
        "idx_ba must be in",
    ),
    "grad_b2a": (
        lambda o: o.chamfer_backward(D, D[:, :4], P, P, IDX[..., 0], IDX[..., 0]),
        "grad_b2a must have",
    ),
    "m": (lambda o: o.farthest_points(P, IDX[..., 0], 6), "m must be in"),
    "chosen": (lambda o: o.farthest_points(P, IDX[..., 0] + 5, 2), "chosen must be in"),
    "chosen none": (lambda o: o.farthest_points(P, IDX[:, :0, 0], 2), "chosen must hold"),
    "chosen batch": (lambda o: o.farthest_points(P, IDX[:1, :, 0], 2), "chosen must have shape"),
}


@needs_build
@pytest.mark.parametrize("case", DIRECT_CALLS)
def test_a_wrong_direct_call_is_an_error(built, case):
    ops.knn(P, P, 1)  # loads the operators
    call, words = DIRECT_CALLS[case]
    with pytest.raises(RuntimeError, match=words):
        call(torch.ops.samplenet)


# loading, in a process of its own


SCRIPT = """
import warnings
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    import torch
    from samplenet.ops import torch as ops
    assert not said, said
    for _ in range(3):
        print(ops.knn(torch.zeros(1, 2, 3), torch.zeros(1, 4, 3), 2)[1].tolist())
print(*(w.message for w in said), sep="\\n")
"""


def run_script(folder, **environment):
    keep = {name: value for name, value in os.environ.items() if not name.startswith("SAMPLENET")}
    environment = {
        **keep,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "SAMPLENET_NATIVE_DIR": str(folder),
        **environment,
    }
    return subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=120
    )


def test_without_a_build_the_first_use_says_once_why(tmp_path):
    done = run_script(tmp_path)
    assert done.stdout.count("[[[0, 1], [0, 1]]]") == 3, done.stderr
    assert done.stdout.count(TOO_OLD or "python -m samplenet.ops.build --torch") == 1


def test_native_ops_switched_off_are_not_missed(tmp_path):
    done = run_script(tmp_path, SAMPLENET_NATIVE="0")
    assert done.stdout.count("[[[0, 1], [0, 1]]]") == 3, done.stderr
    assert "build" not in done.stdout


@needs_stable_interface
def test_a_library_that_does_not_load_says_why(tmp_path):
    folder = tmp_path / native.folder("torch", torch.__version__).name
    folder.mkdir()
    (folder / "broken.so").write_bytes(b"not a library" * 100)
    build = {"library": "broken.so", "sources": native.source_hash(), "machine": platform.machine()}
    (folder / "build.json").write_text(json.dumps(build))
    done = run_script(tmp_path)
    assert done.returncode != 0
    for words in (
        "ImportError",
        "broken.so",
        "invalid ELF header",
        "python -m samplenet.ops.build --torch --force",
    ):
        assert words in done.stderr
