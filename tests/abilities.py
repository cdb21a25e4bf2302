"""What this host can do, the marker ``needs`` that asks for it, and the fixtures that every test may use.

``@pytest.mark.needs("root", "git")`` skips a test on a host without them, with the reason.  ``JAILSSH_MUST_RUN=all``
turns every skip into a failure, ``JAILSSH_MUST_RUN=root,git`` those for lack of root or git.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.harness.shared import building, once

REPO = Path(__file__).resolve().parent.parent
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
RRSYNC = Path(os.environ.get("JAILSSH_RRSYNC", "/usr/bin/rrsync"))  # of another version, to try it
GITOLITE = Path(os.environ.get("JAILSSH_GITOLITE", "/usr/share/gitolite3"))  # of another version, to try it
REMOVED = ("JAILSSH_", "GIT_", "RSYNC_", "SSH_", "LC_")

# Read here, since the tests themselves see an environment without them.
MUST_RUN = frozenset(filter(None, os.environ.get("JAILSSH_MUST_RUN", "").split(",")))
BUILD_DIR = Path(os.environ.get("JAILSSH_BUILD_DIR", REPO / "build" / "meson"))


def _program(*names: str) -> bool:
    """True if each program is beside this Python or in the system's directories."""
    path = f"{Path(sys.executable).parent}:{SYSTEM_PATH}:{os.environ.get('PATH', '')}"
    return all(shutil.which(name, path=path) for name in names)


def _works(*command: str) -> bool:
    """True if the command can be started and ends with 0."""
    try:
        return subprocess.run(command, capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _compiler_has(compiler: str, library: str) -> bool:
    """True if the compiler finds its own ``library``; it answers with the bare name when it does not."""
    try:
        found = subprocess.run([compiler, f"-print-file-name={library}"], capture_output=True, text=True)
    except OSError:
        return False
    return Path(found.stdout.strip()).is_absolute() and Path(found.stdout.strip()).exists()


def _openat2() -> bool:
    how = struct.pack("QQQ", 0, 0, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.syscall(437, -100, b"/", how, len(how))
    if descriptor >= 0:
        os.close(descriptor)
    return descriptor >= 0 or ctypes.get_errno() != errno.ENOSYS


def _landlock_scope() -> bool:
    """True from Linux 6.12 on: version 6 of Landlock (landlock_create_ruleset(2))."""
    return int(ctypes.CDLL(None, use_errno=True).syscall(444, None, 0, 1)) >= 6


def _file_capabilities() -> bool:
    with tempfile.NamedTemporaryFile() as file:
        try:  # Revision 2, CAP_SETUID permitted: capabilities(7), "File capability extended attribute versioning".
            os.setxattr(file.name, "security.capability", struct.pack("<5I", 0x02000000, 1 << 7, 0, 0, 0))
        except OSError:
            return False
    return True


def _machine() -> str:
    return os.uname().machine


PROBES: dict[str, Callable[[], bool]] = {
    "root": lambda: os.geteuid() == 0,
    "namespaces": lambda: _works("unshare", "--mount", "--pid", "--fork", "--net", "--ipc", "--uts", "true"),
    "userns": lambda: _works("unshare", "--user", "--map-root-user", "true"),
    "openat2": _openat2,
    "landlock-scope": _landlock_scope,
    "filecaps": _file_capabilities,
    "sshd": lambda: Path("/usr/sbin/sshd").exists() and _program("ssh", "ssh-keygen"),
    "ssh": lambda: _program("ssh", "ssh-keygen"),
    "sftp": lambda: _program("sftp"),
    "scp": lambda: _program("scp"),
    "rsync": lambda: _program("rsync"),
    "git": lambda: _program("git"),
    "gitolite": lambda: _program("perl") and (GITOLITE / "lib" / "Gitolite").is_dir(),
    "useradd": lambda: _program("useradd"),
    "gcc": lambda: _program("gcc"),
    "ansible": lambda: _program("ansible-playbook"),
    "chromium": lambda: _program("chromium"),
    "clang": lambda: _program("clang"),
    "sanitizers": lambda: _compiler_has("gcc", "libasan.so") and _compiler_has("gcc", "libubsan.so"),
    "libfuzzer": lambda: _compiler_has("clang", f"libclang_rt.fuzzer-{_machine()}.a"),
    "static-libc": lambda: _compiler_has("gcc", "libc.a"),
    "login-program": lambda: _program("gcc", "meson", "ninja"),
    "clang-format": lambda: _program("clang-format"),
    "shellcheck": lambda: _program("shellcheck"),
    "ruff": lambda: _program("ruff"),
    "mypy": lambda: _program("mypy"),
    "make": lambda: _program("make"),
    "strace": lambda: _works("strace", "-o", "/dev/null", "true"),
    "acl": lambda: _program("setfacl"),
    "journald": lambda: Path("/lib/systemd/systemd-journald").exists(),
    "dpkg": lambda: _program("dpkg-statoverride"),
    "debhelper": lambda: _program("dh", "dh_apparmor", "dh_python3", "musl-gcc"),
    "lintian": lambda: _program("lintian"),
    "rpm": lambda: _program("rpmbuild", "rpm"),
    "apparmor": lambda: _program("apparmor_parser"),
    "nspawn": lambda: _program("systemd-nspawn"),
    "systemd-analyze": lambda: _program("systemd-analyze", "setpriv"),
    "mmdebstrap": lambda: _program("mmdebstrap"),
    "pamtester": lambda: _program("pamtester"),
    "promtool": lambda: _program("promtool"),
    "jailkit": lambda: _program("jk_chrootsh", "jk_init"),
    "bwrap": lambda: _program("bwrap"),
    "hyperfine": lambda: _program("hyperfine"),
    "zstd": lambda: _program("zstd"),
    "erofs": lambda: _program("mkfs.erofs", "fsck.erofs"),
    "procps": lambda: _program("ps", "top", "free", "uptime", "pgrep"),
    "tmux": lambda: _program("tmux"),
    "man": lambda: _program("man", "groff"),
    "pasta": lambda: _program("pasta", "nft", "ip"),
    "podman": lambda: _program("podman"),
    "skopeo": lambda: _program("skopeo"),
    "squashfs": lambda: _program("mksquashfs", "unsquashfs"),
    "umoci": lambda: _program("umoci"),
    # The one in Python: before rsync 3.2.4 it was a Perl script with other rules.
    "rrsync": lambda: RRSYNC.exists() and "argparse" in RRSYNC.read_text(),
    "borg": lambda: _program("borg"),
    "svn": lambda: _program("svn", "svnadmin", "svnserve"),
    "journal-remote": lambda: os.path.exists("/lib/systemd/systemd-journal-remote"),
    "rsyslog": lambda: _program("rsyslogd"),
    "rush": lambda: _program("rush"),
    "hg": lambda: _program("hg"),
    "cvs": lambda: _program("cvs"),
    "pip": lambda: _works(sys.executable, "-m", "pip", "--version"),
    "python3-packages": lambda: _works(
        "/usr/bin/python3", "-Ic", "import configobj, elftools, pam, paramiko, rich, seccomp, systemd"
    ),
    "mandoc": lambda: _program("mandoc"),
    "bash": lambda: _program("bash"),
    "zsh": lambda: _program("zsh"),
    "fish": lambda: _program("fish"),
    "journalctl": lambda: _program("journalctl"),
    "python3.13": lambda: _program("python3.13"),
}


@functools.cache
def has(ability: str) -> bool:
    """True if this host has the ability; an unknown name is an error of the test."""
    return PROBES[ability]()


def lacking(abilities: Iterable[str]) -> list[str]:
    """Return those of ``abilities`` that this host lacks."""
    return [ability for ability in abilities if not has(ability)]


def _needed(item: pytest.Item) -> list[str]:
    names = [str(name) for mark in item.iter_markers("needs") for name in mark.args]
    unknown = [name for name in names if name not in PROBES]
    if unknown:
        raise pytest.UsageError(f"{item.nodeid}: no such ability: {', '.join(unknown)}; tests/abilities.py lists them")
    return names


def pytest_configure() -> None:
    """Give programs that tests start the signals that whoever started us ignores (nohup, a shell's ``&``).

    We go on ignoring them: a handler, unlike SIG_IGN, is not inherited through execve(2).
    """
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


def pytest_report_header() -> list[str]:
    """Say what this host has and lacks."""
    absent = lacking(PROBES)
    lines = [f"this host has: {', '.join(name for name in PROBES if name not in absent)}"]
    lines.append(f"this host lacks: {', '.join(absent) or 'nothing'}")
    if MUST_RUN:
        lines.append(f"no skip allowed for: {', '.join(sorted(MUST_RUN))}")
    return lines


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse marks that name no ability, before anything runs; a worker cannot say it then, so its tests do."""
    if not hasattr(config, "workerinput"):
        for item in items:
            _needed(item)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose needs this host does not meet, or fail it where it must run."""
    absent = lacking(_needed(item))
    if not absent:
        return
    if "all" in MUST_RUN or MUST_RUN.intersection(absent):
        pytest.fail(f"this host lacks: {', '.join(absent)}, and the test must run", pytrace=False)
    pytest.skip(f"this host lacks: {', '.join(absent)}")


def _forbid_skip(report: Any) -> None:
    if report.skipped and "all" in MUST_RUN and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and the test must run: {report.longrepr}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, None]:
    """Turn a skip from within a test into a failure where everything must run."""
    outcome = yield
    _forbid_skip(outcome.get_result())


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, None]:
    """Turn a skip of a whole file into a failure where everything must run."""
    outcome = yield
    _forbid_skip(outcome.get_result())


@pytest.fixture(autouse=True)
def clean_env(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what the developer's environment would change; the C locale and no agent for everyone."""
    for name in list(os.environ):
        if name.startswith(REMOVED) or name in ("LANG", "LANGUAGE"):
            monkeypatch.delenv(name)


def _run(*command: str | Path, compiler: str = "cc") -> None:
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, cwd=REPO, env={**os.environ, "CC": compiler})
    if done.returncode != 0:
        pytest.fail(f"{' '.join(map(str, command))}:\n{done.stdout}{done.stderr}", pytrace=False)


@pytest.fixture(scope="session")
def build_dir() -> Path:
    """The meson build directory with both C programs up to date (``JAILSSH_BUILD_DIR``, else build/meson)."""
    with building():
        if not (BUILD_DIR / "build.ninja").exists():
            _run("meson", "setup", BUILD_DIR, REPO, compiler=shutil.which("musl-gcc") or "cc")
        _run("ninja", "-C", BUILD_DIR)
    return BUILD_DIR


@pytest.fixture(scope="session")
def login_build(build_dir: Path) -> Path:
    """The login program as built: not set-id, not installed."""
    return build_dir / "jailssh-login"


@pytest.fixture(scope="session")
def match_build(build_dir: Path) -> Path:
    """The matcher program as built."""
    return build_dir / "jailssh-match"


@pytest.fixture(scope="session")
def sanitized_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build directory whose programs carry AddressSanitizer and UndefinedBehaviorSanitizer."""

    def build(folder: Path) -> None:
        _run("meson", "setup", folder, REPO, "-Db_sanitize=address,undefined")
        _run("ninja", "-C", folder)

    return once(tmp_path_factory, "sanitized", build)
