"""What runs before the program of a rule, and rules that have the answer themselves."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from jailssh.plan import codec
from jailssh.policy.rules import Rule, check_rules, rule_records
from tests.root import login_lab
from tests.root.login_lab import Lab, assert_denied, assert_ended, assert_refused, plan, record

pytestmark = login_lab.NEEDS
every_lab, set_uid_lab = login_lab.every_lab, login_lab.set_uid_lab

HOME = "/home/u"
MAKER = r"""
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
/* maker fail N | die | wait | make PATH: a repository, with what it was given in it; prints much where it may. */
int main(int argc, char **argv)
{
    char byte;
    for (int i = 0; i < 100; i++) {
        puts("noise");
        fputs("noise\n", stderr);
    }
    fflush(stdout);
    if (argc > 2 && strcmp(argv[1], "fail") == 0)
        return atoi(argv[2]);
    if (strcmp(argv[1], "die") == 0)
        raise(SIGKILL);
    if (strcmp(argv[1], "wait") == 0)
        return pause();
    int nulls = 0;
    for (int fd = 0; fd < 10; fd++) {
        struct stat st;
        if (fstat(fd, &st) == 0)
            nulls += S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3) ? 1 : 100;
    }
    if (read(0, &byte, 1) != 0 || mkdir(argv[2], 0777) != 0 || chdir(argv[2]) != 0 || mkdir("objects", 0700) != 0 ||
        mkdir("refs", 0700) != 0)
        return 1;
    FILE *facts = fopen("facts", "w"), *head = fopen("HEAD", "w");
    fprintf(facts, "%d %s %d", nulls, getenv("MADE_BY"), argc);
    fputs("ref: refs/heads/main\n", head);
    return fclose(facts) | fclose(head);
}
"""


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("maker")
    (folder / "maker.c").write_text(MAKER)
    subprocess.run(["gcc", "-static", "-O1", "-D_GNU_SOURCE", "-o", folder / "maker", folder / "maker.c"], check=True)
    return folder / "maker"


Given = Callable[..., Lab]


@pytest.fixture
def given(set_uid_lab: Lab, maker: Path) -> Iterator[Given]:
    """A lab whose account has these rules besides its own."""
    tool = set_uid_lab.path(f"{login_lab.IMAGE}/bin/maker")
    tool.write_bytes(maker.read_bytes())
    tool.chmod(0o755)

    def publish(*rules: Rule, logging: str = "allow") -> Lab:
        check_rules(rules)
        parsed = codec.decode(plan(logging=logging))
        records = (*parsed.records, *(record(*row) for rule in rules for row in rule_records(rule)))
        set_uid_lab.publish(codec.encode(replace(parsed, records=records)))
        return set_uid_lab

    yield publish
    for made in set_uid_lab.path(HOME).glob("new-*"):
        shutil.rmtree(made)


def create(*first: str, home: str = HOME) -> Rule:
    return Rule(
        "lab.create", "lab", "/bin/probe", ("serve",), argv_prefix=("facts", "fds"), path_roots=(home,),
        relative_to=home, operands=(1, 1, "new-repository"), repository_patterns=(f"{home}/new-*",),
        pre_command=("/bin/maker", *first), environment=(("MADE_BY", "%p"),),
    )  # fmt: skip


def test_nobody_can_keep_others_from_it(given: Given) -> None:
    lab = given(create("make", "%p"))
    folder = os.open(lab.path(HOME), os.O_RDONLY)  # as anybody can who may read it
    fcntl.flock(folder, fcntl.LOCK_EX)
    assert_ended(lab.login("serve new-1"), 0)
    os.close(folder)


@pytest.mark.parametrize("logging", ["allow", "require"])
def test_it_runs_before_the_program_and_is_not_heard(given: Given, logging: str) -> None:
    lab = given(create("make", "%p"), logging=logging)
    done = lab.login("serve new-1", input=b"for the program")
    row = assert_ended(done, 0)
    assert b"noise" not in done.out + done.err
    assert done.records[0]["JAILSSH_RULE"] == "lab.create"
    assert row["JAILSSH_EXIT"] == "0"
    made = lab.path(f"{HOME}/new-1.git")
    assert (made / "facts").read_text() == f"102 {HOME}/new-1.git 3"  # two of /dev/null and a pipe
    assert (made.stat().st_uid, made.stat().st_mode & 0o777) == (login_lab.UID, 0o750)
    for command, reason in (("serve new-1", "repository-exists"), ("serve other", "path-outside")):
        done = lab.login(command)
        assert (done.code, done.records[0]["JAILSSH_REASON"]) == (126, reason)
        assert done.err == b"jailssh: repository not found or access denied\n"


@pytest.mark.parametrize(
    ("first", "why"),
    [
        (("fail", "3"), "/bin/maker ended with status 3"),
        (("fail", "125"), "/bin/maker ended with status 125"),
        (("die",), "/bin/maker ended with signal 9"),
        (("make", "/nowhere/x"), "/bin/maker ended with status 1"),
    ],
)
@pytest.mark.parametrize("logging", ["allow", "require"])
def test_its_failure_is_the_end(given: Given, first: tuple[str, ...], why: str, logging: str) -> None:
    lab = given(create(*first), logging=logging)
    done = lab.login("serve new-1")
    events = done.events()
    assert events == (["session-start", "refused"] if logging == "require" else ["refused"])
    row = assert_refused(login_lab.Done(done.code, done.out, done.err, done.records[-1:]), "first-failed")
    assert row["MESSAGE"].endswith(f"{why}: noise")
    assert not lab.path(f"{HOME}/new-1.git").exists()


def test_a_program_that_is_missing(given: Given) -> None:
    rule = Rule("lab.first", "lab", "/bin/probe", ("serve",), argv_prefix=("facts",), pre_command=("/bin/none",))
    row = assert_refused(given(rule).login("serve"), "first-failed")
    assert "/bin/none: No such file or directory" in row["MESSAGE"]


def test_it_ends_with_the_session(given: Given) -> None:
    session = given(create("wait")).start("serve new-1")
    session.pids(3)
    session.signal(signal.SIGKILL)
    session.wait()
    session.lab.assert_nothing_left()


def test_a_path_below_the_home_by_another_name_is_the_same(given: Given) -> None:
    lab = given(create("make", "%p"))
    assert lab.login("serve '~/new-2.git/'").code == 0
    assert lab.path(f"{HOME}/new-2.git/HEAD").exists()


def test_nobody_waits_for_another_who_is_at_it(given: Given) -> None:
    lab = given(create("wait"))
    for name in ("new-1", "new-2"):
        lab.start(f"serve {name}").pids(3)  # the third is what runs first
    for session in tuple(lab.sessions):
        session.signal(signal.SIGKILL)
        session.wait()
    lab.assert_nothing_left()


def test_an_answer_of_nothing(given: Given) -> None:
    for logging in ("allow", "require"):
        lab = given(
            Rule("lab.quiet", "lab", "/", ("hello",), literal_words=("--x",), builtin_reply=(0, "")), logging=logging
        )
        done = lab.login("hello --x")
        assert_ended(done, 0)
        assert (done.out, done.err) == (b"", b"")
        assert done.records[0]["JAILSSH_RULE"] == "lab.quiet"
        assert_denied(lab.login("hello"), "word-missing")


def test_an_answer_that_denies(given: Given) -> None:
    sentence = "large files are not served here: use git-annex, or ask for a bucket"
    lab = given(
        Rule("lab.lfs", "lab", "/", ("git-lfs-authenticate",), ignore_arguments=True, builtin_reply=(126, sentence))
    )
    done = lab.login("git-lfs-authenticate x.git download")
    assert (done.code, done.out) == (126, b"")
    assert sentence.encode() in done.err
    (row,) = done.records
    assert (row["JAILSSH_EVENT"], row["JAILSSH_REASON"], row["JAILSSH_RULE"]) == ("denied", "not-served", "lab.lfs")
