"""No file and no function longer than one head holds."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.lint.tree import LOGIN_C, PYTHON, C, c_code, name, parsed

PYTHON_FILE = 500
C_FILE = 300
FUNCTION = 60
# Lines of code, without comments and blank lines, of the login program: what runs with power and what runs after.
# 250 of the former are the names of keys and the places of sessions, 350 the covers of what the host reads in a home,
# the ranges of numbers, the environment that a jail accepts and the log without a journal; 300 what makes a login
# cheap without giving a layer up: namespaces that logins share and the look at the filter before, paths opened at once,
# covers laid in one call, and 40 lines in the place of the C library's malloc(3), which has more; 90 are reasons and
# classes of values as types, which the compiler and the reader of the plan judge and nobody later; 100 are what a shell
# needs to feel like one: a /proc that programs can read the system from, and a loopback interface of the jail's own;
# 180 are jails that outlive their logins: a keeper made, recorded, found beyond doubt, and its namespaces entered; 30
# make the file of a recording; 20 compare the groups of a session with those that its plan was made for; 50 are the
# switch by which the administrator refuses new logins, and what names a session to root's commands; 10 lead out of
# the mounts that PAM makes for sessions of cron, at and su; 20 make the exit status on which a mail server acts; 50
# find the plan of who enters a jail on the host; 40 let one reader of plans read those of jailssh-run too, which logins
# never take; 110 make and enter the network that the sessions of an account share with what sshd forwards for it, as
# the PAM module does; 15 close what the half that talks to jailed processes does not need.
WITH_POWER = 3365
# 1100 of the latter are the limits, the relay of a command's streams, the log of file operations and the filter of the
# half that has them; 40 say to the user what of a command did not fit; 60 are what holds a jail that outlives its
# logins, and ends a session in it; 170 write the recording of a terminal; 30 name a session to the relay of its log and
# to root's commands; 30 are for who enters a jail on the host and for jailssh-run: a command in a tree that must end is
# asked first, and the console of a system goes to its log; 90 tell an SFTP client in its own protocol why it is denied.
AFTER_DROP = 3330
# What jailssh-run has of its own: a tree, its mounts, maps of ids, capabilities that are kept, what is cleared away;
# 150 hold a tree for several commands and enter one that is held; 340 start daemons: sockets and messages of a service
# manager passed on, the daemon's own pid; 110 mount an image file, 60 put a command into its control groups; 180 start
# whole systems: ids of the tree, control groups, a console and its log; 25 tell a service manager how one has ended; 20
# show a system on the host's network a /sys, keep abstract sockets from it, and hold its console open.
RUN = 1875
# 110 are for accounts for whom sshd forwards ports without a session: no other program of ours sees their logins, so it
# judges the limits of their plans, and records when they begin and end.
PAM_MODULE = 615
AFTER_DROP_FOLDERS = ("command", "outer")

# path or path:function -> why it may be longer
EXCEPTIONS: dict[str, str] = {}


def _c_functions(path: Path) -> list[tuple[str, int]]:
    """Return (name, lines) of the functions: a head at the margin, its brace, and the brace that closes it."""
    found = []
    head: tuple[str, int] | None = None
    inside = False
    for number, line in enumerate(c_code(path).splitlines(), 1):
        match = re.match(r"[A-Za-z_][\w\s*]*?\b(\w+)\s*\(", line)
        if match and not inside:
            head = (match[1], number)
        if line == "{" and head:
            inside = True
        if line == "}" and inside and head:
            found.append((head[0], number - head[1] + 1))
            head, inside = None, False
    return found


def _python_functions(path: Path) -> list[tuple[str, int]]:
    nodes = ast.walk(parsed(path))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [(node.name, (node.end_lineno or node.lineno) - node.lineno + 1) for node in functions]


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def _long_functions(path: Path, functions: list[tuple[str, int]]) -> list[str]:
    long = [(function, lines) for function, lines in functions if lines > FUNCTION]
    return [f"{function}: {lines} lines" for function, lines in long if f"{name(path)}:{function}" not in EXCEPTIONS]


@pytest.mark.parametrize("path", PYTHON, ids=name)
def test_python_file(path: Path) -> None:
    assert _lines(path) <= PYTHON_FILE or name(path) in EXCEPTIONS
    assert _long_functions(path, _python_functions(path)) == []


@pytest.mark.parametrize("path", C, ids=name)
def test_c_file(path: Path) -> None:
    assert _lines(path) <= C_FILE or name(path) in EXCEPTIONS
    assert _long_functions(path, _c_functions(path)) == []


def test_pam_module() -> None:
    """Every line counts, comments too: it lives in other programs' processes."""
    lines = {name(path): _lines(path) for path in C if name(path).startswith("pam/")}
    assert lines
    assert sum(lines.values()) <= PAM_MODULE, lines


def test_functions_are_seen() -> None:
    # The reader of C above knows one brace style; a file in which it finds nothing would pass unseen.
    with_code = [path for path in LOGIN_C if path.suffix == ".c"]
    assert with_code
    assert [name(path) for path in with_code if not _c_functions(path)] == []


def test_login_program() -> None:
    empty = ("", '""')  # the second is what is left of a comment
    lines = {"": 0, **dict.fromkeys(AFTER_DROP_FOLDERS, 0)}
    for path in LOGIN_C:
        if path.suffix == ".c" and path.name not in ("match_main.c", "join_main.c"):
            folder = path.parent.name if path.parent.name in AFTER_DROP_FOLDERS else ""
            lines[folder] += len([line for line in c_code(path).splitlines() if line.strip() not in empty])
    assert all(lines.values()), lines
    assert lines[""] <= WITH_POWER, lines
    assert sum(lines[folder] for folder in AFTER_DROP_FOLDERS) <= AFTER_DROP, lines


def test_run_program() -> None:
    empty = ("", '""')
    files = [path for path in C if name(path).startswith("jailssh/run/") and path.suffix == ".c"]
    assert len(files) > 5
    assert sum(len([line for line in c_code(path).splitlines() if line.strip() not in empty]) for path in files) <= RUN


def test_exceptions_are_needed() -> None:
    names = {name(path) for path in PYTHON + C}
    assert [key for key in EXCEPTIONS if key.split(":")[0] not in names] == []
