"""A record of many sampled clouds, from which a second call continues."""

import json
import os
from pathlib import Path

from samplenet.errors import InputError


class Manifest:
    """A file of JSON lines: the settings first, then what became of each cloud.

    Args:
        path: read if it exists; the part of a last line that a kill left is removed. None: no file.
        settings: what the samples depend on.

    Attributes:
        done: names of the clouds that it lists without an error.

    Raises:
        InputError: the file has other settings, or is no manifest.
    """

    def __init__(self, path: Path | None, settings: dict):
        self.path, self.done = path, set()
        if path is None:
            return
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        try:
            lines = [json.loads(line) for line in whole.splitlines()]
            old = dict(lines[0]["settings"]) if lines else settings
            self.done = {line["file"] for line in lines[1:] if line["error"] is None}
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is no manifest of samplenet: name another file") from error
        if changed := [
            f"{key} {old.get(key)}" for key in settings if old.get(key) != settings[key]
        ]:
            raise InputError(f"{path} was made with {', '.join(changed)}: name another file")
        if len(whole) < len(content):
            os.truncate(path, len(whole))  # in place: no moment without the lines before
        if not lines:
            self.add([{"settings": settings}])

    def add(self, lines: list[dict]) -> None:
        """Append lines."""
        if self.path is not None:
            with open(self.path, "a") as file:
                file.write("".join(json.dumps(line) + "\n" for line in lines))
