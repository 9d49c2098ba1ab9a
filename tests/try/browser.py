"""Headless Chromium, driven through a pipe: nothing else has to be installed."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    "--headless=new", "--no-sandbox", "--remote-debugging-pipe", "--disable-dev-shm-usage",
    "--no-first-run", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
)  # fmt: skip


def _moved(descriptor: int) -> int:
    """Give a descriptor a number that is out of the way of 3 and 4."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return moved


class Browser:
    """A page in Chromium.

    Attributes:
        messages: errors and warnings of the console, and uncaught exceptions, so far.
    """

    def __init__(self, width: int = 1366, height: int = 900):
        self.folder = tempfile.mkdtemp()
        self.messages: list[str] = []
        self.number, self.held = 0, b""
        # Chromium reads its file 3 and writes its file 4
        read, self.to = os.pipe()
        self.source, write = os.pipe()
        read, write = (_moved(end) for end in (read, write))
        script = f'exec "$@" 3<&{read} 4>&{write}'
        flags = [*FLAGS, f"--user-data-dir={self.folder}", "about:blank"]
        self.process = subprocess.Popen(
            ["bash", "-c", script, "bash", CHROMIUM, *flags],
            pass_fds=(read, write),
            stderr=subprocess.DEVNULL,
        )
        os.close(read)
        os.close(write)
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        attach = {"targetId": page, "flatten": True}
        self.session = self.call("Target.attachToTarget", **attach)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.resize(width, height)

    session = None

    def call(self, method: str, **parameters) -> dict:
        """Call a method of the DevTools protocol and return its result."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def _next(self) -> dict:
        while b"\0" not in self.held:
            if not select.select([self.source], [], [], 60)[0]:
                raise TimeoutError("Chromium does not answer")
            block = os.read(self.source, 1 << 20)
            if not block:
                raise RuntimeError("Chromium has ended")
            self.held += block
        message, self.held = self.held.split(b"\0", 1)
        event = json.loads(message)
        self._note(event.get("method"), event.get("params", {}))
        return event

    def _note(self, method: str | None, event: dict) -> None:
        if method == "Runtime.exceptionThrown":
            self.messages.append(str(event["exceptionDetails"].get("exception")))
        elif method == "Runtime.consoleAPICalled" and event["type"] in ("error", "warning"):
            self.messages.append(str([item.get("value") for item in event["args"]]))
        elif method == "Log.entryAdded" and event["entry"]["level"] == "error":
            self.messages.append(f"{event['entry']['text']} {event['entry'].get('url')}")

    def run(self, script: str):
        """Return the value of an expression, or what its promise gives."""
        answer = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"].get("exception")))
        return answer["result"].get("value")

    def wait(self, condition: str, seconds: float = 60) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not self.run(f"Boolean({condition})"):
            if time.monotonic() > end:
                said = self.run("document.body.innerText")
                raise TimeoutError(f"{condition}: {self.messages} {said}")
            time.sleep(0.05)

    def open(self, address: str) -> None:
        self.call("Page.navigate", url=address)

    def resize(self, width: int, height: int, dark: bool = False) -> None:
        """Set the window's size in pixels, and whether the person prefers dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 700,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def drop(self, path: Path) -> None:
        """Drop a file on the page."""
        packed = base64.b64encode(path.read_bytes()).decode()
        self.run(f"""(() => {{
            const bytes = Uint8Array.from(atob("{packed}"), (c) => c.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], {json.dumps(path.name)}));
            const event = {{ dataTransfer: transfer, bubbles: true, cancelable: true }};
            document.querySelector("#drop").dispatchEvent(new DragEvent("drop", event));
        }})()""")

    def picture(self, path: Path, whole: bool = True) -> None:
        """Write a screenshot as PNG."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def close(self) -> None:
        try:
            self.session = None
            self.call("Browser.close")
            self.process.wait(10)
        except (OSError, RuntimeError, TimeoutError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        os.close(self.to)
        os.close(self.source)
        shutil.rmtree(self.folder, ignore_errors=True)
