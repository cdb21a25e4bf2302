"""Accounts that HestiaCP confines: its login shell jailbash (bubblewrap), and its chroots for sftp.

jailbash shows the host's programs, the home and a few files of /etc, shares the network, and has no list of what may
run.  A chroot for sftp is ``/srv/jail/NAME``, with the home mounted below it at its own path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jailssh.core.names import escape
from jailssh.sources import by_shell, forced
from jailssh.sources.authorized_keys import unfit
from jailssh.sources.by_shell import Case, Rows
from jailssh.sources.forced import Context, Refuses, home_of
from jailssh.sources.found import Effect, Fate, Found, Host, Person

NAME = "hestia"
TITLE = "HestiaCP"
_SHELL = "jailbash"
_ACCOUNTS = "/etc/passwd"
_MARK = "# Hestia SFTP Chroot"
_CHROOT = "/srv/jail/"
_CRON = ("/etc/cron.d/hestia-sftp", "/etc/cron.d/hestia-ssh-jail")
_PROGRAMS = ("composer", "curl", "git", "mariadb", "mariadb-dump", "mysql", "mysqldump", "node", "npm", "php", "psql",
             "rsync", "scp", "unzip", "wget", "wp", "zip")  # fmt: skip
"""What people of a web host use, besides the usual tools of a shell."""


def find(host: Host) -> list[Found]:
    """Return the accounts with jailbash as login shell, and those that Hestia chroots for sftp."""
    every = by_shell.cases(host, NAME, (_SHELL,), _ACCOUNTS)
    found = [by_shell.judged(case) or by_shell.settled(case, _shell) for case in every]
    lines = host.sshd_lines()
    if any(text.strip().startswith(_MARK) for _, _, text in lines):
        found += [one for person in host.people() if (one := _transfers(person, host, lines))]
    return found


def _shell(case: Case) -> Found:
    home = _home(case)
    paths = (f"/usr/bin/{name}" for name in _PROGRAMS)
    programs = tuple(path.rsplit("/", 1)[-1] for path in paths if case.host.kind(path))
    rows: Rows = {"": {"plugins": "shell sftp", "network": "host"}}
    if programs:
        rows["shell"] = {"programs": programs}
    case.say(Effect.NOTE, "the network is the host's, as it is today; network = loopback would keep it out")
    text = "programs of this host other than the usual tools and those in [shell] programs: name there what is needed"
    case.say(Effect.LOST, text)
    if case.host.kind("/run/mysqld"):
        text = "the socket of the database server is not there: programs connect to 127.0.0.1, not to localhost"
        case.say(Effect.CHANGED, text)
    case.say(Effect.CLOSED, "BASH_ENV and PATH of a client act before bwrap does; a jail checks what a client sets")
    _leftovers(case.host, case)
    return case.migrates(rows, ("shell", "command", "sftp", "scp"), "hestia-shell", home)


def _home(case: Case) -> tuple[str, str]:
    """Return where the home is; that of a Jailkit set-up of before may be gone, with only its last part there."""
    passwd, home = case.person.home, home_of(case.person)
    before, mark, rest = passwd.partition("/./")
    if case.host.kind(home) == "dir":
        return (home if mark else ""), ""
    there = "/" + rest.strip("/")
    if mark and rest.strip("/") and case.host.kind(there) == "dir":
        text = f"the home {passwd} is of a Jailkit jail that is gone; what is left of it is {there}"
        case.say(Effect.CHANGED, f"{text}, which becomes the home")
        return there, ""
    raise Refuses(f"its home {escape(before if mark else passwd, 80)} does not exist, so bwrap fails")


def _leftovers(host: Host, case: Case) -> None:
    for path in _CRON:
        if host.kind(path):
            case.say(Effect.NOTE, "writes Hestia's chroots into sshd_config again at every boot: remove it", path)


def _transfers(person: Person, host: Host, lines: Sequence[tuple[str, int, str]]) -> Found | None:
    """Return an account in a chroot of Hestia's."""
    settings = host.sshd(person.name)
    chroot, command = settings.get("chrootdirectory", ""), settings.get("forcecommand", "")
    if chroot not in (f"{_CHROOT}%u", f"{_CHROOT}{person.name}") or not forced.is_internal(command):
        return None
    file, number, _ = next((line for line in lines if line[2].strip().startswith(_MARK)), ("", 0, ""))
    case = Case(person, host, NAME, f"{file}:{number}")
    for where, why in unfit(person):
        case.say(Effect.NOTE, why, where)
    if case.remarks:
        return case.found(Fate.LEAVE)
    found = by_shell.settled(case, lambda each: _jailed(each, command))
    if found.fate is not Fate.MIGRATE:
        return found
    match = _match(lines, (file, number))
    why = f"names {person.name}: take it out, or sshd goes on chrooting it before its jail is entered"
    return replace(found, gone=((match[0], match[1], why),))


def _match(lines: Sequence[tuple[str, int, str]], mark: tuple[str, int]) -> tuple[str, int]:
    """Return the line of the Match block behind Hestia's mark."""
    for file, number, text in lines:
        if file == mark[0] and number > mark[1] and text.split()[:1] == ["Match"]:
            return file, number
    return mark


def _jailed(case: Case, command: str) -> Found:
    home, name = home_of(case.person), case.person.name
    root = f"{_CHROOT}{name}"
    if not case.host.kind(root + home):
        raise Refuses(f"{root}{home} does not exist, where Hestia mounts the home")
    context = Context(case.person, case.host, home)

    def start(path: str) -> str:
        return context.path(path) if path.startswith(f"{home}/") else ""

    rows, uses, called = forced.sftp(command.split(" ")[1:], context, start=start)
    for effect, text in context.notes:
        case.say(effect, text)
    case.say(Effect.NOTE, f"{root} and the mount in it are not needed any more")
    _leftovers(case.host, case)
    return case.migrates(rows, uses, called)
