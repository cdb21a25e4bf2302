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
        if inside == "ENABLE" and not line.startswith("]"):
            _features(rc, where, line)
        elif inside == "ROLES" and not line.startswith("}") and pair:
            roles.append(pair[1])
        elif inside and line.startswith(("]", "}")):
            inside = ""
        elif inside:
            continue
        elif pair:
            inside = _setting(rc, where, pair[1], pair[2], home)
            roles += re.findall(r"([A-Za-z]+)\s*=>\s*1", pair[2]) if pair[1] == "ROLES" else []
        elif not re.match(r"(%RC\s*=\s*\(|\);|1;|\)|\()\s*(#.*)?\Z", line):
            rc.stop.append((where, f"Perl that is no plain setting: {escape(line, 60)}"))
    if roles:
        rc.roles = tuple(roles)
    return rc


def _setting(rc: Rc, where: str, name: str, value: str, home: str) -> str:
    """Take one setting; return its name where its value goes on in the next lines."""
    if name not in _KNOWN.split():
        rc.stop.append((where, f"{name} can have code of this site decide"))
    goes_on = value.startswith(("[", "{")) and not re.search(r"[]}]\s*,?\s*(#.*)?\Z", value)
    if name == "ENABLE" and value.startswith("["):
        _features(rc, where, value)
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
    for found in _WORD.finditer(re.sub(r"(^|[\s,])#.*", "", line)):
        for text in [found[1] or found[2] or ""] if found[3] is None else found[3].split():
            name = text.split(" ")[0]
            if name == "continuation-lines":
                rc.continued = True
            elif name == "no-auto-create":
                rc.creates = False
            elif name in ("keysubdirs-as-groups", "macros"):
                rc.stop.append((where, f"{name} rewrites the configuration"))
            elif name in ("Alias", "partial-copy", "refex-expr", "Kindergarten", "TProxy", "AutoCreate"):
                rc.stop.append((where, f"{name} decides beside the rules"))
            elif name in _LOST:
                rc.lost.append((where, f"what {escape(text, 60)} does"))
            elif name and name not in _HARMLESS.split():
                rc.commands.append(escape(name, 40))
