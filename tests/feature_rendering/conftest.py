"""What the tests of feature_rendering share."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def every_training_step_is_checked(gradients_in_one_order, one_operation_a_step):
    """For the order of its sums, and for what it asks of the host."""


@pytest.fixture(scope="session")
def scripts(import_scripts):
    """The modules of feature_rendering/ by name: `scripts.train_points`; and its `folder`."""
    return import_scripts("feature_rendering")
