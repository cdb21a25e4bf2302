"""The static analysers of both compilers find nothing in the C programs."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.abilities import REPO
from tests.lint.tree import ASK_C, DELIVER_C, LOGIN_C, PAM_C, RELAY_C, name

SOURCES = [path for path in (*ASK_C, *DELIVER_C, *LOGIN_C, *PAM_C, *RELAY_C) if path.suffix == ".c"]
DEFINES = [
    "-std=c17",
    "-Ijailssh/login",
    "-Ijailssh/relay",
    "-D_GNU_SOURCE",
    '-DLOGIN_PROGRAM="/l"',
    '-DPLAN_DIR="/p"',
    '-DRUN_DIR="/r"',
    '-DPAM_TABLE_DIR="/t"',
    '-DTABLE_DIR="/t"',
    '-DVERSION="0"',
]
ANALYSERS = {
    "gcc": ["gcc", "-fanalyzer", "-O0", "-Wall", "-Wextra", "-c", "-o", os.devnull],
    "clang": [
        "clang", "--analyze", "--analyzer-output", "text",
        "-Xclang", "-analyzer-checker=core,deadcode,nullability,security,unix",
        # It wants memcpy_s for memcpy(3), which no libc of Linux has.
        "-Xclang", "-analyzer-disable-checker=security.insecureAPI.DeprecatedOrUnsafeBufferHandling",
        # vfork(2) is meant: the command's process does no more than it must before it executes.
        "-Xclang", "-analyzer-disable-checker=security.insecureAPI.vfork,unix.Vfork",
    ],
}  # fmt: skip
# match.h: memory is taken and never given back, since the process ends or executes right after.
LEAK = re.compile(r"warning: (leak of|Potential leak of memory) ")


def findings(analyser: str, path: Path) -> list[str]:
    command = [*ANALYSERS[analyser], *DEFINES, str(path)]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=60)
    report = (done.stdout + done.stderr).splitlines()
    assert done.returncode == 0, report
    return [line for line in report if ": warning: " in line and not LEAK.search(line)]


Answers = dict[tuple[str, Path], Future[list[str]]]


@pytest.fixture(scope="module")
def answers(request: pytest.FixtureRequest) -> Iterator[Answers]:
    """Every analysis that is asked for under way, two at a time."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    asked: list[Any] = [item.callspec.params for item in items if item.function is test_nothing_found]
    with ThreadPoolExecutor(2) as pool:
        yield {(row["analyser"], row["path"]): pool.submit(findings, row["analyser"], row["path"]) for row in asked}


@pytest.mark.slow
@pytest.mark.parametrize("path", SOURCES, ids=name)
@pytest.mark.parametrize("analyser", [pytest.param(each, marks=pytest.mark.needs(each)) for each in ANALYSERS])
def test_nothing_found(answers: Answers, analyser: str, path: Path) -> None:
    assert answers[analyser, path].result() == []


BUGS = {
    "gcc": "#include <stdlib.h>\nvoid f(char *p);\nvoid f(char *p)\n{\n    free(p);\n    free(p);\n}\n",
    "clang": "int f(int a);\nint f(int a)\n{\n    int *p = 0;\n    return a ? *p : 0;\n}\n",
}


@pytest.mark.parametrize("analyser", [pytest.param(each, marks=pytest.mark.needs(each)) for each in ANALYSERS])
def test_something_would_be_found(analyser: str, tmp_path: Path) -> None:
    path = tmp_path / "bug.c"
    path.write_text(BUGS[analyser])
    assert findings(analyser, path) != []
