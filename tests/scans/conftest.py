import numpy as np
import pytest


@pytest.fixture
def rows():
    """Return seven points with normals, colours and other numbers, in the types of scanners."""
    rng = np.random.default_rng(0)
    kinds = [("x", "f4"), ("y", "f4"), ("z", "f4"), ("nx", "f4"), ("ny", "f4"), ("nz", "f4")]
    kinds += [("red", "u1"), ("green", "u1"), ("blue", "u1")]
    kinds += [("intensity", "f4"), ("time", "f8"), ("label", "i4")]
    rows = np.zeros(7, kinds)
    for name in rows.dtype.names:
        rows[name] = (
            rng.integers(0, 200, 7) if name in ("intensity", "label") else rng.uniform(0, 200, 7)
        )
    return rows
