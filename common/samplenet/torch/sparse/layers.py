"""Convolutions of voxels: for each cell of the kernel a product of the rows that it joins."""

import torch
from torch import Tensor, nn

from samplenet.errors import InputError
from samplenet.torch.sparse.voxels import Pairs, SparseTensor, Voxels, check_kernel


class _Convolve(torch.autograd.Function):
    """Sum over the kernel's cells: rows gathered, multiplied, and added where they belong.

    A cell's rows are distinct, so no two sums meet, and every device adds in the same order. The
    gathered rows are gathered again in the backward pass: less memory for little time.
    """

    @staticmethod
    def forward(ctx, features, weight, pairs, count):
        ctx.save_for_backward(features, weight)
        ctx.pairs = pairs
        exact = torch.promote_types(features.dtype, torch.float32)
        out = features.new_zeros(count, weight.shape[2], dtype=exact)
        for (rows, to), matrix in zip(pairs, weight, strict=True):
            _add(out, to, _take(features, rows) @ matrix)
        return out.to(features.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        features, weight = ctx.saved_tensors
        exact = torch.promote_types(features.dtype, torch.float32)
        of_features = torch.zeros_like(features, dtype=exact) if ctx.needs_input_grad[0] else None
        of_weight = torch.empty_like(weight)
        for cell, (rows, to) in enumerate(ctx.pairs):
            of_out = _take(gradient, to)
            of_weight[cell] = _take(features, rows).t() @ of_out
            if of_features is not None:
                _add(of_features, rows, of_out @ weight[cell].t())
        of_features = None if of_features is None else of_features.to(features.dtype)
        return of_features, of_weight, None, None


def _take(features: Tensor, rows: Tensor | slice) -> Tensor:
    return features if isinstance(rows, slice) else features.index_select(0, rows)


def _add(total: Tensor, rows: Tensor | slice, values: Tensor) -> None:
    """Add values to distinct rows."""
    if isinstance(rows, slice):
        total += values
    else:
        total.index_add_(0, rows, values.to(total.dtype))


def convolve(features: Tensor, weight: Tensor, pairs: Pairs, count: int) -> Tensor:
    """Convolve features (V, C) by a kernel's matrices (cells, C, D): (count, D).

    Args:
        pairs: of each cell, the rows of the features and of the result that it joins, as of
            `Voxels.pairs`.
    """
    if torch.is_autocast_enabled(features.device.type):
        dtype = torch.get_autocast_dtype(features.device.type)
        features, weight = features.to(dtype), weight.to(dtype)
    return _Convolve.apply(features, weight, pairs, count)


class Convolution(nn.Module):
    """Convolve voxels: at the same voxels with stride 1 (submanifold), or at coarser ones.

    Equal to `torch.nn.functional.conv3d` of a grid with zeros where there is no voxel, with padding
    (kernel - 1) / 2 for an odd kernel, at the voxels of `Voxels.coarser(stride)`.

    Args:
        kernel: cells along each axis.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, bias: bool = False
    ):
        super().__init__()
        check_kernel(kernel, stride)
        if min(inputs, outputs) < 1:
            raise InputError(f"inputs and outputs must be at least 1, got {inputs}, {outputs}")
        self.kernel, self.stride = kernel, stride
        # of the cell (x, y, z) row (x * kernel + y) * kernel + z
        self.weight = nn.Parameter(torch.empty(kernel**3, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        nn.init.normal_(self.weight, std=(2 / (inputs * kernel**3)) ** 0.5)

    @torch.compiler.disable
    def forward(self, x: SparseTensor) -> SparseTensor:
        self._check(x)
        voxels = x.voxels.coarser(self.stride)
        pairs = x.voxels.pairs(self.kernel, self.stride)
        return SparseTensor(self._convolve(x.features, pairs, len(voxels)), voxels)

    def _convolve(self, features: Tensor, pairs: Pairs, count: int) -> Tensor:
        out = convolve(features, self.weight, pairs, count)
        return out if self.bias is None else out + self.bias

    def _check(self, x: SparseTensor) -> None:
        if x.features.shape != (len(x.voxels), self.weight.shape[1]):
            raise InputError(
                f"features must be {(len(x.voxels), self.weight.shape[1])}, of each voxel, got "
                f"{tuple(x.features.shape)}"
            )


class TransposedConvolution(Convolution):
    """Convolve back to finer voxels that are known, such as those before a strided convolution.

    Equal to `torch.nn.functional.conv_transpose3d` at those voxels.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 2, stride: int = 2, bias: bool = False
    ):
        super().__init__(inputs, outputs, kernel, stride, bias)

    @torch.compiler.disable
    def forward(self, x: SparseTensor, to: Voxels) -> SparseTensor:
        """Convolve to the voxels `to`, of which `to.coarser(stride)` are the input's."""
        self._check(x)
        if to.coarser(self.stride) is not x.voxels:
            raise InputError(
                f"the voxels to return to must be those whose coarser({self.stride}) the input has"
            )
        pairs = [(there, here) for here, there in to.pairs(self.kernel, self.stride)]
        return SparseTensor(self._convolve(x.features, pairs, len(to)), to)


def relu(x: SparseTensor) -> SparseTensor:
    """Apply ReLU to the features."""
    return x._replace(features=torch.relu(x.features))


def pool(x: SparseTensor) -> Tensor:
    """Return the maximum over each cloud's voxels, (B, C); 0 for a cloud without any."""
    rows = x.voxels.cloud[:, None].expand_as(x.features)
    out = x.features.new_zeros(x.voxels.clouds, x.features.shape[1])
    return out.scatter_reduce(0, rows, x.features, "amax", include_self=False)
