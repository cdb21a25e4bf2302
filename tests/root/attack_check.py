"""What must be true of a denial, however the login came about."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from jailssh.core import journal_fields as fields
from tests.harness.said import denial_of
from tests.root.attack_rows import LIMITED_TO, Row

LOGIN = "/usr/local/libexec/jailssh/jailssh-login"
NO_REPOSITORY = "repository not found or access denied"
SHORT = 1000
"""A command up to this many bytes is shown whole in its record."""

# How the line goes on about what did not fit.
TOLD = {
    "control-character": "character ",
    "operand-count": "operands ",
    "operand-not-allowed": "operand ",
    "option-missing": "option .* is missing",
    "option-not-allowed": "option ",
    "option-twice": "option .* is given twice",
    "path-dotdot": "(path|pattern) ",
    "path-empty": "path ",
    "path-leaves-root": "(path|value) .* is outside of [~/]",
    "path-of-other-user": "path ",
    "path-outside": "path .* is outside of [~/]",
    "path-too-long": "(path|value) ",
    "pattern-not-allowed": "pattern ",
    "shell-metacharacter": "(character|pattern) ",
    "value-missing": "option .* has no value",
    "value-not-allowed": "(option|value) ",
}


def of_a_repository(row: Row) -> bool:
    """True for what was denied for the sake of a repository's name: it is not told whether it is there."""
    named = row.reason in ("no-such-repository", "repository-name", "repository-exists")
    return named or (row.reason == "path-outside" and row.command.startswith(b"git"))


def check_line(error: str, row: Row) -> None:
    """The user sees one line that says what is possible, and of policy and paths no more than what was asked for."""
    if row.line:
        assert error == f"jailssh: {row.line}\n", error
        return
    allows = f"this account allows: {LIMITED_TO[row.jail]}"
    if of_a_repository(row):
        assert error == f"jailssh: {NO_REPOSITORY}\n", error
    else:
        assert re.match(TOLD.get(row.reason, r"\Z"), denial_of(error, allows)), error


def check_record(records: Sequence[Mapping[str, str]], row: Row) -> None:
    """There is one record; it has the reason and what was asked for, and nothing that the user wrote is a field."""
    assert len(records) == 1, records
    (record,) = records
    named = (fields.EVENT, fields.REASON, fields.USER, fields.JAIL, fields.EXIT, "PRIORITY")
    assert [record[name] for name in named] == ["denied", row.reason, row.jail, row.jail, "126", "5"], record
    assert record["MESSAGE_ID"].replace("-", "") == fields.MESSAGE_IDS[fields.Event.DENIED]
    assert row.reason in fields.REASONS
    for name, value in record.items():
        assert not name.startswith("JAILSSH_") or name in fields.FIELDS
        assert not re.search(r"[\x00-\x1f\x7f-\x9f]", value), (name, value)
    shown = record[fields.COMMAND]
    if len(row.command) <= SHORT:
        text = row.command.decode("utf-8", "surrogateescape")
        escaped = re.sub(r"[\x00-\x1f\x7f-\x9f\udc80-\udcff]", lambda found: _as_hex(found[0]), text)
        assert shown == escaped
    else:
        assert 0 < len(shown) <= 4 * len(row.command)
        assert len(shown) <= 4200


def _as_hex(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text.encode("utf-8", "surrogateescape"))


def numbered(rows: Iterable[Row]) -> list[str]:
    """Return a name for each row: its id, and which way to write it."""
    seen: dict[str, int] = {}
    names = []
    for row in rows:
        seen[row.id] = seen.get(row.id, 0) + 1
        names.append(f"{row.id}-{seen[row.id]}")
    return names
