"""Accounts of Jailkit's: home with ``/./``, shell jk_chrootsh, and in the jail a shell or the filter jk_lsh.

What jk_chrootsh and jk_lsh act on decides, not what the files seem to say: the jail's own passwd names the shell, the
jail's own jk_lsh.ini what that allows, and one section of a file alone is in force.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from jailssh.core.errors import ConfigError
from jailssh.core.names import escape
from jailssh.jailkit import files as jailkit_files
from jailssh.jailkit import jk_lsh
from jailssh.jailkit.ini import CIni, Section
from jailssh.jailkit.jail import SEPARATOR, Jail, Refused, Unsafe, check_home, on_host, path_on_host, split_home
from jailssh.jailkit.slips import slips
from jailssh.sources.authorized_keys import unfit
from jailssh.sources.found import Effect, Fate, Found, Host, Person, Remark

NAME = "jailkit"
TITLE = "Jailkit"
PROGRAM = "jk_chrootsh"
CHROOTSH = "/etc/jailkit/jk_chrootsh.ini"
LSH = "/etc/jailkit/jk_lsh.ini"
FOLDER = "/etc/jailkit"
CHROOTSH_KEYS = (
    "env",
    "relax_home_owner",
    "relax_home_group",
    "relax_home_group_permissions",
    "relax_home_other_permissions",
    "injail_shell",
    "skip_injail_passwd_check",
    "injail_login_shell",
)
_RELAX = tuple(key for key in CHROOTSH_KEYS if key.startswith("relax_"))
_FILTER = "jk_lsh"
_UMASK = "022"
"""What a jail has without one."""
_NO_SHELLS = ("false", "nologin")
_USUAL = ("ls", "cat", "grep")
"""Who has these was given Jailkit's section basicshell, and gets the usual tools."""
_BY_PLUGIN = {"sftp": "sftp-server", "scp": "scp", "rsync": "rsync", "git": "git-upload-pack", "svn": "svnserve",
              "cvs": "cvs", "hg": "hg", "borg": "borg"}  # fmt: skip
_USE_OF_PROGRAM = {"scp": "scp-old", "rsync": "rsync", "git-upload-pack": "git", "svnserve": "svn", "cvs": "cvs",
                   "hg": "hg", "borg": "borg"}  # fmt: skip
_PASSED = re.compile(r"(TERM|COLORTERM|LANG|LC_\w*|HOME|USER|USERNAME|LOGNAME|SHELL|SSH_\w*)\Z")
_PLAIN = re.compile(r"[A-Za-z0-9_.+-]+\Z")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")
Shape = dict[str, dict[str, str | tuple[str, ...]]]


@dataclass
class _Case:
    """One account on its way: what is known and said of it so far."""

    person: Person
    where: str
    jail: Jail
    inside: str
    home: str
    chrootsh: Section | None = None
    remarks: list[Remark] = field(default_factory=list)

    def say(self, effect: Effect, where: str, text: str) -> None:
        if text not in [each.text for each in self.remarks]:
            self.remarks.append(Remark(effect, where, escape(text, 600)))

    def number(self, key: str) -> int:
        return self.chrootsh.number(key) if self.chrootsh else 0

    def sftp_server(self, host: Host) -> str:
        """Return the program that sshd asks for with sftp, "" where it has none or serves the host itself."""
        words = host.sshd(self.person.name).get("subsystem", "").split()
        return words[1] if len(words) > 1 and words[0] == "sftp" and words[1].startswith("/") else ""


def find(host: Host) -> list[Found]:
    """Return every account with ``/./`` in its home or jk_chrootsh as its shell."""
    lines = _lines_of_passwd(host)
    jails: dict[str, Jail] = {}
    people = host.people()
    mine = [each for each in people if SEPARATOR in f"{each.home}/" or _is_chrootsh(each.shell) or _is_filter(each)]
    for person in mine:
        if _is_chrootsh(person.shell) and SEPARATOR in person.home:
            path = person.home.rpartition(SEPARATOR)[0].removesuffix("/")
            jails.setdefault(path, Jail(path, host)).accounts.append(person.name)
    safe = host.status(FOLDER) is None or _is_safe(host, FOLDER)
    text = (host.read(CHROOTSH) or "") if safe else None
    files = jailkit_files.Files(host, readable=safe)
    found = []
    for person in mine:
        where = lines.get(person.name, "name service") if person.local else "name service"
        if _is_filter(person):
            found.append(_alone(host, person, where, readable=safe))
        elif _is_chrootsh(person.shell):
            found.append(_account(host, person, where, jails, text, files))
        else:
            found.append(_other(person, where, files))
    return found


def _is_chrootsh(shell: str) -> bool:
    return shell.rpartition("/")[2] == PROGRAM


def _is_filter(person: Person) -> bool:
    return person.shell.rpartition("/")[2] == _FILTER


def _lines_of_passwd(host: Host) -> dict[str, str]:
    lines = (host.read("/etc/passwd") or "").splitlines()
    return {line.partition(":")[0]: f"/etc/passwd:{number}" for number, line in reversed([*enumerate(lines, 1)])}


def _other(person: Person, where: str, files: jailkit_files.Files) -> Found:
    """Return an account with ``/./`` and another shell: FTP servers read the mark too, and so does jk_uchroot."""
    text = f"its shell is {person.shell or 'empty'}, so the /./ of its home is for another program, such as vsftpd"
    remarks = [Remark(Effect.NOTE, where, text), *files.uchroot(person)]
    return Found(person.name, NAME, where, fate=Fate.LEAVE, remarks=tuple(remarks))


def _alone(host: Host, person: Person, where: str, *, readable: bool) -> Found:
    """Return an account whose login shell is jk_lsh itself: in no jail, by the host's own file."""
    case = _Case(person, where, Jail("", host), "", "")
    found, fate = Found(person.name, NAME, where), Fate.MIGRATE
    try:
        if not readable:
            raise Unsafe(f"{FOLDER} is not a directory of root's that only root changes")
        if not host.kind(person.shell):
            raise Refused(1, f"there is no {person.shell}")
        found = _filtered(host, case)
    except Refused as refused:
        fate = _refused(case, refused)
    except Unsafe as unsafe:
        fate = _unsafe(case, unsafe)
    return _settled(replace(found, fate=fate), case)


def _account(
    host: Host, person: Person, where: str, jails: dict[str, Jail], text: str | None, files: jailkit_files.Files
) -> Found:
    case = _Case(person, where, Jail("", host), "", "")
    found = Found(person.name, NAME, where)
    fate = Fate.MIGRATE
    # What is refused at the door is looked at all the same: the administrator may want to bring it in.
    steps: tuple[Callable[[], None], ...] = (
        lambda: _check_there(host, case),
        lambda: _enter(host, case, jails, text),
        lambda: _check_home(host, case),
        lambda: _check_names(case),
        lambda: _check_shell(case),
    )
    for step in steps:
        try:
            if fate is not Fate.LEAVE:
                step()
        except Refused as refused:
            fate = _refused(case, refused)
        except Unsafe as unsafe:
            fate = _unsafe(case, unsafe)
    if case.jail.path and fate is not Fate.LEAVE:
        try:
            shell = _shell(case)
            found = _filtered(host, case) if shell.rpartition("/")[2] == _FILTER else _free(host, case, shell)
        except Refused as refused:
            # After the first refusal Jailkit does not come to another.
            fate = _refused(case, refused) if fate is Fate.MIGRATE else fate
        except Unsafe as unsafe:
            fate = _unsafe(case, unsafe)
    found = _settled(replace(found, fate=fate), case)
    if case.jail.path:
        for remark in files.about(person, case.jail):
            case.say(remark.effect, remark.where, remark.text)
        found = _with_log(found, files.log_of(case.jail))
    return replace(found, home=case.home, inside=case.inside, remarks=tuple(case.remarks))


def _settled(found: Found, case: _Case) -> Found:
    """Return it with what is said of it; left where the account cannot be in a jail."""
    reasons = unfit(case.person)
    if not case.person.local:
        reasons.append((case.where, "is no account of /etc/passwd: give a jail to one of its Unix groups"))
    for about, why in reasons:
        case.say(Effect.NOTE, about, why)
    if reasons and found.fate is Fate.MIGRATE:
        found = replace(found, fate=Fate.LEAVE)
    return replace(found, remarks=tuple(case.remarks))


def _with_log(found: Found, log: Shape) -> Found:
    """Return what was found, with the settings of its log where it has settings at all."""
    settings = {name: {**found.settings.get(name, {}), **log.get(name, {})} for name in (*found.settings, *log)}
    return replace(found, settings=settings) if found.settings else found


def _refused(case: _Case, refused: Refused) -> Fate:
    case.say(Effect.NOTE, case.where, f"{refused}; Jailkit ends with exit code {refused.code}")
    return Fate.REFUSED


def _unsafe(case: _Case, unsafe: Unsafe) -> Fate:
    case.say(Effect.NOTE, case.where, str(unsafe))
    return Fate.LEAVE


def _check_there(host: Host, case: _Case) -> None:
    """Raise :class:`Refused` where Jailkit is gone from the host; what it allowed is known all the same."""
    person = case.person
    if not host.kind(person.shell):
        case.say(Effect.NOTE, person.shell, f"{person.shell} does not exist, so sshd refuses every login")
        raise Refused(1, f"there is no {person.shell}")
    if host.status(FOLDER) is None:
        raise Refused(14, f"there is no {FOLDER}")


def _enter(host: Host, case: _Case, jails: dict[str, Jail], text: str | None) -> None:
    """Do what jk_chrootsh does up to the home, by its file; raises :class:`Refused` where it ends."""
    person = case.person
    if person.uid == 0:
        raise Refused(12, "it is root's")
    if text is None:
        raise Refused(14, f"{FOLDER} is not a directory of root's that only root changes")
    file = CIni(text)
    case.chrootsh = file.choose(CHROOTSH_KEYS, person.name, person.group)
    for doubt in file.sorted_doubts():
        case.say(doubt.effect, f"{CHROOTSH}:{doubt.line}", doubt.text)
    path, inside = split_home(person.home)
    jail = jails.setdefault(path, Jail(path, host))
    jail.check()
    case.jail, case.home, case.inside = jail, f"{path}{inside}".rstrip("/"), inside
    _flag_relaxed(host, case, file)


def _check_home(host: Host, case: _Case) -> None:
    if case.jail.path:
        check_home(host, case.home, case.person, [key for key in _RELAX if case.number(key)])


def _is_safe(host: Host, folder: str) -> bool:
    status = host.status(folder)
    return status is not None and status[0] & 0o170000 == 0o040000 and status[1:] == (0, 0) and not status[0] & 0o6002


def _flag_relaxed(host: Host, case: _Case, file: CIni) -> None:
    """Say what a relaxed check lets in; one that is relaxed by a misread key alone is not taken on."""
    section = case.chrootsh
    if section is None:
        return
    relaxed = [key for key in _RELAX if section.number(key)]
    for key in relaxed:
        where = f"{CHROOTSH}:{file.line(section.at(key))}"
        case.say(
            Effect.CHANGED, where, f"{key}: Jailkit does not look at this of a home; jailssh and sshd do not ask it"
        )
    wide, narrow = "relax_home_group_permissions", "relax_home_group"
    status = host.status(case.home)
    if wide in relaxed and section.at(wide) == section.at(narrow) and status and status[0] & 0o020:
        raise Unsafe(
            f"{case.home} is writable for its group, which only {narrow} lets in, since Jailkit takes it for {wide}; "
            f"run: chmod g-w {case.home}, or write {wide} = 1 if that is meant"
        )


def _check_names(case: _Case) -> None:
    """Compare the jail's own passwd and group, unless the section says not to."""
    if not case.jail.path or (case.number("skip_injail_passwd_check") and _set_shell(case)):
        return
    jail, person = case.jail, case.person
    file = f"{jail.path}/etc/passwd"
    entry = jail.user(person.name)
    group = jail.group(person.gid)
    if entry is None:
        raise Refused(35, f"{file} has no {person.name}")
    if entry.uid != person.uid:
        raise Refused(35, f"{file} has uid {entry.uid} for it")
    if group is None:
        raise Refused(35, f"{jail.path}/etc/group has no gid {person.gid}")
    if group != person.group:
        raise Refused(37, f"{jail.path}/etc/group names gid {person.gid} {group}, the host {person.group}")
    if entry.home.rstrip("/") != case.inside.rstrip("/"):
        raise Refused(39, f"{file} has the home {entry.home}, not {case.inside}")


def _set_shell(case: _Case) -> str:
    return case.chrootsh.text("injail_shell") if case.chrootsh else ""


def _check_shell(case: _Case) -> None:
    if (written := _set_shell(case)) != written.strip():
        raise Refused(111, f"injail_shell is {written!r} for Jailkit, with the blank")


def _shell(case: _Case) -> str:
    """Return the shell in the jail; :class:`Refused` where it is not there."""
    if written := _set_shell(case):
        shell = written.strip()
    else:
        entry = case.jail.user(case.person.name)
        shell = entry.shell if entry else ""
    if shell.rpartition("/")[2] in _NO_SHELLS:
        raise Refused(1, f"its shell in the jail is {shell}, which lets nobody do anything")
    if not case.jail.has(shell):
        raise Refused(111, f"its shell {shell or 'in the jail'} is not in {case.jail.path}")
    return shell


def _filtered(host: Host, case: _Case) -> Found:
    """Return an account whose commands jk_lsh judges, by the jail's own file."""
    person, file = case.person, f"{case.jail.path}{LSH}"
    text = case.jail.read(LSH)
    if text is None:
        raise Refused(1, f"there is no {file}, so jk_lsh denies everything")
    section = CIni(text).choose(jk_lsh.KEYS, person.name, person.group)
    if section is None:
        raise Refused(3, f"{file} has no section for it")
    programs = section.words("executables")
    if not programs:
        raise Refused(5, f"{file} [{section.name}] has no executables")
    if case.number("injail_login_shell"):
        raise Refused(7, "injail_login_shell leaves the command away, and jk_lsh has no interactive login")
    try:
        imported = jk_lsh.read(text, person.name, person.group, find=partial(path_on_host, host))
    except ConfigError as error:
        raise Unsafe(str(error)) from error
    for doubt in imported.warnings:
        case.say(doubt.effect, f"{file}:{doubt.line}", doubt.text)
    settings: Shape = {key: dict(values) for key, values in imported.settings.items()}
    sftp = case.sftp_server(host)
    if "sftp" in settings and sftp not in programs:
        del settings["sftp"]
        told = f"sshd asks for {sftp}, which is not among them" if sftp else "sshd serves sftp itself"
        case.say(Effect.NOTE, file, f"executables: sftp-server has no effect: {told}; sftp is not brought in")
    _without_what_the_host_lacks(host, case, settings, programs, file)
    if settings[""].get("umask") == _UMASK:
        del settings[""]["umask"]
    settings[""]["plugins"] = tuple(name for name in settings if name not in ("", "env"))
    if not settings[""]["plugins"]:
        raise Unsafe("nothing is left of what jk_lsh allows")
    expands = bool(section.number("allow_word_expansion"))
    if "git" in settings and not expands:
        case.say(
            Effect.CHANGED, file, "git: clients quote the path, which fails without allow_word_expansion; works then"
        )
    uses: list[str] = [use for use in ("command", "sftp", "rsync", "svn", "cvs", "hg", "borg") if use in settings]
    uses += ["scp-old"] if "scp" in settings else []
    uses += ["scp"] if "sftp" in settings else []
    uses += ["git"] if "git" in settings and expands else []
    for remark in slips(host, person, case.jail, file, settings):
        case.say(remark.effect, remark.where, remark.text)
    _environment(case, settings)
    called = _called(section.name)
    return Found(person.name, NAME, case.where, settings=_frozen(settings), called=called, uses=tuple(uses))


def _without_what_the_host_lacks(host: Host, case: _Case, settings: Shape, programs: Sequence[str], file: str) -> None:
    for plugin in [name for name in settings if name in _BY_PLUGIN and name not in ("sftp", "scp")]:
        if not on_host(host, _BY_PLUGIN[plugin]):
            del settings[plugin]
            case.say(Effect.LOST, file, f"{plugin}: this host has no {_BY_PLUGIN[plugin]}, which a jail would need")
    kept = []
    for line in settings.get("command", {}).get("commands", ()):
        name = line.split()[0]
        path = next((each for each in programs if each == name or each.endswith(f"/{name}")), name)
        if host.kind(path) or on_host(host, name):
            kept.append(line)
        else:
            case.say(Effect.LOST, file, f"{path} is in the jail and not on this host")
    if kept:
        settings["command"]["commands"] = tuple(kept)
    else:
        settings.pop("command", None)


def _free(host: Host, case: _Case, shell: str) -> Found:
    """Return an account with a real shell in the jail, and the programs that the jail holds."""
    jail, person = case.jail, case.person
    programs = jail.programs()
    if not on_host(host, shell):
        raise Unsafe(f"its shell {shell} is in {jail.path} and not on this host")
    missing = sorted(jail.missing())
    if missing:
        shown = ", ".join(missing[:20]) + (f" and {len(missing) - 20} more" if len(missing) > 20 else "")
        case.say(Effect.LOST, jail.path, f"programs that the jail has and this host has not: {shown}")
    name = shell.rpartition("/")[2]
    left = {*missing, name, PROGRAM, _FILTER}
    kept = tuple(sorted(each for each in programs if each not in left and _PLAIN.match(each)))
    usual = all(each in programs for each in _USUAL)
    settings: Shape = {"": {"plugins": ("shell",)}, "shell": {}}
    if shell not in ("/bin/bash", "/usr/bin/bash"):
        settings["shell"]["shell"] = shell
    if kept:
        settings["shell"]["programs"] = kept
    if not usual:
        settings["shell"]["tools"] = "no"
    uses = ["shell"]
    sftp = case.sftp_server(host)
    if not case.number("injail_login_shell"):
        uses += ["command"]
        uses += [use for program, use in _USE_OF_PROGRAM.items() if program in programs]
        uses += ["sftp", "scp"] if sftp and jail.has(sftp) else []
    else:
        where = CHROOTSH
        case.say(
            Effect.CHANGED,
            where,
            "injail_login_shell: Jailkit drops the command of ssh, scp, sftp, rsync; jails run it",
        )
    if sftp and jail.has(sftp):
        settings[""]["plugins"] = ("shell", "sftp")
        settings["sftp"] = {}
    data = jail.beside(case.inside)
    if data:
        case.say(
            Effect.LOST, jail.path, f"directories beside the home, which a jail does not show: {', '.join(data[:20])}"
        )
    for remark in slips(host, person, jail, jail.path, settings):
        case.say(remark.effect, remark.where, remark.text)
    _environment(case, settings)
    called = "jailkit-shell" if case.chrootsh is None else f"{_called(case.chrootsh.name)}-shell"
    return Found(person.name, NAME, case.where, settings=_frozen(settings), called=called, uses=tuple(uses))


def _environment(case: _Case, settings: Shape) -> None:
    """Bring over what jk_chrootsh keeps of the environment, as far as sshd takes it from the client at all."""
    wanted = [name for name in (case.chrootsh.words("env") if case.chrootsh else []) if not _PASSED.match(name)]
    names = tuple(dict.fromkeys(name for name in wanted if _VARIABLE.match(name) and not name.upper().endswith("PATH")))
    if names:
        settings[""]["accept_env"] = names
    if lost := [name for name in wanted if name not in names]:
        case.say(Effect.CLOSED, CHROOTSH, f"env: {', '.join(lost)} does not pass into a jail")


def _called(section: str) -> str:
    name = re.sub(r"[^a-z0-9_.-]+", "-", section.removeprefix("group ").lower()).strip("-.")
    return f"jailkit-{name.replace('..', '.') or 'own'}"[:56]


def _frozen(settings: Shape) -> Shape:
    return {name: values for name, values in settings.items() if values or not name}
