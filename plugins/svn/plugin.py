"""The svn plugin: Subversion over ssh (``svnserve -t``).

The client of ``svn+ssh://`` runs ``svnserve -t`` and names the repository within the protocol, so the root and the
name under which changes are recorded are forced here: svnserve(8), ``--root``, ``--tunnel-user``.
"""

from __future__ import annotations

from collections.abc import Mapping

from jailssh.core.errors import ConfigError
from jailssh.plugin.api import API_VERSION, Account, ImageNeeds, Jail, Listed, Option, PluginResult, Reach, Rule, Value
from jailssh.plugin.trials import Trial, denied
from jailssh_plugins.roots import expand, mounts


class Svn:
    """See :class:`jailssh.plugin.Plugin`."""

    api_version = API_VERSION
    name = "svn"
    summary = "Subversion over ssh (svnserve -t)"
    options = (
        Option(
            "root",
            "path",
            "",
            "directory where URLs begin: a repository, or a directory of repositories",
            listed=Listed.INSTEAD,
        ),
        Option("read_only", "bool", "no", "refuse commits; the directory is mounted read-only"),
    )

    def image(self, jail: Jail, settings: Mapping[str, Value]) -> ImageNeeds:  # noqa: ARG002
        """svnserve and what it loads by name: the file system modules, and its locale."""
        return ImageNeeds(programs=(_find_server(jail),), data=("locale",))

    def account(self, jail: Jail, account: Account, settings: Mapping[str, Value]) -> PluginResult:
        """One rule."""
        if not settings["root"]:
            raise ConfigError("[svn]", "no directory is set", hint="set root, as in: root = /srv/svn")
        root = expand(str(settings["root"]), account, "[svn] root")
        read_only = bool(settings["read_only"])
        server = _find_server(jail)
        place = mounts((root,) if read_only else (), () if read_only else (root,), account, self.name)
        rule = Rule(
            id="svn.serve",
            plugin=self.name,
            program=server,
            command_names=tuple(dict.fromkeys(("svnserve", "/usr/bin/svnserve", server))),
            short_flags="t",
            required_letters="t",
            argv_insert=("--root", root, "--tunnel-user", account.name, *(("--read-only",) if read_only else ())),
            # Not the client's LANG: svnserve warns its user in three lines of a locale that is not there, and takes
            # names of repositories that are not ASCII only where there is one.
            environment=(("HOME", "/"), ("LC_ALL", "C.UTF-8")),
            noexec=True,
            accessible_directories=place.accessible_directories,
        )
        reach = Reach((root,), () if read_only else (root,))
        return PluginResult((rule,), "svn", binds=place.binds, home=place.home, reach=reach)

    def trials(self, jail: Jail, account: Account, settings: Mapping[str, Value]) -> tuple[Trial, ...]:  # noqa: ARG002
        """The server greets, and takes no option of the client's."""
        others = ("svnserve -t -r /", "svnserve --root=/ -t", "svnserve -t --tunnel-user=root", "svnserve -d",
                  "svnserve -i", "svnserve -t --config-file=/tmp/x", "svnserve", "svnserve -t --log-file=/tmp/x",
                  "svnadmin dump /srv/svn", "svn cat file:///etc/shadow")  # fmt: skip
        return (
            # It greets before it is asked for anything, and ends at the end of its input.
            Trial("svn.serve", "a server for a working copy", command="svnserve -t", exits=None, shows="( success ("),
            *denied("svn.program", "an option of the client's, or another program", *others),
        )


def _find_server(jail: Jail) -> str:
    path = jail.find_program("svnserve")
    if path is None:
        raise ConfigError("svnserve", "not found on this host", hint="install subversion")
    return path


plugin = Svn()
