"""Runs cases through ``driver.c``, the login program's pure parts with the sanitizers, many cases to one process."""

from __future__ import annotations

import os
import re
import struct
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.abilities import REPO

LOGIN = REPO / "jailssh/login"
_SHARED = re.search(r"^shared = files\((.*?)^\)", (REPO / "meson.build").read_text(), re.DOTALL | re.MULTILINE)
assert _SHARED
# What meson.build shares between the login program and the matcher.
PURE = [REPO / path for path in re.findall(r"'(\S+\.c)'", _SHARED[1])]
# What the login program alone has, and needs nothing of the host to be judged.
ITS_OWN = [
    LOGIN / f"{name}.c"
    for name in (
        "command/limit",
        "outer/filelog",
        "outer/gather",
        "outer/operation",
        "outer/pump",
        "outer/stream",
        "outer/pty",
    )
]
LOGIN_PROGRAM = "/usr/libexec/jailssh/jailssh-login"
FLAGS = (
    "-std=c17", "-D_GNU_SOURCE", f'-DLOGIN_PROGRAM="{LOGIN_PROGRAM}"', f"-I{LOGIN}", "-g", "-O1",
    "-fno-omit-frame-pointer", "-fno-sanitize-recover=all", "-Wall", "-Wextra", "-Werror",
)  # fmt: skip


def compile_c(compiler: str, out: Path, sources: Iterable[Path], *flags: str) -> Path:
    """Compile and link; the compiler's messages are the error."""
    command = [compiler, *FLAGS, *flags, "-o", str(out), *map(str, sources)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPO)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
    return out


def frame(case: bytes) -> bytes:
    return struct.pack("<I", len(case)) + case


def frames(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(data):
        size = struct.unpack_from("<I", data, at)[0]
        found.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return found


def joined(parts: Iterable[str | bytes]) -> bytes:
    """Return the parts with a NUL behind each."""
    return b"".join(os.fsencode(part) + b"\0" for part in parts)


class Driver:
    """The compiled driver.  ``scarce`` is the number of the allocation that fails, where it was built for that."""

    def __init__(self, program: Path) -> None:
        self.program = program

    def raw(self, mode: str, cases: Sequence[bytes], plan: Path | None = None, scarce: int = 0) -> list[bytes]:
        """Return the answer to each case; a finding of the sanitizers fails with its text."""
        # What the matcher takes it never gives back: its process ends or executes.
        environment = {"ASAN_OPTIONS": "detect_leaks=0", "LC_ALL": "C", "SCARCE": str(scarce)}
        done = subprocess.run(
            [self.program, mode, *([plan] if plan else [])],
            input=b"".join(map(frame, cases)), capture_output=True, timeout=100, env=environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        answers = frames(done.stdout)
        assert len(answers) == len(cases)
        return answers

    def parts(self, mode: str, cases: Sequence[bytes], plan: Path | None = None, scarce: int = 0) -> list[list[str]]:
        """Return the parts of the answer to each case."""
        return [os.fsdecode(answer[:-1]).split("\0") for answer in self.raw(mode, cases, plan, scarce)]
