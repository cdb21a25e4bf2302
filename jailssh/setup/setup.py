"""``jailssh setup``: what an installation needs before the first account can be put into a jail, and back.

The group ``jailssh``, the directories, the login program's set-id mode and sshd's drop-in.  Each is compared with
what is there, so running it again changes nothing; each change has its inverse in the undo journal ``setup``.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from jailssh.change import undo
from jailssh.change.change import Change, place_of_template, read_template
from jailssh.change.transaction import Fault, Journal, no_fault
from jailssh.change.undo import Operation, UndoAction
from jailssh.closure.elf_cache import facts_path
from jailssh.config import authorized
from jailssh.core.errors import HostError, JailsshError, raise_all
from jailssh.core.ports import GROUP_PREFIX, Ports
from jailssh.files import fs
from jailssh.host import accounts, install
from jailssh.host.paths import INSTALL, Layout
from jailssh.jail import authorized_keys
from jailssh.jail.configuration import Configuration, load_configuration
from jailssh.publish import plan_files
from jailssh.publish.publish import withdraw_plan
from jailssh.services import listeners, mail, sshd, sshd_matches, units
from jailssh.setup import home_keys, jailed, pam, running
from jailssh.setup.home_keys import Choice
from jailssh.setup.pam import PAM_PROFILE

GROUP = jailed.GROUP
SUBJECT = "setup"
DROP_IN = "drop-in"
SHELLS = "shells"
"""The undo journal of login shells that ``apply`` set."""
TEMPLATE = "20-jailssh.conf.in"
# How the comments of blocks of the drop-in begin: keys in homes count too; those that SSSD has; sshd forwards; it does,
# without a session.
_HOME_KEYS, _DIRECTORY_KEYS, _PORTS, _JUMPS = "Keys in homes", "Keys of a directory", "Ports", "Jumps"
# How sshd_config(5) writes the keywords of core/ports.py, in the order in which they stand in the block.
_SPELLED = {
    "permitopen": "PermitOpen", "permitlisten": "PermitListen", "allowtcpforwarding": "AllowTcpForwarding",
    "gatewayports": "GatewayPorts", "disableforwarding": "DisableForwarding", "maxsessions": "MaxSessions",
    "permittty": "PermitTTY",
}  # fmt: skip
# What sshd logs besides: the process of a connection, what it is asked to connect to, and to listen at.
_LOGGED = ("*:privsep_postauth():*", "serverloop.c:server_request_direct_tcpip():*",
           "serverloop.c:server_input_global_request():*")  # fmt: skip
_PATH_TEXT = re.compile(r"[A-Za-z0-9/._+-]+\Z")


def template_path(layout: Layout) -> str:
    """Return where the drop-in's template is."""
    return place_of_template(layout, TEMPLATE, "sshd_config.d")


def drop_in(
    layout: Layout,
    groups: Sequence[str],
    *,
    template: str,
    home_keys: Sequence[str] = (),
    directory_keys: Sequence[str] = (),
    accept_env: Sequence[str] = (),
    forwards: bool = False,
    jumps: Mapping[str, Ports] = MappingProxyType({}),
) -> str:
    """Return the drop-in's text for the members of ``jailssh`` and of ``groups`` (Unix groups that jails name).

    ``home_keys``: those of them whose members log in by the keys in their homes too; ``directory_keys``: by those that
    SSSD has of them.  ``accept_env``: what clients may
    send beside the language; the login program passes it on in those jails alone that say so.  ``forwards``: some jail
    has a network of the account's own that sshd may forward to.  ``jumps``: what sshd forwards without a session, by
    the group for whose members it does.
    """
    names = jailed.groups(groups)
    # Who is in a jail by name is not meant, whatever other groups the account is in.
    own, asked = ([*jailed.checked(set(each) - {GROUP}), f"!{GROUP}"] for each in (home_keys, directory_keys))
    for path in (layout.login_program, layout.keys, layout.sshd_marks):
        if not _PATH_TEXT.match(path):
            raise HostError(
                path,
                "contains characters that are not allowed in sshd_config",
                hint="use letters, digits and . _ + - in the prefix",
            )
    text = template if len(own) > 1 else _without(template, _HOME_KEYS)
    text = text if len(asked) > 1 else _without(text, _DIRECTORY_KEYS)
    text = text.replace("@DIRECTORY_KEY_GROUPS@", ",".join(asked)).replace("@ASK_KEYS@", sshd.ASK_KEYS)
    text = (text if forwards else _without(text, _PORTS)).replace("@FORWARD@", sshd.FORWARD_GROUP)
    blocks = "\n".join(_jump(group, ports) for group, ports in sorted(jumps.items()))
    text = (text if jumps else _without(text, _JUMPS)).replace("@JUMPS@", blocks)
    text = text.replace("@GROUPS@", ",".join(names)).replace("@HOME_KEY_GROUPS@", ",".join(own))
    text = text.replace("@ACCEPT@", "".join(f" {name}" for name in accept_env))
    text = text.replace("@LOGIN@", layout.login_program).replace("@KEYS@", layout.keys)
    return text.replace("@MARK@", f"{layout.sshd_marks}/{hashlib.sha256(text.encode()).hexdigest()[:16]}")


def _jump(group: str, ports: Ports) -> str:
    settings = ports.settings()
    lines = [f"    {spelled} {settings[keyword]}" for keyword, spelled in _SPELLED.items()]
    return "\n".join((f"Match Group {group}", *lines, f"    LogVerbose {' '.join(_LOGGED)}"))


def _without(text: str, *blocks: str) -> str:
    """Return the drop-in, or its template, without the blocks whose comments begin so: each up to an empty line."""
    return re.sub(rf"^# (?:{'|'.join(blocks)}):.*?\n\n", "", text, flags=re.MULTILINE | re.DOTALL)


def wanted_drop_in(
    configuration: Configuration, groups: Sequence[str], jumps: Mapping[str, Ports] | None = None
) -> str:
    """Return the drop-in as it has to be for what the configuration says.

    ``jumps``: as for :func:`drop_in`; None for those whose groups this host has.
    """
    if jumps is None:
        there = accounts.groups_called(GROUP_PREFIX)
        jumps = {group: ports for group, ports in configuration.port_lists().items() if group in there} if there else {}
    return drop_in(
        configuration.layout,
        groups,
        template=read_template(configuration.layout, TEMPLATE, "sshd_config.d"),
        home_keys=configuration.groups_with("home_keys"),
        directory_keys=configuration.groups_with("directory_keys"),
        accept_env=configuration.accept_env(),
        forwards=bool(configuration.forwarding_jails()),
        jumps=jumps,
    )


def differs_beside_ports(configuration: Configuration, groups: Sequence[str]) -> bool:
    """True if the drop-in on disk is not as it has to be, whatever it says of accounts without a session."""
    data = install.read_optional(configuration.layout.sshd_drop_in) or b""
    texts = data.decode("utf-8", "replace"), wanted_drop_in(configuration, groups)
    one, other = (re.sub(r"^    Banner .*", "", _without(text, _JUMPS), flags=re.MULTILINE) for text in texts)
    return one != other


def directories(layout: Layout) -> list[tuple[str, tuple[int, ...]]]:
    """Return the directories, parents first, and the modes that are right for each, the one for a new one first."""
    return [
        (layout.etc, (0o755,)),
        (layout.jails, (0o755,)),
        (layout.users, (0o755,)),
        (layout.keys, (0o755,)),
        (layout.key_rings, (0o755,)),
        (layout.state, (0o755,)),
        # The plans in it are readable by root alone.
        (layout.plans, (0o700,)),
        (layout.undo, (0o700,)),
        (layout.sshd_marks, (0o700,)),
    ]


def pending(layout: Layout, groups: Sequence[str], jumps: Mapping[str, Ports] | None = None) -> list[Change]:
    """Return what ``jailssh setup`` would change, in order; empty when all is as it should be.

    ``jumps``: as for :func:`wanted_drop_in`.
    """
    configuration = load_configuration(layout)
    wanted = [GROUP, *([sshd.FORWARD_GROUP] if configuration.forwarding_jails() else []), *(jumps or ())]
    changes = [_group_change(name) for name in wanted if not accounts.group_exists(name)]
    changes += [_dir_change(path, modes[0]) for path, modes in directories(layout) if _mode(path) not in modes]
    # What refuses comes before what lets in; the profile names the program that says why, which is installed.
    return [
        *changes,
        *_program_changes(configuration, groups),
        *_table_changes(layout, groups),
        *pam.changes(layout, groups),
        *_list_changes(layout, groups),
        *_drop_in_changes(configuration, groups, jumps),
    ]


def plan(layout: Layout, groups: Sequence[str], choice: Choice) -> list[Change]:
    """Return :func:`pending`, and before the drop-in the keys that sshd reads in homes until now."""
    changes = pending(layout, groups)
    at = next((number for number, each in enumerate(changes) if each.point == DROP_IN), None)
    if at is None:
        return changes
    return [*changes[:at], *home_keys.host_changes(layout, _people(layout, groups), choice), *changes[at:]]


MOST_ELSEWHERE = 200
"""Of so many members of a directory's groups keys in homes are copied; of more of none."""


def _people(layout: Layout, groups: Sequence[str]) -> list[str]:
    """Return the accounts whose keys in their homes count no more once the drop-in is there; no shared ones."""
    configuration = load_configuration(layout)
    named = set(configuration.user_names())
    still = {name for group in configuration.groups_with("home_keys") for name in accounts.members(group)}
    local = accounts.local_uids()
    members = {name for group in groups for name in accounts.members(group)} - still
    elsewhere = members - local.keys()
    # Each costs questions over the network, and its home may be on a server too.
    people = named | members - (elsewhere if len(elsewhere) > MOST_ELSEWHERE else set())
    shared = set(configuration.shared_names())
    return sorted(
        name for name in people - shared if not authorized.is_generated(authorized_keys.present(layout, name))
    )


def explained(changes: Sequence[Change]) -> str:
    """Return in one line what ``changes`` are, for somebody who has set the host up before."""
    said = []
    for change in changes:
        was, now = (next((line[1:] for line in change.lines if line.startswith(f"{sign}Match ")), "") for sign in "-+")
        if was and now:
            said.append(f"drop-in has {was!r}, expected {now!r}: the groups with a jail changed")
        elif change.point in (DROP_IN, PAM_PROFILE):
            said.append(f"{change.point} differs from the expected text")
        else:
            said.append(f"{change.point}: {change.lines[0].lstrip('+~ ')}")
    return "; ".join(said)


def _mode(path: str) -> int | None:
    try:
        return os.lstat(path).st_mode & 0o7777
    except FileNotFoundError:
        return None


def _group_change(name: str) -> Change:
    inverse = UndoAction(Operation.GROUP, name)
    return Change("group", (f"+ system group {name}",), inverse, lambda: accounts.create_group(name))


def _dir_change(path: str, mode: int) -> Change:
    old = _mode(path)
    line = f"+ directory {path}, mode {mode:04o}" if old is None else f"~ directory {path} to mode {mode:04o}"
    return Change(
        f"directory {path}", (line,), UndoAction(Operation.DIR, path, (old,)), lambda: fs.ensure_dir(path, mode)
    )


def _program_changes(configuration: Configuration, groups: Sequence[str]) -> list[Change]:
    path = configuration.layout.login_program
    if not os.path.exists(path):
        raise HostError(path, "is not installed (the login program)", hint=INSTALL)
    if install.has_capabilities(path):
        return []
    # Members of other groups, and who enters a jail, are not in the group jailssh, and a mail server starts commands
    # without the account's further groups (local(8) of postfix), so the program must be open to all; it refuses whoever
    # has no plan.
    entered, by_mail = configuration.entries(), configuration.main.mail_inside
    mode, owner = (0o4755, "root") if groups or entered or by_mail else (0o4750, GROUP)
    old = install.access_of(path)
    if old == (mode, 0, accounts.group_id(owner)):
        return []

    def act() -> None:
        install.set_access(path, mode, 0, accounts.group_id(owner) or 0)

    reasons = [
        (bool(groups), "members of other groups have a jail"), (by_mail, "mail servers start it (mail_inside)"),
        (bool(entered), f"accounts may enter {', '.join(entered)}"),
    ]  # fmt: skip
    why = "".join(f", because {reason}" for holds, reason in reasons if holds)
    holder = accounts.find_uid(old[1])
    was = f"{old[0]:04o}, {holder.name if holder else old[1]}:{accounts.group_name(old[2])}"
    line = f"~ {path} to mode {mode:04o}, root:{owner} (was {was}){why}"
    return [Change("login program", (line,), UndoAction(Operation.ACCESS, path, old), act)]


def _drop_in_changes(
    configuration: Configuration, groups: Sequence[str], jumps: Mapping[str, Ports] | None
) -> list[Change]:
    path = configuration.layout.sshd_drop_in
    wanted = wanted_drop_in(configuration, groups, jumps)
    before = _mark_changes(wanted)
    data = install.read_optional(path)
    present = "" if data is None else data.decode("utf-8", "replace")
    if data is not None and present == wanted:
        return before
    diff = difflib.unified_diff(
        present.splitlines(), wanted.splitlines(), "/dev/null" if data is None else path, path, lineterm=""
    )

    def act() -> None:
        fs.atomic_write(path, wanted.encode("utf-8"), mode=0o644)

    return [*before, Change(DROP_IN, tuple(diff), undo.put_file_back(path), act)]


def _mark_changes(wanted: str) -> list[Change]:
    """Return the change that puts the text there which a running sshd shows once it has read the drop-in."""
    found = re.search(r"^    Banner (.*/([0-9a-f]{16}))$", wanted, re.MULTILINE)
    if not found:  # A template of another version.
        return []
    return _file_changes(
        found[1], listeners.mark(found[2]), "mark", "the banner by which a running sshd shows which drop-in it has read"
    )


def _list_changes(layout: Layout, groups: Sequence[str]) -> list[Change]:
    """Return the change of the list by which no user manager is started for whoever is in a jail."""
    return _file_changes(layout.jailed_groups, jailed.listing(groups), "list of groups", "whose members are in a jail")


def _table_changes(layout: Layout, groups: Sequence[str]) -> list[Change]:
    what = "who is in a jail and which services let them in, for pam_jailssh"
    return _file_changes(layout.pam_table, pam.table(layout, groups), pam.TABLE, what)


def _file_changes(path: str, wanted: str, point: str, what: str) -> list[Change]:
    data = install.read_optional(path)
    if data == wanted.encode("ascii"):
        return []
    line = f"{'+' if data is None else '~'} {path}: {what}"
    return [
        Change(
            point, (line,), undo.put_file_back(path), lambda: fs.atomic_write(path, wanted.encode("ascii"), mode=0o644)
        )
    ]


def check_candidate(layout: Layout, groups: Sequence[str]) -> None:
    """Ask sshd whether it accepts the drop-in and whether it would hold, before anything is changed."""
    sshd.check_include(layout)
    text = wanted_drop_in(load_configuration(layout), groups)
    probe = re.sub(
        r"^Match Group .*$",
        "Match User jailssh-probe",
        _without(text, _HOME_KEYS, _DIRECTORY_KEYS, _PORTS, _JUMPS),
        flags=re.MULTILINE,
    )
    sshd.test_candidate(layout, text, probe)


def verify(layout: Layout) -> list[str]:
    """Ask sshd about each account in the group; return notes, raise :class:`JailsshError` where one escapes."""
    config = sshd.main_config(layout)
    sshd.test(config)
    notes = [f"{line} precedes the drop-in and overrides it" for line in sshd.earlier_matches(layout)]
    matches = sshd_matches.lines(layout)
    # Of thousands, one for each case that sshd tells apart: asking about each takes as many times as long.
    cases: dict[tuple[object, ...], str] = {}
    others = []
    members = accounts.members(GROUP)
    for member in members:
        if entry := accounts.find(member):
            if entry.shell != layout.login_program:
                others.append(member)
            groups = {name for name, _ in entry.groups}
            cases.setdefault((sshd.FORWARD_GROUP in groups, *sshd_matches.case_of(member, groups, matches)), member)
    # A group that no line names any more, of a list that changed, is none for sshd: its members are held as all others.
    named = {patterns for line in matches for criterion, patterns in line.criteria if criterion == "group"}
    for member in cases.values():
        jumps = [group for group in accounts.listed_groups(member, GROUP_PREFIX) if group in named]
        sshd.check_forced(sshd.effective(member, config), layout, member, jumps=jumps)
    configuration = load_configuration(layout)
    notes += sshd.warnings(sshd.effective("jailssh-probe", config), configuration.accept_env())
    notes += pam.notes(layout, configuration.groups())
    if lost := sorted({*configuration.user_names()} & accounts.local_lines().keys() - {*members}):
        notes.append(f"PAM refuses accounts that are not in group {GROUP}: {_some(lost)}; run: jailssh check")
    if others:
        whose = "accounts whose login shell is another one"
        notes.append(f"PAM refuses {whose} than {layout.login_program}: {_some(others)}; run: jailssh apply")
    return [f"note: {note}" for note in notes]


def prepare(layout: Layout) -> None:
    """Make the directories that the journal and its lock need."""
    fs.ensure_dir(layout.state, 0o755)
    fs.ensure_dir(layout.undo, 0o700)


def apply(
    layout: Layout, changes: Sequence[Change], fault: Fault = no_fault, prove: Callable[[], list[str]] = list
) -> list[str]:
    """Make ``changes``; return what happened to sshd and warnings.  All or nothing.  Call under the lock.

    ``prove`` raises where the host cannot serve with the changes, and returns what it can.
    """
    journal = Journal(layout, SUBJECT, fault)
    before = pam.canaries(layout) if any(change.point == PAM_PROFILE for change in changes) else {}
    with journal.changing("setup", "jailssh setup"):
        if any(change.point == DROP_IN for change in changes):
            # First in, so last out: sshd reads its configuration again after the drop-in has been put back.
            inverse = UndoAction(Operation.RELOAD, layout.reload_owed)
            journal.step("reload", inverse, lambda: running.owe(layout), confines=True)
        for change in changes:
            journal.step(change.point, change.inverse, change.act, confines=change.confines)
        pam.check_canaries(layout, before)
        notes = [*verify(layout), *prove()]
        # An account's keys go with the account: what they were before a set-up is nobody's wish by then.
        journal.steps = [step for step in journal.steps if not step.key.startswith(f"{layout.keys}/")]
        journal.commit()
    if any(change.point == DROP_IN for change in changes):
        fault("reload: owed")
        done = running.settle(layout)
        _tidy_marks(layout)
        return [*done, *notes]
    return [*running.settle_old(layout), *notes]


def _tidy_marks(layout: Layout) -> None:
    """Remove what older versions of the drop-in say, which no sshd has read any more."""
    data = install.read_optional(layout.sshd_drop_in) or b""
    for name in os.listdir(layout.sshd_marks):
        path = f"{layout.sshd_marks}/{name}"
        if path.encode() not in data:
            fs.remove_file(path)


def check_unused(layout: Layout, groups: Mapping[str, Sequence[str]]) -> None:
    """Raise :class:`JailsshError` while somebody is in a jail, since that would become an open account.

    ``groups``: the Unix groups whose members are in a jail, each with its jails.  One without members counts too: a
    directory service need not list them.
    """
    try:
        named = {name.removesuffix(".conf") for name in os.listdir(layout.users) if name.endswith(".conf")}
    except FileNotFoundError:
        named = set()
    inside = sorted(named | set(accounts.members(GROUP)))
    if inside:
        shown = _some(inside)
        raise JailsshError("setup --undo", f"accounts are still in a jail: {shown}", hint="jailssh deluser NAME")
    errors: list[JailsshError] = []
    for group in sorted(group for group in groups if accounts.group_exists(group)):
        jails, people = ", ".join(groups[group]), accounts.members(group)
        shown = _some(people) if people else "none listed on this host"
        why = f"members of group {group} are still in jail {jails} and could log in without it: {shown}"
        hint = f"change their login shell or lock them, then remove {group} from 'groups' in the jail's file"
        errors.append(JailsshError("setup --undo", why, hint=hint))
    raise_all(errors)


def _visible(path: str) -> list[str]:
    found = os.listdir(path) if os.path.isdir(path) else []
    return sorted(name for name in found if name[0] != "." and name != "lost+found")  # of a file system of its own


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def was_run(layout: Layout) -> bool:
    """True if there is something that ``setup --undo`` can take back, be it an interrupted set-up."""
    journal = Journal(layout, SUBJECT)
    return bool(journal.original or journal.steps)


def take_back(layout: Layout, groups: Mapping[str, Sequence[str]]) -> list[str]:
    """Undo the set-up; return what happened, to a running sshd as well.  Call under the lock.

    ``groups``: as for :func:`check_unused`.
    """
    check_unused(layout, groups)
    shells = Journal(layout, SHELLS)
    undo.take_back(shells.original)
    shells.forget()
    # First, so that no plan is made anew.
    retired = units.retire()
    journal = Journal(layout, SUBJECT)
    # An sshd that cannot be reloaded is told of, but is no reason to stop half way.
    undo.take_back(step for step in journal.original if step.op != Operation.RELOAD)
    try:
        reloaded = sshd.reload()
    except JailsshError as error:
        reloaded = f"note: cannot reload sshd, which still uses the drop-in: {error}; run: systemctl reload ssh"
    journal.forget()
    _remove_left_over(layout)
    fs.remove_file(layout.reload_owed)
    fs.remove_file(layout.jailed_groups)
    fs.remove_file(layout.pam_table)
    for name in os.listdir(layout.sshd_marks) if os.path.isdir(layout.sshd_marks) else ():
        fs.remove_file(f"{layout.sshd_marks}/{name}")
    for path, _ in reversed(directories(layout)):
        install.remove_empty_dir(path)
    lines = ["group, drop-in and mode of the login program are restored", reloaded, *retired]
    if os.path.isdir(layout.state):
        kept = {"trees": "sessions on trees", "systems": "whole systems"}
        names = {folder: _some(_visible(f"{layout.state}/{folder}")) for folder in kept}
        rest = ", ".join(sorted(name for name in os.listdir(layout.state) if not names.get(name)))
        lines += [f"built files stay in {layout.state} ({rest}); nothing uses them"] if rest else []
        lines += [f"{kept[folder]} are not touched: {some}" for folder, some in names.items() if some]
    still = f"note: %s starts {layout.deliver_program}: take that out of its configuration before jailssh is removed"
    lines += [still % server for server in mail.starting(layout.deliver_program)]
    return lines


def _remove_left_over(layout: Layout) -> None:
    """Remove the plans, which nobody has any more, the locks, and facts that no image was made from."""
    fs.remove_file(layout.lock)
    for uid in {*plan_files.planned_uids(layout), *(uid for uid, _ in plan_files.entries(layout))}:
        withdraw_plan(layout, uid)
    if os.path.isdir(layout.plans) and os.listdir(layout.plans) == [".lock"]:
        fs.remove_file(f"{layout.plans}/.lock")
    if not os.path.isdir(layout.images):
        fs.remove_file(facts_path(layout))
