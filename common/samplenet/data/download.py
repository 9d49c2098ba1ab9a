"""Fetch a file from its mirrors: killed at any moment, nothing half done looks finished."""

import hashlib
import itertools
import logging
import math
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from samplenet.errors import InputError, needs_extra

with needs_extra("data"):
    import requests
    import urllib3
    from filelock import FileLock, Timeout

CHUNK = 1 << 16  # bytes at a time, at most
TRIES = 3  # requests to one mirror, each continuing where the one before broke off
PAUSE = 1.0  # seconds before the second try, twice that before the third
TIMEOUT = (10.0, 30.0)  # seconds: to connect, and without a byte
WINDOW, SLOWEST = 60.0, 1000  # seconds, and bytes a second that must come in every such window

log = logging.getLogger(__name__)


class _Refused(Exception):
    """Raised for a mirror that is of no use: the next one is tried."""


class _Broken(Exception):
    """Raised for a failure that another try may mend."""


class _Misfit(_Broken):
    """Raised if the partial file cannot be continued from this mirror: start from byte 0."""


def md5_of(path: str | os.PathLike) -> str:
    """Return the MD5 of a file, 32 hex digits."""
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold `<path>.lock`, so that one process at a time makes `path`; creates the parent folder."""
    lock = FileLock(path.with_name(path.name + ".lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.warning("another process is making %s: waiting for it", path)
            lock.acquire()
    except OSError as error:
        raise InputError(
            f"{path.parent} cannot be written ({error}): choose another folder"
        ) from error
    try:
        yield
    finally:
        lock.release()


def fetch(
    urls: Sequence[str],
    path: str | os.PathLike,
    md5: str | None = None,
    max_bytes: float = math.inf,
    timeout: float | tuple[float, float] = TIMEOUT,
) -> Path:
    """Make `path` hold the binary file that every one of `urls` should serve.

    The mirrors are tried in order. What came so far is kept in `<path>.part` and continued, also from another
    mirror or by a later call; `path` appears by a rename when all is there and has the right MD5. Without
    `md5` an existing file is taken as it is, and a partial one is continued only under the same strong ETag.
    A mirror that serves more than `max_bytes`, or less than a kilobyte a second, is given up.

    Raises:
        InputError: no mirror delivered (the message has each one's reason), or the folder cannot be written.
    """
    path = Path(path)
    if _usable(path, md5):
        return path
    with locked(path):
        if _usable(path, md5):  # fetched by another process while this one waited
            return path
        reasons = []
        if path.is_file():
            reasons.append(f"  the file that is there has MD5 {md5_of(path)}")
            log.warning("%s does not have the MD5 %s: fetching it again", path, md5)
        part = path.with_name(path.name + ".part")
        for url in urls:
            try:
                _from_mirror(url, part, md5, max_bytes, timeout)
                os.replace(part, path)
                _etag_file(part).unlink(missing_ok=True)
                return path
            except _Refused as refusal:
                reasons.append(f"  {url}: {refusal}")
            except OSError as error:
                raise InputError(
                    f"{path} cannot be written ({error}): free space or choose another folder"
                ) from error
    by_hand = f"get it by other means and put it at {path.absolute()}" + (
        f" (MD5 {md5})" if md5 else ""
    )
    raise InputError("\n".join([f"{path.name} could not be downloaded; {by_hand}:", *reasons]))


def _usable(path: Path, md5: str | None) -> bool:
    return path.is_file() and (md5 is None or md5_of(path) == md5)


def _etag_file(part: Path) -> Path:
    return part.with_name(part.name + ".etag")


def _from_mirror(url: str, part: Path, md5: str | None, max_bytes: float, timeout) -> None:
    """Complete and verify `part` from one mirror, or raise _Refused."""
    for _ in range(2):
        continued = _complete(url, part, md5, max_bytes, timeout)
        part_md5 = md5 and md5_of(part)
        if part_md5 == md5:
            return
        part.unlink()
        if not continued:
            break  # else the older bytes may be at fault: once more, from zero
    raise _Refused(f"serves a file with MD5 {part_md5}")


def _complete(url: str, part: Path, md5: str | None, max_bytes: float, timeout) -> bool:
    """Complete `part` in up to TRIES requests; True if it ends up made of more than one answer."""
    resume, reason = True, ""
    for attempt in range(TRIES):
        time.sleep(PAUSE * attempt)
        try:
            return _request(url, part, md5, max_bytes, timeout, resume)
        except _Broken as broken:
            resume = resume and not isinstance(broken, _Misfit)
            reason = str(broken)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            # The message wraps the cause in the names of the layers above it; the last clause is the cause.
            reason = " ".join(str(error).split()).rsplit(": ", 1)[-1].strip("\"'()<>")[:120]
            if isinstance(error, ValueError):  # a malformed URL
                break
    raise _Refused(reason)


def _request(
    url: str, part: Path, md5: str | None, max_bytes: float, timeout, resume: bool
) -> bool:
    """Write one answer to `part`, appending where the server agrees; True when it appended."""
    start = part.stat().st_size if resume and part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with requests.get(url, headers=headers, stream=True, timeout=timeout) as answer:
        if start and answer.status_code == 416:  # nothing follows: complete, or not this file
            if md5 is None:
                raise _Misfit("HTTP 416")
            return True
        offset, total = _span(answer)
        if offset != (start if answer.status_code == 206 else 0):
            raise _Misfit(f"continues at byte {offset} instead of {start}")
        etag = answer.headers.get("ETag", "")
        stamp = _etag_file(part)
        if md5 is None and offset and not (etag and stamp.exists() and stamp.read_text() == etag):
            raise _Misfit("does not show that it serves the version of the partial file")
        if total is not None and total > max_bytes:
            raise _Refused(f"serves {total} bytes, more than the {max_bytes} it may have")
        chunks = _chunks(answer.raw)
        first = next(chunks, b"")  # looked at before an older partial file is overwritten
        if offset == 0 and first.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            raise _Refused("answers with a page of markup instead of the file")
        bar = tqdm(
            total=total, initial=offset, unit="B", unit_scale=True, desc=part.stem, disable=None
        )
        with bar, open(part, "ab" if offset else "wb") as file:
            if md5 is None and not offset:
                stamp.write_text("" if etag.startswith("W/") else etag)
            for chunk in itertools.chain([first], chunks):
                if file.tell() + len(chunk) > max_bytes:
                    raise _Refused(f"serves more than the {max_bytes} bytes it may have")
                file.write(chunk)
                bar.update(len(chunk))
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
    if total is not None and size != total:
        raise _Broken(f"broke off after {size} of {total} bytes")
    return offset > 0


def _chunks(raw: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """Yield bytes as they arrive; _Broken if fewer than SLOWEST a second arrive for as long as WINDOW."""
    begin, got = time.monotonic(), 0
    while chunk := raw.read1(CHUNK):
        yield chunk
        got += len(chunk)
        if (seconds := time.monotonic() - begin) >= WINDOW:
            if got < SLOWEST * seconds:
                raise _Broken(f"sent only {got} bytes in {seconds:.0f} s")
            begin, got = time.monotonic(), 0


def _span(answer: requests.Response) -> tuple[int, int | None]:
    """Judge status and headers; return the answer's first byte and the size of the whole file (None: unknown)."""
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
