"""Checks of an op's arguments: what `contract` says, of tensors."""

import torch
from torch import Tensor

from samplenet.errors import InputError
from samplenet.ops import contract

HALVES = ("float16", "bfloat16")


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def dtype_names(**tensors: Tensor) -> dict[str, str]:
    """Name the type each tensor is computed in: under autocast half and float32 inputs may be mixed."""
    names = {name: _dtype(tensor) for name, tensor in tensors.items()}
    device = next(iter(tensors.values())).device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        names = {name: "float32" if d in HALVES else d for name, d in names.items()}
    return names


def require(condition: Tensor, message: str) -> None:
    """InputError unless the condition is true; in compiled code the assertion's error, at its run time."""
    if torch.compiler.is_compiling():
        torch._assert_async(condition, message)
    elif not condition:
        raise InputError(message)


def check_clouds(op: str, **clouds) -> list[Tensor]:
    """Check the named clouds; return them in the dtype the op computes in."""
    # torch.as_tensor would move a tensor to the default device (`with torch.device("meta")`)
    clouds = {
        name: c if isinstance(c, Tensor) else torch.as_tensor(c) for name, c in clouds.items()
    }
    devices = {name: str(c.device) for name, c in clouds.items()}
    if len(set(devices.values())) > 1:
        raise InputError(f"{op}: inputs must be on one device, got {devices}")
    dtypes = dtype_names(**clouds)
    contract.check_clouds(op, dtypes, **{name: tuple(c.shape) for name, c in clouds.items()})
    if contract.checking():
        for name, c in clouds.items():
            if not c.is_meta:  # which has no values
                require(torch.isfinite(c).all(), contract.non_finite(op, name))
    return [c if c.dtype == torch.float64 else c.to(torch.float32) for c in clouds.values()]


def check_indices(op: str, name: str, idx, points: Tensor, rank: int | None = None) -> Tensor:
    """Check an index tensor against `points` (B, N, ...); return it as int64.

    Its values are checked where that makes nobody wait, else left to the operation that uses them.
    """
    idx = idx if isinstance(idx, Tensor) else torch.as_tensor(idx, device=points.device)
    contract.check_index(op, name, tuple(idx.shape), _dtype(idx), points.shape[0], rank)
    if idx.device != points.device:
        raise InputError(
            f"{op}: {name} must be on the device of points, {points.device}, got {idx.device}"
        )
    idx = idx.to(torch.int64)
    if idx.device.type == "cpu" and not torch.compiler.is_compiling() and idx.numel() > 0:
        low, high = (int(value) for value in torch.aminmax(idx))
        if low < 0 or high >= points.shape[1]:
            raise InputError(contract.out_of_range(op, name, low, high, points.shape[1]))
    return idx


def check_count(op: str, name: str, value, n: int) -> int:
    """`contract.check_count`, which torch.compile cannot trace for an integer it does not know yet."""
    known = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= n
    return value if known else contract.check_count(op, name, value, n)
