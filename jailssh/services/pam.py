"""PAM on a Debian: a profile of pam-auth-update(8), and what the account phase of every service looks like with it.

The profile says what stands in /etc/pam.d/common-account, which sshd, cron, at, su, login, display managers, ftp
servers and the user managers of systemd include.  A file that somebody edited by hand is left alone by
pam-auth-update, so what is in force is compared afterwards.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import takewhile

from jailssh.files import fs
from jailssh.host import install, process
from jailssh.host.paths import Layout

NAME = "jailssh"
TOOL = "pam-auth-update"
_PREFIX = "account"


def profile_path(layout: Layout) -> str:
    """Return where the profile belongs."""
    return f"{layout.root}/usr/share/pam-configs/{NAME}"


def account_path(layout: Layout) -> str:
    """Return the file with the account phase of every service."""
    return f"{layout.root}/etc/pam.d/common-account"


def has_tool(layout: Layout) -> bool:
    """True if this host's PAM is made from profiles."""
    return process.find_program(TOOL) is not None and os.path.isdir(os.path.dirname(profile_path(layout)))


def put(layout: Layout, text: str) -> None:
    """Put the profile there and switch it on; the files of /etc/pam.d are made anew.

    pam-auth-update takes the difference between an old text and a new one for edits of the administrator's, and mixes
    the two.  So the old one is switched off first.  What is killed in between is owed, see :func:`is_owed`.
    """
    path = profile_path(layout)
    if os.path.lexists(path):
        fs.ensure_dir(layout.state, 0o755)
        fs.atomic_write(layout.pam_owed, b"the PAM profile has yet to be switched on\n", mode=0o600)
        process.run([TOOL, "--remove", NAME], timeout=120)
    fs.atomic_write(path, text.encode("utf-8"), mode=0o644)
    process.run([TOOL, "--enable", NAME], timeout=120)
    _forget_debt(layout)


def is_owed(layout: Layout) -> bool:
    """True if the profile was changed and then not switched on again."""
    return os.path.lexists(layout.pam_owed)


def take_away(layout: Layout) -> None:
    """Take the profile out of the files of /etc/pam.d, then away."""
    if has_tool(layout) and os.path.lexists(profile_path(layout)):
        # In this order: what the profile names must stay until nothing asks for it.
        process.run([TOOL, "--remove", NAME], timeout=120)
    fs.remove_file(profile_path(layout))
    _forget_debt(layout)


def _forget_debt(layout: Layout) -> None:
    if is_owed(layout):
        fs.remove_file(layout.pam_owed)


def in_force(layout: Layout, text: str) -> bool:
    """True if the profile's lines for the account phase stand together, in front of every other one."""
    wanted = account_lines(text)
    data = install.read_optional(account_path(layout)) or b""
    lines = [line.split() for line in data.decode("utf-8", "replace").splitlines()]
    present = [line[1:] for line in lines if line and line[0].lstrip("-") == _PREFIX]
    return bool(wanted) and len(present) >= len(wanted) and all(map(is_line, present, wanted))


def is_line(present: Sequence[str], wanted: Sequence[str]) -> bool:
    """True for a line as pam-auth-update(8) writes it, which puts a number in the place of ``end``."""
    shape = re.escape(" ".join(wanted)).replace("=end", "=[0-9]+")
    return bool(re.fullmatch(shape, " ".join(present)))


def account_lines(text: str) -> list[list[str]]:
    """Return the lines of the profile's field ``Account``, each as its words."""
    after = text.partition("\nAccount:\n")[2].splitlines()
    return [line.split() for line in takewhile(lambda line: line.startswith("\t"), after)]
