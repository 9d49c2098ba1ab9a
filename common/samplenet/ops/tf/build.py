"""Load a build of the native operators and register their gradients."""

import contextlib

import tensorflow as tf

# no public function says whether the graph that is traced will be compiled by XLA
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

from samplenet.ops import native
from samplenet.ops.voxels import Voxels


def _library():
    """Return the module of the compiled ops, None without a build.

    Raises:
        ImportError: the build does not load.
    """
    return native.load("tf", tf.__version__, tf.load_op_library)


def native_library():
    """Return the compiled ops if they can be used for what is computed or traced now, else None."""
    if not native.enabled() or GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()):
        return None
    return _library()


def serves_renderers(points) -> bool:
    """Return whether native ops draw these points: in float32, on a GPU if they are built for it.

    Their options have the digits of float32. Without CUDA kernels they would leave the GPU.
    """
    if points.dtype != tf.float32 or native_library() is None:
        return False
    on_cpu = not tf.config.list_logical_devices("GPU")
    return on_cpu or native.built("tf", tf.__version__)["device"] == "cuda"


# A saved model looks its ops up by name, so importing this module must register them. A build that
# does not load is not an error yet: the first use raises it.
if native.enabled():
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


@tf.RegisterGradient("SamplenetBatchNormRelu")
def _batch_norm_relu_gradient(op, grad, *_):
    if grad is None:
        return None, None, None
    backward = _library().samplenet_batch_norm_relu_backward
    return tuple(backward(grad, *op.inputs, *op.outputs[1:], epsilon=op.get_attr("epsilon")))


@tf.RegisterGradient("SamplenetRenderVoxels")
def _render_voxels_gradient(op, *grads):
    pairs = zip(grads, op.outputs, strict=True)
    grads = [tf.zeros_like(image) if grad is None else grad for grad, image in pairs]
    options = {name: op.get_attr(name) for name in Voxels().native}
    # TensorFlow's own gradients look at this to skip what nobody asks for; older versions lack it
    skipped = getattr(op, "skip_input_indices", None) or ()
    backward = _library().samplenet_render_voxels_backward
    return tuple(backward(*grads, *op.inputs, **options, with_sigma=1 not in skipped))


@tf.RegisterGradient("SamplenetProjectSums")
def _project_sums_gradient(op, grad):
    options = {name: op.get_attr(name) for name in ("height", "width", "variance", "as_released")}
    return _library().samplenet_project_sums_backward(grad, op.inputs[0], **options)


@tf.RegisterGradient("SamplenetProjectFeatures")
def _project_features_gradient(op, grad, _):
    if grad is None:
        return None, None
    names = ("height", "width", "radius", "beta", "as_released")
    options = {name: op.get_attr(name) for name in names}
    backward = _library().samplenet_project_features_backward
    return tuple(backward(grad, *op.inputs, op.outputs[0], **options))


@tf.RegisterGradient("SamplenetRenderVoxelsBackward")
@tf.RegisterGradient("SamplenetProjectSumsBackward")
@tf.RegisterGradient("SamplenetProjectFeaturesBackward")
@tf.RegisterGradient("SamplenetBatchNormReluBackward")
@tf.RegisterGradient("SamplenetPooledLinearBackward")
@tf.RegisterGradient("SamplenetKnnBackward")
@tf.RegisterGradient("SamplenetChamferBackward")
def _no_second_gradient(op, *_):
    raise NotImplementedError(
        f"{op.type}: native ops have no second-order gradient; framework operations have: "
        "call samplenet.ops.use_native(False) before the forward pass"
    )


tf.no_gradient("SamplenetFarthestPoints")
tf.no_gradient("SamplenetBallQuery")
