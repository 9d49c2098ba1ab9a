"""The task network: PCRNet (arXiv 1908.07906), which registers two clouds, and its loss."""

from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import rigid
from samplenet.ops.torch import chamfer
from samplenet.runs.run import finished_run
from samplenet.torch.layers import pooled_block
from samplenet.torch.state import State

INITS = ("default", "he")


class Features(nn.Module):
    """Describe a cloud: per-point layers 64-64-64-128-`bottleneck_size`, then the maximum.

    The weights have the released names and shapes, those of Conv1d (out, in, 1), so that released
    checkpoints load; they are applied as linear layers.
    """

    def __init__(self, bottleneck_size: int):
        super().__init__()
        widths = (3, 64, 64, 64, 128, bottleneck_size)
        for i in range(5):
            setattr(self, f"conv{i + 1}", nn.Conv1d(widths[i], widths[i + 1], 1))

    def forward(self, points: Tensor) -> Tensor:
        """(B, N, 3) -> (B, bottleneck_size)."""
        features = self.early(points)
        weight, bias = self.conv5.weight[..., 0], self.conv5.bias
        # nine tenths of the work, of which the maximum keeps one point for each channel
        return pooled_block(features, weight.t(), bias)

    def early(self, points: Tensor) -> Tensor:
        """Return the features (B, N, 128) of each point before the last of its layers."""
        features = points
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            features = F.relu(F.linear(features, conv.weight[..., 0], conv.bias))
        return features


class PCRNet(nn.Module):
    """Estimate the rigid transform between two clouds.

    Args:
        bottleneck_size: number of features of each cloud.
        iterations: passes. Each moves the template by the estimate so far and estimates the rest;
            1 is the published single pass.
        translation: also translate the template between passes. Leave it out for a network that was
            trained on pairs without translation: its estimate of it means nothing.
    """

    def __init__(self, bottleneck_size=1024, iterations=1, translation=False):
        super().__init__()
        self.iterations, self.translation = iterations, translation
        self.feat = Features(bottleneck_size)
        widths = (2 * bottleneck_size, 1024, 1024, 512, 512, 256, 7)
        for i in range(6):
            setattr(self, f"fc{i + 1}", nn.Linear(widths[i], widths[i + 1]))

    def forward(self, template: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate the twists that move templates onto sources, (B, N, 3) and (B, M, 3).

        Returns:
            twist: (B, 7), a unit quaternion (w, x, y, z) and a translation, over all iterations.
            raw: (B, 4), the last iteration's quaternion before normalisation.
        """
        source_features = self.feat(source)
        twist, raw = self._estimate(self.feat(template), source_features)
        for _ in range(self.iterations - 1):
            if self.translation:
                moved = rigid.apply(twist, template)
            else:
                moved = rigid.rotate(twist[:, :4], template)
            rest, raw = self._estimate(self.feat(moved), source_features)
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
        # autocast leaves bfloat16 here, too coarse for a rotation
        output = output if output.dtype == torch.float64 else output.float()
        return torch.cat([rigid.normalise(output[:, :4]), output[:, 4:]], 1), output[:, :4]

    # what `samplenet.torch.GreedySampler` asks, which samples each cloud of a pair by itself

    def early_features(self, points: Tensor) -> Tensor:
        """Return each point's features (B, N, 128) before the last layer of them."""
        return self.feat.early(points)

    def late_features(self, early: Tensor) -> Tensor:
        """Return the features (B, N, bottleneck_size) that are pooled, of (B, N, 128)."""
        conv = self.feat.conv5
        return F.relu(F.linear(early, conv.weight[..., 0], conv.bias))

    def discrepancy(self, pooled: Tensor, whole: Tensor) -> Tensor:
        """Return how far the rotations between a cloud's sample and the cloud are off: (B,).

        The squared distances of two quaternions, from the sample to the cloud and back, to what
        the network answers for the cloud and itself.
        """
        there, back, target = (
            self._estimate(*features)[0][:, :4]
            for features in ((pooled, whole), (whole, pooled), (whole, whole))
        )
        return ((there - target).square() + (back - target).square()).sum(1)


def initialise_he(net: PCRNet) -> None:
    """Draw the weights before each ReLU as in arXiv 1502.01852 (He et al.), and zero the biases.

    With PyTorch's own first weights the signal fades from layer to layer; with these, a short run
    learns about twice as fast.
    """
    for name, parameter in net.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif name != "fc6.weight":
            nn.init.kaiming_normal_(parameter, nonlinearity="relu")


def load_task(folder: str) -> tuple[PCRNet, SimpleNamespace]:
    """Open the frozen PCRNet of a finished run, and the run's settings."""
    data = {"class_name": str, "pairs": int, "independent": bool, "noise": float}
    config, arrays, _ = finished_run(folder, translation=bool, iterations=int, **data)
    net = PCRNet(iterations=config.iterations, translation=config.translation)
    State(net).restore(arrays, folder)
    return net.requires_grad_(False).eval(), config


def task_loss(
    twist: Tensor,
    template: Tensor,
    source: Tensor,
    quaternion: Tensor,
    translation: Tensor | None = None,
) -> Tensor:
    """Return the batch mean of ||R^ R^T - I||_F^2 + Chamfer(source, R^ template).

    R^ is the estimated rotation, R the true one. With a true `translation` t, the template is also
    moved by the estimate t^, and ||t^ - t||^2 is added.

    Args:
        twist: (B, 7), estimated.
        template, source: (B, N, 3) and (B, M, 3), whole clouds or samples.
        quaternion: (B, 4), the true rotation.
        translation: (B, 3), the true one; None for pairs that are only turned.
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
