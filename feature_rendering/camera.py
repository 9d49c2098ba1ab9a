"""The known cameras: where the points of an object are in its views."""

import tensorflow as tf

from samplenet.data.cameras import FOCAL

NEAR = 1e-3  # points nearer than this are projected as if they were there; none is in an object


def to_pixels(points, cameras, size: int) -> tf.Tensor:
    """Project points (B, N, 3) to V views of `size` pixels a side: (B, V, N, 3).

    The result is row, column and depth as `samplenet.ops.tf.project_mask` takes them, in pixels
    whose centres are at 0.5, 1.5, ... Depth is along the camera's axis; behind the camera it is
    negative, and such points are not drawn.

    Differs from the released code: there, the centres of pixels are whole numbers, so that its
    pictures are half a pixel off.

    Args:
        points: in the frame of `samplenet.data.cameras.differ_frame`.
        cameras: (B, V, 4, 4) of `samplenet.data.cameras.to_differ`.
    """
    turned = tf.einsum("bni,bvji->bvnj", points, cameras[..., :3, :3])
    seen = turned + cameras[:, :, None, :3, 3]  # down, right, backward
    depth = -seen[..., 2:]
    pixels = FOCAL * size * seen[..., :2] / tf.maximum(depth, NEAR) + size / 2
    return tf.concat([pixels, depth], -1)
