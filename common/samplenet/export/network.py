"""The layers of a trained sampler as arrays, without batch norm: the input of every export."""

from typing import NamedTuple

import numpy as np

from samplenet import weights


class Layer(NamedTuple):
    """y = weight x + bias: weight (out, in), bias (out,), float32."""

    weight: np.ndarray
    bias: np.ndarray


class Network(NamedTuple):
    """Per-point layers, max over the points, fully connected layers.

    A ReLU follows each layer but the last, which gives Q.

    Attributes:
        m: points of a sample; the last layer's 3m values are in the order (m, 3).
    """

    m: int
    convs: list[Layer]
    fcs: list[Layer]


def fold(sampler) -> Network:
    """Return a `SampleNet`'s network, each batch norm folded into the layer before it."""
    # float64, so that folding rounds each weight only once
    arrays = {name: array.astype(np.float64) for name, array in weights.arrays(sampler).items()}
    settings = sampler.settings

    def layers(name: str, norm: str, count: int) -> list[Layer]:
        epsilon = settings.bn_epsilon
        return [_folded(arrays, f"{name}{i}", f"{norm}{i}", epsilon) for i in range(1, count + 1)]

    convs = layers("conv", "bn", len(settings.conv_widths))
    fcs = layers("fc", "bn_fc", len(settings.fc_widths) + 1)
    if settings.output_order == "3m":  # as in the released PyTorch code: all x, all y, all z
        rows = np.arange(3 * sampler.m).reshape(3, sampler.m).T.ravel()
        fcs[-1] = Layer(fcs[-1].weight[rows], fcs[-1].bias[rows])
    return Network(sampler.m, convs, fcs)


def _folded(arrays: dict[str, np.ndarray], layer: str, norm: str, epsilon: float) -> Layer:
    weight, bias = arrays[f"{layer}.weight"], arrays[f"{layer}.bias"]
    weight = weight.reshape(weight.shape[:2])  # a convolution's window is 1
    if f"{norm}.weight" in arrays:
        gain = arrays[f"{norm}.weight"] / np.sqrt(arrays[f"{norm}.running_var"] + epsilon)
        weight = gain[:, None] * weight
        bias = gain * (bias - arrays[f"{norm}.running_mean"]) + arrays[f"{norm}.bias"]
    return Layer(weight.astype(np.float32), bias.astype(np.float32))
