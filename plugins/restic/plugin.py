"""The restic plugin: restic over ssh, through ``rclone serve restic --stdio``.

Restic's sftp backend renames, changes modes and removes locks, so no sftp server can hold it to adding.  rclone can:
``--append-only`` refuses to remove or replace anything but locks.  Whatever the client asks for, the same is executed.
"""

from __future__ import annotations

from collections.abc import Mapping

from jailssh.core.errors import ConfigError
from jailssh.plugin.api import API_VERSION, Account, ImageNeeds, Jail, Listed, Option, PluginResult, Reach, Rule, Value
from jailssh.plugin.trials import Trial, denied
from jailssh_plugins.roots import expand, mounts


class Restic:
    """See :class:`jailssh.plugin.Plugin`."""

    api_version = API_VERSION
    name = "restic"
    summary = "backups with restic (rclone serve restic)"
    options = (
        Option("repository", "path", "", "directory of the repository", listed=Listed.ONE),
        Option("append_only", "bool", "yes", "only add and read snapshots; only locks can be removed"),
    )

    def image(self, jail: Jail, settings: Mapping[str, Value]) -> ImageNeeds:  # noqa: ARG002
        """The rclone program alone."""
        return ImageNeeds(bare_programs=(_find_rclone(jail),))

    def account(self, jail: Jail, account: Account, settings: Mapping[str, Value]) -> PluginResult:
        """One rule, whose words come from the settings."""
        if not settings["repository"]:
            raise ConfigError("[restic]", "no directory is set", hint="set repository, as in: repository = ~/restic")
        path = expand(str(settings["repository"]), account, "[restic] repository")
        rclone = _find_rclone(jail)
        place = mounts((), (path,), account, self.name)
        append = ("--append-only",) if settings["append_only"] else ()
        rule = Rule(
            id="restic.serve",
            plugin=self.name,
            program=rclone,
            command_names=tuple(dict.fromkeys(("rclone", "/usr/bin/rclone", rclone, "forced-command"))),
            literal_words=("serve", "restic", "--stdio"),
            ignore_arguments=True,
            argv_insert=("--config=/dev/null", *append, path),
            accessible_directories=place.accessible_directories,
        )
        kept = (path,) if settings["append_only"] else ()
        reach = Reach(writes=(path,), changes=() if kept else (path,), keeps=kept)
        return PluginResult((rule,), "restic", binds=place.binds, home=place.home, reach=reach)

    def trials(self, jail: Jail, account: Account, settings: Mapping[str, Value]) -> tuple[Trial, ...]:  # noqa: ARG002
        """The server answers the beginning of HTTP/2 (RFC 9113, section 3.4), and no other command of rclone runs."""
        begin = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
        others = ("rclone serve http /", "rclone serve sftp --stdio /", "rclone rcd", "rclone cat /etc/shadow",
                  "rclone", "rclone copy / /tmp/x", "restic backup /etc", "rclone serve restic")  # fmt: skip
        return (
            Trial("restic.serve", "a server for a backup", command="rclone serve restic --stdio", input=begin,
                  exits=None, shows="\x04\x00\x00\x00\x00\x00"),
            *denied("restic.program", "another command of rclone", *others),
        )  # fmt: skip


def _find_rclone(jail: Jail) -> str:
    path = jail.find_program("rclone")
    if path is None:
        raise ConfigError("rclone", "not found on this host", hint="install rclone")
    return path


plugin = Restic()
