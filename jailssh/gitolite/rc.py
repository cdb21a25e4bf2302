"""The rc file of gitolite 3: Perl, of which only plain assignments are read; what else it does stops the migration."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from jailssh.core.names import escape

_PAIR = re.compile(r"\s*['\"]?([A-Z][A-Za-z0-9_]*)['\"]?\s*=>\s*(.*)\Z")
_TEXT = re.compile(r"(?:\"([^\"]*)\"|'([^']*)'|([0-9]+))\s*,?\s*(?:#.*)?\Z")
_WORD = re.compile(r"\"([^\"]*)\"|'([^']*)'|\bqw\(([^)]*)\)")
_HARMLESS = (
    "cgit CpuTime create-with-reference daemon expand-deny-messages git-config gitweb Motd no-create-on-read renice "
    "RepoUmask set-default-roles ssh-authkeys"
)
_LOST = frozenset({"Mirroring", "Shell", "repo-specific-hooks", "upstream", "ssh-authkeys-split"})
"""Features that are not kept, and whose loss takes nothing away from what is denied."""
_BEFORE = ("INPUT", "ACCESS_1", "ACCESS_2", "PRE_GIT", "PRE_CREATE")
_AFTER = ("POST_GIT", "POST_CREATE", "POST_COMPILE", "COMMANDS", "SYNTACTIC_SUGAR")
_IDLE = ("CpuTime::", "Mirroring::", "Motd", "renice", "RepoUmask")
"""What can be called before a decision and makes none."""
_KNOWN = (
    "UMASK GIT_CONFIG_KEYS LOG_EXTRA LOG_DEST LOG_FACILITY ROLES SITE_INFO DISPLAY_CPU_TIME CPU_TIME_WARN_LIMIT "
    "HOSTNAME CACHE CACHE_TTL LOCAL_CODE ENABLE GL_REPO_BASE GL_ADMIN_BASE AUTH_OPTIONS GROUPLIST_PGM SAFE_CONFIG "
    "LOG_TEMPLATE DEFAULT_ROLE_PERMS ALLOW_ORPHAN_GL_CONF REPO_SYMLINKS OWNER_ROLENAME READERS WRITERS "
    "HTTP_ANON_USER WRITER_CAN_UPDATE_DESC"
)
"""Settings that let nobody be denied by code of the site's own."""


@dataclass
class Rc:
    """What the file says.  ``stop``: why the rules alone do not decide; ``lost``: what is not kept, with its line."""

    file: str
    base: str
    admin: str
    roles: tuple[str, ...] = ("READERS", "WRITERS")
    hostname: str = ""
    config: tuple[str, ...] = ()
    continued: bool = False
    creates: bool = True
    groups_program: str = ""
    commands: list[str] = field(default_factory=list)
    lost: list[tuple[str, str]] = field(default_factory=list)
    stop: list[tuple[str, str]] = field(default_factory=list)


def read(text: str, file: str, home: str) -> Rc:
    """Return what the rc file says; an empty one has gitolite's defaults."""
    rc = Rc(file, f"{home}/repositories", f"{home}/.gitolite")
    inside, roles = "", []
    for number, raw in enumerate(text.split("\n"), 1):
        where, line = f"{file}:{number}", raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith(("__END__", "__DATA__")):
            break
        pair = _PAIR.match(line)
        if inside and line.startswith(("]", "}")):
            inside = ""
        elif inside == "ROLES":
            roles += re.findall(r"([A-Za-z]+)['\"]?\s*=>\s*1", line)
        elif inside:
            _listed(rc, where, inside, line)
        elif pair:
            inside = _setting(rc, where, pair[1], pair[2], home)
            roles += re.findall(r"([A-Za-z]+)['\"]?\s*=>\s*1", pair[2]) if pair[1] == "ROLES" else []
        elif not re.match(r"(%RC\s*=\s*\(|\);|1;|\)|\()\s*(#.*)?\Z", line):
            rc.stop.append((where, f"Perl that is no plain setting: {escape(line, 60)}"))
    if roles:
        rc.roles = tuple(roles)
    return rc


def _listed(rc: Rc, where: str, name: str, line: str) -> None:
    """Take a line of a list."""
    names = [text.split(" ")[0] for text in _texts(line) if text]
    if name in ("ENABLE", "SYNTACTIC_SUGAR"):
        _features(rc, where, line)
    elif name == "COMMANDS":
        rc.commands += [escape(each, 40) for each in names]
    elif name in _BEFORE and any(not each.startswith(_IDLE) for each in names):
        rc.stop.append((where, f"{name} can have code of this site decide"))
    elif name in _AFTER and any(not each.startswith("post-compile/") for each in names):
        rc.lost.append((where, f"what {', '.join(escape(each, 60) for each in names)} does ({name})"))


def _texts(line: str) -> list[str]:
    """Return the texts in quotes of a line, up to a comment."""
    found: list[str] = []
    for match in _WORD.finditer(re.sub(r"(^|[\s,])#.*", "", line)):
        found += [match[1] or match[2] or ""] if match[3] is None else match[3].split()
    return found


def _setting(rc: Rc, where: str, name: str, value: str, home: str) -> str:
    """Take one setting; return its name where its value goes on in the next lines."""
    if name not in (*_KNOWN.split(), *_BEFORE, *_AFTER):
        rc.stop.append((where, f"{name} can have code of this site decide"))
    goes_on = not value or (value.startswith(("[", "{")) and not re.search(r"[]}]\s*,?\s*(#.*)?\Z", value))
    if value.startswith(("[", "{")) or not value:
        _listed(rc, where, name, value)
        return name if goes_on else ""
    found = _TEXT.match(value)
    text = next((part for part in found.groups() if part is not None), "") if found else None
    if text is not None:
        text = text.replace("$ENV{HOME}", home).replace("$rc{GL_ADMIN_BASE}", rc.admin)
    if name in ("GL_REPO_BASE", "GL_ADMIN_BASE", "HOSTNAME", "GROUPLIST_PGM", "GIT_CONFIG_KEYS"):
        if (
            text is None
            or ("$" in text and name != "GIT_CONFIG_KEYS")
            or (name.endswith("BASE") and not text.startswith("/"))
        ):
            rc.stop.append((where, f"the value of {name} is no plain text"))
        elif name == "GL_REPO_BASE":
            rc.base = text.rstrip("/")
        elif name == "GL_ADMIN_BASE":
            rc.admin = text.rstrip("/")
        elif name == "GIT_CONFIG_KEYS":
            rc.config = tuple(text.split())
        elif name == "HOSTNAME":
            rc.hostname = text
        else:
            rc.groups_program = text
    elif name == "LOCAL_CODE":
        rc.lost.append((where, "hooks, commands and VREFs of this site (LOCAL_CODE)"))
    return name if goes_on else ""


def _features(rc: Rc, where: str, line: str) -> None:
    for text in _texts(line):
        name = text.split(" ")[0]
        if name == "continuation-lines":
            rc.continued = True
        elif name == "no-auto-create":
            rc.creates = False
        elif name in ("keysubdirs-as-groups", "macros"):
            rc.stop.append((where, f"{name} rewrites the configuration"))
        elif name in ("Alias", "partial-copy", "refex-expr", "Kindergarten", "TProxy"):
            rc.stop.append((where, f"{name} decides beside the rules"))
        elif name in _LOST:
            rc.lost.append((where, f"what {escape(text, 60)} does"))
        elif name and name not in _HARMLESS.split():
            rc.commands.append(escape(name, 40))
