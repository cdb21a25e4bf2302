"""Builds that are fed hostile input, or are stopped, or run out of something."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from jailssh.closure.elf_cache import ElfCache
from jailssh.jailspec.load import Source, SourceKind
from jailssh.jailspec.merge import read_spec
from jailssh.tree import build
from jailssh.tree.target import Target
from tests.root.build_site import REPO, Site, site, states

pytestmark = pytest.mark.needs("root")
__all__ = ["site"]

# Ends itself at the n-th change of the file system that Python makes (audit events of the os module).
KILLED = """
import os, signal, sys
changes = {f"os.{name}" for name in "rename mkdir chmod chown utime link symlink remove rmdir".split()}
left = int(sys.argv[1])
def hook(event, args):
    global left
    if event in changes:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), int(sys.argv[2]))
from jailssh.console import main
sys.addaudithook(hook)
sys.exit(main.main(sys.argv[3:]))
"""


def killed(site: Site, step: Any, spec: Any, *options: Any) -> Any:
    """Build and die at a step; True if the build was done before."""
    argv = [
        sys.executable,
        "-c",
        KILLED,
        str(step),
        "9",
        "--root",
        str(site.base / "state"),
        "build",
        spec,
        str(site.tree),
    ]
    env = {"PYTHONPATH": REPO, "PATH": os.environ["PATH"]}
    done = subprocess.run([*argv, *options], env=env, capture_output=True, text=True, timeout=30)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode == 0


def leftovers(site: Site) -> Any:
    return list(site.tree.rglob(".jailssh-new-*"))


def test_a_new_tree_is_whole_or_not_there_whenever_the_build_is_killed(site: Site) -> None:
    spec = site.spec("/d/e/ 700\nSRC/data.txt /f\n/l -> f\n/h => /f\n/p p\n")
    wanted = {"d", "d/e", "f", "l", "h", "p"}
    for step in range(1, 100):
        shutil.rmtree(site.tree, ignore_errors=True)
        if killed(site, step, spec):
            break
        if site.tree.exists():
            assert {str(path.relative_to(site.tree)) for path in site.tree.rglob("*")} == wanted
        assert site.run("build", spec, str(site.tree)) == 0
        assert {str(path.relative_to(site.tree)) for path in site.tree.rglob("*")} == wanted
        assert sorted(os.listdir(site.base / ".root.jailssh")) == ["lock", "manifest.json", "state.json"]
    else:
        pytest.fail("the build never ended")
    assert step > 10


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize("format", ["tar", "oci"])
def test_of_an_archive_nothing_is_left_whenever_a_signal_ends_the_build(
    site: Site, number: signal.Signals, format: str
) -> None:
    spec, room = site.spec("/d/e/ 700\nSRC/data.txt /f\n/l -> f\n"), site.base / "room"
    room.mkdir()
    words = ["--root", f"{site.base}/state", "build", spec, f"{room}/x", "--format", format]
    env = {"PYTHONPATH": REPO, "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    taken_back = 0
    for step in range(1, 100, 2):
        argv = [sys.executable, "-c", KILLED, f"{step}", f"{number:d}", *words]
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=30)
        assert os.listdir(room) in ([], ["x"]), step
        if done.returncode == 0:
            break
        # The first step may come before there is anything to be taken back.
        assert done.returncode in (128 + number, -number), done.stderr
        taken_back += "jailssh: interrupted: " in done.stderr
        shutil.rmtree(room / "x") if (room / "x").is_dir() else (room / "x").unlink(missing_ok=True)
    else:
        pytest.fail("the build never ended")
    assert taken_back > 3


def test_a_tree_in_use_has_old_or_new_files_whenever_the_build_is_killed(site: Site) -> None:
    old = "SRC/data.txt /d/f\n/l -> old\n/gone/\nSRC/data.txt /gone/x\nSRC/data.txt /h\n"
    new = "/etc/hostname /d/f\n/l -> new\n/d/ 700\nSRC/data.txt /n\n/h => /n\n/p p\n"
    for step in range(1, 100):
        shutil.rmtree(site.tree, ignore_errors=True)
        assert site.build(old) == 0
        spec = site.spec(new)
        done = killed(site, step, spec, "--prune")
        assert site.read("/d/f") in ("hello\n", Path("/etc/hostname").read_text())
        assert os.readlink(site.tree / "l") in ("old", "new")
        assert site.run("build", spec, str(site.tree), "--prune") == 0
        assert site.read("/d/f") == Path("/etc/hostname").read_text()
        assert not (site.tree / "gone").exists()
        assert leftovers(site) == []
        if done:
            assert site.changes() == 0
            break
    else:
        pytest.fail("the build never ended")
    assert step > 10


def test_a_full_disk_leaves_nothing_new_and_the_old_as_it_was(site: Site) -> None:
    (site.src / "big").write_bytes(os.urandom(3 << 20))
    site.spec("SRC/data.txt /f\n", "a.jailspec")
    site.spec("SRC/big /f\n", "b.jailspec")
    small = site.base / "small"
    small.mkdir()
    script = """mount -t tmpfs -o size=2m,mode=755 none "$1"; shift
    "$@" b.jailspec small/new && exit 9
    ls -A small/new && exit 8
    "$@" a.jailspec small/old || exit 7
    "$@" b.jailspec small/old && exit 6
    cat small/old/f; ls -A small/old"""
    argv = ["unshare", "-m", "sh", "-c", script, "sh", str(small)]
    argv += [sys.executable, "-m", "jailssh", "--root", str(site.base / "state"), "build"]
    env = {"PYTHONPATH": REPO, "PATH": os.environ["PATH"]}
    done = subprocess.run(argv, env=env, cwd=site.base, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("no space left on device") == 2
    assert done.stdout.endswith("hello\nf\n")


class Meddler:
    """Builds by the library and meddles with the sources when the first file is to be copied."""

    def __init__(self, site: Site, meddle: Any) -> None:
        self.site = site
        self.meddle = meddle

    def build(self, text: Any) -> Any:
        spec = self.site.spec(text)
        read = read_spec([Source(SourceKind.FILE, spec)], lambda path: Path(path).read_bytes(), real=os.path.realpath)
        listeners = build.Listeners(told=lambda change: self.meddle())
        options = build.Options()
        return build.build(read, Target(str(self.site.tree)), options, facts=ElfCache(), listeners=listeners)


def test_a_source_that_changes_is_read_again(site: Site) -> None:
    changes = iter(["changed\n"])

    def once() -> None:
        for text in changes:
            site.data.write_text(text)

    Meddler(site, once).build("SRC/data.txt /f\n")
    assert site.read("/f") == "changed\n"


def test_a_source_that_keeps_changing_or_vanishes_is_an_error_and_no_tree_appears(site: Site) -> None:
    def always() -> None:
        site.data.write_text(f"{time.monotonic_ns()}\n")

    with pytest.raises(Exception, match="changed while it was"):
        Meddler(site, always).build("SRC/data.txt /f\n")
    assert not site.tree.exists()
    with pytest.raises(Exception, match="not on this host"):
        Meddler(site, lambda: site.data.unlink(missing_ok=True)).build("SRC/data.txt /f\n")
    assert not site.tree.exists()


@pytest.mark.parametrize("name", [b"lib;touch PWNED;", b"it's", b'"', b"$(id).so", b"a b", b"\xff\xfe.so", b"-rf"])
def test_names_are_only_names(site: Site, name: Any) -> None:
    folder = os.fsencode(site.src / "odd")
    os.mkdir(folder)
    shutil.copy(b"/bin/true", os.path.join(folder, name))
    assert site.build("tree SRC/odd /odd\n") == 0
    assert os.listdir(os.fsencode(site.tree / "odd")) == [name]
    assert not list(site.base.rglob("PWNED"))
    assert site.build("tree SRC/odd /odd\n") == 0
    assert site.changes() == 0


def test_a_name_with_a_newline_is_refused(site: Site) -> None:
    (site.src / "odd").mkdir()
    (site.src / "odd/a\nb").write_text("")
    assert site.build("tree SRC/odd /odd\n") == 1
    assert "a\\x0ab: its name has control characters" in site.err


def test_loops_of_links(site: Site) -> None:
    (site.src / "a").symlink_to("b")
    (site.src / "b").symlink_to("a")
    (site.src / "t").mkdir()
    (site.src / "t/up").symlink_to("..")
    (site.src / "t/self").symlink_to("self")
    assert site.build("SRC/a /a\n") == 1
    assert "too many levels of symbolic links" in site.err
    assert site.build("tree SRC/t /t\n") == 0
    assert sorted(os.listdir(site.tree / "t")) == ["self", "up"]


def test_a_huge_sparse_program_stays_sparse_or_is_refused_quickly(site: Site) -> None:
    shutil.copy("/bin/true", site.src / "big")
    os.truncate(site.src / "big", 1 << 30)
    started = time.monotonic()
    assert site.build("SRC/big /big\n") == 0
    info = os.stat(site.tree / "big")
    assert (info.st_size, info.st_blocks * 512 < 1 << 20) == (1 << 30, True)
    assert time.monotonic() - started < 30


def test_hard_links_of_a_tree_are_kept(site: Site) -> None:
    (site.src / "t").mkdir()
    (site.src / "t/one").write_text("x")
    os.link(site.src / "t/one", site.src / "t/two")
    assert site.build("tree SRC/t /t\n") == 0
    assert os.stat(site.tree / "t/one").st_ino == os.stat(site.tree / "t/two").st_ino
    assert site.build("tree SRC/t /t\n") == 0
    assert site.changes() == 0


def test_a_hard_link_planted_to_a_file_of_the_host_is_replaced_not_written(site: Site) -> None:
    victim = site.base / "victim"
    victim.write_text("precious")
    site.tree.mkdir()
    os.link(victim, site.tree / "f")
    assert site.build("SRC/data.txt /f 600\n") == 0
    assert victim.read_text() == "precious"
    assert victim.stat().st_mode & 0o777 == 0o644
    assert site.read("/f") == "hello\n"


def test_a_mount_in_the_tree_is_a_border(site: Site) -> None:
    site.tree.mkdir()
    (site.tree / "home").mkdir()
    spec = site.spec("SRC/data.txt /home/f\n")
    script = 'mount --bind "$1" "$2"; shift 2; exec "$@"'
    argv = ["unshare", "-m", "sh", "-c", script, "sh", str(site.src), str(site.tree / "home")]
    argv += [sys.executable, "-m", "jailssh", "--root", str(site.base / "state"), "build", spec, str(site.tree)]
    env = {"PYTHONPATH": REPO, "PATH": os.environ["PATH"]}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "something is mounted there" in done.stderr
    assert sorted(os.listdir(site.src)) == ["data.txt"]


def test_a_tree_that_others_can_write_is_refused_as_source(site: Site) -> None:
    (site.src / "t").mkdir()
    (site.src / "t/x").write_text("x")
    (site.src / "t").chmod(0o777)
    assert site.build("tree SRC/t /t\n") == 1
    assert "its parts could be swapped" in site.err
    assert site.build("tree SRC/t /t\n", "--insecure") == 0


def test_a_package_by_its_list(site: Site) -> None:
    if not Path("/var/lib/dpkg/info/hostname.list").exists():
        pytest.skip("no package hostname here")
    assert site.build("package hostname exclude=*.gz\n") == 0
    assert site.inside("/bin/hostname").returncode == 0
    assert not list(site.tree.rglob("*.gz"))
    assert site.build("package no-such-package\n") == 1
    assert "package no-such-package: not installed" in site.err


def test_damaged_memory_is_as_good_as_none(site: Site) -> None:
    text = "SRC/data.txt /f\n/d/\n"
    assert site.build(text) == 0
    before = states(site.tree)
    for name in ("state.json", "manifest.json"):
        for data in (b"", b"{}", b"[[[", os.urandom(200)):
            (site.base / ".root.jailssh" / name).write_bytes(data)
            assert site.build(text) == 0
            assert site.changes() == 0
    (site.base / "state/var/lib/jailssh/facts.json").write_bytes(b'{"format":1,"elf":[],"digest":7}')
    assert site.build(text + "/bin/true\n") == 0
    assert states(site.tree).items() >= {path: before[path] for path in before if path != site.tree}.items()
