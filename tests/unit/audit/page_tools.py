"""What a page is made of: an ordinary host, and one on which everything that a user can name is hostile."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from jailssh.audit.page import Report
from jailssh.audit.summary import summarize
from tests.unit.audit.journal_tools import BEGIN, record

DAY = 86400.0
NOW = BEGIN + 60 * DAY
HOSTILE = (
    "<script>document.title='run'</script>",
    "\"><img src=http://192.0.2.1/x onerror=alert(1)>",
    "'><svg onload=alert(1)>",
    "</style></table></section><h1>gone</h1>",
    "<!-- ]]> --> &amp; &#60;b&#62;",
    "moc.elpmaxe\u202egro.evil\u2066\u200b\u061c\u2028",
    "caf\udce9\udcff \x00\x07\x1b[31m\r\n\t\x9b \ufffe\U000e0001",
    "z" + "\u0301" * 400,
    "שלום-עולם",
    "javascript:alert(1)",
    "a" * 300,
)  # fmt: skip


def finding(number: int = 105, severity: str = "high", jail: str = "sftp-only", **more: str) -> dict[str, Any]:
    """Return a finding, as ``check --json`` has it."""
    found = {
        "id": f"JSH-{number}", "severity": severity, "title": f"title of {number}", "why": f"why {number} matters",
        "object": "account alice", "what": "is writable by others", "cure": "chmod o-w", "path": "", "account": "alice",
        "jail": jail,
    }  # fmt: skip
    found |= more
    return {**found, "fingerprint": f"{found['id']} {found['object']} {found['path']}"}


def run(day: int, *findings: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return the facts of a run on that day."""
    when = datetime.fromtimestamp(BEGIN + day * DAY, UTC).isoformat().replace("+00:00", "Z")
    return {"when": when, "accounts": 3, "findings": list(findings), "suppressed": [], "unseen": [], **more}


def ordinary() -> Report:
    """Return a host with findings, two months of sessions, and keys of which one is not used any more."""
    records = [
        record("denied" if number % 9 == 0 else "session-start", BEGIN + number * DAY / 7, uid=str(1000 + number % 5),
               USER=f"user{number % 5}", JAIL=("sftp-only", "git-only")[number % 2], REASON="hours",
               **({"KEY": "bob"} if number < 70 else {"KEY": "carol"}))
        for number in range(400)
    ]  # fmt: skip
    earlier = [run(day, *([finding(216, "medium")] if day % 2 else [])) for day in range(30, 59)]
    last = run(59, finding(601, "high", ""), finding(216, "medium"), finding(503, "low", "git-only", path="/var/x"))
    return Report("gate.example.org", NOW, last, earlier, summarize(records), BEGIN, None, [("git", "1000", "dave")])


def hostile() -> Report:
    """Return a host on which accounts, jails, keys, files, reasons, errors and the host itself have bad names."""
    records = []
    for number, name in enumerate(HOSTILE * 3):
        names = {"USER": name, "JAIL": HOSTILE[number % 7], "KEY": name, "REASON": name}
        raw = {key: value.encode("utf-8", "surrogateescape") for key, value in names.items()}
        records.append(record("denied" if number % 2 else "session-start", BEGIN + number * DAY, uid="1000", **raw))
    findings = [
        finding(100 + number, ("high", "medium", "low", name)[number % 4], HOSTILE[-number], object=name, what=name,
                cure=name, path=name, why=name, title=name, since=name)
        for number, name in enumerate(HOSTILE)
    ]  # fmt: skip
    last = run(
        40, *findings, suppressed=[{**each, "reason": each["what"], "until": each["what"]} for each in findings],
        unseen=[{"what": name, "why": name, "hint": ""} for name in HOSTILE], when=HOSTILE[0],
    )  # fmt: skip
    earlier = [run(30, *findings[:3]), run(31, *findings[3:], when=HOSTILE[1])]
    keys = [(name, "1000", name) for name in HOSTILE]
    return Report(HOSTILE[0], NOW, last, earlier, summarize(records), None, None, keys, HOSTILE)


def crowded(char: str = '"') -> Report:
    """Return a host that has more of everything than can be shown, all of it as long as it can be, of one character."""
    long = char * 4000
    name = long[:250].encode()
    records = [
        record("denied" if number % 3 else "session-start", BEGIN + number * 60, uid=str(number % 5000),
               USER=b"%d" % (number % 5000) + name, JAIL=b"%d" % (number % 900) + name, KEY=b"%d" % number + name,
               REASON=b"%d" % (number % 800) + name)
        for number in range(20_000)
    ]  # fmt: skip
    texts = dict.fromkeys(("object", "what", "cure", "path", "why", "title"), long)
    findings = [
        finding(100 + number % 700, ("low", "medium", "high")[number % 3], f"jail{number % 50}",
                **{name: f"{number}{text}" for name, text in texts.items()})
        for number in range(3000)
    ]  # fmt: skip
    last = run(
        59, *findings, suppressed=[{**each, "reason": long, "until": long} for each in findings],
        unseen=[{"what": long, "why": long}] * 500,
    )  # fmt: skip
    earlier = [run(day, *findings[day:]) for day in range(60)]
    keys = [(f"{number}{long[:100]}", "1", long[:200]) for number in range(3000)]
    return Report(long, NOW, last, earlier, summarize(records), 0.0, None, keys, [long] * 500)
