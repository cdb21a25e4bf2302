"""Jails for what was found: accounts that may do the same share one, and none is written that is shipped already."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from jailssh.config.reader import Document
from jailssh.config.values import words_of
from jailssh.core.names import check_jail_name, escape
from jailssh.sources.found import Effect, Fate, Found, Remark, Settings

_Plain = dict[tuple[str, str], tuple[str, ...]]
_STRICTER = ("sftp", "deny_requests")
"""What shipped profiles forbid besides and what no other program knows: a profile with it is as near."""
_QUOTES = {"'", '"'}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_NOT_COMPARED = ("", "summary")


@dataclass(frozen=True)
class Wanted:
    """What is to be done: ``found`` with its jails by account, and the files of new jails by name.

    ``files``: tables of rights and the like, by path.  ``left``: what was found and is left as it is.
    """

    found: tuple[Found, ...] = ()
    left: tuple[Found, ...] = ()
    jails: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


def wanted(
    found: Iterable[Found],
    profiles: Mapping[str, Document],
    present: Mapping[str, Document],
    inside: Mapping[str, Sequence[str]],
    *,
    refused: Iterable[str] = (),
) -> Wanted:
    """Return it.

    ``profiles`` are the shipped jails, ``present`` the jails of the administrator's by name, ``inside`` the jails of
    accounts that are in one already.  ``refused``: accounts whose program refuses them today, to be taken all the
    same.  An account that several programs confine goes with the first of them.
    """
    known = {_shape(_of_document(document)): name for name, document in {**profiles, **present}.items()}
    soft = {_shape(_without(_of_document(document))): name for name, document in reversed([*profiles.items()])}
    names, taken = {*profiles, *present}, set(refused)
    go: dict[str, Found] = {}
    left: list[Found] = []
    jails: dict[str, str] = {}
    texts: dict[str, str] = {}
    files: dict[str, str] = {}
    for each in found:
        if each.account in inside:
            left.append(_leave(each, f"is in jail {'+'.join(inside[each.account])} already"))
            continue
        if each.account in go:
            left.append(_leave(each, f"goes with {go[each.account].source}, which confines it as well"))
            continue
        if each.fate == Fate.LEAVE or (each.fate == Fate.REFUSED and each.account not in taken):
            left.append(each)
            continue
        if not each.settings.get("", {}).get("plugins"):
            left.append(_leave(each, "what it may do is not known"))  # one that is refused before that is looked at
            continue
        if fault := _unwritable(each):
            left.append(_leave(each, fault))
            continue
        shape = _shape(_of_settings(each.settings))
        jail = known.get(shape) or soft.get(shape)
        if jail is None:
            jail = _name(each, names)
            names.add(jail)
            known[shape] = jail
            texts[jail] = as_text(each)
            files |= each.files
        go[each.account] = each
        jails[each.account] = jail
    return Wanted(tuple(go.values()), tuple(left), jails, texts, files)


def _unwritable(found: Found) -> str:
    """Return why the settings cannot be a file, "" where they can: some come from files that users write."""
    texts = list(found.settings)
    for values in found.settings.values():
        texts += [*values, *(text for value in values.values() for text in _listed(value))]
    for settings in (each for sections in found.by_key.values() for each in sections.values()):
        texts += [text for values in settings.values() for text in values]
    texts += [*found.own, *found.own.values(), found.inside, found.home]
    for text in texts:
        if not text.isprintable() or set(text) >= _QUOTES:
            return f"{escape(text, 80)!r} has characters that a jail file cannot hold"
    if any(not _NAME.match(name) for values in found.settings.values() for name in values):
        return "a setting has a name that a jail file cannot hold"
    return ""


def _leave(found: Found, why: str) -> Found:
    return replace(found, fate=Fate.LEAVE, remarks=(*found.remarks, Remark(Effect.NOTE, found.where, why)))


def _of_settings(settings: Settings) -> _Plain:
    return {
        (section, key): tuple(words_of(value)) if (section, key) == ("", "plugins") else _listed(value)
        for section, values in settings.items()
        for key, value in values.items()
        if (section, key) != _NOT_COMPARED
    }


def _of_document(document: Document) -> _Plain:
    return _of_settings(
        {section: {key: entry.raw for key, entry in rows.items()} for section, rows in document.entries.items()}
    )


def _without(plain: _Plain) -> _Plain:
    return {key: value for key, value in plain.items() if key != _STRICTER}


def _listed(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _shape(plain: _Plain) -> frozenset[tuple[tuple[str, str], tuple[str, ...]]]:
    """Return what two jails that allow the same have in common."""
    plugins = {("", "plugins"): tuple(sorted(set(plain.get(("", "plugins"), ()))))}
    return frozenset({**plain, **plugins}.items())


def _name(found: Found, names: Iterable[str]) -> str:
    """Return a name that no jail has; one that is a plugin's would be taken for that."""
    wish = check_jail_name(found.called or f"{found.source}-{found.account}")
    taken = {*names}
    number = 1
    while wish in taken or (number == 1 and wish in found.settings):
        number += 1
        wish = f"{found.called or found.source}-{number}"
    return wish


def as_text(found: Found) -> str:
    """Return the jail file of the settings, headed by what it was made from."""
    out = [f"# From {escape(found.where)} ({found.source}), by jailssh migrate."]
    for name, values in found.settings.items():
        out += [f"\n[{name}]"] if name else []
        out += [f"{key} = {_written(value)}" for key, value in values.items()]
    return "\n".join(out) + "\n"


def _written(value: str | tuple[str, ...]) -> str:
    listed = value if isinstance(value, tuple) else (value,)
    quoted = [f"'{text}'" if '"' in text else f'"{text}"' for text in listed]
    # One alone is written with a comma, or it would be no list.
    return ", ".join(quoted) + ("," if isinstance(value, tuple) and len(quoted) == 1 else "")
