"""What the reason in a login's record means for an administrator: what happened, and what would change it.

Only for reasons that the matcher cannot find again from the command and the plan alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from jailssh.config import by_key
from jailssh.config.reader import Item
from jailssh.config.settings import USER
from jailssh.core.errors import JailsshError
from jailssh.diagnose.suggest import written
from jailssh.host.accounts import AccountEntry
from jailssh.jail.configuration import Configuration
from jailssh.jail.profiles import SUFFIX
from jailssh.jail.this_host import to_account

LIMITS: Mapping[str, str] = MappingProxyType(
    {
        "sessions": "max_sessions",
        "sessions-of-key": "max_sessions_per_key",
        "address": "addresses",
        "hours": "hours",
        "expired": "expires",
        "duration": "max_duration",
        "idle": "idle_timeout",
    }
)
"""The reasons that are limits, and the setting of the section ``limits`` that each is about."""

WITHOUT_COMMAND = ("maintenance", "not-listed", "sessions", "sessions-of-key")
"""Reasons for which a login is denied before anybody looks at its command, so the record has none."""

_HAPPENED: Mapping[str, str] = MappingProxyType(
    {
        "name": "the plan is for an account with another name: the uid was that account's before, or the account was "
        "renamed",
        "key-unknown": "sshd accepted a login without a named key or certificate, so the rights to give are not known",
        "key-ambiguous": "sshd accepted several keys in one login, and they have different names",
        "maintenance": "the administrator allowed no new logins then",
        "not-listed": "the account was not in 'enter' of that jail, or the session not in the group that is",
        "sessions": "the account had as many open sessions as it is allowed",
        "sessions-of-key": "the key had as many open sessions as it is allowed",
        "address": "the client came from {peer}",
        "hours": "the login was at {when}",
        "expired": "the login was at {when}",
        "duration": "the session reached its maximum duration",
        "idle": "the session reached its maximum time without traffic",
        "no-such-repository": "the login may use this name, but it is not a git repository",
        "repository-exists": "the push cannot create the repository: the name, with or without .git, is already in use",
        "repository-name": "not a valid repository name: a part of it is '.git' or begins with a dot or a dash, or "
        "it is inside another repository",
        "not-served": "a rule of the jail denies such commands and tells the user why",
        "first-failed": "the command that the rule runs first, in the jail and as the account, failed",
    }
)

_CURE: Mapping[str, str] = MappingProxyType(
    {
        "name": "to withdraw the plan and set aside the files of the old account: jailssh apply --gone; "
        "to put {user} into a jail: jailssh adduser {user} --jail JAIL",
        "key-unknown": "to allow the key: jailssh keys add {user} NAME FILE; to find the file or command of sshd that "
        "accepted it: sshd -T -C user={user},host=x,addr=x (exposeauthinfo must be yes there)",
        "key-ambiguous": "if they belong to one person, write them into one file {ring}/NAME.pub, a line each, and "
        "run: jailssh apply; otherwise require only one key (AuthenticationMethods, sshd_config(5))",
        "not-listed": "put {user} into 'enter' of the jail's file, then: jailssh apply; who may: jailssh list",
        "maintenance": "nothing to do; to allow logins before the time: jailssh unlock --no-new-logins",
        "no-such-repository": "create the repository (git init --bare, as {user}), or let the first push create it "
        "with a line of the table of rights: create PATTERN WHO",
        "repository-exists": "move it away on the host, or push to another name",
        "repository-name": "no setting allows it; rename the repository",
        "not-served": "nothing to do, unless a setting of the plugin allows it",
        "first-failed": "check that {user} can write to the directory and that the disk has space, and remove what is "
        "half made",
    }
)


def explained(
    configuration: Configuration, entry: AccountEntry, reason: str, *, peer: str, when: str, key: str = ""
) -> list[str]:
    """Return what happened and what would change it, a line or two; none for a reason that has nothing to add.

    ``peer``: where the client came from, ``when`` the login was, for people; ``key``: by which named key.
    """
    if reason not in _HAPPENED:
        return []
    ring = f"{configuration.layout.key_rings}/{entry.name}"
    facts = {"user": entry.name, "ring": ring, "peer": peer or "an unknown address", "when": when}
    happened = _HAPPENED[reason].format(**facts)
    return [happened, limit(configuration, entry, reason, key) if reason in LIMITS else _CURE[reason].format(**facts)]


def limit(configuration: Configuration, entry: AccountEntry, reason: str, key: str = "") -> str:
    """Return the setting behind a limit, as the files are now, and where an administrator would change it.

    ``key``: the named key that it is about, in a shared account.
    """
    name = LIMITS[reason]
    try:
        item = _item(configuration, entry, name, key)
    except JailsshError as error:
        return f"[limits] {name}: the configuration is wrong now: {error}"
    if not item.raw:
        return f"[limits] {name} is empty in the configuration now; to publish it: jailssh apply"
    own = f"{configuration.layout.users}/{entry.name}{SUFFIX}"
    places = ["there" if item.origin.startswith("/") else "in a jail file of your own"]
    if name in {row.name for row in USER if row.section == "limits"} and not item.origin.startswith(f"{own}:"):
        places.append(f"for this account alone in {own}, section [limits]")
    if key and name in by_key.BY_KEY:
        places.append(f"for this key alone in {own}, section [limits key {key}]")
    return (
        f"[limits] {name} = {written(item.raw)}  ({item.origin}): change it {', or '.join(places)}, then: jailssh apply"
    )


def _item(configuration: Configuration, entry: AccountEntry, name: str, key: str) -> Item:
    account = to_account(entry)
    holder = configuration.holder(account, key) if key else None
    user = holder.user if holder else configuration.user(entry.name)
    definition = holder.definition if holder else configuration.definition(configuration.jails_for(account))
    return definition.limits(user)[name]
