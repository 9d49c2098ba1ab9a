"""Call `render_voxels` of a framework with arrays: images and gradients as arrays."""

import numpy as np

NAMES = ("points", "sigma", "scale", "colours")


def draw(framework: str, inputs: dict, weights: dict | None = None, **options) -> tuple:
    """Return the images, and the gradients of the sum of weights * images, by name.

    Args:
        framework: "torch", "tf", or "tf graph", which is traced for unknown sizes.
        inputs: by `NAMES`; scale and colours may be missing.
        weights: by the names of `Rendered`; those that are missing count for nothing.
    """
    run = {"torch": _torch, "tf": _tf, "tf graph": _tf_graph}[framework]
    images, gradients = run(inputs, weights or {}, options)
    images = type(images)(*(None if a is None else np.asarray(a) for a in images))
    return images, {n: np.asarray(a) for n, a in zip(inputs, gradients, strict=False)}


def _torch(inputs, weights, options):
    import torch

    from samplenet.ops.torch import render_voxels

    leaves = {name: torch.as_tensor(a).requires_grad_() for name, a in inputs.items()}
    images = render_voxels(**leaves, **options)
    loss = [(getattr(images, n) * torch.as_tensor(w)).sum() for n, w in weights.items()]
    given = list(leaves.values())
    gradients = torch.autograd.grad(sum(loss), given, materialize_grads=True) if loss else ()
    arrays = (None if image is None else image.detach() for image in images)
    return type(images)(*arrays), gradients


def _tf(inputs, weights, options):
    import tensorflow as tf

    from samplenet.ops.tf import render_voxels

    leaves = {name: tf.convert_to_tensor(a) for name, a in inputs.items()}
    given = list(leaves.values())
    with tf.GradientTape() as tape:
        tape.watch(given)
        images = render_voxels(**leaves, **options)
        loss = [tf.reduce_sum(getattr(images, n) * w) for n, w in weights.items()]
        loss = tf.add_n(loss) if loss else None
    zero = tf.UnconnectedGradients.ZERO
    return images, () if loss is None else tape.gradient(loss, given, unconnected_gradients=zero)


def _tf_graph(inputs, weights, options):
    import tensorflow as tf

    arrays = {"inputs": inputs, "weights": weights}

    def unknown(array):
        shape = [None] * np.ndim(array)
        if np.ndim(array) == 3:
            shape[-1] = np.shape(array)[-1]
        return tf.TensorSpec(shape, np.asarray(array).dtype)

    kind = []

    def call(arrays):
        images, gradients = _tf(arrays["inputs"], arrays["weights"], options)
        kind.append(type(images))
        return tuple(images), gradients

    signature = [tf.nest.map_structure(unknown, arrays)]
    images, gradients = tf.function(call, input_signature=signature)(
        tf.nest.map_structure(tf.convert_to_tensor, arrays)
    )
    return kind[0](*images), gradients
