"""The jails that the command tables and the fuzz targets use: plans made of the shipped plugins' own rules."""

from __future__ import annotations

from jailssh.plan import codec, ops
from jailssh.plugin.api import Account, Jail, Plugin
from jailssh.policy.rules import Rule, check_rules, rule_records
from jailssh_plugins.borg.plugin import plugin as borg
from jailssh_plugins.command.plugin import plugin as command
from jailssh_plugins.cvs.plugin import plugin as cvs
from jailssh_plugins.git.plugin import plugin as git
from jailssh_plugins.hg.plugin import plugin as hg
from jailssh_plugins.restic.plugin import plugin as restic
from jailssh_plugins.rsync.plugin import plugin as rsync
from jailssh_plugins.scp.plugin import plugin as scp
from jailssh_plugins.sftp.plugin import plugin as sftp
from jailssh_plugins.shell.plugin import plugin as shell
from jailssh_plugins.svn.plugin import plugin as svn

__all__ = ["borg", "command", "cvs", "git", "hg", "restic", "rsync", "scp", "sftp", "shell", "svn"]

ALICE = Account("alice", 1000, 1000, "alice", "/home/alice")
PROGRAMS = {
    "sftp-server": "/usr/lib/openssh/sftp-server",
    "scp": "/usr/bin/scp",
    "git": "/usr/bin/git",
    "jailssh-repos": "/usr/libexec/jailssh/jailssh-repos",
    "rsync": "/usr/bin/rsync",
    "/bin/bash": "/usr/bin/bash",
    "/usr/bin/python3": "/usr/bin/python3",
    **{
        name: f"/usr/bin/{name}"
        for name in ("borg", "cvs", "hg", "id", "rclone", "report", "svnserve", "true", "unpack")
    },
}
JAILS: dict[str, list[tuple[Plugin, dict[str, str]]]] = {
    "all": [
        (sftp, {}),
        (scp, {}),
        (git, {"read": "/srv/pub", "write": "/srv/git"}),
        (rsync, {"read": "~", "write": "~"}),
    ],
    "sftp-ro": [(sftp, {"read_only": "yes", "umask": "027", "deny_requests": "copy-data", "start": "~/in"})],
    "scp": [(scp, {})],
    "scp-up": [(scp, {"download": "no"})],
    "scp-down": [(scp, {"upload": "no"})],
    "git": [(git, {"write": "/srv/git", "archive": "yes"})],
    "git-ro": [(git, {"read": "/srv/git"})],
    "backup": [(rsync, {"write": "~/backup"})],
    "pull": [(rsync, {"read": "/srv/data,~/pub"})],
    "append": [(rsync, {"write": "/srv/in", "delete": "no", "overwrite": "no"})],
    "shell": [(shell, {}), (sftp, {})],
    "sftp-drop": [(sftp, {"write_only": "yes"})],
    "borg": [(borg, {"repositories": "~/borg", "append_only": "yes"})],
    "restic": [(restic, {"repository": "~/restic"})],
    "svn": [(svn, {"root": "/srv/svn"})],
    "hg": [(hg, {"write": "/srv/hg/x,~/y"})],
    "cvs": [(cvs, {"repositories": "/srv/cvs"})],
    "command": [
        (
            command,
            {
                "commands": "true;id <anything>;report --days <int:1:365>;"
                "report daily [-v] [-n <int:1:9>] [--all] <word>...;"
                "unpack [--as <word>] <path:~/in,/srv/in> [<path:~/in,/srv/in>]",
                "read": "/srv/in",
                "write": "~",
            },
        )
    ],
}


def value(kind: str, text: str) -> bool | str | tuple[str, ...]:
    if kind == "bool":
        return text == "yes"
    if kind == "texts":
        return tuple(text.split(";")) * bool(text)
    return tuple(text.split(",")) * bool(text) if kind in ("paths", "words") else text


def plan_of(name: str) -> codec.Plan:
    """Return a plan with the rules of the jail ``name``."""
    jail = Jail(name, tuple(plugin.name for plugin, _ in JAILS[name]), PROGRAMS.get)
    rules: list[Rule] = []
    for plugin, given in JAILS[name]:
        texts = {option.name: option.default for option in plugin.options} | given
        settings = {option.name: value(option.kind, texts[option.name]) for option in plugin.options}
        rules += plugin.account(jail, ALICE, settings).rules
    return plan_with(rules, name)


def plan_with(rules: list[Rule], name: str = "jail", home: str = ALICE.home) -> codec.Plan:
    """Return a plan with these rules and little else."""
    check_rules(rules)
    head = [
        ("jail", name),
        ("home", home),
        ("message", "limited"),
        ("net", "none"),
        ("pty", "no"),
        ("image", "/var/lib/jailssh/images/x/1"),
        ("seccomp", "x", "0" * 16),
    ]
    records = [ops.Record(verb, tuple(args)) for verb, *args in head]
    records += [ops.Record(verb, tuple(args)) for rule in rules for verb, *args in rule_records(rule)]
    return codec.Plan(ALICE.uid, ALICE.gid, ALICE.name, "0" * 16, tuple(records))
