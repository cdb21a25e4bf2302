"""The configuration: what ``config check`` knows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jailssh.core.errors import JailsshError, parts
from jailssh.diagnose import findings
from jailssh.integrity.check import Check
from jailssh.integrity.finding import Finding, Kind, Severity
from jailssh.integrity.scene import Scene

ERROR = Kind(
    "JSH-701", Severity.HIGH, "error in the configuration",
    "Who is in a jail with an error cannot log in; what the file meant to forbid is not in force.",
    "jailssh config check",
)  # fmt: skip
WRONG = Kind(
    "JSH-702", Severity.MEDIUM, "configuration that does not fit this host",
    "A right, a directory or a limit does not have the effect that was meant.", "jailssh config check",
)  # fmt: skip
NOTE = Kind(
    "JSH-703", Severity.LOW, "configuration that may not be what was meant",
    "It works, and may surprise.", "jailssh config check",
)  # fmt: skip


@dataclass(frozen=True)
class Facts:
    """What the configuration's own reader and its judgement say; each error with the account that it is about."""

    errors: tuple[tuple[str, JailsshError], ...]
    wrong: tuple[JailsshError, ...]
    notes: tuple[JailsshError, ...]


def collect(scene: Scene) -> Facts:
    """Read the configuration, all of it."""
    configuration = scene.configuration
    errors: list[tuple[str, JailsshError]] = []
    try:
        configuration.validate_jails()
    except JailsshError as error:
        errors += [("", each) for each in parts(error)]
    for name, each in configuration.account_errors().items():
        errors += [(name, error) for error in each]
    found = findings.find(configuration)
    return Facts(tuple(errors), found.wrong, (*found.notes, *findings.about_slices(configuration)))


def judge(facts: Facts) -> Iterable[Finding]:
    """Return a finding for each."""
    for account, error in facts.errors:
        yield Finding(ERROR, error.what, error.why, cure=error.hint, account=account)
    for kind, each in ((WRONG, facts.wrong), (NOTE, facts.notes)):
        yield from (Finding(kind, error.what, error.why, cure=error.hint) for error in each)


CHECK = Check("configuration", "what the configuration says", (ERROR, WRONG, NOTE), collect, judge)
