"""The scp plugin: ``scp`` in both of its protocols.

scp of OpenSSH 9 and later speaks SFTP and asks for the sftp subsystem; ``scp -O``, older versions and many other
clients run ``scp -t`` or ``scp -f`` here.  So there is a rule for the sftp server, unless the jail has the sftp
plugin, which then decides about SFTP alone, and one for each allowed direction of the old protocol.
"""

from __future__ import annotations

from collections.abc import Mapping

from jailssh.core.errors import ConfigError
from jailssh.plugin.api import API_VERSION, Account, ImageNeeds, Jail, Option, PluginResult, Reach, Rule, Value
from jailssh.plugin.trials import Trial
from jailssh_plugins.scp import trials
from jailssh_plugins.sftp import trials as sftp_trials
from jailssh_plugins.sftp.plugin import find_server, server_rule

NO_READING = "read,opendir,readdir,readlink,symlink,hardlink,copy-data,rename,posix-rename,remove,rmdir"
"""Requests that an upload never sends; without them nothing can be read back, moved or removed."""

_LETTERS = "vrpdq"
"""What scp sends along: -v -r -p, -d "target must be a directory"; -q comes from some other clients."""


class Scp:
    """See :class:`jailssh.plugin.Plugin`."""

    api_version = API_VERSION
    name = "scp"
    summary = "file transfer with scp, new (SFTP) and old protocol"
    options = (
        Option("upload", "bool", "yes", "allow copies to this host"),
        Option("download", "bool", "yes", "allow copies from this host"),
        Option("old_protocol", "bool", "yes", "allow scp -O and scp before OpenSSH 9"),
        Option("log", "bool", "yes", "record file operations of the new protocol in the journal"),
    )

    def image(self, jail: Jail, settings: Mapping[str, Value]) -> ImageNeeds:
        """The scp program for the old protocol, the sftp server for the new one."""
        programs = [_find_scp(jail)] if settings["old_protocol"] else []
        if "sftp" not in jail.plugins:
            programs.append(find_server(jail))
        return ImageNeeds(programs=tuple(programs))

    def account(self, jail: Jail, account: Account, settings: Mapping[str, Value]) -> PluginResult:
        """Rules for the allowed directions."""
        upload, download = bool(settings["upload"]), bool(settings["download"])
        if not upload and not download:
            raise ConfigError("[scp]", "upload and download are both off", hint="remove scp from the jail's plugins")
        rules = []
        if "sftp" not in jail.plugins:
            flags = () if upload and download else ("-P", NO_READING) if upload else ("-R",)
            log = bool(settings["log"])
            rules.append(server_rule("scp.sftp", self.name, find_server(jail), flags, log=log))
        if settings["old_protocol"]:
            scp = _find_scp(jail)
            if upload:
                rules.append(_old("scp.upload", scp, account, "t", most=1))
            if download:
                rules.append(_old("scp.download", scp, account, "f", most=1024))
            if "shell" not in jail.plugins:
                rules.append(_winscp(scp))
        # Beside the sftp plugin, SFTP is that one's matter.
        uploads = any(rule.id == "scp.upload" or (rule.id == "scp.sftp" and upload) for rule in rules)
        reach = Reach(writes=("/",) if uploads else ())
        return PluginResult(tuple(rules), "scp", home="rw" if upload else "ro", reach=reach)

    def trials(self, jail: Jail, account: Account, settings: Mapping[str, Value]) -> tuple[Trial, ...]:
        """The directions in each protocol that is allowed."""
        upload, download = bool(settings["upload"]), bool(settings["download"])
        found: list[Trial] = []
        if "sftp" not in jail.plugins:
            denies = frozenset(NO_READING.split(",")) if upload and not download else frozenset()
            found += sftp_trials.trials("scp.sftp", account, denies=denies, keeps=False, read_only=not upload)
        if settings["old_protocol"]:
            found += trials.trials(account, upload=upload, download=download)
        return tuple(found)


def _find_scp(jail: Jail) -> str:
    path = jail.find_program("scp")
    if path is None:
        raise ConfigError("scp", "not found on this host", hint="install openssh-client")
    return path


def _old(rule: str, scp: str, account: Account, direction: str, *, most: int) -> Rule:
    return Rule(
        id=rule,
        plugin="scp",
        program=scp,
        command_names=tuple(dict.fromkeys(("scp", "/usr/bin/scp", scp))),
        short_flags=_LETTERS + direction,
        required_letters=direction,
        argv_insert=("--",),
        end_of_options=True,
        operands=(1, most, "path"),
        relative_to=account.home,
        # The jail is the border: scp may name any path that the jail shows, as its sftp side may.
        path_roots=("/",),
        glob=direction == "f",
    )


def _winscp(scp: str) -> Rule:
    """Return the answer to what WinSCP asks a shell for, ``echo "…"; scp -t …; echo "…:$?"``."""
    return Rule(
        id="scp.winscp",
        plugin="scp",
        program=scp,
        command_names=("echo",),
        literal_words=("WinSCP: this is begin-of-file",),
        ignore_arguments=True,
        builtin_reply=(126, "WinSCP's SCP mode needs a shell; set File protocol to SFTP"),
    )


plugin = Scp()
