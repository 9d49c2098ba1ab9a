"""PointNet++'s layers against a plain computation, point by point."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from samplenet import InputError
from samplenet.ops import reference


@pytest.fixture
def module(scripts):
    torch.manual_seed(0)
    return scripts.set_abstraction


def cloud(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def settle(net):
    """Give the norms of a network scales of both signs and statistics that are not the first."""
    for norm in net.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for values in (norm.weight, norm.bias, norm.running_mean):
                nn.init.normal_(values)
            nn.init.uniform_(norm.running_var, 0.5, 2)
    return net.double()


def plain_mlp(layers, features):
    """Linear layer, batch norm, ReLU on rows (R, C), from the formulas."""
    for layer in layers:
        norm, product = layer.norm, features @ layer.linear.weight.t() + layer.linear.bias
        mean, variance = norm.running_mean, norm.running_var
        if norm.training:
            mean, variance = product.mean(0), product.var(0, unbiased=False)
        features = F.relu((product - mean) / (variance + norm.eps).sqrt() * norm.weight + norm.bias)
    return features


def plain_set_abstraction(layer, points, features):
    (m, radius, k, _), groups = layer.level, []
    chosen = reference.farthest_points(points.detach().numpy(), m)
    for b, picks in enumerate(chosen):
        for pick in picks:
            offsets = (points[b] - points[b, pick]) / radius
            inside = np.flatnonzero((offsets.detach() ** 2).sum(1) < 1)[:k]
            inside = np.concatenate([inside, np.repeat(inside[0], k - len(inside))])
            parts = [offsets] if features is None else [offsets, features[b]]
            groups.append(torch.cat(parts, 1)[inside])
    rows = plain_mlp([*layer.hidden, layer.widest], torch.cat(groups))
    return rows.view(len(points), m, k, -1).amax(2), chosen


def plain_propagation(layer, points, features, centres, centre_features):
    rows = []
    for b, p in np.ndindex(points.shape[:2]):
        distance = (centres[b] - points[b, p]).detach().norm(dim=1)
        near = distance.argsort()[:3]
        weight = 1 / (distance[near] + 1e-8)
        mean = (weight[:, None] * centre_features[b, near]).sum(0) / weight.sum()
        rows.append(torch.cat([mean, features[b, p]]))
    return plain_mlp(layer.layers, torch.stack(rows)).view(*points.shape[:2], -1)


def both(net, plain, inputs):
    """Require equal outputs and gradients by all inputs and weights."""
    inputs = [None if x is None else x.clone().requires_grad_() for x in inputs]
    wanted = [x for x in inputs if x is not None] + list(net.parameters())
    results = []
    for function in (plain, net):
        out = function(*inputs)
        loss = (out * cloud(*out.shape)).sum()
        results.append([out, *torch.autograd.grad(loss, wanted, allow_unused=True)])
    for want, got in zip(*results, strict=True):
        if want is None:  # points enter feature propagation by their distances alone
            assert got is None
        else:
            torch.testing.assert_close(got, want, atol=1e-9, rtol=1e-7)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("k, inputs", [(5, 0), (5, 2), (40, 3)])
def test_set_abstraction_is_the_plain_computation(module, training, k, inputs):
    layer = module.SetAbstraction(module.Level(7, 1.1, k, (6, 5, 9)), inputs)
    settle(layer).train(training)
    points, features = cloud(3, 23, 3), cloud(3, 23, inputs) if inputs else None

    class Net(nn.Module):
        def forward(self, *arrays):
            return layer(*arrays).features

        parameters = layer.parameters

    both(Net(), lambda *arrays: plain_set_abstraction(layer, *arrays)[0], (points, features))
    found = layer(points, features)
    chosen = plain_set_abstraction(layer, points, features)[1]
    np.testing.assert_array_equal(found.idx, chosen)
    np.testing.assert_array_equal(found.points, np.take_along_axis(points, chosen[..., None], 1))


def test_centres_may_be_given(module):
    layer = settle(module.SetAbstraction(module.Level(7, 1.1, 5, (4,)), 0)).eval()
    points = cloud(2, 23, 3)
    every = layer(points, None, torch.arange(23).expand(2, -1))
    some = layer(points, None)
    assert every.features.shape == (2, 23, 4)
    torch.testing.assert_close(
        every.features.gather(1, some.idx[..., None].expand(-1, -1, 4)), some.features
    )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("m", [2, 9])
def test_feature_propagation_is_the_plain_computation(module, training, m):
    layer = settle(module.FeaturePropagation(4, 2, (5, 6))).train(training)
    points, features, known = cloud(2, 13, 3), cloud(2, 13, 2), cloud(2, m, 4)
    centres = points[:, 1 : 1 + m] + 0.1 * cloud(2, m, 3)
    centres[:, 0] = points[:, 0]  # at no distance
    both(layer, lambda *a: plain_propagation(layer, *a), (points, features, centres, known))


def small(module, inputs, k=8):
    levels = [module.Level(m, r, k, (6, 5 + m)) for m, r in ((20, 0.9), (12, 1.4), (5, 2.0))]
    return module.PointNet2(inputs, levels, ups=2, width=10)


def test_seeds_are_points_of_the_cloud_described_by_all_levels(module):
    net, points = settle(small(module, 2)), cloud(2, 40, 3)
    features = cloud(2, 40, 2).requires_grad_()
    seeds = net(points, features)
    assert seeds.points.shape == (2, 20, 3) and seeds.features.shape == (2, 20, 10)
    picked = points.gather(1, seeds.idx[..., None].expand(-1, -1, 3))
    assert torch.equal(seeds.points, picked)
    assert torch.equal(seeds.idx, torch.from_numpy(reference.farthest_points(points, 20)).long())
    seeds.features.square().sum().backward()
    assert features.grad.abs().sum() > 0
    assert all(p.grad is not None for p in net.parameters())


def test_the_backbone_is_its_layers_in_a_row(module):
    net, points = settle(small(module, 0)).eval(), cloud(2, 40, 3)
    first = net.down[0](points, None)
    second = net.down[1](first.points, first.features)
    third = net.down[2](second.points, second.features)
    middle = plain_propagation(net.up[0], *second[:2], *third[:2])
    want = plain_propagation(net.up[1], *first[:2], second.points, middle)
    torch.testing.assert_close(net(points).features, want)
    down_only = module.PointNet2(0, [layer.level for layer in net.down], ups=0)
    assert down_only(points.float()).features.shape == (2, 5, 10)


def test_the_order_of_the_other_points_does_not_matter_where_balls_are_whole(module):
    net, points = settle(small(module, 0, k=40)).eval(), cloud(1, 40, 3)
    order = torch.cat([torch.tensor([0]), 1 + torch.randperm(39)])  # farthest points start at 0
    seeds, shuffled = net(points), net(points[:, order])
    torch.testing.assert_close(shuffled.features, seeds.features)
    assert torch.equal(order[shuffled.idx], seeds.idx)


def test_the_published_backbone_has_1024_seeds_of_256_features(module):
    net = module.PointNet2(1).eval()
    with torch.no_grad():
        seeds = net(torch.rand(1, 2100, 3), torch.rand(1, 2100, 1))
    assert seeds.features.shape == (1, 1024, 256) and seeds.idx.shape == (1, 1024)
    widths = [(4, 64), (64, 64), (64, 128), (131, 128), (128, 128), (128, 256)]
    widths += 2 * [(259, 128), (128, 128), (128, 256)] + 2 * [(512, 256), (256, 256)]
    parameters = sum(p.numel() for p in net.parameters())
    assert parameters == sum(inputs * outputs + 3 * outputs for inputs, outputs in widths)


def test_no_clouds_have_no_seeds(module):
    seeds = small(module, 0).eval()(torch.zeros(0, 40, 3))
    assert seeds.points.shape == (0, 20, 3) and seeds.features.shape == (0, 20, 10)


@pytest.mark.parametrize("inputs, given", [(1, 0), (1, 2), (0, 1)])
def test_features_of_another_number_are_refused(module, inputs, given):
    features = torch.zeros(1, 40, given) if given else None
    with pytest.raises(InputError, match=rf"must be \(B, N, {inputs}\), got {given} of each"):
        small(module, inputs)(torch.zeros(1, 40, 3), features)


def test_more_ways_up_than_down_are_refused(module):
    with pytest.raises(InputError, match=r"ups must be in \[0, 4\).*got 4"):
        module.PointNet2(0, ups=4)


def test_too_few_points_for_the_centres_are_refused(module):
    with pytest.raises(InputError, match=r"m must be in \[1, N\] = \[1, 9\], got 20"):
        small(module, 0)(torch.zeros(1, 9, 3))
