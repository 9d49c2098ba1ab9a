"""The heads that pre-training puts on a network of points or images, and leaves behind."""

from torch import Tensor, nn

from point_layers import PointLayer

HIDDEN = 512


class PointHead(nn.Module):
    """Project each point's features: 512, batch norm, ReLU, `outputs`."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.hidden = PointLayer(inputs, HIDDEN)
        self.out = nn.Linear(HIDDEN, outputs)

    def forward(self, features: Tensor) -> Tensor:
        """(B, N, inputs) -> (B, N, outputs)."""
        return self.out(self.hidden(features))


class GlobalHead(nn.Sequential):
    """Project an object's features, (B, inputs) -> (B, outputs), by way of 512."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(
            nn.Linear(inputs, HIDDEN, bias=False),
            nn.BatchNorm1d(HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, outputs),
        )
