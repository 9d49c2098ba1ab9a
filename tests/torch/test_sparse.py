"""Sparse convolution against dense convolution of the occupied cells, and voxels against loops."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from samplenet import InputError
from samplenet.torch import sparse
from samplenet.torch.sparse.voxels import LIMIT

SIDE = 12  # cells of the dense grid; voxel (0, 0, 0) is in its middle
CLOUDS = 4


def scattered(share=0.2, seed=0, empty=(1, 3)):
    """Voxels at random places between -5 and 4 of a batch in which some clouds are empty."""
    rng = np.random.default_rng(seed)
    there = rng.random((CLOUDS, SIDE - 2, SIDE - 2, SIDE - 2)) < share
    there[[*empty]] = False
    coordinates = np.argwhere(there) - [0, 5, 5, 5]
    return sparse.Voxels.of(torch.from_numpy(rng.permutation(coordinates)), CLOUDS)[0]


def cells(voxels, stride=1):
    cloud, *places = voxels.coordinates.unbind(1)
    return cloud, *(place + SIDE // 2 // stride for place in places)


def dense(features, voxels, stride=1):
    """The grid (B, C, x, y, z) of voxels' features, zero where there is no voxel."""
    side = SIDE // stride
    grid = features.new_zeros(CLOUDS, side, side, side, features.shape[1])
    return grid.index_put(cells(voxels, stride), features).movedim(-1, 1)


def at(grid, voxels, stride=1):
    return grid.movedim(1, -1)[cells(voxels, stride)]


def padding(kernel):
    """Cells before and after: an odd kernel is centred, an even one begins at its voxel."""
    return (kernel // 2, kernel // 2) if kernel % 2 else (0, kernel - 1)


def compare(layer, found, expected, features):
    """Compare values, and the gradients of features and weights, to 1e-5 of the largest."""
    rng = torch.Generator().manual_seed(1)
    gradient = torch.randn(found.shape, generator=rng)
    inputs = features, *layer.parameters()
    own = torch.autograd.grad(found, inputs, gradient, retain_graph=True)
    other = torch.autograd.grad(expected, inputs, gradient)
    for a, b in zip((found, *own), (expected, *other), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5 * b.abs().max().item(), rtol=0)


@pytest.mark.parametrize("share", (0.02, 0.2, 1.0))
@pytest.mark.parametrize("stride", (1, 2))
@pytest.mark.parametrize("kernel", (1, 2, 3, 5))
def test_a_convolution_is_that_of_the_dense_grid(kernel, stride, share):
    torch.manual_seed(kernel)
    voxels = scattered(share, seed=kernel)
    features = torch.randn(len(voxels), 3, requires_grad=True)
    layer = sparse.Convolution(3, 5, kernel, stride, bias=True)
    out = layer(sparse.SparseTensor(features, voxels))
    weight = layer.weight.view(kernel, kernel, kernel, 3, 5).permute(4, 3, 0, 1, 2)
    padded = F.pad(dense(features, voxels), padding(kernel) * 3)
    expected = F.conv3d(padded, weight, layer.bias, stride)
    compare(layer, out.features, at(expected, out.voxels, stride), features)


@pytest.mark.parametrize("share", (0.05, 1.0))
@pytest.mark.parametrize("stride", (1, 2))
@pytest.mark.parametrize("kernel", (2, 3, 5))
def test_a_transposed_convolution_is_that_of_the_dense_grid(kernel, stride, share):
    torch.manual_seed(kernel)
    voxels = scattered(share, seed=kernel)
    coarse = voxels.coarser(stride)
    features = torch.randn(len(coarse), 5, requires_grad=True)
    layer = sparse.TransposedConvolution(5, 3, kernel, stride, bias=True)
    out = layer(sparse.SparseTensor(features, coarse), voxels)
    weight = layer.weight.view(kernel, kernel, kernel, 5, 3).permute(3, 4, 0, 1, 2)
    grid = F.conv_transpose3d(dense(features, coarse, stride), weight, layer.bias, stride)
    first = padding(kernel)[0]
    part = slice(first, first + SIDE)
    assert out.voxels is voxels
    compare(layer, out.features, at(grid[:, :, part, part, part], voxels), features)


def test_the_coarser_voxels_are_those_that_hold_one():
    voxels = scattered(0.01)
    expected = {(c, x // 2, y // 2, z // 2) for c, x, y, z in voxels.coordinates.tolist()}
    coarse = voxels.coarser(2)
    assert coarse.coordinates.tolist() == [list(place) for place in sorted(expected)]
    assert voxels.coarser(2) is coarse and voxels.coarser(1) is voxels
    assert voxels.pairs(3) is voxels.pairs(3) and voxels.pairs(3) is not voxels.pairs(3, 2)


def test_gradients_pass_gradcheck():
    voxels = scattered(0.01)
    features = torch.randn(len(voxels), 2, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(8, 2, 3, dtype=torch.float64, requires_grad=True)
    pairs, count = voxels.pairs(2, 2), len(voxels.coarser(2))
    assert torch.autograd.gradcheck(
        lambda f, w: sparse.convolve(f, w, pairs, count), (features, weight)
    )


def test_a_batch_of_no_voxels_has_a_result_and_gradients():
    voxels = sparse.Voxels.of(torch.empty(0, 4, dtype=torch.int64), CLOUDS)[0]
    down, up = sparse.Convolution(2, 3, 3, 2), sparse.TransposedConvolution(3, 2)
    x = sparse.SparseTensor(torch.empty(0, 2, requires_grad=True), voxels)
    out = up(down(x), voxels)
    assert out.features.shape == (0, 2) and sparse.pool(out).shape == (CLOUDS, 2)
    out.features.sum().backward()
    assert not down.weight.grad.any()


def test_voxels_average_their_points():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(50, 3)).astype(np.float32)
    features = rng.normal(size=(50, 2)).astype(np.float32)
    cloud = rng.choice([0, 2], 50)
    arrays = map(torch.from_numpy, (points, features))
    x, inverse = sparse.voxelise(*arrays, 0.7, torch.from_numpy(cloud))
    held = {}
    for point, feature, number in zip(points, features, cloud, strict=True):
        place = (number, *np.floor(point.astype(np.float64) / 0.7).astype(int))
        held.setdefault(place, []).append(feature)
    assert x.voxels.clouds == 3 and 10 < len(held) < 50
    assert [tuple(place) for place in x.voxels.coordinates.tolist()] == sorted(held)
    for mean, place in zip(x.features, sorted(held), strict=True):
        np.testing.assert_allclose(mean, np.mean(held[place], 0), atol=1e-6)
    places = x.voxels.coordinates[inverse].numpy()
    np.testing.assert_array_equal(places[:, 0], cloud)
    assert (np.abs(places[:, 1:] * 0.7 + 0.35 - points) < 0.3501).all()


def test_equal_clouds_are_voxelised_as_one_batch():
    points = torch.rand(3, 40, 3) - 0.5
    features = torch.rand(3, 40, 2, requires_grad=True)
    x, inverse = sparse.voxelise(points, features, 0.2)
    for number in range(3):
        own, rows = sparse.voxelise(points[number], features[number], 0.2)
        torch.testing.assert_close(x.features[inverse[number]], own.features[rows])
    assert inverse.shape == (3, 40) and x.voxels.clouds == 3
    x.features.sum().backward()
    shared = torch.bincount(inverse.flatten())[inverse]
    torch.testing.assert_close(features.grad, (1 / shared)[..., None].expand(-1, -1, 2))


def test_clouds_without_points_may_be_the_last():
    cloud = torch.tensor([0, 2])
    x, _ = sparse.voxelise(torch.zeros(2, 3), torch.ones(2, 1), 1.0, cloud, clouds=5)
    assert x.voxels.clouds == 5 and sparse.pool(x)[:, 0].tolist() == [1, 0, 1, 0, 0]


def test_an_empty_cloud_has_no_voxel():
    x, inverse = sparse.voxelise(torch.empty(2, 0, 3), torch.empty(2, 0, 1), 1.0)
    assert len(x.voxels) == 0 and x.voxels.clouds == 2 and inverse.shape == (2, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    (
        (dict(points=torch.full((4, 3), torch.nan)), "must lie within 32736 .* finite; got .* nan"),
        (dict(points=torch.full((4, 3), 4e4)), "within 32736 of the origin .* got up to 40000"),
        (dict(points=torch.full((4, 3), torch.inf)), "got up to inf"),
        (dict(points=torch.zeros(4, 2)), r"must be \(B, N, 3\) .* got \(4, 2\)"),
        (dict(features=torch.zeros(3, 2)), r"got \(4, 3\) and \(3, 2\)"),
        (dict(size=0.0), "size must be above 0, got 0.0"),
        (dict(cloud=torch.zeros(3)), r"cloud must number each .* got \(3,\)"),
        (dict(cloud=torch.arange(4) - 1), "numbered from 0 and below 3, got -1 to 2"),
        (dict(cloud=torch.arange(4), clouds=3), "numbered from 0 and below 3, got 0 to 3"),
        (dict(cloud=-torch.arange(4) - 1), "numbered from 0 and below 0, got -4 to -1"),
        (dict(cloud=torch.arange(4) * 2**14), "at most 32768 clouds, got 49153"),
        (
            dict(points=torch.zeros(40_000, 0, 3), features=torch.zeros(40_000, 0, 2)),
            "at most 32768 clouds, got 40000",
        ),
        (dict(clouds=3), "clouds = 3 needs cloud"),
        (dict(features=torch.zeros(4, 2, dtype=torch.uint8)), "floating point, got torch.uint8"),
    ),
)
def test_bad_points_are_refused(change, message):
    good = dict(points=torch.zeros(4, 3), features=torch.zeros(4, 2), size=1.0)
    with pytest.raises(InputError, match=message):
        sparse.voxelise(**good | change)


def test_voxels_at_the_end_of_the_range_have_no_neighbour_across_it():
    ends = torch.tensor([[0, LIMIT, LIMIT, LIMIT], [1, -LIMIT, -LIMIT, -LIMIT]])
    voxels = sparse.Voxels.of(ends)[0]
    assert voxels.coordinates.tolist() == ends.tolist()
    for kernel, stride in ((2, 1), (31, 2)):  # each with itself
        assert sum(len(here) for here, _ in voxels.pairs(kernel, stride)) == 2


def test_what_does_not_fit_is_refused():
    voxels = scattered()
    x = sparse.SparseTensor(torch.zeros(len(voxels), 3), voxels)
    with pytest.raises(InputError, match=r"features must be \(\d+, 2\), .* got \(\d+, 3\)"):
        sparse.Convolution(2, 2)(x)
    with pytest.raises(InputError, match=r"coarser\(2\) the input has"):
        sparse.TransposedConvolution(3, 2)(x, voxels)
    with pytest.raises(InputError, match=r"kernel must be in \[1, 31\] .* got 33, 1"):
        sparse.Convolution(3, 1, 33)(x)
    with pytest.raises(InputError, match=r"coordinates must be \(P, 4\), got \(2, 3\)"):
        sparse.Voxels.of(torch.zeros(2, 3))
    with pytest.raises(InputError, match=r"kernel must be in \[1, 31\] .* got 0, 1"):
        sparse.Convolution(3, 4, kernel=0)
    with pytest.raises(InputError, match="inputs and outputs must be at least 1, got 3, 0"):
        sparse.Convolution(3, 0)


def test_autocast_multiplies_in_bfloat16():
    voxels = scattered(0.1)
    features = torch.randn(len(voxels), 8, requires_grad=True)
    layer = sparse.Convolution(8, 8)
    exact = layer(sparse.SparseTensor(features, voxels)).features
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(sparse.SparseTensor(features, voxels)).features
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), exact, atol=0.1, rtol=0.02)
    out.float().sum().backward()
    assert features.grad.dtype == layer.weight.grad.dtype == torch.float32


def test_pooling_is_the_maximum_of_each_cloud():
    voxels = scattered()
    features = torch.randn(len(voxels), 4) - 5  # none above 0
    pooled = sparse.pool(sparse.SparseTensor(features, voxels))
    for number in range(CLOUDS):
        own = features[voxels.cloud == number]
        expected = own.max(0).values if len(own) else torch.zeros(4)
        torch.testing.assert_close(pooled[number], expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_computes_the_same():
    voxels = scattered()
    features, layer = torch.randn(len(voxels), 3), sparse.Convolution(3, 5)
    expected = layer(sparse.SparseTensor(features, voxels)).features
    there = sparse.Voxels(voxels.keys.cuda(), CLOUDS)
    found = layer.cuda()(sparse.SparseTensor(features.cuda(), there)).features
    torch.testing.assert_close(found.cpu(), expected, atol=1e-4, rtol=1e-4)
