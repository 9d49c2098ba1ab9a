"""What the tests of registration share."""

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

REGISTRATION = Path(__file__).parents[2] / "registration"


@pytest.fixture(scope="session")
def scripts():
    """The modules of registration/ by name: `scripts.train_pcrnet`.

    Classification has scripts of the same names, and `import` finds those; here each finds its own neighbours.
    """
    names = [file.stem for file in sorted(REGISTRATION.glob("*.py"))]
    twins = [name for name in names if (REGISTRATION.parent / "classification" / f"{name}.py").exists()]
    others = {name: sys.modules.pop(name) for name in twins if name in sys.modules}
    sys.path.insert(0, str(REGISTRATION))
    try:
        found = {name: importlib.import_module(name) for name in names}
    finally:
        sys.path.remove(str(REGISTRATION))
        for name in twins:
            sys.modules.pop(name, None)
        sys.modules.update(others)
    return SimpleNamespace(**found)
