"""The layers of a trained sampler without batch norm, as arrays: what every exported format is made of."""

from typing import NamedTuple

import numpy as np

from samplenet import weights


class Layer(NamedTuple):
    """y = weight x + bias: weight (out, in), bias (out,), float32."""

    weight: np.ndarray
    bias: np.ndarray


class Network(NamedTuple):
    """Per-point layers, max over the points, fully connected layers; a ReLU after all but the last, which gives Q.

    Attributes:
        m: points of a sample; the last layer's 3m values lie as (m, 3).
    """

    m: int
    convs: list[Layer]
    fcs: list[Layer]


def fold(sampler) -> Network:
    """The network of a `SampleNet`, of either framework, with each batch norm folded into the layer before it."""
    arrays, epsilon = weights.arrays(sampler), sampler.config["bn_epsilon"]

    def layers(name: str, norm: str, count: int) -> list[Layer]:
        return [_folded(arrays, f"{name}{i}", f"{norm}{i}", epsilon) for i in range(1, count + 1)]

    convs = layers("conv", "bn", len(sampler.config["conv_widths"]))
    fcs = layers("fc", "bn_fc", len(sampler.config["fc_widths"]) + 1)
    if sampler.output_order == "3m":
        rows = np.arange(3 * sampler.m).reshape(3, sampler.m).T.ravel()
        fcs[-1] = Layer(*(a[rows] for a in fcs[-1]))
    return Network(sampler.m, convs, fcs)


def _folded(arrays: dict[str, np.ndarray], layer: str, norm: str, epsilon: float) -> Layer:
    """In float64, so that folding adds one rounding of each weight."""
    weight, bias = (
        arrays[f"{layer}.weight"].astype(np.float64),
        arrays[f"{layer}.bias"].astype(np.float64),
    )
    weight = weight.reshape(weight.shape[:2])  # a convolution's window is 1
    if f"{norm}.weight" in arrays:
        gain, offset, mean, variance = (
            arrays[f"{norm}.{name}"].astype(np.float64)
            for name in ("weight", "bias", "running_mean", "running_var")
        )
        gain = gain / np.sqrt(variance + epsilon)
        weight, bias = gain[:, None] * weight, gain * (bias - mean) + offset
    return Layer(weight.astype(np.float32), bias.astype(np.float32))
