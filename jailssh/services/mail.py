"""Mail servers of this host: which files of a home they read besides those that every session has covered."""

from __future__ import annotations

from jailssh.core.errors import HostError
from jailssh.host import process

_FORWARD = ("$home/.forward", "${home}/.forward")
_KNOWN_COMMANDS = ("procmail", "maildrop", "dovecot-lda", "deliver")
"""Delivery agents whose files are in the table of who reads what in a home."""
_SETTINGS = ("forward_path", "recipient_delimiter", "allow_mail_to_commands", "mailbox_command")
_EXIM = ("exim4", "exim")


def findings() -> list[tuple[str, str, str]]:
    """Return what looks elsewhere: the server, why, and the cure in one line."""
    exim = next((name for name in _EXIM if process.find_program(name)), "")
    return [*about_postfix(_said("postconf", *_SETTINGS)), *about_exim(_said(exim, "-bP", "routers"))]


def about_postfix(text: str) -> list[tuple[str, str, str]]:
    """Return what is to be said of these settings, as postconf(1) prints them."""
    pairs = (line.partition("=") for line in text.splitlines())
    values = {name.strip(): value.strip() for name, _, value in pairs}
    found = []
    runs = "forward" in values.get("allow_mail_to_commands", "").replace(",", " ").split()
    cure = "postconf -e 'forward_path = $home/.forward', or deny commands: postconf -e 'allow_mail_to_commands = alias'"
    paths = [path for path in values.get("forward_path", "").replace(",", " ").split() if path not in _FORWARD]
    if not values.get("recipient_delimiter"):
        paths = [path for path in paths if "${extension}" not in path]
    if runs and paths:
        why = f"also reads {', '.join(paths)}; commands in it run outside the jail"
        found.append(("postfix forward_path", why, cure))
    command = values.get("mailbox_command", "")
    if command and command.split()[0].rsplit("/", 1)[-1] not in _KNOWN_COMMANDS:
        why = f"delivers with {command}; which files that reads in homes is unknown"
        found.append(("postfix mailbox_command", why, "postconf -e 'mailbox_command =', or check which files it reads"))
    return found


def about_exim(text: str) -> list[tuple[str, str, str]]:
    """Return what is to be said of these routers, as ``exim -bP routers`` prints them."""
    files = set()
    for line in text.splitlines():
        name, _, value = (part.strip() for part in line.partition("="))
        if name == "file" and "home" in value and value not in _FORWARD:
            files.add(value)
    cure = "set file = $home/.forward in that router, or forbid_pipe and forbid_filter_run"
    return [("exim", f"router reads {path}; pipes in it run outside the jail", cure) for path in sorted(files)]


def _said(*argv: str) -> str:
    """Return what a program prints; nothing where it is not there or fails."""
    if not argv[0] or process.find_program(argv[0]) is None:
        return ""
    try:
        return process.run(argv, check=False, timeout=20).stdout
    except HostError:
        return ""
