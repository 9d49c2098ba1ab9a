"""Call the projections and mask losses of a framework: results and gradients as arrays."""

import importlib

import numpy as np


def call(framework: str, op: str, inputs: dict, weights: tuple = (), **options) -> tuple:
    """Return the results as a list, and the gradients of the sum of weights * results, by name.

    Args:
        framework: "reference", which has no gradients; "torch"; "tf"; or "tf graph", which is
            traced for unknown sizes.
        op: name of the function.
        inputs: its arrays, by name.
        weights: of the first results; without any there are no gradients.
    """
    results, gradients = RUN[framework](op, inputs, weights, options)
    gradients = {n: np.asarray(a) for n, a in zip(inputs, gradients, strict=False)}
    return [np.asarray(a) for a in results], gradients


def _results(out) -> list:
    return list(out) if isinstance(out, tuple) else [out]


def _reference(op, inputs, weights, options):
    from samplenet.ops import reference

    return _results(getattr(reference, op)(**inputs, **options)), ()


def _torch(op, inputs, weights, options):
    import torch

    function = getattr(importlib.import_module("samplenet.ops.torch"), op)
    leaves = {name: torch.as_tensor(a).requires_grad_(bool(weights)) for name, a in inputs.items()}
    results = _results(function(**leaves, **options))
    plain = [a.detach() for a in results]
    if not weights:
        return plain, ()
    pairs = zip(results, weights, strict=False)
    loss = sum((a * torch.as_tensor(w)).sum() for a, w in pairs)
    return plain, torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)


def _tf(op, inputs, weights, options):
    import tensorflow as tf

    function = getattr(importlib.import_module("samplenet.ops.tf"), op)
    leaves = {name: tf.convert_to_tensor(a) for name, a in inputs.items()}
    given = list(leaves.values())
    with tf.GradientTape() as tape:
        tape.watch(given)
        results = _results(function(**leaves, **options))
        pairs = zip(results, weights, strict=False)
        loss = [tf.reduce_sum(a * w) for a, w in pairs]
        loss = tf.add_n(loss) if loss else None
    zero = tf.UnconnectedGradients.ZERO
    gradients = tape.gradient(loss, given, unconnected_gradients=zero) if loss is not None else ()
    return results, gradients


def _tf_graph(op, inputs, weights, options):
    import tensorflow as tf

    def unknown(array):
        shape = [None] * np.ndim(array)
        if np.ndim(array) == 3 and op.startswith("project"):
            shape[-1] = np.shape(array)[-1]
        return tf.TensorSpec(shape, np.asarray(array).dtype)

    arrays = [inputs, list(weights)]
    signature = [tf.nest.map_structure(unknown, arrays)]
    traced = tf.function(lambda arrays: _tf(op, *arrays, options), input_signature=signature)
    return traced(tf.nest.map_structure(tf.convert_to_tensor, arrays))


RUN = {"reference": _reference, "torch": _torch, "tf": _tf, "tf graph": _tf_graph}
