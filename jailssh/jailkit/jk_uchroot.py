"""Import of Jailkit's ``jk_uchroot.ini``: who may enter which jail, as ``enter`` of the jails' files.

One section alone is in force there: of the account, else of its primary group, else ``[DEFAULT]``, which is for all.
"""

from __future__ import annotations

import os.path
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jailssh.core.errors import UsageError
from jailssh.core.names import check_account_name, check_jail_name, escape
from jailssh.jailkit.ini import CIni, Section

KEYS = ("allowed_jails", "skip_injail_passwd_check")
_GROUP = "group "
_DEFAULT = "DEFAULT"


@dataclass(frozen=True)
class ImportedEntries:
    """``enter`` of each jail, by its name, and what is not kept as it was."""

    enter: Mapping[str, tuple[str, ...]]
    warnings: tuple[str, ...]

    def as_text(self, folder: str) -> str:
        """Return the line for each jail's file in ``folder``; the warnings above as comments."""
        out = [f"# {warning}" for warning in self.warnings]
        for jail, words in self.enter.items():
            out += ["", f"# at the top of {folder}/{jail}.conf:", f"enter = {', '.join(words)}"]
        return "\n".join(out).lstrip("\n") + "\n"


def is_one(text: str) -> bool:
    """True if a file has a key that only jk_uchroot.ini has."""
    return any("".join(line.partition("=")[0].split()) in KEYS for line in text.splitlines() if "=" in line)


def read(text: str) -> ImportedEntries:
    """Return who may enter which jail."""
    file = CIni(text)
    sections = file.every(KEYS)
    enter: dict[str, list[str]] = {}
    named: dict[str, str] = {}
    warnings: list[str] = []
    for section in sections:
        where = f"line {file.line(section.begin)}"
        who = _who(section, where, warnings)
        for path in section.words("allowed_jails") if who else ():
            jail = _jail(path.rstrip("/"), where, named, warnings)
            if jail and who not in enter.setdefault(jail, []):
                enter[jail].append(who)
    warnings += _wider(enter)
    warnings += [f"line {doubt.line}: {doubt.text}" for doubt in file.sorted_doubts()]
    return ImportedEntries({jail: tuple(words) for jail, words in sorted(enter.items())}, tuple(warnings))


def _who(section: Section, where: str, warnings: list[str]) -> str:
    """Return the word of ``enter`` for a section, "" for one that is left away."""
    if not section.words("allowed_jails"):
        return ""
    if section.name == _DEFAULT:
        warnings.append(f"{where}: [{_DEFAULT}] was for every account: left away; name accounts or groups in 'enter'")
        return ""
    mark, name = ("@", section.name[len(_GROUP) :]) if section.name.startswith(_GROUP) else ("", section.name)
    try:
        return mark + check_account_name(name)
    except UsageError:
        warnings.append(f"{where}: [{escape(section.name, 100)}] names no account and no group: left away")
        return ""


def _jail(path: str, where: str, named: dict[str, str], warnings: list[str]) -> str:
    """Return the name of the jail for a directory, "" for one that can have none."""
    try:
        name = check_jail_name(os.path.basename(path))
    except UsageError:
        warnings.append(f"{where}: {escape(path, 200)!r} gives no name of a jail: left away")
        return ""
    if named.setdefault(name, path) != path:
        warnings.append(
            f"{where}: {escape(path, 200)} has the same name as {named[name]}, but is another jail: left away"
        )
        return ""
    return name


def _wider(enter: Mapping[str, Sequence[str]]) -> list[str]:
    """Return what lets more people in than Jailkit did."""
    groups = sorted({word for words in enter.values() for word in words if word.startswith("@")})
    if not groups:
        return []
    told = ", ".join(groups)
    return [
        f"{told}: Jailkit counted those alone whose primary group it is, and of them none with a section of its own"
    ]
