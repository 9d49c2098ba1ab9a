"""How the learning rate and the batch norm momentum change while training."""

import math

SCHEDULES = ("step", "cosine")


def learning_rate(config, step: int, steps: int) -> float:
    """The learning rate at `step` of `steps`, by the fields lr* and batch_size of `config`; never below 1e-5
    unless lr is.

    lr_schedule "step": lr times lr_decay for every lr_decay_samples clouds seen, the released code's. "cosine":
    half a cosine from lr to the floor over the whole run, for short runs.
    """
    if config.lr_schedule == "step":
        factor = config.lr_decay ** (step * config.batch_size // config.lr_decay_samples)
    else:
        factor = 0.5 * (1 + math.cos(math.pi * step / steps))
    return max(config.lr * factor, min(config.lr, 1e-5))


def bn_momentum(samples: int, decay_samples: int) -> float:
    """Decay of the running statistics: min(0.99, 1 - 0.5 * 0.5 ** floor(samples / decay_samples)), classification."""
    return min(0.99, 1 - 0.5 * 0.5 ** (samples // decay_samples))
