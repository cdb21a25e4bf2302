"""make install and make uninstall: what is put, with which modes, and that nothing of it stays."""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import jailssh
from jailssh.core.journal_fields import MESSAGE_IDS, Event
from jailssh.scratch.host import ScratchHost
from tests.abilities import REPO
from tests.harness.fixtures import staged_prefix
from tests.harness.shared import building

__all__ = ["staged_prefix"]

pytestmark = pytest.mark.needs("login-program", "make", "root")

PROGRAMS = {
    "bin/jail-keys": 0o755,
    "bin/jailssh": 0o755,
    "libexec/jailssh/jailssh-login": 0o4750,
    "libexec/jailssh/jailssh-join": 0o755,
    "libexec/jailssh/jailssh-made.so": 0o644,
    "libexec/jailssh/jailssh-match": 0o755,
    "libexec/jailssh/jailssh-relay": 0o755,
    "libexec/jailssh/jailssh-run": 0o755,
    "libexec/jailssh/jailsshd": 0o755,
    "libexec/jailssh/jailsshd-self": 0o755,
}


def _make(*arguments: str) -> subprocess.CompletedProcess[str]:
    # Flags of an outer make would reach this one.
    env = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    with building():
        return subprocess.run(
            ["make", "-s", *arguments], cwd=REPO, env=env, umask=0o077, capture_output=True, text=True, timeout=300
        )


def _make_well(*arguments: str) -> str:
    done = _make(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _uninstall(destdir: Path) -> subprocess.CompletedProcess[str]:
    return _make("uninstall", f"DESTDIR={destdir}", "PREFIX=/opt/jailssh")


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """An installation below PREFIX=/opt/jailssh in a DESTDIR of its own: DESTDIR, and what was said."""
    destdir = tmp_path_factory.mktemp("install") / "with a blank"
    return destdir, _make_well("install", f"DESTDIR={destdir}", "PREFIX=/opt/jailssh")


@pytest.fixture(scope="module")
def pristine(installation: tuple[Path, str]) -> Path:
    """Its DESTDIR, for tests that only look."""
    return installation[0]


@pytest.fixture
def installed(pristine: Path, tmp_path: Path) -> Path:
    """The same for one test to change."""
    subprocess.run(["cp", "-a", pristine, tmp_path / "copy"], check=True)
    return tmp_path / "copy"


def _inside(destdir: Path) -> Path:
    return destdir / "opt" / "jailssh"


def _state(top: Path) -> dict[str, tuple[int, int, int]]:
    """Return mode, owner and group of everything below ``top``."""
    found = {}
    for path in top.rglob("*"):
        status = path.lstat()
        found[str(path.relative_to(top))] = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
    return found


def test_files_and_modes(pristine: Path) -> None:
    state = _state(_inside(pristine))
    for program, mode in PROGRAMS.items():
        assert state[program] == (mode, 0, 0)
    assert [path for path, facts in state.items() if facts[1:] != (0, 0)] == []
    links = [path for path in state if (_inside(pristine) / path).is_symlink()]
    assert links == ["bin/jailssh-enter"]
    assert (_inside(pristine) / links[0]).resolve() == (_inside(pristine) / "libexec/jailssh/jailssh-login").resolve()
    written = [path for path, facts in state.items() if facts[0] & 0o022 and path not in links]
    assert written == [], "writable by others than root"
    special = [path for path, facts in state.items() if facts[0] & 0o7000]
    assert special == ["libexec/jailssh/jailssh-login"]
    unreadable = [path for path, facts in state.items() if not facts[0] & 0o004 and path not in special]
    assert unreadable == [], "the umask went into the installation"


def test_nothing_outside_the_prefix(pristine: Path) -> None:
    assert [path.name for path in pristine.iterdir()] == ["opt"]
    assert [path.name for path in (pristine / "opt").iterdir()] == ["jailssh"]


def test_launcher_runs_with_the_systems_python(pristine: Path) -> None:
    # -I and an empty environment: nothing of the private build environment helps it.
    done = subprocess.run(
        [_inside(pristine) / "bin" / "jailssh", "--version"], env={}, cwd="/", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert jailssh.__version__ in done.stdout


def test_names_are_the_same_bytes_in_every_locale(pristine: Path, tmp_path: Path) -> None:
    # Read as Latin-1, two bytes of UTF-8 are two characters: another file, and a plan with another text.
    subprocess.run(["localedef", "-i", "de_DE", "-f", "ISO-8859-1", tmp_path / "de_DE"], check=True)
    (tmp_path / "ünï").write_text("in it")
    (tmp_path / "spec").write_text(f"{tmp_path}/ünï\n", encoding="utf-8")
    done = subprocess.run(
        [_inside(pristine) / "bin" / "jailssh", "build", "--insecure", tmp_path / "spec", tmp_path / "tree"],
        env={"LOCPATH": str(tmp_path), "LC_ALL": "de_DE"},
        cwd="/",
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert Path(f"{tmp_path}/tree{tmp_path}/ünï").read_text() == "in it"


def test_plugins_are_found_without_the_source(pristine: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from importlib.metadata import entry_points\n"
        "for point in sorted(entry_points(group='jailssh.plugins'), key=lambda point: point.name):\n"
        "    print(point.name, point.load().name)\n"
        "from jailssh.host.paths import PREFIX\n"
        "print(PREFIX)\n"
    )
    packages = _inside(pristine) / "lib" / "jailssh" / "python"
    command = ["/usr/bin/python3", "-I", "-c", code, str(packages)]
    done = subprocess.run(command, env={}, cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names = [
        "borg",
        "command",
        "cvs",
        "git",
        "hg",
        "jump",
        "restic",
        "rsync",
        "scp",
        "self-service",
        "sftp",
        "shell",
        "svn",
    ]
    assert done.stdout.splitlines() == [f"{name} {name}" for name in names] + ["/opt/jailssh"]


def test_unit_names_the_installed_daemon(pristine: Path) -> None:
    unit = (_inside(pristine) / "lib/systemd/system/jailsshd.service").read_text()
    assert "\nExecStart=/opt/jailssh/libexec/jailssh/jailsshd\n" in unit
    assert (_inside(pristine) / "lib/systemd/system/jailsshd.socket").exists()
    condition = (_inside(pristine) / "lib/systemd/system/user@.service.d/10-jailssh.conf").read_text()
    assert " /var/lib/jailssh/plan.v1/%i && " in condition


def test_documents(pristine: Path) -> None:
    share = _inside(pristine) / "share"
    pages = {path.name for path in (share / "man").rglob("*.[1-9]")}
    assert {"jailssh.8", "jailssh-adduser.8", "jailssh-login.8", "jailsshd.8", "jailssh.conf.5"} <= pages
    assert {"jailssh-rules.7", "jailssh-journal.7", "jailspec.5"} <= pages
    assert "@revised@" not in (share / "man/man8/jailssh.8").read_text()
    plugins = (share / "man/man7/jailssh-plugins.7").read_text()
    assert ".It Ic deny_requests" in plugins, "the plugins were not found"
    for name in ("README.md", "SECURITY.md", "CHANGELOG.md", "LICENSE", "plugins/README.md", "plugins/git/README.md"):
        assert (share / "doc/jailssh" / name).exists(), name
    folders = {path.parent.name for path in (REPO / "plugins").glob("*/README.md")}
    assert {path.parent.name for path in (share / "doc/jailssh/plugins").glob("*/README.md")} == folders
    for name in (
        "bash-completion/completions/jailssh",
        "zsh/site-functions/_jailssh",
        "fish/vendor_completions.d/jailssh.fish",
    ):
        assert "sftp-only" in (share / name).read_text()


def test_the_journal_learns_and_forgets_the_catalog(staged_prefix: str) -> None:
    script = (REPO / "packaging/install.py").read_text()
    with ScratchHost(install={staged_prefix: "/usr/local"}) as host:
        host.start_journald()
        assert " jailssh: " not in host.run(["journalctl", "--list-catalog"]).stdout
        # The stage is what is installed already: each file takes its own place.
        host.run(["/usr/bin/python3", "-c", script, "install", "", "", "/usr/local"], check=True)
        assert " jailssh: A login of @JAILSSH_USER@" in host.run(["journalctl", "--list-catalog"]).stdout
        record = f"MESSAGE=no\nMESSAGE_ID={MESSAGE_IDS[Event.DENIED]}\nJAILSSH_USER=alice\nJAILSSH_REASON=path-dotdot\n"
        host.run(["sh", "-c", f"printf '{record}' | logger --journald"], check=True)
        host.run(["journalctl", "--sync"])
        told = host.run(["journalctl", "-x", "-q", "-o", "short", "JAILSSH_USER=alice"]).stdout
        assert "Subject: A command of alice was denied" in told
        assert "JAILSSH_REASON (here: path-dotdot) says why:" in told
        host.run(["/usr/bin/python3", "-c", script, "uninstall", "", "/usr/local"], check=True)
        assert " jailssh: " not in host.run(["journalctl", "--list-catalog"]).stdout


def test_no_test_is_installed(pristine: Path) -> None:
    packages = _inside(pristine) / "lib" / "jailssh" / "python"
    ours = [path for top in ("jailssh", "jailssh_plugins") for path in (packages / top).rglob("*")]
    assert [path for path in ours if path.name.startswith("test_") or path.suffix in (".c", ".h")] == []


@pytest.mark.parametrize("mode", [0o4750, 0o4755])
def test_second_installation(installed: Path, mode: int) -> None:
    # The set-up gave the login program to its group; what the old version had and the new one has not goes.
    login = _inside(installed) / "libexec" / "jailssh" / "jailssh-login"
    os.chown(login, 0, 4242)
    login.chmod(mode)
    old = _inside(installed) / "lib" / "jailssh" / "python" / "jailssh" / "gone.py"
    old.write_text("")
    foreign = _inside(installed) / "bin" / "foreign"
    foreign.write_text("")
    listing = _inside(installed) / "lib" / "jailssh" / "installed-files"
    listing.write_text(listing.read_text() + "/opt/jailssh/lib/jailssh/python/jailssh/gone.py\n")
    _make_well("install", f"DESTDIR={installed}", "PREFIX=/opt/jailssh")
    status = login.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (mode, 0, 4242)
    assert not old.exists()
    assert foreign.exists()


def test_installing_tells_the_next_step(installation: tuple[Path, str]) -> None:
    assert installation[1].splitlines()[-1] == "install: next step: /opt/jailssh/bin/jailssh setup"


def test_a_stage_that_is_not_there_takes_nothing_away(installed: Path, tmp_path: Path) -> None:
    """What the last installation put is not taken for what a newer version no longer has."""
    before = sorted(installed.rglob("*"))
    command = [
        sys.executable,
        "packaging/install.py",
        "install",
        str(tmp_path / "gone"),
        str(installed),
        "/opt/jailssh",
    ]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
    assert (done.returncode, "is not a staged installation" in done.stderr) == (1, True)
    assert sorted(installed.rglob("*")) == before


def test_uninstall_takes_the_links_of_enabled_units_away(installed: Path) -> None:
    wants = installed / "etc/systemd/system"
    (wants / "sockets.target.wants").mkdir(parents=True)
    (wants / "timers.target.wants").mkdir()
    (wants / "sockets.target.wants/jailsshd.socket").symlink_to("/opt/jailssh/lib/systemd/system/jailsshd.socket")
    (wants / "timers.target.wants/jailssh-update.timer").symlink_to("/usr/lib/systemd/system/jailssh-update.timer")
    (wants / "timers.target.wants/logrotate.timer").symlink_to("/usr/lib/systemd/system/logrotate.timer")
    done = _uninstall(installed)
    assert done.returncode == 0, done.stderr
    left = sorted(str(path.relative_to(wants)) for path in wants.rglob("*"))
    # Another installation's stay.
    assert left == ["timers.target.wants", *(f"timers.target.wants/{u}.timer" for u in ("jailssh-update", "logrotate"))]


def test_uninstall_leaves_nothing(installed: Path) -> None:
    cache = _inside(installed) / "lib" / "jailssh" / "python" / "jailssh" / "__pycache__"
    (cache / "written-later.cpython-399.pyc").write_bytes(b"")
    done = _uninstall(installed)
    assert done.returncode == 0, done.stderr
    assert list(installed.iterdir()) == []
    again = _uninstall(installed)
    assert again.returncode != 0
    assert "nothing is installed" in again.stderr


def test_uninstall_keeps_what_it_did_not_put(installed: Path) -> None:
    kept = [installed / "etc/jailssh/jailssh.conf", installed / "var/lib/jailssh/plan.v1/1000"]
    kept.append(_inside(installed) / "bin" / "foreign")
    for path in kept:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("kept")
    assert _uninstall(installed).returncode == 0
    assert all(path.exists() for path in kept)
    assert sorted(str(path.relative_to(_inside(installed))) for path in _inside(installed).rglob("*")) == [
        "bin",
        "bin/foreign",
    ]


def test_uninstall_refuses_while_accounts_log_in_through_it(installed: Path) -> None:
    before = _state(installed)
    passwd = installed / "etc" / "passwd"
    passwd.parent.mkdir()
    passwd.write_text("root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/h:/opt/jailssh/libexec/jailssh/jailssh-login\n")
    done = _uninstall(installed)
    assert done.returncode != 0
    assert "alice" in done.stderr
    assert "deluser" in done.stderr
    passwd.unlink()
    passwd.parent.rmdir()
    assert _state(installed) == before


def test_uninstall_refuses_while_sshd_uses_it(installed: Path) -> None:
    drop_in = installed / "etc/ssh/sshd_config.d/20-jailssh.conf"
    drop_in.parent.mkdir(parents=True)
    for text in ("", "Match Group jailssh\n    ForceCommand /opt/jailssh/libexec/jailssh/jailssh-login\n"):
        drop_in.write_text(text)
        done = _uninstall(installed)
        assert done.returncode != 0
        assert "setup --undo" in done.stderr
        assert (_inside(installed) / "libexec/jailssh/jailssh-login").exists()
    drop_in.write_text("Match Group jailssh\n    ForceCommand /usr/libexec/jailssh/jailssh-login\n")
    done = _uninstall(installed)
    assert done.returncode == 0, "another installation is set up"


@pytest.mark.parametrize(("folder", "hint"), [("trees", "session end"), ("systems", "system remove")])
def test_uninstall_refuses_while_there_is_what_only_the_command_ends(pristine: Path, folder: str, hint: str) -> None:
    kept = pristine / "var/lib/jailssh" / folder / "build"
    kept.mkdir(parents=True)
    (kept.parent / ".lock").touch()
    (kept.parent / "lost+found").mkdir()  # it is a file system of its own
    done = _uninstall(pristine)
    assert done.returncode != 0
    assert " are there: build\n" in done.stderr
    assert f"jailssh {hint}" in done.stderr
    assert (_inside(pristine) / "libexec/jailssh/jailssh-login").exists()
    shutil.rmtree(pristine / "var")


def test_relative_prefix_is_refused(tmp_path: Path) -> None:
    done = _make("uninstall", f"DESTDIR={tmp_path}", "PREFIX=opt")
    assert done.returncode != 0
    assert "not an absolute path" in done.stderr


def test_what_is_stopped_are_units(pristine: Path) -> None:
    spec = importlib.util.spec_from_file_location("install", REPO / "packaging/install.py")
    assert spec is not None
    assert spec.loader is not None
    install = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(install)
    target = install.Target(str(pristine), "/opt/jailssh")
    units = [os.path.basename(path) for path in install.units_among(target, target.listed())]
    assert sorted(units) == [
        "jailssh-audit.service", "jailssh-audit.timer", "jailssh-crontabs.service", "jailssh-crontabs.timer",
        "jailssh-gone.path", "jailssh-gone.service", "jailssh-gone.timer", "jailssh-outbound.service",
        "jailssh-outbound@.service", "jailssh-pull.service", "jailssh-pull.timer", "jailssh-relay.service",
        "jailssh-relay.socket", "jailssh-system@.service", "jailssh-transfers.service",
        "jailssh-transfers.timer", "jailssh-update.path", "jailssh-update.service", "jailssh-update.timer",
        "jailssh-webhooks.service", "jailsshd-self.service", "jailsshd-self.socket", "jailsshd.service",
        "jailsshd.socket",
    ]  # fmt: skip


def test_uninstall_lets_go_of_pinned_namespaces(staged_prefix: str) -> None:
    with ScratchHost(install={staged_prefix: "/usr/local"}) as host:
        host.run(["sh", "-c", "ssh-keygen -A >/dev/null"], check=True)
        host.run(["/usr/local/bin/jailssh", "setup", "--yes"], check=True)
        assert "/run/jailssh/ns/net" in host.run(["cat", "/proc/self/mountinfo"]).stdout
        host.run(["/usr/local/bin/jailssh", "setup", "--undo", "--yes"], check=True)
        script = (REPO / "packaging/install.py").read_text()
        done = host.run(["/usr/bin/python3", "-c", script, "uninstall", "", "/usr/local"])
        assert (done.code, done.stdout, done.stderr) == (0, "", "")
        assert "/run/jailssh" not in host.run(["cat", "/proc/self/mountinfo"]).stdout
        assert host.run(["test", "-e", "/run/jailssh"]).code != 0
