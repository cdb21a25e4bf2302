"""What the reason in a login's record means for an administrator: what happened, and what would change it.

Only for reasons that the matcher cannot find again from the command and the plan alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

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
        "sessions": "sessions",
        "sessions-of-key": "sessions_per_key",
        "address": "addresses",
        "hours": "hours",
        "expired": "expires",
        "duration": "duration",
        "idle": "idle",
    }
)
"""The reasons that are limits, and the setting of the section ``limits`` that each is about."""

WITHOUT_COMMAND = ("sessions", "sessions-of-key")
"""Reasons for which a login is denied before anybody looks at its command, so the record has none."""

_HAPPENED: Mapping[str, str] = MappingProxyType(
    {
        "name": "the plan was made for an account of another name: this uid was that account's before, or the account "
        "was renamed",
        "key-unknown": "sshd let somebody in, but not by a key or certificate that has a name here, so nothing says "
        "whose rights to give",
        "key-ambiguous": "sshd took several keys in this one login, and they have different names here",
        "sessions": "as many sessions of the account as it may have were open",
        "sessions-of-key": "as many sessions as one key may have were open by this key",
        "address": "the client came from {peer}",
        "hours": "it was {when}",
        "expired": "it was {when}",
        "duration": "the session was ended because it had lasted as long as it may",
        "idle": "the session was ended because nothing had passed for as long as that may be",
        "no-such-repository": "the name is one that this login may use, but git would find no repository there "
        "(nothing, or something else)",
        "repository-exists": "a push would have made a repository, but the name is taken, with or without .git, by "
        "what is no repository",
        "repository-name": "the name is none for a repository: a part of it is .git or begins with a dot or a dash, or "
        "it lies inside another repository",
        "not-served": "a rule of the jail is there to deny such commands and to tell the user why",
        "first-failed": "what the rule runs first, in the jail and as the account, did not work",
    }
)

_CURE: Mapping[str, str] = MappingProxyType(
    {
        "name": "jailssh apply --gone withdraws the plan and sets aside what belongs to the account that is gone; "
        "then, if {user} is to be in a jail: jailssh adduser {user} --jail JAIL",
        "key-unknown": "to let this person in: jailssh keys add {user} NAME FILE; if no such key should get as far: "
        "sshd -T -C user={user},host=x,addr=x shows which file or command of sshd's lets it in, and exposeauthinfo "
        "must be yes there",
        "key-ambiguous": "if they are one person's, put them into one file {ring}/NAME.pub, a line each, and run: "
        "jailssh apply; else ask for one key only (AuthenticationMethods, sshd_config(5))",
        "no-such-repository": "make the repository (git init --bare, as {user}), or let the first push make it by a "
        "line of the table of rights: create PATTERN WHO",
        "repository-exists": "look at it on the host and move it away, or push to another name",
        "repository-name": "no setting allows it; the repository needs another name",
        "not-served": "nothing needs to be done, unless a setting of the plugin would serve it",
        "first-failed": "see that {user} may write where it is to be made and that there is room, and take away what "
        "is half made",
    }
)


def explained(configuration: Configuration, entry: AccountEntry, reason: str, *, peer: str, when: str) -> list[str]:
    """Return what happened and what would change it, a line or two; none for a reason that has nothing to add.

    ``peer``: where the client came from, ``when`` the login was, for people.
    """
    if reason not in _HAPPENED:
        return []
    ring = f"{configuration.layout.key_rings}/{entry.name}"
    facts = {"user": entry.name, "ring": ring, "peer": peer or "an unknown address", "when": when}
    happened = _HAPPENED[reason].format(**facts)
    return [happened, limit(configuration, entry, reason) if reason in LIMITS else _CURE[reason].format(**facts)]


def limit(configuration: Configuration, entry: AccountEntry, reason: str) -> str:
    """Return the setting behind a limit, as the files are now, and where an administrator would change it."""
    name = LIMITS[reason]
    try:
        item = _item(configuration, entry, name)
    except JailsshError as error:
        return f"[limits] {name}: the configuration is wrong now: {error}"
    if not item.raw:
        return f"[limits] {name} is empty in the configuration now (jailssh apply publishes it)"
    own = f"{configuration.layout.users}/{entry.name}{SUFFIX}"
    places = ["there" if item.origin.startswith("/") else "in a jail file of your own"]
    if name in {row.name for row in USER if row.section == "limits"} and not item.origin.startswith(f"{own}:"):
        places.append(f"for this account alone in {own}, section [limits]")
    return (
        f"[limits] {name} = {written(item.raw)}  ({item.origin}): change it {', or '.join(places)}, then: jailssh apply"
    )


def _item(configuration: Configuration, entry: AccountEntry, name: str) -> Item:
    jails = configuration.jails_for(to_account(entry))
    user = configuration.user(entry.name)
    return {**configuration.definition(jails).config.access, **(user.access if user else {})}[name]
