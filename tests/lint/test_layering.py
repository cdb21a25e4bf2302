"""Who may import whom, and which rooms may touch the host.  A rule that nobody runs is a wish."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lint.tree import LOGIN_C, PRODUCT_PYTHON, c_code, is_plugin_test, name

_PURE = {"core", "spec", "policy", "plan", "plugin", "config"}
MAY_IMPORT: dict[str, set[str]] = {
    "core": set(),
    "host": {"core"},
    "policy": {"core"},
    "spec": {"core"},
    "plugin": {"core", "policy"},
    "plan": {"core", "policy", "plugin"},
    "config": {"core", "policy", "plan", "plugin"},
    "image": _PURE | {"host"},
    "users": _PURE | {"host", "image"},
    "integrity": _PURE | {"host", "image"},
    "relay": _PURE | {"host", "image"},
    "cli": _PURE | {"host", "image", "users", "integrity", "relay"},
}
PLUGIN_MAY_IMPORT = ("jailssh.plugin", "jailssh.core", "jailssh.policy.rules", "jailssh_plugins")

HOST_CALLS = {
    f"os.{call}"
    for call in (
        "chown", "fchown", "lchown", "chmod", "fchmod", "rename", "renames", "replace", "link", "symlink", "unlink",
        "remove", "removedirs", "rmdir", "mkdir", "makedirs", "mknod", "mkfifo", "setxattr", "truncate", "utime",
        "fork", "execv", "execve", "posix_spawn", "kill", "mount", "unshare", "setns", "setuid", "chroot",
    )
} | {f"shutil.{call}" for call in ("copy", "copy2", "copyfile", "copytree", "move", "rmtree", "chown")}  # fmt: skip
HOST_METHODS = {"write_text", "write_bytes", "chmod", "rename", "unlink", "symlink_to", "hardlink_to", "touch"}
HOST_MODULES = {"subprocess", "ctypes", "multiprocessing", "tempfile"}

# Python file -> why it may do what only host may.
HOST_EXCEPTIONS: dict[str, str] = {}
# Python file -> why it reads the environment.
ENVIRONMENT: dict[str, str] = {
    "jailssh/cli/build.py": "SOURCE_DATE_EPOCH, as in every tool that writes archives",
}
# C file -> why it opens or mounts itself.
C_OPENS = {
    "within.c": "after the drop: the jail's directories, for the rules of one command",
    "cover.c": "below the mounted home, as the user: what is to be covered",
    "command_filter.c": "names the calls that its filter judges, and makes none",
    "command.c": "after the drop: the jail's /dev/null, and a directory of the plan to take turns by",
    "fd.c": "the room of trusted opens",
    "keep.c": "names the calls that its filter judges, and makes none",
    "match_main.c": "the unprivileged program reads a plan that its caller names",
    "mount.c": "handles (O_PATH) on places in the tree that it has just mounted, and the two ends of the pivot",
    "nojournal.c": "the log of root's on a host without a journal, by its one fixed name",
    "pattern.c": "after the drop: directories in which names are looked for that fit a pattern",
    "pin.c": "the pinned namespace's own file below the root-owned run directory",
    "repository.c": "after the drop: the HEAD of what may be a repository, read as git reads it",
    "slot.c": "the files of the sessions' places below the root-owned run directory",
    "pty.c": "the multiplexer of the jail's own devpts",
}
C_MOUNTS = {
    "cover.c": "one clone of something empty for each cover, without what mnt.c would set again",
    "mnt.c": "the system calls of mounts, with their fallbacks",
    "mount.c": "the room of mounts",
    "pin.c": "empties the mount namespace that later logins start from, before there is a jail",
}
C_ENVIRONMENT = {
    "env.c": "the only reader of the environment",
    "main.c": "hands it to env.c unread",
}

MODULES = [path for path in PRODUCT_PYTHON if not is_plugin_test(path)]
ROOMS = [path for path in MODULES if name(path).startswith("jailssh/") and name(path).count("/") > 1]
PLUGINS = [path for path in MODULES if name(path).startswith("plugins/")]
OUTSIDE_HOST = [path for path in MODULES if not name(path).startswith("jailssh/host/")]


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and full name of everything that the file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)}:{node.lineno}: relative import"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def _room(path: Path) -> str:
    return name(path).split("/")[1]


@pytest.mark.parametrize("path", ROOMS, ids=name)
def test_arrows(path: Path) -> None:
    own = _room(path)
    assert own in MAY_IMPORT, f"{own} is no room of the design"
    wrong = []
    for line, full in _imports(path):
        parts = full.split(".")
        if parts[0] == "jailssh_plugins":
            wrong.append(f"{line}: {full}: plugins are found through entry points")
        room = parts[1] if parts[0] == "jailssh" and len(parts) > 1 else own
        if room in MAY_IMPORT and room not in MAY_IMPORT[own] | {own}:
            wrong.append(f"{line}: {full}: {own} may import {', '.join(sorted(MAY_IMPORT[own])) or 'no room'}")
    assert wrong == []


@pytest.mark.parametrize("path", PLUGINS, ids=name)
def test_plugins(path: Path) -> None:
    allowed = tuple(f"{module}." for module in PLUGIN_MAY_IMPORT)
    ours = [full for _, full in _imports(path) if full.split(".")[0] in ("jailssh", "jailssh_plugins")]
    assert [full for full in ours if not full.startswith(allowed)] == []


def test_only_cli_parses_arguments() -> None:
    files = {name(path) for path in MODULES for _, full in _imports(path) if full.split(".")[0] == "argparse"}
    assert [file for file in files if not file.startswith("jailssh/cli/")] == []


def _opens_for_writing(node: ast.Call) -> bool:
    """True for open(…, MODE) and os.fdopen(…, MODE) where MODE writes or is not written out."""
    if ast.unparse(node.func) not in ("open", "io.open", "os.fdopen"):
        return False
    mode = node.args[1] if len(node.args) > 1 else next((k.value for k in node.keywords if k.arg == "mode"), None)
    if mode is None:
        return False
    return not isinstance(mode, ast.Constant) or bool(set(str(mode.value)) & set("wax+"))


def _host_acts(path: Path) -> Iterator[str]:
    for line, full in _imports(path):
        if full.split(".")[0] in HOST_MODULES:
            yield f"{line}: import {full}"
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        call = ast.unparse(node.func)
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if call in HOST_CALLS or (method in HOST_METHODS and not call.startswith(("fs.", "host."))):
            yield f"{node.lineno}: {call}"
        if _opens_for_writing(node):
            yield f"{node.lineno}: {ast.unparse(node)[:60]}"


@pytest.mark.parametrize("path", OUTSIDE_HOST, ids=name)
def test_only_host_changes_the_host(path: Path) -> None:
    assert list(_host_acts(path)) == [] or name(path) in HOST_EXCEPTIONS


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_environment(path: Path) -> None:
    words = {ast.unparse(node) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    assert words & {"os.environ", "os.environb", "os.getenv"} == set() or name(path) in ENVIRONMENT


def _c_files(pattern: str) -> set[str]:
    return {path.name for path in LOGIN_C if re.search(pattern, c_code(path))}


def test_c_opens() -> None:
    assert _c_files(r"\b(open|openat|creat|fopen|opendir)\s*\(|\bSYS_open(at2?)?\b") - set(C_OPENS) == set()


def test_c_mounts() -> None:
    calls = "mount|umount2?|move_mount|open_tree|mount_setattr|fsopen|fsconfig|fsmount|fspick|pivot_root"
    assert _c_files(rf"\b(SYS_({calls})\b|({calls})\s*\()") - set(C_MOUNTS) == set()


def test_c_environment() -> None:
    assert _c_files(r"\b((secure_)?getenv|setenv|putenv|clearenv|environ)\b") - set(C_ENVIRONMENT) == set()


def test_exceptions_are_needed() -> None:
    # An exception that nothing needs any more would hide the next offence.
    product = {name(path): path for path in OUTSIDE_HOST}
    assert [key for key in HOST_EXCEPTIONS if key not in product or not list(_host_acts(product[key]))] == []
    assert _c_files(r"\b(open|openat|opendir|SYS_openat2)\s*[(,]") >= set(C_OPENS)
    assert [key for key in ENVIRONMENT if key not in product or "environ" not in product[key].read_text()] == []
