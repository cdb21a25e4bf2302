"""Rules whose program adds files and changes none, where modes do not hold: default ACLs, an open umask."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from jailssh.plan import codec
from jailssh.policy.rules import Rule, check_rules, rule_records
from tests.root import login_lab
from tests.root.login_lab import UID, Lab, assert_ended, plan, record

pytestmark = login_lab.NEEDS
every_lab, set_uid_lab = login_lab.every_lab, login_lab.set_uid_lab

KEEPER = r"""
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
static void said(const char *name, long got) { printf("%s=%d,%d\n", name, got < 0 ? -1 : got > 0, errno); }
#define TRY(name, call) (errno = 0, said(name, call))
static int with(const char *path, int flags)
{
    int fd = open(path, flags, 0666);
    if (fd > 2 && (flags & O_ACCMODE) != O_RDONLY) {
        (void)!write(fd, "new", 3);
        close(fd);
    }
    return fd;
}
static long by_openat2(const char *path)
{
    struct open_how how = { .flags = O_WRONLY | O_TRUNC };
    return syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
}
int main(void)
{
    TRY("new", with("new", O_WRONLY | O_CREAT | O_TRUNC));
    TRY("new-again", with("new", O_WRONLY | O_CREAT | O_TRUNC));
    TRY("exclusive", with("exclusive", O_RDWR | O_CREAT | O_EXCL));
    TRY("exclusive-again", with("exclusive", O_RDWR | O_CREAT | O_EXCL));
    TRY("through-dir", openat(open(".", O_RDONLY), "old", O_WRONLY | O_CREAT | O_TRUNC, 0666));
    TRY("write", with("old", O_WRONLY));
    TRY("read-write", with("old", O_RDWR));
    TRY("append", with("old", O_WRONLY | O_APPEND));
    TRY("append-both", with("old", O_RDWR | O_APPEND));
    TRY("create-no-truncate", with("old", O_WRONLY | O_CREAT));
    TRY("create-append", with("old", O_WRONLY | O_CREAT | O_APPEND));
    TRY("put", with("old", O_WRONLY | O_CREAT | O_TRUNC));
    TRY("put-both", with("old", O_RDWR | O_CREAT | O_TRUNC));
    TRY("put-append", with("old", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND));
    TRY("truncate-reading", with("old", O_RDONLY | O_TRUNC));
    TRY("truncate-creating", with("old", O_RDONLY | O_CREAT | O_TRUNC));
    TRY("odd", with("old", O_ACCMODE | O_CREAT | O_TRUNC));
    TRY("creat", creat("old", 0666));
    TRY("openat2", by_openat2("old"));
    TRY("unnamed", open(".", O_TMPFILE | O_RDWR, 0666));
    TRY("link-there", with("link", O_WRONLY | O_CREAT | O_TRUNC));
    TRY("truncate", truncate("old", 0));
    TRY("rename-onto", rename("new", "old"));
    TRY("rename-away", rename("old", "moved"));
    TRY("renameat", renameat(AT_FDCWD, "new", AT_FDCWD, "old"));
    TRY("exchange", syscall(SYS_renameat2, AT_FDCWD, "new", AT_FDCWD, "old", 2));
    TRY("remove", unlink("old"));
    TRY("removeat", unlinkat(AT_FDCWD, "old", 0));
    TRY("rmdir", rmdir("dir"));
    TRY("hardlink", link("old", "hard"));
    TRY("hardlinkat", linkat(AT_FDCWD, "old", AT_FDCWD, "hard", 0));
    TRY("read", open("old", O_RDONLY));
    TRY("list", open(".", O_RDONLY | O_DIRECTORY));
    TRY("symlink", symlink("old", "soft"));
    TRY("through-symlink", with("soft", O_WRONLY | O_CREAT | O_TRUNC));
    int child = fork(), status;
    if (child == 0)
        _exit(with("old", O_WRONLY | O_CREAT | O_TRUNC) > 0);
    TRY("child", (waitpid(child, &status, 0), status == 0 ? -1 : 1));
    return 0;
}
"""
CAN = {"new", "exclusive", "read", "list", "symlink"}
# What truncates is the new kernels' to refuse; before, the modes of files are what holds.
TRUNCATES = {"new-again", "through-dir", "put", "put-both", "put-append", "creat", "child", "through-symlink",
             "truncate-creating", "truncate-reading", "odd", "link-there"}  # fmt: skip
OF_ALL = {"write", "append", "append-both", "create-no-truncate", "create-append", "openat2", "unnamed"}


@pytest.fixture(scope="module")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keeper")
    (folder / "keeper.c").write_text(KEEPER)
    subprocess.run(["gcc", "-static", "-O1", "-D_GNU_SOURCE", "-o", folder / "keeper", folder / "keeper.c"], check=True)
    return folder / "keeper"


@pytest.fixture(params=["acl", "umask"])
def room(request: pytest.FixtureRequest, every_lab: Lab, keeper: Path) -> Iterator[tuple[Lab, Path]]:
    """A home with a file that its account may write, in a directory that makes all new ones like it."""
    tool = every_lab.path(f"{login_lab.IMAGE}/bin/keeper")
    tool.write_bytes(keeper.read_bytes())
    tool.chmod(0o755)
    home = every_lab.path("/home/u")
    (home / "old").write_text("old")
    (home / "dir").mkdir()
    (home / "link").symlink_to("old")
    for name in ("old", "dir"):
        os.chown(home / name, UID, UID)
    if request.param == "acl":
        every_lab.host.run(["setfacl", "-d", "-m", "u::rwx,g::rwx,o::rwx", "/home/u"], check=True)
    yield every_lab, home
    every_lab.host.run(["setfacl", "-b", "-k", "/home/u"], check=True)
    for path in home.iterdir():
        if path.name == "dir":
            path.rmdir()
        elif path.name != ".ssh":
            path.unlink()
    tool.unlink()


def answers(lab: Lab, *, keep: bool) -> dict[str, tuple[int, int]]:
    rule = Rule("lab.keep", "lab", "/bin/keeper", ("keep",), create_only=keep)
    check_rules([rule])
    parsed = codec.decode(plan(middle=[record("umask", "000"), record("env", "HOME", "/home/u")]))
    rows = (*parsed.records, *(record(*row) for row in rule_records(rule)))
    lab.publish(codec.encode(replace(parsed, records=rows)))
    done = lab.login("keep")
    assert_ended(done, 0)
    found = (line.split("=") for line in done.out.decode().splitlines())
    return {name: (int(answer.split(",")[0]), int(answer.split(",")[1])) for name, answer in found}


def test_what_is_there_stays(room: tuple[Lab, Path]) -> None:
    lab, home = room
    given = answers(lab, keep=True)
    old_kernel = lab.flavour.endswith("old-kernel")
    done = {name for name, (answer, _) in given.items() if answer >= 0}
    # Plain reading and writing is what /dev/null is opened by; nothing is, and nothing comes of it.
    assert given["read-write"] == (0, 0)
    assert done - {"read-write"} - (TRUNCATES if old_kernel else set()) == CAN
    assert {name for name in OF_ALL if given[name][0] >= 0} == set()
    assert (home / "exclusive").read_text() == "new"
    if not old_kernel:
        assert (home / "old").read_text() == "old"
        assert (home / "new").read_text() == "new"
        assert sorted(path.name for path in home.iterdir()) == sorted(
            [".ssh", "dir", "exclusive", "link", "new", "old", "soft"]
        )


def test_without_it_the_modes_alone_hold(room: tuple[Lab, Path]) -> None:
    lab, home = room
    given = answers(lab, keep=False)
    assert {"new-again", "put", "append", "write", "rename-onto", "child"} <= {
        n for n, (a, _) in given.items() if a >= 0
    }
    assert (home / "old").read_text() != "old"
