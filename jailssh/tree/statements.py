"""From statements to the manifest of a tree: every error of every statement in one pass, nothing written."""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from jailssh.closure.closure import Closure
from jailssh.closure.companions import Companions, Taking
from jailssh.closure.data import data_set
from jailssh.closure.errors import ImageError, SourceChangedError
from jailssh.closure.manifest import (
    WITH_CONTENT,
    Entries,
    Entry,
    EntryKind,
    Manifest,
    dir_entry,
    link_entry,
    text_entry,
)
from jailssh.closure.packages import NOT_INSTALLED
from jailssh.closure.sources import NAMED, STICKY, Found, Sources
from jailssh.core.errors import JailsshError, parts
from jailssh.core.names import HostPath, JailPath, escape, is_number, same_place, same_source
from jailssh.jailspec.devices import UNNUMBERED, DeviceType
from jailssh.jailspec.errors import SpecError, raise_all
from jailssh.jailspec.statements import EXPLICIT as WRITTEN
from jailssh.jailspec.statements import (
    KEEP_OWNER,
    Content,
    Copy,
    Data,
    Device,
    Directory,
    GroupEntry,
    Hardlink,
    HostDevice,
    Need,
    Origin,
    Package,
    Section,
    Statement,
    Symlink,
    Tree,
    UserEntry,
    claim,
)
from jailssh.plugin.api import ImageNeeds
from jailssh.tree.copying import Bulk, node_of
from jailssh.tree.layout import BULK, EXPLICIT, IMPLIED, NodeAttributes, Picture

_NOWHERE = Origin("the tree as a whole")
_NODES = {
    DeviceType.CHAR: EntryKind.CHAR,
    DeviceType.BLOCK: EntryKind.BLOCK,
    DeviceType.FIFO: EntryKind.FIFO,
    DeviceType.SOCKET: EntryKind.SOCKET,
}
_NAME_LOOKUPS = ("id", "getent", "whoami", "groups", "logname")
_LD_CONF = JailPath("/etc/ld.so.conf")
_LD_CONF_MORE = JailPath("/etc/ld.so.conf.d/jailssh.conf")
# What gives the tree its shape comes first, then what names its own path, then what brings its own paths along.
_ORDER: tuple[tuple[type[Statement], ...], ...] = (
    (Symlink, Directory),
    (Device, Content, Hardlink),
    (Copy, HostDevice),
    (Tree, Package, Data, Need, UserEntry, GroupEntry, Section),
)


@dataclass(frozen=True)
class Choices:
    """``allow_missing``: what is not on this host is a note.  ``skip_devices``: no nodes.  ``insecure``: see Sources.

    ``profiles``: what the shipped profiles need, by name.
    """

    allow_missing: bool = False
    skip_devices: bool = False
    insecure: bool = False
    profiles: Mapping[str, Sequence[tuple[str, ImageNeeds]]] | None = None


def resolve_statements(
    statements: Sequence[Statement], sources: Sources, choices: Choices, errors: Sequence[SpecError] = ()
) -> Manifest:
    """Return the manifest of what the merged statements say, as this host has it.

    ``errors``: what was wrong already, which is raised with all that is found here.
    All errors are raised together, each with its place: :class:`SpecError`, or ManyErrors.  A file that changes
    meanwhile is a :class:`SourceChangedError`; trying again may help.
    """
    resolver = _StatementResolver(sources, choices, errors)
    for kinds in _ORDER:
        chosen = [one for one in statements if isinstance(one, kinds)]
        # Upper paths first, since a link there decides where the lower ones go.
        for one in sorted(chosen, key=_depth) if kinds is _ORDER[0] else chosen:
            resolver.statement(one)
    return resolver.finish()


def _depth(statement: Statement) -> int:
    return str(getattr(statement, "path", "")).count("/")


class _StatementResolver:
    def __init__(self, sources: Sources, choices: Choices, errors: Sequence[SpecError]) -> None:
        self._sources = sources
        self._choices = choices
        self._errors = list(errors)
        # What could not be made of the spec, by path where it is known; None: something that could be anywhere.
        self._lost: set[str | None] = {None} if errors else set()
        self._statement: Statement | None = None
        self._picture = Picture(sources)
        self._bulk = Bulk(sources, self._picture, self._failed)
        missing = self._left_out if choices.allow_missing else None
        taking = Taking(self._take, self._data_set, self._picture.note, missing)
        self._bulk.companions = self._companions = Companions(sources, taking)
        self._closure = Closure(
            sources, self._take, self._picture.note, missing=missing, started=self._companions.started
        )
        self._bulk.closure = self._companions.closure = self._closure
        self._users: dict[str, pwd.struct_passwd] = {}
        self._groups: dict[int, grp.struct_group] = {}
        self._first_entry: Origin | None = None
        self._programs: set[str] = set()
        self._handlers: dict[type[Statement], Callable[..., None]] = {
            Symlink: self._symlink,
            Directory: self._directory,
            Device: self._device,
            HostDevice: self._host_device,
            Content: self._content,
            Hardlink: self._hardlink,
            Copy: self._copy,
            Tree: self._tree,
            Package: self._package,
            Data: self._data,
            Need: self._need,
            UserEntry: self._user,
            GroupEntry: self._group,
            Section: self._section,
        }

    def statement(self, statement: Statement) -> None:
        """Take one statement; its errors are kept."""
        self._statement = statement
        self._guard(statement.origin, lambda: self._handlers[type(statement)](statement))
        self._statement = None

    def _guard(self, origin: Origin, act: Callable[[], None]) -> None:
        try:
            act()
        except SourceChangedError:
            raise
        except JailsshError as error:
            self._keep(origin, error)

    def _failed(self, error: JailsshError) -> None:
        """Keep an error of the statement that is taken."""
        self._keep(self._statement.origin if self._statement else _NOWHERE, error)

    def _keep(self, origin: Origin, error: JailsshError) -> None:
        if self._statement:
            claimed = claim(self._statement)
            self._lost.add(claimed[0] if claimed else None)
        for one in parts(error):
            self._errors.append(one if isinstance(one, SpecError) else SpecError(origin, str(one), hint=one.hint))

    def _each(self, act: Callable[[], None]) -> None:
        """Do one of several things that a statement asks for; what is wrong with it does not end the others."""
        self._guard(self._statement.origin if self._statement else _NOWHERE, act)

    def _take(self, path: HostPath, origin: str) -> Found:
        found = self._picture.take(path, origin)[1]
        if not found.is_file and not found.is_dir:
            raise ImageError(escape(found.path), f"neither a file nor a directory (needed by {origin})")
        return found

    def _left_out(self, error: ImageError) -> None:
        self._picture.note(f"left out: {error}")

    def _absent(self, statement: Statement, error: ImageError) -> None:
        """Tell of a source that is not there, or raise."""
        if getattr(statement, "optional", False):
            return
        if not self._choices.allow_missing:
            raise error
        self._left_out(error)

    def _symlink(self, one: Symlink) -> None:
        path = self._picture.place(one.path)
        self._picture.put(link_entry(path, one.target, one.origin.place), EXPLICIT, override=one.override)

    def _directory(self, one: Directory) -> None:
        if one.implied:
            return
        uid, gid = _owner(one.owner) or (0, 0)
        path = self._picture.place(one.path)
        entry = Entry(path, EntryKind.DIR, one.origin.place, one.mode, uid=uid, gid=gid)
        self._picture.put(entry, EXPLICIT, override=one.override)

    def _device(self, one: Device) -> None:
        if self._choices.skip_devices and one.type not in UNNUMBERED:
            return
        uid, gid = _owner(one.owner) or (0, 0)
        path = self._picture.place(one.path)
        kind = _NODES[one.type]
        entry = Entry(path, kind, one.origin.place, one.mode, uid=uid, gid=gid, major=one.major, minor=one.minor)
        self._picture.put(entry, EXPLICIT, override=one.override)

    def _host_device(self, one: HostDevice) -> None:
        if self._choices.skip_devices:
            return
        found = self._sources.find(same_source(one.path), NAMED)
        if found is None:
            self._absent(one, ImageError(escape(one.path), "not on this host"))
            return
        if not (stat.S_ISCHR(found.info.st_mode) or stat.S_ISBLK(found.info.st_mode)):
            raise ImageError(escape(one.path), "not a device on this host")
        self._picture.put(node_of(self._picture.place(one.path), found.info, one.origin.place), EXPLICIT)

    def _content(self, one: Content) -> None:
        uid, gid = _owner(one.owner) or (0, 0)
        base = text_entry(self._picture.place(one.path), one.text, one.origin.place)
        entry = Entry(
            base.path, EntryKind.TEXT, base.origin, one.mode, base.size, base.digest, text=one.text, uid=uid, gid=gid
        )
        self._picture.put(entry, EXPLICIT, override=one.override)

    def _hardlink(self, one: Hardlink) -> None:
        path, existing = self._picture.place(one.path), self._picture.place(one.existing)
        entry = Entry(path, EntryKind.HARD, one.origin.place, 0, target=existing)
        self._picture.put(entry, EXPLICIT, override=one.override)

    def _copy(self, one: Copy) -> None:
        for source in self._named(one, one.source, one.glob, one.search):
            self._each(partial(self._copy_one, one, source, one.target))

    def _named(self, one: Statement, source: HostPath, glob: bool, search: bool = False) -> list[HostPath]:
        """Return the host paths that a statement names."""
        found = [source]
        if search:
            path = self._closure.find_program(source)
            found = [path] if path else []
        elif glob:
            literal = HostPath(re.sub(r"\[([*?\[])\]", r"\1", source))
            found = [literal] if self._sources.find(literal, NAMED) else self._sources.glob(source, NAMED)
        elif self._sources.find(source, NAMED) is None:
            found = []
        if not found:
            what = f"program {escape(source)}" if search else escape(source)
            why = "no file matches" if glob else "not on this host"
            self._absent(one, ImageError(what, why))
        return found

    def _copy_one(self, one: Copy, source: HostPath, target: JailPath | None) -> None:
        origin = one.origin.place
        attributes = NodeAttributes(one.mode, _owner(one.owner), one.setuid)
        found = self._sources.find(source, NAMED)
        if found is None:
            raise ImageError(escape(source), "not on this host")
        if found.is_dir:
            if not one.recursive:
                raise ImageError(escape(source), "a directory", hint=f"tree {source} copies it with all below it")
            self._bulk.tree(source, target, origin, (), attributes)
            return
        if not found.is_file:
            self._copy_node(one, source, found)
            return
        weight = BULK if one.glob or one.search or one.recursive else EXPLICIT
        if target is None:
            self._picture.take(source, origin, weight, attributes, named=True)
        else:
            path = JailPath(f"{target}/{os.path.basename(source)}") if one.glob else target
            entry = self._picture.file(self._picture.place(path), found, origin, attributes)
            self._picture.put(entry, weight, override=one.override)
            self._warn_of_origin(found, path)
        self._warn_of_trust(found)
        self._warn_of_more(found)
        self._programs.add(os.path.basename(source))
        # What a section's pattern happens to match on this host is like a tree: nobody named it.
        by_chance = one.glob and one.origin.strength < WRITTEN
        strict = weight == EXPLICIT and not self._choices.allow_missing
        self._bulk.needs(found, origin, strict=strict, in_tree=by_chance)

    def _copy_node(self, one: Copy, source: HostPath, found: Found) -> None:
        is_device = stat.S_ISCHR(found.info.st_mode) or stat.S_ISBLK(found.info.st_mode)
        if not one.recursive or not is_device:
            hint = f"write '{source} c MAJOR MINOR' for a device" if is_device else ""
            raise ImageError(escape(source), "not a regular file", hint=hint)
        if not self._choices.skip_devices:
            self._picture.put(node_of(self._picture.place(same_place(source)), found.info, one.origin.place), BULK)

    def _warn_of_origin(self, found: Found, path: JailPath) -> None:
        elf = self._sources.elf(found)
        if elf and any("ORIGIN" in text for text in (*elf.rpath, *elf.runpath)):
            self._picture.note(f"{escape(path)} looks for libraries near its own place, which is another one here")

    def _warn_of_trust(self, found: Found) -> None:
        try:
            self._sources.find(found.path, STICKY)
        except ImageError as error:
            self._picture.note(f"{escape(found.path)} is taken as it is now, but {error}")

    def _warn_of_more(self, found: Found) -> None:
        if found.info.st_mode & 0o111 and "security.capability" in _attributes_of(found.path):
            self._picture.note(f"{escape(found.path)} loses its file capabilities")
        if "system.posix_acl_access" in _attributes_of(found.path):
            self._picture.note(f"{escape(found.path)} loses its access control list")

    def _tree(self, one: Tree) -> None:
        attributes = NodeAttributes(None, _owner(one.owner), one.setuid)
        for source in self._named(one, one.source, one.glob):
            target = one.target
            if one.glob and target:
                target = JailPath(f"{target}/{os.path.basename(source)}")
            self._each(partial(self._bulk.tree, source, target, one.origin.place, one.excludes, attributes))

    def _package(self, one: Package) -> None:
        try:
            self._bulk.package(one.name, one.excludes, one.origin.place)
        except ImageError as error:
            if error.why != NOT_INSTALLED:
                raise
            self._absent(one, error)

    def _data(self, one: Data) -> None:
        self._data_set(one.name, one.origin.place)

    def _data_set(self, name: str, origin: str) -> None:
        data = data_set(name, self._sources)
        self._needs(f"{origin}: {name}", data.needs)
        for library in data.libraries:
            self._closure.library(library, f"{origin}: {name}")

    def _needs(self, origin: str, need: ImageNeeds) -> None:
        """Take what a plugin or a data set needs."""
        for name in (*need.programs, *need.optional_programs):
            self._each(partial(self._needed_program, name, origin, required=name in need.programs))
        for name in need.bare_programs:
            self._each(partial(self._needed_program, name, origin, required=True, bare=True))
        for name in need.packages:
            self._each(partial(self._companions.package, name, origin))
        for path in (*need.files, *need.optional_files):
            self._each(partial(self._needed_path, HostPath(path), origin, required=path in need.files))
        entries = [dir_entry(JailPath(path), origin) for path in need.dirs]
        entries += [link_entry(JailPath(path), target, origin) for path, target in need.links]
        entries += [text_entry(JailPath(path), text, origin) for path, text in need.texts]
        for entry in entries:
            self._picture.put(entry._replace(path=self._picture.place(entry.path)), IMPLIED)

    def _needed_program(self, name: str, origin: str, *, required: bool, bare: bool = False) -> None:
        path = self._closure.find_program(name)
        if path:
            self._closure.program(path, origin, bare=bare)
        elif required:
            raise ImageError(f"program {escape(name)}", f"not on this host (needed by {origin})")

    def _needed_path(self, path: HostPath, origin: str, *, required: bool) -> None:
        found = self._sources.find(path)
        if found is None:
            if required:
                raise ImageError(escape(path), f"not on this host (needed by {origin})")
        elif found.is_dir:
            self._bulk.tree(path, None, origin, weight=IMPLIED)
        else:
            self._bulk.needs(self._picture.take(path, origin)[1], origin)

    def _need(self, one: Need) -> None:
        path = {"proc": "/proc", "logsocket": "/dev"}.get(one.name)
        if path:
            self._picture.put(dir_entry(JailPath(path), one.origin.place), IMPLIED)

    def _user(self, one: UserEntry) -> None:
        self._first_entry = self._first_entry or one.origin
        try:
            row = pwd.getpwuid(int(one.name)) if is_number(one.name) else pwd.getpwnam(one.name)
        except KeyError:
            self._absent(one, ImageError(f"user {escape(one.name)}", "not on this host"))
            return
        self._users[row.pw_name] = row
        self._add_group(row.pw_gid)

    def _group(self, one: GroupEntry) -> None:
        self._first_entry = self._first_entry or one.origin
        try:
            self._add_group(int(one.name) if is_number(one.name) else grp.getgrnam(one.name).gr_gid)
        except KeyError:
            self._absent(one, ImageError(f"group {escape(one.name)}", "not on this host"))

    def _add_group(self, gid: int) -> None:
        self._groups[gid] = grp.getgrgid(gid)

    def _section(self, one: Section) -> None:
        for name, need in (self._choices.profiles or {})[one.name]:
            self._needs(f"{one.origin.place}: {name}", need)

    def finish(self) -> Manifest:
        """Return the manifest, or raise what went wrong."""
        self._guard(self._first_entry or _NOWHERE, self._accounts)
        self._guard(_NOWHERE, self._loader_conf)
        entries = self._entries()
        raise_all(self._errors)
        self._last_notes(entries)
        return Manifest(entries, tuple(self._picture.notes), watch=self._sources.watch())

    def _entries(self) -> Entries:
        try:
            entries = self._picture.entries()
        except SourceChangedError:
            raise
        except JailsshError as error:
            self._keep(_NOWHERE, error)
            return ()
        for entry in self._picture.explicit(EntryKind.HARD):
            first = entries.get(JailPath(entry.target))
            # What an error kept away may be what it names.
            lost = None in self._lost or entry.target in self._lost
            if not (first or lost) or (first and first.kind not in WITH_CONTENT):
                why = f"{escape(entry.path)} is to be a second name of {escape(entry.target)}, no file of this tree"
                self._errors.append(SpecError(Origin(entry.origin), why))
        return entries

    def _accounts(self) -> None:
        if not self._users and not self._groups:
            return
        users = sorted(self._users.values(), key=lambda row: row.pw_uid)
        lines = [f"{u.pw_name}:x:{u.pw_uid}:{u.pw_gid}:{u.pw_gecos}:{u.pw_dir}:{u.pw_shell}\n" for u in users]
        groups = sorted(self._groups.values(), key=lambda row: row.gr_gid)
        members = {row.gr_gid: [name for name in row.gr_mem if name in self._users] for row in groups}
        rows = [f"{g.gr_name}:x:{g.gr_gid}:{','.join(members[g.gr_gid])}\n" for g in groups]
        origin = self._first_entry.place if self._first_entry else ""
        self._picture.put(text_entry(self._picture.place(JailPath("/etc/passwd")), "".join(lines), origin), BULK)
        self._picture.put(text_entry(self._picture.place(JailPath("/etc/group")), "".join(rows), origin), BULK)

    def _loader_conf(self) -> None:
        if dirs := self._closure.cache_dirs:
            lines = "".join(f"{path}\n" for path in dirs)
            path = _LD_CONF_MORE if self._picture.get(_LD_CONF) else _LD_CONF
            self._picture.put(text_entry(self._picture.place(path), lines, "the loader"), IMPLIED)

    def _last_notes(self, entries: Entries) -> None:
        for one in self._picture.explicit(EntryKind.LINK):
            if not one.target.startswith("/proc/") and self._picture.leads_to(one.path) is None:
                self._picture.note(f"{escape(one.path)} -> {escape(one.target)} leads nowhere in the tree")
        if wanted := self._bulk.unwanted():
            names = (os.path.basename(one.path) for one in entries if one.kind != EntryKind.DIR)
            self._bulk.tell_unwanted({name for name in names if name in wanted})
        asking = sorted(self._programs.intersection(_NAME_LOOKUPS))
        if asking and not self._picture.get(JailPath("/etc/passwd")):
            self._picture.note(f"{', '.join(asking)} will know no names: there is no /etc/passwd (section uidbasics)")


def _owner(text: str) -> tuple[int, int] | None:
    """Return uid and gid of an owner as specs write it, None for the source's; ImageError if there is no such."""
    if text == KEEP_OWNER:
        return None
    user, _, group = text.partition(":")
    try:
        row = None if not user else pwd.getpwuid(int(user)) if is_number(user) else pwd.getpwnam(user)
        uid, gid = (row.pw_uid, row.pw_gid) if row else (0, 0)
    except KeyError:
        if not is_number(user):
            raise ImageError(f"owner {escape(user)}", "no such user on this host") from None
        uid = gid = int(user)
    try:
        if group:
            gid = int(group) if is_number(group) else grp.getgrnam(group).gr_gid
    except KeyError:
        raise ImageError(f"owner {escape(text)}", "no such group on this host") from None
    return uid, gid


def _attributes_of(path: str) -> list[str]:
    try:
        return os.listxattr(path, follow_symlinks=False)
    except OSError:
        return []
