"""Sections of an account's file for a key or a group of keys: ``[rsync key laptop]``, ``[limits key @readers]``.  Pure.

One place decides what holds for a named key of a shared account: what its jail says, what the account's file says, then
the sections for ``@all``, those for the groups of keys that the key is in, those for the key itself.  Two groups of one
key that give different values for one setting are an error, unless the key's own section gives a third.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass

from jailssh.config import directories
from jailssh.config.keys import ALL, Keyring, check_group, check_name
from jailssh.config.reader import Document, RawSetting, did_you_mean
from jailssh.config.values import Raw
from jailssh.core.errors import ConfigError, JailsshError, UsageError, raise_all

WORD = "key"
"""Stands in a section's name between the section that it changes and for whom: ``[rsync key laptop]``."""
_MARK = "@"


@dataclass(frozen=True)
class KeySection:
    """A section for a key or a group of keys: ``who`` as written, the section it changes, "" for the jail's own.

    ``written``: its whole name, of one that can be for several.
    """

    who: str
    section: str
    _: KW_ONLY
    entries: Mapping[str, RawSetting]
    origin: str
    written: str = ""

    @property
    def title(self) -> str:
        """The section's name as it is written, with its brackets."""
        return f"[{self.written}]" if self.written else title(self.section, self.who)

    @property
    def says_key(self) -> bool:
        """True if its name has the word for keys, and so nobody else is meant."""
        return not self.written or self.written.split()[1:2] == [WORD]


Given = Mapping[tuple[str, str], RawSetting]
"""What is given for one key, by section and setting."""


def sections_of(document: Document, errors: list[JailsshError]) -> tuple[KeySection, ...]:
    """Return the sections of an account's file that are for keys; adds to ``errors`` what is wrong with their names."""
    found: dict[tuple[str, str], KeySection] = {}
    for name in filter(is_by_key, document.entries):
        origin, (section, who) = document.headers.get(name, document.file), _split(name.split())
        try:
            _check_who(who)
        except UsageError as error:
            errors.append(ConfigError(origin, f"[{name}]: {error.what}: {error.why}", hint=error.hint))
            continue
        one = KeySection(who, section, entries=document.entries[name], origin=origin)
        before = found.setdefault((who, section), one)
        if before is not one:
            why = f"section {one.title} is a duplicate of {before.origin}"
            errors.append(ConfigError(origin, why, hint="put the settings of both into one"))
    return tuple(found.values())


def listing(document: Document) -> tuple[KeySection, ...]:
    """Return the sections ``[directories WHO]`` of an account's file, one for each of whom, without what they list.

    In a shared account these are keys and groups of keys.
    """
    return tuple(
        KeySection(who, directories.SECTION, entries={}, origin=document.headers.get(name, document.file), written=name)
        for name in filter(directories.is_section, document.entries)
        for who in directories.who_of(name)
    )


def _split(words: list[str]) -> tuple[str, str]:
    """Return which section is for whom; "" for whom where the words do not say so."""
    if len(words) == 2 and words[0] == WORD:
        return "", words[1]
    return (words[0], words[2]) if len(words) == 3 and words[1] == WORD else ("", "")


def _check_who(who: str) -> None:
    if not who:
        hint = "one section for each: [PLUGIN key NAME], [PLUGIN key @GROUP]"
        raise UsageError("section", "does not name one plugin, and one key or group", hint=hint)
    if who.startswith(_MARK):
        group = who.removeprefix(_MARK)
        if group != ALL:
            check_group(group)
    else:
        check_name(who)


def is_by_key(section: str) -> bool:
    """True for the name of a section that is for a key or a group, as far as it can be told from its form.

    ``[directories key NAME]`` is one of those that say for themselves who they are for.
    """
    words = section.split()
    return len(words) > 1 and WORD in words[:2] and not directories.is_section(section)


Entries = Mapping[str, Mapping[tuple[str, str], RawSetting]]
"""What is given, by for whom as it is written."""


def by_whom(sections: Iterable[KeySection]) -> Entries:
    """Return what ``sections`` give to whom, in the order of the file."""
    found: dict[str, dict[tuple[str, str], RawSetting]] = {}
    for each in sections:
        found.setdefault(each.who, {}).update({(each.section, name): entry for name, entry in each.entries.items()})
    return found


def given_to(entries: Entries, name: str, groups: Collection[str]) -> Given:
    """Return what the key ``name``, which is in ``groups``, has of ``entries``, in the order that this module tells.

    Raises :class:`ConfigError`, or several, naming both lines where two groups contradict each other.
    """
    own = entries.get(name, {})
    by: dict[tuple[str, str], str] = {}
    shared: dict[tuple[str, str], RawSetting] = {}
    errors: list[JailsshError] = []
    for group in groups:
        for place, entry in entries.get(f"{_MARK}{group}", {}).items():
            before = shared.setdefault(place, entry)
            by.setdefault(place, group)
            if place not in own and _plain(before.raw) != _plain(entry.raw):
                errors.append(_contradiction(name, place, (by[place], before), (group, entry)))
    raise_all(errors)
    return {**entries.get(f"{_MARK}{ALL}", {}), **shared, **own}


def _contradiction(
    name: str, place: tuple[str, str], one: tuple[str, RawSetting], two: tuple[str, RawSetting]
) -> ConfigError:
    section, setting = place
    what = f"[{section}] {setting}" if section else setting
    told = f"key {name} is in groups {one[0]} and {two[0]}, which give {what} different values"
    hint = f"take the key out of one of them, or say which in {title(section, name)}"
    return ConfigError(two[1].origin, f"{told} ({one[1].origin} and {two[1].origin})", hint=hint)


def title(section: str, who: str) -> str:
    """Return the section's name for a key or a group, with its brackets."""
    return f"[{' '.join(filter(None, (section, WORD, who)))}]"


def _plain(raw: Raw) -> tuple[str, ...]:
    return (raw,) if isinstance(raw, str) else raw


def of_key(sections: Iterable[KeySection], name: str, groups: Collection[str]) -> list[KeySection]:
    """Return the sections that the key ``name``, which is in ``groups``, has something from."""
    whom = {name, f"{_MARK}{ALL}", *(f"{_MARK}{group}" for group in groups)}
    return [each for each in sections if each.who in whom]


def stale(sections: Iterable[KeySection], ring: Keyring, groups: Iterable[str]) -> list[ConfigError]:
    """Return what is to be said of sections for keys and groups that the account does not have (yet, or any more)."""
    known_groups = {ALL, *groups}
    found = []
    for each in sections:
        group = each.who.removeprefix(_MARK) if each.who.startswith(_MARK) else ""
        if group in known_groups if group else each.who in ring.keys:
            continue
        kind, names = ("group", known_groups) if group else ("key", set(ring.keys))
        close = did_you_mean(group or each.who, names)
        hint = close if close.startswith("did") else f"create the {kind}, or remove the section"
        why = f"section {each.title}: {kind} {(group or each.who)!r} does not exist"
        found.append(ConfigError(each.origin, why, hint=hint))
    return found
