"""What the tests of pretraining share."""

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def scripts(import_scripts):
    """The modules of pretraining/ by name: `scripts.train_points`; and its `folder`."""
    return import_scripts("pretraining")


@pytest.fixture(scope="session")
def selfsup():
    """The recorded values of the published method, by name."""
    with np.load(Path(__file__).with_name("selfsup.npz")) as arrays:
        return dict(arrays)
