"""The administrator's rules about keys: from the settings of the plugin, and what they say about one key.  Pure."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass

from jailssh.config.keys import TYPES, Key, is_name, parse_keys, wire_fields
from jailssh.config.values import UNSET
from jailssh.core.asking import KEY_TYPES, RSA_MOST
from jailssh.core.errors import UsageError
from jailssh.plugin.api import Value

_LONGEST_NAME = 60
_ED25519 = {*KEY_TYPES["ed25519"], *KEY_TYPES["sk-ed25519"]}
_ED25519_SIZE = 32
_STAMP = "%Y%m%d%H%M"


class NotAllowedError(Exception):
    """The rules, or the state of the account, say no; the text is for the account."""


@dataclass(frozen=True)
class Rules:
    """What an account may change; ``lifetime`` of an added key in seconds, 0 for no limit."""

    _: KW_ONLY
    keys: bool
    passwords: bool
    first_password: bool
    types: tuple[str, ...]
    rsa_bits: int
    most: int
    lifetime: int

    @classmethod
    def of(cls, settings: Mapping[str, Value]) -> Rules:
        """Return the rules in the plugin's settings."""
        words, numbers = settings["key_types"], {name: settings[name] for name in ("rsa_bits", "max_keys")}
        span = settings["key_lifetime"]
        rsa_bits, most = (value if isinstance(value, int) else 0 for value in numbers.values())
        return cls(
            keys=settings["keys"] is True,
            passwords=settings["passwords"] is True,
            first_password=settings["first_password"] is True,
            types=words if isinstance(words, tuple) else (),
            rsa_bits=rsa_bits,
            most=0 if most == UNSET else most,
            lifetime=span if isinstance(span, int) and span != UNSET else 0,
        )


def read_key(text: bytes, rules: Rules) -> Key:
    """Return the one key in ``text`` without its comment, if an account may add it; else :class:`NotAllowedError`."""
    try:
        keys = parse_keys(text, "the key")
    except UsageError as error:
        hint = f" ({error.hint})" if error.hint else ""
        raise NotAllowedError(f"{error.what} {error.why}{hint}") from error
    if len(keys) != 1:
        raise NotAllowedError("give one key at a time")
    key = keys[0]
    if any(f"{kind} AAAA" in key.comment for kind in TYPES):
        raise NotAllowedError("two keys in this line; give one key at a time")
    named = next((word for word, kinds in KEY_TYPES.items() if key.kind in kinds), key.kind)
    if named not in rules.types:
        raise NotAllowedError(f"keys of type {named} are not allowed here; one of: {', '.join(rules.types)}")
    _judge_size(key, rules)
    return Key(key.kind, key.blob)


def _judge_size(key: Key, rules: Rules) -> None:
    fields = wire_fields(base64.b64decode(key.blob))
    if key.kind in _ED25519:
        if len(fields[1]) != _ED25519_SIZE:
            raise NotAllowedError("the key is damaged")
    elif key.kind in KEY_TYPES["rsa"]:
        bits = int.from_bytes(fields[2], "big").bit_length()
        if bits > RSA_MOST:
            raise NotAllowedError(f"RSA keys have {RSA_MOST} bits at most, this one has {bits}")
        if bits < rules.rsa_bits:
            raise NotAllowedError(f"RSA keys need {rules.rsa_bits} bits here, this one has {bits}")


def check_name(name: str) -> str:
    """Return ``name`` if an own key can be called so, else raise :class:`NotAllowedError`."""
    if not is_name(name) or len(name) > _LONGEST_NAME:
        raise NotAllowedError(f"a key's name has letters, digits and '_.+-', at most {_LONGEST_NAME}")
    return name


def end_of(rules: Rules, now: float) -> str:
    """Return until when a key that is added now authorizes logins, as sshd reads it (local time); "" for ever."""
    return time.strftime(_STAMP, time.localtime(now + rules.lifetime)) if rules.lifetime else ""


def has_ended(stamp: str, now: float) -> bool:
    """True if a key with this end, in local time or with a Z, does not authorize logins any more; "" is no end."""
    clock = time.gmtime if stamp.endswith("Z") else time.localtime
    return bool(stamp) and stamp.removesuffix("Z")[: len("YYYYMMDDHHMM")] <= time.strftime(_STAMP, clock(now))
