"""The greedy rule and the library's task networks in NumPy, to read and to use without a framework.

`choose` is the rule. Each network describes a cloud's points by layers with ReLU, takes the maximum
over the points, and answers by dense layers, ReLU between them. Batch norm is folded into the layer
before it. The discrepancies are those of classification/pointnet.py, reconstruction/autoencoder.py
and registration/pcrnet.py.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samplenet.errors import InputError
from samplenet.pretrained import task_card, task_folder
from samplenet.runs.checkpoint import load_checkpoint

FIVE = ("conv1", "conv2", "conv3", "conv4", "conv5")


def choose(network, points: NDArray, m: int) -> NDArray[np.int64]:
    """Choose m of points (N, 3) by a frozen network: `GreedySampler`, slowly and for one cloud.

    Args:
        network: from `load`.

    Returns:
        Distinct indices (m,), in the order in which they are chosen.

    Raises:
        InputError: the cloud has fewer than m points.
    """
    if m > len(points):
        raise InputError(f"m must be at most the cloud's {len(points)} points, got {m}")
    features = network.late_features(network.early_features(points))  # (N, F), none negative
    whole, pooled = features.max(0), np.zeros_like(features[0])  # (F,)
    picks: list[int] = []
    for _ in range(m):
        _, gradient = network.discrepancy(pooled, whole)
        gains = -np.maximum(features - pooled, 0) @ gradient
        gains[picks] = -np.inf
        picks.append(int(gains.argmax()))  # of equal gains the lowest index
        pooled = np.maximum(pooled, features[picks[-1]])
    return np.array(picks, np.int64)


class Network:
    """A task network, for one cloud at a time.

    A subclass names its layers, the epsilon of its batch norms, and has `discrepancy(pooled,
    whole)`: maxima (F,) over the chosen points and over the pool -> how far the network's answers
    from them are apart, and its gradient (F,) with respect to `pooled`.

    Args:
        path: a checkpoint of its weights.
        dtype: of all that it computes.
    """

    per_point: tuple[str, ...] = FIVE
    dense: tuple[str, ...]
    epsilon = 0.0

    def __init__(self, path: Path, dtype=np.float32):
        arrays, _ = load_checkpoint(path)
        try:
            self.points = [_layer(arrays, name, self.epsilon, dtype) for name in self.per_point]
            self.head = [_layer(arrays, name, self.epsilon, dtype) for name in self.dense]
        except KeyError as error:
            raise InputError(f"{path} lacks {error} of {type(self).__name__}") from error
        if arrays:
            raise InputError(f"{path} has {min(arrays)}, which {type(self).__name__} has not")
        self.dtype = dtype

    def early_features(self, points: NDArray) -> NDArray:
        """Return each point's features (N, C) before the last layer of them, of points (N, 3)."""
        features = points.astype(self.dtype)
        for weight, bias in self.points[:-1]:
            features = _relu(features @ weight + bias)
        return features

    def late_features(self, early: NDArray) -> NDArray:
        """Return the features (N, F), none negative, that are pooled, of (N, C)."""
        weight, bias = self.points[-1]
        return _relu(early @ weight + bias)

    def answer(self, pooled: NDArray) -> NDArray:
        """Return the network's answer, such as a classifier's logits, to maxima (F,)."""
        return self._forward(pooled)[-1]

    def _forward(self, pooled: NDArray) -> list[NDArray]:
        """Return the input of each dense layer, and at the end the answer."""
        values = [pooled]
        for weight, bias in self.head[:-1]:
            values.append(_relu(values[-1] @ weight + bias))
        weight, bias = self.head[-1]
        return [*values, values[-1] @ weight + bias]

    def _backward(self, values: list[NDArray], gradient: NDArray) -> NDArray:
        """Turn the gradient by the answer into that by the first layer's input."""
        for i in range(len(self.head) - 1, 0, -1):
            gradient = (gradient @ self.head[i][0].T) * (values[i] > 0)  # ReLU lets those through
        return gradient @ self.head[0][0].T


class Classification(Network):
    """The vanilla PointNet: the cross-entropy of its answer to its own softmax."""

    dense = ("fc1", "fc2", "logits")
    epsilon = 1e-3

    def discrepancy(self, pooled, whole):
        values = self._forward(pooled)
        target, answer = _log_softmax(self.answer(whole)), _log_softmax(values[-1])
        entropy = -(np.exp(target) * answer).sum()
        return entropy, self._backward(values, np.exp(answer) - np.exp(target))


class Reconstruction(Network):
    """The autoencoder: the mean squared distance between the rebuilt points, by number."""

    dense = ("fc1", "fc2", "points")
    epsilon = 1e-5

    def discrepancy(self, pooled, whole):
        values = self._forward(pooled)
        offsets = values[-1] - self.answer(whole)  # (3 N,)
        n = len(offsets) // 3
        return (offsets**2).sum() / n, self._backward(values, 2 * offsets / n)


class Registration(Network):
    """PCRNet: squared distances of its quaternions, from the sample to the cloud and back.

    Both are compared with what it answers for the cloud and itself.
    """

    per_point = tuple(f"feat.{name}" for name in FIVE)
    dense = ("fc1", "fc2", "fc3", "fc4", "fc5", "fc6")

    def discrepancy(self, pooled, whole):
        pairs = ((pooled, whole), (whole, pooled), (whole, whole))
        values = self._forward(np.stack([np.concatenate(pair) for pair in pairs]))  # (3, 7)
        raw = values[-1][:, :4]
        length = np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-12)
        unit = raw / length
        offsets = unit - unit[2]  # the last is 0
        # a change along the quaternion is lost as it is brought to length 1
        along = (offsets * unit).sum(1, keepdims=True) * unit
        gradient = np.zeros_like(values[-1])
        gradient[:2, :4] = (2 * (offsets - along) / length)[:2]
        there, back, _ = self._backward(values, gradient)
        f = len(pooled)
        return (offsets**2).sum(), there[:f] + back[f:]


KINDS = {
    "classification": Classification,
    "reconstruction": Reconstruction,
    "registration": Registration,
}


def load(name: str, dtype=np.float32) -> Network:
    """Open the library's task network `name`; InputError if there is none."""
    return KINDS[task_card(name)["experiment"]](task_folder(name) / "last.safetensors", dtype)


def _layer(arrays: dict[str, NDArray], name: str, epsilon: float, dtype) -> tuple:
    """Take a layer out of `arrays`: weight (in, out) and bias (out,), its batch norm folded in."""

    def take(part: str) -> NDArray:
        return arrays.pop(f"{name}{part}").astype(np.float64)

    if f"{name}.weight" in arrays:  # PyTorch: (out, in), or (out, in, 1) of each point
        weight, bias = take(".weight"), take(".bias")
        weight = weight.reshape(weight.shape[:2]).T
    else:  # Keras
        inside = "/fc" if f"{name}/fc/kernel" in arrays else ""
        weight, bias = take(f"{inside}/kernel"), take(f"{inside}/bias")
    if f"{name}/bn/gamma" in arrays:
        scale = take("/bn/gamma") / np.sqrt(take("/bn/moving_variance") + epsilon)
        weight, bias = weight * scale, (bias - take("/bn/moving_mean")) * scale + take("/bn/beta")
    return weight.astype(dtype), bias.astype(dtype)


def _relu(values: NDArray) -> NDArray:
    return np.maximum(values, 0)


def _log_softmax(logits: NDArray) -> NDArray:
    shifted = logits - logits.max()
    return shifted - np.log(np.exp(shifted).sum())
