"""The jump plugin: accounts without a session, for whom sshd forwards the ports that are named.

Nothing runs in the jail: what it gives is a piece of sshd's configuration (``jailssh.core.ports``), and a rule that
says so to whoever reaches the login program all the same.
"""

from __future__ import annotations

from collections.abc import Mapping

from jailssh.core.errors import ConfigError
from jailssh.plugin.api import API_VERSION, Account, ImageNeeds, Jail, Option, PluginResult, Ports, Rule, Value
from jailssh.plugin.trials import Trial, denied

_ANSWER = (126, "this account forwards ports (ssh -J, -W, -L, -R); it has no shell and no commands")


class Jump:
    """See :class:`jailssh.plugin.Plugin`."""

    api_version = API_VERSION
    name = "jump"
    summary = "no session; sshd forwards the ports that are named (ssh -J, -W, -L, -R)"
    options = (
        Option("open", "texts", "", "HOST:PORT that clients reach through this host; * is any port, or any host"),
        Option("listen", "texts", "", "PORT or ADDRESS:PORT at which sshd listens for clients, on loopback where bare"),
    )

    def image(self, jail: Jail, settings: Mapping[str, Value]) -> ImageNeeds:  # noqa: ARG002
        """Nothing."""
        return ImageNeeds()

    def account(self, jail: Jail, account: Account, settings: Mapping[str, Value]) -> PluginResult:  # noqa: ARG002
        """The ports, and an answer for a login that sshd starts a session for after all."""
        ports = Ports(open=_read(settings, "open").open, listen=_read(settings, "listen").listen)
        if not ports.open and not ports.listen:
            raise ConfigError("[jump]", "names no port", hint="as in: open = db.example.org:5432")
        rule = Rule("jump.none", self.name, "/", (), interactive_login=True, builtin_reply=_ANSWER)
        return PluginResult((rule,), "port forwarding, without a session", home="none", ports=ports)

    def trials(self, jail: Jail, account: Account, settings: Mapping[str, Value]) -> tuple[Trial, ...]:  # noqa: ARG002
        """Nothing runs."""
        return denied("jump.command", "a command", "true", "internal-sftp", "scp -t .", "rsync --server . .")


def _read(settings: Mapping[str, Value], name: str) -> Ports:
    texts = settings[name]
    words = " ".join(texts).split() if isinstance(texts, tuple) else ()
    try:
        return Ports.of(words, ()) if name == "open" else Ports.of((), words)
    except ValueError as error:
        raise ConfigError(f"[jump] {name}", str(error)) from error


plugin = Jump()
