"""Which line of sshd's configuration decides, held against sshd itself."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from jailssh.sources import sshd_match
from jailssh.sources.found import Person
from jailssh.sources.sshd_match import Fits

PEOPLE = tuple(
    Person(name, 1, 1, group=name, home="/", shell="/bin/sh", groups=(name,)) for name in ("daemon", "games")
)
CRITERIA = ("User daemon", "User d*,!daemon", "User games,daem?n", "Group games", "Group *,!games", "all", "User !x,*",
            'User "daemon,games"', "User=games", "Group daemon User d*", "Address 192.0.2.0/24", "User d* Address *",
            "Group nosuch", "LocalPort 2222", "Host *.example")  # fmt: skip


def _config(chance: random.Random, included: Path) -> tuple[str, list[tuple[str, int, str]]]:
    """Return a configuration and its lines, with what it includes in its place."""
    lines: list[tuple[str, int, str]] = []
    text = ""
    for number in range(1, chance.randint(4, 14)):
        at = text.count("\n") + 1
        row = chance.choice(["Match {}", "Match {}", "ForceCommand {}", "  forcecommand={}", "Include", "#x"])
        row = row.format(chance.choice(CRITERIA) if row.startswith("Match") else f"c{number}")
        if row == "Include":
            path = included / f"{number}"
            inner = f"ForceCommand i{number}\nMatch {chance.choice(CRITERIA)}\nForceCommand j{number}\n"
            path.write_text(inner)
            text += f"Include {path}\n"
            lines.append(("main", at, f"Include {path}"))
            lines += [(str(path), count, line) for count, line in enumerate(inner.splitlines(), 1)]
            continue
        text += f"{row}\n"
        lines.append(("main", at, row))
    return text, lines


@pytest.mark.needs("sshd", "root")
def test_the_line_is_the_one_that_sshd_takes(tmp_path: Path) -> None:
    """For accounts of this host, from two places; a line that holds sometimes is taken only where it does."""
    chance = random.Random(7)
    key = tmp_path / "key"
    # sshd wants the directory of its privilege separation also for -T; on a host where it never ran there is none.
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    found = unsure = 0
    for _ in range(40):
        text, lines = _config(chance, tmp_path)
        (tmp_path / "config").write_text(text)
        for person in PEOPLE:
            rows = sshd_match.lines_for(person, "forcecommand", lines)
            said = set()
            for peer in ("host=a.example,addr=192.0.2.1,lport=2222", "host=b.test,addr=198.51.100.1,lport=22"):
                done = subprocess.run(
                    ["/usr/sbin/sshd", "-T", "-f", str(tmp_path / "config"), "-h", str(key),
                     "-C", f"user={person.name},{peer},laddr=192.0.2.9,rdomain="],
                    capture_output=True, text=True, check=True,
                )  # fmt: skip
                said.add(next(row.split()[1] for row in done.stdout.splitlines() if row.startswith("forcecommand ")))
            sure = next((row.value for row in rows if row.fits is Fits.YES), "none")
            sometimes = {row.value for row in rows if row.fits is Fits.SOMETIMES}
            assert said <= {sure, *sometimes}, (text, person.name)
            if not sometimes:
                assert said == {sure}, (text, person.name)
            found += sure != "none"
            unsure += len(said) > 1
    assert found > 20 and unsure > 3
