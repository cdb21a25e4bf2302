"""The configuration: what ``config check`` knows."""

from __future__ import annotations

from collections.abc import Iterable

from jailssh.core.errors import JailsshError, parts
from jailssh.diagnose import findings
from jailssh.integrity import looked
from jailssh.integrity.check import Check
from jailssh.integrity.finding import Finding, Kind, Severity
from jailssh.integrity.looked import Said
from jailssh.integrity.scene import Scene
from jailssh.jail.this_host import to_account
from jailssh.jail.writable import Directories

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


Row = tuple[Kind, str, Said]
"""A kind, the account that it is about ("" for none), and what is said."""


def collect(scene: Scene) -> list[Row]:
    """Read the configuration of all jails; what it says of an account is kept with that account."""
    configuration = scene.configuration
    found: list[Row] = []
    for name, each in looked.of(scene).items():
        for kind, said in ((ERROR, each.errors), (WRONG, each.wrong), (NOTE, each.notes)):
            found += [(kind, name, one) for one in said]
    if scene.narrow:
        return found
    try:
        configuration.validate_jails()
    except JailsshError as error:
        found += [(ERROR, "", _said(each)) for each in parts(error)]
    # An account whose file has an error, so that it is in no jail.
    for name in set(findings.names_of_accounts(configuration)) - set(scene.jailed):
        found += [(ERROR, name, _said(error)) for error in configuration.errors_of(name)]
    people = [(to_account(person.entry), person.jails) for person in scene.jailed.values()]
    directories = Directories()
    of_jails = findings.of_jails(configuration, directories, people)
    scene.errors += directories.silent.values()
    found += [(WRONG, "", _said(error)) for error in of_jails.wrong]
    found += [(NOTE, "", _said(error)) for error in (*of_jails.notes, *findings.about_slices(configuration, people))]
    return found


def _said(error: JailsshError) -> Said:
    return error.what, error.why, error.hint


def judge(facts: Iterable[Row]) -> Iterable[Finding]:
    """Return a finding for each."""
    for kind, account, (what, why, cure) in facts:
        yield Finding(kind, what, why, cure=cure, account=account)


CHECK = Check("configuration", "what the configuration says", (ERROR, WRONG, NOTE), collect, judge)
