"""What the parts of the network return."""

from typing import NamedTuple

import tensorflow as tf


class Features(NamedTuple):
    """What the encoder sees in images.

    Attributes:
        picture: (B, 16 W), the last convolution's, with W channels.
        shape: (B, F), from which cloud, scale and colours are decoded.
        pose: (B, F); None if there is supervision.
    """

    picture: tf.Tensor
    shape: tf.Tensor
    pose: tf.Tensor | None

    def of_first(self, views: int) -> "Features":
        """Return those of each model's first picture; it has this number of them."""
        return Features(*(None if feature is None else feature[::views] for feature in self))


class Shape(NamedTuple):
    """Decoded clouds.

    Attributes:
        points: (B, N, 3) in the network's object frame, in [-0.5, 0.5].
        scale: (B,), the factor of the occupancies.
        colours: (B, N, 3) in [0, 1]; None if not asked for.
    """

    points: tf.Tensor
    scale: tf.Tensor
    colours: tf.Tensor | None


class Pose(NamedTuple):
    """Predicted cameras; quaternions are w first, of any length, see `camera.to_box`.

    Attributes:
        candidates: (B, C, 4).
        student: (B, 4); None if there is none.
        translation: (B, 3) of the turned cloud; None if not asked for.
    """

    candidates: tf.Tensor
    student: tf.Tensor | None
    translation: tf.Tensor | None

    def by_model(self, views: int) -> "Pose":
        """Return the same as (models, views, ...) for models of this number of pictures."""
        return Pose(
            *(None if a is None else tf.reshape(a, (-1, views, *a.shape[1:])) for a in self)
        )


class Prediction(NamedTuple):
    """All of `Shape` and `Pose`, the last three None if there is supervision.

    Attributes:
        pose: the student's; the first candidate if no student is trained.
    """

    points: tf.Tensor
    scale: tf.Tensor
    colours: tf.Tensor | None
    candidates: tf.Tensor | None
    pose: tf.Tensor | None
    translation: tf.Tensor | None
