"""Why can alice not log in: broken set-ups on a scratch host, each named rightly, and cured by what doctor says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from jailssh.scratch.host import ScratchHost
from tests.root.doctor_rows import ROWS, Row

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("sshd"), pytest.mark.needs("login-program")]

DRIVER = Path(__file__).parents[1] / "doctor_driver.py"
RELOAD = """#!/bin/sh
touch /run/mark
kill -HUP $(cat /run/sshd.pid)
for n in $(seq 200); do [ /run/sshd.pid -nt /run/mark ] && exit 0; sleep 0.02; done
exit 1
"""


@pytest.fixture(scope="module")
def host(staged_prefix: str) -> Iterator[ScratchHost]:
    with ScratchHost(install={staged_prefix: "/usr/local"}) as scratch:
        scratch.start_journald()
        scratch.start_sshd()
        scratch.write("/root/reload", RELOAD, 0o755)
        make = "rm -rf /etc/postfix /etc/exim4; ssh-keygen -q -t ed25519 -N '' -f /root/k; useradd -m plain;"
        make += "jailssh setup --yes && jailssh adduser alice --jail sftp-only --key /root/k.pub --yes &&"
        make += "jailssh adduser team --jail sftp-only --yes && jailssh keys add team ann /root/k.pub &&"
        make += "install -d /srv/data; touch /etc/jailssh/jailssh.conf;"
        make += "printf 'plugins = rsync\\n[rsync]\\nwrite = /srv/data\\n' >/etc/jailssh/jails/own.conf;"
        make += "jailssh adduser erin --jail own --key /root/k.pub --yes && chown erin /srv/data"
        scratch.run(["sh", "-c", make], check=True)
        yield scratch


@pytest.fixture(scope="module")
def said(host: ScratchHost) -> dict[str, dict[str, Any]]:
    """What doctor said of each row; all of them in one process of the host."""
    host.write("/root/driver.py", DRIVER.read_bytes())
    host.write("/root/cases", "".join(json.dumps(row.case()) + "\n" for row in ROWS))
    env = {"PYTHONPATH": "/usr/local/lib/jailssh/python"}
    done = host.run(["sh", "-c", "python3 -B /root/driver.py </root/cases"], env=env)
    assert done.code == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return {row.name: answer for row, answer in zip(ROWS, answers, strict=True)}


CONTENT = "nothing wrong with account "


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_broken_set_up_is_named_and_cured(said: dict[str, dict[str, Any]], row: Row) -> None:
    answer = said[row.name]
    assert [each for each in answer["trouble"] if each] == []
    first, *rest = answer["lines"]
    assert fnmatchcase(first, row.first), answer["lines"]
    assert fnmatchcase("".join(rest).removeprefix("  hint: "), row.cure), answer["lines"]
    wrong = answer["facts"]["wrong"][0]
    assert first == f"wrong: {wrong['what']}: {wrong['why']}"
    if row.runs:
        assert answer["cured"][0].startswith(CONTENT), answer["cured"]
    assert answer["after"][0].startswith(CONTENT), answer["after"]
