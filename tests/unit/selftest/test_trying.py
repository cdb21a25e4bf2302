"""What of an answer is right: an attack that works, or works in part, is never taken for one that is denied."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import paramiko
import pytest

from jailssh.plugin.trials import DENIED, PLACE, TOKEN, FileOp, FileStep, Trial, denied
from jailssh.selftest import channels, trying
from jailssh.selftest.client import Ran
from jailssh.selftest.general import Powers, first_login
from jailssh.selftest.report import Verdict
from jailssh.selftest.trying import Words


class Answers:
    """Stands for a connection: each command has this answer, the sftp server is this one."""

    def __init__(self, ran: Ran | None = None, client: Any = None, alive: bool = True) -> None:
        self.ran, self.client, self.alive = ran, client, alive
        self.sent: list[tuple[str, bytes]] = []

    def run(self, command: str, input: bytes) -> Any:
        self.sent.append((command, input))
        return self.ran

    def answers(self) -> bool:
        return self.alive

    @contextmanager
    def sftp(self, _name: str = "sftp") -> Any:
        if isinstance(self.client, Exception):
            raise self.client
        yield self.client


def verdict(trial: Trial, ran: Ran | None = None, client: Any = None, alive: bool = True) -> Verdict:
    return trying.run(Answers(ran, client, alive), trial, "x").verdict  # type: ignore[arg-type]


USE = Trial("x", "a use", command="x")
(ATTACK,) = denied("x", "an attack", "x")


@pytest.mark.parametrize(
    ("trial", "ran", "right"),
    [
        (USE, Ran(0, b"", b""), True),
        (USE, Ran(1, b"", b""), False),
        (USE, Ran(-1, b"", b""), False),
        (Trial("x", "", command="x", shows="word"), Ran(0, b"a word", b""), True),
        (Trial("x", "", command="x", shows="word"), Ran(0, b"", b"word"), False),
        (Trial("x", "", command="x", exits=None, shows="\xff"), Ran(12, b"\0\xff", b""), True),
        (Trial("x", "", command="x", exits=None), Ran(-1, b"", b""), False),
        (ATTACK, Ran(126, b"", b"jailssh: no"), True),
        (ATTACK, Ran(126, b"uid=0", b""), False),
        (ATTACK, Ran(0, b"", b""), False),
        (ATTACK, Ran(127, b"", b""), False),
        (ATTACK, Ran(-1, b"", b""), False),
        (Trial("x", "", attack=True, command="x", exits=(), hides="root:"), Ran(1, b"", b""), True),
        (Trial("x", "", attack=True, command="x", exits=(), hides="root:"), Ran(1, b"root:x", b""), False),
        (Trial("x", "", attack=True, command="x", exits=()), Ran(-1, b"", b""), False),
    ],
)
def test_a_command(trial: Trial, ran: Ran, right: bool) -> None:
    assert verdict(trial, ran) == (Verdict.OK if right else Verdict.WRONG)


class Server:
    """An sftp server that has these paths, and refuses all else."""

    def __init__(self, *paths: str) -> None:
        self.paths = paths

    def stat(self, path: str) -> None:
        if path not in self.paths:
            raise OSError(2, "No such file")

    def listdir_attr(self, path: str) -> Any:
        found = []
        for name in self.paths:
            found.append(paramiko.SFTPAttributes())
            found[-1].filename = name
        return found


def steps(*given: FileStep, attack: bool = False) -> Trial:
    return Trial("x", "", attack=attack, steps=given)


def test_file_steps() -> None:
    here, away = FileStep(FileOp.STAT, "here"), FileStep(FileOp.STAT, "away")
    no = FileStep(FileOp.STAT, "here", fails=True)
    assert verdict(steps(here), client=Server("here")) == Verdict.OK
    assert verdict(steps(here, away), client=Server("here")) == Verdict.WRONG
    assert verdict(steps(no, attack=True), client=Server("here")) == Verdict.WRONG
    assert verdict(steps(no, attack=True), client=Server()) == Verdict.OK
    # What an attack prepares may fail.
    assert verdict(steps(away, no, attack=True), client=Server()) == Verdict.OK
    assert verdict(steps(here), client=EOFError()) == Verdict.WRONG
    others = FileStep(FileOp.OTHERS, "/home", "alice", fails=True)
    assert verdict(steps(others, attack=True), client=Server("alice")) == Verdict.OK
    assert verdict(steps(others, attack=True), client=Server("alice", "bob")) == Verdict.WRONG


def test_a_lost_connection_is_no_refusal() -> None:
    attack = steps(FileStep(FileOp.STAT, "here", fails=True), attack=True)
    refused = paramiko.SSHException("Channel closed.")
    assert verdict(attack, client=refused) == Verdict.OK
    assert verdict(attack, client=refused, alive=False) == Verdict.NOT_TRIED
    assert verdict(attack, client=TimeoutError("timed out")) == Verdict.NOT_TRIED
    assert verdict(attack, client=Server(), alive=False) == Verdict.NOT_TRIED
    assert verdict(steps(FileStep(FileOp.STAT, "here")), client=refused, alive=False) == Verdict.WRONG


class Asked(Answers):
    """Stands for a connection on whose channels requests end with this error."""

    def __init__(self, error: Exception, *, alive: bool) -> None:
        super().__init__(client=error, alive=alive)

    @contextmanager
    def channel(self) -> Any:
        yield self

    remote_chanid = 0
    transport = SimpleNamespace(_send_user_message=lambda _message: None)

    def _event_pending(self) -> None:
        pass

    def _wait_for_event(self) -> None:
        raise self.client

    def invoke_subsystem(self, _name: str) -> None:
        raise self.client


ENDED, LATE = paramiko.SSHException("Channel closed."), TimeoutError("timed out")


@pytest.mark.parametrize(
    ("error", "alive", "right"),
    [(ENDED, True, True), (ENDED, False, None), (LATE, True, None), (EOFError(), False, None)],
)
def test_only_an_answer_is_a_refusal(error: Exception, alive: bool, right: bool | None) -> None:
    for ask in (channels.agent, channels.x11, lambda each: channels.subsystem(each, "x"),
                lambda each: channels.files_of_host(each, "x")):  # fmt: skip
        assert ask(Asked(error, alive=alive))[0] is right  # type: ignore[arg-type]


def test_words_are_filled_in_everywhere() -> None:
    step = FileStep(FileOp.RENAME, f"{PLACE}/a", f"{PLACE}/{TOKEN}")
    trial = Trial("x", "", command=f"x {PLACE}", input=f"\xff{TOKEN}".encode("latin-1"), shows=TOKEN, steps=(step,))
    done = Words("/home/alice/.d", "t0").trial(trial)
    assert (done.command, done.input, done.shows) == ("x /home/alice/.d", b"\xfft0", "t0")
    assert done.steps == (FileStep(FileOp.RENAME, "/home/alice/.d/a", "/home/alice/.d/t0"),)


@pytest.mark.parametrize(
    ("free", "ran", "right"),
    [
        (False, Ran(126, b"", b"jailssh: command not allowed"), True),
        (False, Ran(126, b"", b"sh: x: Permission denied"), False),
        (False, Ran(0, b"", b"jailssh: "), False),
        (False, Ran(127, b"", b"jailssh: "), False),
        (True, Ran(127, b"", b"bash: x: command not found"), True),
        (True, Ran(0, b"", b""), False),
        (True, Ran(127, b"said", b""), False),
    ],
)
def test_the_first_login(free: bool, ran: Ran, right: bool) -> None:
    powers = Powers(free=free, login=False, sftp=False, network=False)
    assert (first_login(ran, powers)[0] == Verdict.OK) is right


def test_denied_makes_a_name_for_each() -> None:
    assert [(trial.id, trial.exits) for trial in denied("x.y", "", "a", "b")] == [("x.y", DENIED), ("x.y.2", DENIED)]


VERSION = b"\0\0\0\5\2\0\0\0\3"
REFUSAL = b"\0\0\0\x12\x65\0\0\0\1\0\0\0\3\0\0\0\1x\0\0\0\0"


@pytest.mark.parametrize(
    ("said", "denied"),
    [
        (VERSION, True),
        (VERSION + REFUSAL, True),
        (VERSION + REFUSAL * 2, True),
        (REFUSAL, False),
        (VERSION * 2, False),
        (VERSION + REFUSAL[:-1], False),
        (VERSION + REFUSAL.replace(b"\0\0\0\3", b"\0\0\0\0"), False),
        (VERSION + b"\0\0\0\x16\x68\0\0\0\1\0\0\0\1\0\0\0\1/\0\0\0\1/\0\0\0\0", False),
        (b"SSH-2.0-x\r\n", False),
        (b"\0\0\0\0\0\0\0\0\0", False),
    ],
)
def test_a_server_that_says_no_by_sftp(said: bytes, denied: bool) -> None:
    assert channels.denies(said) is denied
