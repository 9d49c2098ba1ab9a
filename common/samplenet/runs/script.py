"""Start a script with its settings, and end it with one sentence where the input is at fault."""

import sys
from collections.abc import Callable
from pathlib import Path

from samplenet import device
from samplenet.errors import InputError
from samplenet.runs import settings


def main(action: Callable, config_class=None, doc: str = "") -> None:
    """Run `action`, with the settings of the command line if it takes a `config_class`.

    A fault of the input or of the disk ends the process with one sentence; with --debug, with a
    traceback.

    Args:
        doc: the script's docstring, whose first line --help shows.
    """
    try:
        _report_idle_gpu()
        if config_class is None:
            action()
        else:
            action(settings.load(config_class, description=doc.split("\n")[0]))
    except (InputError, OSError) as error:
        if "--debug" in sys.argv:
            raise
        text = str(error)
        if isinstance(error, OSError) and error.strerror:
            text = f"{error.filename or 'file system'}: {error.strerror}"
        name = Path(sys.argv[0])
        sys.exit(f"{name.parent.name if name.name == '__main__.py' else name.name}: error: {text}")
    except KeyboardInterrupt:
        sys.exit(130)


def _report_idle_gpu() -> None:
    """Print one sentence to stderr if there is a GPU that the script's framework cannot use."""
    frameworks = {"tensorflow": "tf", "torch": "torch"}
    imported = [name for module, name in frameworks.items() if module in sys.modules]
    if imported and "--help" not in sys.argv and (gpu := device.gpu()):
        serves, sentence = device.serving(imported[0], gpu)
        if not serves:
            print(f"{Path(sys.argv[0]).name}: {sentence}", file=sys.stderr, flush=True)
