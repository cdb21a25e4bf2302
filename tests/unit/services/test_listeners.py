"""What a running sshd shows: the question costs it little, and one that wants more is asked again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from jailssh.core.errors import JailsshError
from jailssh.host import process
from jailssh.host.paths import Layout
from jailssh.services import listeners
from jailssh.services.listeners import Listener, Standing
from jailssh.services.sshds import SshdServer

_DIGEST = "0123456789abcdef"
_NO_MATCH = "Unable to negotiate with 127.0.0.1 port 22: no matching key exchange method found. Their offer: mlkem"
_ENDED = "jailssh-probe@127.0.0.1: Permission denied (publickey)."

Ssh = Callable[[str], None]


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ssh:
    """Make a client that appends its arguments to a file and does what a script says."""

    def make(script: str) -> None:
        program = tmp_path / "ssh"
        program.write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/asked\n{script}\n')
        program.chmod(0o755)

    find = process.find_program
    monkeypatch.setattr(process, "find_program", lambda name: str(tmp_path / "ssh") if name == "ssh" else find(name))
    server = SshdServer("process 7", "")
    monkeypatch.setattr(listeners, "listeners", lambda: [Listener(os.getpid(), server, (("0.0.0.0", 22),))])
    monkeypatch.setattr(listeners, "_wanted", lambda _layout, _listener: _DIGEST)
    return make


def asked(tmp_path: Path) -> list[str]:
    return (tmp_path / "asked").read_text().splitlines()


@pytest.mark.parametrize(
    ("said", "state"),
    [
        (f"jailssh-set-up {_DIGEST}\n{_ENDED}", Standing.RIGHT),
        (f"jailssh-set-up fedcba9876543210\n{_ENDED}", Standing.OLD),
        (_ENDED, Standing.OLD),
    ],
)
def test_one_question_tells(tmp_path: Path, ssh: Ssh, said: str, state: Standing) -> None:
    ssh(f"cat >&2 <<'END'\n{said}\nEND\nexit 255")
    assert [each.state for each in listeners.standings(Layout(str(tmp_path)))] == [state]
    assert ["sntrup" in line for line in asked(tmp_path)] == [True]


@pytest.mark.parametrize("refused", [_NO_MATCH, "command-line line 0: Bad SSH2 KexAlgorithms '-sntrup*,mlkem*'."])
def test_a_server_with_slow_key_exchanges_alone_is_asked_with_them(tmp_path: Path, ssh: Ssh, refused: str) -> None:
    slow = f"case $* in *sntrup*) cat <<'END' >&2\n{refused}\nEND\n;; *) echo 'jailssh-set-up {_DIGEST}' >&2;; esac"
    ssh(f"{slow}\nexit 255")
    assert [each.state for each in listeners.standings(Layout(str(tmp_path)))] == [Standing.RIGHT]
    assert ["sntrup" in line for line in asked(tmp_path)] == [True, False]


def test_a_question_that_nobody_waits_for_is_ended(tmp_path: Path, ssh: Ssh) -> None:
    ssh(f"echo $$ >{tmp_path}/pid; exec sleep 60")
    with listeners.asked(Layout(str(tmp_path))):
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
            os.sched_yield()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_configuration_that_cannot_be_evaluated_is_not_asked_about(
    tmp_path: Path, ssh: Ssh, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wanted(_layout: Layout, _listener: Listener) -> str:
        raise JailsshError("sshd -T", "is broken")

    ssh("exit 255")
    monkeypatch.setattr(listeners, "_wanted", wanted)
    (found,) = listeners.standings(Layout(str(tmp_path)))
    assert found.state == Standing.UNKNOWN and "is broken" in found.why
    assert not (tmp_path / "asked").exists()
