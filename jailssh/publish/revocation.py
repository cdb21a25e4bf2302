"""Take somebody's key out of what is published.  Needs no configuration, and loads none of it: it must be quick."""

from __future__ import annotations

from jailssh.config import authorized
from jailssh.config.authorized import Entry
from jailssh.config.keys import NO_KEYS
from jailssh.core.errors import HostError
from jailssh.core.tries import Tries
from jailssh.files import narrow
from jailssh.host.paths import Layout
from jailssh.jail import authorized_keys
from jailssh.publish import plan_files


def shut_out(layout: Layout, name: str, uid: int | None, gone: set[Entry]) -> list[str]:
    """Take ``gone`` out of the account's keys file and out of its roster; return what is to be said of how.

    Both are tried, whatever becomes of the other; errors are raised in the end.
    """
    tries = Tries()
    tries("keys file", lambda: _out_of_keys(layout, name, uid, gone))
    if uid is not None:
        tries("plan", lambda: plan_files.shut_out(layout, uid, gone))
        tries("plans of keys", lambda: plan_files.tidy(plan_files.plan_file(layout, uid), layout.root))
    tries.end()
    return tries.notes


def _out_of_keys(layout: Layout, name: str, uid: int | None, gone: set[Entry]) -> str:
    try:
        text = authorized_keys.present(layout, name)
    except HostError as error:
        # sshd may take it all the same, and what it says may be anybody's words.
        return narrow.remove(authorized_keys.keys_file(layout, name), error.why)
    if authorized.is_generated(text):
        return authorized_keys.without(layout, name, lambda line: authorized.without(line, gone))
    if not text and uid is not None and not plan_files.entries_of(plan_files.readable_plan(layout, uid)) - gone:
        # That it is shared must be said before its last key goes.
        authorized_keys.write(layout, name, authorized_keys.text(layout, name, NO_KEYS, terminal=False))
    return ""
