"""Every setting, one row each: the rows drive the reader, ``config show`` and the documentation.

Kinds: ``bool`` (yes/no), ``word``, ``words`` (separated by spaces or commas), ``text`` (quoted when it has a comma),
``texts`` (separated by commas), ``names`` (of variables,
with or without a ``*`` at the end), ``path``, ``paths`` (separated by commas; ``~/…`` is below the home), ``int``,
``count`` (not negative, may be empty), ``seconds``, ``size`` (bytes, or with K M G), ``octal``, ``octal?`` (may be
empty), ``enum:a,b``,
``most`` (from 1, may be empty), ``bound`` (from 1, or none), ``memory`` (a size, a percentage or none), ``percent`` (or
none), ``weight`` (1 to 10000, or none), ``nice``, ``duration`` (``90``, ``1h30m``), ``rate`` (bytes per second, or a
class of the main file), ``addresses``, ``hours``, ``moment`` (a date with or without a time), ``rights`` (lines, or
a file).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from jailssh.core.closed import Word
from jailssh.plugin.api import Option


class SettingKind(Word):
    """The kinds by name; beside them there is ``enum:`` with words of its own."""

    BOOL = "bool"
    WORD = "word"
    WORDS = "words"
    TEXT = "text"
    TEXTS = "texts"
    NAMES = "names"
    PATH = "path"
    PATHS = "paths"
    INT = "int"
    COUNT = "count"
    SECONDS = "seconds"
    SIZE = "size"
    OPTIONAL_SIZE = "size?"
    OCTAL = "octal"
    OPTIONAL_OCTAL = "octal?"
    MOST = "most"
    BOUND = "bound"
    MEMORY = "memory"
    PERCENT = "percent"
    WEIGHT = "weight"
    NICE = "nice"
    DURATION = "duration"
    RATE = "rate"
    ADDRESSES = "addresses"
    HOURS = "hours"
    MOMENT = "moment"
    RIGHTS = "rights"


HOLDS_PATHS = (SettingKind.PATH, SettingKind.PATHS)


@dataclass(frozen=True)
class Setting:
    """One setting: ``section`` ("" is the top of the file), name, kind, default as written in a file, help.

    ``former``: the name that it had in the version before, which is read as this one; "" for none.
    """

    section: str
    name: str
    kind: str
    default: str
    help: str
    former: str = ""


def plugin_settings(plugin: str, options: Sequence[Option]) -> tuple[Setting, ...]:
    """Return the rows of a plugin's section in a jail file."""
    return tuple(Setting(plugin, option.name, option.kind, option.default, option.help) for option in options)


MAIN: tuple[Setting, ...] = (
    Setting("", "require_journal", "bool", "no", "refuse logins that the journal cannot record"),
    Setting("", "build_timeout", "seconds", "60", "seconds that a login waits while its jail is built"),
    Setting("", "third_party_plugins", "words", "", "allowed plugins that are not part of jailssh"),
    Setting("", "third_party_checks", "words", "", "allowed integrity checks that are not part of jailssh"),
    Setting("", "audit_keep", "duration", "366d", "how long the runs of the audit are kept"),
    Setting("", "audit_mail", "words", "", "addresses that get a mail when a run of the audit has something new"),
    Setting("", "audit_command", "path", "", "program of root's that gets such a run as JSON on standard input"),
    Setting("", "audit_textfile", "path", "", "file for the numbers of each run, as in /var/lib/node/jailssh.prom"),
    Setting("", "deny_groups", "words",
            "root sudo wheel admin docker disk adm lxd incus incus-admin libvirt shadow kmem",
            "groups whose members can escape any jail; adduser refuses them without --force", former="refuse_groups"),
    Setting("", "pam_services", "words", "",
            "PAM services besides sshd that jailed accounts may use, outside their jail (unsafe), as in: cron"),
    Setting("", "pam_inside", "words", "",
            "PAM services whose commands run in the jail of a jailed account: any of cron crond atd su login"),
    Setting("", "mail_inside", "bool", "no",
            "mail servers run commands of a jailed account in its jail, by jailssh-deliver, if they are set so"),
    Setting("", "min_uid", "int", "1000", "lowest uid of a jailed account; lower ones are system accounts"),
    Setting("", "keep_generations", "int", "2", "number of images to keep for each jail, with the current one"),
)  # fmt: skip

PULL: tuple[Setting, ...] = (
    Setting("", "command", "text", "", "command without a shell that writes a signed bundle to standard output"),
    Setting("", "user", "word", "nobody", "account that the command runs as"),
    Setting("", "max_age", "duration", "", "how old the newest bundle may be before jailssh check says so, as in 2d"),
)
"""The settings of ``pull.conf``, which is each host's own: nobody who signs bundles names a command that runs here."""

IMAGE: tuple[Setting, ...] = (Setting("", "digest", "word", "", "digest of the image that is pulled for the jail"),)
"""The setting of ``images/JAIL.conf``, by which a signed bundle says what may be pulled."""

RLIMITS = ("as", "core", "cpu", "fsize", "nofile", "nproc")
"""The settings of a jail's section ``limits`` that the kernel holds each process to (setrlimit(2))."""

JAIL: tuple[Setting, ...] = (
    Setting("", "summary", "text", "", "purpose of the jail, in one line"),
    Setting("", "extends", "word", "", "shipped profile that this file extends"),
    Setting("", "plugins", "words", "", "plugins of the jail: what its accounts can do"),
    Setting("", "packages", "words", "", "installed packages to have in the jail, with what they need"),
    Setting("", "files", "paths", "", "files and directories of this host to have in the jail"),
    Setting("", "root", "enum:image,live", "image", "image: a copy; live: the host's /usr, read-only"),
    Setting("", "inaccessible_paths", "paths", "/usr/local/etc", "directories below /usr to hide in a live root",
            former="hide"),
    Setting("", "network", "enum:auto,none,loopback,outbound,host", "auto",
            "none; loopback: its own; outbound: with a way out; host: the host's; auto: loopback for shells, or none"),
    Setting("", "forward", "enum:no,inside", "no",
            "inside: sshd forwards ports for accounts in it, to and from the jail's own loopback alone"),
    Setting("", "services", "words", "",
            "services of this host that it reaches by socket: mysql postgresql redis memcached, /run/NAME"),
    Setting("", "groups", "words", "", "Unix groups whose members get this jail"),
    Setting("", "enter", "words", "",
            "accounts, and groups as in @staff, that may use this jail on this host by: jailssh enter JAIL"),
    Setting("", "home_keys", "bool", "no",
            "accept keys in ~/.ssh/authorized_keys of members of groups; no: keys in /etc/jailssh/keys only"),
    Setting("", "directory_keys", "bool", "no",
            "accept the keys that SSSD has of members of groups (sss_ssh_authorizedkeys), as in LDAP's sshPublicKey"),
    Setting("", "supplementary_groups", "words", "", "groups that their members keep in the jail"),
    Setting("", "group_members", "bool", "no",
            "names of the other members of supplementary_groups in the jail, up to 256"),
    Setting("", "hostname", "word", "jail", "host name inside the jail, where it resolves to a loopback address"),
    Setting("", "tmp_size", "size", "64M", "size of the private /tmp"),
    Setting("", "umask", "octal", "022", "umask of the commands"),
    Setting("", "linger", "bool", "no",
            "what is in the background outlives a login; all logins of an account share one jail"),
    Setting("", "crontab", "bool", "no", "crontab(1) in the jail sets jobs that cron runs in it"),
    Setting("", "record", "enum:no,output,input", "no",
            "record sessions at a terminal: output: what is shown; input: also what is typed while it is echoed"),
    Setting("", "record_size", "size", "64M", "maximum size of a recording; the session ends with it"),
    Setting("", "transfers", "bool", "no", "record the SHA-256 of each file that a session wrote by sftp, scp, rsync"),
    Setting("", "log", "bool", "no", "relay what programs in the jail log to the host's journal, with whose it is"),
    Setting("", "shared_directories", "bool", "no", "plugins may write what another one trusts or protects (unsafe)"),
    Setting("", "accept_env", "names", "", "variables to accept from the client, as in TZ EDITOR CI_*"),
    Setting("", "message", "text", "", "line for a denied user; empty: what the account allows"),
    Setting("directories", "read", "texts", "", "directories of the host to show read-only, each with a path inside: "
            "/srv/logs, /srv/www/site as /site, ~/%k"),
    Setting("directories", "write", "texts", "", "directories to show writable, likewise"),
    Setting("directories", "mode", "octal?", "", "mode of files made there, as in 0664; directories: x where r is"),
    Setting("directories", "group", "word", "", "group of what is made there"),
    Setting("limits", "as", "size?", "", "address space of a process"),
    Setting("limits", "core", "size?", "0", "size of a core dump"),
    Setting("limits", "cpu", "count", "", "CPU seconds of a process"),
    Setting("limits", "fsize", "size?", "", "size of a written file"),
    Setting("limits", "nofile", "count", "1024", "open files of a process"),
    Setting("limits", "nproc", "count", "256", "processes of the uid, also in other containers; see tasks"),
    Setting("limits", "memory", "memory", "50%", "memory of all sessions of an account, with /tmp; or none"),
    Setting("limits", "tasks", "bound", "512", "processes and threads of all sessions of an account; or none"),
    Setting("limits", "cpu_quota", "percent", "none", "CPU time of an account, 150% is one and a half CPUs; or none"),
    Setting("limits", "cpu_weight", "weight", "50", "CPU weight, 1 to 10000, others have 100; none: the same"),
    Setting("limits", "io_weight", "weight", "50", "disk I/O weight, 1 to 10000, others have 100; none: the same"),
    Setting("limits", "disk", "size?", "", "space for files of an account on each file system that it can write to"),
    Setting("limits", "files", "count", "", "number of files of an account there"),
    Setting("limits", "max_sessions", "most", "", "maximum sessions of an account at a time", former="sessions"),
    Setting("limits", "max_sessions_per_key", "most", "", "maximum sessions of a named key of a shared account",
            former="sessions_per_key"),
    Setting("limits", "max_duration", "duration", "", "maximum duration of a session, as in 8h", former="duration"),
    Setting("limits", "idle_timeout", "duration", "", "maximum time of a session without traffic, as in 30m",
            former="idle"),
    Setting("limits", "nice", "nice", "0", "nice value, 0 to 19 (nice(1))"),
    Setting("limits", "bandwidth", "rate", "", "bytes per second each way, as in 512K, or a class of [bandwidth]"),
    Setting("limits", "log_base", "size", "512K", "bytes of messages that an account may log in each log_interval"),
    Setting("limits", "log_peak", "size", "4M", "bytes of messages that it may log at once"),
    Setting("limits", "log_interval", "seconds", "5", "seconds in which log_base is allowed anew"),
    Setting("limits", "addresses", "addresses", "", "addresses and networks that may log in"),
    Setting("limits", "hours", "hours", "", "times of logins, as in mon-fri 08:00-18:00, local time"),
    Setting("limits", "expires", "moment", "", "last day of logins, as in 2027-01-31, or end: 2027-01-31 18:00"),
)  # fmt: skip

_OF_ACCOUNT = ("disk", "files", "max_sessions", "addresses", "hours", "expires")

USER: tuple[Setting, ...] = (
    Setting("", "uid", "int", "", "uid of the account; it is refused if its uid is another one"),
    Setting("", "jail", "words", "", "jails of the account, or plugins with their defaults; several are combined"),
    Setting("", "home", "path", "", "path at which the jail shows the home; empty: its path on the host"),
    *(row for row in JAIL if row.section == "directories" and row.name in ("read", "write")),
    *(row for row in JAIL if row.section == "limits" and row.name in _OF_ACCOUNT),
)

FORMER: Mapping[tuple[str, str], str] = MappingProxyType(
    {(row.section, row.former): row.name for row in (*MAIN, *JAIL) if row.former}
)
"""The names of the version before by section and name, with the names of now."""
