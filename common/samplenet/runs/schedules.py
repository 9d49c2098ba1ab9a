"""Schedules of the learning rate and of batch norm's momentum."""

import math

SCHEDULES = ("step", "cosine", "poly")


def learning_rate(config, step: int, steps: int) -> float:
    """Compute the learning rate at `step` of `steps`.

    Args:
        config: its `lr_schedule` is "step", the released code's: `lr` times `lr_decay` for every
            `lr_decay_samples` clouds seen; or "cosine", for short runs: half a cosine from `lr`
            over the whole run; or "poly", SR-UNet's: `lr` times (1 - step / steps)^0.9. None falls
            below a floor of 1e-5.
    """
    if config.lr_schedule == "step":
        factor = config.lr_decay ** (step * config.batch_size // config.lr_decay_samples)
    elif config.lr_schedule == "poly":
        factor = (1 - step / steps) ** 0.9
    else:
        factor = 0.5 * (1 + math.cos(math.pi * step / steps))
    # The released code's floor: with smaller steps Adam hardly moves. An lr below it is kept.
    floor = min(config.lr, 1e-5)
    return max(config.lr * factor, floor)


def bn_momentum(config, step: int) -> float:
    """Compute the decay of batch norm's running statistics at `step`.

    As in the released classifier it grows from 0.5 to 0.99, so they average over ever more steps.
    It halves its distance to 1 for every `config.bn_decay_samples` clouds seen.
    """
    return min(0.99, 1 - 0.5 * 0.5 ** (step * config.batch_size // config.bn_decay_samples))
