"""The sampler network."""

import inspect
from contextlib import nullcontext
from itertools import pairwise

import torch
from torch import Tensor, nn

from samplenet.errors import InputError
from samplenet.ops import torch as ops
from samplenet.sampled import Sampled, Settings
from samplenet.torch.baselines import check_finite
from samplenet.torch.layers import point_block
from samplenet.torch.projection import SoftProjection


class SampleNet(nn.Module):
    """Simplify clouds to m points: projected softly in training, matched to input points otherwise.

    A PointNet of per-point blocks, max pool and fully connected blocks gives the simplified points
    Q. In training (`train()`), `points` is Q softly projected on the input. Otherwise (`eval()`)
    each q is matched to its nearest input point, duplicates are dropped, and farthest point
    sampling completes the sample to m (SampleNet, sec. 3). Trained with the losses of its first c
    points for several c, the sampler is progressive: `order` then serves every size.

    Inference refuses coordinates that are NaN or infinite, in eager mode on the CPU.

    Parameters have the released code's names: conv1, bn1, fc1, bn_fc1, project._temperature.

    Args:
        settings, named: the fields of `samplenet.sampled.Settings`, by position or by name: m, and
            what differs from the classification experiment.
    """

    def __init__(self, *settings, **named):
        super().__init__()
        self.settings = own = Settings(*settings, **named)
        self.m = own.m
        self.convs, self.fcs = len(own.conv_widths), len(own.fc_widths) + 1
        norm = {"eps": own.bn_epsilon, "momentum": 1 - own.bn_momentum}
        for i, (inputs, width) in enumerate(pairwise((3, *own.conv_widths)), 1):
            # Conv1d for its weights (out, in, 1), as released
            self.add_module(f"conv{i}", nn.Conv1d(inputs, width, 1))
            self.add_module(f"bn{i}", nn.BatchNorm2d(width, **norm))
        widths = (own.conv_widths[-1], *own.fc_widths, 3 * own.m)
        for i, (inputs, width) in enumerate(pairwise(widths), 1):
            has_norm = own.fc_batch_norm if i < self.fcs else own.output_batch_norm
            self.add_module(f"fc{i}", nn.Linear(inputs, width))
            self.add_module(
                f"bn_fc{i}", nn.BatchNorm1d(width, **norm) if has_norm else nn.Identity()
            )
        self.project = None
        if own.projection:
            self.project = SoftProjection(own.k, own.temperature, min_sigma=own.min_sigma)

    __init__.__signature__ = inspect.signature(Settings.__init__)  # for help()

    def _fc(self, i: int, values) -> Tensor:
        return getattr(self, f"bn_fc{i}")(getattr(self, f"fc{i}")(values))

    def simplify(self, points) -> Tensor:
        """Return the simplified cloud Q (B, m, 3) of points (B, N, 3), in float32 at least."""
        batch, dtype = points.shape[0], self.conv1.weight.dtype
        out = points.to(dtype)
        for i in range(1, self.convs + 1):
            conv, norm = getattr(self, f"conv{i}"), getattr(self, f"bn{i}")
            out = point_block(out, conv.weight[..., 0].t(), conv.bias, norm)  # (B, N, C)
        out = out.amax(1)  # (B, C); equal maxima share the gradient, as in TensorFlow
        for i in range(1, self.fcs):
            out = torch.relu(self._fc(i, out))
        # the last layer gives coordinates: autocast's 8 to 11 bits would be too coarse for them
        device = points.device.type
        has_autocast = torch.amp.is_autocast_available(device)  # not on "meta", an error there
        with torch.autocast(device, enabled=False) if has_autocast else nullcontext():
            out = self._fc(self.fcs, out.to(dtype))  # (B, 3m)
        out = out.to(torch.promote_types(dtype, torch.float32))
        if self.settings.output_order == "m3":
            return out.reshape(batch, self.m, 3)
        return out.reshape(batch, 3, self.m).transpose(1, 2)

    def soften(self, points, queries) -> Tensor:
        """Return the points (B, m, 3) that the task network sees in training."""
        return queries if self.project is None else self.project(points, queries)

    def match(self, points, queries, m=None) -> Tensor:
        """Match the queries to distinct input points, completed to m by FPS: idx (B, m)."""
        _, nearest = ops.knn(queries, points, 1)  # (B, M, 1)
        return ops.farthest_points(points, m or self.m, chosen=nearest[..., 0])

    def order(self, points, m=None) -> Sampled:
        """Put points (B, N, 3) in a progressive sampler's order; its first m are the sample of m.

        All of Q is matched, duplicates are dropped, and farthest point sampling continues to N, or
        to m. Returns points (B, N or m, 3) and idx in order, and queries (B, self.m, 3). In
        training it is an error.
        """
        self._check(points)
        if self.training:
            raise InputError("SampleNet: order is for inference; call eval() first")
        queries = self.simplify(points)
        points = points.to(queries.dtype)
        idx = self.match(points, queries, m or points.shape[1])
        return Sampled(ops.gather(points, idx), idx, queries)

    def forward(self, points, cloud=None) -> Sampled:
        """Sample points (B, N, 3): projected in training, else matched; `cloud` is ignored."""
        self._check(points)
        queries = self.simplify(points)
        points = points.to(queries.dtype)  # the network's own precision, float32 at least
        if self.training:
            return Sampled(self.soften(points, queries), None, queries)
        idx = self.match(points, queries)
        return Sampled(ops.gather(points, idx), idx, queries)

    def _check(self, points):
        if not isinstance(points, Tensor):
            got = type(points).__name__
            raise InputError(
                f"SampleNet: points must be a torch tensor, got {got}; torch.as_tensor converts it"
            )
        self.settings.check_clouds(tuple(points.shape))
        if not self.training:
            check_finite("SampleNet", points)
