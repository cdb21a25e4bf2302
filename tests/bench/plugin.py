"""A plugin of a third party for the benchmark: one command that does nothing, one that waits, and a home to write to.

It is installed beside jailssh in the scratch host, so that an account gets its plan and image as any other does.
"""

from __future__ import annotations

from collections.abc import Mapping

from jailssh.core.errors import ConfigError
from jailssh.plugin.api import API_VERSION, Account, ImageNeeds, Jail, Option, PluginResult, Rule, Value


class Bench:
    """See :class:`jailssh.plugin.Plugin`."""

    api_version = API_VERSION
    name = "bench"
    summary = "true and sleep"
    options: tuple[Option, ...] = ()

    def image(self, jail: Jail, settings: Mapping[str, Value]) -> ImageNeeds:
        """Both programs, and what a transfer jail has besides."""
        return ImageNeeds(programs=("true", "sleep"), data=("nss", "locale"))

    def account(self, jail: Jail, account: Account, settings: Mapping[str, Value]) -> PluginResult:
        """A rule for each; the home as a transfer jail shows it."""
        rules = (
            Rule("bench.true", self.name, _find(jail, "true"), ("true", "/bin/true")),
            Rule("bench.sleep", self.name, _find(jail, "sleep"), ("sleep",), operands=(1, 1, "int:0:86400")),
        )
        return PluginResult(rules, "bench")


def _find(jail: Jail, name: str) -> str:
    path = jail.find_program(name)
    if path is None:
        raise ConfigError(f"program {name}", "is not on this host")
    return path


plugin = Bench()
