"""What ``--verify`` finds by starting programs, and what they can do meanwhile."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from jailssh.tree import verify as module
from jailssh.tree.target import Target
from jailssh.tree.verify import verify
from tests.root.build_site import Site, site

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
    return path


def failures(site: Site) -> str:
    return "\n".join(verify(Target(str(site.tree))))


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
