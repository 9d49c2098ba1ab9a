"""Sparse convolution in plain PyTorch: a kernel visits the voxels that hold points, and no others.

    x, inverse = voxelise(points, colors, size=0.05)     # 5 cm voxels, colours averaged
    skip = relu(Convolution(3, 32)(x))                   # at the same voxels (submanifold)
    low = Convolution(32, 64, kernel=2, stride=2)(skip)  # at voxels of twice the size
    up = TransposedConvolution(64, 32, kernel=2)(low, skip.voxels)  # back at the finer ones
    of_points = up.features[inverse]                     # each point has its voxel's features

Voxels are sorted integers, and the pairs that a kernel joins are found by binary search, once for
all layers of a network on the same voxels. It runs on CPUs and GPUs. Values and gradients are those
of a dense convolution of a grid whose empty cells hold zeros, at the voxels that are there.
"""

from samplenet.torch.sparse.layers import (
    Convolution,
    TransposedConvolution,
    convolve,
    pool,
    relu,
)
from samplenet.torch.sparse.voxels import SparseTensor, Voxels, voxelise

__all__ = [
    "Convolution",
    "SparseTensor",
    "TransposedConvolution",
    "Voxels",
    "convolve",
    "pool",
    "relu",
    "voxelise",
]
