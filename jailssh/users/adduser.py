"""Put an account into a jail.

Everything is checked before the first change; each change is written to the undo journal first.  The order is such
that an account never has more than before: what confines it comes before what lets it in, keys come last.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Protocol

from jailssh.change import home_move, transaction, undo
from jailssh.change.transaction import Fault, Journal, no_fault
from jailssh.change.undo import Operation, UndoAction
from jailssh.config import authorized
from jailssh.config.files import user_text
from jailssh.config.home_keys import HomeKeys
from jailssh.config.keys import Key, Keyring
from jailssh.core.errors import HostError, JailsshError, UsageError, raise_all
from jailssh.core.names import check_account_name, pluralize
from jailssh.files import fs
from jailssh.host import accounts, install
from jailssh.host.accounts import AccountEntry
from jailssh.host.paths import Layout
from jailssh.jail import authorized_keys
from jailssh.plan.view import check_home
from jailssh.services import shadow, sshd
from jailssh.setup import home_keys, looks, pam, running, setup
from jailssh.setup.home_keys import Choice
from jailssh.setup.looks import OutsideJail
from jailssh.setup.setup import GROUP
from jailssh.users import aside, checks, gone, settling
from jailssh.users.covers import make_ahead

Confirm = Callable[[str], bool]
"""Asks a yes-or-no question and returns the answer."""


class Publishing(Protocol):
    """What account changes need of the configuration and of the images."""

    min_uid: int
    deny_groups: tuple[str, ...]
    groups: tuple[str, ...]

    def check(self, jails: tuple[str, ...]) -> None:
        """Raise unless every name is a jail or a plugin and they can be combined."""

    def has_rights(self, jails: tuple[str, ...]) -> bool:
        """True if the jails give rights to people by name."""

    def shows_tops(self, jails: tuple[str, ...]) -> bool:
        """True if the jails show what stands at the top of a home at their own: such a home is root's."""

    def check_jailed(self, entry: AccountEntry) -> None:
        """Raise unless the account is in a jail."""

    def make_image(self, jails: tuple[str, ...]) -> None:
        """Build the image that such an account needs, so that publishing finds it."""

    def publish(self, entry: AccountEntry) -> str:
        """Build the account's image where needed, publish its plan, return what the account can do now."""

    def withdraw(self, uid: int) -> None:
        """Remove the plan of ``uid``; absent is fine."""

    def tidy(self, uid: int) -> None:
        """Remove what :meth:`publish` and :meth:`withdraw` left so that they could be taken back."""

    def keyring(self, name: str) -> Keyring:
        """Return the named keys of the account, none for one that is not shared."""

    def places(self, entry: AccountEntry, name: str) -> list[str]:
        """Return where jail files say ``name`` and mean the account."""

    def keys_text(self, entry: AccountEntry) -> str:
        """Return what the keys file of an account with named keys must hold."""


@dataclass(frozen=True)
class AddUserOptions:
    """What the administrator asked for; ``home``, ``uid``, ``gecos``, ``password``, ``expires`` are for a new account.

    ``where``: what names it to people in an error, such as ``file:line``.  ``home``: None is ``/home/NAME``.
    ``uid``: None is the next one.  ``password``: a hash as crypt(5) has them, "" for none that fits.
    ``expires``: the day, counted from 1970, from which on nobody logs in.  ``own``: settings of the account's own file.
    ``home_path``: what an account that exists has as home directory from then on, "" for what it has now; nothing is
    moved.  ``home_move``: the home of an account that exists is moved to ``home``.  ``text``: what its own file says,
    with this uid and these jails, "" for what it says now.  Of one that :func:`jailssh.users.many.add_within` makes,
    ``gid``: of its primary group, None is the uid; ``group``: that group, which is there, "" for one of its own.
    """

    name: str
    jails: tuple[str, ...]
    _: KW_ONLY
    keys: tuple[Key, ...] = ()
    force: bool = False
    now: bool = False
    home: str | None = None
    on_demand: bool = False
    disable: bool = False
    key_choice: Choice = field(default_factory=Choice)
    uid: int | None = None
    gecos: str = ""
    password: str = ""
    expires: int | None = None
    where: str = ""
    own: Mapping[str, str] = field(default_factory=dict)
    home_path: str = ""
    home_move: bool = False
    text: str = ""
    gid: int | None = None
    group: str = ""

    def home_for(self, entry: AccountEntry) -> str:
        """Return the home directory that an account that exists is to have."""
        return (self.home if self.home_move else None) or self.home_path or entry.home


@dataclass(frozen=True)
class Outcome:
    """What was done and what the account can do, for people; ``changed`` is False if all was so already."""

    lines: tuple[str, ...]
    changed: bool


@dataclass(frozen=True)
class AccountStep:
    """One change to come: its name, how to take it back, how to make it; see :meth:`transaction.Journal.step`."""

    point: str
    inverse: UndoAction
    act: Callable[[], object]
    confines: bool = False


def users_file(layout: Layout, name: str) -> str:
    """Return the path of the file that says which jails the account is in."""
    return f"{layout.users}/{name}.conf"


def subject(name: str) -> str:
    """Return the name of the account's undo journal."""
    return f"account-{name}"


def canary_subject(name: str) -> str:
    """Return the name of the journal that says that a proof of the account is under way."""
    return f"canary-{name}"


def forget_canary(layout: Layout, name: str) -> None:
    """Forget a proof that was interrupted: what became of the account is decided now.  Call under the lock."""
    journal = Journal(layout, canary_subject(name))
    if journal.owner is not None and not journal.owner.is_alive():
        journal.forget()


def require_setup(layout: Layout, groups: tuple[str, ...]) -> None:
    """Raise :class:`HostError` unless ``jailssh setup`` has nothing left to do: without the drop-in sshd leaks."""
    if not os.path.exists(layout.sshd_drop_in) or not accounts.group_exists(GROUP):
        raise HostError("this host", "is not set up for jails", hint="jailssh setup")
    if rest := setup.pending(layout, groups):
        why = f"setup is out of date: {setup.explained(rest)}"
        raise HostError("this host", why, hint="jailssh setup")


def adduser(
    layout: Layout, wish: AddUserOptions, publisher: Publishing, confirm: Confirm, fault: Fault = no_fault
) -> Outcome:
    """Put the account into its jails."""
    check_account_name(wish.name)
    require_setup(layout, publisher.groups)
    with fs.lock(layout.lock):
        owed = running.settle_owed(layout)
        lines = [
            *owed,
            *settling.renames(layout, (wish.name,)),
            *transaction.recover(layout, subject(wish.name)),
            *transaction.others(layout, subject(wish.name)),
        ]
        entry = accounts.find(wish.name)
        # Whatever is refused below: what somebody else of this name had does not come to this account.
        lines += gone.set_aside_other(layout, wish.name, entry)
        home = wish.home or f"/home/{wish.name}"
        facts = None
        if entry is None:
            checks.check_new(wish.name, home, uid=wish.uid, gecos=wish.gecos)
        else:
            home = wish.home_for(entry)
            facts = check_existing(layout, wish, entry, publisher)
        check_home(home)
        publisher.check(wish.jails)
        ring = publisher.keyring(wish.name)
        check_keys(wish, shared=ring.shared)
        own = own_keys(layout, wish, entry, shared=ring.shared)
        jailed = facts is not None and facts.jailed
        standing = looks.look(at_path(wish, entry), pam.inside_of(layout)) if entry is not None and not jailed else []
        if facts is not None and not facts.jailed and not confirm(question(wish, standing)):
            raise JailsshError(f"account {wish.name}", "aborted; nothing changed")
        if not wish.on_demand:
            # The long part, while nothing is changed yet and a signal still ends it at once.
            publisher.make_image(wish.jails)
        journal = Journal(layout, subject(wish.name), fault)
        with journal.changing(f"adduser {wish.name}", f"jailssh adduser {wish.name} --jail {','.join(wish.jails)}"):
            if entry is None:
                entry = _create(layout, wish, home, journal)
            journal.uid = entry.uid
            changed = [] if entry.home == home else ["home"]
            lines += _at_home(wish, entry, home, journal)
            entry = replace(entry, home=home)
            taken = home_keys.take(own, authorized_keys.present(layout, wish.name), layout, wish.key_choice)
            aside.set_aside(journal, entry, standing if wish.disable else ())
            jailed = facts is not None and facts.jailed
            more, ability, shut_out = _take(layout, wish, entry, publisher, journal, taken.text, jailed=jailed)
            changed += more
            journal.commit()
        forget_canary(layout, wish.name)
        publisher.tidy(entry.uid)
    lines += report(layout, wish, entry, facts, changed, ability)
    if changed and accounts.is_expired(wish.name):  # also a new one, by EXPIRE of /etc/default/useradd
        lines.append(f"note: {wish.name} has expired, so logins are refused: chage --list {wish.name}")
    lines += [*taken.lines, *looks.lines(standing, aside=wish.disable), *make_ahead(layout, entry)]
    if facts is None and not wish.keys and not wish.password and not ring.shared:
        lines.append(no_key(wish.name, rights=publisher.has_rights(wish.jails)))
    return Outcome((*lines, *shut_out), bool(changed))


def check_keys(wish: AddUserOptions, *, shared: bool) -> None:
    """Raise for keys without a name that a shared account would get."""
    if shared and wish.keys:
        hint = f"jailssh keys add {wish.name} NAME FILE"
        raise UsageError("--key", f"{wish.name} is a shared account, its keys need names", hint=hint)


def question(wish: AddUserOptions, standing: Sequence[OutsideJail]) -> str:
    """Return what the administrator is asked before an existing account goes into a jail."""
    found = "".join(f"{each.says}\n" for each in standing)
    then = " and set aside what is possible of the above" if wish.disable and standing else ""
    return f"{found}Put the existing account {wish.name} into a jail{then}?"


def own_keys(layout: Layout, wish: AddUserOptions, entry: AccountEntry | None, *, shared: bool) -> HomeKeys:
    """Return the keys by which the account logs in now and that sshd will not read any more; raises for commands."""
    if entry is None or shared:
        return HomeKeys()
    paths = home_keys.paths_of(sshd.effective(entry.name, sshd.main_config(layout)), entry, layout)
    found = home_keys.look(entry, paths)
    home_keys.check(found, entry, wish.key_choice)
    return found


def check_existing(
    layout: Layout, wish: AddUserOptions, entry: AccountEntry, publisher: Publishing
) -> checks.AccountFacts:
    """Return the facts about an account that exists; raises every reason not to put it into a jail."""
    was, entry = entry, at_path(wish, entry)
    if wish.home is not None and wish.home != entry.home and not wish.home_move:
        why = f"account exists with home '{entry.home}', which stays as it is"
        hint = "repeat the command without --home; to move its home there: --home-move"
        raise UsageError(f"--home {wish.home}", why, hint=hint)
    made = [step.args for step in Journal(layout, subject(wish.name)).original if step.op == Operation.ACCOUNT]
    ours = any(args and args[0] == entry.uid for args in made)
    raise_all(
        checks.differences(
            entry, uid=wish.uid, gecos=wish.gecos, password=wish.password, expires=wish.expires, ours=ours
        )
    )
    path = users_file(layout, wish.name)
    facts = checks.look(entry, login_program=layout.login_program, users_file=path)
    raise_all(
        checks.refusals(
            facts,
            min_uid=publisher.min_uid,
            deny_groups=publisher.deny_groups,
            login_program=layout.login_program,
            force=wish.force,
            now=wish.now,
            of_root=bool(wish.home_path) or publisher.shows_tops(wish.jails),
        )
    )
    if wish.home_move and (target := wish.home_for(was)) != was.home:
        checks.check_place(target)
        home_move.check(was, target)
    return facts


def at_path(wish: AddUserOptions, entry: AccountEntry) -> AccountEntry:
    """Return the account that exists with the home directory by which its home is found now."""
    return replace(entry, home=wish.home_path or entry.home)


def _create(layout: Layout, wish: AddUserOptions, home: str, journal: Journal) -> AccountEntry:
    inverse = undo.created(wish.name, layout.login_program, GROUP)

    def create() -> None:
        accounts.create_account(
            wish.name, home, layout.login_program, [GROUP], uid=wish.uid, gecos=wish.gecos, expires=wish.expires
        )

    journal.step("account", inverse, create, confines=True)
    journal.amend(undo.as_created(inverse))
    return accounts.get(wish.name)


def _at_home(wish: AddUserOptions, entry: AccountEntry, home: str, journal: Journal) -> list[str]:
    """Have the account's home at ``home``; return notes."""
    notes: list[str] = []
    if entry.home == home:
        return notes
    if wish.home_move:

        def move() -> None:
            notes.extend(home_move.forward(entry, home, journal.heed))

        # Where it is when it is interrupted, it can stay: it is whole, and the account's.
        journal.step("home", undo.move_home_back(entry, home), move, confines=True)
        return notes
    inverse = UndoAction(Operation.HOME_PATH, entry.name, (entry.uid, entry.home, home))
    journal.step("home directory", inverse, lambda: accounts.set_home(entry.name, home))
    return notes


def _take(
    layout: Layout,
    wish: AddUserOptions,
    entry: AccountEntry,
    publisher: Publishing,
    journal: Journal,
    keys: str,
    *,
    jailed: bool,
) -> tuple[list[str], str, list[str]]:
    """Make the changes that are needed; return their names, what the account can do, and what keeps it out.

    ``keys``: its keys file.
    """
    changed = ["account"] if any(step.op == Operation.ACCOUNT for step in journal.steps) else []
    for step in steps_before(layout, wish, entry, jailed=jailed):
        journal.step(step.point, step.inverse, step.act, confines=step.confines)
        changed.append(step.point)
    values = sshd.effective(entry.name, sshd.main_config(layout))
    sshd.check_forced(values, layout, entry.name)
    plan = f"{layout.plans}/{entry.uid}"
    before = install.read_optional(plan)
    ability: list[str] = []

    def publish() -> None:
        # On demand: an older plan, of another jail, must not be what the next login gets.
        if wish.on_demand:
            publisher.withdraw(entry.uid)
        else:
            ability.append(publisher.publish(entry))

    journal.step("plan", undo.put_plan_back(plan), publish)
    if install.read_optional(plan) != before:
        changed.append("plan")
    for step in steps_after(layout, wish, entry, publisher, keys):
        journal.step(step.point, step.inverse, step.act, confines=step.confines)
        changed.append(step.point)
    return changed, "".join(ability), kept_out(values, entry)


def steps_before(layout: Layout, wish: AddUserOptions, entry: AccountEntry, *, jailed: bool) -> list[AccountStep]:
    """Return what must be there before the plan: the users file, which it is made from, and sshd's forced command.

    An account that is in no jail yet can only lose by them; one that moves from jail to jail may get more.
    """
    steps = []
    path = users_file(layout, entry.name)
    before = install.read_optional(path)
    text = (wish.text or user_text(entry.uid, wish.jails, before or b"", wish.own)).encode("utf-8")
    if before != text:
        inverse = undo.put_file_back(path, text)
        steps.append(AccountStep("users file", inverse, lambda: fs.atomic_write(path, text), confines=not jailed))
    if GROUP not in {name for name, _ in entry.groups}:
        inverse = UndoAction(Operation.MEMBER, entry.name, (GROUP,))
        steps.append(AccountStep("member", inverse, lambda: accounts.add_member(entry.name, GROUP), confines=True))
    return steps


def steps_after(
    layout: Layout, wish: AddUserOptions, entry: AccountEntry, publisher: Publishing, keys: str, *, new: bool = False
) -> list[AccountStep]:
    """Return what comes last: the login shell, then keys and password, which let somebody in.

    ``new``: the account is ours and was made by this command.
    """
    steps = []
    login = layout.login_program
    if entry.shell != login and accounts.is_local(entry.name):
        inverse = UndoAction(Operation.SHELL, entry.name, (entry.uid, entry.shell, login))
        steps.append(AccountStep("shell", inverse, lambda: accounts.set_shell(entry.name, login), confines=True))
    present = authorized_keys.present(layout, entry.name)
    text = keys
    if publisher.keyring(entry.name).keys:
        text = publisher.keys_text(entry)
    elif wish.keys:
        text = authorized.merge(keys, wish.keys, login)
    if text != present:
        inverse = undo.put_keys_back(layout, entry.name, text)
        steps.append(AccountStep("keys", inverse, lambda: authorized_keys.write(layout, entry.name, text)))
    if wish.password and (new or accounts.password_hash(entry.name) != wish.password):
        inverse = undo.put_password_back(entry.name, entry.uid, wish.password, new=new)
        steps.append(AccountStep("password", inverse, lambda: shadow.set_password(entry.name, wish.password)))
    return steps


def no_key(name: str, *, rights: bool) -> str:
    """Return the note about an account that nothing lets in yet."""
    ways = [f"jailssh keys add {name} NAME FILE (many people, each with a name for rights)"] if rights else []
    ways += [f"jailssh adduser {name} --jail … --key FILE (one person)" if rights else "--key FILE", f"passwd {name}"]
    return f"note: {name} cannot log in yet (no key, no password); add one: {', '.join(ways[:-1])} or: {ways[-1]}"


def kept_out(values: Mapping[str, list[str]], entry: AccountEntry) -> list[str]:
    """Return the note about an account that a list of sshd's lets in from nowhere, by sshd's answer for it."""
    listed = sshd.kept_out(values, entry.name, {GROUP, *(name for name, _ in entry.groups)})
    if not listed:
        return []
    does = "does not name" if listed.startswith("Allow") else "names"
    whom = "a group of it" if "Groups " in listed else "it"
    return [
        f"note: {entry.name} cannot log in: {listed.split()[0]} of sshd {does} {whom}; see: jailssh doctor {entry.name}"
    ]


def report(
    layout: Layout,
    wish: AddUserOptions,
    entry: AccountEntry,
    facts: checks.AccountFacts | None,
    changed: list[str],
    ability: str,
) -> list[str]:
    """Return what was done, for people."""
    jail = "+".join(sorted(set(wish.jails)))
    can = f"; allows: {ability}" if ability else "; image and plan are built at the first login"
    if not changed:
        return [f"{wish.name}: already in jail {jail}, nothing changed{can}"]
    verb = "created in" if facts is None else "moved to" if facts.jailed else "put into"
    if facts is not None and facts.jailed and "users file" not in changed:
        verb = f"{' and '.join(changed)} updated, still in"
    lines = [f"{wish.name} (uid {entry.uid}): {verb} jail {jail}{can}"]
    if facts is not None and facts.processes and not facts.jailed:
        before = pluralize(facts.processes, "process", "es")
        lines.append(f"note: {before} started before stays outside the jail until it ends")
    if facts is not None and not facts.local and facts.entry.shell != layout.login_program:
        lines.append(
            f"note: login shell '{facts.entry.shell}' comes from a directory service; PAM refuses logins until it is "
            f"{layout.login_program} (SSSD: override_shell)"
        )
    if facts is not None and accounts.must_change_password(wish.name):
        lines.append(
            f"note: password has expired, and sshd runs passwd outside the jail; set a new one: passwd {wish.name}"
        )
    return lines
