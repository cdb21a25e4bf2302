"""gitolite 3: one account for many people, told apart by their keys, with rights to repositories and their refs.

Who logs in is in the account's authorized_keys, which gitolite writes; what each may do is decided as gitolite does for
every repository that there is, and written as a table of rights.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from jailssh.config.home_keys import HomeKey
from jailssh.config.keys import ALL, Key
from jailssh.config.rights import MAX_TABLE
from jailssh.core.errors import JailsshError
from jailssh.core.names import escape, is_below
from jailssh.gitolite import conf as gitolite_conf
from jailssh.gitolite import rc as gitolite_rc
from jailssh.gitolite.access import Access, Push, Repository, may_create
from jailssh.gitolite.conf import Rule, TooHard
from jailssh.gitolite.rc import Rc
from jailssh.sources import authorized_keys
from jailssh.sources.forced import home_of, tilde
from jailssh.sources.found import Effect, Fate, Found, Host, Person, Remark, Settings

NAME = "gitolite"
TITLE = "gitolite"
TABLES = "/etc/jailssh/rights"
ADMIN = "gitolite-admin"
_SHELL = re.compile(r"\"?(?:[^\s\"]*/)?gitolite-shell\"?( -s)? ([^\s\"]+)(?: .*)?\Z", re.DOTALL)
_BOUND = ("from", "expiry-time", "cert-authority", "principals", "verify-required")
_BELOW = re.compile(r"((?:[-0-9a-zA-Z_@+]+/)+)\.[.]?[*+]\Z")
"""A pattern for all that is below a directory."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,199}\Z")
_SHOWN = 5


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
        table = _Table(self, access, repositories, {user: name for user, (name, _) in named.items()})
        text = table.text(creates=rc.creates)
        if len(text.encode()) > MAX_TABLE:
            raise _Left(self.conf_file, "the table of rights would be larger than jailssh takes")
        self._general(rc)
        file = f"{TABLES}/gitolite-{re.sub('[^A-Za-z0-9_.-]', '_', person.name)}"
        settings: Settings = {"": {"plugins": "git"},
                    "git": {"roots": (tilde(rc.base, home),), "rights": file, "archive": "yes"}}  # fmt: skip
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
            if not _NAME.match(name) or name in {each for each, _ in names.values()}:
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
        if rc.commands:
            self.say(Effect.LOST, rc.file, f"gitolite's own commands: {', '.join(rc.commands)}")
        self.say(Effect.LOST, base, "hooks in the repositories: [git] hooks names those that shall run")
        text = "a push to gitolite-admin changes nothing any more: keys by jailssh keys, rights in the table"
        self.say(Effect.CHANGED, self.conf_file, text)


class _Table:
    """The table of rights, and what it cannot say."""

    def __init__(
        self, work: _Work, access: Access, repositories: Collection[Repository], users: Mapping[str, str]
    ) -> None:
        self._work = work
        self._access = access
        self._repositories = repositories
        self._users = users
        self._used: dict[str, tuple[str, ...]] = {}
        self._parts: dict[str, tuple[Rule, set[str], set[str]]] = {}
        groups = access.conf.groups
        self._members = {group: frozenset(user for user in users if user in groups[group]) for group in sorted(groups)}

    def groups(self) -> dict[str, tuple[str, ...]]:
        """Return the groups that the table names, after :meth:`text`."""
        return dict(sorted(self._used.items()))

    def text(self, *, creates: bool) -> str:
        """Return the table."""
        lines = [f"# From {self._work.conf_file}, by jailssh migrate."]
        for repository in self._repositories:
            lines += self._rows(repository)
        for rule, repos, users in self._parts.values():
            text = (
                f"{rule.perm} {rule.ref}: what {_some(users)} may push to {_some(repos)} depends on the ref or on what"
            )
            self._work.say(Effect.LOST, rule.where, f"{text} is done to it, which no right can say; they can read")
        if creates:
            lines += self._creating()
        return "".join(f"{line}\n" for line in lines)

    def _rows(self, repository: Repository) -> list[str]:
        readers, writers = set(), set()
        for user in self._users:
            what = self._access.decide(repository, user)
            push = what.push if repository.name != ADMIN else Push.NONE
            if push is Push.FULL:
                writers.add(user)
            elif what.read:
                readers.add(user)
            if push is Push.PART:
                for rule in what.why:
                    row = self._parts.setdefault(f"{rule.where} {rule.ref}", (rule, set(), set()))
                    row[1].add(repository.name)
                    row[2].add(user)
        conf = self._access.conf.rules
        everybody = any(f"@{ALL}" in conf.get(name, ()) for name in self._access.repos(repository))
        rows = (("read", readers), ("write", writers))
        return [f"{right} {repository.name} {self._who(people, everybody)}" for right, people in rows if people]

    def _who(self, users: Collection[str], everybody: bool) -> str:
        """Return users as a line of a table has them: by groups where these hold no others.

        ``everybody``: the rules are for whoever there is, so who comes later is meant too.
        """
        left, words = set(users), []
        if everybody and left == set(self._users):
            return f"@{ALL}"
        for group, members in sorted(self._members.items(), key=lambda item: -len(item[1])):
            name = group.removeprefix("@").replace("@", "+").replace("/", "+")
            if len(members & left) > 1 and members <= set(users) and _NAME.match(name) and name != ALL:
                names = tuple(sorted(self._users[user] for user in members))
                if self._used.setdefault(name, names) == names:
                    words.append(f"@{name}")
                    left -= members
        return " ".join([*words, *sorted(self._users[user] for user in left)])

    def _creating(self) -> list[str]:
        """Return the lines by which a push makes a repository, and say where none can."""
        found: dict[str, set[str]] = {}
        for key, by in sorted(self._access.conf.rules.items()):
            rules = [rule for each in by.values() for rule in each if rule.perm == "C"]
            if not rules or (gitolite_conf.REPO.match(key) and not key.startswith("@")):
                continue
            rows = self._below(key)
            if rows is None:
                text = f"a push makes no new repository that fits {escape(key, 60)}: write lines with create for that"
                self._work.say(Effect.LOST, rules[0].where, text)
                continue
            for pattern, user in rows:
                found.setdefault(pattern, set()).add(user)
        return [f"create {pattern} {self._who(users, everybody=False)}" for pattern, users in sorted(found.items())]

    def _below(self, key: str) -> list[tuple[str, str]] | None:
        """Return (pattern, user) for those who may make whatever is below a directory; None where it is not that."""
        match = _BELOW.match(key)
        if not match or self._denying():
            return None
        rows = []
        for user in self._users:
            parts = [user if part == "CREATOR" else part for part in match[1].rstrip("/").split("/")]
            if any("CREATOR" in part for part in parts) or ("CREATOR" in match[1] and not _NAME.match(user)):
                return None
            folder = "/".join(parts)
            new = Repository(f"{folder}/x", creator=user)
            rules, options = self._access.rules(new, user), self._access.options(new)
            if not may_create(rules, options):
                continue
            there = [each for each in self._repositories if each.name.startswith(f"{folder}/")]
            if any(self._access.decide(each, user).push is not Push.FULL for each in (new, *there)):
                return None
            rows.append((f"{folder}/**", user))
        return rows

    def _denying(self) -> bool:
        """True if a rule for more than one repository takes something away."""
        known = {each.name for each in self._repositories}
        return any(
            rule.perm == "-" or rule.ref.startswith("VREF/")
            for key, by in self._access.conf.rules.items()
            if key not in known
            for rules in by.values()
            for rule in rules
        )


def _some(names: Iterable[str]) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(escape(name, 60) for name in listed[:_SHOWN]) + more
