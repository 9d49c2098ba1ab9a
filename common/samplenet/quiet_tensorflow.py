"""Import TensorFlow without its log, which --debug shows. Programs import this before all else that imports TensorFlow.

During the import its libraries log to stderr, partly in spite of TF_CPP_MIN_LOG_LEVEL. Lines of other programs are
shown after the import.
"""

import contextlib
import os
import re
import sys
import tempfile

# absl's lines, the older ones with a date, and what they continue
LOG = re.compile(
    r"[IWEF]\d{4} |\d{4}-\d\d-\d\d .*: [IWEF] |WARNING: All log messages before|To enable the following"
)

written = None
if "--debug" not in sys.argv and sys.stderr is not None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with contextlib.suppress(OSError):  # without a folder for temporary files the log is shown
        written = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
if written is None:
    import tensorflow
else:
    with written:
        sys.stderr.flush()
        stderr = os.dup(2)
        os.dup2(written.fileno(), 2)
        try:
            import tensorflow  # noqa: F401
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            written.seek(0)
            sys.stderr.write("".join(line for line in written if not LOG.match(line)))
