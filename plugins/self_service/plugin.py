"""The self-service plugin: an account in the jail manages its own keys and password, by rules of the administrator.

It runs one small program of ours, without power, which asks jailsshd-self by a socket that the jail shows.  What is
allowed stands in these settings, which that reads at each request.  Keys for connections to elsewhere are files of the
account's, about which nobody is asked: ssh in the jail is told where they are.
"""

from __future__ import annotations

from collections.abc import Mapping

from jailssh.core.asking import KEY_TYPES, OUTGOING, PLUGIN, RSA_MOST
from jailssh.core.errors import ConfigError
from jailssh.plugin.api import API_VERSION, Account, ImageNeeds, Jail, Option, PluginResult, Reach, Rule, Value
from jailssh.plugin.trials import Trial, denied

_PROGRAM = "jail-keys"
_SSH_CONFIG = f"""\
# ~/.ssh is closed in a jail: keys for connections to elsewhere are in a directory of their own.
Host *
    IdentityFile ~/{OUTGOING}/id_ed25519
    IdentityFile ~/{OUTGOING}/id_ecdsa
    IdentityFile ~/{OUTGOING}/id_rsa
    UserKnownHostsFile ~/{OUTGOING}/known_hosts
"""


class SelfService:
    """See :class:`jailssh.plugin.Plugin`."""

    api_version = API_VERSION
    name = PLUGIN
    summary = "accounts manage their own keys (jail-keys) and password (passwd)"
    options = (
        Option("keys", "bool", "no", "list, add and remove own keys: jail-keys list, add NAME, remove NAME"),
        Option("key_types", "words", "ed25519 sk-ed25519", "types of keys that may be added, as in ssh-keygen -t"),
        Option("rsa_bits", "int", "3072", "smallest RSA key that may be added, where key_types has rsa"),
        Option("max_keys", "most", "5", "keys that the account may have with those that it adds"),
        Option("key_lifetime", "duration", "", "how long an added key authorizes logins, as in 90d; empty: no limit"),
        Option("passwords", "bool", "no", "change the own password: passwd; for accounts that have one"),
        Option("first_password", "bool", "no", "with passwords: accounts without a password may set their first one"),
        Option("outgoing_keys", "bool", "no", "beside a shell: keys for ssh to elsewhere: jail-keys outgoing"),
    )

    def image(self, jail: Jail, settings: Mapping[str, Value]) -> ImageNeeds:
        """The program, which has two names for who has no shell; ssh, and its settings, for keys to elsewhere."""
        if not settings["outgoing_keys"]:
            return ImageNeeds(bare_programs=(_find(jail),))
        return ImageNeeds(
            bare_programs=(_find(jail), "ssh", "ssh-keygen"), texts=(("/etc/ssh/ssh_config", _SSH_CONFIG),)
        )

    def account(self, jail: Jail, account: Account, settings: Mapping[str, Value]) -> PluginResult:  # noqa: ARG002
        """One rule for each thing that may be asked for."""
        _check(settings, jail)
        program = _find(jail)
        both = (_PROGRAM, program)
        rules: list[Rule] = []
        if settings["keys"]:
            rules = [
                Rule("self-service.list", self.name, program, both, literal_words=("list",)),
                Rule("self-service.add", self.name, program, both, literal_words=("add",), operands=(1, 1, "word")),
                Rule("self-service.remove", self.name, program, both, literal_words=("remove",),
                     long_options=(("last", "flag"),), operands=(1, 1, "text")),
            ]  # fmt: skip
        if settings["passwords"]:
            rules += [
                Rule("self-service.password", self.name, program, both, literal_words=("password",)),
                Rule("self-service.passwd", self.name, program, ("passwd", "/usr/bin/passwd"), argv0="passwd"),
            ]
        if settings["outgoing_keys"]:
            rules.append(Rule("self-service.outgoing", self.name, program, both, literal_words=("outgoing",)))
        words = ((_PROGRAM, ("keys", "outgoing_keys")), ("passwd", ("passwords",)))
        names = [name for name, keys in words if any(settings[key] for key in keys)]
        return PluginResult(
            tuple(rules), ", ".join(names), home="none", pty=bool(settings["passwords"]), reach=Reach(),
            asks=bool(settings["keys"] or settings["passwords"]),
        )  # fmt: skip

    def trials(self, jail: Jail, account: Account, settings: Mapping[str, Value]) -> tuple[Trial, ...]:  # noqa: ARG002
        """Nothing is changed by trying, so only what must not work is tried."""
        return denied("self-service.other", "something about another account", "passwd root", "jail-keys list root")


def _check(settings: Mapping[str, Value], jail: Jail) -> None:
    types = settings["key_types"]
    words = types if isinstance(types, tuple) else ()
    if not any(settings[key] for key in ("keys", "passwords", "outgoing_keys")):
        raise ConfigError("[self-service]", "allows nothing", hint="as in: keys = yes")
    if settings["first_password"] and not settings["passwords"]:
        raise ConfigError("[self-service] first_password", "is set without passwords", hint="passwords = yes")
    if settings["outgoing_keys"] and "shell" not in jail.plugins:
        why = "is for jails with a shell, from which ssh is called"
        raise ConfigError("[self-service] outgoing_keys", why, hint="plugins = shell self-service")
    if unknown := [word for word in words if word not in KEY_TYPES]:
        hint = f"one or more of: {' '.join(KEY_TYPES)}"
        raise ConfigError("[self-service] key_types", f"{unknown[0]!r} is not a type of keys", hint=hint)
    if settings["keys"] and not words:
        raise ConfigError("[self-service] key_types", "names no type", hint=f"as in: {' '.join(KEY_TYPES)}")
    bits = settings["rsa_bits"]
    if not isinstance(bits, int) or not 2048 <= bits <= RSA_MOST:
        raise ConfigError("[self-service] rsa_bits", f"is not from 2048 to {RSA_MOST}", hint="as in: rsa_bits = 3072")


def _find(jail: Jail) -> str:
    path = jail.find_program(_PROGRAM)
    if path is None:
        raise ConfigError("[self-service]", f"{_PROGRAM} is not on this host", hint="install jailssh again")
    return path


plugin = SelfService()
