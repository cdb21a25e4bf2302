"""Checks, audit, doctor and selftest on a booted Debian, with its own sshd, systemd, journal, mail server and cron."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.system.booted import BootedTree
from tests.system.people import JAILS, SHUT

pytestmark = pytest.mark.needs("root", "login-program", "make", "mmdebstrap", "nspawn")


def findings(tree: BootedTree, *args: str) -> list[dict[str, Any]]:
    done = tree.run(f"jailssh check --json {' '.join(args)}")
    facts = json.loads(done.stdout)
    assert facts["unseen"] == [], done.stderr
    found: list[dict[str, Any]] = facts["findings"]
    return found


def test_a_host_in_order_has_no_finding_that_matters(tree: BootedTree) -> None:
    high = {each["id"]: f"{each['object']}: {each['what']}" for each in findings(tree) if each["severity"] == "high"}
    assert high == {}


def test_what_is_made_weaker_is_found_by_its_id_and_doctor_says_it_too(tree: BootedTree) -> None:
    before = {(each["id"], each["object"]) for each in findings(tree)}
    tree.sh(f"usermod -s /bin/bash {SHUT}; loginctl enable-linger backs; echo '0 4 * * * id' | crontab -u copies -")
    try:
        new = {(each["id"], each["account"]) for each in findings(tree) if (each["id"], each["object"]) not in before}
        assert ("JSH-201", SHUT) in new
        assert {account for _, account in new} >= {SHUT, "backs", "copies"}
        told = tree.run(f"jailssh doctor {SHUT}")
        assert (told.returncode, "login shell" in told.stdout) == (1, True)
    finally:
        tree.sh("jailssh apply; loginctl disable-linger backs; crontab -u copies -r")
    assert {(each["id"], each["object"]) for each in findings(tree)} <= before


def test_real_logins_prove_each_jail(tree: BootedTree) -> None:
    done = tree.run(f"jailssh selftest {' '.join(JAILS)}")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def test_the_nightly_run_by_its_unit(tree: BootedTree) -> None:
    try:
        tree.sh("systemctl daemon-reload; systemctl enable --now jailssh-audit.timer")
        tree.sh("systemctl start jailssh-audit.service")
        assert tree.sh("systemctl is-active jailssh-audit.timer").strip() == "active"
        runs = json.loads(tree.sh("jailssh audit show --list --json"))
        facts = json.loads(tree.sh("jailssh audit show --json"))
        assert runs[-1]["run"] == facts["number"]
        # The unit's bounds keep no check from looking.
        assert facts["unseen"] == []
        said = {json.dumps([each["id"], each["object"]]) for each in facts["findings"]}
        assert said == {json.dumps([each["id"], each["object"]]) for each in findings(tree)}
        assert "findings: " in tree.sh("journalctl -o cat JAILSSH_EVENT=audit")
    finally:
        tree.sh("systemctl disable --now jailssh-audit.timer; rm -rf /var/lib/jailssh/audit; systemctl reset-failed")


def test_the_log_answers_who_did_what(tree: BootedTree) -> None:
    rows = [json.loads(line) for line in tree.sh("jailssh audit log --json --user runs --limit 50").splitlines()]
    assert rows
    assert {row["user"] for row in rows} == {"runs"}
