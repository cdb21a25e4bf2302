"""What ``--verify`` finds by starting programs, and what they can do meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jailssh.tree import verify as module
from jailssh.tree.target import Target
from jailssh.tree.verify import verify
from tests.root.build_site import REPO, Site, site

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("gcc")]
__all__ = ["site"]

# Ends with 42 if it can do what it must not, with 3 if not; either way it has started.
NOSY = """
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <netinet/in.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    struct sockaddr_in where = { .sin_family = AF_INET, .sin_port = 1, .sin_addr = { 0x0100007f } };
    int found = argc != 2 || strcmp(argv[1], "--version") != 0 || getuid() != 65534 || getgid() != 65534;
    found |= setuid(0) == 0 || open("/tmp/written", O_CREAT | O_WRONLY, 0600) >= 0;
    found |= open("/null", O_RDONLY) >= 0 || kill(getppid(), 0) == 0;
    found |= connect(socket(AF_INET, SOCK_STREAM, 0), (void *)&where, sizeof where) == 0 || getppid() > 100;
    char rest;
    found |= read(0, &rest, 1) != 0;
    if (found)
        *(volatile int *)0 = 0;
    puts("nothing");
    return 3;
}
"""


def compiled(site: Site, name: str, text: str, *flags: str) -> Path:
    path: Path = site.src / name
    argv = ["gcc", "-x", "c", "-", "-x", "none", "-o", str(path), *flags]
    subprocess.run(argv, input=text.encode(), check=True, timeout=60)
    path.chmod(0o755)
    return path


def failures(site: Site) -> str:
    return "\n".join(verify(Target(str(site.tree))).failures)


@pytest.mark.parametrize("flags", [(), ("-static",)])
def test_what_crashes_is_named_and_a_status_is_no_failure(site: Site, flags: tuple[str, ...]) -> None:
    compiled(site, "crash", "int main(void) { *(volatile int *)0 = 0; }", *flags)
    compiled(site, "five", "int main(void) { return 5; }", *flags)
    compiled(site, "odd", "int main(void) { return 125; }", *flags)
    assert site.build("SRC/crash /bin/crash\nSRC/five /bin/five\nSRC/odd /bin/odd\n", "--verify") == 1
    assert "/crash: it is killed by SIGSEGV" in site.err
    assert site.err.count("does not start") == 1


def test_a_symbol_that_no_library_has(site: Site) -> None:
    compiled(site, "libone.so", "int one(void) { return 1; }", "-shared", "-fPIC", "-Wl,-soname,libone.so")
    compiled(site, "prog", "int one(void); int main(void) { return one(); }", f"{site.src}/libone.so", "-Wl,-z,now")
    libraries = next(path for path in Path("/usr/lib").glob("*-linux-gnu") if (path / "libc.so.6").exists())
    spec = f"SRC/prog /bin/prog\nSRC/libone.so {libraries}/libone.so\n"
    assert site.build(spec, "--allow-missing") == 0
    assert failures(site) == ""
    compiled(site, "libone.so", "int two(void) { return 1; }", "-shared", "-fPIC", "-Wl,-soname,libone.so")
    assert site.build(spec, "--allow-missing") == 0
    assert "/prog: " in failures(site)


def test_what_runs_on_has_started_and_its_words_are_thrown_away(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_START_SECONDS", 1)
    compiled(site, "talk", '#include <stdio.h>\nint main(void) { for (;;) puts("x"); }', "-static")
    assert site.build("SRC/talk /bin/talk\n") == 0
    begun = time.monotonic()
    assert failures(site) == ""
    assert time.monotonic() - begun < 10
    assert "talk" not in {Path(path).read_text().strip() for path in Path("/proc").glob("[0-9]*/comm") if path.exists()}


def test_a_program_can_do_nothing_meanwhile(site: Site) -> None:
    compiled(site, "nosy", NOSY, "-static")
    assert site.build("SRC/nosy /bin/nosy\n/tmp/ 1777\n/null c 1 3 666\n", "--verify") == 0, site.err
    assert not list((site.tree / "tmp").iterdir())


def test_a_library_that_is_executable_is_not_started(site: Site) -> None:
    compiled(site, "libone.so", "int one(void) { return 1; }", "-shared", "-fPIC")
    (site.src / "libone.so").chmod(0o755)
    assert site.build("SRC/libone.so /usr/lib/libone.so\n", "--verify") == 0, site.err


APPLET = '#include <stdio.h>\nint main(void) { fprintf(stderr, "--version: applet not found\\n"); return 127; }'
LOST = "error while loading shared libraries: libnear.so: cannot open shared object file"
ABORT = "#include <stdlib.h>\nint main(void) { abort(); }"


@pytest.mark.parametrize("section", ["uidbasics", "netbasics", "basicshell"])
def test_a_section_starts(site: Site, section: str) -> None:
    assert site.build(f"section {section}\n", "--verify") == 0, site.err
    assert "does not start" not in site.err


@pytest.mark.parametrize("flags", [(), ("-static",), ("-static-pie",), ("-no-pie",)], ids=str)
@pytest.mark.parametrize("text", [APPLET, ABORT], ids=["127", "abort"])
def test_how_a_program_ends_itself_is_no_failure(site: Site, flags: tuple[str, ...], text: str) -> None:
    compiled(site, "prog", text, *flags)
    assert site.build("SRC/prog /bin/prog\n/bin/ls => /bin/prog\n", "--verify") == 0, site.err
    assert "does not start" not in site.err


def test_libraries_are_not_started_wherever_they_lie(site: Site) -> None:
    entry = "int one(void) { return 1; }"
    interp = 'const char where[] __attribute__((section(".interp"))) = "/lib64/ld-no-such.so";'
    compiled(site, "libone.so", entry, "-shared", "-fPIC")
    compiled(site, "libtwo.so", entry + interp, "-shared", "-fPIC", "-Wl,-soname,libtwo.so")
    spec = "SRC/libone.so /bin/one\nSRC/libone.so /usr/lib/libone.so\n"
    spec += "SRC/libtwo.so /bin/two\nSRC/libtwo.so /usr/lib/libtwo.so\n"
    assert site.build(spec, "--verify", "--allow-missing") in (0, 1)
    assert "does not start" not in site.err
    libc = next(path for path in Path("/usr/lib").glob("*-linux-gnu/libc.so.6"))
    assert site.build(f"{libc}\n", "--verify") == 0, site.err


def near_its_place(site: Site) -> str:
    """Return a spec of a program that finds its library by $ORIGIN alone, as Java does."""
    compiled(site, "libnear.so", "int near(void) { return 0; }", "-shared", "-fPIC", "-Wl,-soname,libnear.so")
    link = ("-Wl,-rpath,$ORIGIN/../lib", f"{site.src}/libnear.so")
    compiled(site, "prog", "int near(void); int main(void) { return near(); }", *link)
    return "SRC/prog /opt/x/bin/prog\nSRC/libnear.so /opt/x/lib/libnear.so\n"


@pytest.mark.parametrize("more", ["", "/proc/\n/dev/\n"], ids=["without /proc", "with /proc"])
def test_what_finds_its_libraries_by_its_own_place(site: Site, more: str) -> None:
    spec = near_its_place(site) + more
    assert site.build(spec, "--allow-missing", "--verify") == 0, site.err
    assert "does not start" not in site.err
    (site.tree / "opt/x/lib/libnear.so").unlink()
    assert f"/opt/x/bin/prog: {LOST}" in failures(site)


def test_what_needs_proc_and_devices_has_them_and_no_others(site: Site) -> None:
    text = """
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
int main(void)
{
    char byte;
    int random = open("/dev/urandom", O_RDONLY), others = 0;
    DIR *all = opendir("/proc");
    if (random < 0 || read(random, &byte, 1) != 1 || open("/dev/null", O_WRONLY) < 0 || !all)
        *(volatile int *)0 = 0;
    for (struct dirent *one; (one = readdir(all)); )
        others += atoi(one->d_name) > 0;
    if (others != 2 || open("/proc/sys/kernel/domainname", O_WRONLY) >= 0 || open("/dev/mem", O_RDONLY) >= 0)
        *(volatile int *)0 = 0;
    return 0;
}
"""
    compiled(site, "prog", text, "-static")
    assert site.build("SRC/prog /bin/prog\n/dev/mem c 1 1 666\n", "--verify") == 0, site.err


@pytest.mark.parametrize("mode", ["4755 setuid", "4711 setuid", "4750 owner=root:daemon setuid", "700", "100"])
def test_set_id_and_closed_programs_are_started_too(site: Site, mode: str) -> None:
    spec = near_its_place(site).replace("/bin/prog", f"/bin/prog {mode}", 1)
    assert site.build(spec, "--allow-missing", "--verify") == 0, site.err
    assert site.mode("/opt/x/bin/prog") == int(mode.split()[0], 8)
    (site.tree / "opt/x/lib/libnear.so").unlink()
    assert f"/opt/x/bin/prog: {LOST}" in failures(site)
    assert site.mode("/opt/x/bin/prog") == int(mode.split()[0], 8)


def test_what_most_accounts_cannot_get_to_is_named(site: Site) -> None:
    assert site.build("/bin/true /root/bin/true\n/root/ 700\n", "--verify") == 0, site.err
    assert "/root/bin/true was not started: its directory is closed to most accounts" in site.err


@pytest.mark.parametrize(
    ("text", "more", "wrong"),
    [
        ("#!/bin/sh\n", "/bin/sh\n", ""),
        ("#! /bin/sh -e\n", "/bin/sh\n", ""),
        ("#!/bin/sh\n", "", "its interpreter '/bin/sh' is not in the tree"),
        ("#!/bin/sh\r\n", "/bin/sh\n", "its interpreter '/bin/sh\\x0d' is not in the tree"),
        ("#!/usr/bin/env sh\n", "/usr/bin/env\n/bin/sh\n", ""),
        ("#!/usr/bin/env -S A=b sh -e\n", "/usr/bin/env\n/bin/sh\n", ""),
        ("#!/usr/bin/env nosuch\n", "/usr/bin/env\n", "its interpreter 'nosuch' is not in the tree"),
        ("#!/opt/sh\n", "/bin/sh\nrun mkdir -p opt; ln -s ../bin/sh opt/sh\n", ""),
        ("#!/opt/sh\n", "content /opt/sh '#!/bin/sh' 755\n/bin/sh\n", ""),
        ("#!/opt/sh\n", "content /opt/sh '#!/bin/sh' 644\n", "its interpreter '/opt/sh' is not in the tree"),
        ("#!/lib64/loop\n", "/lib64/loop -> loop\n", "its interpreter '/lib64/loop' is not in the tree"),
    ],
)
def test_scripts_need_what_their_first_line_names(site: Site, text: str, more: str, wrong: str) -> None:
    (site.src / "script").write_bytes(text.encode())
    (site.src / "script").chmod(0o644)
    # Its mode is the spec's: as a file that is no program on the host it brings nothing along.
    spec = f"SRC/script /usr/games/script 755\n{more}"
    assert site.build(spec, "--verify") == (1 if wrong else 0), site.err
    assert (f"does not start: /usr/games/script: {wrong}" if wrong else "") in site.err
    assert site.err.count("does not start") == bool(wrong)


def test_another_machine_and_a_lost_loader_are_named(site: Site) -> None:
    program = compiled(site, "prog", "int main(void) { return 0; }", "-static")
    data = bytearray(program.read_bytes())
    data[18:20] = (0x16).to_bytes(2, "little")  # e_machine: EM_S390
    (site.src / "foreign").write_bytes(data)
    (site.src / "foreign").chmod(0o755)
    assert site.build("SRC/foreign /usr/lib/x/foreign\n/bin/true\n", "--verify") == 1
    assert "/usr/lib/x/foreign: it is for another machine (EM_S390, 64 bits), or damaged" in site.err
    assert site.err.count("does not start") == 1
    assert site.build("/bin/true\nrun find . -name 'ld-*.so.*' -delete\n", "--verify") == 1
    assert "/bin/true: its loader /lib" in site.err
    assert "is not in the tree" in site.err


def test_what_a_command_of_the_spec_replaced_or_removed(site: Site) -> None:
    spec = "/bin/true\n/bin/false\nrun cd usr/bin; rm true; ln -s false true\n"
    assert site.build(spec, "--verify") == 0, site.err
    assert site.build(spec + "run rm usr/bin/true usr/bin/false\n", "--verify") == 1
    assert "/usr/bin/false: it is not in the tree any more" in site.err


def elsewhere(site: Site, script: str, spec: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Build in a mount namespace that ``script`` prepares; $1 is the directory of the site."""
    argv = ["unshare", "--mount", "sh", "-ec", script, "sh", str(site.base), sys.executable, "-m", "jailssh"]
    argv += ["--root", str(site.base / "state"), "build", site.spec(spec), str(site.tree), "--verify", *options]
    env = {"PYTHONPATH": REPO, "PATH": os.environ["PATH"]}
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60)


def on_mount(options: str) -> str:
    return f'mkdir -p "$1/m"; mount -t tmpfs -o mode=755,{options} none "$1/m"; shift; exec "$@"'


def test_a_tree_on_a_noexec_mount_gets_one_sentence(site: Site) -> None:
    site.tree = site.base / "m/root"
    done = elsewhere(site, on_mount("noexec"), "/bin/ls\n/bin/true\n")
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("does not start") == 1
    assert f"does not start: {site.tree}: it lies on a file system that is mounted noexec" in done.stderr


def test_a_tree_on_a_nosuid_and_nodev_mount_is_only_told(site: Site) -> None:
    site.tree = site.base / "m/root"
    done = elsewhere(site, on_mount("nosuid,nodev"), "/bin/ls\n")
    assert (done.returncode, done.stderr) == (0, "")
    done = elsewhere(site, on_mount("nosuid,nodev"), "/bin/ls 4755 setuid\n/null c 1 3\n")
    assert done.returncode == 0, done.stderr
    assert "set-id bits have no effect (/usr/bin/ls): " in done.stderr
    assert "devices have no effect (/null): " in done.stderr
    assert "does not start" not in done.stderr


@pytest.mark.parametrize("proc", ["", "proc"])
def test_in_a_chroot_whose_root_is_no_mount_point(site: Site, proc: str) -> None:
    # Everything that Python needs is below mounts of its own; the root of the chroot is a plain directory.
    script = f"""room="$1/room"; mkdir "$room"
for name in bin dev etc lib lib32 lib64 libx32 opt root run sbin srv usr var {proc}; do
    [ -d "/$name" ] && [ ! -L "/$name" ] && mkdir "$room/$name" && mount --rbind "/$name" "$room/$name"
    [ -L "/$name" ] && cp -P "/$name" "$room/$name"
    :
done
mkdir -p "$room{REPO}"; mount --bind "{REPO}" "$room{REPO}"
! mountpoint -q "$room"
before=$(grep -c . /proc/self/mountinfo)
shift; chroot "$room" "$@"
[ "$before" = "$(grep -c . /proc/self/mountinfo)" ]"""
    compiled(site, "three", "int main(void) { return 3; }")
    spec = near_its_place(site) + "SRC/three /bin/three\n/bin/bash\nSRC/data.txt /top\n"
    done = elsewhere(site, script, spec, "--allow-missing")
    assert done.returncode == 0, done.stderr
    (site.tree / "opt/x/lib/libnear.so").unlink()
    assert f"/opt/x/bin/prog: {LOST}" in failures(site)


def test_no_mount_reaches_the_host_and_the_tree_is_left_as_it_is(site: Site) -> None:
    compiled(site, "prog", "int main(void) { return 3; }", "-static")
    before = Path("/proc/self/mountinfo").read_text()
    assert site.build("SRC/prog /bin/prog 700\n/etc/\n", "--verify") == 0, site.err
    assert Path("/proc/self/mountinfo").read_text() == before
    assert sorted(os.listdir(site.tree)) == ["bin", "etc", "usr"]
