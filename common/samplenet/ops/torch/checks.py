"""The argument checks of `contract`, for tensors."""

import torch
from torch import Tensor

from samplenet.errors import InputError
from samplenet.ops import contract

HALVES = ("float16", "bfloat16")


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def dtype_names(**tensors: Tensor) -> dict[str, str]:
    """Return the dtypes to check; autocast mixes halves with float32, so there both are float32."""
    names = {name: _dtype(tensor) for name, tensor in tensors.items()}
    device = next(iter(tensors.values())).device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        halves = [name for name, dtype in names.items() if dtype in HALVES]
        names |= dict.fromkeys(halves, "float32")
    return names


def require(condition: Tensor, message: str) -> None:
    """Raise InputError unless the condition is true; compiled code asserts it when it runs."""
    if torch.compiler.is_compiling():
        torch._assert_async(condition, message)
    elif not condition:
        raise InputError(message)


def on_one_device(op: str, **arrays) -> dict[str, Tensor]:
    """Return the arrays as tensors; require that they are on one device."""
    # torch.as_tensor would move a tensor to the default device (`with torch.device("meta")`)
    for name, a in arrays.items():
        arrays[name] = a if isinstance(a, Tensor) else torch.as_tensor(a)
    devices = {name: str(a.device) for name, a in arrays.items()}
    if len(set(devices.values())) > 1:
        raise InputError(f"{op}: inputs must be on one device, got {devices}")
    return arrays


def check_clouds(op: str, **clouds) -> list[Tensor]:
    """Check the named clouds; return them in the dtype that the op computes in."""
    clouds = on_one_device(op, **clouds)
    dtypes = dtype_names(**clouds)
    contract.check_clouds(op, dtypes, **{name: tuple(c.shape) for name, c in clouds.items()})
    if contract.checking():
        for name, c in clouds.items():
            if not c.is_meta:  # meta tensors have no values
                require(torch.isfinite(c).all(), contract.non_finite(op, name))
    dtype = torch.float64 if "float64" in dtypes.values() else torch.float32
    return [c.to(dtype) for c in clouds.values()]


def check_indices(op: str, name: str, idx, points: Tensor, rank: int | None = None) -> Tensor:
    """Check an index tensor against `points` (B, N, ...); return it as int64.

    Its values are checked on the CPU outside torch.compile, where that does not make the host wait;
    elsewhere the operation that uses them must guard itself.
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
    """Return `contract.check_count`; torch.compile cannot trace it for a symbolic integer."""
    known = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= n
    return value if known else contract.check_count(op, name, value, n)
