"""How the learning rate and the batch norm momentum change while training."""

import math

SCHEDULES = ("step", "cosine")


def learning_rate(config, step: int, steps: int) -> float:
    """Compute the learning rate at `step` of `steps`, from the fields lr* and batch_size of `config`.

    lr_schedule "step": lr times lr_decay for every lr_decay_samples clouds seen, the released code's. "cosine":
    half a cosine from lr to the floor over the whole run, for short runs.
    """
    if config.lr_schedule == "step":
        factor = config.lr_decay ** (step * config.batch_size // config.lr_decay_samples)
    else:
        factor = 0.5 * (1 + math.cos(math.pi * step / steps))
    floor = min(
        config.lr, 1e-5
    )  # the released code's, below which Adam hardly moves; a lower lr stays as it is
    return max(config.lr * factor, floor)


def bn_momentum(samples: int, decay_samples: int) -> float:
    """Compute the decay of the running statistics, min(0.99, 1 - 0.5 * 0.5 ** floor(samples / decay_samples)).

    As the released classifier does: it averages over ever more steps.
    """
    return min(0.99, 1 - 0.5 * 0.5 ** (samples // decay_samples))
