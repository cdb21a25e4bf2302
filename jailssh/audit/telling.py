"""What a run tells: records of the journal, a mail, a command of the administrator's, numbers for Prometheus.

The texts are pure; sending is bounded, and what cannot be sent is an error of that way alone.
"""

from __future__ import annotations

import datetime
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from email.policy import SMTP

from jailssh.audit.compare import Comparison, Facts
from jailssh.core.errors import HostError
from jailssh.core.journal_fields import REASON, Event
from jailssh.core.names import escape, pluralize
from jailssh.files import fs
from jailssh.host import journal, process

_PRIORITIES = {"high": "3", "medium": "4", "low": "5"}
_AGES = ((1, "day"), (7, "week"), (30, "month"))
_MOST = 50
_TIMEOUT = 60.0
_SENDMAIL = "/usr/sbin/sendmail"


def headline(facts: Facts, found: Comparison) -> str:
    """Return a run in one line."""
    counts = Counter(each["severity"] for each in facts["findings"])
    said = ", ".join(f"{counts[word]} {word}" for word in _PRIORITIES if counts[word]) or "none"
    became = {"new": found.new, "back again": found.back, "mended": found.mended}
    changed = ", ".join(f"{len(each)} {word}" for word, each in became.items() if each) or "as before"
    blind = f"; {pluralize(len(facts['unseen']), 'part')} not looked at" if facts["unseen"] else ""
    return f"findings: {said}; {changed}{blind}"


def lines(facts: Facts, found: Comparison) -> list[str]:
    """Return a run for people: what has changed, then the headline."""
    out: list[str] = []
    for word, each in (("new", found.new), ("back again", found.back), ("mended", found.mended)):
        out += [f"{word}: {line}" for line in _some(each)]
    out += [f"not looked at: {escape(one['what'])}: {escape(one['why'])}" for one in facts["unseen"]]
    return [*out, headline(facts, found)]


def _some(findings: Sequence[Facts]) -> list[str]:
    said = [
        f"{one['id']} {one['severity']}: {escape(one['object'], 200)}: {escape(one['what'], 400)}" for one in findings
    ]
    return said[:_MOST] + ([f"and {len(said) - _MOST} more"] if said[_MOST:] else [])


def to_journal(facts: Facts, found: Comparison) -> None:
    """Write a record for what is new or back, with the priority of its severity, and one for the run."""
    for each in found.worse[:_MOST]:
        text = f"{each['id']} {each['object']}: {each['what']}; cure: {each['cure']}"
        journal.record(Event.FINDING, text, {REASON: each["id"]}, priority=_PRIORITIES[each["severity"]])
    journal.record(Event.AUDIT, headline(facts, found), {}, priority="4" if found.worse or facts["unseen"] else "6")


def mail_text(facts: Facts, found: Comparison, to: Sequence[str], host: str) -> bytes:
    """Return the mail about a run, headers first."""
    message = EmailMessage(policy=SMTP)
    message["To"] = ", ".join(to)
    message["Subject"] = f"jailssh on {escape(host, 200)}: {headline(facts, found)}"
    message["Auto-Submitted"] = "auto-generated"
    cures = [f"{each['id']}: {escape(each['why'], 400)}\n  {escape(each['cure'], 400)}" for each in found.worse[:_MOST]]
    body = [*lines(facts, found), "", *dict.fromkeys(cures), "", "All of it: jailssh audit show"]
    message.set_content("\n".join(body).encode("utf-8", "backslashreplace").decode() + "\n")
    return bytes(message)


def send_mail(data: bytes) -> None:
    """Hand a mail to sendmail(1); :class:`HostError` where there is none, or it fails."""
    program = next((path for path in (_SENDMAIL, "/usr/lib/sendmail") if os.access(path, os.X_OK)), None)
    if program is None:
        raise HostError("audit_mail", "no sendmail program on this host", hint="install a mail server, or unset it")
    done = process.run([program, "-i", "-t"], check=False, timeout=_TIMEOUT, input=data)
    if done.code != 0:
        raise HostError("audit_mail", f"{program}: {process.last_line(done.stderr) or f'exit status {done.code}'}")


def run_command(command: str, facts: Facts, found: Comparison, trusted_root: str | None = None) -> None:
    """Run the administrator's command with the run as JSON on standard input; :class:`HostError` where it fails."""
    os.close(
        fs.open_trusted(command, trusted_root=trusted_root)
    )  # It runs as root: nobody else may be able to change it.
    became = {"new": found.new, "back": found.back, "mended": found.mended}
    text = json.dumps({**facts, **{name: list(each) for name, each in became.items()}})
    done = process.run([command], check=False, timeout=_TIMEOUT, input=text)
    if done.code != 0:
        why = process.last_line(done.stderr) or f"exit status {done.code}"
        raise HostError("audit_command", f"{command}: {escape(why, 200)}")


def textfile(facts: Facts, seconds: float) -> str:
    """Return the numbers of a run in the text format of Prometheus, for its node exporter's textfile collector."""
    rows: Counter[tuple[str, str, str]] = Counter()
    now = _time(facts["when"])
    for each in facts["findings"]:
        days = max(0.0, now - _time(each.get("since", facts["when"]))) / 86400
        age = next((word for most, word in _AGES if days < most), "older")
        rows[each["id"], each["severity"], age] += 1
    totals = Counter(dict.fromkeys(_PRIORITIES, 0))
    totals.update(each["severity"] for each in facts["findings"])
    out = metric("jailssh_findings", "Findings of the last audit by severity.",
                  {f'severity="{word}"': count for word, count in totals.items()})  # fmt: skip
    by_id = {f'id="{name}",severity="{word}",age="{age}"': count for (name, word, age), count in sorted(rows.items())}
    out += metric("jailssh_findings_by_id", "Findings of the last audit by id, severity and age.", by_id)
    out += metric("jailssh_findings_suppressed", "Findings that are suppressed.", {"": len(facts["suppressed"])})
    out += metric("jailssh_audit_unseen", "Parts that the last audit did not look at.", {"": len(facts["unseen"])})
    out += metric("jailssh_audit_accounts", "Accounts in jails at the last audit.", {"": facts["accounts"]})
    out += metric("jailssh_audit_time_seconds", "When the last audit was, in seconds since 1970.", {"": now})
    out += metric("jailssh_audit_duration_seconds", "How long the last audit took.", {"": round(seconds, 3)})
    return "".join(f"{line}\n" for line in out)


def metric(name: str, text: str, rows: Mapping[str, float], kind: str = "gauge") -> list[str]:
    """Return the lines of one number with its labels, in the text format of Prometheus."""
    head = [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
    return head + [f"{name}{f'{{{labels}}}' if labels else ''} {value:.15g}" for labels, value in rows.items()]


def _time(when: str) -> float:
    return datetime.datetime.fromisoformat(when.replace("Z", "+00:00")).timestamp()


def write_textfile(path: str, text: str) -> None:
    """Put the numbers where the collector reads them, at once; :class:`HostError` where that fails.

    The directory may belong to the collector's account.  No link is followed, so all that this account can do is to
    have them somewhere else in its own directories.
    """
    folder, name = os.path.split(path)
    try:
        top = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fd = fs.open_dir_at(top, folder)
        finally:
            os.close(top)
        try:
            fs.atomic_write_at(fd, name, text.encode(), 0o644)
        finally:
            os.close(fd)
    except OSError as error:
        raise fs.failed("write", path, error) from error
