"""The classes of the released PyTorch code (github.com/itailang/SampleNet, registration/src).

They take its arguments and layouts and return its results; `samplenet.torch` does the work. "bcn"
is (B, 3, N), "bnc" (B, N, 3).
"""

import torch
from torch import Tensor, nn

from samplenet.errors import InputError
from samplenet.ops import torch as ops
from samplenet.torch import losses, projection, samplenet


def _keep_shapes(sampler, num_out_points: int, input_shape: str, output_shape: str) -> None:
    for name, layout in (("input_shape", input_shape), ("output_shape", output_shape)):
        if layout not in ("bcn", "bnc"):
            raise InputError(f"{name} must be 'bcn' (B, 3, N) or 'bnc' (B, N, 3), got {layout!r}")
    sampler.num_out_points = num_out_points
    sampler.input_shape, sampler.output_shape = input_shape, output_shape


def _swap(clouds: Tensor, layout: str) -> Tensor:
    """Convert between (B, N, 3) and `layout`, either way."""
    return clouds.transpose(1, 2) if layout == "bcn" else clouds


class SoftProjection(projection.SoftProjection):
    """Project clouds (B, 3, N) softly to queries (B, 3, m), and features with the same weights.

    Args:
        group_size: neighbours averaged, k.
        initial_temperature, is_temperature_trainable: of t. Differs from the released code: False
            holds t fixed.
        min_sigma: lower bound on sigma = t2.
    """

    def __init__(
        self, group_size, initial_temperature=1.0, is_temperature_trainable=True, min_sigma=1e-4
    ):
        super().__init__(group_size, initial_temperature, is_temperature_trainable, min_sigma)

    def sigma(self) -> Tensor:
        """Return max(t2, min_sigma)."""
        return self._sigma()

    def project(self, point_cloud, query_cloud) -> Tensor:
        """Return the projected queries (B, 3, m)."""
        return self._blend(point_cloud, query_cloud, point_cloud)[0]

    def propagate(self, point_cloud, point_features, query_cloud) -> Tensor:
        """Carry features (B, F, N) over to the queries: (B, F, m)."""
        return self._blend(point_cloud, query_cloud, point_features)[0]

    def project_and_propagate(
        self, point_cloud, point_features, query_cloud
    ) -> tuple[Tensor, Tensor]:
        """Return the projected queries (B, 3, m) and their features (B, F, m)."""
        return tuple(self._blend(point_cloud, query_cloud, point_cloud, point_features))

    def forward(self, point_cloud, query_cloud, point_features=None, action="project"):
        """Call the method named by `action`."""
        if action == "project":
            return self.project(point_cloud, query_cloud)
        if action not in ("propagate", "project_and_propagate"):
            known = "project, propagate or project_and_propagate"
            raise InputError(f"action must be {known}, got {action!r}")
        if point_features is None:
            raise InputError(f"action {action} needs point_features (B, F, N)")
        return getattr(self, action)(point_cloud, point_features, query_cloud)

    def _blend(self, point_cloud, query_cloud, *values) -> list[Tensor]:
        weights, idx = self.weights(point_cloud.transpose(1, 2), query_cloud.transpose(1, 2))
        blended = [projection.blend(weights, idx, value.transpose(1, 2)) for value in values]
        return [value.transpose(1, 2).contiguous() for value in blended]


class SampleNet(samplenet.SampleNet):
    """`samplenet.torch.SampleNet` with the registration experiment's layers.

    Args:
        num_out_points: m.
        bottleneck_size: width of the last per-point layer.
        group_size, initial_temperature, is_temperature_trainable, min_sigma: see `SoftProjection`.
        input_shape, output_shape: "bcn" (B, 3, N) or "bnc" (B, N, 3).
        complete_fps: False leaves repeated points in the matched cloud.
        skip_projection: S-NET: while training the task network is given the simplified points.
            Differs from the released code: the simplification loss stays.
    """

    name = "samplenet"

    def __init__(
        self,
        num_out_points,
        bottleneck_size,
        group_size,
        initial_temperature=1.0,
        is_temperature_trainable=True,
        min_sigma=1e-2,
        input_shape="bcn",
        output_shape="bcn",
        complete_fps=True,
        skip_projection=False,
    ):
        super().__init__(
            num_out_points,
            projection=False,
            conv_widths=(64, 64, 64, 128, bottleneck_size),
            output_batch_norm=False,
            output_order="3m",
            bn_epsilon=1e-5,
        )
        # S-NET's temperature gets no gradient, and DDP waits for one of every trainable parameter
        trainable = is_temperature_trainable and not skip_projection
        self.project = SoftProjection(group_size, initial_temperature, trainable, min_sigma)
        self.complete_fps, self.skip_projection = complete_fps, skip_projection
        _keep_shapes(self, num_out_points, input_shape, output_shape)

    def __setattr__(self, name, value):
        """Make `sampler.training = False` mean `eval()`.

        Differs from the released code, whose batch norms went on training.
        """
        super().__setattr__(name, value)
        if name == "training":
            for child in self.children():
                child.train(value)

    def soften(self, points, queries):
        if self.skip_projection:
            return queries
        return self.project(points.transpose(1, 2), queries.transpose(1, 2)).transpose(1, 2)

    def match(self, points, queries, m=None):
        if self.complete_fps:
            return super().match(points, queries, m)
        return ops.knn(queries, points, 1)[1][..., 0]

    def forward(self, x) -> tuple[Tensor, Tensor]:
        """Return (simplified, projected) in training, (simplified, matched) otherwise."""
        sampled = super().forward(_swap(x, self.input_shape))
        simplified = _swap(sampled.queries, self.output_shape).contiguous()
        return simplified, _swap(sampled.points, self.output_shape).contiguous()

    def get_simplification_loss(self, ref_pc, samp_pc, pc_size, gamma=1, delta=0) -> Tensor:
        """Compare samp_pc (B, m, 3) with ref_pc (B, N, 3); 0 outside training."""
        if not self.training:
            return ref_pc.new_zeros(())
        return losses.simplification_loss(samp_pc, ref_pc, gamma=gamma + delta * pc_size)

    def get_projection_loss(self) -> Tensor:
        """Return sigma = t2; 0 outside training and without projection."""
        sigma = self.project.sigma()
        return sigma if self.training and not self.skip_projection else torch.zeros_like(sigma)


class _Baseline(nn.Module):
    """Pick m points of each cloud by their indices, `pick(points)` (B, m)."""

    def __init__(self, num_out_points, input_shape="bcn", output_shape="bcn"):
        super().__init__()
        _keep_shapes(self, num_out_points, input_shape, output_shape)

    def forward(self, x) -> Tensor:
        points = _swap(x, self.input_shape)
        return _swap(ops.gather(points, self.pick(points)), self.output_shape).contiguous()


class RandomSampler(_Baseline):
    """Pick m distinct points of each cloud.

    Differs from the released code, which draws with repeats, and from the first m points only.
    """

    name = "random"

    def pick(self, points):
        batch, n = points.shape[:2]
        if not 1 <= self.num_out_points <= n:
            raise InputError(f"m must be in [1, N] = [1, {n}], got {self.num_out_points}")
        return torch.rand(batch, n, device=points.device).topk(self.num_out_points, 1).indices


class FPSSampler(_Baseline):
    """Sample farthest points, from a random point of each cloud (`permute`) or from its first."""

    name = "fps"

    def __init__(self, num_out_points, permute, input_shape="bcn", output_shape="bcn"):
        super().__init__(num_out_points, input_shape, output_shape)
        self.permute = permute

    def pick(self, points):
        batch, n = points.shape[:2]
        start = torch.randint(max(n, 1), (batch,), device=points.device) if self.permute else 0
        return ops.farthest_points(points, self.num_out_points, start=start)


class ChamferDistance(nn.Module):
    """Return squared nearest-neighbour distances of (B, M, 3) and (B, N, 3): (B, M), (B, N)."""

    def forward(self, xyz1, xyz2) -> tuple[Tensor, Tensor]:
        return tuple(ops.chamfer(xyz1, xyz2)[:2])
