"""The networks of pre-training: sizes, and what they compute against plain layers."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from samplenet import InputError
from samplenet.ops import torch as ops


def parameters(*nets):
    return sum(p.numel() for net in nets for p in net.parameters())


def test_parameter_counts_are_the_published_ones(scripts):
    heads = scripts.heads.PointHead(1024, 128), scripts.heads.GlobalHead(1024, 128)
    assert parameters(scripts.backbones.PointNet(), *heads) == pytest.approx(3.99e6, abs=5e3)
    assert parameters(scripts.backbones.DGCNN(), *heads) == pytest.approx(1.80e6, abs=5e3)
    images = scripts.resnet.ImageNetwork(), scripts.resnet.PixelHead(2048, 128)
    assert parameters(*images) == pytest.approx(26.45e6, abs=5e3)


def test_a_published_resnet_maps_32_pixels_to_2048x4x4(scripts):
    with torch.device("meta"):
        assert scripts.resnet.ResNet()(torch.empty(2, 3, 32, 32)).shape == (2, 2048, 4, 4)
        assert scripts.resnet.ResNet(10, 16)(torch.empty(2, 3, 32, 32)).shape == (2, 128, 4, 4)


def test_an_unknown_depth_is_refused(scripts):
    with pytest.raises(InputError, match="10, 18, 34, 50, 101, got 20"):
        scripts.resnet.ResNet(20)


def test_graphs_are_the_recorded_ones(scripts, selfsup):
    points = torch.from_numpy(selfsup["pts"][:2])
    for found in (
        scripts.point_layers.feature_neighbours(points, 20),
        scripts.point_layers.feature_neighbours(
            F.pad(points, (0, 1)), 20
        ),  # by products, as of any features
    ):
        np.testing.assert_array_equal(found.sort().values, np.sort(selfsup["knn20_xyz"]))


def plain_edge_layer(layer, features, idx):
    """The layer as it is published: pairs, 1x1 convolution, batch norm, leaky ReLU, maximum."""
    near = ops.gather(features, idx)
    own = features[:, :, None].expand_as(near)
    pairs = torch.cat([near - own, own], -1)  # (B, N, k, 2C)
    product = F.linear(pairs, layer.linear.weight).permute(0, 3, 1, 2)
    return F.leaky_relu(layer.norm(product), 0.2).amax(3).mT


def test_an_edge_layer_pools_the_recorded_graph_features(scripts, selfsup):
    layer = scripts.point_layers.EdgeLayer(3, 16, k=4).eval()
    edges = torch.from_numpy(selfsup["edge_feat_k4"])  # (2, 6, 8, 4): of the first 8 points
    product = torch.einsum("fc,bcnk->bfnk", layer.linear.weight, edges)
    expected = F.leaky_relu(layer.norm(product), 0.2).amax(3).mT
    points = torch.from_numpy(selfsup["pts"][:2])
    torch.testing.assert_close(layer(points)[:, :8], expected, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("way", ["bags", "gather"])
def test_an_edge_layer_is_the_published_one(scripts, training, way, monkeypatch):
    torch.manual_seed(0)
    features = torch.randn(3, 20, 5, dtype=torch.float64, requires_grad=True)
    layer = scripts.point_layers.EdgeLayer(5, 7, k=4).double().train(training)
    nn.init.normal_(layer.norm.weight)  # of both signs
    nn.init.normal_(layer.norm.bias)
    layer.norm.running_mean.normal_()
    start = {name: value.clone() for name, value in layer.norm.state_dict().items()}
    idx = scripts.point_layers.feature_neighbours(features, 4)
    results = []
    for net in (layer, lambda x: plain_edge_layer(layer, x, idx)):
        layer.norm.load_state_dict(start)
        if way == "gather" and net is layer:  # a GPU's way
            monkeypatch.setattr(scripts.point_layers, "pools_in_bags", lambda values: False)
        for tensor in (features, *layer.parameters()):
            tensor.grad = None
        out = net(features)
        (out * torch.linspace(0, 1, 7, dtype=out.dtype)).sum().backward()
        grads = [tensor.grad.clone() for tensor in (features, *layer.parameters())]
        results.append([out.detach(), *grads, *(v.clone() for v in layer.norm.buffers())])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, check_dtype=False)


@pytest.mark.parametrize("name", ["pointnet", "dgcnn"])
@pytest.mark.parametrize("training", [True, False])
def test_the_pooled_vector_alone_is_that_of_all_features(scripts, name, training):
    torch.manual_seed(0)
    trunk = scripts.backbones.BACKBONES[name]()
    points = torch.randn(2, 40, 3)
    trunk(points)  # the running statistics are no longer the first ones
    trunk.train(training)
    described = trunk(points)
    assert described.points.shape == (2, 40, 1024)
    torch.testing.assert_close(described.points.amax(1), described.cloud)
    torch.testing.assert_close(trunk.pool(points), described.cloud, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["pointnet", "dgcnn"])
def test_the_order_of_the_points_does_not_matter(scripts, name):
    torch.manual_seed(0)
    trunk, points = scripts.backbones.BACKBONES[name]().eval(), torch.randn(2, 40, 3)
    order = torch.randperm(40)
    described, shuffled = trunk(points), trunk(points[:, order])
    torch.testing.assert_close(shuffled.cloud, described.cloud, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(shuffled.points, described.points[:, order], rtol=1e-4, atol=1e-5)


def test_t_nets_begin_as_the_identity(scripts):
    trunk, points = scripts.backbones.PointNet(), torch.randn(2, 40, 3)
    torch.testing.assert_close(trunk(points).transform, torch.eye(64).expand(2, 64, 64))
    assert scripts.backbones.PointNet(transforms=False)(points).transform is None


def test_pixels_are_those_of_the_enlarged_map(scripts):
    torch.manual_seed(0)
    head, maps = scripts.resnet.PixelHead(6, 5), torch.randn(2, 3, 6, 4, 4)
    view, row, column = (torch.randint(high, (2, 50)) for high in (3, 32, 32))
    view[0, 0], row[0, :2], column[0, :2] = 2, torch.tensor([0, 31]), torch.tensor([31, 0])
    conv = F.conv2d(maps.flatten(0, 1), head.linear.weight[..., None, None], head.linear.bias)
    large = F.interpolate(conv, (32, 32), mode="bilinear", align_corners=True)
    large = large.unflatten(0, (2, 3))  # (B, V, outputs, S, S)
    expected = large[torch.arange(2)[:, None], view, :, row, column]
    torch.testing.assert_close(head(maps, view, row, column, 32), expected, rtol=1e-4, atol=1e-5)


def test_an_object_is_described_by_the_maximum_over_its_views(scripts):
    torch.manual_seed(0)
    net, images = scripts.resnet.ImageNetwork(10, 4, 16).eval(), torch.rand(2, 3, 3, 16, 16)
    out = net(images)
    assert out.shape == (2, 16)
    torch.testing.assert_close(net(images.flip(1)), out)
    views = net.to_view(net.trunk(images.flatten(0, 1)).mean((2, 3))).view(2, 3, -1)
    torch.testing.assert_close(net.global_head(views.amax(1)), out)
