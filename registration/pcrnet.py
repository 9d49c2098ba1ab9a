"""The task network: PCRNet (arXiv 1908.07906), the transform that moves a template onto a source, and its loss."""

from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import rigid
from samplenet.errors import InputError
from samplenet.ops.torch import chamfer, gather
from samplenet.runs.run import finished_run
from samplenet.torch.state import State

INPUT_SHAPES = ("bcn", "bnc")
INITS = ("default", "he")
FEW = 128  # points up to which the last layer of features is cheaper done whole than searched


class Features(nn.Module):
    """What both clouds are described by: shared per-point layers 64-64-64-128-`bottleneck_size`, then the maximum.

    The layers are Conv1d of one tap by name and shape of their weights, (out, in, 1), and applied as linear ones.
    """

    def __init__(self, bottleneck_size: int):
        super().__init__()
        widths = (3, 64, 64, 64, 128, bottleneck_size)
        for i in range(5):
            setattr(self, f"conv{i + 1}", nn.Conv1d(widths[i], widths[i + 1], 1))

    def forward(self, points: Tensor) -> Tensor:
        """(B, N, 3) -> (B, bottleneck_size)."""
        features = points
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            features = F.relu(F.linear(features, conv.weight[..., 0], conv.bias))
        weight, bias = self.conv5.weight[..., 0], self.conv5.bias
        if points.shape[1] <= FEW:
            return F.relu(F.linear(features, weight, bias).max(1).values)
        # Nine tenths of the work is in the last layer, and its maximum keeps one point for each of its channels. So
        # the whole layer is only searched, and what is kept is computed again to be differentiated: the same
        # gradients at a third of the cost. Detached weights, as autocast would keep a copy without a gradient.
        with torch.no_grad():
            largest = F.linear(features.detach(), weight.detach()).argmax(1)  # (B, bottleneck)
        kept = gather(features, largest)  # (B, bottleneck, 128)
        return F.relu((kept * weight).sum(-1) + bias)


class PCRNet(nn.Module):
    """Estimate the rigid transform between two clouds.

    Args:
        bottleneck_size: width of each cloud's description.
        input_shape: "bcn", clouds as (B, 3, N), or "bnc", (B, N, 3).
        iterations: times the template is moved by the estimate and the rest is estimated again; 1 is the published
            single pass.
        translation: whether the estimate moves the template by its translation as well between iterations. A network
            trained on pairs without one has learned none.
    """

    def __init__(self, bottleneck_size=1024, input_shape="bcn", iterations=1, translation=False):
        super().__init__()
        if input_shape not in INPUT_SHAPES:
            raise InputError(f"input_shape must be 'bcn' or 'bnc', got {input_shape!r}")
        if iterations < 1:
            raise InputError(f"iterations must be at least 1, got {iterations}")
        self.input_shape, self.iterations, self.translation = input_shape, iterations, translation
        self.feat = Features(bottleneck_size)
        widths = (2 * bottleneck_size, 1024, 1024, 512, 512, 256, 7)
        for i in range(6):
            setattr(self, f"fc{i + 1}", nn.Linear(widths[i], widths[i + 1]))

    def forward(self, template: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        """Two batches of clouds, of any two sizes -> twist (B, 7), quaternion before normalisation (B, 4).

        The twist, a unit quaternion (w, x, y, z) and a translation, moves the template onto the source. With
        iterations it is that of all of them together, and the raw quaternion is the last one's.
        """
        if self.input_shape == "bcn":
            template, source = template.transpose(1, 2), source.transpose(1, 2)
        described = self.feat(source)
        twist, raw = self._estimate(self.feat(template), described)
        for _ in range(self.iterations - 1):
            moved = self._move(twist, template)
            rest, raw = self._estimate(self.feat(moved), described)
            if self.translation:
                twist = rigid.compose(rest, twist)
            else:
                twist = torch.cat([rigid.multiply(rest[:, :4], twist[:, :4]), rest[:, 4:]], 1)
        return twist, raw

    def _estimate(self, template: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        features = torch.cat([template, source], 1)
        for layer in (self.fc1, self.fc2, self.fc3, self.fc4, self.fc5):
            features = F.relu(layer(features))
        output = self.fc6(features)  # (B, 7)
        output = output if output.dtype == torch.float64 else output.float()
        return torch.cat([rigid.normalise(output[:, :4]), output[:, 4:]], 1), output[:, :4]

    def _move(self, twist: Tensor, points: Tensor) -> Tensor:
        return (
            rigid.apply(twist, points) if self.translation else rigid.rotate(twist[:, :4], points)
        )


def initialise_he(net: PCRNet) -> None:
    """Weights of He et al. (arXiv 1502.01852) in the layers that ReLU follows, and no biases.

    PyTorch's own let the signal fade from layer to layer; from these, a short run learns about twice as fast.
    """
    for name, parameter in net.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif name != "fc6.weight":
            nn.init.kaiming_normal_(parameter, nonlinearity="relu")


def load_task(folder: str) -> tuple[PCRNet, SimpleNamespace]:
    """Open the frozen PCRNet of a finished run, and the run's settings."""
    if not folder:
        raise InputError("--task is needed: the run folder of the trained PCRNet")
    config, arrays, _ = finished_run(
        folder,
        class_name=str,
        pairs=int,
        translation=bool,
        independent=bool,
        noise=float,
        iterations=int,
    )
    net = PCRNet(input_shape="bnc", iterations=config.iterations, translation=config.translation)
    State(net).restore(arrays, folder)
    return net.requires_grad_(False).eval(), config


def task_loss(
    twist: Tensor,
    template: Tensor,
    source: Tensor,
    quaternion: Tensor,
    translation: Tensor | None = None,
) -> Tensor:
    """Mean over the batch of ||R^ R^T - I||_F^2 + Chamfer(source, R^ template), R^ the estimated rotation.

    With a true `translation` (B, 3) the estimate moves the template by both its parts, and ||t^ - t||^2 is added.

    Args:
        twist: (B, 7), estimated.
        template, source: (B, N, 3) and (B, M, 3), the clouds that Chamfer compares: the sampled ones for a sampler.
        quaternion: (B, 4), the true rotation.
    """
    # ||R^ R^T - I|| = ||(R^ - R) R^T|| = ||R^ - R||, as a rotation changes no length
    difference = rigid.to_matrix(twist[:, :4]) - rigid.to_matrix(quaternion)
    loss = difference.square().sum((1, 2))
    if translation is None:
        moved = rigid.rotate(twist[:, :4], template)
    else:
        moved = rigid.apply(twist, template)
        loss = loss + (twist[:, 4:] - translation).square().sum(1)
    distances = chamfer(source, moved)
    return (loss + distances.a2b.mean(1) + distances.b2a.mean(1)).mean()
