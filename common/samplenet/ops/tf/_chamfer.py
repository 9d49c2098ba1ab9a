"""The Chamfer distance."""

import tensorflow as tf

from samplenet.ops import contract
from samplenet.ops.contract import Chamfer
from samplenet.ops.tf._gather import fan_out
from samplenet.ops.tf.build import native_library
from samplenet.ops.tf.checks import check_clouds, require
from samplenet.ops.tf.search import distance_to_neighbours, search_nearest


def chamfer(a, b) -> Chamfer:
    """Return squared nearest-neighbour distances of a (B, M, 3) and b (B, N, 3), both ways."""
    a, b = check_clouds("chamfer", a=a, b=b)
    contract.check_not_empty("chamfer", "a", a.shape[1])
    contract.check_not_empty("chamfer", "b", b.shape[1])
    if ops := native_library():
        return Chamfer(*ops.samplenet_chamfer(a, b))
    # each cloud is used in both directions: fan_out fixes the order in which their gradients add up
    (a, again_a), (b, again_b) = fan_out(_not_empty("a", a), 2), fan_out(_not_empty("b", b), 2)
    idx_ab, idx_ba = search_nearest(a, b, 1)[..., 0], search_nearest(b, a, 1)[..., 0]
    a2b = distance_to_neighbours(a, tf.gather(b, idx_ab, batch_dims=1))
    b2a = distance_to_neighbours(again_b, tf.gather(again_a, idx_ba, batch_dims=1))
    return Chamfer(a2b, b2a, idx_ab, idx_ba)


def _not_empty(name: str, cloud: tf.Tensor) -> tf.Tensor:
    """Check a size that is known only when the graph runs."""
    if cloud.shape[1] is None:
        return require(tf.shape(cloud)[1] > 0, f"chamfer: {name} is empty (N = 0)", cloud)
    return cloud
