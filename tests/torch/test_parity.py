"""Keras and PyTorch hold the same weights, read from one file, and give the same numbers."""

import numpy as np
import pytest

from samplenet import weights

torch = pytest.importorskip("torch")
keras = pytest.importorskip("keras", reason="parity needs TensorFlow as well")
tf = pytest.importorskip("tensorflow")
import samplenet.tf as in_tf  # noqa: E402
import samplenet.torch as in_torch  # noqa: E402

RECONSTRUCTION = {"conv_widths": (64, 128, 128, 256, 128), "fc_widths": (256, 256), "fc_batch_norm": False}
SETTINGS = {
    "classification": ({"k": 7}, {}),
    "registration": (
        {"k": 8, "min_sigma": 1e-2, "output_batch_norm": False, "output_order": "3m", "bn_epsilon": 1e-5},
        {},
    ),
    "reconstruction": (
        {"k": 16, "min_sigma": 1e-4, "output_batch_norm": False, "bn_epsilon": 1e-5, **RECONSTRUCTION},
        {"gamma": 0.0, "delta": 1 / 64},
    ),
    "snet": ({"projection": False}, {"gamma": 0.5, "delta": 1 / 30}),
}
M = 16
RNG = np.random.default_rng(0)
# boxes of different sizes and places: batch norm over clouds that are all alike would blow rounding errors up
CLOUD = RNG.uniform(-0.5, 0.5, (16, 128, 3)) * RNG.uniform(0.2, 1, (16, 1, 3)) + RNG.uniform(-0.2, 0.2, (16, 1, 3))
CLOUD = CLOUD.astype(np.float32)


def close(ours, theirs, within=1e-5):
    """Equal to `within`; relative for numbers above 1."""
    np.testing.assert_allclose(np.asarray(ours), theirs.detach().numpy(), atol=within, rtol=within)


@pytest.fixture(params=SETTINGS)
def pair(request, tmp_path):
    """A Keras and a PyTorch sampler with the same weights, running statistics included, and their loss's settings."""
    settings, loss = SETTINGS[request.param]
    keras.utils.set_random_seed(1)
    ours, theirs = in_tf.SampleNet(M, **settings), in_torch.SampleNet(M, **settings)
    ours(CLOUD)
    for i in range(3):  # statistics that are not the initial ones
        ours(CLOUD + 0.1 * i, training=True)
    weights.save(ours, tmp_path / "sampler.safetensors")
    weights.load(theirs, tmp_path / "sampler.safetensors")
    return ours, theirs, loss


def test_matched_points_agree(pair):
    ours, theirs, _ = pair
    a, b = ours(CLOUD), theirs.eval()(torch.from_numpy(CLOUD))
    close(a.queries, b.queries)
    np.testing.assert_array_equal(a.idx, b.idx)
    np.testing.assert_array_equal(a.points, b.points)


def in_torch_layout(name, gradient):
    gradient = np.asarray(gradient)
    if name.endswith("kernel"):
        return gradient.T[..., None] if name.startswith("conv") else gradient.T
    return gradient


def test_projected_points_losses_gradients_and_statistics_agree(pair, tmp_path):
    ours, theirs, settings = pair
    points = torch.from_numpy(CLOUD)
    with tf.GradientTape() as tape:
        a = ours(CLOUD, training=True)
        simplify_a, project_a = in_tf.simplification_loss(a.queries, CLOUD, **settings), in_tf.projection_loss(ours)
        loss = tf.reduce_sum(a.points**3) / len(CLOUD) + 3 * simplify_a + project_a
    gradients = tape.gradient(loss, ours.trainable_variables)
    b = theirs.train()(points)
    simplify_b, project_b = (
        in_torch.simplification_loss(b.queries, points, **settings),
        in_torch.projection_loss(theirs),
    )
    ((b.points**3).sum() / len(points) + 3 * simplify_b + project_b).backward()
    close(a.queries, b.queries)
    close(a.points, b.points)
    close(simplify_a, simplify_b)
    close(project_a, project_b)
    found = {name: p.grad for name, p in theirs.named_parameters()}
    assert len(found) == len(gradients)
    for variable, gradient in zip(ours.trainable_variables, gradients, strict=True):
        path = variable.path.removeprefix(ours.name + "/")
        name, _ = weights._released(path, len(variable.shape))
        close(in_torch_layout(path, gradient), found[name], 1e-4)
    # the running statistics after this step
    weights.save(ours, tmp_path / "after.safetensors")
    after, state = weights._read(tmp_path / "after.safetensors"), theirs.state_dict()
    for name in (n for n in after if "running" in n):
        np.testing.assert_allclose(after[name], state[name].numpy(), atol=1e-5, rtol=1e-5)


def test_samplers_that_learn_nothing_agree():
    points = torch.from_numpy(CLOUD)
    for name, arguments in (("RandomSampler", {"seed": 5}), ("FarthestPointSampler", {"start": 3})):
        a, b = getattr(in_tf, name)(7, **arguments)(CLOUD), getattr(in_torch, name)(7, **arguments)(points)
        np.testing.assert_array_equal(a.idx, b.idx)
        np.testing.assert_array_equal(a.points, b.points)


def test_both_have_the_same_names_and_defaults():
    import inspect

    shared = set(in_tf.__all__) - {"BatchNorm"}  # PyTorch has its own
    assert shared == set(in_torch.__all__)
    for name in sorted(shared):
        ours, theirs = (inspect.signature(getattr(module, name)).parameters for module in (in_tf, in_torch))
        ours = {n: p.default for n, p in ours.items() if n != "kwargs"}
        assert ours == {n: p.default for n, p in theirs.items()}, name
