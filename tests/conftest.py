"""What all tests share: the environment they run in and small data sets."""

import os

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(autouse=True)
def finite_coordinates():
    """Non-finite coordinates are errors in the tests."""
    from samplenet.ops import check_inputs

    check_inputs(True)


@pytest.fixture(scope="session")
def shapes_folder(tmp_path_factory):
    """A tiny built-in data set, made once."""
    from samplenet.data import shapes

    return shapes.ensure(tmp_path_factory.mktemp("data"), 3, 2)
