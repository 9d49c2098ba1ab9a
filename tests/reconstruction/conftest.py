"""What the tests of reconstruction share."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def every_training_step_is_checked(gradients_in_one_order, one_operation_a_step):
    """For the order of its sums, and for what it asks of the host."""


@pytest.fixture(scope="session")
def scripts(import_scripts):
    """The modules of reconstruction/ by name: `scripts.train_autoencoder`; and its `folder`."""
    return import_scripts("reconstruction")


@pytest.fixture(scope="session")
def task(tmp_path_factory, scripts, call_script):
    """The run folder of a tiny autoencoder of chairs and cars."""
    folder = tmp_path_factory.mktemp("task") / "autoencoder"
    flags = "--classes chair car --shapes-per-class 20 --num-points 32 --batch-size 8 --epochs 2"
    call_script(scripts.train_autoencoder, flags, "--out", folder)
    return folder
