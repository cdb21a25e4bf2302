"""Rules whose program executes nothing after its start, and what every command is kept from by its own filter."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from jailssh.plan import codec
from jailssh.policy.rules import Rule, check_rules, rule_records
from tests.root import login_lab
from tests.root.login_lab import Lab, assert_ended, plan, record

pytestmark = login_lab.NEEDS
every_lab, set_uid_lab = login_lab.every_lab, login_lab.set_uid_lab

RUNNER = r"""
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
static char *const argv[] = { "probe", "exit", "0", NULL }, *const none[] = { NULL };
static const char *const program = "/bin/probe";
static int by_execve(void) { return execve(program, argv, none); }
static int by_fexecve(void) { return fexecve(open(program, O_RDONLY), argv, none); }
static int by_execveat(void) { return (int)syscall(SYS_execveat, open(program, O_PATH), "", argv, none, 0x1000); }
static int by_itself(void) { return execve("/bin/runner", argv, none); }
/* The same text as the kernel was given, at another address. */
static int by_environment(void) { extern char **environ; return execve(environ[0] + strlen("P="), argv, none); }
static int (*const ways[])(void) = { by_execve, by_fexecve, by_execveat, by_itself, by_environment };
int main(int argc, char **given)
{
    (void)given;
    if (argc > 1) /* one of the ways has led here */
        return 0;
    for (unsigned i = 0; i < sizeof ways / sizeof *ways; i++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            ways[i]();
            _exit(errno);
        }
        waitpid(child, &status, 0);
        printf("%d ", WEXITSTATUS(status));
    }
    pid_t spawned;
    int error = posix_spawn(&spawned, program, NULL, NULL, argv, none);
    if (error == 0)
        waitpid(spawned, NULL, 0);
    struct open_how how = { .flags = O_RDONLY };
    int beneath = (int)syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof how);
    printf("%d %d\n", error, beneath < 0 ? errno : 0);
    fflush(stdout);
    errno = 0;
    execve(program, argv, none);
    return errno == EPERM ? 3 : 4;
}
"""
EPERM, ENOSYS = 1, 38


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runner")
    (folder / "runner.c").write_text(RUNNER)
    subprocess.run(["gcc", "-static", "-O1", "-D_GNU_SOURCE", "-o", folder / "runner", folder / "runner.c"], check=True)
    return folder / "runner"


Given = Callable[..., Lab]


def with_rules(found: bytes, *given: Rule) -> bytes:
    """Return a plan with more rules."""
    check_rules(given)
    parsed = codec.decode(found)
    records = (*parsed.records, *(record(*row) for rule in given for row in rule_records(rule)))
    return codec.encode(replace(parsed, records=records))


@pytest.fixture
def given(every_lab: Lab, runner: Path) -> Iterator[Given]:
    """A lab whose account has these rules besides its own."""
    tool = every_lab.path(f"{login_lab.IMAGE}/bin/runner")
    tool.write_bytes(runner.read_bytes())
    tool.chmod(0o755)

    def publish(*rules: Rule, **how: object) -> Lab:
        every_lab.publish(with_rules(plan(**how), *rules))  # type: ignore[arg-type]
        return every_lab

    yield publish
    tool.unlink()


def runs(alone: bool) -> Rule:
    return Rule("lab.run", "lab", "/bin/runner", ("run",), noexec=alone, environment=(("P", "/bin/runner"),))


def test_nothing_is_executed_after_the_start(given: Given) -> None:
    done = given(runs(alone=True)).login("run")
    assert_ended(done, 3)
    assert [int(word) for word in done.out.split()] == [EPERM] * 6 + [ENOSYS]


def test_without_it_programs_run(given: Given) -> None:
    done = given(runs(alone=False)).login("run")
    assert_ended(done, 0)
    assert [int(word) for word in done.out.split()] == [0] * 6 + [ENOSYS]


def test_with_a_log_too(given: Given) -> None:
    lab = given(Rule("lab.run", "lab", "/bin/runner", ("run",), noexec=True, stderr_to_journal=True), logging="require")
    done = lab.login("run")
    assert_ended(done, 3)
    assert [int(word) for word in done.out.split()] == [EPERM] * 6 + [ENOSYS]


def test_a_program_that_is_missing_is_told(given: Given) -> None:
    done = given(Rule("lab.run", "lab", "/bin/none", ("run",), noexec=True)).login("run")
    assert done.code == 127
    assert done.records[-1]["JAILSSH_REASON"] == "not-found"
