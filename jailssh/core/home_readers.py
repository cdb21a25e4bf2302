"""Who reads what in a home: the programs of a host that act on a file of the account's, and what keeps them out.

A jail confines a login.  A mail server, a display manager or a user manager of systemd is no login: it reads the home
by itself, outside of every jail, and some run what they read.  One row for each such path below a home; what follows
from it is made from this table: the covers that a session has over its home, what ``adduser`` looks for in the home of
an account that exists, and the table in the manual.
"""

from __future__ import annotations

from dataclasses import dataclass

from jailssh.core.closed import Word


class Kind(Word):
    """What is at the path."""

    FILE = "file"
    DIRECTORY = "directory"


class Closed(Word):
    """What keeps the programs out."""

    COVER = "cover"
    PAM = "pam"
    SSHD = "sshd"
    TOLD = "told"


WAYS: dict[Closed, str] = {
    Closed.COVER: "hidden from every session, so that nothing in the jail can write it",
    Closed.PAM: "not read: the PAM profile refuses the service, or a login with another login shell",
    Closed.SSHD: "sshd does not read it for a jailed account",
    Closed.TOLD: "stays open: adduser and config check report it",
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
    HomeReader(".ssh", Kind.DIRECTORY, ("sshd",), "keys that authorize logins; rc runs outside the jail", Closed.COVER),
    HomeReader(".forward", Kind.FILE, ("exim", "postfix", "sendmail", "opensmtpd"), _MAIL, Closed.COVER),
    HomeReader(".procmailrc", Kind.FILE, ("procmail",), _MAIL, Closed.COVER),
    HomeReader(".mailfilter", Kind.FILE, ("maildrop",), _MAIL, Closed.COVER),
    HomeReader(".mailfilters", Kind.DIRECTORY, ("maildrop",), _MAIL, Closed.COVER),
    HomeReader(".qmail", Kind.FILE, ("qmail",), _MAIL, Closed.COVER),
    HomeReader(".courier", Kind.FILE, ("courier",), _MAIL, Closed.COVER),
    HomeReader(
        ".dovecot.sieve", Kind.FILE, ("dovecot",), "runs programs with the plugin sieve_extprograms", Closed.COVER
    ),
    HomeReader(
        ".pam_environment",
        Kind.FILE,
        ("pam_env with user_readenv",),
        "variables of sshd: a forged SSH_USER_AUTH where sshd cannot write its own",
        Closed.COVER,
    ),
    HomeReader(
        ".pam_mount.conf.xml", Kind.FILE, ("pam_mount with luserconf",), "mounts made by root at login", Closed.TOLD
    ),
    HomeReader(".k5login", Kind.FILE, ("sshd with GSSAPI", "pam_krb5", "ksu"), _LETS_IN, Closed.TOLD),
    HomeReader(".k5users", Kind.FILE, ("ksu",), _LETS_IN, Closed.TOLD),
    HomeReader(".rhosts", Kind.FILE, ("sshd with HostbasedAuthentication", "rlogind", "rshd"), _LETS_IN, Closed.SSHD),
    HomeReader(".shosts", Kind.FILE, ("sshd with HostbasedAuthentication",), _LETS_IN, Closed.SSHD),
    HomeReader(".config/systemd", Kind.DIRECTORY, ("systemd --user",), _MANAGER, Closed.PAM),
    HomeReader(".local/share/systemd", Kind.DIRECTORY, ("systemd --user",), _MANAGER, Closed.PAM),
    HomeReader(".config/containers/systemd", Kind.DIRECTORY, ("systemd --user with podman",), _MANAGER, Closed.PAM),
    HomeReader(
        ".config/environment.d", Kind.DIRECTORY, ("systemd --user",), "variables for all that it starts", Closed.PAM
    ),
    HomeReader(".config/user-tmpfiles.d", Kind.DIRECTORY, ("systemd --user",), "files made and removed", Closed.PAM),
    HomeReader(
        ".local/share/dbus-1", Kind.DIRECTORY, ("dbus-daemon --session",), "programs started on demand", Closed.PAM
    ),
    HomeReader(".config/autostart", Kind.DIRECTORY, ("desktops",), _DESKTOP, Closed.PAM),
    HomeReader(".xsession", Kind.FILE, ("display managers",), _DESKTOP, Closed.PAM),
    HomeReader(".xsessionrc", Kind.FILE, ("display managers",), _DESKTOP, Closed.PAM),
    HomeReader(".xprofile", Kind.FILE, ("display managers",), _DESKTOP, Closed.PAM),
    HomeReader(".xinitrc", Kind.FILE, ("startx",), _DESKTOP, Closed.PAM),
    HomeReader(".profile", Kind.FILE, ("sh", "bash", "ksh"), _SHELL, Closed.PAM),
    HomeReader(".bash_profile", Kind.FILE, ("bash",), _SHELL, Closed.PAM),
    HomeReader(".bash_login", Kind.FILE, ("bash",), _SHELL, Closed.PAM),
    HomeReader(".bash_logout", Kind.FILE, ("bash",), _SHELL, Closed.PAM),
    HomeReader(".bashrc", Kind.FILE, ("bash",), _SHELL, Closed.PAM),
    HomeReader(".zshenv", Kind.FILE, ("zsh",), _SHELL, Closed.PAM),
    HomeReader(".zprofile", Kind.FILE, ("zsh",), _SHELL, Closed.PAM),
    HomeReader(".zshrc", Kind.FILE, ("zsh",), _SHELL, Closed.PAM),
    HomeReader(".zlogin", Kind.FILE, ("zsh",), _SHELL, Closed.PAM),
    HomeReader(".login", Kind.FILE, ("csh", "tcsh"), _SHELL, Closed.PAM),
    HomeReader(".cshrc", Kind.FILE, ("csh", "tcsh"), _SHELL, Closed.PAM),
    HomeReader(".tcshrc", Kind.FILE, ("tcsh",), _SHELL, Closed.PAM),
    HomeReader(".config/fish", Kind.DIRECTORY, ("fish",), _SHELL, Closed.PAM),
    HomeReader(".forward+*", Kind.FILE, ("postfix with recipient_delimiter", "sendmail"), _MAIL, Closed.TOLD),
    HomeReader(".forward.*", Kind.FILE, ("sendmail",), _MAIL, Closed.TOLD),
    HomeReader(".qmail-*", Kind.FILE, ("qmail",), _MAIL, Closed.TOLD),
    HomeReader(".courier-*", Kind.FILE, ("courier",), _MAIL, Closed.TOLD),
    HomeReader(
        "public_html", Kind.DIRECTORY, ("web servers",), "CGI programs and PHP run outside the jail", Closed.TOLD
    ),
    HomeReader(".google_authenticator", Kind.FILE, ("pam_google_authenticator",), "the second factor", Closed.TOLD),
    HomeReader(".yubico", Kind.DIRECTORY, ("pam_yubico",), "the second factor", Closed.TOLD),
    HomeReader(".config/Yubico", Kind.DIRECTORY, ("pam_u2f",), "the second factor", Closed.TOLD),
)
"""Every path that is known, those that are covered first."""


def covers() -> tuple[tuple[str, Kind], ...]:
    """Return what a session has covered in its home: names at the top of it, each a file or a directory."""
    return tuple((row.path, row.kind) for row in HOME_READERS if row.closed == Closed.COVER)
