"""The suites: where each comes from, what is compiled of it, and how it is run and read."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.suites.results import from_junit, from_lines, from_tap
from tests.suites.site import REMOTE
from tests.suites.sources import Mirror, call

PYTHON = "/usr/bin/python3"


@dataclass(frozen=True)
class Run:
    """One command line, run in ``~/NAME`` of the suite; ``{account}`` stands for the account."""

    title: str  # before the names of its tests, where these are not unique in the suite
    command: str
    read: Callable[[str], dict[str, str]]
    seconds: int = 300
    outside: bool = False


@dataclass(frozen=True)
class Suite:
    """``prepare`` returns the directory that both accounts get."""

    name: str
    what: str
    prepare: Callable[[Mirror], Path]
    runs: Sequence[Run]


# CPython: the package holds the tests, the standard library the modules that they are made of.  Not what needs a
# terminal of its own to run at all (test_ioctl).

_MODULES = [
    "test_posix",
    "test_os",
    "test_pathlib",
    "test_shutil",
    "test_tempfile",
    "test_pty",
    "test_resource",
    "test_mmap",
    "test_zoneinfo",
    "test_locale",
    "test_grp",
    "test_pwd",
    "test_fcntl",
    "test_select",
    "test_signal",
    "test_stat",
    "test_glob",
    "test_openpty",
    "test_poll",
    "test_epoll",
    "test_getpass",
    "test_platform",
    "test_uuid",
    "test_site",
    "test_time",
    "test_file",
    "test_socket",
    "test_sysconfig",
    "test_popen",
    "test_subprocess",
    "test_selectors",
    "test_wait4",
    "test_fork1",
    "test_readline",
    "test_ssl",
    "test_venv",
    "test_asyncio",
    "test_multiprocessing_fork",
    "test_multiprocessing_forkserver",
    "test_multiprocessing_main_handling",
    "test_multiprocessing_spawn",
    "test_thread",
    "test_threading",
    "test_threadsignals",
]


def _python(mirror: Mirror) -> Path:
    version = call([PYTHON, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], Path("/")).strip()
    library = mirror.unpacked(f"libpython{version}-testsuite") / f"usr/lib/python{version}"
    tree = library.parent / "python"
    shutil.copytree(f"/usr/lib/python{version}/test", tree / "test", symlinks=True)
    shutil.copytree(library / "test", tree / "test", symlinks=True, dirs_exist_ok=True)
    return tree


# It has hung in the account without a jail, so it says nothing about one.
_LEFT_OUT = "test_4_daemon_threads"


def _module(name: str, options: str = "") -> Run:
    command = (
        f'PYTHONPATH="$PWD" {PYTHON} -m test --timeout 400 --ignore {_LEFT_OUT} {options} --junit-xml "$PWD/found.xml"'
        f" {name}"
        ' </dev/null >"$PWD/said" 2>&1;'
        ' if test -s found.xml; then cat found.xml; else echo "<none/>"; fi; rm -f found.xml'
    )
    return Run("", command, from_junit, 600)


# It is skipped as a whole without it; its network is the loopback interface.
_NETWORK = _module("test_socketserver", "-u network")

# bash: each script says by its exit status whether all output was as expected.

_BASH_HELPERS = ("recho", "zecho", "printenv", "xcase")
_BASH_EACH = """
export THIS_SH=/bin/bash BUILD_DIR="$PWD" PATH=".:$PATH" TMPDIR=/tmp BASH_TSTOUT="$HOME/bash/out"
cd tests
for script in run-*; do
    case $script in run-all | run-minimal | run-gprof) continue ;; esac
    if timeout -k 5 120 sh "$script" </dev/null >/dev/null 2>&1; then echo "PASS $script"; else echo "FAIL $script"; fi
    rm -f "$BASH_TSTOUT"
done
"""


def _bash(mirror: Mirror) -> Path:
    source = mirror.source("bash")
    (source / "support/config.h").write_text("#define HAVE_UNISTD_H 1\n#define HAVE_STRING_H 1\n")
    for name in _BASH_HELPERS:
        include = ["-I", "support", "-I", ".", "-I", "include"]
        call(["gcc", "-w", *include, "-o", f"tests/{name}", f"support/{name}.c"], source)
    for path in source.iterdir():
        if path.name not in ("tests", "support", "builtins", "config.h.in"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return source


# OpenSSH: the clients run as the account on the host, against its own login.  Not sftp-perm: it is about options of
# sftp-server(8), which who logs in cannot give.

_SSH_SCRIPTS = [
    "sftp",
    "sftp-cmds",
    "sftp-badcmds",
    "sftp-batch",
    "sftp-glob",
    "sftp-uri",
    "scp",
    "scp3",
    "scp-uri",
]
_SSH_EACH = """
export TEST_SHELL=sh TEST_SSH_SSHD=/usr/sbin/sshd TEST_SSH_SCP=/usr/bin/scp TEST_SSH_UNSAFE_PERMISSIONS=1
export TEST_SSH_SFTPSERVER=/srv/{account}/remote-sftp
mkdir -p obj
for name in %s; do
    said=$(timeout -k 5 200 sh regress/test-exec.sh "$PWD/obj" "$PWD/regress/$name.sh" </dev/null 2>&1)
    code=$?
    case $code,$said in
    *SKIPPED*) echo "SKIP $name" ;;
    0,*) echo "PASS $name" ;;
    *) echo "FAIL $name"; printf '%%s\\n' "$said" | tail -n 5 >&2 ;;
    esac
done
""" % " ".join(_SSH_SCRIPTS)  # noqa: UP031 # braces are the shell's


def _openssh(mirror: Mirror) -> Path:
    source = mirror.source("openssh")
    tree = source.parent / "tree"
    shutil.copytree(source / "regress", tree / "regress", symlinks=True)
    wrapper = tree / "regress/scp-ssh-wrapper.sh"
    text = wrapper.read_text()
    there = '\tset -- $arg\n\tshift\n\texec $SCP "$@"\n'
    assert there in text
    wrapper.write_text(text.replace(there, f'\texec /srv/$(whoami)/{REMOTE} "$arg"\n'))
    return tree


# rsync: once with both ends in the jail, once with the far end of those tests that have one.

_RSYNC = 'rsync_bin=/usr/bin/rsync TOOLDIR="$PWD" sh ./runtests.sh </dev/null 2>&1'
_RSYNC_FAR = [
    "00-hello",
    "ssh-basic",
    "files-from",
    "alt-dest",
    "hardlinks",
    "exclude-lsh",
    "symlink-dirlink-basis",
    "daemon",
]
_RSYNC_PROGRAMS = "tls getgroups getfsdev testrun trimslash t_unsafe t_chmod_secure t_secure_relpath wildtest simdtest"
_LSH = """#!/bin/sh
cd=:
while :; do
    case $1 in
    -l) shift 2 ;;
    --no-cd) cd="cd '$PWD'"; shift ;;
    -*) shift ;;
    lh) cd="cd '$PWD'"; shift; break ;;
    localhost) shift; break ;;
    *) echo "lsh: unable to connect to host $1" >&2; exit 1 ;;
    esac
done
exec "/srv/$(whoami)/remote" "$cd && $*"
"""


def _rsync(mirror: Mirror) -> Path:
    source = mirror.source("rsync")
    for name in ("aclocal.m4", "configure.sh", "config.h.in"):  # patched after they were made: no autoconf is wanted
        (source / name).touch()
    without = [f"--disable-{name}" for name in ("xxhash", "zstd", "lz4", "openssl", "md2man")]
    call(["sh", "./configure", "-q", *without], source)
    call(["make", *_RSYNC_PROGRAMS.split()], source)
    for link, target in (("chown-fake", "chown"), ("devices-fake", "devices"), ("xattrs-hlink", "xattrs")):
        (source / f"testsuite/{link}.test").symlink_to(f"{target}.test")
    return source


def _rsync_far(mirror: Mirror) -> Path:
    source = _rsync(mirror)
    (source / "support/lsh.sh").write_text(_LSH)
    return source


# git: the installed one; of the source only what its tests are made of.

_GIT_SCRIPTS = [
    "t0001-init",
    "t0300-credentials",
    "t1300-config",
    "t3200-branch",
    "t5300-pack-object",
    "t5400-send-pack",
    "t5500-fetch-pack",
    "t5505-remote",
    "t5510-fetch",
    "t5516-fetch-push",
    "t5520-pull",
    "t5521-pull-options",
    "t5523-push-upstream",
    "t5570-git-daemon",
    "t5601-clone",
    "t5603-clone-dirname",
    "t5604-clone-reference",
    "t5605-clone-local",
    "t5700-protocol-v1",
    "t5702-protocol-v2",
    "t7006-pager",
    "t7800-difftool",
]


def _git(mirror: Mirror) -> Path:
    source = mirror.source("git")
    without = [f"NO_{name}=1" for name in ("CURL", "EXPAT", "OPENSSL", "GETTEXT", "TCLTK", "PERL", "PYTHON")]
    goals = ["GIT-BUILD-OPTIONS", "t/helper/test-tool", "t/helper/test-fake-ssh"]
    call(["make", "-j2", "CFLAGS=-O0 -w", *without, *goals], source)
    call(["make", "-C", "templates"], source)
    tree = source.parent / "tree"
    tree.mkdir()
    for name in ("t", "templates", "contrib", "mergetools"):
        shutil.copytree(source / name, tree / name, symlinks=True)
    for path in [*source.glob("*.sh"), source / "GIT-BUILD-OPTIONS", source / "GIT-VERSION-FILE"]:
        if path.exists():
            shutil.copy2(path, tree)
    return tree


def _git_script(name: str) -> Run:
    command = f"cd t; GIT_TEST_INSTALLED=/usr/bin sh ./{shlex.quote(name)}.sh </dev/null 2>&1"
    return Run(name, command, from_tap, 400)


SUITES = (
    Suite("bash", "bash's own scripts", _bash, (Run("", _BASH_EACH, from_lines, 900),)),
    Suite("cpython", "modules of CPython that touch what a jail changes", _python, (*map(_module, _MODULES), _NETWORK)),
    Suite(
        "openssh", "sftp and scp against the account's login", _openssh, (Run("", _SSH_EACH, from_lines, 900, True),)
    ),
    Suite("rsync", "rsync inside the account", _rsync, (Run("", _RSYNC, from_lines, 600),)),
    Suite(
        "rsync-ssh",
        "rsync to the account's login",
        _rsync_far,
        tuple(Run("", f"whichtests={name}.test {_RSYNC}", from_lines, 300, True) for name in _RSYNC_FAR),
    ),
    Suite(
        "git", "git inside the account: transports, clone, configuration", _git, tuple(map(_git_script, _GIT_SCRIPTS))
    ),
)
