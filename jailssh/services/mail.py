"""Mail servers of this host: which files of homes they read that no session has covered, and how they run commands."""

from __future__ import annotations

import os

from jailssh.core.errors import HostError
from jailssh.host import process

_FORWARD = ("$home/.forward", "${home}/.forward")
_KNOWN_COMMANDS = ("procmail", "maildrop", "dovecot-lda", "deliver")
"""Delivery agents whose files are in the table of who reads what in a home."""
_SETTINGS = (
    "forward_path", "recipient_delimiter", "allow_mail_to_commands", "mailbox_command", "mailbox_command_maps",
    "local_command_shell",
)  # fmt: skip
_EXIM = ("exim4", "exim")


def findings(deliver: str) -> list[tuple[str, str, str]]:
    """Return what looks elsewhere: the server, why, and the cure in one line; ``deliver``: jailssh-deliver's path."""
    return [*about_postfix(_postfix(), deliver), *about_exim(_exim("routers"))]


def commands(deliver: str) -> list[tuple[str, str, str]]:
    """Return what runs commands of accounts without asking who is in a jail, in the same form."""
    return [
        *commands_of_postfix(_postfix(), deliver),
        *commands_of_exim(_exim("transports"), _exim("routers"), deliver),
    ]


def starting(deliver: str) -> list[str]:
    """Return the mail servers that start jailssh-deliver, whose mail waits or goes back where that is missing."""
    said = {"postfix": _postfix(), "exim": _exim("transports")}
    return [server for server, text in said.items() if deliver in text.replace('"', " ").split()]


def _values(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _is_by(command: str, deliver: str, option: str) -> bool:
    """True for a command that jailssh-deliver is given with this option."""
    return command.replace('"', " ").split()[:2] == [deliver, option]


def commands_of_postfix(text: str, deliver: str) -> list[tuple[str, str, str]]:
    """Return what these settings, as postconf(1) prints them, run outside of jails."""
    values = _values(text)
    sources = [name for name in ("mailbox_command", "mailbox_command_maps") if values.get(name)]
    if "forward" in values.get("allow_mail_to_commands", "").replace(",", " ").split():
        sources.insert(0, ".forward files")
    if not sources or _is_by(values.get("local_command_shell", ""), deliver, "-c"):
        return []
    why = f"runs commands of {', '.join(sources)} outside the jail"
    return [("postfix", why, f"{_SWITCH}postconf -e 'local_command_shell = {deliver} -c'; postfix reload{_UNIT}")]


_UNIT = "; where systemd confines postfix (Debian 13): the drop-in in jailssh-deliver(8)"
_SWITCH = "set mail_inside = yes in /etc/jailssh/jailssh.conf; jailssh setup; "


def commands_of_exim(transports: str, routers: str, deliver: str) -> list[tuple[str, str, str]]:
    """Return which of these transports, as ``exim -bP`` prints them, run commands of accounts outside of jails.

    One for pipes of ``.forward`` files has the command of the file, unless it forces another one.  One that names a
    user runs as that, and one whose program is not there runs nothing.
    """
    pipes = {value for _, value in _lines_of(routers, "pipe_transport")}
    found = []
    for name, values in _sections(transports):
        command, is_pipe = values.get("command", ""), name in pipes
        if values.get("driver") != "pipe" or values.get("user"):
            continue
        if is_pipe and not (_is_by(command, deliver, "--") and "force_command" in values):
            cure = f"{_SWITCH}in that transport: command = {deliver} -- $address_pipe, and force_command"
            found.append((f"exim transport {name}", "runs commands of .forward files outside the jail", cure))
        elif not is_pipe and _is_there(command) and not _is_by(command, deliver, "--"):
            cure = f"{_SWITCH}in that transport: command = {deliver} -- {command}"
            found.append((f"exim transport {name}", f"runs {command} outside the jail", cure))
    return found


def _is_there(command: str) -> bool:
    program = (command.replace('"', " ").split() or [""])[0]
    return bool(program) and (not program.startswith("/") or os.path.exists(program))


def _sections(text: str) -> list[tuple[str, dict[str, str]]]:
    """Return the drivers that ``exim -bP`` prints, each with its options; one that is a word alone is "" there."""
    found: list[tuple[str, dict[str, str]]] = []
    for line in text.splitlines():
        name, _, value = (part.strip() for part in line.partition("="))
        if line.endswith(" transport:"):
            found.append((line.removesuffix(" transport:"), {}))
        elif found:
            found[-1][1][name] = value
    return found


def _lines_of(text: str, option: str) -> list[tuple[str, str]]:
    pairs = [line.partition("=") for line in text.splitlines()]
    return [(name.strip(), value.strip()) for name, _, value in pairs if name.strip() == option and value.strip()]


def about_postfix(text: str, deliver: str) -> list[tuple[str, str, str]]:
    """Return what is to be said of these settings, as postconf(1) prints them."""
    values = _values(text)
    found = []
    inside = _is_by(values.get("local_command_shell", ""), deliver, "-c")
    runs = "forward" in values.get("allow_mail_to_commands", "").replace(",", " ").split()
    cure = "postconf -e 'forward_path = $home/.forward', or deny commands: postconf -e 'allow_mail_to_commands = alias'"
    paths = [path for path in values.get("forward_path", "").replace(",", " ").split() if path not in _FORWARD]
    if not values.get("recipient_delimiter"):
        paths = [path for path in paths if "${extension}" not in path]
    if runs and paths:
        what = "files that it names are written" if inside else "commands in it run"
        why = f"also reads {', '.join(paths)}; {what} outside the jail"
        found.append(("postfix forward_path", why, cure))
    command = values.get("mailbox_command", "")
    if command and not inside and command.split()[0].rsplit("/", 1)[-1] not in _KNOWN_COMMANDS:
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


def _postfix() -> str:
    return _said("postconf", *_SETTINGS)


def _exim(what: str) -> str:
    return _said(next((name for name in _EXIM if process.find_program(name)), ""), "-bP", what)


def _said(*argv: str) -> str:
    """Return what a program prints; nothing where it is not there or fails."""
    if not argv[0] or process.find_program(argv[0]) is None:
        return ""
    try:
        return process.run(argv, check=False, timeout=20).stdout
    except HostError:
        return ""
