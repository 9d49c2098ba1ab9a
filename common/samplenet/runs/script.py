"""How a script starts and ends: errors as one sentence."""

import sys
from pathlib import Path

from samplenet import device
from samplenet.errors import InputError


def main(script) -> None:
    """Run `script()`; a fault of the input or of the disk ends it with one sentence, --debug with a traceback.

    Says first, on stderr, where there is a GPU that the script's framework cannot use.
    """
    try:
        _tell_of_idle_gpu()
        script()
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


def _tell_of_idle_gpu() -> None:
    framework = "tf" if "tensorflow" in sys.modules else "torch" if "torch" in sys.modules else None
    if framework and "--help" not in sys.argv and (found := device.gpu()):
        serves, sentence = device.serving(framework, found)
        if not serves:
            print(f"{Path(sys.argv[0]).name}: {sentence}", file=sys.stderr, flush=True)
