"""What the real jk_lsh decides, and what the jail that is made from its file does, of generated files and commands."""

from __future__ import annotations

import dataclasses
import random
import re
import subprocess
from pathlib import Path

import pytest

from jailssh.config import jails, reader
from jailssh.core.errors import ConfigError
from jailssh.jailkit import jk_lsh
from jailssh.plan import codec
from jailssh.plugin.api import Jail
from jailssh.plugin.registry import load_registry
from jailssh.scratch.host import ScratchHost
from tests.login.jails import ALICE, plan_with

pytestmark = pytest.mark.needs("root", "namespaces", "jailkit", "login-program")

FILES = 80
USER, GROUP = "nobody", "nogroup"
RAN = 42
PLACE = "/srv/jk-oracle"
PROGRAMS = ("bin/a", "bin/b", "bin/cc", "alt/a", "alt/b")
SECTIONS = (
    USER, f"group {GROUP}", "DEFAULT", USER, "DEFAULT",
    # None of these is the account's.
    "default", "Nobody", f" {USER}", f"group  {GROUP}", f"Group {GROUP}", "group daemon", "daemon", "x" * 200,
)  # fmt: skip
KEYS = ("executables", "executables", "executables ", " executables", "exec", "e", "execut ables", "executable",
        "executables2", "Executables", ";executables", "#executables", " #executables")  # fmt: skip
PATHS = ("paths", "paths", "p", "path", " paths ", "PATHS", "#paths")
OTHERS = (
    "umask = 022", "umask=rw", "environment = A=b, C=d", "environment = X=[SECTION]", "allow_word_expansion = 0",
    "allow_word_expansion = yes", "; a remark", "# executables = BIN/cc", "", "no key", "=", "= x",
    "key with no sense = 1", "comment = see [SECTION] below",
)  # fmt: skip
COMMANDS = (
    "a", "b -x y", "cc", "BIN/a", "BIN/cc  -v", "ALT/a", "ALT/b", "  a   x ", "../bin/a", "BIN/../bin/a", "BIN//a", "A",
    "sh", "a;b", "aa", "none", "ALT/none", "/bin/sh", "a a b",
)  # fmt: skip


def a_list(dice: random.Random) -> str:
    """Return programs as a value has them: blanks, empty parts, a program in no list, one that is none."""
    programs = dice.sample(("BIN/a", "BIN/b", "BIN/cc", "ALT/a", "ALT/b", "BIN/none"), dice.randint(1, 4))
    programs += dice.sample(("", " ", "BIN/a # all", "a"), dice.choice((0, 0, 1)))
    return dice.choice((",", ", ", " , ")).join(programs) + dice.choice(("", "", ",", " "))


def a_file(dice: random.Random) -> str:
    """Return a file with what its readers trip over; two in three have a section that is the account's."""
    lines = [dice.choice(("", "# of the administrator", "executables = BIN/b"))]
    own = dice.sample(SECTIONS[:3], dice.choice((0, 1, 1)))
    for name in dice.sample([*own, *dice.sample(SECTIONS, dice.randint(1, 3))], k=len(own) + 1):
        lines.append(dice.choice(("", "", "  ")) + f"[{name}]" + dice.choice(("", "", " # that is it", "x = y")))
        keys = dice.choices(KEYS, [6, 6] + [1] * (len(KEYS) - 2), k=dice.randint(1, 2))
        body = [f"{key}{dice.choice(('=', ' = '))}{a_list(dice)}" for key in keys]
        body += [f"{dice.choice(PATHS)} = {dice.choice(('BIN', 'ALT', 'BIN, ALT', 'ALT,BIN'))}" for _ in range(2)]
        body += [dice.choice(OTHERS).replace("SECTION", dice.choice(SECTIONS)) for _ in range(dice.randint(0, 3))]
        if dice.random() < 0.1:
            body.append("executables = " + ", ".join(f"BIN/long-{number:03}" for number in range(80)) + ", BIN/a")
        dice.shuffle(body)
        lines += body
    return dice.choice(("\n", "\n", "\n", "\r\n")).join([*lines, ""])


def theirs(host: ScratchHost, cases: list[tuple[str, list[str]]]) -> list[list[int]]:
    """Return with which code jk_lsh ends for each command of each file."""
    host.run(["mkdir", "-p", PLACE], check=True)
    lines = [f"umask 022; mkdir -p /etc/jailkit {PLACE}/bin {PLACE}/alt"]
    for path in PROGRAMS:
        lines.append(f"printf '#!/bin/sh\\nexit {RAN}\\n' >{PLACE}/{path}; chmod 755 {PLACE}/{path}")
    start = f"setpriv --reuid {USER} --regid {GROUP} --clear-groups env -i USER={USER} /usr/sbin/jk_lsh -c"
    for number, (text, commands) in enumerate(cases):
        host.write(f"{PLACE}/{number}", text)
        lines.append(f"cat {PLACE}/{number} >/etc/jailkit/jk_lsh.ini")
        lines += [f"{start} '{command}' >/dev/null 2>&1; echo {number} $?" for command in commands]
    host.write(f"{PLACE}/script", "\n".join(lines))
    found: list[list[int]] = [[] for _ in cases]
    for number, code in re.findall(r"^(\d+) (\d+)$", host.run(["sh", f"{PLACE}/script"]).stdout, re.MULTILINE):
        found[int(number)].append(int(code))
    return found


def program(name: str) -> str:
    """Return what the host has for a name: it looks in ``bin`` first."""
    return next((f"{PLACE}/{path}" for path in PROGRAMS if f"/{path}".endswith(f"/{name}")), "")


class Ours:
    """Jails from such files, asked by the real matcher."""

    def __init__(self, place: Path, match: Path) -> None:
        self._registry = load_registry()
        self._place = place
        self._match = match
        self._number = 0

    def plan(self, text: str) -> tuple[Path | None, str]:
        """Return the plan of the jail that a file comes to, None where nobody may do anything, and what is told."""
        try:
            imported = jk_lsh.read(text, USER, GROUP, find=program)
        except ConfigError:
            return None, ""
        lines = imported.settings["command"]["commands"]
        here = tuple(line for line in lines if program(line.split()[0].removeprefix(f"{PLACE}/")))
        if not here:
            return None, ""
        settings = {**imported.settings, "command": {"commands": here}}
        imported = dataclasses.replace(imported, settings=settings)
        document = reader.read_document(imported.as_text(), "imported.conf")
        config = jails.read_jail("imported", document, self._registry.options)
        host = Jail("imported", config.plugins, lambda name: name if "/" in name else program(name))
        results = [self._registry.get(name).account(host, ALICE, config.options[name]) for name in config.plugins]
        self._number += 1
        path = self._place / f"plan{self._number}"
        path.write_bytes(codec.encode(plan_with([rule for result in results for rule in result.rules])))
        return path, "\n".join(doubt.text for doubt in imported.warnings)

    def allows(self, plan: Path | None, command: str) -> bool:
        """True if the matcher lets a command run."""
        if plan is None:
            return False
        done = subprocess.run([self._match, plan, command], capture_output=True, text=True, timeout=10)
        assert done.returncode in (0, 3), done.stderr
        return done.returncode == 0


def test_the_same_commands_run(tmp_path: Path, match_build: Path) -> None:
    dice = random.Random(23)
    cases = []
    for _ in range(FILES):
        text, *commands = (
            each.replace("BIN", f"{PLACE}/bin").replace("ALT", f"{PLACE}/alt")
            for each in (a_file(dice), *dice.sample(COMMANDS, 8))
        )
        cases.append((text, commands))
    ours = Ours(tmp_path, match_build)
    counts = {"both": 0, "neither": 0, "told": 0}
    wrong = []
    with ScratchHost() as host:
        answers = theirs(host, cases)
    for (text, commands), codes in zip(cases, answers, strict=True):
        assert len(codes) == len(commands)
        plan, told = ours.plan(text)
        for command, code in zip(commands, codes, strict=True):
            allowed, ran = ours.allows(plan, command), code == RAN
            if allowed == ran:
                counts["both" if ran else "neither"] += 1
            elif f"{command.split()[0]}: {'is' if ran else 'Jailkit looks in'}" in told:
                counts["told"] += 1  # a name that means another program here, or a program that has its name as well
            else:
                wrong.append(f"{command!r}: jk_lsh ends with {code}:\n{text}")
    assert not wrong, f"{len(wrong)} of {counts}:\n" + "\n".join(wrong[:3])
    assert counts["both"] > 60 and counts["neither"] > 200 and counts["told"] < 40, counts
