"""The PAM profile: an account in a jail comes in by sshd alone, and by its login program alone.

The profile asks our module first, pam_jailssh(8), which knows an account in a jail by its plan and by the table that is
written here.  Stock modules stand behind it, which refuse on their own where the module cannot be loaded.

sshd's drop-in confines what sshd starts.  cron, at, su, login, ftp servers, display managers and the user manager of
systemd ask PAM before they run anything of an account's; there the members of the jailed groups are refused.  sshd
asks too, before it starts the login shell: a shell that is not ours would read files of the account's first.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress

from jailssh import __version__
from jailssh.change.change import Change, read_template
from jailssh.change.undo import Operation, UndoAction
from jailssh.config.files import MainConfig, read_main
from jailssh.core.errors import ConfigError, HostError, JailsshError
from jailssh.host import install
from jailssh.host.paths import Layout
from jailssh.services import pam, pam_account
from jailssh.setup import jailed

GROUP = jailed.GROUP
PAM_PROFILE = "PAM profile"
TEMPLATE = "pam-profile.in"
TABLE = "table of the PAM module"
CANARIES = ("sshd", "login", "su", "cron")
"""Services that must let root pass after a change as they did before."""
SECONDS = 5.0
INSIDE = {"cron": ("cron",), "crond": ("crond",), "atd": ("atd",), "su": ("su", "su-l"), "login": ("login",)}
"""What ``pam_inside`` can name, and PAM's names of it: each starts nothing but a shell for an account, which the module
turns into the login program."""
_HEAD, _END = "jailssh-pam 1", "end"
_SERVICE = re.compile(r"[A-Za-z0-9_.+-]{1,64}\Z")
_VERSION = re.compile(rb"jailssh-pam-module ([0-9A-Za-z.+~-]{1,40})\0")
_PATH_TEXT = re.compile(r"[A-Za-z0-9/._+-]+\Z")
# Linux-PAM before 1.6 gives a whole stack up for one line of 1,024 bytes.
_MAX_LINE = 900


def refused_program(layout: Layout) -> str:
    """Return the program that says why somebody was refused."""
    return f"{layout.prefix}/libexec/jailssh/jailssh-pam-refused"


def profile(layout: Layout, groups: Sequence[str], template: str) -> str:
    """Return the profile's text for the members of ``jailssh`` and of ``groups``."""
    main = _main(layout)
    for path in (layout.login_program, refused_program(layout), layout.pam_module):
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
        "MODULE": layout.pam_module,
        "REFUSED": refused_program(layout),
    }
    text = template
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    if longest := max((line for line in text.splitlines() if len(line) > _MAX_LINE), key=len, default=""):
        raise ConfigError("PAM profile", f"line of {len(longest)} bytes is too long (limit {_MAX_LINE})")
    return text


def _main(layout: Layout) -> MainConfig:
    main = read_main(install.read_optional(layout.config_file) or b"", layout.config_file)
    for service in main.pam_services:
        if not _SERVICE.match(service):
            raise ConfigError(f"{layout.config_file} pam_services", f"{service!r} is not a valid name of a PAM service")
    for service in main.pam_inside:
        if service not in INSIDE:
            why = f"{service!r} is not a service whose commands can be led into a jail"
            raise ConfigError(f"{layout.config_file} pam_inside", why, hint=f"one of: {' '.join(INSIDE)}")
        if service in main.pam_services:
            why = f"{service!r} is in pam_services too, which lets it run outside of the jail"
            raise ConfigError(f"{layout.config_file} pam_inside", why, hint="remove it from one of the two")
    return main


def inside(main: MainConfig) -> frozenset[str]:
    """Return PAM's names of the services whose commands run in the jail."""
    return frozenset(service for name in main.pam_inside for service in INSIDE.get(name, ()))


def inside_of(layout: Layout) -> frozenset[str]:
    """Return the same by what the main file says now."""
    return inside(_main(layout))


def table(layout: Layout, groups: Sequence[str]) -> str:
    """Return what the module goes by: whose members are in a jail, and which services are let through."""
    main = _main(layout)
    rows = [f"min-uid {main.min_uid}"]
    rows += [f"group {group}" for group in jailed.groups(groups)]
    rows += [f"through {service}" for service in sorted(set(main.pam_services))]
    rows += [f"inside {service}" for service in sorted(inside(main))]
    return "\n".join([_HEAD, *rows, _END, ""])


def canaries(layout: Layout) -> dict[str, str]:
    """Return what PAM's account phase answers root, by service; nothing of a service that hangs or has no file."""
    found = {}
    for service in CANARIES:
        if pam.has_tool(layout) and pam_account.service_file(service):
            with suppress(JailsshError):
                found[service] = pam_account.ask("root", SECONDS, service, pam_account.TRIAL).name
    return found


def check_canaries(layout: Layout, before: Mapping[str, str]) -> None:
    """Raise :class:`HostError` where PAM answers root something else than ``before`` the change."""
    for service, answer in canaries(layout).items():
        if service in before and before[service] != answer:
            why = f"would answer root {answer} for {service}, and answered {before[service]} before the change"
            raise HostError("PAM", why, hint=f"look at {pam.account_path(layout)}; nothing was changed")


def module_problem(layout: Layout) -> str:
    """Return what is wrong with the module that the profile names, "" for nothing."""
    data = install.read_optional(layout.pam_module)
    if data is None:
        return f"{layout.pam_module} is not installed"
    found = _VERSION.search(data)
    if found is None or found[1].decode("ascii") != __version__:
        other = found[1].decode("ascii") if found else "unknown"
        return f"{layout.pam_module} is of version {other}, and jailssh is {__version__}"
    return ""


def table_problem(layout: Layout, groups: Sequence[str]) -> str:
    """Return what is wrong with the module's table, "" for nothing."""
    data = install.read_optional(layout.pam_table)
    if data is None:
        return f"{layout.pam_table} does not exist"
    if data != table(layout, groups).encode("ascii"):
        return f"{layout.pam_table} is not what the configuration says"
    found = os.lstat(layout.pam_table)
    if found.st_uid != 0 or found.st_mode & 0o022 or found.st_nlink != 1:
        return f"{layout.pam_table} can be changed by others than root"
    return ""


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
