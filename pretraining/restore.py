"""Start a network from the weights of a pre-trained one, and say what share of it they are."""

from types import SimpleNamespace

import torch
from torch import nn

from samplenet.errors import InputError
from samplenet.runs.run import finished_run


def restore(net: nn.Module, folder: str, least_share: float) -> float:
    """Copy the weights of a finished run that agree with those of `net` in name and shape.

    Differs from the released code, which starts from whatever agrees, were it 0.1 % of the weights
    and without a word.

    Args:
        net: a network that holds its trunk as `trunk`, as the runs do.
        folder: run folder of a pre-training, or of a supervised training.
        least_share: of the parameters of `net` that must be restored.

    Returns:
        The share of its parameters that was restored, which is printed too.

    Raises:
        InputError: a smaller share; `net` is unchanged.
    """
    _, arrays, _ = pretrained_run(folder)
    own = net.state_dict()
    agreeing = {
        name: torch.from_numpy(arrays[name].copy())
        for name, tensor in own.items()
        if name in arrays and arrays[name].shape == tuple(tensor.shape)
    }
    sizes = {name: parameter.numel() for name, parameter in net.named_parameters()}
    share = sum(sizes[name] for name in agreeing.keys() & sizes.keys()) / sum(sizes.values())
    if share < least_share:
        lacking = next(name for name in sizes if name not in agreeing)
        raise InputError(
            f"{folder} restores {share:.1%} of the weights of this network, {least_share:.0%} are "
            f"needed; it lacks {lacking}, to begin with: choose a run of the same backbone"
        )
    net.load_state_dict(own | agreeing)
    print(f"{share:.1%} of the weights are from {folder}", flush=True)
    return share


def pretrained_run(folder: str) -> tuple[SimpleNamespace, dict, dict]:
    """Read the settings of a finished run that has a backbone, and its arrays and metadata."""
    return finished_run(folder, backbone=str, transforms=bool, k=int)
