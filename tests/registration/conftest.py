"""What the tests of registration share."""

import numpy as np
import pytest

from samplenet.runs.checkpoint import load_checkpoint


@pytest.fixture(scope="session")
def scripts(import_scripts):
    """The modules of registration/ by name: `scripts.train_pcrnet`; and its `folder`."""
    return import_scripts("registration")


@pytest.fixture
def assert_same(metrics):
    """Check that two run folders ended with the same weights, bit for bit, and logged the same."""

    def check(one, two):
        (first, meta), (second, _) = (
            load_checkpoint(folder / "last.safetensors") for folder in (one, two)
        )
        assert meta["done"] and first.keys() == second.keys()
        for name, array in first.items():
            np.testing.assert_array_equal(second[name], array, err_msg=name)
        assert metrics(one) == metrics(two)

    return check
