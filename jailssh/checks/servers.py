"""Other servers that act as an account in a jail, or admit it: mail, FTP, web, D-Bus, remote shells of old."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from jailssh.core.errors import HostError
from jailssh.host import install, process
from jailssh.integrity.check import Check
from jailssh.integrity.finding import Finding, Kind, Severity
from jailssh.integrity.kept import stamp_of
from jailssh.integrity.scene import Scene
from jailssh.services import mail

MAIL = Kind(
    "JSH-531", Severity.MEDIUM, "mail server reads files of homes that no session hides",
    "An account in a jail can write commands there, which run outside of the jail for each mail.",
    "have it read $home/.forward alone, or forbid commands in such files",
)  # fmt: skip
FTP = Kind(
    "JSH-532", Severity.HIGH, "FTP server admits accounts past PAM",
    "An account in a jail logs in to it with its password, outside of the jail.",
    "have it ask PAM alone, and refuse shells that are not in /etc/shells",
)  # fmt: skip
LISTED = Kind(
    "JSH-533", Severity.LOW, "login program is listed in /etc/shells",
    "FTP servers and others take an account with a listed shell for an ordinary one; chsh offers it to everybody.",
    "remove its line from /etc/shells",
)  # fmt: skip
RUNS_AS = Kind(
    "JSH-534", Severity.MEDIUM, "service that runs programs as an account in a jail",
    "Programs that the account brings into its home run outside of the jail, with its rights.",
    "give the service an account of its own, or take this into account",
)  # fmt: skip
OLD_SHELL = Kind(
    "JSH-535", Severity.MEDIUM, "remote shell server of old",
    "rsh, rlogin, rexec and telnet admit by the name of a host or with a password in the clear.",
    "remove its package, or switch its service off",
)  # fmt: skip

UNSAFE = Kind(
    "JSH-536", Severity.MEDIUM, "configuration of a server that is not root's alone",
    "Who can write it says as whom programs run; what it says is not looked at.",
    "chown root, chmod go-w: the file, and the directories above it",
)  # fmt: skip
COMMANDS = Kind(
    "JSH-537", Severity.LOW, "mail server that runs commands of accounts outside of jails",
    "A command in a .forward file that was there before the jail, or a delivery program, acts for the account there.",
    "have it run them by jailssh-deliver, see jailssh-deliver(8)",
)  # fmt: skip

_SHELLS = "/etc/shells"
_POOL = "$pool"
"""In PHP-FPM's files the name of the pool, which is that of the section."""
_SECTION = re.compile(r"^\s*\[([^]\n]+)\]", re.MULTILINE)
_LIMIT = 1 << 20


@dataclass(frozen=True)
class _Place:
    """Files in which a service is told as whom it runs something; ``line``: with the account as its group."""

    service: str
    files: tuple[str, ...]
    line: re.Pattern[str]

    def accounts_in(self, text: str) -> list[str]:
        """Return the accounts that a file names, each once."""
        before, *sections = _SECTION.split(text)
        filled = (body.replace(_POOL, name) for name, body in zip(sections[::2], sections[1::2], strict=True))
        return list(dict.fromkeys(self.line.findall("".join((before, *filled)) if _POOL in text else text)))


def _line(text: str) -> re.Pattern[str]:
    return re.compile(text, re.MULTILINE | re.IGNORECASE)


PLACES = (
    _Place(
        "PHP-FPM pool",
        ("/etc/php/*/fpm/pool.d/*.conf", "/etc/php/*/fpm/php-fpm.conf", "/etc/php-fpm.d/*.conf", "/etc/php-fpm.conf",
         "/usr/local/etc/php-fpm.d/*.conf"),
        _line(r"^\s*user\s*=\s*[\"']?([^\s;\"']+)"),
    ),
    _Place(
        "Apache suexec",
        ("/etc/apache2/*-enabled/*.conf", "/etc/apache2/apache2.conf", "/etc/httpd/conf/*.conf",
         "/etc/httpd/conf.d/*.conf"),
        _line(r"^\s*(?:SuexecUserGroup|AssignUserID|RUidGid|PassengerUser)\s+[\"']?#?([^\s\"']+)"),
    ),
    _Place(
        "uWSGI",
        ("/etc/uwsgi/apps-enabled/*", "/etc/uwsgi.d/*", "/etc/uwsgi-emperor/vassals/*"),
        _line(r"^\s*(?:<uid>|uid\s*[=:])\s*([^\s<]+)"),
    ),
    _Place(
        "supervisor",
        ("/etc/supervisor/supervisord.conf", "/etc/supervisor/conf.d/*.conf", "/etc/supervisord.conf",
         "/etc/supervisord.d/*.ini"),
        _line(r"^\s*user\s*=\s*([^\s;]+)"),
    ),
    _Place(
        "D-Bus service",
        ("/usr/share/dbus-1/system-services/*.service", "/usr/local/share/dbus-1/system-services/*.service",
         "/etc/dbus-1/system-services/*.service", "/run/dbus-1/system-services/*.service"),
        _line(r"^\s*User\s*=\s*(\S+)"),
    ),
    _Place(
        "inetd",
        ("/etc/inetd.conf", "/etc/inetd.d/*"),
        _line(r"^\s*[^#\s]\S*\s+(?:stream|dgram|seqpacket|raw|rdm)\s+\S+\s+(?:no)?wait\S*\s+([^\s:.]+)"),
    ),
    _Place("xinetd", ("/etc/xinetd.conf", "/etc/xinetd.d/*"), _line(r"^\s*user\s*=\s*(\S+)")),
)  # fmt: skip
"""Where administrators write down the account of a service of several."""

_PROFTPD = ("/etc/proftpd/proftpd.conf", "/etc/proftpd.conf")
_PURE = ("/etc/pure-ftpd/conf",)
_OLD = ("in.rshd", "in.rlogind", "in.rexecd", "in.telnetd", "rshd", "rlogind", "rexecd", "telnetd")
_OLD_FOLDERS = ("/usr/sbin", "/usr/libexec", "/usr/lib/inetutils", "/usr/local/libexec")
_MAIL_FILES = ("/etc/postfix/main.cf", "/etc/exim4/exim4.conf", "/etc/exim4/exim4.conf.template",
               "/etc/exim4/update-exim4.conf.conf", "/var/lib/exim4/config.autogenerated", "/etc/exim/exim.conf",
               "/usr/sbin/postconf", "/usr/sbin/exim4", "/usr/sbin/exim", "/usr/bin/procmail", "/usr/bin/maildrop",
               "/usr/lib/dovecot/deliver")  # fmt: skip
_YES = ("on", "yes", "true", "1")


@dataclass(frozen=True)
class Service:
    """A service that runs something as an account: what it is, the file that says so, the account and its jail."""

    service: str
    path: str
    account: str
    jail: str


@dataclass(frozen=True)
class Facts:
    """``mail``: what, why and cure of each; ``ftp``: server and why; ``old``: programs of remote shell servers.

    ``commands``: as ``mail``, of what runs commands.  ``unsafe``: files that are not read, each with why.
    """

    mail: tuple[tuple[str, str, str], ...] = ()
    ftp: tuple[tuple[str, str], ...] = ()
    services: tuple[Service, ...] = ()
    old: tuple[str, ...] = ()
    listed: str = ""
    unsafe: tuple[tuple[str, str], ...] = ()
    commands: tuple[tuple[str, str, str], ...] = ()


def collect(scene: Scene) -> Facts:
    """Read what these services are told; postconf(1) and exim are asked again when their files have changed."""
    if not scene.jailed:
        return Facts()
    login, deliver = scene.layout.login_program, scene.layout.deliver_program
    asked = stamp_of(_MAIL_FILES, deliver)
    postal = scene.kept.get("servers", "mail", asked, lambda: [list(row) for row in mail.findings(deliver)])
    commands = scene.kept.get("servers", "commands", asked, lambda: [list(row) for row in mail.commands(deliver)])
    unsafe: dict[str, str] = {}
    listed = login in _text(_SHELLS, unsafe).split()
    jails = {name: person.jail for name, person in scene.jailed.items()}
    uids = {str(person.entry.uid): name for name, person in scene.jailed.items()}
    paths = [(place, sorted(path for pattern in place.files for path in glob.glob(pattern))) for place in PLACES]
    stamp = stamp_of([path for _, found in paths for path in found])
    rows, unread = scene.kept.get("servers", "lines", stamp, lambda: _named(paths))
    unsafe.update(unread)
    services = []
    for service, path, word in rows:
        name = uids.get(word, word)
        if name in jails:
            services.append(Service(service, path, name, jails[name]))
    old = [f"{folder}/{name}" for folder in _OLD_FOLDERS for name in _OLD if os.path.exists(f"{folder}/{name}")]
    ftp = [*about_proftpd(_proftpd(unsafe), listed=listed), *_pure_ftpd(listed, unsafe)]
    return Facts(
        tuple(tuple(row) for row in postal), tuple(ftp), tuple(services), tuple(old), login if listed else "",
        tuple(sorted(unsafe.items())), tuple(tuple(row) for row in commands),
    )  # fmt: skip


def _named(paths: Iterable[tuple[_Place, list[str]]]) -> tuple[list[list[str]], dict[str, str]]:
    """Return service, path and account of each line that names one, and which files could not be read, and why."""
    unsafe: dict[str, str] = {}
    rows = [
        [place.service, path, word]
        for place, files in paths
        for path in files
        for word in place.accounts_in(_text(path, unsafe))
    ]
    return rows, unsafe


def _text(path: str, unsafe: dict[str, str]) -> str:
    """Return the text of a file of root's, "" for one that is not there; one of others' is noted in ``unsafe``."""
    try:
        return (install.read_followed(path, _LIMIT) or b"").decode("utf-8", "surrogateescape")
    except HostError as error:
        if not os.path.isdir(path):
            unsafe[path] = error.why
    return ""


def _proftpd(unsafe: dict[str, str]) -> str:
    if process.find_program("proftpd") is None:
        return ""
    return "\n".join(_text(path, unsafe) for path in (*_PROFTPD, *sorted(glob.glob("/etc/proftpd/conf.d/*.conf"))))


def about_proftpd(text: str, *, listed: bool) -> Iterator[tuple[str, str]]:
    """Give why ProFTPD with this configuration admits an account that PAM refuses; ``listed``: its shell is."""
    if not text.strip():
        return
    values = {}
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if len(words) > 1:
            values[words[0].lower()] = [word.lower() for word in words[1:]]
    shell = listed or values.get("requirevalidshell", ["on"])[0] not in _YES
    alone = "mod_auth_pam.c*" in values.get("authorder", [])
    if shell and (not alone or values.get("authpam", ["on"])[0] not in _YES):
        why = "checks passwords itself where PAM refuses (AuthOrder without mod_auth_pam.c*)"
        yield "proftpd", f"{why}, and accepts the login program as shell"


def _pure_ftpd(listed: bool, unsafe: dict[str, str]) -> Iterator[tuple[str, str]]:
    for folder in _PURE:
        if listed and _text(f"{folder}/UnixAuthentication", unsafe).strip().lower() in _YES:
            yield (
                "pure-ftpd",
                "UnixAuthentication checks passwords without PAM, and the login program is a listed shell",
            )


def judge(facts: Facts) -> Iterable[Finding]:
    """Return what acts for accounts in jails, or admits them."""
    for what, why, cure in facts.mail:
        yield Finding(MAIL, what, why, cure=cure)
    for what, why, cure in facts.commands:
        yield Finding(COMMANDS, what, why, cure=cure)
    for what, why in facts.ftp:
        yield Finding(FTP, what, why)
    for each in facts.services:
        yield Finding(
            RUNS_AS, f"{each.service} of account {each.account}", f"{each.path} names it", path=each.path,
            account=each.account, jail=each.jail,
        )  # fmt: skip
    for path in facts.old:
        yield Finding(OLD_SHELL, f"program {path}", "is installed", path=path)
    for path, why in facts.unsafe:
        yield Finding(UNSAFE, f"file {path}", why, path=path)
    if facts.listed:
        yield Finding(LISTED, f"file {_SHELLS}", f"names {facts.listed}", path=_SHELLS)


def accounts_of(text: str, place: str) -> Collection[str]:
    """Return the accounts that a file names for the service ``place``."""
    return {word for each in PLACES if each.service == place for word in each.accounts_in(text)}


CHECK = Check(
    "servers", "mail, FTP, web and other servers that act as accounts in jails or admit them",
    (MAIL, FTP, LISTED, RUNS_AS, OLD_SHELL, UNSAFE, COMMANDS), collect, judge,
)  # fmt: skip
