"""gitolite 3: one account for many people, told apart by their keys, with rights to repositories and their refs.

Who logs in is in the account's authorized_keys, which gitolite writes; what each may do is decided as gitolite does for
every repository that there is, and written as a table of rights.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from jailssh.config.home_keys import HomeKey
from jailssh.config.keys import Key
from jailssh.config.rights import MAX_TABLE
from jailssh.core.errors import JailsshError
from jailssh.core.names import escape, is_below
from jailssh.gitolite import conf as gitolite_conf
from jailssh.gitolite import rc as gitolite_rc
from jailssh.gitolite.access import Access, Repository, ref_of
from jailssh.gitolite.conf import TooHard
from jailssh.gitolite.patterns import is_sound
from jailssh.gitolite.rc import Rc
from jailssh.gitolite.table import Table, is_name
from jailssh.sources import authorized_keys
from jailssh.sources.forced import home_of, tilde
from jailssh.sources.found import Effect, Fate, Found, Host, Person, Remark, Settings

NAME = "gitolite"
TITLE = "gitolite"
TABLES = "/etc/jailssh/rights"
COMMANDS = {"info": ("info", "list"), "create": ("create",), "symbolic-ref": ("set-head",)}
"""Commands of gitolite, each with ours that let nobody do more: ``desc`` and ``D`` are for who made a repository."""
_SHELL = re.compile(r"\"?(?:[^\s\"]*/)?gitolite-shell\"?( -s)? ([^\s\"]+)(?: .*)?\Z", re.DOTALL)
_BOUND = ("from", "expiry-time", "cert-authority", "principals", "verify-required")


class _Left(Exception):
    """Nothing is done about the account; the text says why."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(why)
        self.where = where


def find(host: Host) -> list[Found]:
    """Return the accounts that gitolite serves."""
    found = []
    for person in host.people():
        if not host.kind(f"{home_of(person)}/.gitolite"):
            continue
        work = _Work(person, host)
        try:
            found.append(work.found())
        except _Left as error:
            found.append(work.left(error.where, str(error)))
        except TooHard as error:
            found.append(work.left(work.conf_file, str(error)))
        except JailsshError as error:
            found.append(work.left(error.what, error.why))
    return found


@dataclass
class _Work:
    person: Person
    host: Host
    remarks: list[Remark] = field(default_factory=list)
    conf_file: str = ""

    def left(self, where: str, why: str) -> Found:
        remarks = (*self.remarks, Remark(Effect.NOTE, where, f"left: {escape(why, 300)}"))
        return Found(self.person.name, NAME, self.conf_file or where, fate=Fate.LEAVE, remarks=remarks)

    def say(self, effect: Effect, where: str, text: str) -> None:
        remark = Remark(effect, where, text)
        if remark not in self.remarks:
            self.remarks.append(remark)

    def found(self) -> Found:
        person, home = self.person, home_of(self.person)
        self.conf_file = f"{home}/.gitolite/conf/gitolite.conf"
        if person.uid == 0:
            raise _Left(home, "root cannot be put into a jail")
        for where, why in authorized_keys.unfit(person):
            self.say(Effect.NOTE, where, why)
        rc = gitolite_rc.read(self._rc_text(f"{home}/.gitolite.rc"), f"{home}/.gitolite.rc", home)
        if rc.stop:
            raise _Left(*rc.stop[0])
        for where, why in rc.lost:
            self.say(Effect.LOST, where, why)
        named = self._keys()
        conf = self._conf(rc)
        repositories = self._repositories(rc)
        access = Access(conf, rc.roles, {each.name for each in repositories})
        users = {user: name for user, (name, _) in named.items()}
        self._sound(conf, users)
        table = Table(access, repositories, users, rc.base)
        text = table.text(self.conf_file, creates=rc.creates)
        for remark in table.remarks:
            self.say(remark.effect, remark.where, remark.text)
        if len(text.encode()) > MAX_TABLE:
            raise _Left(self.conf_file, "the table of rights would be larger than jailssh takes")
        self._general(rc)
        file = f"{TABLES}/gitolite-{re.sub('[^A-Za-z0-9_.-]', '_', person.name)}"
        commands = tuple(word for name, words in COMMANDS.items() if name in rc.commands for word in words)
        settings: Settings = {"": {"plugins": "git"},
                    "git": {"roots": (tilde(rc.base, home),), "rights": file, "archive": "yes",
                            **({"commands": commands} if commands else {})}}  # fmt: skip
        return Found(
            person.name,
            NAME,
            self.conf_file,
            settings=settings,
            called="gitolite",
            named=dict(named.values()),
            groups=table.groups(),
            files={file: text},
            uses=("git",),
            remarks=tuple(self.remarks),
        )

    def _rc_text(self, path: str) -> str:
        """Return the rc file; Debian's package has a link to a file of root's in its place."""
        if not self.host.kind(path):
            return ""
        if target := self.host.link(path):
            if not target.startswith("/") or is_below(target, home_of(self.person)):
                raise _Left(path, "is a link to a file that is not root's")
            text = self.host.read(target)
        else:
            text = self.host.read_of(self.person, path)
        if text is None:
            raise _Left(path, "cannot be read")
        return text

    def _keys(self) -> dict[str, tuple[str, tuple[Key, ...]]]:
        """Return by gitolite's name of a user the name and the keys of ours."""
        settings = self.host.sshd(self.person.name)
        keys, unread = authorized_keys.keys_of(self.person, settings, self.host)
        for text in unread:
            where, _, why = text.partition(": ")
            self.say(Effect.NOTE, where, f"the line gives no key: {escape(why, 200)}")
        found: dict[str, list[Key]] = {}
        owner: dict[str, str] = {}
        for key in keys:
            if user := self._user(key):
                # sshd takes the first line with a key.
                if owner.setdefault(key.key.blob, user) == user:
                    found.setdefault(user, []).append(key.key)
                else:
                    self.say(Effect.NOTE, key.origin, f"the key is that of {owner[key.key.blob]} above")
        names: dict[str, tuple[str, tuple[Key, ...]]] = {}
        for user in sorted(found):
            name = user.replace("@", "+")
            if not is_name(name) or name in {each for each, _ in names.values()}:
                self.say(
                    Effect.LOST, self.conf_file, f"{escape(user, 60)} cannot be the name of a key, so it is left out"
                )
                continue
            if name != user:
                self.say(Effect.CHANGED, self.conf_file, f"the key of {user} is named {name}")
            names[user] = name, tuple(dict.fromkeys(found[user]))
        if not names:
            raise _Left(self.conf_file, "no key of gitolite's is in the account's authorized_keys")
        return names

    def _user(self, key: HomeKey) -> str:
        command = authorized_keys.command_of(key)
        match = _SHELL.match(command or "")
        if not match:
            text = "this key is none of gitolite's, so it has no name and does not log in"
            self.say(Effect.LOST, key.origin, text)
            return ""
        if bound := [name if value is None else f"{name}=" for name, value in key.said if name in _BOUND]:
            self.say(Effect.LOST, key.origin, f"a key with a name cannot have {bound[0]}, so this one is left out")
            return ""
        if match[1]:
            self.say(Effect.LOST, key.origin, f"{match[2]} has a shell beside git (gitolite-shell -s)")
        return match[2]

    def _conf(self, rc: Rc) -> gitolite_conf.Conf:
        folder = f"{rc.admin}/conf"
        self.conf_file = f"{folder}/gitolite.conf"
        files = self.host.find_of(self.person, folder, ".conf")
        source = gitolite_conf.Source(
            folder,
            lambda name: self.host.read_of(self.person, f"{folder}/{name}"),
            [path.removeprefix(f"{folder}/") for path in files],
            roles=rc.roles,
            hostname=rc.hostname,
            config=rc.config,
            continued=rc.continued,
        )
        conf = gitolite_conf.parse(source)
        for where, text in conf.notes:
            self.say(Effect.NOTE, where, text)
        for repo, rows in conf.config.items():
            for _, key, _ in rows:
                option = key.removeprefix("gitolite-options.")
                if option.startswith(("hook.", "mirror.", "refex-expr.", "partial-copy", "upstream.")):
                    self.say(Effect.LOST, self.conf_file, f"option {escape(option, 60)} of {escape(repo, 60)}")
        if rc.groups_program:
            if any(rule.perm == "-" for by in conf.rules.values() for rules in by.values() for rule in rules):
                raise _Left(rc.file, "GROUPLIST_PGM says who is in a group, and there are rules that deny")
            self.say(Effect.LOST, rc.file, f"groups that {escape(rc.groups_program, 80)} says (GROUPLIST_PGM)")
        return conf

    def _sound(self, conf: gitolite_conf.Conf, users: Collection[str]) -> None:
        """Raise where gitolite ends at a pattern, and so refuses what its rules give."""
        for rule in (rule for by in conf.rules.values() for rules in by.values() for rule in rules):
            whose = users if "/USER/" in rule.ref else ("",)
            if not all(is_sound(ref_of(rule, user)) for user in whose):
                raise _Left(rule.where, f"the pattern {escape(rule.ref, 80)!r} is not valid")

    def _repositories(self, rc: Rc) -> list[Repository]:
        host, person = self.host, self.person
        every = f"{home_of(person)}/.gitolite.down"
        down = host.kind(every) == "file"
        if down:
            self.say(Effect.NOTE, every, "gitolite takes no pushes now, so nobody gets the right to push")
        found = []
        for path in host.find_of(person, rc.base, ".git"):
            name = path.removeprefix(f"{rc.base}/").removesuffix(".git")
            if host.kind(path) != "dir" or not gitolite_conf.REPO.match(name):
                continue
            if host.link(f"{path}/hooks/update") != f"{rc.admin}/hooks/common/update":
                self.say(
                    Effect.NOTE, path, "gitolite has no hook in this repository and refuses it, so nobody gets a right"
                )
                continue
            perms, creator, groups = (
                (host.read_of(person, f"{path}/{file}") or "") if host.kind(f"{path}/{file}") else ""
                for file in ("gl-perms", "gl-creator", "gl-repo-groups")
            )
            named = tuple(
                "@" + word.removeprefix("@") for word in groups.split() if re.match(r"[\w@-]+\Z", word, re.ASCII)
            )
            off = host.kind(f"{path}/.gitolite.down") == "file"
            if off:
                self.say(Effect.NOTE, f"{path}/.gitolite.down", "gitolite takes no pushes, so nobody gets the right to")
            found.append(Repository(name, creator.rstrip("\n"), perms, named, down or off))
        return found

    def _general(self, rc: Rc) -> None:
        base = tilde(rc.base, home_of(self.person))
        text = f"ssh://{self.person.name}@HOST/REPO is refused: {self.person.name}@HOST:REPO, or ssh://…{rc.base}/REPO"
        self.say(Effect.CHANGED, rc.file, text)
        if lost := [name for name in rc.commands if name not in COMMANDS and name != "help"]:
            self.say(Effect.LOST, rc.file, f"commands of gitolite: {', '.join(lost)}")
        self.say(Effect.LOST, base, "hooks in the repositories: [git] hooks names those that shall run")
        text = "a push to gitolite-admin changes nothing any more: keys by jailssh keys, rights in the table"
        self.say(Effect.CHANGED, self.conf_file, text)
