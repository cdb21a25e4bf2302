"""Keys that ``jailssh selftest`` logs in with: for minutes, from this host alone, beside the account's own.

They stand in the published files alone, where sshd and the login program read them, never in what the administrator
writes: ``apply`` drops them, and what is known of the account's own keys stays untouched.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

from jailssh.config import authorized
from jailssh.config.keys import lines_of
from jailssh.core.errors import HostError, JailsshError
from jailssh.core.tries import Tries
from jailssh.host.paths import Layout
from jailssh.jail import authorized_keys
from jailssh.plan import ops
from jailssh.plan.compile import numbered
from jailssh.publish import plan_files

KIND = "ssh-ed25519"
PREFIX = "jailssh-selftest-"
"""Begins the name of every such key."""


@dataclass(frozen=True)
class TrialKey:
    """One key: its name, its base64 text, and in a shared account the serial of the plan that it gets, else ""."""

    name: str
    blob: str
    serial: str = ""


def let_in(layout: Layout, name: str, uid: int, keys: Sequence[TrialKey], options: str) -> None:
    """Let ``keys`` log in to the account.  ``options``: what stands before each in the keys file (sshd(8)).

    Nothing but these options limits such a key: what sshd's configuration does without the options of a line is what
    is to be tried.  Call under the lock of the set-up.
    """
    of_roster = [key for key in keys if key.serial]
    if of_roster:
        _into_roster(layout, uid, of_roster)
    text = authorized_keys.present(layout, name)
    lines = [f"{options} {KIND} {key.blob} {key.name}\n" for key in keys]
    gap = "\n" if text and not text.endswith("\n") else ""
    authorized_keys.write(layout, name, f"{text}{gap}{''.join(lines)}")


def _into_roster(layout: Layout, uid: int, keys: Sequence[TrialKey]) -> None:
    with plan_files.locked(layout):
        plan = plan_files.read_plan(layout, uid)
        if plan is None:
            raise JailsshError(f"plan of uid {uid}", "does not exist", hint="jailssh apply")
        head = [record for record in plan.records if record.verb not in ops.ROSTER]
        rows = [record for record in plan.records if record.verb in ops.ROSTER]
        rows += [ops.Record("key", (key.name, key.serial, key.blob)) for key in keys]
        # As the compiler has them: keys before authorities, each kind by name.
        rows.sort(key=lambda record: (record.verb != "key", record.args))
        plan_files.write(layout, numbered(plan, [*head, *rows]), {})


def shut_out(layout: Layout, name: str, uid: int, blobs: Collection[str]) -> None:
    """Take these keys out again; what else has changed there since stays.  Call under the lock of the set-up."""
    tries = Tries()
    tries("keys file", partial(_out_of_keys, layout, name, blobs))
    plan = plan_files.readable_plan(layout, uid)
    gone = {entry for entry in plan_files.entries_of(plan) if entry[1] in blobs}
    if gone:
        tries("plan", partial(plan_files.shut_out, layout, uid, gone))
    tries.end()


def _out_of_keys(layout: Layout, name: str, blobs: Collection[str]) -> None:
    text = authorized_keys.present(layout, name)
    left = [line for line in lines_of(text) if authorized.blob_of(line) not in blobs]
    if len(left) == len(lines_of(text)):
        return
    try:
        authorized_keys.write(layout, name, "".join(f"{line}\n" for line in left))
    except (HostError, OSError):  # no room: what is there is changed in place
        authorized_keys.without(layout, name, lambda line: None if authorized.blob_of(line) in blobs else line)
