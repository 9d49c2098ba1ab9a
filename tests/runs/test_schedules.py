"""Learning rate and batch norm momentum by hand."""

from types import SimpleNamespace

import pytest

from samplenet.runs.schedules import bn_momentum, learning_rate

STEP = SimpleNamespace(
    lr_schedule="step", lr=1e-3, lr_decay=0.7, lr_decay_samples=200_000, batch_size=32
)
COSINE = SimpleNamespace(lr_schedule="cosine", lr=1e-2)


def test_step_schedule_falls_every_200k_clouds_to_the_floor():
    assert learning_rate(STEP, 6249, 1) == pytest.approx(1e-3)  # 199 968 clouds seen
    assert learning_rate(STEP, 6250, 1) == pytest.approx(0.7e-3)
    assert learning_rate(STEP, 10**6, 1) == 1e-5


def test_cosine_schedule_halves_in_the_middle_and_ends_at_the_floor():
    assert [learning_rate(COSINE, s, 100) for s in (0, 50, 100)] == pytest.approx(
        [1e-2, 5e-3, 1e-5]
    )


def test_poly_schedule_falls_to_the_floor_by_a_power():
    poly = SimpleNamespace(lr_schedule="poly", lr=0.1)
    expected = [0.1, 0.1 * 0.5**0.9, 0.1 * 0.1**0.9, 1e-5]
    assert [learning_rate(poly, s, 100) for s in (0, 50, 90, 100)] == pytest.approx(expected)


def test_a_rate_below_the_floor_is_kept():
    low = SimpleNamespace(**{**vars(COSINE), "lr": 1e-6})
    assert [learning_rate(low, s, 100) for s in (0, 50, 100)] == [1e-6] * 3


@pytest.mark.parametrize(
    "step, momentum",
    [(0, 0.5), (6249, 0.5), (6250, 0.75), (31_250, 0.984375), (10**8, 0.99)],
)
def test_batch_norm_momentum(step, momentum):
    config = SimpleNamespace(batch_size=32, bn_decay_samples=200_000)
    assert bn_momentum(config, step) == pytest.approx(momentum)
