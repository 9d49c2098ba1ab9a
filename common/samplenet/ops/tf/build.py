"""The native operators: loading a build, and their gradients."""

import contextlib

import tensorflow as tf
from tensorflow.python.ops import (
    control_flow_util,
)  # no public name tells whether XLA compiles what is traced

from samplenet.ops import native


def _library():
    """Return the module of the compiled ops, None without a build; raises ImportError while one does not load."""
    return native.load("tf", tf.__version__, tf.load_op_library)


def native_library():
    """Return the compiled ops if they are to serve what is computed or traced now, else None."""
    if not native.enabled() or control_flow_util.GraphOrParentsInXlaContext(
        tf.compat.v1.get_default_graph()
    ):
        return None
    return _library()


if (
    native.enabled()
):  # here, because a saved model finds its ops by name; what fails is raised at the first use
    with contextlib.suppress(Exception):
        if native.missing("tf", tf.__version__) is None:
            _library()


@tf.RegisterGradient("SamplenetKnn")
def _knn_gradient(op, grad, _):
    if grad is None:
        return None, None
    return tuple(_library().samplenet_knn_backward(grad, *op.inputs, op.outputs[1]))


@tf.RegisterGradient("SamplenetChamfer")
def _chamfer_gradient(op, grad_a2b, grad_b2a, *_):
    if grad_a2b is None and grad_b2a is None:
        return None, None
    a2b, b2a, idx_ab, idx_ba = op.outputs
    grad_a2b = tf.zeros_like(a2b) if grad_a2b is None else grad_a2b
    grad_b2a = tf.zeros_like(b2a) if grad_b2a is None else grad_b2a
    return tuple(
        _library().samplenet_chamfer_backward(grad_a2b, grad_b2a, *op.inputs, idx_ab, idx_ba)
    )


@tf.RegisterGradient("SamplenetPooledLinear")
def _pooled_linear_gradient(op, grad, _):
    if grad is None:
        return None, None
    return tuple(_library().samplenet_pooled_linear_backward(grad, *op.inputs, op.outputs[1]))


@tf.RegisterGradient("SamplenetPooledLinearBackward")
@tf.RegisterGradient("SamplenetKnnBackward")
@tf.RegisterGradient("SamplenetChamferBackward")
def _no_second_gradient(op, *_):
    raise NotImplementedError(
        f"{op.type}: native ops have no second-order gradient; call samplenet.ops.use_native(False) before the forward "
        "pass to have one from framework operations"
    )


tf.no_gradient("SamplenetFarthestPoints")
