"""How the learning rate and the batch norm momentum change while training."""

import math

SCHEDULES = ("step", "cosine")


def learning_rate(kind: str, lr: float, step: int, steps: int, samples: int, decay: float, decay_samples: int) -> float:
    """The learning rate at `step` of `steps`, after `samples` clouds were seen; never below 1e-5.

    kind "step": lr times `decay` for every `decay_samples` clouds, the released code's. "cosine": half a cosine from
    lr to the floor over the whole run, for short runs.
    """
    if kind == "step":
        return max(lr * decay ** (samples // decay_samples), 1e-5)
    return max(lr * 0.5 * (1 + math.cos(math.pi * step / steps)), 1e-5)


def bn_momentum(samples: int, decay_samples: int) -> float:
    """Decay of the running statistics: min(0.99, 1 - 0.5 * 0.5 ** floor(samples / decay_samples)), classification."""
    return min(0.99, 1 - 0.5 * 0.5 ** (samples // decay_samples))
