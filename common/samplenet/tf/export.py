"""A sampler's inference in TensorFlow's own operations, saved so that it runs without samplenet."""

from pathlib import Path

import tensorflow as tf

from samplenet.export.network import Network
from samplenet.ops import tf as ops
from samplenet.ops import use_native


class Inference(tf.Module):
    """`SampleNet` outside training, its batch norm folded: simplify, match, complete by FPS."""

    def __init__(self, network: Network):
        super().__init__()
        self.m = network.m
        self.convs = [(tf.constant(weight.T), tf.constant(bias)) for weight, bias in network.convs]
        self.fcs = [(tf.constant(weight.T), tf.constant(bias)) for weight, bias in network.fcs]

    @tf.function(input_signature=[tf.TensorSpec((None, None, 3), tf.float32, "cloud")])
    def __call__(self, cloud):
        """Sample cloud (B, N, 3) float32, N >= m.

        Returns points (B, m, 3), idx (B, m) int32 and queries (B, m, 3) by name.
        """
        out = cloud
        for weight, bias in self.convs:
            out = tf.nn.relu(tf.matmul(out, weight) + bias)  # (B, N, C)
        out = tf.reduce_max(out, 1)
        for weight, bias in self.fcs[:-1]:
            out = tf.nn.relu(tf.matmul(out, weight) + bias)
        weight, bias = self.fcs[-1]
        queries = tf.reshape(tf.matmul(out, weight) + bias, (-1, self.m, 3))
        native = use_native(False)  # the native ops are not part of TensorFlow
        try:
            nearest = ops.knn(queries, cloud, 1)[1][..., 0]
            idx = ops.farthest_points(cloud, self.m, chosen=nearest)
        finally:
            use_native(native)
        return {"points": ops.gather(cloud, idx), "idx": idx, "queries": queries}


def save(network: Network, folder: Path) -> None:
    """Write a SavedModel for batches and clouds of any size, with a serving signature."""
    module = Inference(network)
    tf.saved_model.save(module, folder, signatures=module.__call__)
