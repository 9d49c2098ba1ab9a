"""Score a sampler of your own beside the others: farthest points, weighted by curvature.

    python classification/evaluate.py --task classification --samplers random --sizes 1024 \\
        --save-samples samples/whole --out results/whole
    python examples/own_sampler.py samples/whole/random-1024-seed0 -m 32 --out samples/curvature
    python classification/evaluate.py --task classification --samplers random fps --sizes 32 \\
        --samples samples/curvature --out results/curvature

The first command writes the test clouds, the second picks 32 points of each, the third scores them
by the classifier that comes with the library. To try a sampler of yours, replace `choose`.
"""

import os
from pathlib import Path

import numpy as np

from samplenet import InputError
from samplenet.atomic import beside
from samplenet.data import modelnet40
from samplenet.runs.parser import Parser
from samplenet.runs.script import main


def curvature(cloud, k=16):
    """Measure how far the k nearest points of each are from a plane: (N, 3) -> (N,) in [0, 1/3].

    It is the surface variation of Pauly, Gross and Kobbelt (2002): the smallest eigenvalue of the
    neighbourhood's covariance, over the sum of all three.
    """
    dist2 = ((cloud[:, None] - cloud) ** 2).sum(2)  # (N, N)
    k = min(k, len(cloud))
    near = cloud[np.argpartition(dist2, k - 1, axis=1)[:, :k]]  # (N, k, 3)
    near = near - near.mean(1, keepdims=True)
    spread = np.linalg.eigvalsh(near.transpose(0, 2, 1) @ near)  # (N, 3), ascending
    return spread[:, 0].clip(0) / spread.sum(1).clip(1e-12)


def choose(cloud, m):
    """Choose m points of a cloud (N, 3): their indices (m,), all different.

    Each is the point with the largest product of weight and squared distance to those before it.
    """
    weight = 0.1 + curvature(cloud)
    nearest, chosen = np.full(len(cloud), 1e9), []  # equally far: the first is the most curved
    for _ in range(m):
        chosen.append(int((weight * nearest).argmax()))
        nearest = np.minimum(nearest, ((cloud - cloud[chosen[-1]]) ** 2).sum(1))
        nearest[chosen] = -1  # never again, even if points coincide
    return np.array(chosen)


def run(flags):
    whole = modelnet40.load(flags.source, "test", None)
    n = whole.points.shape[1]
    if not 1 <= flags.m <= n:
        raise InputError(f"-m must be in [1, N] = [1, {n}], got {flags.m}")
    if flags.out.exists():
        raise InputError(f"{flags.out} is there already; remove it, or choose another --out")
    sampled = np.stack([cloud[choose(cloud, flags.m)] for cloud in whole.points])
    flags.out.parent.mkdir(parents=True, exist_ok=True)
    with beside(flags.out) as new:  # so that --out is there only when it is complete
        new.mkdir()
        modelnet40.write_names(new, whole.names)
        modelnet40.write_split(new, "test", sampled, whole.labels, whole.ids)
        os.rename(new, flags.out)
    print(f"{flags.out}: {flags.m} of {n} points of {len(whole)} clouds")


if __name__ == "__main__":
    parser = Parser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("source", type=Path, help="folder of whole clouds, from --save-samples")
    parser.add_argument("-m", type=int, default=32, help="points of a sample")
    parser.add_argument("--out", type=Path, required=True, help="folder for the samples")
    flags = parser.parse_args()
    main(lambda: run(flags))
