"""Twin of tests/tf/test_sampler.py, plus compilation, autocast, devices and deep copies."""

import copy
import dataclasses

import numpy as np
import pytest

from samplenet import InputError, Prefix, random_indices
from samplenet.ops import check_inputs, reference

torch = pytest.importorskip("torch")
from samplenet.torch import (  # noqa: E402
    FarthestPointSampler,
    RandomSampler,
    SampleNet,
    SoftProjection,
    projection_loss,
    set_momentum,
    simplification_loss,
)

ARRAY = np.random.default_rng(0).normal(size=(4, 50, 3)).astype(np.float32)
CLOUD = torch.from_numpy(ARRAY)
SMALL = {"conv_widths": (8, 8), "fc_widths": (16,), "k": 4}


def small(m=6, seed=0, **changes):
    torch.manual_seed(seed)
    return SampleNet(m, **{**SMALL, **changes})


# projection


def test_projection_of_the_released_worked_example():
    points = torch.tensor(
        [[1, 0, 0], [0, 1, 0], [0, 0, 1], [5, 4, 4], [4, 5, 4], [4, 4, 5], [8, 7, 7.0]]
    )
    out = SoftProjection(k=3)(points[None], torch.zeros(1, 1, 3))
    torch.testing.assert_close(out, torch.full((1, 1, 3), 1 / 3))


def test_projection_weights_are_the_softmax_of_distance_over_sigma():
    points, query = torch.tensor([[[0, 0, 0], [1.0, 0, 0]]]), torch.tensor([[[0.25, 0, 0]]])
    out = SoftProjection(k=2, temperature=0.5)(points, query)
    near, far = np.exp(-(0.25**2) / 0.25), np.exp(-(0.75**2) / 0.25)
    assert out[0, 0, 0].item() == pytest.approx(far / (near + far), rel=1e-6)


def test_features_are_propagated_by_the_weights_that_project_the_points():
    layer, queries, linear = (
        SoftProjection(k=4),
        CLOUD[:, :6] + 0.1,
        torch.tensor([[1.0, 0], [0, 2], [3, -1]]),
    )
    features = CLOUD @ linear  # what is linear in the points stays so
    torch.testing.assert_close(
        layer.propagate(CLOUD, features, queries), layer(CLOUD, queries) @ linear
    )


def test_a_cold_projection_is_the_nearest_point():
    out = SoftProjection(k=5, temperature=1e-2)(CLOUD, CLOUD[:, :7] + 1e-3)
    torch.testing.assert_close(out, CLOUD[:, :7], atol=1e-4, rtol=0)


def test_min_sigma_bounds_sigma():
    assert SoftProjection(k=2, temperature=1e-3, min_sigma=0.04).sigma.item() == pytest.approx(0.04)


def test_temperature_and_queries_get_gradients():
    layer, queries = SoftProjection(k=4), (CLOUD[:, :3] + 0.1).requires_grad_()
    gradients = torch.autograd.grad(
        (layer(CLOUD, queries) ** 2).sum(), [queries, layer._temperature]
    )
    assert all(g.abs().max().item() > 0 for g in gradients)
    assert not SoftProjection(trainable_temperature=False)._temperature.requires_grad


def test_projection_gradient_against_finite_differences():
    layer = SoftProjection(k=3, temperature=0.8).double()
    points, queries = (
        CLOUD[:2, :6].double().requires_grad_(),
        CLOUD[:2, 6:9].double().requires_grad_(),
    )
    assert torch.autograd.gradcheck(layer, (points, queries))


# losses


def test_simplification_loss_by_eye():
    queries, points = (
        torch.tensor([[[0, 0, 0], [3.0, 0, 0]]]),
        torch.tensor([[[0, 0, 0], [1.0, 0, 0]]]),
    )
    # L_a(Q,P) = (0 + 4) / 2, L_m(Q,P) = 4, L_a(P,Q) = (0 + 1) / 2
    assert simplification_loss(queries, points).item() == pytest.approx(2 + 4 + 0.5)
    assert simplification_loss(
        queries, points, beta=0, gamma=0.25, delta=0.5
    ).item() == pytest.approx(2 + 1.25 * 0.5)


def test_maximum_is_taken_for_each_cloud_and_averaged():
    queries = torch.tensor([[[2.0, 0, 0]], [[0, 0, 0]]])
    assert simplification_loss(queries, torch.zeros(2, 1, 3), gamma=0).item() == pytest.approx(
        2 + 2
    )


def test_projection_loss_is_sigma_and_nothing_for_snet():
    assert projection_loss(small()).item() == 1
    for sampler in (small(projection=False), RandomSampler(3), FarthestPointSampler(3)):
        assert projection_loss(sampler).item() == 0
    assert projection_loss(
        small(projection=False).to("meta")
    ).is_meta  # on the device of the sampler


# SampleNet


def test_layer_sizes_are_the_published_ones():
    sampler = SampleNet(32)
    assert sum(p.numel() for p in sampler.parameters()) == pytest.approx(225_000, rel=0.01)
    shapes = {name: tuple(p.shape) for name, p in sampler.named_parameters()}
    assert shapes["conv5.weight"] == (128, 128, 1)
    assert shapes["fc4.weight"] == (96, 256)
    assert shapes["bn_fc4.weight"] == (96,)
    assert shapes["project._temperature"] == ()


def test_training_projects_and_inference_matches():
    sampler = small()
    trained = sampler(CLOUD)
    assert trained.idx is None
    torch.testing.assert_close(trained.points, sampler.project(CLOUD, trained.queries))
    with torch.no_grad():
        out = sampler.eval()(CLOUD)
    _, nearest = reference.knn(out.queries.numpy(), ARRAY, 1)
    want = reference.farthest_points(ARRAY, 6, chosen=nearest[..., 0])
    np.testing.assert_array_equal(out.idx, want)
    np.testing.assert_array_equal(out.points, reference.gather(ARRAY, want))


@torch.no_grad()
def test_an_order_holds_every_sample_as_its_first_points():
    sampler = small(6).eval()
    ordered, queries = sampler.order(CLOUD), sampler(CLOUD).queries
    idx = np.asarray(ordered.idx)
    assert (np.sort(idx) == np.arange(50)).all()  # the whole cloud, every point once
    np.testing.assert_array_equal(
        ordered.points, np.take_along_axis(np.asarray(CLOUD), idx[..., None], 1)
    )
    for size in (1, 3, 6, 20):
        np.testing.assert_array_equal(idx[:, :size], sampler.match(CLOUD, queries, size))
        one = Prefix(sampler, size)(CLOUD)
        np.testing.assert_array_equal(one.idx, idx[:, :size])
        np.testing.assert_array_equal(one.points, ordered.points[:, :size])
        if size <= 6:
            np.testing.assert_array_equal(one.queries, queries[:, :size])
        else:  # no simplified points beyond the m of the network
            assert one.queries is None
    with pytest.raises(InputError, match=r"SampleNet: points must have shape \(B, N, 3\)"):
        sampler.order(CLOUD[0])
    with pytest.raises(
        InputError, match=r"points must be a torch tensor, got ndarray; torch\.as_tensor"
    ):
        sampler(np.asarray(CLOUD))
    with pytest.raises(InputError, match=r"order is for inference; call eval\(\) first"):
        sampler.train().order(CLOUD)


def test_snet_hands_the_queries_to_the_task():
    out = small(projection=False)(CLOUD)
    assert torch.equal(out.points, out.queries)


def test_output_orders_differ_by_a_transpose():
    first, second = small(5).eval(), small(5, output_order="3m").eval()
    second.load_state_dict(first.state_dict())
    a, b = first.simplify(CLOUD), second.simplify(CLOUD)
    assert torch.equal(a.reshape(4, 3, 5).transpose(1, 2), b)


@pytest.mark.parametrize("n", [50, 1])
def test_the_whole_cloud_may_be_sampled(n):
    out = small(n).eval()(CLOUD[:, :n])
    assert [sorted(row) for row in out.idx.tolist()] == [list(range(n))] * 4


def test_a_cloud_of_one_point_projects_to_it():
    out = small(1, k=1)(CLOUD[:, :1])
    torch.testing.assert_close(out.points, CLOUD[:, :1])


def test_an_empty_batch_gives_an_empty_sample():
    assert small().eval()(CLOUD[:0]).points.shape == (0, 6, 3)


def test_a_frozen_task_network_stays_as_it_is():
    task = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.Flatten(), torch.nn.BatchNorm1d(24)
    ).eval()
    task.requires_grad_(False)
    sampler, before = small(), copy.deepcopy(task.state_dict())
    optimizer = torch.optim.Adam(sampler.parameters(), 0.1)
    for _ in range(2):
        optimizer.zero_grad()
        (task(sampler(CLOUD).points) ** 2).sum().backward()
        assert all(p.grad is not None for p in sampler.parameters())
        optimizer.step()
    assert all(torch.equal(before[name], value) for name, value in task.state_dict().items())


def test_a_few_steps_lower_the_loss():
    sampler, losses = small(), []
    optimizer = torch.optim.Adam(sampler.parameters(), 0.02)
    for _ in range(40):
        loss = simplification_loss(sampler(CLOUD).queries, CLOUD)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


NAN = torch.where(torch.arange(50)[:, None] == 3, torch.nan, CLOUD)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: SampleNet(0), "m must be.* got 0"),
        (
            lambda: SampleNet(2)(CLOUD.transpose(1, 2)),
            r"^SampleNet: points must have shape .*got \(4, 3, 50\)$",
        ),
        (lambda: SampleNet(2)(CLOUD[0]), r"^SampleNet: points must have shape .*got \(50, 3\)$"),
        (
            lambda: small(51)(CLOUD),
            "^SampleNet: m must be at most N, got m = 51 for clouds of N = 50 points$",
        ),
        (lambda: small(4, k=51)(CLOUD), r"k must be in \[1, N\] = \[1, 50\], got 51"),
        (lambda: SampleNet(4, output_order="xyz"), "xyz"),
        (lambda: SoftProjection(k=0), "k must be.* got 0"),
        (lambda: SoftProjection(min_sigma=-1.0), "min_sigma.* got -1"),
        (lambda: RandomSampler(51)(CLOUD), "got 51"),
        (lambda: FarthestPointSampler(51)(CLOUD), "got 51"),
        (lambda: small()(NAN), "holds NaN"),
        (lambda: small().eval()(NAN), "holds NaN"),
    ],
)
def test_errors_name_the_value(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_inference_refuses_points_that_are_not_finite_and_training_does_not_look():
    check_inputs(False)
    for sampler in (
        small().eval(),
        Prefix(small().eval(), 3),
        RandomSampler(6),
        FarthestPointSampler(6),
    ):
        for value in (torch.nan, torch.inf):
            with pytest.raises(
                InputError, match="^[A-Za-z]+: points holds NaN or infinite coordinates"
            ):
                sampler(torch.where(NAN.isnan(), value, NAN))
    assert small()(NAN).idx is None


# batch norm


def test_set_momentum_is_the_share_that_is_kept():
    sampler = small()
    before = sampler.bn1.running_mean.clone()
    set_momentum(sampler, 1.0)
    sampler(CLOUD)
    assert torch.equal(sampler.bn1.running_mean, before)
    set_momentum(sampler, 0.75)
    sampler(CLOUD)
    batch_mean = sampler.conv1(CLOUD.transpose(1, 2)).mean((0, 2))
    torch.testing.assert_close(sampler.bn1.running_mean, 0.25 * batch_mean)
    torch.testing.assert_close(SampleNet(3, bn_momentum=0.9).bn1.momentum, 0.1)


# state, precision, compilation


@pytest.mark.parametrize(
    "changes", [{}, {"projection": False}, {"fc_batch_norm": False, "output_batch_norm": False}]
)
def test_state_and_config_round_trip(changes):
    sampler = small(**changes)
    sampler(CLOUD)
    fresh = SampleNet(**dataclasses.asdict(sampler.settings))
    fresh.load_state_dict(sampler.state_dict())
    for other in (fresh, copy.deepcopy(sampler)):
        assert torch.equal(other.eval()(CLOUD).points, sampler.eval()(CLOUD).points)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("half_input", [False, True])
def test_autocast_trains_and_keeps_coordinates_in_float32(dtype, half_input):
    sampler, points = small(), CLOUD.to(dtype) if half_input else CLOUD
    with torch.autocast("cpu", dtype):
        out = sampler(points)
        loss = (
            (out.points**2).sum()
            + simplification_loss(out.queries, points)
            + projection_loss(sampler)
        )
    loss.backward()
    assert out.points.dtype == out.queries.dtype == torch.float32
    assert not torch.equal(
        out.queries, out.queries.to(dtype).float()
    )  # the last layer was not rounded to dtype
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in sampler.parameters())
    with torch.autocast("cpu", dtype), torch.no_grad():
        matched = sampler.eval()(points)
    assert torch.equal(
        matched.points, torch.gather(points.float(), 1, matched.idx[..., None].expand(-1, -1, 3))
    )


def test_on_the_meta_device_a_sampler_gives_shapes_and_dtypes(served):
    with torch.device("meta"):
        sampler, points = small(), torch.zeros(2, 50, 3)
        out = sampler(points)
        (
            out.points.sum() + simplification_loss(out.queries, points) + projection_loss(sampler)
        ).backward()
        assert all(p.grad.shape == p.shape and p.grad.is_meta for p in sampler.parameters())
        matched, order = sampler.eval()(points), sampler.order(points)
    assert out.points.is_meta and out.points.shape == out.queries.shape == matched.points.shape == (
        2,
        6,
        3,
    )
    assert (matched.idx.shape, matched.idx.dtype, order.idx.shape) == ((2, 6), torch.int64, (2, 50))
    for untrained in (RandomSampler(4), FarthestPointSampler(4)):
        assert untrained(points).points.shape == (2, 4, 3)


def test_a_sampler_on_the_cpu_stays_there_when_meta_is_the_default_device(served):
    sampler = small().eval()
    want = sampler(CLOUD)
    with torch.device("meta"):
        got = sampler(CLOUD)
    assert torch.equal(got.points, want.points)


def test_copies_of_a_point_do_not_change_what_a_sampler_picks(served):
    sampler, copies = small().eval(), CLOUD[:, :1].expand(-1, 14, -1)
    assert torch.equal(sampler(torch.cat([CLOUD, copies], 1)).idx, sampler(CLOUD).idx)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_module_may_have_another_precision(dtype):
    sampler = small().to(dtype)
    out = sampler(CLOUD.to(dtype))
    assert out.points.dtype == torch.promote_types(dtype, torch.float32)
    assert len(set(sampler.eval()(CLOUD).idx[0].tolist())) == 6


@pytest.mark.parametrize("changes", [{}, {"projection": False}])
def test_compiled_without_graph_breaks_it_gives_the_same(changes):
    torch._dynamo.reset()
    sampler = small(**changes)
    twin = copy.deepcopy(sampler)

    def step(model, points):
        out = model(points)
        return (
            (out.points**2).sum()
            + simplification_loss(out.queries, points)
            + projection_loss(model)
        )

    compiled = torch.compile(lambda p: step(sampler, p), fullgraph=True, backend="aot_eager")
    for points in (CLOUD, CLOUD[:, :30]):
        eager = step(twin, points)
        torch.testing.assert_close(compiled(points), eager)
    compiled(CLOUD).backward(), step(twin, CLOUD).backward()
    for p, q in zip(sampler.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad)
    matched = torch.compile(lambda p: sampler(p), fullgraph=True, backend="aot_eager")
    sampler.eval(), twin.eval()
    twin.load_state_dict(sampler.state_dict())
    assert torch.equal(matched(CLOUD).idx, twin(CLOUD).idx)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_numbers_of_the_cpu():
    host, sampler = small(), small().cuda()
    a, b = host(CLOUD), sampler(CLOUD.cuda())
    torch.testing.assert_close(b.points.cpu(), a.points, atol=1e-4, rtol=0)
    sampler.load_state_dict(host.state_dict())
    assert torch.equal(sampler.eval()(CLOUD.cuda()).idx.cpu(), host.eval()(CLOUD).idx)


# baselines


def test_random_draws_depend_on_seed_and_cloud_only():
    numbers = np.arange(10, 14)
    whole = RandomSampler(5, seed=3)(CLOUD, torch.from_numpy(numbers)).idx.numpy()
    alone = RandomSampler(5, seed=3)(CLOUD[2:3], np.array([12])).idx.numpy()
    np.testing.assert_array_equal(whole[2:3], alone)
    assert not np.array_equal(whole, RandomSampler(5, seed=4)(CLOUD, numbers).idx.numpy())
    np.testing.assert_array_equal(random_indices(50, 3, 3, numbers), whole[:, :3])


def test_samplers_return_input_points():
    for sampler in (RandomSampler(5), FarthestPointSampler(5)):
        out = sampler(CLOUD)
        np.testing.assert_array_equal(out.points, reference.gather(ARRAY, out.idx.numpy()))
        assert out.queries is None
        assert all(len(set(row)) == 5 for row in out.idx.tolist())
