"""Make what a comparison has found: one change, whole or not at all.

Files of no account come first, then new accounts, confined and without a way in; their keys and passwords come last.
The journal ``import`` leads those of the accounts: one that is killed before it has decided is taken back as a whole by
``jailssh recover`` or the next import, one that is killed later is completed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from jailssh.carrying.archive import Archive, CarriedAccount, CarriedFile
from jailssh.carrying.collect import PERSONAL, owner_of
from jailssh.carrying.compare import Comparison, compare_files, texts_after
from jailssh.carrying.people import compare_people
from jailssh.change import transaction, undo
from jailssh.change.transaction import Fault, Journal, no_fault
from jailssh.change.undo import Operation, UndoAction
from jailssh.core.errors import DeniedError, JailsshError, distinct, parts, raise_all
from jailssh.files import fs, homes
from jailssh.host import accounts, install
from jailssh.host.paths import Layout
from jailssh.jail import authorized_keys
from jailssh.jail.configuration import Configuration, load_configuration
from jailssh.publish import key_rings, plan_files
from jailssh.services import shadow
from jailssh.services.shadow import NewAccount
from jailssh.setup import running
from jailssh.setup.home_keys import Choice
from jailssh.setup.setup import GROUP
from jailssh.users import adduser, checks, locking
from jailssh.users.adduser import AddUserOptions, Publishing
from jailssh.users.covers import make_ahead_each
from jailssh.users.many import add_within

SUBJECT = transaction.IMPORT
_AGAIN = "jailssh import --apply FILE"
_TRIAL = "import-trial"


@dataclass(frozen=True)
class How:
    """``replace``, ``keep``: see :func:`compare_files`.  ``on_demand``: build images and plans at the first logins.

    ``force``, ``now``, ``disable``, ``commands`` (of keys in homes): as for ``adduser``, of accounts that are here.
    ``before``: the files of the description that this one follows, None for an archive that follows none.
    """

    replace: bool = False
    keep: bool = False
    on_demand: bool = False
    force: bool = False
    now: bool = False
    disable: bool = False
    commands: str = ""
    before: Mapping[str, CarriedFile] | None = None


@contextmanager
def _trial_place(layout: Layout) -> Iterator[str]:
    """Give an empty directory of root's alone; what an interrupted command left there goes."""
    fs.ensure_dir(layout.run, 0o755, trusted_root=layout.root or None)
    above = fs.open_dir(layout.run, trusted_root=layout.root or None)
    try:
        fs.remove_tree(above, _TRIAL)
        fs.ensure_dir(f"{layout.run}/{_TRIAL}", 0o700, trusted_root=layout.root or None)
        yield f"{layout.run}/{_TRIAL}"
    finally:
        fs.remove_tree(above, _TRIAL)
        os.close(above)


def judge(layout: Layout, archive: Archive, how: How) -> Comparison:
    """Return what an import changes, with every reason against it among its ``errors``; call under the lock."""
    found = compare_files(layout, archive, replace=how.replace, keep=how.keep, before=how.before)
    with _trial_place(layout) as top:
        errors: list[JailsshError] = []
        after = _configuration_after(layout, archive, found, top, errors, vacant=how.before is not None)
        compare_people(layout, archive, found, after, force=how.force)
        if after:
            for account in found.joining:
                errors += _against_joining(layout, account, after, how, _choice(archive, account, how))
        for each in errors:
            each.what, each.why, each.hint = (
                text.replace(top, layout.root) for text in (each.what, each.why, each.hint)
            )
    found.errors[:] = distinct([*found.errors, *errors])
    return found


def _configuration_after(
    layout: Layout, archive: Archive, found: Comparison, top: str, errors: list[JailsshError], *, vacant: bool
) -> Configuration | None:
    """Return the configuration as it would be, a copy below ``top``, None for one that cannot be read.

    ``errors`` gets what is wrong with it, such as jails and plugins that this host does not have.  ``vacant``: a shared
    account may have no key left.
    """
    trial = Layout(root=top, prefix=layout.prefix)
    fs.ensure_dir(trial.etc, 0o755, trusted_root=top)
    for path, text in texts_after(layout, found).items():
        _make_above(trial.etc, path, top)
        fs.atomic_write(f"{trial.etc}/{path}", text.encode("utf-8", "surrogateescape"))
    try:
        configuration = load_configuration(trial)
    except JailsshError as error:
        errors += parts(error)
        return None
    for act in (configuration.validate_jails, *_checks(configuration, archive, vacant=vacant)):
        try:
            act()
        except JailsshError as error:
            errors += parts(error)
    return configuration


def _choice(archive: Archive, account: CarriedAccount, how: How) -> Choice:
    """Return what becomes of the keys in its home: where the archive has keys for it, they count no more."""
    whole, folder = f"keys/{account.name}", f"keys.d/{account.name}/"
    return Choice(how.commands, leave=any(path == whole or path.startswith(folder) for path in archive.files))


def _against_joining(
    layout: Layout, account: CarriedAccount, after: Configuration, how: How, choice: Choice
) -> list[JailsshError]:
    """Return every reason not to put an account that is here into its jail."""
    entry = accounts.get(account.name)
    facts = checks.look(entry, login_program=layout.login_program, users_file=adduser.users_file(layout, account.name))
    found = checks.refusals(
        facts,
        min_uid=after.main.min_uid,
        deny_groups=after.main.deny_groups,
        login_program=layout.login_program,
        force=how.force,
        now=how.now,
    )
    try:
        adduser.own_keys(layout, AddUserOptions(account.name, (), key_choice=choice), entry, shared=False)
    except JailsshError as error:
        found += parts(error)
    return found


def _checks(configuration: Configuration, archive: Archive, *, vacant: bool) -> list[Callable[[], None]]:
    wanted = sorted({account.jails for account in archive.accounts.values() if account.jails})

    def check(jails: tuple[str, ...]) -> Callable[[], None]:
        return lambda: configuration.check(jails)

    def ring(name: str) -> Callable[[], None]:
        def read() -> None:
            configuration.keyring(name, vacant=vacant)

        return read

    return [*map(check, wanted), *(ring(name) for name in sorted(archive.accounts))]


def _make_above(top: str, path: str, trusted_root: str | None) -> None:
    folder = os.path.dirname(path)
    if folder:
        _make_above(top, folder, trusted_root)
        fs.ensure_dir(f"{top}/{folder}", 0o755, trusted_root=trusted_root)


def bring(
    layout: Layout,
    archive: Archive,
    how: How,
    publisher_of: Callable[[], Publishing],
    confirm: Callable[[Comparison], bool],
    fault: Fault = no_fault,
) -> tuple[Comparison, list[str]]:
    """Make this host what the archive says; return what that was, and lines.  All errors are raised before it begins.

    ``publisher_of``: gives what publishes by the configuration as it is when called.
    """
    adduser.require_setup(layout, publisher_of().groups)
    with fs.lock(layout.lock):
        lines = settle(layout, archive.accounts)
        found = judge(layout, archive, how)
        raise_all(found.errors)
        if not found.changes:
            return found, lines
        if not confirm(found):
            raise DeniedError("import", "aborted; nothing changed")
        lines += make(layout, archive, found, how, publisher_of, fault)
    return found, lines


def settle(layout: Layout, names: Iterable[str]) -> list[str]:
    """Settle an interrupted import, and what is unfinished about these accounts; return lines.  Under the lock."""
    lines = [*running.settle_owed(layout), *transaction.recover(layout, SUBJECT)]
    begun = {each.subject for each in transaction.unfinished(layout)}
    for name in names:
        for subject in sorted({adduser.subject(name), locking.subject(name)} & begun):
            lines += transaction.recover(layout, subject)
    return lines


def make(
    layout: Layout,
    archive: Archive,
    found: Comparison,
    how: How,
    publisher_of: Callable[[], Publishing],
    fault: Fault = no_fault,
) -> list[str]:
    """Make what :func:`judge` has found, whole or not at all; return lines.  Call under the lock, as it was judged."""
    journal = Journal(layout, SUBJECT, fault)
    try:
        with journal.changing("import", _AGAIN):
            _Import(layout, archive, found, how, journal, fault).run(publisher_of)
    except (JailsshError, OSError) as error:
        if journal.decided:
            why = f"all is in place, but not yet final: {error}"
            raise JailsshError("import", why, hint=f"jailssh recover {SUBJECT}") from error
        raise
    covers = make_ahead_each(layout, [accounts.get(each.name) for each in (*found.created, *found.joining)])
    return [line for name in sorted(covers) for line in covers[name]]


class _Import:
    def __init__(
        self, layout: Layout, archive: Archive, found: Comparison, how: How, journal: Journal, fault: Fault
    ) -> None:
        self._layout, self._archive, self._found, self._how = layout, archive, found, how
        self._journal, self._fault = journal, fault
        self._locks: list[Journal] = []

    def run(self, publisher_of: Callable[[], Publishing]) -> None:
        """Make all changes; what is called first gives nobody more than before."""
        by_name = {each.name for each in (*self._found.created, *self._found.joining) if each.jails}
        personal = {path for path in self._found.files if path.split("/")[0] in PERSONAL}
        self._journal.lead()
        self._fault("import: begun")
        self._take_away()
        self._write_all([path for path in sorted(self._found.files) if path not in personal], self._journal.heed)
        publisher = publisher_of()
        if not self._how.on_demand:
            # A description is for those in its jails already, too: what cannot be built is found before it holds.
            people = by_name if self._how.before is None else self._archive.accounts
            for jails in sorted({self._archive.accounts[name].jails for name in people} - {()}):
                self._journal.heed()
                publisher.make_image(jails)
        self._make_by_group()
        wishes = [self._wish(self._archive.accounts[name]) for name in sorted(by_name)]
        # The file of an account that comes into its jail by it was written with the account.
        rest = sorted(path for path in personal if not (path.startswith("users/") and owner_of(path) in by_name))

        def then(look: Callable[[], None]) -> None:
            self._let_in(rest, by_name, publisher, look)

        try:
            add_within(self._layout, wishes, publisher, leader=SUBJECT, then=then, fault=self._fault)
        except BaseException:
            for each in self._locks:
                each.rollback()
            raise
        for each in self._locks:
            each.commit()
        self._fault("import: final")
        self._journal.forget()

    def _take_away(self) -> None:
        """Remove what a description has no more, and the plans of accounts that are in no jail by it."""
        layout, removed = self._layout, sorted(self._found.removed)
        if not removed:
            return
        self._journal.heed()
        steps = [_noted(undo.put_file_back(f"{layout.etc}/{path}")) for path in removed]
        outside: list[accounts.AccountEntry] = []
        for name in sorted({owner_of(path) for path in removed} - {""}):
            entry = accounts.find(name)
            if entry is not None and f"users/{name}.conf" in removed:
                outside.append(entry)
                steps.append(_noted(undo.put_plan_back(f"{layout.plans}/{entry.uid}")))
        self._journal.note(steps)
        self._fault("import: removals noted")
        for path in removed:
            fs.remove_file(f"{layout.etc}/{path}")
            self._fault("import: removed")
        for entry in outside:
            plan_files.withdraw(layout, entry.uid)
            self._fault("import: plan withdrawn")

    def _make_by_group(self) -> None:
        """Make groups, and the accounts that are in a jail by them: with our login shell, and without a way in."""
        layout, people = self._layout, [each for each in self._found.created if not each.jails]
        steps = [UndoAction(Operation.GROUP, name, point=f"group {name}") for name in sorted(self._found.groups)]
        for each in people:
            made = undo.created(each.name, layout.login_program, GROUP)
            args = (each.uid, *made.args[1:])
            steps.append(UndoAction(made.op, made.key, args, point=f"account {each.name}", confines=True))
        if not steps:
            return
        self._journal.heed()
        self._journal.note(steps)
        self._fault("import: groups noted")
        with shadow.opened() as files:
            for name, gid in sorted(self._found.groups.items()):
                files.add_group(name, gid)
            for each in people:
                files.add(_line(each, layout.login_program))
                for group in self._found.members.get(each.name, ()):
                    files.add_members([each.name], group)
        self._fault("import: groups done")
        for each in people:
            self._journal.heed()
            homes.make(each.home, each.uid, each.gid)
            self._fault("import: home done")

    def _wish(self, account: CarriedAccount) -> AddUserOptions:
        text = self._archive.files[f"users/{account.name}.conf"].text
        how = self._how
        if account in self._found.joining:
            return AddUserOptions(
                account.name, account.jails, text=text, on_demand=True, force=how.force, now=how.now,
                disable=how.disable, key_choice=_choice(self._archive, account, how),
            )  # fmt: skip
        return AddUserOptions(
            account.name,
            account.jails,
            text=text,
            on_demand=True,
            uid=account.uid,
            gid=account.gid,
            group="" if account.group == account.name else account.group,
            home=account.home,
            gecos=account.gecos,
            expires=_expires(account),
            password=account.password,
        )

    def _let_in(
        self, personal: Sequence[str], by_name: Collection[str], publisher: Publishing, look: Callable[[], None]
    ) -> None:
        """Write what is left of accounts' files, publish their plans, then their keys and passwords; then decide."""
        owners = {owner_of(path) for path in (*self._found.files, *self._found.removed)}
        touched = sorted({*by_name, *(owners & self._archive.accounts.keys())})
        keys = [path for path in personal if path.startswith("keys/")]
        self._join(by_name)
        self._lock()
        self._write_all([path for path in personal if path not in keys], look)
        if not self._how.on_demand:
            made = {each.name for each in self._found.created}
            people = [name for name in sorted({*touched, *made}) if name in made or self._archive.accounts[name].jails]
            self._publish(people, publisher, look)
        self._write_all(keys, look)
        for name in touched:
            self._make_keys_file(name, publisher)
        self._set_passwords()
        look()
        self._journal.decide()

    def _join(self, by_name: Collection[str]) -> None:
        """Put accounts that were made into the groups that they were in."""
        joined = {group: [] for names in self._found.members.values() for group in names}  # type: dict[str, list[str]]
        for name in sorted(by_name & self._found.members.keys()):
            for group in self._found.members[name]:
                joined[group].append(name)
        steps = [
            UndoAction(Operation.MEMBER, name, (group,), point=f"{name} in {group}")
            for group, names in sorted(joined.items())
            for name in names
        ]
        if not steps:
            return
        self._journal.note(steps)
        self._fault("import: members noted")
        with shadow.opened() as files:
            for group, names in sorted(joined.items()):
                files.add_members(names, group)
        self._fault("import: members done")

    def _lock(self) -> None:
        """Write down for ``jailssh unlock`` when accounts that are made locked expire without that."""
        for account in self._found.created:
            if account.locked:
                journal = Journal(self._layout, locking.subject(account.name))
                journal.original, journal.uid = [], account.uid
                journal.open(f"lock {account.name}", f"jailssh lock {account.name}", SUBJECT)
                inverse = undo.put_expiry_back(account.name, account.uid, account.expires, accounts.LOCKED)
                self._locks.append(journal)
                journal.note([UndoAction(inverse.op, inverse.key, inverse.args, point="expiry", confines=True)])
                self._fault("import: lock noted")

    def _write_all(self, paths: Sequence[str], look: Callable[[], None]) -> None:
        """Write files of the archive, all noted first."""
        etc, files = self._layout.etc, self._found.files
        above = {folder for path in paths for folder in _folders(path) if not os.path.isdir(f"{etc}/{folder}")}
        steps = [_noted(UndoAction(Operation.DIR, f"{etc}/{folder}", (None,))) for folder in sorted(above)]
        for path in paths:
            steps.append(_noted(undo.put_file_back(f"{etc}/{path}", files[path].text.encode())))
        if not steps:
            return
        look()
        self._journal.note(steps)
        self._fault("import: files noted")
        for folder in sorted(above):
            fs.ensure_dir(f"{etc}/{folder}", 0o755)
        for path in paths:
            look()
            _write(f"{etc}/{path}", files[path])
            self._fault(f"import: {path.split('/')[0]} done")

    def _publish(self, names: Sequence[str], publisher: Publishing, look: Callable[[], None]) -> None:
        entries = [accounts.get(name) for name in names]
        self._journal.note(_noted(undo.put_plan_back(f"{self._layout.plans}/{entry.uid}")) for entry in entries)
        for entry in entries:
            look()
            ring = publisher.keyring(entry.name)
            if ring.shared and not ring.keys:
                publisher.withdraw(entry.uid)  # It stays shared, and lets nobody in.
            else:
                publisher.publish(entry)
            self._fault("import: plan done")

    def _make_keys_file(self, name: str, publisher: Publishing) -> None:
        """Make the keys file of a shared account from its named keys."""
        ring = publisher.keyring(name)
        if not ring.keys:
            if ring.shared and key_rings.outdated(self._layout, name, None):
                path = authorized_keys.keys_file(self._layout, name)
                self._journal.note([_noted(undo.put_file_back(path))])
                key_rings.revoke(self._layout, name, None)
                self._fault("import: keys revoked")
            return
        text = publisher.keys_text(accounts.get(name))
        if text != authorized_keys.present(self._layout, name):
            path = authorized_keys.keys_file(self._layout, name)
            self._journal.note([_noted(undo.put_file_back(path, authorized_keys.encoded(text)))])
            authorized_keys.write(self._layout, name, text)
            self._fault("import: named keys done")

    def _set_passwords(self) -> None:
        """Set the passwords of accounts that were here; those of made ones came with them, but for those by group."""
        confined = set((install.read_optional(self._layout.jailed_groups) or b"").decode("utf-8", "replace").split())
        missing = [
            *self._found.passwords,
            *(
                each
                for each in self._found.created
                if each.password and not each.jails and not confined.isdisjoint((each.group, *each.groups))
            ),
        ]
        if not missing:
            return
        self._journal.note(
            _noted(undo.put_password_back(each.name, each.uid, each.password, new=False)) for each in missing
        )
        self._fault("import: passwords noted")
        with shadow.opened() as files:
            for each in missing:
                files.set_password(each.name, each.password)
        self._fault("import: passwords done")


def _expires(account: CarriedAccount) -> int | None:
    return accounts.LOCKED if account.locked else account.expires


def _line(account: CarriedAccount, login_program: str) -> NewAccount:
    return NewAccount(
        account.name,
        account.uid,
        account.gid,
        home=account.home,
        shell=login_program,
        gecos=account.gecos,
        expires=_expires(account),
        own_group=account.group == account.name,
    )


def _folders(path: str) -> list[str]:
    words = path.split("/")[:-1]
    return ["/".join(words[: at + 1]) for at in range(len(words))]


def _noted(inverse: UndoAction) -> UndoAction:
    return UndoAction(inverse.op, inverse.key, inverse.args, point=os.path.basename(inverse.key))


def _write(path: str, carried: CarriedFile) -> None:
    fs.atomic_write(path, carried.text.encode("utf-8"), mode=carried.mode)
