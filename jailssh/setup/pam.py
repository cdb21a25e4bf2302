"""The PAM profile: an account in a jail comes in by sshd alone, and by its login program alone.

sshd's drop-in confines what sshd starts.  cron, at, su, login, ftp servers, display managers and the user manager of
systemd ask PAM before they run anything of an account's; there the members of the jailed groups are refused.  sshd
asks too, before it starts the login shell: a shell that is not ours would read files of the account's first.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Sequence

from jailssh.change.change import Change, read_template
from jailssh.change.undo import Operation, UndoAction
from jailssh.config.files import read_main
from jailssh.core.errors import ConfigError, HostError
from jailssh.host import install
from jailssh.host.paths import Layout
from jailssh.services import pam
from jailssh.setup import jailed

GROUP = jailed.GROUP
PAM_PROFILE = "PAM profile"
TEMPLATE = "pam-profile.in"
_SERVICE = re.compile(r"[A-Za-z0-9_.+-]{1,64}\Z")
_PATH_TEXT = re.compile(r"[A-Za-z0-9/._+-]+\Z")
# Linux-PAM before 1.6 gives a whole stack up for one line of 1,024 bytes.
_MAX_LINE = 900


def refused_program(layout: Layout) -> str:
    """Return the program that says why somebody was refused."""
    return f"{layout.prefix}/libexec/jailssh/jailssh-pam-refused"


def profile(layout: Layout, groups: Sequence[str], template: str) -> str:
    """Return the profile's text for the members of ``jailssh`` and of ``groups``."""
    main = read_main(install.read_optional(layout.config_file) or b"", layout.config_file)
    for service in main.pam_services:
        if not _SERVICE.match(service):
            raise ConfigError(f"{layout.config_file} pam_services", f"{service!r} is not a valid name of a PAM service")
    for path in (layout.login_program, refused_program(layout)):
        if not _PATH_TEXT.match(path):
            raise HostError(
                path,
                "contains characters that are not allowed in PAM files",
                hint="use letters, digits and . _ + - in the prefix",
            )
    # No service has the name of the group, so without the setting nothing is let through.
    services = [GROUP, *sorted(set(main.pam_services))]
    values = {
        "GROUPS": ":".join(jailed.groups(groups)),
        "MIN_UID": str(main.min_uid),
        "SERVICES": ":".join(services),
        "LOGIN": layout.login_program,
        "REFUSED": refused_program(layout),
    }
    text = template
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    if longest := max((line for line in text.splitlines() if len(line) > _MAX_LINE), key=len, default=""):
        raise ConfigError("PAM profile", f"line of {len(longest)} bytes is too long (limit {_MAX_LINE})")
    return text


def changes(layout: Layout, groups: Sequence[str]) -> list[Change]:
    """Return what is to be done so that the profile fits; nothing where PAM is not made from profiles."""
    if not pam.has_tool(layout):
        return []
    path = pam.profile_path(layout)
    wanted = profile(layout, groups, read_template(layout, TEMPLATE, "packaging/pam"))
    data = install.read_optional(path)
    owed = pam.is_owed(layout)
    if data == wanted.encode("utf-8") and not owed:
        return []
    before = None if data is None else data.decode("utf-8", "replace")
    old = [] if before is None else before.splitlines()
    name = "/dev/null" if before is None else path
    diff = list(difflib.unified_diff(old, wanted.splitlines(), name, path, lineterm=""))
    if owed:
        diff = [f"~ {path}: enable (was interrupted)", *diff]
    inverse = UndoAction(Operation.PAM, layout.root, (before,))
    return [Change(PAM_PROFILE, tuple(diff), inverse, lambda: pam.put(layout, wanted))]


def notes(layout: Layout, groups: Sequence[str]) -> list[str]:
    """Return what keeps the profile from holding, for a host that is set up."""
    left = "cron, at, su, user managers and login shells run outside the jail"
    if not pam.has_tool(layout):
        where = pam.account_path(layout)
        if os.path.exists(where) and pam.in_force(layout, wanted(layout, groups)):
            return []
        return [f"PAM: {pam.TOOL} is not installed, so {left}; add the profile in jailssh/users/README.md by hand"]
    if pam.in_force(layout, wanted(layout, groups)):
        return []
    cure = f"{pam.TOOL} --remove {pam.NAME} && {pam.TOOL} --enable {pam.NAME}; "
    cure += "in a file edited by hand, move the lines of the profile to the top"
    return [f"PAM: {pam.account_path(layout)} does not begin with the profile {pam.NAME}, so {left}; hint: {cure}"]


def wanted(layout: Layout, groups: Sequence[str]) -> str:
    """Return the profile's text as it must be for the configuration."""
    return profile(layout, groups, read_template(layout, TEMPLATE, "packaging/pam"))
