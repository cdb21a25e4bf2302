"""Key rings and what is published of them: who is not named by a key's file any more is shut out.

This needs no configuration without errors: who was taken out must not stay in because of a mistake elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from jailssh.config import authorized, key_sections
from jailssh.config.keys import Keyring, parse_keys_lenient
from jailssh.core.errors import ConfigError, HostError, JailsshError
from jailssh.files import fs
from jailssh.host.paths import Layout
from jailssh.jail import authorized_keys
from jailssh.jail.configuration import MAX_FILE, Configuration, NoKeysError, is_of_a_ring, names_in
from jailssh.publish import plan_files, revocation

Entries = set[tuple[str, str, str]]


def shared_accounts(layout: Layout) -> dict[str, int | None]:
    """Return the accounts that are published as shared, with the uid of those that have a roster."""
    found: dict[str, int | None] = {}
    for name in names_in(layout, layout.keys, ""):
        if authorized.is_generated(_present(layout, name)):
            found[name] = None
    found.update({plan.name: uid for uid, plan in plan_files.rosters(layout)})
    return found


def outdated(layout: Layout, name: str, uid: int | None) -> Entries:
    """Return whom the published files let in and no file of the key ring names (any more)."""
    let_in = published_entries(layout, name, uid)
    return let_in - _standing(layout, name).entries() if let_in else let_in


def published_entries(layout: Layout, name: str, uid: int | None) -> Entries:
    """Return whom the account's keys file or its roster lets in."""
    let_in = authorized.entries(_present(layout, name))
    return let_in if uid is None else let_in | plan_files.entries_of(plan_files.roster(layout, uid))


def revoke(layout: Layout, name: str, uid: int | None) -> list[str]:
    """Shut out whom no file of the key ring names any more; return their names.

    An account that nobody is left in stays shared: its keys file says so.
    """
    gone = outdated(layout, name, uid)
    if gone:
        revocation.shut_out(layout, name, uid, gone)
    return sorted({who for who, _, _ in gone})


def notes_of(configuration: Configuration, name: str) -> Iterator[ConfigError]:
    """Yield what is to be said of a key ring that has no errors: names without keys, or no key at all."""
    with suppress(JailsshError):
        ring = configuration.keyring(name, vacant=True)
        yield from ring.stale()
        if user := configuration.user(name):
            sections = user.for_keys if ring.shared else user.by_key
            yield from key_sections.stale(sections, ring, [group.name for group in user.groups])
        try:
            configuration.keyring(name)
        except NoKeysError as error:
            yield error


def _present(layout: Layout, name: str) -> str:
    """Return the keys file; "" too for one that is not to be trusted, which the configuration's check tells."""
    try:
        return authorized_keys.present(layout, name)
    except HostError:
        return ""


def _standing(layout: Layout, name: str) -> Keyring:
    """Return the keys that files to be trusted name; none where the directory is not to be trusted."""
    folder = f"{layout.key_rings}/{name}"
    files = {}
    with suppress(HostError):
        for file in filter(is_of_a_ring, names_in(layout, folder, "")):
            with suppress(HostError):
                files[f"{folder}/{file}"] = fs.read_trusted(
                    f"{folder}/{file}", MAX_FILE, trusted_root=layout.root or None
                )
    return parse_keys_lenient(files)
