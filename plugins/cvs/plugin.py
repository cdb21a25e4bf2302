"""The cvs plugin: CVS over ssh (``cvs server``), as far as that can be made safe.

The repository is named within the protocol, and its CVSROOT directory says which programs run at a commit; rssh(1)
says that cvs cannot be made safe.  Here the programs are missing: the image holds cvs and no shell.
"""

from __future__ import annotations

from collections.abc import Mapping

from jailssh.core.errors import ConfigError
from jailssh.plugin.api import API_VERSION, Account, ImageNeeds, Jail, Listed, Option, PluginResult, Reach, Rule, Value
from jailssh.plugin.trials import Trial, denied
from jailssh_plugins.roots import mounts, paths


class Cvs:
    """See :class:`jailssh.plugin.Plugin`."""

    api_version = API_VERSION
    name = "cvs"
    summary = "CVS over ssh; committers to CVSROOT decide what runs in the jail"
    options = (
        Option(
            "repositories", "paths", "", "CVS repositories; readers must be able to write locks", listed=Listed.INSTEAD
        ),
    )

    def image(self, jail: Jail, settings: Mapping[str, Value]) -> ImageNeeds:  # noqa: ARG002
        """cvs alone: programs that CVSROOT names are started by a shell, which is not there."""
        return ImageNeeds(programs=(_find_cvs(jail),))

    def account(self, jail: Jail, account: Account, settings: Mapping[str, Value]) -> PluginResult:
        """One rule: exactly ``cvs server``."""
        shared = sorted({"shell", "command"} & set(jail.plugins))
        if shared:
            raise ConfigError("[cvs]", f"cannot be in one jail with {shared[0]}: CVSROOT could run its programs")
        roots = paths(settings, "repositories", account, self.name)
        if not roots:
            raise ConfigError("[cvs]", "no repository is set", hint="as in: repositories = /srv/cvs")
        cvs = _find_cvs(jail)
        place = mounts((), roots, account, self.name)
        rule = Rule(
            id="cvs.server",
            plugin=self.name,
            program=cvs,
            command_names=tuple(dict.fromkeys(("cvs", "/usr/bin/cvs", cvs))),
            # -f: not ~/.cvsrc, which the user could write.
            argv_prefix=("-f",),
            literal_words=("server",),
            noexec=True,
            # The jail's own; cvs would take /var/tmp, which is read-only there.
            environment=(("HOME", "/"), ("TMPDIR", "/tmp")),  # noqa: S108
            accessible_directories=place.accessible_directories,
        )
        return PluginResult((rule,), "cvs", binds=place.binds, home=place.home, reach=Reach(roots, roots))

    def trials(self, jail: Jail, account: Account, settings: Mapping[str, Value]) -> tuple[Trial, ...]:  # noqa: ARG002
        """The server says what it can do, and no other command of cvs runs."""
        others = ("cvs -f server", "cvs -d / server", "cvs -e id server", "cvs pserver", "cvs --allow-root=/ server",
                  "cvs", "cvs -d :ext:x checkout y", "cvs server -x")  # fmt: skip
        return (
            Trial("cvs.server", "a server for a working copy", command="cvs server", input=b"valid-requests\n",
                  shows="Valid-requests"),
            *denied("cvs.program", "an option of the client's, or another command", *others),
        )  # fmt: skip


def _find_cvs(jail: Jail) -> str:
    path = jail.find_program("cvs")
    if path is None:
        raise ConfigError("cvs", "not found on this host", hint="install cvs")
    return path


plugin = Cvs()
