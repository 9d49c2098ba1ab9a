"""What the tests of pretraining share."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def selfsup():
    """The recorded values of the published method, by name."""
    from pathlib import Path

    with np.load(Path(__file__).with_name("selfsup.npz")) as arrays:
        return dict(arrays)
