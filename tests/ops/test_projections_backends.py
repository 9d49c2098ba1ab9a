"""The projections of points in each framework: compilation."""

import numpy as np
import pytest


def inputs(batch=3, count=80):
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 9, (batch, count, 3)).astype(np.float32) + np.float32(0.2)
    return points, rng.normal(size=(batch, count, 3)).astype(np.float32)


def test_views_of_tensors_are_drawn_as_their_copies(serve):
    torch = pytest.importorskip("torch")
    plain = [torch.as_tensor(a) for a in inputs()]
    turned = [a.transpose(1, 2).contiguous().transpose(1, 2) for a in plain]
    for name in ("torch", "torch native"):
        with serve(name) as ops:
            for want, got in zip(
                ops.project_features(*plain, 8, 9), ops.project_features(*turned, 8, 9), strict=True
            ):
                assert torch.equal(got, want)
            assert torch.equal(ops.project_mask(turned[0], 8, 9), ops.project_mask(plain[0], 8, 9))


@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # Dynamo's own doing
def test_pytorch_can_trace_and_compile_the_ops(serve):
    torch = pytest.importorskip("torch")
    from samplenet.ops.torch import (
        mask_affinity,
        mask_cross_entropy,
        project_features,
        project_mask,
    )

    tensors = [torch.as_tensor(a).requires_grad_() for a in inputs()]
    target = (torch.rand((3, 8, 9), generator=torch.Generator().manual_seed(0)) > 0.5).float()

    def loss(points, features):
        sums = project_mask(points, 8, 9, before_tanh=True)
        total = mask_cross_entropy(sums, target).mean()
        total = total + sum(part.mean() for part in mask_affinity(torch.tanh(sums), target))
        image, covered = project_features(points, features, 8, 9)
        return total + image.square().sum() + (covered * image[..., 0]).sum()

    with serve("torch native"):
        loss(*tensors)  # loads the build
        ops = torch.ops.samplenet
        torch.library.opcheck(ops.project_sums, (tensors[0], 8, 9, 0.5, False))
        for released in (False, True):
            torch.library.opcheck(ops.project_features, (*tensors, 8, 9, 1.0, 100.0, released))
        compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
        wanted, got = (torch.autograd.grad(f(*tensors), tensors) for f in (loss, compiled))
        for want, found in zip(wanted, got, strict=True):
            torch.testing.assert_close(found, want)
        for first in (project_mask(tensors[0], 8, 9), project_features(*tensors, 8, 9).features):
            (slope,) = torch.autograd.grad(first.square().sum(), tensors[0], create_graph=True)
            with pytest.raises(NotImplementedError, match="no second derivatives"):
                slope.sum().backward()


def test_xla_compiles_framework_operations(serve):
    tf = pytest.importorskip("tensorflow")
    from samplenet.ops.tf import mask_affinity, mask_cross_entropy, project_features, project_mask

    points, features = (tf.constant(a) for a in inputs())
    target = tf.cast(tf.random.stateless_uniform((3, 8, 9), (0, 0)) > 0.5, tf.float32)

    def step(points, features):
        with tf.GradientTape() as tape:
            tape.watch([points, features])
            sums = project_mask(points, 8, 9, before_tanh=True)
            image, _ = project_features(points, features, 8, 9)
            loss = tf.reduce_mean(mask_cross_entropy(sums, target)) + tf.reduce_sum(image**2)
            for form in ("chamfer", "soft_chamfer"):
                pair = mask_affinity(tf.tanh(sums), target, form)
                loss += 1e-4 * tf.reduce_mean(pair.forward + pair.backward)
        return sums, image, tape.gradient(loss, [points, features])

    with serve("tf native"):
        wanted = step(points, features)
        got = tf.function(step, jit_compile=True)(points, features)
    for want, found in zip(tf.nest.flatten(wanted), tf.nest.flatten(got), strict=True):
        np.testing.assert_allclose(found, want, 1e-3, 1e-4 * np.abs(want).max())


def test_tensorflow_knows_the_sizes_of_images(serve):
    tf = pytest.importorskip("tensorflow")
    for name in ("tf", "tf native"):
        with serve(name) as ops:

            @tf.function(
                input_signature=[tf.TensorSpec((None, None, 3)), tf.TensorSpec((None, None, 2))]
            )
            def draw(points, features, ops=ops):
                mask, images = (
                    ops.project_mask(points, 4, 5),
                    ops.project_features(points, features, 4, 5),
                )
                assert mask.shape.as_list() == [None, 4, 5]
                assert images.features.shape.as_list() == [None, 4, 5, 2]
                assert images.coverage.shape.as_list() == [None, 4, 5]
                return mask

            draw.get_concrete_function()
