"""SR-UNet: its size, its parts, and the names and orders of published weights."""

import itertools

import pytest
import torch

from samplenet import InputError
from samplenet.torch import sparse


def voxels_of_a_room(count=400, seed=0):
    rng = torch.Generator().manual_seed(seed)
    points = torch.rand(2, count, 3, generator=rng) * torch.tensor([40, 40, 3.0]) - 20
    return sparse.voxelise(points, torch.rand(2, count, 3, generator=rng), 1.0)


def published(blocks, inputs=3, outputs=20):
    """Yield names and shapes of a published Res16UNet, with the widths of the kind C."""

    def norm(name, width):
        for part in ("weight", "bias", "running_mean", "running_var"):
            yield f"{name}.bn.{part}", (width,)
        yield f"{name}.bn.num_batches_tracked", ()

    yield "conv0p1s1.kernel", (27, inputs, 32)
    yield from norm("bn0", 32)
    width, planes, skips = 32, (32, 64, 128, 256, 256, 128, 96, 96), (128, 64, 32, 32)
    for stage, (outer, count) in enumerate(zip(planes, blocks, strict=True), 1):
        if stage <= 4:
            yield f"conv{stage}p{2 ** (stage - 1)}s2.kernel", (8, width, width)
            yield from norm(f"bn{stage}", width)
        else:
            yield f"convtr{stage - 1}p{2 ** (9 - stage)}s2.kernel", (8, width, outer)
            yield from norm(f"bntr{stage - 1}", outer)
            width = outer + skips[stage - 5]
        for block in range(count):
            name = f"block{stage}.{block}"
            yield f"{name}.conv1.kernel", (27, width, outer)
            yield from norm(f"{name}.norm1", outer)
            yield f"{name}.conv2.kernel", (27, outer, outer)
            yield from norm(f"{name}.norm2", outer)
            if width != outer:
                yield f"{name}.downsample.0.kernel", (width, outer)
                yield from norm(f"{name}.downsample.1", outer)
            width = outer
    yield "final.kernel", (width, outputs)
    yield "final.bias", (1, outputs)


def generated(depth, scripts):
    blocks = scripts.srunet.BLOCKS[depth]
    return {name: torch.randn(shape) for name, shape in published(blocks)}


@pytest.mark.parametrize("depth", (14, 34))
def test_published_weights_have_a_place_each(scripts, depth):
    state = generated(depth, scripts)
    net = scripts.srunet.SRUNet(3, 20, depth)
    converted = scripts.srunet.from_minkowski(state)
    net.load_state_dict(converted)  # strict: every name, every shape
    assert len(converted) == len(state)
    own = sum(p.numel() for p in net.parameters())
    learned = ("kernel", "weight", "bias")
    assert own == sum(t.numel() for name, t in state.items() if name.endswith(learned))
    if depth == 34:
        assert own == pytest.approx(37.85e6, abs=1e4)
        own, name = converted["down.2.blocks.3.second.norm.bias"], "block3.3.norm2.bn.bias"
        torch.testing.assert_close(own, state[name])
    torch.testing.assert_close(converted["up.1.change.norm.weight"], state["bntr5.bn.weight"])


def test_published_kernels_are_turned_to_x_slowest(scripts):
    kernel = torch.arange(27.0)[:, None, None].expand(27, 3, 32)
    own = scripts.srunet.from_minkowski({"conv0p1s1.kernel": kernel})["stem.conv.weight"]
    for x, y, z in itertools.product(range(3), repeat=3):
        assert own[(x * 3 + y) * 3 + z, 0, 0] == x + 3 * y + 9 * z
    one = torch.randn(64, 128)
    state = {"module.block3.0.downsample.0.kernel": one, "final.kernel": one}
    converted = scripts.srunet.from_minkowski(state)
    torch.testing.assert_close(converted["down.2.blocks.0.past.conv.weight"], one[None])
    torch.testing.assert_close(converted["out.weight"], one.t())


def test_an_unknown_weight_or_depth_is_refused(scripts):
    with pytest.raises(InputError, match="'layer1.0.conv1.kernel' is no weight of a Res16UNet"):
        scripts.srunet.from_minkowski({"layer1.0.conv1.kernel": torch.zeros(1)})
    for cells in (7, 81):
        with pytest.raises(InputError, match=f"conv0p1s1.kernel must be of a cube .* got {cells}"):
            scripts.srunet.from_minkowski({"conv0p1s1.kernel": torch.zeros(cells, 3, 32)})
    with pytest.raises(InputError, match="inputs and outputs must be at least 1, got 3, 0"):
        scripts.srunet.SRUNet(stem=0)
    with pytest.raises(InputError, match="one of 34, 14, got 18"):
        scripts.srunet.SRUNet(depth=18)
    x, _ = sparse.voxelise(torch.rand(50, 3), torch.rand(50, 3), 0.2)
    with pytest.raises(InputError, match="batch norm needs 2 voxels, got 1: give larger clouds"):
        scripts.srunet.SRUNet(depth=14, stem=4)(x)


def test_each_voxel_is_described_from_its_own_cloud(scripts):
    torch.manual_seed(0)
    net = scripts.srunet.SRUNet(3, None, depth=14, stem=4).eval()
    x, inverse = voxels_of_a_room()
    with torch.no_grad():
        out = net(x)
        second = x.voxels.cloud == 1
        changed = torch.where(second[:, None], x.features, 0 * x.features)
        other = net(x._replace(features=changed))
    assert out.shape == (len(x.voxels), net.width) == (len(x.voxels), 12)
    assert out[inverse].shape == (2, 400, 12)
    torch.testing.assert_close(other[second], out[second])
    assert (other[~second] - out[~second]).abs().max() > 0.01


def test_no_clouds_have_no_features(scripts):
    described = scripts.backbones.OnVoxels(0.1, 14, 4).eval()(torch.zeros(0, 5, 3))
    assert described.points.shape == (0, 5, 12) and described.cloud.shape == (0, 12)


def test_a_compiled_network_computes_the_same(scripts):
    """On clouds of other numbers of voxels too, without compiling each layer anew."""
    torch.manual_seed(0)
    net = scripts.srunet.SRUNet(3, 2, depth=14, stem=2).eval()
    torch.compiler.reset()
    compiled = torch.compile(net, backend="eager")
    with torch.no_grad(), torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
        for count in (400, 500, 300):
            x, _ = voxels_of_a_room(count)
            torch.testing.assert_close(compiled(x), net(x))


def test_a_network_learns_which_voxels_are_low(scripts):
    torch.manual_seed(0)
    net = scripts.srunet.SRUNet(3, 2, depth=14, stem=4)
    x, _ = voxels_of_a_room()
    low = (x.voxels.coordinates[:, 1] < 0).long()
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(30):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(x), low)
        loss.backward()
        optimizer.step()
    assert loss < 0.2
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())
