"""Keys of one account with different commands: named keys of a shared account, each with settings of its own."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping, Sequence

from jailssh.config import times
from jailssh.config.home_keys import HomeKey
from jailssh.config.key_sections import title
from jailssh.config.keys import Key, is_name
from jailssh.core.names import escape
from jailssh.sources.found import Settings

LIMITS = "limits"
SHUT = "1971-01-02"
"""Until this day a key that has no section of its own may log in."""
_EXPIRY = re.compile(r"(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(?:\d\d)?)?\Z")
# What a plugin must have, and of which a name is not enough.
_REQUIRED = ("repository", "root")
_LINES = ("command", "commands")
# Lists of what is no directory; without one of its own, a key has none.
_NO_PATHS = ("allow_requests", "deny_requests")
_FILLED: Mapping[str, Mapping[str, str]] = {"sftp": {"read_only": "yes"}}


def names_of(keys: Sequence[HomeKey]) -> list[str]:
    """Return a name for each key, from its comment; no two are equal."""
    found: list[str] = []
    for number, each in enumerate(keys, 1):
        base = re.sub(r"[^A-Za-z0-9_.+-]+", "-", each.key.comment).lstrip(".+-")[:60].rstrip("-")
        wish = name = base if is_name(base) and base != "all" else f"key{number}"
        count = 1
        while name in found:
            count += 1
            name = f"{wish}-{count}"
        found.append(name)
    return found


def faults(key: HomeKey) -> list[str]:
    """Return what of a line no setting of a named key can say; nobody would be held to it."""
    found = []
    for name, value in key.said:
        if name == "cert-authority":
            found.append(f"{name} is an authority, which a person adds: jailssh keys add --principal")
        elif name == "from" and _addresses(value or "") is None:
            found.append(f'from="{escape(value or "", 80)}" names more than addresses and networks')
        elif name in ("verify-required", "no-touch-required"):
            found.append(f"{name} is no setting of a named key, of which sshd asks a touch and no more")
        elif name == "expiry-time" and not _day(value or ""):
            found.append(f"expiry-time={escape(value or '', 40)} is not a day from 1971 to 2044 in local time")
    if [name for name, _ in key.said].count("expiry-time") > 1:
        found.append("expiry-time is there twice, and sshd takes the earlier one")
    return found


def _addresses(value: str) -> tuple[str, ...] | None:
    # A mask with dots matches nobody in sshd.
    if any("." in each.partition("/")[2] for each in value.split(",")):
        return None
    try:
        return tuple(str(ipaddress.ip_network(each.strip())) for each in value.split(","))
    except ValueError:
        return None


def limits_of(key: HomeKey) -> dict[str, tuple[str, ...]]:
    """Return the limits of a line that has no :func:`faults`; without a day of its own, none holds."""
    said = dict(key.said)
    found: dict[str, tuple[str, ...]] = {"expires": ()}
    if value := said.get("from"):
        found["addresses"] = _addresses(value) or ()
    if day := _day(said.get("expiry-time") or ""):
        found["expires"] = (day,)
    return found


def _day(value: str) -> str:
    """Return sshd's ``YYYYMMDD[HHMM[SS]]`` as the setting ``expires`` has it, "" for what that cannot be."""
    match = _EXPIRY.match(value)
    text = f"{'-'.join(match.groups()[:3])} {match[4] or '00'}:{match[5] or '00'}" if match else ""
    try:
        times.moment(text)
    except ValueError:
        return ""
    return text


def jail_of(judged: Collection[Settings]) -> Settings:
    """Return the jail that all these share: their plugins, and directories that are nobody's.

    What a key may comes from its own sections alone, so this gives as little as the plugins take.
    """
    plugins = sorted({name for each in judged for name in _plugins_of(each)})
    found: dict[str, Mapping[str, str | tuple[str, ...]]] = {"": {"plugins": " ".join(plugins)}}
    for plugin in plugins:
        given = [each[plugin] for each in judged if plugin in each]
        rows: dict[str, str | tuple[str, ...]] = dict(_FILLED.get(plugin, {}))
        for name in sorted({name for each in given for name in each}):
            values = [each[name] for each in given if name in each]
            if (plugin, name) == _LINES:
                # The image needs the programs.
                rows[name] = tuple(dict.fromkeys(text for value in values for text in _listed(value)))
            elif name in _REQUIRED:
                rows[name] = f"~/.jailssh/{plugin}"
            elif name not in _NO_PATHS and isinstance(values[0], tuple):
                rows[name] = (f"~/.jailssh/{plugin}",)
        found[plugin] = rows
    return found


def sections_of(name: str, key: HomeKey, own: Settings, jail: Settings) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return the sections of the account's file that give the key what ``own`` says and nothing else of ``jail``."""
    plugins = _plugins_of(own)
    top = {key: _listed(value) for key, value in own.get("", {}).items() if key != "plugins"}
    limits = {setting: _listed(value) for setting, value in own.get(LIMITS, {}).items()}
    found = {title("", name): {"plugins": plugins, **top}, title(LIMITS, name): {**limits, **limits_of(key)}}
    for plugin in plugins:
        rows = {setting: _listed(value) for setting, value in own.get(plugin, {}).items()}
        for setting, value in jail[plugin].items():
            if setting not in rows:
                rows[setting] = () if isinstance(value, tuple) else ("no",)
        found[title(plugin, name)] = rows
    return found


def _plugins_of(own: Settings) -> tuple[str, ...]:
    """Return the plugins of a jail; one need not have a section."""
    return tuple(text for value in _listed(own.get("", {}).get("plugins", ())) for text in value.split())


def for_others() -> dict[str, dict[str, tuple[str, ...]]]:
    """Return the section that shuts out keys without one of their own."""
    return {title(LIMITS, "@all"): {"expires": (SHUT,)}}


def named(names: Sequence[str], keys: Sequence[HomeKey]) -> dict[str, tuple[Key, ...]]:
    """Return the keys by name."""
    return {name: (each.key,) for name, each in zip(names, keys, strict=True)}


def _listed(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value
