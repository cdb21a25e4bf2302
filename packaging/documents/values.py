"""What the values of arguments are, for completion: one of :data:`KINDS` for each argument that takes a value."""

from __future__ import annotations

import re
from pathlib import Path

from command_line import Argument, Command

from jailssh.plugin.registry import load_registry

PROFILES = Path(__file__).resolve().parents[2] / "jailssh" / "profiles"

KINDS = frozenset(
    ("account", "any-account", "directory", "file", "generation", "image", "jail", "jails", "key", "none")
)
"""``account``: one that is in a jail by name; ``any-account``: one of the host; ``jails``: several, with commas;
``image``: a jail that has an image; ``key``: a name of a shared account's keys, the account being the first operand.
"""

# By what an argument is called; where the verb makes a difference, by the verb's words too.
_KINDS: dict[str, str] = {
    "ACCOUNT": "account",
    "ADDRESS": "none",
    "COMMAND": "none",
    "BLOB": "none",
    "BUNDLE": "file",
    "DATE": "none",
    "DIGEST": "none",
    "DIR": "directory",
    "EVENT": "none",
    "FILE": "file",
    "FROM": "none",
    "GENERATION": "generation",
    "GROUP": "none",
    "HOW": "none",
    "ID": "none",
    "JAIL": "jail",
    "JAIL[,JAIL…]": "jails",
    "JAIL[,JAIL…]|FILE": "jails",
    "JAIL|GENERATION": "image",
    "MAP": "none",
    "N": "none",
    "NEW": "generation",
    "OLD": "generation",
    "REASON": "none",
    "SECONDS": "none",
    "SOURCE[:TARGET[:ro]]": "file",
    "SPEC… TARGET": "file",
    "SUBJECT": "account",
    "TARGET": "directory",
    "TARGET[:SIZE]": "none",
    "TEXT": "none",
    "TIME": "none",
    "PACKAGES": "none",
    "PLACE": "file",
    "SIZE[,FILES]": "none",
    "SOURCE": "file",
    "SUITE": "none",
    "SYSTEM": "none",
    "TREE": "directory",
    "URL": "none",
    "TYPE": "none",
    "UID": "none",
    "USER": "account",
    "USER|JAIL": "account",
    "adduser --key-from": "any-account",
    "adduser NAME": "any-account",
    "audit log --host": "none",
    "audit report --host": "none",
    "audit log --key": "none",
    "build --name": "none",
    "run -e": "none",
    "run --keep-cap": "none",
    "run --limit": "none",
    "run -u": "any-account",
    "run -n": "none",
    "run --session": "none",
    "session end SESSION": "none",
    "system create --tag": "none",
    "system exec -u": "none",
    "system set KEY=VALUE": "none",
    "system shell -u": "none",
    "session recover SESSION": "none",
    "audit diff NEW": "none",
    "audit diff OLD": "none",
    "audit show RUN": "none",
    "bundle --sign": "file",
    "check JAIL|USER": "account",
    "config --key": "key",
    "config --user": "account",
    "deluser NAME": "account",
    "explain --key": "key",
    "launch -e": "none",
    "launch --keep-cap": "none",
    "launch -n": "none",
    "launch --unit": "none",
    "launch -u": "any-account",
    "lock NAME": "account",
    "move NAME": "account",
    "rename NEW": "none",
    "rename OLD": "account",
    "unlock NAME": "account",
    "image diff JAIL": "image",
    "image push JAIL": "image",
    "image rollback JAIL": "image",
    "image show JAIL": "image",
    "keys add --principal": "none",
    "keys add NAME": "none",
    "keys fetch WHO": "any-account",
    "keys remove NAME": "key",
    "kick --key": "none",
    "learn --key": "key",
    "migrate --user": "any-account",
    "plan --key": "key",
    "replay --account": "account",
    "replay --search": "none",
    "replay SESSION": "none",
    "update JAIL": "image",
}


def kind(command: Command, argument: Argument) -> str:
    """Return the kind of the argument's value, or its choices separated by blanks; KeyError for one that is new."""
    if argument.choices:
        return " ".join(argument.choices)
    verb = " ".join(command.words)
    for name in (f"{verb} {argument.flags[0] if argument.flags else argument.metavar}", argument.metavar):
        if name in _KINDS:
            return _KINDS[name]
    raise KeyError(f"{verb} {argument.metavar}: packaging/documents/values.py does not say what it is")


def used() -> set[str]:
    """Return the names in the table that a command line must have, so that nothing in it is out of date."""
    return set(_KINDS)


def jails() -> list[str]:
    """Return the names of the shipped jails and of the plugins."""
    found = sorted({path.stem for path in PROFILES.glob("*.conf")} | set(load_registry().plugins))
    if not all(re.fullmatch(r"[\w-]+", name) for name in found):
        raise ValueError(f"names that a shell would not take as they are: {found}")
    return found
