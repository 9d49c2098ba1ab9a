"""The task network: names and sizes of the released one, what its outputs mean, its loss."""

import numpy as np
import pytest
import torch

import pairs
import rigid
from pcrnet import PCRNet, initialise_he, task_loss

PAIRS = [
    torch.from_numpy(a)
    for a in pairs.make(np.random.default_rng(0).normal(size=(4, 50, 3)), 50, 4, seed=0)
]
TEMPLATE, SOURCE, QUATERNION, TRANSLATION = PAIRS

SHAPES = {
    "feat.conv1": (64, 3, 1),
    "feat.conv2": (64, 64, 1),
    "feat.conv3": (64, 64, 1),
    "feat.conv4": (128, 64, 1),
    "feat.conv5": (1024, 128, 1),
    "fc1": (1024, 2048),
    "fc2": (1024, 1024),
    "fc3": (512, 1024),
    "fc4": (512, 512),
    "fc5": (256, 512),
    "fc6": (7, 256),
}


@pytest.fixture
def net():
    torch.manual_seed(1)
    return PCRNet()


def plain_features(feat, points):
    """The description as the released network makes it: convolutions, then the maximum."""
    features = points.transpose(1, 2)
    for conv in (feat.conv1, feat.conv2, feat.conv3, feat.conv4, feat.conv5):
        features = torch.relu(conv(features))
    return features.amax(2)


def test_names_and_shapes_are_the_released_ones(net):
    expected = {f"{name}.weight": shape for name, shape in SHAPES.items()}
    expected |= {f"{name}.bias": shape[:1] for name, shape in SHAPES.items()}
    assert {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()} == expected
    released = {name: torch.randn(shape) for name, shape in expected.items()}
    net.load_state_dict(released, strict=True)


@pytest.mark.parametrize("count", [1, 128, 129, 200])
def test_features_and_gradients_are_those_of_the_whole_last_layer(net, count):
    net.double()
    points = torch.randn(2, count, 3, dtype=torch.float64, requires_grad=True)
    results = []
    for features in (net.feat(points), plain_features(net.feat, points)):
        net.zero_grad()
        grads = torch.autograd.grad(features.square().sum(), [points, *net.feat.parameters()])
        results.append((features, *grads))
    for ours, plain in zip(*results, strict=True):
        torch.testing.assert_close(ours, plain)


def test_the_estimate_is_a_unit_quaternion_and_a_translation(net):
    twist, raw = net(TEMPLATE, SOURCE)
    assert twist.shape == (4, 7) and raw.shape == (4, 4)
    torch.testing.assert_close(twist[:, :4], raw / raw.norm(dim=1, keepdim=True))


def test_clouds_of_any_size(net):
    for n, m in ((50, 20), (1, 50), (1, 1)):
        twist, _ = net(TEMPLATE[:, :n], SOURCE[:, :m])
        loss = task_loss(twist, TEMPLATE[:, :n], SOURCE[:, :m], QUATERNION)
        assert twist.shape == (4, 7) and loss.isfinite()


def test_the_order_of_the_points_makes_no_difference(net):
    torch.testing.assert_close(net(TEMPLATE.flip(1), SOURCE)[0], net(TEMPLATE, SOURCE)[0])


def test_a_zero_quaternion_is_no_rotation_and_no_nan(net):
    torch.nn.init.zeros_(net.fc6.weight)
    torch.nn.init.zeros_(net.fc6.bias)
    twist, raw = net(TEMPLATE, SOURCE)
    assert (raw == 0).all()
    assert twist.tolist() == [[1, 0, 0, 0, 0, 0, 0]] * 4
    task_loss(twist, TEMPLATE, SOURCE, QUATERNION, TRANSLATION).backward()
    assert all(p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("translation", [False, True])
def test_iterations_compose(net, translation):
    twice = PCRNet(iterations=2, translation=translation)
    twice.load_state_dict(net.state_dict())
    first, _ = net(TEMPLATE, SOURCE)
    if not translation:  # it was never learned, so it must move nothing
        first = torch.cat([first[:, :4], torch.zeros(4, 3)], 1)
    rest, raw = net(rigid.apply(first, TEMPLATE), SOURCE)
    both, last_raw = twice(TEMPLATE, SOURCE)
    torch.testing.assert_close(last_raw, raw)
    expected = rigid.apply(
        rest if translation else rest * torch.tensor([1.0] * 4 + [0] * 3),
        rigid.apply(first, TEMPLATE),
    )
    result = rigid.apply(
        both if translation else both * torch.tensor([1.0] * 4 + [0] * 3), TEMPLATE
    )
    torch.testing.assert_close(result, expected)


def test_every_weight_learns_through_every_iteration():
    torch.manual_seed(0)
    net = PCRNet(iterations=3, translation=True)
    twist, _ = net(TEMPLATE, SOURCE)
    task_loss(twist, TEMPLATE, SOURCE, QUATERNION, TRANSLATION).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad.isfinite().all() and parameter.grad.abs().sum() > 0, name


def test_he_weights_keep_the_size_of_the_signal(net):
    initialise_he(net)
    for layer in (net.feat.conv2, net.feat.conv5, net.fc1, net.fc5):
        fan_in = layer.weight.shape[1]
        assert layer.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.05)
        assert (layer.bias == 0).all()
    assert net.fc6.weight.abs().max() <= 1 / 16  # no ReLU follows: PyTorch's own


def test_a_frozen_network_passes_gradients_to_the_clouds(net):
    net.requires_grad_(False)
    points = TEMPLATE.clone().requires_grad_()
    twist, _ = net(points, SOURCE)
    task_loss(twist, points, SOURCE, QUATERNION).backward()
    assert points.grad.isfinite().all() and points.grad.abs().sum() > 0


def test_the_loss_is_the_formula():
    torch.manual_seed(2)
    estimate = torch.cat([rigid.normalise(torch.randn(4, 4)), torch.randn(4, 3)], 1)
    matrix, true = rigid.to_matrix(estimate[:, :4]), rigid.to_matrix(QUATERNION)
    frobenius = (matrix @ true.mT - torch.eye(3)).square().sum((1, 2))

    def chamfer(a, b):
        distances = torch.cdist(a, b).square()
        return distances.amin(1).mean(1) + distances.amin(2).mean(1)

    moved = TEMPLATE @ matrix.mT
    expected = (frobenius + chamfer(SOURCE, moved)).mean()
    torch.testing.assert_close(task_loss(estimate, TEMPLATE, SOURCE, QUATERNION), expected)
    shift = torch.randn(4, 3)
    expected = (
        frobenius
        + chamfer(SOURCE, moved + estimate[:, None, 4:])
        + (estimate[:, 4:] - shift).square().sum(1)
    )
    torch.testing.assert_close(
        task_loss(estimate, TEMPLATE, SOURCE, QUATERNION, shift), expected.mean()
    )


def test_the_loss_of_the_true_transform_is_0():
    moved, *truth = (
        torch.from_numpy(a) for a in pairs.make(TEMPLATE.numpy(), 50, 4, seed=0, translation=True)
    )
    source, quaternion, translation = truth
    twist = torch.cat([quaternion, translation], 1)
    assert task_loss(twist, moved, source, quaternion, translation) < 1e-6


def test_autocast_reaches_the_layers_and_not_the_geometry(net):
    with torch.autocast("cpu", torch.bfloat16):
        twist, raw = net(TEMPLATE, SOURCE)
    assert twist.dtype == raw.dtype == torch.float32
    assert rigid.angle_between(twist[:, :4], net(TEMPLATE, SOURCE)[0][:, :4]).max() < 5
    task_loss(twist, TEMPLATE, SOURCE, QUATERNION).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:torch.*"
)  # PyTorch's compiler of its own parts
def test_compiled_it_gives_the_same_numbers(net):
    results = []
    for model in (net, torch.compile(net, fullgraph=True)):
        net.zero_grad()
        twist, _ = model(TEMPLATE, SOURCE)
        task_loss(twist, TEMPLATE, SOURCE, QUATERNION).backward()
        results.append([twist.detach(), *(p.grad.clone() for p in net.parameters())])
    for plain, compiled in zip(*results, strict=True):
        torch.testing.assert_close(compiled, plain, atol=1e-5, rtol=1e-4)
