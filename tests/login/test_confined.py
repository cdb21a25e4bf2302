"""The outer half's system call filter: what it needs passes with either C library, and everything else is the end."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.login.driver import LOGIN, compile_c

pytestmark = pytest.mark.needs("gcc", "static-libc")

SOURCES = [
    Path(__file__).with_name("confined.c"),
    *(LOGIN / f"{name}.c" for name in ("outer/confine", "fail", "journal", "nojournal", "readable", "reason")),
]
HEADERS = ["-idirafter", "/usr/include", "-idirafter", f"/usr/include/{os.uname().machine}-linux-gnu"]
# The headers of the kernel are beside the other C library's.
COMPILERS = {"gcc": ["-static-pie", "-fPIE"], "musl-gcc": ["-static", *HEADERS]}


@pytest.mark.parametrize("compiler", [name for name in COMPILERS if name == "gcc" or shutil.which(name)])
def test_what_passes(tmp_path: Path, compiler: str) -> None:
    program = compile_c(compiler, tmp_path / "confined", SOURCES, *COMPILERS[compiler])
    done = subprocess.run([program], stdout=subprocess.PIPE, text=True, timeout=60, check=True)
    rows = [line.split(" ", 2) for line in done.stdout.splitlines()]
    assert len(rows) == 21
    assert [row for row in rows if row[1] != row[2]] == []
