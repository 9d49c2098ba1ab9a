"""Mirrors that misbehave, played by a server on 127.0.0.1, and archives that attack."""

import contextlib
import functools
import hashlib
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from samplenet.data import download
from samplenet.errors import InputError

BODY = bytes(range(1, 256)) * 1600  # 408 kB: several chunks
MD5 = hashlib.md5(BODY).hexdigest()
HALF = len(BODY) // 2


class Handler(BaseHTTPRequestHandler):
    """The path of a request names the misbehaviour."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted else 0
        self.server.requests.append((self.path, start))
        getattr(self, "do_" + self.path.strip("/"))(start)

    def send(self, status, body, length=None, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def part(self, body, start, **headers):
        """An honest answer to a range, or to none."""
        if start >= len(body):
            self.send(416, b"", Content_Range=f"bytes */{len(body)}")
        elif start:
            span = f"bytes {start}-{len(body) - 1}/{len(body)}"
            self.send(206, body[start:], Content_Range=span, **headers)
        else:
            self.send(200, body, **headers)

    def do_good(self, start):
        self.part(BODY, start)

    def do_tagged(self, start):
        self.part(BODY, start, ETag='"one"')

    def do_weak(self, start):
        self.part(BODY, start, ETag='W/"one"')

    def do_wrong(self, start):
        self.part(BODY[::-1], start)

    def do_missing(self, start):
        self.send(404, b"")

    def do_busy(self, start):
        if len(self.server.requests) == 1:
            self.send(503, b"")
        else:
            self.part(BODY, start)

    def do_short(self, start):
        """Closes after half of what it promised; honest when asked to continue."""
        if start:
            self.part(BODY, start, ETag='"one"')
        else:
            self.send(200, BODY[:HALF], length=len(BODY), ETag='"one"')

    def do_always_short(self, start):
        self.send(200, BODY[:HALF], length=len(BODY))

    def do_no_ranges(self, start):
        self.send(200, BODY)

    def do_wrong_offset(self, start):
        if start:
            self.send(
                206,
                BODY[start // 2 :],
                Content_Range=f"bytes {start // 2}-{len(BODY) - 1}/{len(BODY)}",
            )
        else:
            self.send(200, BODY)

    def do_stall(self, start):
        self.send(200, BODY[:HALF], length=len(BODY))
        self.server.closing.wait(10)

    def do_trickle(self, start):
        """A byte at a time, for ever: never silent as long as the timeout."""
        self.send(200, BODY[:1], length=len(BODY))
        for i in range(1, 400):
            self.wfile.flush()
            if self.server.closing.wait(0.05):
                break
            self.wfile.write(BODY[i : i + 1])

    def do_huge(self, start):
        self.send(200, BODY, length=10**12)

    def do_endless(self, start):
        """Without a length."""
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            while not self.server.closing.is_set():
                self.wfile.write(BODY)

    def do_html(self, start):
        self.send(200, b"the file is gone", Content_Type="text/html; charset=utf-8")

    def do_markup(self, start):
        self.send(200, b"\n <!DOCTYPE html> gone", Content_Type="application/zip")

    def do_encoded(self, start):
        self.send(200, BODY, Content_Encoding="gzip")

    def do_redirect(self, start):
        self.send(302, b"", Location="/good")

    def do_circle(self, start):
        self.send(302, b"", Location="/circle")

    def do_to_a_page(self, start):
        self.send(302, b"", Location="/html")

    def do_to_a_file(self, start):
        self.send(302, b"", Location="file:///etc/passwd")

    def do_slow(self, start):
        time.sleep(0.5)
        self.part(BODY, start)

    def do_drip(self, start):
        self.send(200, BODY[:HALF], length=len(BODY))
        self.wfile.flush()
        self.server.closing.wait(20)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.setattr(download, "WINDOW", 0.4)
    monkeypatch.setattr(download, "TIMEOUT", 0.5)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.requests, server.closing = [], threading.Event()
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=functools.partial(server.serve_forever, 0.02))
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def fetch(server, tmp_path):
    """fetch(names of mirrors) into tmp_path/file.zip."""

    def run(*mirrors, md5=MD5):
        urls = [f"{server.url}/{m}" for m in mirrors]
        return download.fetch(urls, tmp_path / "file.zip", md5, max_bytes=10 * len(BODY))

    return run


def leftovers(folder):
    return sorted(p.name for p in folder.iterdir() if p.suffix != ".lock")


def test_fetches_then_reuses(fetch, server, tmp_path):
    assert fetch("good").read_bytes() == BODY
    assert fetch("good") == tmp_path / "file.zip"
    assert server.requests == [("/good", 0)]
    assert leftovers(tmp_path) == ["file.zip"]


BAD = [
    "missing",
    "wrong",
    "html",
    "markup",
    "encoded",
    "always_short",
    "stall",
    "trickle",
    "huge",
    "endless",
]
BAD += ["circle", "to_a_page", "to_a_file"]


@pytest.mark.parametrize("bad", BAD)
def test_bad_mirror_is_reported_and_the_next_is_used(bad, fetch, tmp_path):
    with pytest.raises(InputError) as caught:
        fetch(bad)
    assert f"/{bad}: " in str(caught.value)
    assert not (tmp_path / "file.zip").exists()
    assert fetch(bad, "good").read_bytes() == BODY


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("missing", "HTTP 404"),
        ("html", "HTML page"),
        ("markup", "markup"),
        ("wrong", "serves a file with MD5"),
        ("trickle", r"sent only \d+ bytes in \d+ s"),
        ("huge", "serves 1000000000000 bytes, more than"),
        ("endless", "serves more than the 4080000 bytes allowed"),
    ],
)
def test_reason_is_reported(bad, reason, fetch):
    with pytest.raises(InputError, match=reason):
        fetch(bad)


def test_error_names_every_mirror_the_path_and_the_md5(server, tmp_path):
    with pytest.raises(InputError) as caught:
        download.fetch(
            ["http://127.0.0.1:1/dead", server.url + "/missing"], tmp_path / "file.zip", MD5
        )
    message = str(caught.value)
    for expected in (
        "127.0.0.1:1/dead: ",
        "refused",
        "/missing: HTTP 404",
        str(tmp_path / "file.zip"),
        MD5,
    ):
        assert expected in message
    assert len(message.splitlines()) == 3


def test_unusable_address_is_not_repeated(tmp_path):
    with pytest.raises(InputError, match="nonsense"):
        download.fetch(["nonsense"], tmp_path / "file.zip", MD5)


def test_passing_fault_is_tried_again(fetch, server):
    assert fetch("busy").read_bytes() == BODY
    assert len(server.requests) == 2


def test_redirect_is_followed(fetch, server):
    assert fetch("redirect").read_bytes() == BODY
    assert server.requests[-1] == ("/good", 0)


@pytest.mark.parametrize("md5", [MD5, None])
def test_early_close_is_continued(md5, fetch, server):
    assert fetch("short", md5=md5).read_bytes() == BODY
    (_, first), (_, second) = server.requests
    assert first == 0 < second <= HALF


def test_tries_are_bounded(fetch, server):
    with pytest.raises(InputError):
        fetch("always_short")
    assert len(server.requests) == download.TRIES


def test_part_of_another_mirror_is_continued(fetch, server, tmp_path):
    (tmp_path / "file.zip.part").write_bytes(BODY[:1000])
    assert fetch("missing", "good").read_bytes() == BODY
    assert server.requests == [("/missing", 1000), ("/good", 1000)]


@pytest.mark.parametrize("server_kind", ["no_ranges", "wrong_offset"])
def test_server_that_cannot_continue_sends_all(server_kind, fetch, tmp_path):
    (tmp_path / "file.zip.part").write_bytes(BODY[:1000])
    assert fetch(server_kind).read_bytes() == BODY


@pytest.mark.parametrize(
    "old", [b"x" * 1000, BODY + b"x", b"x" * len(BODY)], ids=["other", "longer", "same size"]
)
def test_part_that_does_not_fit_is_dropped_once(old, fetch, server, tmp_path):
    (tmp_path / "file.zip.part").write_bytes(old)
    assert fetch("good").read_bytes() == BODY
    assert server.requests == [("/good", len(old)), ("/good", 0)]


def test_complete_part_needs_no_second_transfer(fetch, server, tmp_path):
    (tmp_path / "file.zip.part").write_bytes(BODY)
    assert fetch("good").read_bytes() == BODY
    assert server.requests == [("/good", len(BODY))]


def test_page_does_not_destroy_the_part(fetch, tmp_path):
    (tmp_path / "file.zip.part").write_bytes(BODY[:1000])
    with pytest.raises(InputError):
        fetch("html", "markup")
    assert (tmp_path / "file.zip.part").read_bytes() == BODY[:1000]


@pytest.mark.parametrize("kind", ["good", "weak", "tagged"])
def test_without_md5_a_part_of_unknown_version_is_dropped(kind, fetch, tmp_path):
    (tmp_path / "file.zip.part").write_bytes(b"x" * 1000)
    (tmp_path / "file.zip.part.etag").write_text('"another"')
    assert fetch(kind, md5=None).read_bytes() == BODY
    assert leftovers(tmp_path) == ["file.zip"]


def test_wrong_file_stays_until_the_right_one_is_there(fetch, tmp_path, caplog):
    (tmp_path / "file.zip").write_bytes(b"mine")
    with pytest.raises(InputError, match=hashlib.md5(b"mine").hexdigest()):
        fetch("missing")
    assert (tmp_path / "file.zip").read_bytes() == b"mine"
    assert fetch("good").read_bytes() == BODY
    assert any(record.levelno == logging.WARNING for record in caplog.records)


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match="cannot be written"):
        download.fetch([], tmp_path / "file" / "x.zip", MD5)


def test_disk_that_is_full(fetch, tmp_path):
    (tmp_path / "file.zip.part").symlink_to("/dev/full")
    with pytest.raises(
        InputError, match=r"file\.zip cannot be written .*No space left on device.*: free space"
    ):
        fetch("good")
    assert not (tmp_path / "file.zip").exists()


SCRIPT = """
import pathlib, sys
from samplenet.data.download import fetch
_, url, path, md5 = sys.argv
fetch([url], pathlib.Path(path), md5)
"""


def start(url, path):
    common = str(Path(download.__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": common, "NO_PROXY": "127.0.0.1"}
    return subprocess.Popen([sys.executable, "-c", SCRIPT, url, str(path), MD5], env=environment)


def test_two_processes_fetch_once(server, tmp_path):
    processes = [start(server.url + "/slow", tmp_path / "file.zip") for _ in range(2)]
    assert [p.wait(20) for p in processes] == [0, 0]
    assert (tmp_path / "file.zip").read_bytes() == BODY
    assert server.requests == [("/slow", 0)]


def test_two_threads_fetch_once(fetch, server):
    server_threads = [threading.Thread(target=fetch, args=("good",)) for _ in range(4)]
    for thread in server_threads:
        thread.start()
    for thread in server_threads:
        thread.join()
    assert server.requests == [("/good", 0)]


def test_killed_half_way_leaves_a_part_that_is_continued(fetch, server, tmp_path):
    part = tmp_path / "file.zip.part"
    process = start(server.url + "/drip", tmp_path / "file.zip")
    deadline = time.monotonic() + 15
    while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(5)
    size = part.stat().st_size
    assert 0 < size <= HALF
    assert not (tmp_path / "file.zip").exists()
    assert fetch("good").read_bytes() == BODY
    assert server.requests[-1] == ("/good", size)
