import numpy as np
import pytest


@pytest.fixture
def rows():
    """Seven points with normals, colours, intensity and other numbers, in the types that scanners write."""
    rng = np.random.default_rng(0)
    kinds = [("x", "f4"), ("y", "f4"), ("z", "f4"), ("nx", "f4"), ("ny", "f4"), ("nz", "f4")]
    kinds += [
        ("red", "u1"),
        ("green", "u1"),
        ("blue", "u1"),
        ("intensity", "f4"),
        ("time", "f8"),
        ("label", "i4"),
    ]
    rows = np.zeros(7, kinds)
    for name in rows.dtype.names:
        rows[name] = (
            rng.integers(0, 200, 7) if name in ("intensity", "label") else rng.uniform(0, 200, 7)
        )
    return rows
