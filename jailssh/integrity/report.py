"""A result for people, as JSON, and as SARIF 2.1.0 for tools that collect findings of many programs."""

from __future__ import annotations

import datetime
import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

import jailssh
from jailssh.core.names import escape, pluralize
from jailssh.integrity.check import Check
from jailssh.integrity.finding import Finding, Kind, Severity
from jailssh.integrity.run import Result

MOST = 20
"""Findings of one kind that are shown to people; the rest is counted."""
_LEVELS = {Severity.HIGH: "error", Severity.MEDIUM: "warning", Severity.LOW: "note"}
_SCORES = {Severity.HIGH: "8.0", Severity.MEDIUM: "5.0", Severity.LOW: "2.0"}
_URI = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def lines(result: Result) -> list[str]:
    """Return what a person reads: the worst first, each kind with why it matters, each finding with its cure."""
    out: list[str] = []
    kinds = dict.fromkeys(finding.kind for finding in result.findings)
    for kind in kinds:
        of_kind = [finding for finding in result.findings if finding.kind == kind]
        out += [f"{kind.severity:<6} {kind.id}  {kind.title}", f"       {kind.why}"]
        cures = {finding.remedy for finding in of_kind}
        for finding in of_kind[:MOST]:
            out.append(f"  - {escape(finding.object, 200)}: {escape(finding.what, 600)}")
            if len(cures) > 1:
                out.append(f"    cure: {escape(finding.remedy, 600)}")
        if len(of_kind) > MOST:
            out.append(f"  - and {len(of_kind) - MOST} more; all of them: --json")
        if len(cures) == 1:
            out.append(f"  cure: {escape(of_kind[0].remedy, 600)}")
    out += [f"suppressed: {escape(each.object, 200)}: {each.kind.id} {escape(each.kind.title)} until {by.until}:"
            f" {escape(by.reason, 200)}" for each, by in result.sorted.suppressed]  # fmt: skip
    out += [f"note: {each.file}: ended on {each.until}, or is for more than two years: suppresses nothing"
            for each in result.sorted.past]  # fmt: skip
    return [*out, summary(result)]


def summary(result: Result) -> str:
    """Return the last line: how many of what."""
    counts = Counter(finding.kind.severity for finding in result.findings)
    said = ", ".join(f"{counts[severity]} {severity}" for severity in Severity if counts[severity])
    looked = f"{pluralize(result.accounts, 'account')} in jails, {pluralize(len(result.checks), 'check')}"
    total = pluralize(len(result.findings), "finding")
    return f"{total}{f' ({said})' if said else ''}: {looked}" if result.findings else f"no findings: {looked}"


def facts(result: Result) -> dict[str, Any]:
    """Return the result for JSON."""
    return {
        "when": moment(result.when),
        "host": os.uname().nodename,
        "checks": list(result.checks),
        "accounts": result.accounts,
        "findings": [finding.facts() for finding in result.findings],
        "suppressed": [
            {**finding.facts(), "reason": by.reason, "until": by.until.isoformat(), "file": by.file}
            for finding, by in result.sorted.suppressed
        ],
        "unseen": [{"what": error.what, "why": error.why, "hint": error.hint} for error in result.blind],
    }


def moment(when: float) -> str:
    """Return a moment as ISO 8601, in UTC."""
    return datetime.datetime.fromtimestamp(int(when), datetime.UTC).isoformat().replace("+00:00", "Z")


def sarif(result: Result, checks: Sequence[Check]) -> dict[str, Any]:
    """Return the result as a SARIF log; ``checks``: those that ran, whose kinds are its rules."""
    kinds = sorted({kind for check in checks for kind in check.kinds}, key=lambda kind: kind.id)
    at = {kind.id: number for number, kind in enumerate(kinds)}
    results = [_result(finding, at) for finding in result.findings]
    for finding, by in result.sorted.suppressed:
        suppression = {"kind": "external", "status": "accepted", "justification": f"{by.reason} (until {by.until})"}
        results.append({**_result(finding, at), "suppressions": [suppression]})
    blind = [{"level": "error", "message": {"text": shown(str(error))}} for error in result.blind]
    driver = {
        "name": "jailssh",
        "version": jailssh.__version__,
        "rules": [_rule(kind) for kind in kinds],
    }
    invocation = {
        "executionSuccessful": not result.blind,
        "exitCode": result.exit_code,
        "startTimeUtc": moment(result.when),
        "toolExecutionNotifications": blind,
    }
    return {
        "version": "2.1.0",
        "$schema": _URI,
        "runs": [{"tool": {"driver": driver}, "invocations": [invocation], "results": results}],
    }


def shown(text: str) -> str:
    """Return a text as Unicode that any JSON reader takes, with nothing in it that acts on a terminal."""
    return escape(text, 4000)


def _rule(kind: Kind) -> dict[str, Any]:
    return {
        "id": kind.id,
        "name": "".join(word.capitalize() for word in kind.title.replace("-", " ").split() if word.isalnum()),
        "shortDescription": {"text": kind.title},
        "fullDescription": {"text": kind.why},
        "help": {"text": kind.cure},
        "defaultConfiguration": {"level": _LEVELS[kind.severity]},
        "properties": {"security-severity": _SCORES[kind.severity]},
    }


def _result(finding: Finding, at: dict[str, int]) -> dict[str, Any]:
    text = f"{finding.object}: {finding.what}. Cure: {finding.remedy}"
    found: dict[str, Any] = {
        "ruleId": finding.kind.id,
        "ruleIndex": at[finding.kind.id],
        "level": _LEVELS[finding.kind.severity],
        "message": {"text": shown(text)},
        "partialFingerprints": {"jailssh/v1": finding.fingerprint},
    }
    location: dict[str, Any] = {"logicalLocations": [{"name": shown(finding.object)}]}
    if finding.path:
        location["physicalLocation"] = {"artifactLocation": {"uri": _uri(finding.path)}}
    return {**found, "locations": [location]}


def _uri(path: str) -> str:
    from urllib.parse import quote

    return "file://" + quote(path.encode("utf-8", "surrogateescape"))
