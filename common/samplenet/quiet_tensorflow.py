"""Import TensorFlow without its log; --debug shows it.

A program imports this module before anything else that imports TensorFlow. TensorFlow's libraries
log to stderr while they are imported, some of them whatever TF_CPP_MIN_LOG_LEVEL says, so stderr
goes to a temporary file meanwhile. Lines in it that are not TensorFlow's are shown afterwards.
"""

import contextlib
import os
import re
import sys
import tempfile

LOG = re.compile(
    r"[IWEF]\d{4} "  # absl
    r"|\d{4}-\d\d-\d\d .*: [IWEF] "  # TensorFlow's older format
    r"|WARNING: All log messages before|To enable the following"
)

written = None
if "--debug" not in sys.argv and sys.stderr is not None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with contextlib.suppress(OSError):  # where no temporary file can be written, the log is shown
        written = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
if written is None:
    import tensorflow
else:
    with written:
        sys.stderr.flush()
        stderr = os.dup(2)  # the libraries write to the descriptor, not to sys.stderr
        os.dup2(written.fileno(), 2)
        try:
            import tensorflow  # noqa: F401
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            written.seek(0)
            sys.stderr.write("".join(line for line in written if not LOG.match(line)))
