"""Set aside what ``--fix`` finds outside of a jail, so that ``deluser`` brings it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jailssh.change.transaction import Journal
from jailssh.core.names import escape
from jailssh.files import fs
from jailssh.integrity.scene import Scene
from jailssh.setup.looks import OutsideJail
from jailssh.users import adduser, aside


def set_aside(
    scene: Scene, account: str, found: Sequence[OutsideJail], taken: Mapping[str, str], folder: str = ""
) -> list[str]:
    """Give the things ``found`` of an account names that nothing reads; return lines that say what was done.

    ``taken``: by place, a new name that is there already: what was set aside before would be lost under it.
    ``folder``: what stands before each place, where those are names in a directory.
    """
    lines = [f"not set aside, {escape(new)} exists: {folder}{escape(place)}" for place, new in taken.items()]
    free = [each for each in found if each.place not in taken]
    if free:
        entry = scene.jailed[account].entry
        with fs.lock(scene.layout.lock):
            journal = Journal(scene.layout, adduser.subject(account))
            with journal.changing(f"check --fix of {account}", "jailssh check --fix"):
                journal.uid = entry.uid
                aside.set_aside(journal, entry, free)
                journal.commit()
    return [*lines, *(f"set aside until deluser: {folder}{escape(each.place)}" for each in free)]
