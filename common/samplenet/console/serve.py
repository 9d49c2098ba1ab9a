"""Serve the page of docs/try to this machine alone."""

import functools
import http.server
from pathlib import Path

from samplenet.errors import InputError

ROOT = Path(__file__).resolve().parents[3]  # of the repository, from which the page is built
BUILT = ROOT / "docs/try/build"


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serve files without a line for each."""

    extensions_map = {
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
    }

    def log_message(self, *_):
        """Print nothing."""


def server(folder: Path, port: int = 0) -> http.server.ThreadingHTTPServer:
    """Return a server of the built page on 127.0.0.1, not yet started.

    Args:
        port: 0: any free one.

    Raises:
        InputError: the page is not built, or the port is taken.
    """
    if not (folder / "facts.json").is_file():  # written last
        raise InputError(f"{folder} holds no built page; bash docs/try/build.sh builds it")
    if not 0 <= port < 65536:
        raise InputError(f"--port must be from 0 to 65535, got {port}")
    handler = functools.partial(Handler, directory=folder)
    try:
        return http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise InputError(f"port {port} cannot be used ({error.strerror}); name another") from error
