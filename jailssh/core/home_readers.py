"""Who reads what in a home: the programs of a host that act on a file of the account's, and what keeps them out.

A jail confines a login.  A mail server, a display manager or a user manager of systemd is no login: it reads the home
by itself, outside of every jail, and some run what they read.  One row for each such path below a home; what follows
from it is made from this table: the covers that a session has over its home, what ``adduser`` looks for in the home of
an account that exists, and the table in the manual.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["file", "directory"]
Closed = Literal["cover", "pam", "sshd", "told"]

WAYS: dict[Closed, str] = {
    "cover": "hidden from every session, so that nothing in the jail can write it",
    "pam": "not read: the PAM profile refuses the service, or a login with another login shell",
    "sshd": "sshd does not read it for a jailed account",
    "told": "stays open: adduser and config check report it",
}
"""What each way of closing means."""


@dataclass(frozen=True)
class HomeReader:
    """One path below a home (``*`` stands for any text): who reads it, what could come of it, how that is closed."""

    path: str
    kind: Kind
    programs: tuple[str, ...]
    why: str
    closed: Closed


_MAIL = "its lines can be commands that run for each mail"
_SHELL = "commands that a login shell runs before the forced command"
_MANAGER = "the account's own systemd starts its units at each login"
_DESKTOP = "commands that a login at the screen runs"
_LETS_IN = "lists who else may log in"

HOME_READERS: tuple[HomeReader, ...] = (
    HomeReader(".ssh", "directory", ("sshd",), "keys that authorize logins; rc runs outside the jail", "cover"),
    HomeReader(".forward", "file", ("exim", "postfix", "sendmail", "opensmtpd"), _MAIL, "cover"),
    HomeReader(".procmailrc", "file", ("procmail",), _MAIL, "cover"),
    HomeReader(".mailfilter", "file", ("maildrop",), _MAIL, "cover"),
    HomeReader(".mailfilters", "directory", ("maildrop",), _MAIL, "cover"),
    HomeReader(".qmail", "file", ("qmail",), _MAIL, "cover"),
    HomeReader(".courier", "file", ("courier",), _MAIL, "cover"),
    HomeReader(".dovecot.sieve", "file", ("dovecot",), "runs programs with the plugin sieve_extprograms", "cover"),
    HomeReader(
        ".pam_environment",
        "file",
        ("pam_env with user_readenv",),
        "variables of sshd: a forged SSH_USER_AUTH where sshd cannot write its own",
        "cover",
    ),
    HomeReader(".pam_mount.conf.xml", "file", ("pam_mount with luserconf",), "mounts made by root at login", "told"),
    HomeReader(".k5login", "file", ("sshd with GSSAPI", "pam_krb5", "ksu"), _LETS_IN, "told"),
    HomeReader(".k5users", "file", ("ksu",), _LETS_IN, "told"),
    HomeReader(".rhosts", "file", ("sshd with HostbasedAuthentication", "rlogind", "rshd"), _LETS_IN, "sshd"),
    HomeReader(".shosts", "file", ("sshd with HostbasedAuthentication",), _LETS_IN, "sshd"),
    HomeReader(".config/systemd", "directory", ("systemd --user",), _MANAGER, "pam"),
    HomeReader(".local/share/systemd", "directory", ("systemd --user",), _MANAGER, "pam"),
    HomeReader(".config/containers/systemd", "directory", ("systemd --user with podman",), _MANAGER, "pam"),
    HomeReader(".config/environment.d", "directory", ("systemd --user",), "variables for all that it starts", "pam"),
    HomeReader(".config/user-tmpfiles.d", "directory", ("systemd --user",), "files made and removed", "pam"),
    HomeReader(".local/share/dbus-1", "directory", ("dbus-daemon --session",), "programs started on demand", "pam"),
    HomeReader(".config/autostart", "directory", ("desktops",), _DESKTOP, "pam"),
    HomeReader(".xsession", "file", ("display managers",), _DESKTOP, "pam"),
    HomeReader(".xsessionrc", "file", ("display managers",), _DESKTOP, "pam"),
    HomeReader(".xprofile", "file", ("display managers",), _DESKTOP, "pam"),
    HomeReader(".xinitrc", "file", ("startx",), _DESKTOP, "pam"),
    HomeReader(".profile", "file", ("sh", "bash", "ksh"), _SHELL, "pam"),
    HomeReader(".bash_profile", "file", ("bash",), _SHELL, "pam"),
    HomeReader(".bash_login", "file", ("bash",), _SHELL, "pam"),
    HomeReader(".bash_logout", "file", ("bash",), _SHELL, "pam"),
    HomeReader(".bashrc", "file", ("bash",), _SHELL, "pam"),
    HomeReader(".zshenv", "file", ("zsh",), _SHELL, "pam"),
    HomeReader(".zprofile", "file", ("zsh",), _SHELL, "pam"),
    HomeReader(".zshrc", "file", ("zsh",), _SHELL, "pam"),
    HomeReader(".zlogin", "file", ("zsh",), _SHELL, "pam"),
    HomeReader(".login", "file", ("csh", "tcsh"), _SHELL, "pam"),
    HomeReader(".cshrc", "file", ("csh", "tcsh"), _SHELL, "pam"),
    HomeReader(".tcshrc", "file", ("tcsh",), _SHELL, "pam"),
    HomeReader(".config/fish", "directory", ("fish",), _SHELL, "pam"),
    HomeReader(".forward+*", "file", ("postfix with recipient_delimiter", "sendmail"), _MAIL, "told"),
    HomeReader(".forward.*", "file", ("sendmail",), _MAIL, "told"),
    HomeReader(".qmail-*", "file", ("qmail",), _MAIL, "told"),
    HomeReader(".courier-*", "file", ("courier",), _MAIL, "told"),
    HomeReader("public_html", "directory", ("web servers",), "CGI programs and PHP run outside the jail", "told"),
    HomeReader(".google_authenticator", "file", ("pam_google_authenticator",), "the second factor", "told"),
    HomeReader(".yubico", "directory", ("pam_yubico",), "the second factor", "told"),
    HomeReader(".config/Yubico", "directory", ("pam_u2f",), "the second factor", "told"),
)
"""Every path that is known, those that are covered first."""


def covers() -> tuple[tuple[str, Kind], ...]:
    """Return what a session has covered in its home: names at the top of it, each a file or a directory."""
    return tuple((row.path, row.kind) for row in HOME_READERS if row.closed == "cover")
