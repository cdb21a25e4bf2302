"""A headless Chromium, spoken to by the DevTools protocol over two pipes; it has no network and no privileges."""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_NOBODY = 65534
_PATIENCE = 60.0
# The sandbox of Chromium's own needs namespaces that a host may refuse; what is shown is ours.
_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe",
)  # fmt: skip


class Browser:
    """One page in a browser.  ``events``: what it has told so far: each with ``method`` and ``params``."""

    def __init__(self, into: int, out: int, folder: Path) -> None:
        self._into = into
        self._out = out
        self._folder = folder
        self._numbers = itertools.count(1)
        self._buffer = b""
        self._session = ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "Accessibility"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Return what the browser answers; an error of its is an :class:`AssertionError`."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        data = json.dumps(message | ({"sessionId": self._session} if self._session else {})).encode() + b"\0"
        while data:
            data = data[os.write(self._into, data) :]
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer)
                return dict(answer["result"])
            self.events.append(answer)

    def wait(self, method: str) -> dict[str, Any]:
        """Return the parameters of the next event of this name, also one that has come since :meth:`show` began."""
        while True:
            for event in self.events:
                if event["method"] == method:
                    return dict(event["params"])
            self.events.append(self._next())

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + _PATIENCE
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._out], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            data = os.read(self._out, 1 << 20)
            assert data, "the browser has ended"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))

    def show(self, page: str, width: int, *, dark: bool = False) -> None:
        """Load a page from a file, as wide as that; :attr:`events` are then those of this page."""
        self.events.clear()
        path = self._folder / "page.html"
        path.write_text(page, encoding="utf-8")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=path.as_uri())
        self.wait("Page.loadEventFired")

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def requests(self) -> list[str]:
        """Return the URLs that the page has asked for, its own first."""
        return [
            each["params"]["request"]["url"] for each in self.events if each["method"] == "Network.requestWillBeSent"
        ]

    def complaints(self) -> list[str]:
        """Return what the browser has said about the page: errors of scripts, what the policy forbids."""
        found = [each["params"]["entry"]["text"] for each in self.events if each["method"] == "Log.entryAdded"]
        thrown = [
            each for each in self.events if each["method"] in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled")
        ]
        return found + [json.dumps(each["params"]) for each in thrown]

    def named(self) -> list[tuple[str, str]]:
        """Return role and name of all that a screen reader meets."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        return [
            (each["role"]["value"], each.get("name", {}).get("value", "")) for each in nodes if not each.get("ignored")
        ]

    def printed(self) -> tuple[bytes, int]:
        """Return the page as PDF, and how many sheets of paper it has."""
        answer = self.call("Page.printToPDF", preferCSSPageSize=True, paperWidth=8.27, paperHeight=11.69)
        data = base64.b64decode(answer["data"])
        return data, len(re.findall(rb"/Type\s*/Page\b", data))


@contextmanager
def browser() -> Iterator[Browser]:
    """Start Chromium as nobody (where root runs this) and end it with all that it has left."""
    program = shutil.which("chromium")
    assert program is not None
    folder = Path(tempfile.mkdtemp(prefix="jailssh-browser-"))
    read_in, into = os.pipe()
    out, write_out = os.pipe()
    # The protocol is spoken over descriptors 3 and 4; dash takes descriptors of one digit only.
    script = f'exec "$@" 3<&{read_in} 4>&{write_out}'
    who: dict[str, Any] = {}
    if os.geteuid() == 0:
        os.chown(folder, _NOBODY, _NOBODY)
        who = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
    child = subprocess.Popen(
        ["bash", "-c", script, "bash", program, *_OPTIONS, f"--user-data-dir={folder}/profile"],
        pass_fds=(read_in, write_out), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        cwd=folder, env={"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8"}, **who,
    )  # fmt: skip
    os.close(read_in)
    os.close(write_out)
    try:
        yield Browser(into, out, folder)
    finally:
        os.close(into)
        os.close(out)
        child.kill()
        child.wait()
        shutil.rmtree(folder, ignore_errors=True)
