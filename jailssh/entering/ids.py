"""Who a command in a tree is, and the maps of a user namespace."""

from __future__ import annotations

import os
from dataclasses import KW_ONLY, dataclass
from itertools import pairwise

from jailssh.core.errors import UsageError
from jailssh.core.names import MAX_UID, is_number

NOBODY = 65534
SHELL = "/bin/sh"
MOST_LINES = 340
_TOP = 0xFFFFFFFF


@dataclass(frozen=True)
class Identity:
    """The command's ids and what its variables say of it."""

    _: KW_ONLY
    uid: int
    gid: int
    name: str
    home: str
    login_shell: str


def identity(user: str | None, group: str | None) -> Identity:
    """Return who USER and GROUP are, by name or number, root without them; :class:`UsageError` for what is neither."""
    if user is None:
        return Identity(uid=0, gid=_gid(group) or 0, name="root", home="/root", login_shell=SHELL)
    from jailssh.host import accounts  # slow to import, and not for root

    if is_number(user):
        uid = _number(user, "user")
        entry = accounts.find_uid(uid)
        if entry is None and group is None and uid != 0:
            raise UsageError(f"user {uid}", "has no entry, and so no group", hint="name one with -g")
    else:
        entry = accounts.find(user)
        if entry is None:
            raise UsageError(f"user {user!r}", "does not exist on this host", hint="a number is taken as it is")
        uid = entry.uid
    own = _gid(group)
    gid = own if own is not None else entry.gid if entry else 0
    if entry is None:
        return Identity(uid=uid, gid=gid, name="run", home="/", login_shell=SHELL)
    return Identity(uid=uid, gid=gid, name=entry.name, home=entry.home or "/", login_shell=entry.shell or SHELL)


def _gid(group: str | None) -> int | None:
    if group is None:
        return None
    if is_number(group):
        return _number(group, "group")
    from jailssh.host import accounts

    found = accounts.group_id(group)
    if found is None:
        raise UsageError(f"group {group!r}", "does not exist on this host", hint="a number is taken as it is")
    return found


def _number(text: str, what: str) -> int:
    if len(text) > 10 or int(text) > MAX_UID:
        raise UsageError(f"{what} {text[:30]}", f"is above {MAX_UID}")
    return int(text)


def id_map(text: str | None, own: int, option: str) -> list[tuple[int, int, int]]:
    """Return the lines ``inside outside count`` of a map; without one root inside is OWN outside, root's is nobody."""
    if text is None:
        return [(0, own if own != 0 else NOBODY, 1)]
    lines = []
    for part in text.split(","):
        numbers = part.split()
        if len(numbers) != 3 or not all(is_number(number) and len(number) <= 10 for number in numbers):
            raise UsageError(option, f"{part.strip()!r} is not: INSIDE OUTSIDE COUNT")
        inside, outside, count = map(int, numbers)
        if count < 1 or inside + count > _TOP or outside + count > _TOP:
            raise UsageError(option, f"{part.strip()!r} is out of range")
        lines.append((inside, outside, count))
    if len(lines) > MOST_LINES:
        raise UsageError(option, f"more than {MOST_LINES} records")
    for side in (0, 1):
        if any(one[side] + one[2] > two[side] for one, two in pairwise(sorted(lines, key=lambda each: each[side]))):
            raise UsageError(option, "records overlap")
    return lines


def is_root() -> bool:
    """True if root runs this."""
    return os.geteuid() == 0
