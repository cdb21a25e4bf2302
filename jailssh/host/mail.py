"""Mail servers of this host: which files of a home they read besides those that every session has covered."""

from __future__ import annotations

from jailssh.core.errors import HostError
from jailssh.host import process

_FORWARD = ("$home/.forward", "${home}/.forward")
_KNOWN_COMMANDS = ("procmail", "maildrop", "dovecot-lda", "deliver")
_EXIM = ("exim4", "exim")


def findings() -> list[tuple[str, str, str]]:
    """Return what looks elsewhere: the server, why, and the cure in one line."""
    return [*_postfix(), *_exim()]


def _postfix() -> list[tuple[str, str, str]]:
    names = ("forward_path", "recipient_delimiter", "allow_mail_to_commands", "mailbox_command")
    values = {}
    for line in _said("postconf", *names).splitlines():
        name, _, value = line.partition("=")
        values[name.strip()] = value.strip()
    found = []
    runs = "forward" in values.get("allow_mail_to_commands", "").replace(",", " ").split()
    cure = "postconf -e 'forward_path = $home/.forward', or no commands: postconf -e 'allow_mail_to_commands = alias'"
    paths = [path for path in values.get("forward_path", "").replace(",", " ").split() if path not in _FORWARD]
    if not values.get("recipient_delimiter"):
        paths = [path for path in paths if "${extension}" not in path]
    if runs and paths:
        why = f"reads {', '.join(paths)} too, a command in there runs outside of the jail"
        found.append(("postfix forward_path", why, cure))
    command = values.get("mailbox_command", "")
    if command and not any(known in command for known in _KNOWN_COMMANDS):
        why = f"delivers by {command}: what that reads in homes is not known here"
        found.append(("postfix mailbox_command", why, "postconf -e 'mailbox_command =', or cover what it reads"))
    return found


def _exim() -> list[tuple[str, str, str]]:
    program = next((name for name in _EXIM if process.find_program(name)), None)
    if program is None:
        return []
    files = set()
    for line in _said(program, "-bP", "routers").splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "file" and value.strip() and "home" in value and value.strip() not in _FORWARD:
            files.add(value.strip())
    cure = "file = $home/.forward in that router, or forbid_pipe and forbid_filter_run"
    return [("exim", f"a router reads {path}, where a pipe runs outside of the jail", cure) for path in sorted(files)]


def _said(*argv: str) -> str:
    """Return what a program prints; nothing where it is not there or fails."""
    if process.find_program(argv[0]) is None:
        return ""
    try:
        return process.run(argv, check=False, timeout=20).stdout
    except HostError:
        return ""
