"""Keras and PyTorch hold the same weights, read from one file, and give the same numbers."""

import numpy as np
import pytest

from samplenet import InputError, weights
from samplenet.runs import checkpoint

torch = pytest.importorskip("torch")
keras = pytest.importorskip("keras", reason="parity needs TensorFlow as well")
tf = pytest.importorskip("tensorflow")
import samplenet.tf as in_tf  # noqa: E402
import samplenet.torch as in_torch  # noqa: E402

RECONSTRUCTION = {
    "conv_widths": (64, 128, 128, 256, 128),
    "fc_widths": (256, 256),
    "fc_batch_norm": False,
}
SETTINGS = {
    "classification": ({"k": 7}, {}),
    "registration": (
        {
            "k": 8,
            "min_sigma": 1e-2,
            "output_batch_norm": False,
            "output_order": "3m",
            "bn_epsilon": 1e-5,
        },
        {},
    ),
    "reconstruction": (
        {
            "k": 16,
            "min_sigma": 1e-4,
            "output_batch_norm": False,
            "bn_epsilon": 1e-5,
            **RECONSTRUCTION,
        },
        {"gamma": 0.0, "delta": 1 / 64},
    ),
    "snet": ({"projection": False}, {"gamma": 0.5, "delta": 1 / 30}),
}
M = 16
RNG = np.random.default_rng(0)
# Boxes of different sizes and places, as batch norm over equal clouds magnifies rounding.
CLOUD = RNG.uniform(-0.5, 0.5, (16, 128, 3)) * RNG.uniform(0.2, 1, (16, 1, 3)) + RNG.uniform(
    -0.2, 0.2, (16, 1, 3)
)
CLOUD = CLOUD.astype(np.float32)


def close(ours, theirs, within):
    """Equal to `within`; relative for numbers above 1."""
    np.testing.assert_allclose(np.asarray(ours), theirs.detach().numpy(), atol=within, rtol=within)


def twins(name, path, dtype="float32"):
    """Return a Keras and a PyTorch sampler of the same weights, and the settings of their loss."""
    settings, loss = SETTINGS[name]
    keras.utils.set_random_seed(1)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        ours, theirs = in_tf.SampleNet(M, **settings), in_torch.SampleNet(M, **settings)
    finally:
        keras.config.set_dtype_policy(before)
    ours(CLOUD)
    last = ours.fcs[-1]
    size = last.bn.gamma if last.bn else last.fc.kernel
    size.assign(
        0.3 * size
    )  # queries about as far apart as the points, as those of a trained sampler are
    for i in range(3):  # statistics that are not the initial ones
        ours(CLOUD + 0.1 * i, training=True)
    weights.save(ours, path)
    theirs.to(getattr(torch, dtype))
    weights.load(theirs, path)
    return ours, theirs, loss


@pytest.mark.parametrize("name", SETTINGS)
def test_matched_points_agree(name, tmp_path):
    ours, theirs, _ = twins(name, tmp_path / "sampler.safetensors")
    a, b = ours(CLOUD), theirs.eval()(torch.from_numpy(CLOUD))
    close(a.queries, b.queries, 1e-5)
    np.testing.assert_array_equal(a.idx, b.idx)
    np.testing.assert_array_equal(a.points, b.points)
    np.testing.assert_array_equal(ours.order(CLOUD).idx, theirs.order(torch.from_numpy(CLOUD)).idx)


def released(path, array):
    """The released name of a Keras weight's gradient, and the gradient as it lies there."""
    name, layout = weights._released(path, array.ndim)
    return name, {"conv": lambda a: a.T[..., None], "dense": lambda a: a.T}.get(
        layout, lambda a: a
    )(array)


@pytest.mark.parametrize(
    "dtype, within, gradients_within", [("float32", 1e-5, 1e-4), ("float64", 1e-12, 1e-10)]
)
@pytest.mark.parametrize("name", SETTINGS)
def test_a_training_step_agrees(name, dtype, within, gradients_within, tmp_path):
    """Compare points, losses, gradients and running statistics in float64."""
    ours, theirs, settings = twins(name, tmp_path / "sampler.safetensors", dtype)
    cloud = CLOUD.astype(dtype)
    points = torch.from_numpy(cloud)
    with tf.GradientTape() as tape:
        a = ours(cloud, training=True)
        simplify_a, project_a = (
            in_tf.simplification_loss(a.queries, cloud, **settings),
            in_tf.projection_loss(ours),
        )
        loss_a = tf.reduce_mean(a.points**3) + 3 * simplify_a + tf.cast(project_a, dtype)
    gradients = tape.gradient(loss_a, ours.trainable_variables)
    b = theirs.train()(points)
    simplify_b, project_b = (
        in_torch.simplification_loss(b.queries, points, **settings),
        in_torch.projection_loss(theirs),
    )
    loss_b = (b.points**3).mean() + 3 * simplify_b + project_b
    loss_b.backward()
    for x, y in (
        (a.queries, b.queries),
        (a.points, b.points),
        (simplify_a, simplify_b),
        (loss_a, loss_b),
    ):
        close(x, y, within)
    close(project_a, project_b, within)
    found = {name: p.grad for name, p in theirs.named_parameters()}
    wanted = [
        released(v.path.removeprefix(ours.name + "/"), np.asarray(g))
        for v, g in zip(ours.trainable_variables, gradients, strict=True)
    ]
    assert {name for name, _ in wanted} == set(found)
    for name, gradient in wanted:
        close(gradient, found[name], gradients_within)
    if dtype == "float32":  # Keras' own batch norm, which serves float64, keeps the biased variance
        weights.save(ours, tmp_path / "after.safetensors")
        after, state = checkpoint.read(tmp_path / "after.safetensors")[0], theirs.state_dict()
        running = [name for name in after if "running" in name]
        assert running
        for name in running:
            close(after[name], state[name], within)


def test_baselines_agree():
    points = torch.from_numpy(CLOUD)
    cases = [("RandomSampler", {"seed": 5}), ("FarthestPointSampler", {"start": 3})]
    cases.append(("FarthestPointSampler", {"start": "random", "seed": 5}))
    for name, arguments in cases:
        a, b = (
            getattr(in_tf, name)(7, **arguments)(CLOUD),
            getattr(in_torch, name)(7, **arguments)(points),
        )
        np.testing.assert_array_equal(a.idx, b.idx)
        np.testing.assert_array_equal(a.points, b.points)


BAD = np.where(np.arange(128)[:, None] == 3, np.float32(np.nan), CLOUD)


@pytest.mark.parametrize(
    "make",
    [
        lambda module, cloud: module.SampleNet(0),
        lambda module, cloud: module.SampleNet(2.5),
        lambda module, cloud: module.SampleNet(3, output_order="x"),
        lambda module, cloud: module.SampleNet(129)(cloud(CLOUD)),
        lambda module, cloud: module.SampleNet(3)(cloud(CLOUD[0])),
        lambda module, cloud: module.SampleNet(3)(cloud(CLOUD[..., :2])),
        lambda module, cloud: module.SampleNet(3, k=129).project(cloud(CLOUD), cloud(CLOUD)),
        lambda module, cloud: module.SampleNet(3).match(cloud(BAD), cloud(CLOUD)),
        lambda module, cloud: module.SampleNet(3).match(cloud(CLOUD), cloud(BAD)),
        lambda module, cloud: module.simplification_loss(cloud(BAD), cloud(CLOUD)),
        lambda module, cloud: module.SoftProjection(True + 0.5),
        lambda module, cloud: module.SoftProjection(min_sigma=-1),
        lambda module, cloud: module.RandomSampler(0)(cloud(CLOUD)),
        lambda module, cloud: module.FarthestPointSampler(129)(cloud(CLOUD)),
        lambda module, cloud: module.FarthestPointSampler(3, start=200)(cloud(CLOUD)),
    ],
)
def test_errors_have_the_same_words(make):
    with pytest.raises(InputError) as ours:
        make(in_tf, np.asarray)
    with pytest.raises(InputError) as theirs:
        make(in_torch, torch.from_numpy)
    assert str(theirs.value) in str(
        ours.value
    )  # Keras adds its own words around those of an inner layer


def test_both_have_the_same_names_and_defaults():
    import inspect

    shared = set(in_tf.__all__) - {"BatchNorm"}  # PyTorch has its own
    assert shared == set(in_torch.__all__)
    for name in sorted(shared):
        ours, theirs = (
            inspect.signature(getattr(module, name)).parameters for module in (in_tf, in_torch)
        )
        ours = {n: p.default for n, p in ours.items() if n != "kwargs"}
        assert ours == {n: p.default for n, p in theirs.items()}, name
