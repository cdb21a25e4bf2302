"""Every setting, one row each: the rows drive the reader, ``config show`` and the documentation.

Kinds: ``bool`` (yes/no), ``word``, ``words`` (separated by spaces or commas), ``text`` (quoted when it has a comma),
``texts`` (separated by commas), ``names`` (of variables,
with or without a ``*`` at the end), ``path``, ``paths`` (separated by commas; ``~/…`` is below the home), ``int``,
``count`` (not negative, may be empty), ``seconds``, ``size`` (bytes, or with K M G), ``octal``, ``enum:a,b``,
``most`` (from 1, may be empty), ``bound`` (from 1, or none), ``memory`` (a size, a percentage or none), ``percent`` (or
none), ``weight`` (1 to 10000, or none), ``nice``, ``duration`` (``90``, ``1h30m``), ``rate`` (bytes per second, or a
class of the main file), ``addresses``, ``hours``, ``moment`` (a date with or without a time), ``rights`` (lines, or
a file).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jailssh.plugin.api import Option


@dataclass(frozen=True)
class Setting:
    """One setting: ``section`` ("" is the top of the file), name, kind, default as written in a file, help."""

    section: str
    name: str
    kind: str
    default: str
    help: str


def plugin_settings(plugin: str, options: Sequence[Option]) -> tuple[Setting, ...]:
    """Return the rows of a plugin's section in a jail file."""
    return tuple(Setting(plugin, option.name, option.kind, option.default, option.help) for option in options)


MAIN: tuple[Setting, ...] = (
    Setting("", "require_journal", "bool", "no", "refuse a login that the journal cannot record"),
    Setting("", "build_timeout", "seconds", "60", "how long a login waits for its jail to be built, in seconds"),
    Setting("", "third_party_plugins", "words", "", "plugins that are not part of jailssh and may be used"),
    Setting("", "refuse_groups", "words",
            "root sudo wheel admin docker disk adm lxd incus incus-admin libvirt shadow kmem",
            "members of these groups can leave any jail, so adduser refuses them without --force"),
    Setting("", "pam_services", "words", "",
            "services of PAM besides sshd by which accounts in a jail come in, outside of it, as in: cron"),
    Setting("", "min_uid", "int", "1000", "accounts with a lower uid belong to the system and are refused"),
    Setting("", "keep_generations", "int", "2", "how many images of a jail stay, the current one included"),
)  # fmt: skip

RLIMITS = ("as", "core", "cpu", "fsize", "nofile", "nproc")
"""The settings of a jail's section ``limits`` that the kernel holds each process to (setrlimit(2))."""

JAIL: tuple[Setting, ...] = (
    Setting("", "summary", "text", "", "what this jail is for, in one line"),
    Setting("", "extends", "word", "", "a shipped profile that this file takes over and changes"),
    Setting("", "plugins", "words", "", "what the account can do"),
    Setting("", "root", "enum:image,live", "image", "an image with copies, or live: the host's /usr, read-only"),
    Setting("", "hide", "paths", "/usr/local/etc", "directories below /usr that a live root hides"),
    Setting("", "network", "enum:none,host", "none", "none, or the host's network"),
    Setting("", "groups", "words", "", "members of these groups get this jail without being named"),
    Setting("", "home_keys", "bool", "no",
            "members of groups also log in by ~/.ssh/authorized_keys; no: by keys in /etc/jailssh/keys alone"),
    Setting("", "supplementary_groups", "words", "", "groups that an account keeps inside, if it is a member"),
    Setting("", "hostname", "word", "jail", "the host name that is seen inside"),
    Setting("", "tmp_size", "size", "64M", "size of the private /tmp"),
    Setting("", "umask", "octal", "022", "umask of the commands"),
    Setting("", "shared_directories", "bool", "no", "plugins may write what another one trusts or promises to keep"),
    Setting("", "accept_env", "names", "", "variables of the client that are passed on, as in TZ EDITOR CI_*"),
    Setting("", "message", "text", "", "line for a denied user; empty: what the account is limited to"),
    Setting("limits", "as", "size?", "", "address space of a process"),
    Setting("limits", "core", "size?", "0", "size of a core dump"),
    Setting("limits", "cpu", "count", "", "CPU seconds of a process"),
    Setting("limits", "fsize", "size?", "", "size of a file that is written"),
    Setting("limits", "nofile", "count", "1024", "open files of a process"),
    Setting("limits", "nproc", "count", "256", "processes of the uid, other containers' too; see tasks"),
    Setting("limits", "memory", "memory", "50%", "memory of the account in all its sessions, its /tmp too, or none"),
    Setting("limits", "tasks", "bound", "512", "processes and threads of the account in all its sessions, or none"),
    Setting("limits", "cpu_quota", "percent", "none", "processor time of the account: 150% is one and a half, or none"),
    Setting("limits", "cpu_weight", "weight", "50", "its share of busy processors, others have 100; none: the same"),
    Setting("limits", "io_weight", "weight", "50", "its share of busy disks, others have 100; none: the same"),
    Setting("limits", "sessions", "most", "", "sessions of an account at a time"),
    Setting("limits", "sessions_per_key", "most", "", "sessions of one named key of a shared account at a time"),
    Setting("limits", "duration", "duration", "", "a session ends after this time, as in 8h"),
    Setting("limits", "idle", "duration", "", "a session ends after this time without traffic, as in 30m"),
    Setting("limits", "nice", "nice", "0", "how much the account's programs stand back for others, 0 to 19"),
    Setting("limits", "bandwidth", "rate", "", "bytes per second each way, as in 512K, or a class of [bandwidth]"),
    Setting("limits", "addresses", "addresses", "", "logins are taken from these addresses and networks only"),
    Setting("limits", "hours", "hours", "", "logins are taken then only, as in mon-fri 08:00-18:00, local time"),
    Setting("limits", "expires", "moment", "", "no login after this day, as in 2027-01-31, or 2027-01-31 18:00"),
)  # fmt: skip

USER: tuple[Setting, ...] = (
    Setting("", "uid", "int", "", "the account's uid; a file that names another account's uid is refused"),
    Setting("", "jail", "words", "", "the account's jails, or plugins with their defaults; several are combined"),
    *(row for row in JAIL if row.name in ("sessions", "addresses", "hours", "expires")),
)
