"""Fetch a file from its mirrors; a kill at any moment leaves no part that looks complete."""

import functools
import hashlib
import itertools
import logging
import math
import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from samplenet.errors import InputError, needs_extra
from samplenet.locking import locked

with needs_extra("data"):
    import requests
    import urllib3

CHUNK = 1 << 16  # bytes read at once, at most
TRIES = 3  # requests to one mirror, each continuing where the previous one broke off
PAUSE = 1.0  # seconds before the second try, twice that before the third
TIMEOUT = (10.0, 30.0)  # seconds to connect, and to wait for a byte
WINDOW = 60.0  # seconds over which the speed is measured
SLOWEST = 1000  # bytes a second; a mirror that is slower for a whole WINDOW is given up

log = logging.getLogger(__name__)


class _Refused(Exception):
    """Raised if a mirror is useless; the next one is tried."""


class _Broken(Exception):
    """Raised if another request to the same mirror may succeed."""


class _Misfit(_Broken):
    """Raised if this mirror cannot continue the partial file; the next request starts at byte 0."""


def md5_of(path: Path) -> str:
    """Return the MD5 of a file, 32 hex digits."""
    with open(path, "rb") as file:
        md5 = functools.partial(hashlib.md5, usedforsecurity=False)
        return hashlib.file_digest(file, md5).hexdigest()


def fetch(
    urls: Sequence[str], path: Path, md5: str | None = None, max_bytes: float = math.inf
) -> Path:
    """Download the binary file that all of `urls` should serve, and return `path`.

    The mirrors are tried in order. Bytes received are kept in `<path>.part` and continued by the
    next mirror or a later call; the file is renamed to `path` once it is complete and has the right
    MD5. Without `md5`, an existing file is returned unchecked, and a partial file is continued only
    if the server's strong ETag is the same. A mirror that serves more than `max_bytes`, or less
    than a kilobyte a second, is given up.

    Raises:
        InputError: all mirrors failed (the message says why each did), or `path` cannot be written.
    """
    if _usable(path, md5):
        return path
    with locked(path):
        if _usable(path, md5):  # fetched by another process while this one waited
            return path
        reasons = []
        if path.is_file():
            reasons.append(f"  the existing file has MD5 {md5_of(path)}")
            log.warning("%s does not have the MD5 %s: fetching it again", path, md5)
        part = path.with_name(path.name + ".part")
        for url in urls:
            try:
                _from_mirror(url, part, md5, max_bytes)
                os.replace(part, path)
                _etag_file(part).unlink(missing_ok=True)
                return path
            except _Refused as refusal:
                reasons.append(f"  {url}: {refusal}")
            except OSError as error:
                raise InputError(
                    f"{path} cannot be written ({error}): free space or choose another folder"
                ) from error
    expected = f" (MD5 {md5})" if md5 else ""
    by_hand = f"get it by other means and put it at {path.absolute()}{expected}"
    raise InputError("\n".join([f"{path.name} could not be downloaded; {by_hand}:", *reasons]))


def _usable(path: Path, md5: str | None) -> bool:
    return path.is_file() and (md5 is None or md5_of(path) == md5)


def _etag_file(part: Path) -> Path:
    return part.with_name(part.name + ".etag")


def _from_mirror(url: str, part: Path, md5: str | None, max_bytes: float) -> None:
    """Complete and verify `part` from one mirror, or raise _Refused."""
    for _ in range(2):
        joined = _complete(url, part, md5, max_bytes)
        if md5 is None or (received := md5_of(part)) == md5:
            return
        part.unlink()
        if not joined:
            break  # otherwise the older bytes may be wrong: once more, from byte 0
    raise _Refused(f"serves a file with MD5 {received}")


def _complete(url: str, part: Path, md5: str | None, max_bytes: float) -> bool:
    """Complete `part` in up to TRIES requests; return whether it joins parts of several answers."""
    resume, reason = True, ""
    for attempt in range(TRIES):
        time.sleep(PAUSE * attempt)
        try:
            return _request(url, part, md5, max_bytes, resume)
        except _Broken as broken:
            resume = resume and not isinstance(broken, _Misfit)
            reason = str(broken)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            # Each layer wraps the message of the one below; the last clause names the cause.
            reason = " ".join(str(error).split()).rsplit(": ", 1)[-1].strip("\"'()<>")[:120]
            if isinstance(error, ValueError):  # a malformed URL
                break
    raise _Refused(reason)


def _request(url: str, part: Path, md5: str | None, max_bytes: float, resume: bool) -> bool:
    """Write the answer to `part`; return whether the server agreed to append it."""
    start = part.stat().st_size if resume and part.exists() else 0
    headers = {"Accept-Encoding": "identity"}  # compressed bytes could not be counted or continued
    if start:
        headers["Range"] = f"bytes={start}-"
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if start and answer.status_code == 416:  # no bytes after `start`: complete, or another file
            if md5 is None:
                raise _Misfit("HTTP 416")
            return True
        offset, total = _span(answer)
        if offset != (start if answer.status_code == 206 else 0):
            raise _Misfit(f"continues at byte {offset} instead of {start}")
        etag = answer.headers.get("ETag", "")
        etag_file = _etag_file(part)
        # Without a checksum, only an ETag shows that both parts are of the same version.
        same_version = etag and etag_file.exists() and etag_file.read_text() == etag
        if md5 is None and offset and not same_version:
            raise _Misfit("does not show that it serves the version of the partial file")
        if total is not None and total > max_bytes:
            raise _Refused(f"serves {total} bytes, more than the {max_bytes} allowed")
        chunks = _chunks(answer.raw)
        first = next(chunks, b"")  # checked before an older partial file is overwritten
        if offset == 0 and first.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            raise _Refused("answers with a page of markup instead of the file")
        bar = tqdm(
            total=total, initial=offset, unit="B", unit_scale=True, desc=part.stem, disable=None
        )
        with bar, open(part, "ab" if offset else "wb") as file:
            if md5 is None and not offset:  # a weak ETag does not promise equal bytes
                etag_file.write_text("" if etag.startswith("W/") else etag)
            for chunk in itertools.chain([first], chunks):
                if file.tell() + len(chunk) > max_bytes:
                    raise _Refused(f"serves more than the {max_bytes} bytes allowed")
                file.write(chunk)
                bar.update(len(chunk))
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
    if total is not None and size != total:
        raise _Broken(f"broke off after {size} of {total} bytes")
    return offset > 0


def _chunks(raw: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """Yield bytes as they arrive; _Broken if a whole WINDOW brings fewer than SLOWEST a second.

    The timeout of a socket does not stop a server that sends a byte now and then.
    """
    begin, count = time.monotonic(), 0
    while chunk := raw.read1(CHUNK):
        yield chunk
        count += len(chunk)
        if (seconds := time.monotonic() - begin) >= WINDOW:
            if count < SLOWEST * seconds:
                raise _Broken(f"sent only {count} bytes in {seconds:.0f} s")
            begin, count = time.monotonic(), 0


def _span(answer: requests.Response) -> tuple[int, int | None]:
    """Check an answer's status and headers; return its first byte and the whole file's size.

    The size is None if the server does not say.
    """
    status, headers = answer.status_code, answer.headers
    if status not in (200, 206):
        passing = status in (408, 429) or status >= 500
        raise (_Broken if passing else _Refused)(f"HTTP {status} {answer.reason}")
    if headers.get("Content-Type", "").lower().startswith("text/html"):
        raise _Refused("answers with an HTML page instead of the file")
    if (encoding := headers.get("Content-Encoding", "identity")) != "identity":
        raise _Refused(f"sends the file encoded as {encoding}, which was not asked for")
    if status == 200:
        length = headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", headers.get("Content-Range", ""))
    if not match:
        raise _Misfit("HTTP 206 without a Content-Range")
    first, last, total = match.groups()
    return int(first), int(last) + 1 if total == "*" else int(total)
