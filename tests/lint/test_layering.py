"""Who may import whom, and which rooms may touch the host.  A rule that nobody runs is a wish."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.source import REPO
from tests.lint.tree import LOGIN_C, PRODUCT_PYTHON, PYTHON, c_code, is_plugin_test, name, parsed

# From the bottom to the top; each row is what its room imports, no more: an arrow that nobody draws is not there.
MAY_IMPORT: dict[str, set[str]] = {
    "core": set(),
    "policy": {"core"},
    "plugin": {"core", "policy"},
    "plan": {"core", "plugin", "policy"},
    "config": {"core", "plan", "plugin", "policy"},
    "jailspec": {"core"},
    "files": {"core"},
    "host": {"core", "files"},
    "services": {"core", "files", "host"},
    "scratch": {"core", "host"},
    "closure": {"core", "files", "host", "plugin"},
    "image": {"closure", "core", "files", "host", "plugin"},
    "jail": {"closure", "config", "core", "files", "host", "image", "plan", "plugin", "policy", "services"},
    "publish": {"closure", "config", "core", "files", "host", "image", "jail", "plan", "plugin", "policy", "services"},
    "upkeep": {"closure", "config", "core", "files", "host", "image", "jail", "plan", "publish"},
    "tree": {"closure", "core", "files", "host", "image", "jail", "jailspec", "plugin"},
    "diagnose": {"config", "core", "files", "host", "jail", "plan", "plugin", "policy", "publish", "services"},
    "sources": {"config", "core"},
    "jailkit": {"core", "jailspec", "sources"},
    "gitolite": {"config", "core", "plugin", "sources"},
    "change": {"core", "files", "host", "jail", "publish", "services"},
    "setup": {
        "change", "closure", "config", "core", "files", "host", "image", "jail", "plan", "plugin", "policy", "publish",
        "services",
    },
    "users": {"change", "config", "core", "files", "host", "jail", "plan", "publish", "services", "setup"},
    "webhooks": {"core", "files", "host", "jail", "services"},
    "daemon": {"config", "core", "files", "host", "jail", "plugin", "publish", "services", "webhooks"},
    "selfservice": {
        "change", "config", "core", "daemon", "files", "host", "jail", "plugin", "services", "users",
    },
    "integrity": {"config", "core", "diagnose", "files", "host", "jail", "publish", "services", "setup"},
    "checks": {
        "change", "closure", "config", "core", "daemon", "diagnose", "files", "host", "image", "integrity", "jail",
        "plugin", "publish", "services", "setup", "upkeep", "users",
    },
    "audit": {"config", "core", "files", "host"},
    "doctor": {
        "change", "closure", "config", "core", "daemon", "diagnose", "files", "host", "image", "jail", "plan",
        "plugin", "publish", "services", "setup", "upkeep",
    },
    "selftest": {
        "change", "core", "files", "host", "image", "jail", "plan", "plugin", "policy", "publish", "services", "setup",
        "users",
    },
    "sessions": {"core", "host", "jail", "services"},
    "console": {"core", "host"},
    "migration": {
        "change", "config", "core", "files", "gitolite", "host", "jail", "jailkit", "services", "setup", "sources",
        "users",
    },
    "carrying": {
        "change", "config", "core", "files", "host", "jail", "plan", "publish", "services", "setup", "users",
    },
    "fleet": {"carrying", "change", "config", "console", "core", "files", "host", "publish", "users"},
    "transfer": {
        "carrying", "console", "core", "files", "fleet", "host", "jail", "migration", "publish", "selftest", "setup",
        "sources", "users",
    },
    "entering": {"console", "core", "files", "host", "plan", "policy", "services"},
    "systems": {"config", "console", "core", "entering", "files", "host", "plan", "policy", "services"},
    "compat": {"console", "core", "files", "host"},
    "queries": {
        "audit", "change", "checks", "config", "console", "core", "diagnose", "doctor", "files", "host", "integrity",
        "jail",
        "plan", "publish", "selftest", "services", "sessions", "setup", "users",
    },
    "cli": {
        "change", "closure", "config", "console", "core", "daemon", "diagnose", "files", "fleet", "host",
        "image", "integrity", "jail", "jailkit", "jailspec", "publish", "scratch", "selftest", "services", "sessions",
        "setup", "tree", "upkeep", "users",
    },
}  # fmt: skip
VERB_ROOMS = ("cli", "queries", "transfer", "entering", "systems")
MOST_FILES = 20
"""Of one room, without ``__init__.py``: what one can hold in mind."""
# What starts a program: everything else must be reachable from here.
ENTRY_POINTS = (
    "jailssh.__main__",
    "jailssh.compat.names",
    "jailssh.daemon.daemon",
    "jailssh.host.nss_helper",
    "jailssh.scratch.init",
    "jailssh.selfservice.server",
)
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
HOST_EXCEPTIONS: dict[str, str] = {
    "jailssh/policy/seccomp.py": "how pyseccomp, which loads libraries itself, finds them",
    "jailssh/selfservice/password.py": "PAM's own library, in a process that ends with what it was asked",
    "jailssh/systems/create.py": "a new system's tree and the archive it is made from, in directories of root's alone",
    "jailssh/systems/groups.py": "the control groups of systems, which are made and removed as directories",
    "jailssh/systems/running.py": "a process of ours that asks an init to stop its system",
}
# Python file -> why it reads the environment.
ENVIRONMENT: dict[str, str] = {
    "jailssh/cli/build.py": "SOURCE_DATE_EPOCH, as in every tool that writes archives",
    "jailssh/cli/exec.py": "TERM, judged by its characters, for a command on a terminal",
    "jailssh/cli/image.py": "HOME and REGISTRY_AUTH_FILE, by which skopeo(1) finds credentials for a registry",
    "jailssh/entering/launch.py": "what a service manager passes to who it starts: its socket, the number of others",
    "jailssh/entering/run.py": "TERM, likewise",
    "jailssh/systems/system.py": "TERM, likewise",
    "jailssh/transfer/bundle.py": "SSH_AUTH_SOCK, so that the agent of who calls can sign",
    "jailssh/host/accounts.py": "SUDO_UID, to keep who runs this from locking themselves out: it can only refuse",
    "jailssh/host/nss.py": "cleared in the copy of the process that asks the name service",
}
# C file -> why it opens or mounts itself.
C_OPENS = {
    "beneath.c": "after the drop: where the links of a path lead, which only an open tells",
    "within.c": "after the drop: the jail's directories, for the rules of one command",
    "cover.c": "below the mounted home, as the user: what is to be covered",
    "command_filter.c": "names the calls that its filter judges, and makes none",
    "command.c": "after the drop: the jail's /dev/null",
    "fd.c": "the room of trusted opens",
    "found.c": "after the drop: the HEAD of what may be a repository, read as git reads it",
    "keep.c": "names the calls that its filter judges, and makes none",
    "keeper.c": "processes and their namespaces in /proc, and records below the root-owned run directory",
    "spaces.c": "namespaces of a process in /proc",
    "match_main.c": "the unprivileged program reads a plan that its caller names",
    "mount.c": "handles (O_PATH) on places in the tree that it has just mounted, and the two ends of the pivot",
    "nojournal.c": "the log of root's on a host without a journal, by its one fixed name",
    "pattern.c": "after the drop: directories in which names are looked for that fit a pattern",
    "net_pin.c": "the account's network and its lock below the root-owned run directory",
    "pin.c": "the pinned namespace's own file below the root-owned run directory",
    "recording.c": "the recording, a new file in a root-owned directory of the plan",
    "slot.c": "the files of the sessions' places below the root-owned run directory",
    "view.c": "the namespaces of process 1, put over /proc by the PAM module; nobody else can make a name there",
    "pty.c": "the multiplexer of the jail's own devpts",
}
C_MOUNTS = {
    "cover.c": "one clone of something empty for each cover, without what mnt.c would set again",
    "mnt.c": "the system calls of mounts, with their fallbacks",
    "mount.c": "the room of mounts",
    "proc.c": "one clone of something empty over each name in /proc, as cover.c",
    "net_pin.c": "binds the network namespace of an account to its file",
    "pin.c": "empties the mount namespace that later logins start from, before there is a jail",
}
C_ENVIRONMENT = {
    "env.c": "the only reader of the environment",
    "main.c": "hands it to env.c unread",
}

MODULES = [path for path in PRODUCT_PYTHON if not is_plugin_test(path)]
ROOMS = [path for path in MODULES if name(path).startswith("jailssh/") and name(path).count("/") > 1]
PLUGINS = [path for path in MODULES if name(path).startswith("plugins/")]
# Only these change the host.
HOST_ROOMS = ("files", "host", "services", "scratch")
OUTSIDE_HOST = [path for path in MODULES if not name(path).startswith(tuple(f"jailssh/{room}/" for room in HOST_ROOMS))]


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and full name of everything that the file imports, wherever in the file."""
    yield from _imported(parsed(path), name(path))


def _imported(tree: ast.Module, file: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: relative import"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def _room(path: Path) -> str:
    return name(path).split("/")[1]


def test_rooms_are_folders() -> None:
    assert sorted(MAY_IMPORT) == sorted({_room(path) for path in ROOMS})


@pytest.mark.parametrize("level", ["unit", "root"])
def test_tests_stand_in_the_folder_of_their_room(level: str) -> None:
    # What they hold to be true is one room's, or that of something beside the rooms that has a folder of its own.
    found = {
        path.parent.relative_to(REPO / "tests" / level).as_posix()
        for path in (REPO / "tests" / level).rglob("test_*.py")
    }
    assert found <= {*MAY_IMPORT, "login", "pam", "packaging", "bench"}


def test_no_circles_between_rooms() -> None:
    below: set[str] = set()
    for room, allowed in MAY_IMPORT.items():
        assert allowed <= below, f"{room} stands below {', '.join(sorted(allowed - below))}"
        below.add(room)


def test_each_arrow_is_drawn() -> None:
    """An arrow that is allowed and not used lets in what nobody has thought of."""
    used: dict[str, set[str]] = {room: set() for room in MAY_IMPORT}
    for path in ROOMS:
        used[_room(path)] |= {full.split(".")[1] for _, full in _imports(path) if full.startswith("jailssh.")}
    assert {room: allowed - used[room] for room, allowed in MAY_IMPORT.items() if allowed - used[room]} == {}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_no_room_is_crowded(room: str) -> None:
    assert len([path for path in ROOMS if _room(path) == room and path.name != "__init__.py"]) <= MOST_FILES


def _module(path: Path) -> str:
    return name(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def test_no_circles_between_modules() -> None:
    """A circle cannot be read from the bottom to the top; imports for types alone are arrows too."""
    after = _graph()
    done: set[str] = set()
    while free := {module for module, targets in after.items() if module not in done and targets <= done}:
        done |= free
    assert sorted(set(after) - done) == []


def test_every_module_is_reachable() -> None:
    """From what starts a program, by what is imported; verbs are imported by their name."""
    after = _graph()
    verbs = {_module(path) for path in ROOMS if _room(path) in VERB_ROOMS}
    seen, left = set(), [*ENTRY_POINTS, *verbs]
    while left:
        module = left.pop()
        if module not in seen:
            seen.add(module)
            left += after[module]
    packages = {_module(path) for path in MODULES if path.name == "__init__.py"}
    assert sorted(set(after) - seen - packages) == []


def _graph() -> dict[str, set[str]]:
    """Return what each of our modules imports of them."""
    modules = {_module(path): path for path in MODULES if name(path).startswith("jailssh/")}
    after = {}
    for module, path in modules.items():
        full = [full for _, full in _imports(path)]
        after[module] = {each if each in modules else each.rpartition(".")[0] for each in full} & set(modules) - {
            module
        }
    return after


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


def _of_test_modules(tree: ast.Module, file: str) -> list[str]:
    imported = _imported(tree, file)
    return [f"{file}:{line}: {full}" for line, full in imported if ".test_" in full]


def test_no_test_module_is_imported() -> None:
    # What two of them share stands in tests/harness or in a file beside them: pytest imports each under a name of its
    # own, so an import would make all of it twice, and a test that is imported runs twice.
    assert [line for path in PYTHON for line in _of_test_modules(parsed(path), name(path))] == []


@pytest.mark.parametrize(
    "bad",
    ["from tests.root import test_keys", "from tests.root.test_keys import key", "import tests.unit.test_cli as t"],
)
def test_an_import_of_a_test_module_would_be_found(bad: str) -> None:
    assert _of_test_modules(ast.parse(bad), "x.py") != []


def test_only_cli_parses_arguments() -> None:
    files = {name(path) for path in MODULES for _, full in _imports(path) if full.split(".")[0] == "argparse"}
    assert [
        file for file in files if not file.startswith(tuple(f"jailssh/{room}/" for room in (*VERB_ROOMS, "console")))
    ] == []


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
    for node in ast.walk(parsed(path)):
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
    words = {ast.unparse(node) for node in ast.walk(parsed(path)) if isinstance(node, ast.Attribute)}
    assert words & {"os.environ", "os.environb", "os.getenv"} == set() or name(path) in ENVIRONMENT


def _c_files(pattern: str) -> set[str]:
    return {path.name for path in LOGIN_C if re.search(pattern, c_code(path))}


def test_c_opens() -> None:
    assert _c_files(r"\b(open|openat|creat|fopen|opendir)\s*\(|\bSYS_open(at2?)?\b") - set(C_OPENS) == set()


def test_c_mounts() -> None:
    calls = "mount|umount2?|move_mount|open_tree|mount_setattr|fsopen|fsconfig|fsmount|fspick|pivot_root"
    assert _c_files(rf"\b(SYS_({calls})\b|({calls})\s*\()") - set(C_MOUNTS) == set()


def _c_calls() -> dict[str, set[str]]:
    """Return by file without its ending, as ``command/match``, the files whose headers it includes."""
    calls: dict[str, set[str]] = {}
    for path in LOGIN_C:
        whole = name(path).removeprefix("jailssh/login/").rpartition(".")[0]
        folder = f"{path.parent.name}/" if "/" in whole else ""
        found = re.findall(r'^#include "([\w/]+)\.h"', path.read_text(), re.MULTILINE)
        beside = {other.stem for other in LOGIN_C if other.parent == path.parent}
        full = {other if "/" in other or other not in beside else folder + other for other in found}
        calls.setdefault(whole, set()).update(full - {whole})
    return calls


def test_c_rooms() -> None:
    """What runs with power calls the two others at their doors, and they do not call each other but for the streams."""
    calls = _c_calls()
    doors = {"command/command", "command/hold", "command/limit", "outer/outer"}
    for whole, others in calls.items():
        room = whole.partition("/")[0] if "/" in whole else ""
        away = {other for other in others if "/" in other and not other.startswith(f"{room}/")}
        allowed = {"": doors, "command": {"outer/stream"}, "outer": set[str]()}[room]
        assert away - allowed == set(), whole


def test_no_circle_in_c() -> None:
    calls = _c_calls()
    assert "command/rule" in calls["command/value"]
    while calls:
        leaves = {whole for whole, others in calls.items() if not others & set(calls)}
        assert leaves, calls
        calls = {whole: others for whole, others in calls.items() if whole not in leaves}


def test_c_environment() -> None:
    assert _c_files(r"\b((secure_)?getenv|setenv|putenv|clearenv|environ)\b") - set(C_ENVIRONMENT) == set()


def test_c_memory() -> None:
    """memory.c gives nothing back and makes nothing larger; realloc(3) would be the C library's own, and meet ours."""
    calls = "realloc|reallocarray|getline|getdelim|open_memstream|scandir|posix_memalign|aligned_alloc"
    assert _c_files(r"\bfree\b") >= {"memory.c"}
    assert _c_files(rf"\b({calls})\b") == set()


def test_exceptions_are_needed() -> None:
    # An exception that nothing needs any more would hide the next offence.
    product = {name(path): path for path in OUTSIDE_HOST}
    everything = {name(path): path for path in MODULES}
    assert [key for key in HOST_EXCEPTIONS if key not in product or not list(_host_acts(product[key]))] == []
    assert _c_files(r"\b(open|openat|opendir|SYS_openat2)\s*[(,]") >= set(C_OPENS)
    assert [key for key in ENVIRONMENT if key not in everything or "environ" not in everything[key].read_text()] == []
