"""What a directory of a plugin's may say of whose login it is: ``%u``, ``%g`` and ``%k``.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from jailssh.config.keys import is_name
from jailssh.config.settings import HOLDS_PATHS
from jailssh.core.errors import ConfigError
from jailssh.plugin.api import Account, Option, Value

_SPECIFIER = re.compile("%(.?)")


def of_keys(values: Iterable[Value]) -> bool:
    """True if some of a plugin's values differs from one named key to the next."""
    texts = [text for value in values for text in (value if isinstance(value, tuple) else (value,))]
    return any(isinstance(text, str) and "k" in _SPECIFIER.findall(text) for text in texts)


def expanded(
    plugin: str, options: Sequence[Option], values: Mapping[str, Value], account: Account
) -> Mapping[str, Value]:
    """Return the values of a plugin's options for one account, with the specifiers of directories replaced.

    ``%k`` is by whose name rights are given: in a shared account the key's, otherwise the account's.  Raises
    :class:`ConfigError` for other specifiers, and for a name that is no part of a path.
    """
    paths = {option.name for option in options if option.kind in HOLDS_PATHS}
    found = {name: value for name, value in values.items() if name in paths and "%" in str(value)}
    if not found:
        return values
    names = {"u": account.name, "g": account.group, "k": _who(account), "%": "%"}

    def replaced(name: str, text: str) -> str:
        def of(match: re.Match[str]) -> str:
            put = names.get(match[1])
            if put is None:
                hint = "%u is the account, %g its group, %k the key, %% a %"
                raise ConfigError(f"[{plugin}] {name}", f"{text!r}: {match[0]} has no meaning", hint=hint)
            if match[1] != "%" and (not put or "/" in put or put in (".", "..")):
                why = f"{match[0]} is {put!r} here, which is not a name of a directory"
                raise ConfigError(f"[{plugin}] {name}", why)
            return put

        return _SPECIFIER.sub(of, text)

    for name, value in found.items():
        texts = value if isinstance(value, tuple) else (str(value),)
        made = tuple(replaced(name, text) for text in texts)
        found[name] = made if isinstance(value, tuple) else made[0]
    return MappingProxyType({**values, **found})


def matches(text: str, path: str) -> bool:
    """True if ``path`` can be what ``text``, a directory as written, means for somebody."""
    form = _SPECIFIER.sub(lambda found: "%" if found[1] == "%" else "[^/]+", re.escape(text))
    return re.fullmatch(form, path) is not None


def _who(account: Account) -> str:
    return next((role for role in sorted(account.roles) if is_name(role)), account.name)
