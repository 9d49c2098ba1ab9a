"""What the tests of shape_and_pose share."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def every_training_step_is_checked(gradients_in_one_order):
    """For the order of its sums."""


@pytest.fixture(scope="session")
def scripts(import_scripts):
    """The modules of shape_and_pose/ by name: `scripts.networks`; and its `folder`."""
    return import_scripts("shape_and_pose")
