"""The sampler network."""

from contextlib import nullcontext
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samplenet.errors import InputError
from samplenet.ops import torch as ops
from samplenet.sampled import Sampled
from samplenet.torch.baselines import check_finite
from samplenet.torch.projection import SoftProjection


class SampleNet(nn.Module):
    """Simplify a cloud to m points, project them softly while training, pick input points otherwise.

    A PointNet of per-point blocks, max pool and fully connected blocks gives the simplified points Q. While
    training (`train()`) `points` is Q softly projected on the input; otherwise (`eval()`) each q is matched to
    its nearest input point, duplicates are dropped, and farthest point sampling completes the sample to m
    (SampleNet, sec. 3). Trained on the losses of its first c points for several c it is progressive: `order` then
    serves every size. The defaults are those of the classification experiment.

    Inference refuses coordinates that are NaN or infinite, in eager mode on the CPU.

    Parameters have the released code's names: conv1.., bn1.., fc1.., bn_fc1.., project._temperature.

    Args:
        m: points to sample, at most N.
        k, temperature, min_sigma: of the soft projection; see `SoftProjection`.
        projection: False gives S-NET (arXiv 1812.01659): Q itself is what the task sees while training.
        conv_widths: per-point widths, the last is the bottleneck. Classification and registration
            (64, 64, 64, 128, 128), reconstruction (64, 128, 128, 256, 128).
        fc_widths: hidden widths. Classification and registration (256, 256, 256), reconstruction (256, 256).
        fc_batch_norm: batch norm in the hidden layers. Reconstruction False, the others True.
        output_batch_norm: batch norm after the last layer. Classification True, the others False.
        output_order: how the last layer's 3m values lie: "m3" (classification, reconstruction), "3m" (registration).
        bn_epsilon, bn_momentum: classification 1e-3 and a schedule (`set_momentum`), the others 1e-5 and 0.9;
            the momentum is the share of the running statistics kept at each step.
    """

    def __init__(
        self,
        m,
        k=7,
        temperature=1.0,
        min_sigma=0.0,
        projection=True,
        conv_widths=(64, 64, 64, 128, 128),
        fc_widths=(256, 256, 256),
        fc_batch_norm=True,
        output_batch_norm=True,
        output_order="m3",
        bn_epsilon=1e-3,
        bn_momentum=0.9,
    ):
        super().__init__()
        if not isinstance(m, int) or m < 1:
            raise InputError(f"SampleNet: m must be a whole number of at least 1, got {m!r}")
        if output_order not in ("m3", "3m"):
            raise InputError(f"SampleNet: output_order must be 'm3' or '3m', got {output_order!r}")
        self.config = {
            "m": m,
            "k": k,
            "temperature": temperature,
            "min_sigma": min_sigma,
            "projection": projection,
            "conv_widths": tuple(conv_widths),
            "fc_widths": tuple(fc_widths),
            "fc_batch_norm": fc_batch_norm,
            "output_batch_norm": output_batch_norm,
            "output_order": output_order,
            "bn_epsilon": bn_epsilon,
            "bn_momentum": bn_momentum,
        }
        self.m, self.output_order = m, output_order
        # weights (out, in, 1), as in the released code, but applied to an image: see simplify
        conv = partial(nn.Conv1d, kernel_size=1)
        self._blocks(
            conv, nn.BatchNorm2d, "conv{}", "bn{}", (3, *conv_widths), [True] * len(conv_widths)
        )
        normed = [fc_batch_norm] * len(fc_widths) + [output_batch_norm]
        self._blocks(
            nn.Linear,
            nn.BatchNorm1d,
            "fc{}",
            "bn_fc{}",
            (conv_widths[-1], *fc_widths, 3 * m),
            normed,
        )
        self.convs, self.fcs = len(conv_widths), len(fc_widths) + 1
        self.project = SoftProjection(k, temperature, min_sigma=min_sigma) if projection else None

    def _blocks(self, layer, norm, layer_name, norm_name, widths, normed):
        """Register a chain of layers and their batch norms; `nn.Identity` has no state and stands for none."""
        settings = {"eps": self.config["bn_epsilon"], "momentum": 1 - self.config["bn_momentum"]}
        for i, has_norm in enumerate(normed, 1):
            self.add_module(layer_name.format(i), layer(widths[i - 1], widths[i]))
            self.add_module(
                norm_name.format(i), norm(widths[i], **settings) if has_norm else nn.Identity()
            )

    def _block(self, out, layer, norm):
        return getattr(self, norm)(getattr(self, layer)(out))

    def simplify(self, points) -> Tensor:
        """points (B, N, 3) -> Q (B, m, 3), at least float32: autocast does not reach the last layer's coordinates."""
        batch, dtype = points.shape[0], self.conv1.weight.dtype
        out = (
            points.to(dtype).unsqueeze(2).permute(0, 3, 1, 2)
        )  # (B, 3, N, 1), an image with channels last: faster
        for i in range(1, self.convs + 1):
            conv = getattr(self, f"conv{i}")
            out = F.conv2d(out, conv.weight[..., None], conv.bias)
            out = torch.relu(getattr(self, f"bn{i}")(out))  # (B, C, N, 1)
        out = out.amax((2, 3))  # (B, C); equal largest ones share the gradient, as in TensorFlow
        for i in range(1, self.fcs):
            out = torch.relu(self._block(out, f"fc{i}", f"bn_fc{i}"))
        device = points.device.type
        has_autocast = torch.amp.is_autocast_available(device)  # "meta" has none, and is refused
        with torch.autocast(device, enabled=False) if has_autocast else nullcontext():
            out = self._block(out.to(dtype), f"fc{self.fcs}", f"bn_fc{self.fcs}")  # (B, 3m)
        out = out.to(torch.promote_types(dtype, torch.float32))
        if self.output_order == "m3":
            return out.reshape(batch, self.m, 3)
        return out.reshape(batch, 3, self.m).transpose(1, 2)

    def soften(self, points, queries) -> Tensor:
        """What the task network sees while training: (B, N, 3), (B, m, 3) -> (B, m, 3)."""
        return queries if self.project is None else self.project(points, queries)

    def match(self, points, queries, m=None) -> Tensor:
        """The m distinct input points matched to the queries, completed by farthest point sampling: idx (B, m)."""
        _, nearest = ops.knn(queries, points, 1)  # (B, M, 1)
        return ops.farthest_points(points, m or self.m, chosen=nearest[..., 0])

    def order(self, points, m=None) -> Sampled:
        """The whole cloud in a progressive sampler's order, or its first m points: those are the sample of size m.

        All of Q is matched, duplicates are dropped, and farthest point sampling continues to N. Not while training.
        points (B, N, 3) -> Sampled, points (B, N or m, 3) and idx in order, queries (B, self.m, 3).
        """
        self._check(points)
        if self.training:
            raise InputError("SampleNet: order is for inference; call eval() first")
        queries = self.simplify(points)
        points = points.to(queries.dtype)
        idx = self.match(points, queries, m or points.shape[1])
        return Sampled(ops.gather(points, idx), idx, queries)

    def forward(self, points, cloud=None) -> Sampled:
        """points (B, N, 3) -> Sampled: projected while training, matched otherwise; `cloud` is ignored."""
        self._check(points)
        queries = self.simplify(points)
        points = points.to(queries.dtype)  # the network's own precision, float32 at least
        if self.training:
            return Sampled(self.soften(points, queries), None, queries)
        idx = self.match(points, queries)
        return Sampled(ops.gather(points, idx), idx, queries)

    def _check(self, points):
        if not isinstance(points, Tensor):
            raise InputError(
                f"SampleNet: points must be a torch tensor, got {type(points).__name__}; torch.as_tensor"
            )
        shape = tuple(points.shape)
        if len(shape) != 3 or shape[2] != 3:
            raise InputError(f"SampleNet: points must have shape (B, N, 3), got {shape}")
        if shape[1] < self.m:
            raise InputError(
                f"SampleNet: m must be at most N, got m = {self.m} for clouds of N = {shape[1]} points"
            )
        if not self.training:
            check_finite("SampleNet", points)
