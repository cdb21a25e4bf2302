"""One run tells all that is wrong with a spec, each thing once, with its place; the system's places are no targets."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jailssh.files import hostdirs
from tests.harness.source import put_source
from tests.root.build_site import REPO, Site, site

pytestmark = pytest.mark.needs("root")
__all__ = ["site"]


def told(site: Site) -> list[str]:
    """Return the errors without what is said about each."""
    return [line for line in site.err.splitlines() if line.startswith("jailssh: ")]


def test_syntax_and_host_are_told_together(site: Site) -> None:
    text = (
        "SRC/none /a\n/bad relative c\nprogram nosuchprogram sh\nsection nosection\n/d/ 99\npackage no-such-package\n"
    )
    assert site.build(text + "include missing.jailspec\n/bin/sh\n/bin/sh owner=nobodyatall\n") == 1
    lines = told(site)
    numbers = [int(line.split("t.jailspec:")[1].split(":")[0]) for line in lines]
    assert numbers == [1, 2, 3, 4, 5, 6, 7, 9], site.err
    assert not site.tree.exists()
    assert not (site.base / ".root.jailssh").exists()


def test_a_spec_that_became_wrong_is_never_done_already(site: Site) -> None:
    assert site.build("SRC/data.txt /f\n") == 0
    assert site.build("SRC/data.txt /f\n/bad relative c\n") == 1
    assert len(told(site)) == 1
    assert site.build("SRC/data.txt /f\n/bad relative c\n", "--dry-run") == 1


def test_what_an_error_kept_away_is_no_further_error(site: Site) -> None:
    assert site.build("SRC/none /a\n/b => /a\n/c => /nothing\n") == 1
    assert [line.split("t.jailspec:")[1].split(":")[0] for line in told(site)] == ["1", "3"]
    assert site.build("/a relative\n/b => /a\n") == 1
    assert len(told(site)) == 1


def test_files_in_the_place_of_directories(site: Site) -> None:
    (site.src / "t").mkdir()
    for name in ("f", "g"):
        (site.src / "t" / name).write_text("x")
    assert site.build("tree SRC/t /t\nSRC/data.txt /t/f/x\nSRC/data.txt /t/g/y\nSRC/none /n\n") == 1
    assert len(told(site)) == 3, site.err
    assert [sum(text in line for line in told(site)) for text in ("/t/f is a file", "/t/g is a file", "none")] == [
        1
    ] * 3


def test_every_bad_name_of_a_tree_is_told(site: Site) -> None:
    (site.src / "t/d\x01").mkdir(parents=True)
    (site.src / "t/d\x01/x").write_text("")
    for name in ("a\nb", "c\x7fd", "good"):
        (site.src / "t" / name).write_text(name)
    assert site.build("tree SRC/t /t\nSRC/none /n\n") == 1
    lines = told(site)
    assert len(lines) == 4, site.err
    assert all(sum(name in line for line in lines) == 1 for name in ("a\\x0ab", "c\\x7fd", "d\\x01", "SRC/none"))


def test_every_place_that_may_not_be_read_is_told(site: Site) -> None:
    put_source(site.base / "source")
    subprocess.run(["chmod", "-R", "a+rX", str(site.base / "source")], check=True)
    for name in ("one", "two", "open"):
        (site.src / "t" / name).mkdir(parents=True)
        (site.src / "t" / name / "f").write_text(name)
    for name in ("one", "two", "open/f"):
        (site.src / "t" / name).chmod(0o700 if "/" not in name else 0o600)
    (site.src / "t/bad\nname").write_text("")
    place = site.base / "own"
    place.mkdir()
    os.chown(place, 65534, 65534)
    argv = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "/usr/bin/python3", "-m", "jailssh"]
    argv += ["--root", str(site.base / "state"), "build", site.spec("tree SRC/t /t\n"), str(place / "tree")]
    env = {"PYTHONPATH": str(site.base / "source"), "PATH": os.environ["PATH"]}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60)
    site.err = done.stderr
    assert done.returncode == 1
    lines = told(site)
    wanted = ("t/one: permission denied", "t/two: permission denied", "t/open/f: permission denied", "bad\\x0aname")
    assert [sum(text in line for line in lines) for text in wanted] == [1, 1, 1, 1], site.err
    assert len(lines) == 4


@pytest.mark.needs("gcc")
def test_every_library_that_is_not_to_be_trusted_or_not_there_is_told(site: Site) -> None:
    (site.src / "t").mkdir()
    for name in ("one", "two"):
        shared = site.src / name / f"lib{name}.so"
        shared.parent.mkdir()
        library = ["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(shared), f"-Wl,-soname,lib{name}.so"]
        subprocess.run(library, input=f"int {name}(void) {{ return 0; }}".encode(), check=True)
        text = f"int {name}(void); int main(void) {{ return {name}(); }}"
        argv = ["gcc", "-x", "c", "-", "-x", "none", "-o", f"{site.src}/t/{name}", str(shared)]
        subprocess.run([*argv, f"-Wl,-rpath,{shared.parent}"], input=text.encode(), check=True)
        shared.parent.chmod(0o777)
    assert site.build("tree SRC/t /t\nSRC/none /n\n") == 1
    lines = told(site)
    assert len(lines) == 3, site.err
    assert all(sum(f"{site.src}/{name}" in line for line in lines) == 1 for name in ("one", "two", "none"))
    text = "int one(void), two(void); int main(void) { return one() + two(); }"
    libraries = [f"{site.src}/{name}/lib{name}.so" for name in ("one", "two")]
    argv = ["gcc", "-x", "c", "-", "-x", "none", "-o", f"{site.src}/both", *libraries]
    subprocess.run(argv, input=text.encode(), check=True)
    assert site.build("SRC/both /both\n") == 1
    assert [sum(f"library lib{name}.so is not found" in line for line in told(site)) for name in ("one", "two")] == [
        1,
        1,
    ]


REFUSED = (
    "/", "//", "/usr", "/usr/.", "//usr", "/usr/", "/usr/../usr", "/usr/lib", "/usr/lib/x/y", "/lib/x", "/bin",
    "/bin/x", "/etc", "/etc/jail", "/var", "/var/lib", "/var/lib/dpkg/x", "/var/lib/jailssh/x", "/boot/x", "/proc/x",
    "/sys/x", "/dev/x", "/root", "/home", "/run", "/run/systemd", "/usr/local", "/usr/local/bin", "/usr/local/./lib",
    "/tmp", "/opt", "/srv",
)  # fmt: skip
ALLOWED = ("/usr/local/jails", "/usr/local/jails/x", "/srv/x", "/var/lib/x", "/home/jails/x", "/usr/jails/x", "/opt/x",
           "/run/x", "/dev/shm/x", "/usrx", "/var/libx", "/root/x")  # fmt: skip


@pytest.mark.parametrize("path", REFUSED)
def test_places_of_the_system_are_no_targets(site: Site, path: str) -> None:
    assert site.build("SRC/data.txt /f\n", target=path) == 4
    assert "a directory of the system" in site.err
    # The same for cp, which adds to what is there.
    if os.path.isdir(path):
        assert site.run("cp", path, "ls") == 4
        assert "a directory of the system" in site.err


@pytest.mark.parametrize("path", ALLOWED)
def test_places_below_are(path: str) -> None:
    assert hostdirs.system_place(path) == ""


def in_mounts(site: Site, script: str, target: str) -> subprocess.CompletedProcess[str]:
    argv = ["unshare", "--mount", "sh", "-ec", f'{script}\nexec "$@"', "sh", sys.executable, "-m", "jailssh"]
    argv += ["--root", str(site.base / "state"), "build", site.spec("SRC/data.txt /f\n"), target]
    env = {"PYTHONPATH": REPO, "PATH": os.environ["PATH"]}
    return subprocess.run(argv, env=env, cwd=site.base, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("script", "target", "place"),
    [
        ("ln -s /usr link", "link", "/usr"),
        ("ln -s /usr/lib link", "link/x", "/usr/lib"),
        ("mkdir m; mount --bind /usr m", "m", "/usr"),
        ("mkdir m; mount --bind /usr m", "m/lib/x", "/usr/lib"),
        ("mkdir m; mount --bind /usr/share m", "m/new", "/usr/share"),
        ("mkdir m; mount --rbind / m", "m", "/"),
        ("mkdir m; mount --rbind / m", "m/etc/x", "/etc"),
        ("mkdir m; mount --bind /usr/lib/python3 m", "m/new", "/usr/lib"),
        ("mkdir m; mount --bind /usr/share m; umount -l /proc", "m/new", "/usr/share"),
    ],
)
def test_by_another_name_they_are_no_targets_either(site: Site, script: str, target: str, place: str) -> None:
    done = in_mounts(site, script, str(site.base / target))
    assert done.returncode == 4, (done.stdout, done.stderr)
    assert f"a directory of the system is the same, above or below: {place}" in done.stderr
    assert not (Path(place) / "f").exists()


@pytest.mark.parametrize(
    ("script", "target"),
    [
        ("mkdir own m; mount --bind own m", "m/x"),
        ("mkdir m; mount --bind /var/lib m", "m/jailssh-test-own-tree"),
        ("mkdir m; mount -t tmpfs -o mode=755 none m", "m/x"),
    ],
)
def test_a_bind_mount_of_ones_own_is_a_target(site: Site, script: str, target: str) -> None:
    made = ["/var/lib/jailssh-test-own-tree", "/var/lib/.jailssh-test-own-tree.jailssh"]
    try:
        done = in_mounts(site, script, str(site.base / target))
        assert done.returncode == 0, done.stderr
    finally:
        for path in made:
            shutil.rmtree(path, ignore_errors=True)


def test_an_archive_may_lie_where_the_administrator_says(site: Site) -> None:
    target = Path(f"/usr/share/jailssh-test-{os.getpid()}.tar")
    try:
        assert site.run("build", site.spec("SRC/data.txt /f\n"), str(target), "--format", "tar") == 0, site.err
        assert target.stat().st_size > 0
    finally:
        target.unlink(missing_ok=True)


@pytest.mark.needs("gcc")
def test_a_library_that_lies_elsewhere_in_the_tree_is_no_news(site: Site) -> None:
    for name, text, *more in (("one", "int one(void) { return 1; }"), ("gone", "int gone(void) { return 1; }"),
                              ("two", "int one(void), gone(void); int two(void) { return one() + gone(); }",
                               f"{site.src}/libone.so", f"{site.src}/libgone.so")):  # fmt: skip
        argv = ["gcc", "-x", "c", "-", "-x", "none", "-shared", "-fPIC", f"-Wl,-soname,lib{name}.so", *more]
        argv += ["-o", f"{site.src}/lib{name}.so"]
        subprocess.run(argv, input=text.encode(), check=True, timeout=60)
    (site.src / "server").mkdir()
    (site.src / "libone.so").rename(site.src / "server/libone.so")
    (site.src / "libgone.so").unlink()
    assert site.build("tree SRC/ /t\n") == 0, site.err
    notes = [line for line in site.err.splitlines() if line.endswith("it is taken as it is, as data")]
    assert len(notes) == 1
    assert "library libgone.so is not found" in notes[0]


def test_a_directory_that_nothing_is_said_about_stays_whose_it_is(site: Site) -> None:
    home, shared, told = (site.tree / name for name in ("home/alice", "shared", "told"))
    for path in (home, shared, told):
        path.mkdir(parents=True)
        os.chown(path, 7001, 7001)
    home.chmod(0o700)
    shared.chmod(0o777)
    spec = site.spec("SRC/data.txt /home/alice/f\nSRC/data.txt /shared/f\n/told/ 755\nSRC/data.txt /told/f\n")
    for run in range(3):
        assert site.run("build", spec, str(site.tree)) == 0, site.err
        assert ("note: /home/alice stays whose and as it is in the tree" in site.err) == (run == 0)
        modes = [(path.stat().st_mode & 0o7777, path.stat().st_uid) for path in (home, shared, told)]
        assert modes == [(0o700, 7001), (0o755, 0), (0o755, 0)]
        assert (home / "f").exists()
        os.utime(site.src / "data.txt", (run, run))
