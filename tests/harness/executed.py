"""Which programs a process and all that descend from it have executed, as the kernel saw it.

An instance of the kernel's own tracer (``Documentation/trace/events.rst``, "set_event_pid" and "event-fork") reports
each execve(2) that succeeded, by any process of the tree, set-uid or not, in whatever namespace.  It stops nobody, is
seen by nobody, and knows nothing of the processes of others.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import re
import subprocess
import tempfile
from pathlib import Path

_MOUNTED = Path("/sys/kernel/tracing")
_EVENT = re.compile(
    r"sched_process_(?:fork: .* pid=(\d+) child_comm=.* child_pid=(\d+)|exec: filename=(.*) pid=(\d+) old_pid=\d+)$",
    re.MULTILINE,
)


@functools.cache
def _tracing() -> Path:
    """Return where the tracer's files are; where nobody has mounted them, at a place of this process for its time.

    A place of its own, since other processes that run tests come and go.
    """
    if os.geteuid() != 0 or (_MOUNTED / "instances").is_dir():
        return _MOUNTED
    folder = tempfile.mkdtemp(prefix="jailssh-tracing-")
    atexit.register(os.rmdir, folder)
    mount = ["mount", "-t", "tracefs", "-o", "nosuid,nodev,noexec", "tracefs", folder]
    if subprocess.run(mount, check=False, capture_output=True).returncode == 0:
        atexit.register(subprocess.run, ["umount", folder], check=False, capture_output=True)
    return Path(folder)


def can_watch() -> bool:
    """True if this kernel has the tracer and it can be used here."""
    return os.access(_tracing() / "instances", os.W_OK) and (_tracing() / "events/sched/sched_process_exec").is_dir()


class Executed:
    """Watches ``pid``, a thread as the machine's first namespace counts it, and all that it starts from now on.

    With ``below``, what counts is the processes that have executed that file, and all that those have started.
    """

    def __init__(self, pid: int, below: str = "") -> None:
        self._below = below
        self._counted: set[str] = set()
        self._folder = _tracing() / f"instances/jailssh-{os.getpid()}-{pid}"
        self._folder.mkdir()
        for name, text in (
            ("buffer_size_kb", "64"),
            ("options/event-fork", "1"),
            ("set_event_pid", str(pid)),
            ("events/sched/sched_process_fork/enable", "1"),
            ("events/sched/sched_process_exec/enable", "1"),
        ):
            (self._folder / name).write_text(text)
        self._pipe = os.open(self._folder / "trace_pipe", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def take(self) -> list[str]:
        """Return the file names, as they were given to execve(2), since the last call, oldest first."""
        text = b""
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self._pipe, 1 << 16):
                text += chunk
        assert b"LOST" not in text, "more programs were executed than the buffer holds"
        found = []
        for parent, child, path, pid in _EVENT.findall(text.decode("utf-8", "replace")):
            if parent in self._counted:
                self._counted.add(child)
            if path and path == self._below:
                self._counted.add(pid)
            if path and (pid in self._counted or not self._below):
                found.append(path)
        return found

    def close(self) -> None:
        """End the watch."""
        os.close(self._pipe)
        self._folder.rmdir()


def first_pid(init: int, pid: int) -> int:
    """Return by which number the machine knows process ``pid`` of the pid namespace whose first process is ``init``."""
    wanted = os.readlink(f"/proc/{init}/ns/pid")
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and os.readlink(entry / "ns/pid") == wanted:
                numbers = re.search(r"^NSpid:(.*)$", (entry / "status").read_text(), re.MULTILINE)
                if numbers and int(numbers[1].split()[-1]) == pid:
                    return int(entry.name)
    raise ProcessLookupError(f"no process {pid} in the namespace of {init}")
