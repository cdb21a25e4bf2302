"""A forced command as a shell reads it, held against the shells of this host."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from jailssh.sources import shell_words
from jailssh.sources.shell_words import ORIGINAL, Unclear

VARIABLES = {"HOME": "/home/kim", "USER": "kim", "LOGNAME": "kim"}
PIECES = ("a", "b-c", " ", " ", "  ", "\t", "'x y'", '"x y"', '"$HOME/q"', "$HOME", "${USER}", "~", "~/x", "/~",
          '"$SSH_ORIGINAL_COMMAND"', "\\ ", "\\\\", '"\\""', "'\\'", '"\\a"', "#c", " #c", "--d=$HOME", "=", "''", '""',
          ";", "&&", "umask 077;", "A=b ", "export C=d;", "exec ", "nice -n 3 ", "env E=f ", "*", "$(id)", "`id`", "|",
          "{a,b}", "!", "$UNSET", "~bin", "&", ">f", "\n", "é", "cd /tmp && ", "'open", '"open')  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a program p that tells its words, what was set and where it is."""
    path = tmp_path_factory.mktemp("bin")
    program = path / "p"
    program.write_text('#!/bin/sh\npwd\numask\nprintf "%s\\n" "${A-}" "${C-}" "${E-}"\nprintf "<%s>" "$@"\n')
    program.chmod(0o755)
    return path


@pytest.mark.parametrize("shell", ["sh", "bash", "zsh"])
def test_what_is_read_is_what_a_shell_runs(shell: str, folder: Path) -> None:
    """Of commands made at random, each that is read at all."""
    if not shutil.which(shell):
        pytest.skip(f"this host has no {shell}")
    chance = random.Random(3)
    compared = unclear = 0
    environment = {
        "PATH": f"{folder}:/usr/bin:/bin",
        "SSH_ORIGINAL_COMMAND": "the  client's",
        "LC_ALL": "C.UTF-8",
        **VARIABLES,
    }
    while compared < 80:
        pieces = chance.choices(PIECES, k=chance.randint(0, 5))
        text = "".join(
            chance.choices(["", "cd /tmp; ", "umask 027; ", "A=x ", "A=x; ", "export C=y && ", "exec "], k=2)
        )
        text += "p" + "".join([" ", *pieces] if pieces else [])
        try:
            line = shell_words.read(text, VARIABLES)
        except Unclear:
            unclear += 1
            continue
        if line.words[0] != "p" or len(line.words) < 2:
            continue
        done = subprocess.run([shell, "-c", text], env=environment, cwd="/", capture_output=True, text=True, umask=0o22)
        expected = [line.directory or "/", line.umask.zfill(4) if line.umask else "0022"]
        expected += [line.variables.get(name, "") for name in "ACE"]
        words = "".join(f"<{word.replace(ORIGINAL, environment['SSH_ORIGINAL_COMMAND'])}>" for word in line.words[1:])
        assert done.stdout == "\n".join([*expected, words]), (text, line, done.stderr)
        compared += 1
    assert unclear > 20 and os.path.isdir(folder)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nice -5 p", ["p"]),
        ("nice p", ["p"]),
        ("ionice -c 3 -n7 p x", ["p", "x"]),
        ("/usr/bin/env A=b p", ["p"]),
        ("exec p # x", ["p"]),
    ],
)
def test_programs_that_start_others(text: str, words: list[str]) -> None:
    """They are not what runs."""
    assert shell_words.read(text, VARIABLES).words == words


@pytest.mark.parametrize(
    "text",
    [
        "env -i p",
        "nice --x p",
        "exec -a q p",
        "exec",
        "p; q",
        "p &",
        "cd a b; p",
        "x && p",
        "\0",
        "HOME=/x p",
        "export HOME=/x; p",
        "PATH=/x; p",
        "A=x cd /; p",
        "env",
    ],
)
def test_what_is_not_guessed_at(text: str) -> None:
    """Options of programs that start others, several commands, and what is no text."""
    with pytest.raises(Unclear):
        shell_words.read(text, VARIABLES)
