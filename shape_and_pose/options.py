"""The settings of training; the defaults are the published ones.

docs/released-dpc.md has the flag of every released key.
"""

import math
from dataclasses import dataclass

from samplenet.data import cameras
from samplenet.data.views.models import ViewsConfig
from samplenet.errors import InputError
from samplenet.ops.voxels import LARGEST
from samplenet.runs.settings import option

SUPERVISION = ("camera", "none", "points")
SIZES = {"at_least": 1, "at_most": LARGEST}


@dataclass
class NetworkConfig(ViewsConfig):
    """What the network predicts, and its size."""

    supervision: str = option(
        "camera",
        "what is known of a training model: 'camera', the pose of each picture; 'none', the "
        "silhouettes alone; 'points', the true cloud (for comparison)",
        choices=SUPERVISION,
    )
    num_points: int = option(8000, "points of the predicted cloud, N", at_least=1)
    conv_width: int = option(16, "channels of the first convolution, doubled by blocks", at_least=1)
    fc_width: int = option(1024, "width of hidden layers", at_least=1)
    code_width: int = option(1024, "width of the features that are decoded", at_least=1)
    points_init: float = option(
        0.025, "standard deviation of the last layers' first weights", above=0
    )
    learn_scale: bool = option(True, "predict the factor of the occupancies")
    largest_scale: float = option(1.0, "upper bound of that factor", above=0)
    candidates: int = option(4, "pose candidates a picture, C, without supervision", at_least=1)
    pose_layers: int = option(3, "layers from the pose's feature to a candidate", at_least=1)
    student: bool = option(True, "learn one pose from the winning candidates, if C > 1")
    translation: bool = option(False, "predict a shift of the cloud too, without supervision")
    translation_range: float = option(0.15, "factor of the shift", above=0)
    translation_tanh: bool = option(True, "keep the shift within that range")
    translation_init: float = option(0.05, "as --points-init, of the shift's layer", above=0)
    colours: bool = option(False, "predict the points' colours too")
    deep_colours: bool = option(False, "colours from layers of their own")


@dataclass
class DrawingConfig(NetworkConfig):
    """How clouds are drawn; see `samplenet.ops.Voxels`."""

    grid_size: int = option(64, "pixels a side of the drawn silhouettes, D", **SIZES)
    grid_size_z: int | None = option(None, "voxels along a ray (default: as --grid-size)", **SIZES)
    kernel_size: int = option(21, "taps of the Gaussian, odd", **SIZES)
    focal_length: float = option(cameras.FOCAL, "of the lens, in sides of the image", above=0)
    camera_distance: float = option(cameras.DISTANCE, "from camera to origin", above=0.5)
    max_depth: float = option(10.0, "depth of the background", above=0)
    max_projection: bool = option(False, "the silhouette is the largest occupancy of a ray")
    clip_colours: str = option(
        "before", "clip colours before or after smoothing", choices=("before", "after")
    )
    divide_colours: bool = option(False, "divide smoothed colours by the smoothed occupancy")
    colours_move_points: bool = option(True, "let colours pull at points")
    as_released: bool = option(
        False, "the released code's pixels, half a pixel off: targets are decimated, not averaged"
    )


@dataclass
class Config(DrawingConfig):
    """How the network learns; the defaults are those of the released chairs."""

    epochs: int = 1012  # 600,000 steps of 8 of the 4744 chairs
    batch_size: int = option(8, "models a step, B", at_least=1)
    lr: float = 1e-4
    views_per_step: int = option(4, "pictures of each model in a step, V", at_least=1)
    weight_decay: float = option(1e-3, "weight of half the squared weights", at_least=0)
    clip_norm: float | None = option(
        None,
        "largest norm of the gradient of all weights, of several devices of each one's part; "
        "default: any, as published",
        above=0,
    )
    sigma: float = option(3.0, "of the Gaussian in voxels, as the run begins", above=0)
    sigma_end: float = option(0.2, "of the Gaussian as it ends; linear in between", above=0)
    keep: float = option(0.07, "share of the points drawn as the run begins", above=0, at_most=1)
    keep_schedule: str = option(
        "linear", "how the share grows to 1", choices=("linear", "exponential", "constant")
    )
    keep_from: float = option(0.0, "share of the run before it grows", at_least=0, below=1)
    keep_until: float = option(1.0, "share of the run until it is 1", above=0, at_most=1)
    student_weight: float = option(20.0, "of the student's loss", at_least=0)
    student_loss: str = option(
        "angle",
        "'angle' between the quaternions, or distance of 'points' turned by them",
        choices=("angle", "points"),
    )
    silhouette_weight: float = option(1.0, "of the silhouettes' loss and the student's", at_least=0)
    ray_weight: float = option(0.0, "of the ray consistency loss", at_least=0)
    colour_weight: float = option(0.0, "of the colour images' loss", at_least=0)
    blur_targets: str = option(
        "never",
        "smooth the true silhouettes as the drawn ones: 'early' as long as sigma is at least 1",
        choices=("never", "early", "always"),
    )
    blur_colours: bool = option(False, "smooth the true colours as the drawn ones")

    def check(self) -> None:
        """Raise InputError unless the settings fit together."""
        size = self.image_size
        if size < 8 or math.log2(size) % 1:
            raise InputError(f"--image-size must be a power of 2 of at least 8, got {size}")
        if self.grid_size > size or size % self.grid_size:
            raise InputError(
                f"--grid-size must divide --image-size {size}, for targets as large as the drawn "
                f"silhouettes; got {self.grid_size}"
            )
        if self.kernel_size % 2 == 0:
            raise InputError(f"--kernel-size must be odd, got {self.kernel_size}")
        if self.views_per_step > self.num_views:
            raise InputError(
                f"--views-per-step must be at most --num-views {self.num_views}, "
                f"got {self.views_per_step}"
            )
        if self.supervision == "points" and (self.colours or self.ray_weight):
            flag = "--colours need" if self.colours else "--ray-weight needs"
            raise InputError(f"{flag} pictures: not with --supervision points")
        if self.translation and self.supervision != "none":
            raise InputError("--translation is of unknown cameras: give --supervision none")
        if self.max_projection and self.colours:
            raise InputError("--max-projection draws no colours: leave out --colours")
        if self.colours != (self.colour_weight > 0):
            raise InputError("--colours and a --colour-weight above 0 need each other")
        if self.keep_until <= self.keep_from:
            raise InputError(
                f"--keep-until must be above --keep-from {self.keep_from}, got {self.keep_until}"
            )
