"""Accounts whose every key has a command of its own in authorized_keys (sshd(8), AUTHORIZED_KEYS FILE FORMAT).

The keys themselves stay where adduser finds them, in the files that sshd reads for the account, with what limits them
(``from``, ``expiry-time``): so ``Found.keys`` is empty, and their commands become the jail.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from jailssh.config import home_keys
from jailssh.config.home_keys import HomeKey
from jailssh.config.keys import Key, words_of
from jailssh.config.settings import MAIN
from jailssh.core.errors import JailsshError
from jailssh.core.names import escape, is_below
from jailssh.sources import by_key, forced
from jailssh.sources.forced import Forced, home_of
from jailssh.sources.found import Effect, Fate, Found, Host, Person, Remark

NAME = "authorized_keys"
TITLE = "authorized_keys with command="
_DEFAULTS = {row.name: row.default for row in MAIN}
MIN_UID, MAX_UID = int(_DEFAULTS["min_uid"]), 60000
"""Uids of people; adduser takes others only when told to."""
STRONG = frozenset(_DEFAULTS["deny_groups"].split())
"""Groups whose members can escape any jail."""
OTHERS = ("jk_chrootsh", "rssh", "scponly", "scponlyc", "lshell", "rush", "jailbash", "MySecureShell", "mysecureshell",
          "gitolite-shell", "jailssh-login", "git-shell")  # fmt: skip
"""Login shells that judge the command themselves, each with a source of its own."""
_GITOLITE = "gitolite-shell"
_Shared = tuple[Forced, dict[str, tuple[Key, ...]], dict[str, dict[str, dict[str, tuple[str, ...]]]]]
"""The jail of all keys, the keys by name, and the sections that each has in the account's file."""


def find(host: Host) -> list[Found]:
    """Return the accounts that have a key with a command; those of other sources are left to them."""
    found = []
    for person in host.people():
        settings = host.sshd(person.name)
        if (
            person.shell.rsplit("/", 1)[-1] in OTHERS
            or _set(settings, "forcecommand")
            or _set(settings, "chrootdirectory")
        ):
            continue
        try:
            one = _account(person, settings, host)
        except JailsshError as error:
            # A file that one user can spoil hides nobody else's.
            remark = Remark(Effect.NOTE, error.what, f"its keys cannot be read: {error.why}")
            one = Found(person.name, NAME, error.what, fate=Fate.LEAVE, remarks=(remark,))
        if one:
            found.append(one)
    return found


def files_of(person: Person, settings: Mapping[str, str]) -> list[str]:
    """Return the files that sshd reads keys of the account from (sshd_config(5), AuthorizedKeysFile)."""
    home = home_of(person)
    found = []
    for word in words_of(settings.get("authorizedkeysfile", ".ssh/authorized_keys .ssh/authorized_keys2")):
        if word == "none":
            continue
        path = expand(word, person)
        found.append(path if path.startswith("/") else f"{home}/{path}")
    return found


def expand(text: str, person: Person) -> str:
    """Return sshd's ``text`` with ``%h``, ``%u``, ``%U`` and ``%%`` filled in."""
    values = {"h": home_of(person), "u": person.name, "U": str(person.uid), "%": "%"}
    parts = text.split("%")
    out, rest = [parts[0]], parts[1:]
    while rest:
        part = rest.pop(0)
        if not part:
            # "%%", and what follows the second one.
            out.append("%" + (rest.pop(0) if rest else ""))
        else:
            out.append(values.get(part[0], "%" + part[0]) + part[1:])
    return "".join(out)


def keys_of(person: Person, settings: Mapping[str, str], host: Host) -> tuple[list[HomeKey], list[str]]:
    """Return the keys by which sshd lets the account in, and what is wrong with lines that are no key."""
    keys: list[HomeKey] = []
    unread: list[str] = []
    for path in files_of(person, settings):
        text = host.read_of(person, path) if is_below(path, home_of(person)) else host.read(path)
        if text is not None:
            read = home_keys.read(text.encode("utf-8", "surrogateescape"), path)
            keys += read.keys
            unread += read.unread
    return keys, unread


def command_of(key: HomeKey) -> str | None:
    """Return the command that sshd runs for a key, None where it runs what the client asks for."""
    return next((value for name, value in key.said if name == "command"), None)


def _set(settings: Mapping[str, str], name: str) -> bool:
    return settings.get(name, "none").lower() not in ("", "none")


def _account(person: Person, settings: Mapping[str, str], host: Host) -> Found | None:
    keys, unread = keys_of(person, settings, host)
    limited = [key for key in keys if command_of(key) is not None]
    served = host.kind(f"{home_of(person)}/.gitolite") and any(_GITOLITE in (command_of(key) or "") for key in limited)
    if not limited or served:
        return None
    remarks = [_unread(text) for text in unread]
    found = Found(person.name, NAME, limited[0].origin)
    reasons = unfit(person)
    if len(limited) < len(keys):
        reasons += [(key.origin, "a key without a command: it can do all that the account can") for key in keys
                    if command_of(key) is None]  # fmt: skip
    if _set(settings, "authorizedkeyscommand"):
        reasons.append((person.name, "sshd asks a program for more keys (AuthorizedKeysCommand)"))
    judged = [(key, forced.judge(command_of(key) or "", person, host)) for key in limited]
    for key, what in judged:
        remarks += _remarks(key, what, settings)
    differ = any(what.settings != judged[0][1].settings for _, what in judged)
    shared = _shared(judged, reasons) if differ else None
    fate, settings_of = (Fate.MIGRATE, shared[0]) if shared else _united(judged, reasons)
    if _set(settings, "trustedusercakeys"):
        remarks.append(Remark(Effect.CLOSED, person.name, "a certificate without a command lets in to a shell today"))
    if settings.get("passwordauthentication", "yes").lower() == "yes" and fate is Fate.MIGRATE:
        remarks.append(
            Remark(Effect.CLOSED, person.name, "a login with a password, if it has one, is not limited today")
        )
    remarks += [Remark(Effect.NOTE, where, why) for where, why in reasons]
    return replace(
        found,
        fate=fate,
        settings=settings_of.settings,
        called=settings_of.called,
        uses=settings_of.uses,
        commands=not shared,
        named=shared[1] if shared else {},
        by_key=shared[2] if shared else {},
        options=_options(limited[0]),
        remarks=tuple(dict.fromkeys(remarks)),
    )


def unfit(person: Person) -> list[tuple[str, str]]:
    """Return why adduser would not take the account without being told to, as (where, why)."""
    found = []
    if person.uid == 0 or person.gid == 0:
        found.append((person.name, "root cannot be put into a jail"))
    elif not MIN_UID <= person.uid <= MAX_UID:
        found.append((person.name, f"uid {person.uid} is a system uid: adduser needs --force for it"))
    if strong := sorted({person.group, *person.groups} & STRONG):
        found.append((person.name, f"member of group {', '.join(strong)}, which can escape any jail"))
    return found


def _united(judged: Sequence[tuple[HomeKey, Forced]], reasons: list[tuple[str, str]]) -> tuple[Fate, Forced]:
    """Return what all keys of an account come to together; adds to ``reasons`` why they do not."""
    first = judged[0][1]
    left = [(key, what) for key, what in judged if what.fate is Fate.LEAVE]
    refused = [(key, what) for key, what in judged if what.fate is Fate.REFUSED]
    reasons += [(key.origin, f"left: {what.why}") for key, what in left]
    if left or reasons:
        reasons += [(key.origin, f"refused today: {what.why}") for key, what in refused]
        return Fate.LEAVE, Forced(Fate.LEAVE)
    if refused:
        reasons += [(key.origin, f"refused today: {what.why}") for key, what in refused]
        return Fate.REFUSED, Forced(Fate.REFUSED)
    for key, what in judged[1:]:
        if what.settings != first.settings:
            text = f"this key can do other things than that of {judged[0][0].origin}; a jail gives all keys the same"
            reasons.append((key.origin, f"{text}: give each an account of its own"))
    return (Fate.LEAVE, Forced(Fate.LEAVE)) if reasons else (Fate.MIGRATE, first)


def _shared(judged: Sequence[tuple[HomeKey, Forced]], reasons: list[tuple[str, str]]) -> _Shared | None:
    """Return keys with different commands as those of a shared account; None, with ``reasons``, where one cannot be."""
    if reasons or any(what.fate is not Fate.MIGRATE for _, what in judged):
        return None
    keys = [key for key, _ in judged]
    reasons += [(key.origin, f"left: {why}") for key in keys for why in by_key.faults(key)]
    blobs = [key.key.blob for key in keys]
    reasons += [(key.origin, "left: the key is on another line too") for key in keys if blobs.count(key.key.blob) > 1]
    if reasons:
        return None
    names = by_key.names_of(keys)
    jail = by_key.jail_of([what.settings for _, what in judged])
    sections = {
        name: by_key.sections_of(name, key, what.settings, jail)
        for name, (key, what) in zip(names, judged, strict=True)
    }
    sections[names[0]] = by_key.for_others() | sections[names[0]]
    uses = tuple(dict.fromkeys(use for _, what in judged for use in what.uses))
    return Forced(Fate.MIGRATE, settings=jail, uses=uses, called="keys"), by_key.named(names, keys), sections


def _options(key: HomeKey) -> str:
    """Return the options of a key as a line has them, without those that bind it to a place, a time or a signer."""
    out = []
    for name, value in key.said:
        if name not in ("from", "expiry-time", "cert-authority", "principals"):
            quoted = (value or "").replace('"', '\\"')
            out.append(name if value is None else f'{name}="{quoted}"')
    return ",".join(out)


def _remarks(key: HomeKey, what: Forced, settings: Mapping[str, str]) -> Iterable[Remark]:
    """Yield what a line comes to besides the settings."""
    yield from (Remark(effect, key.origin, text) for effect, text in what.notes)
    for name, value in key.said:
        if name in ("permitopen", "permitlisten", "tunnel"):
            yield Remark(Effect.LOST, key.origin, f'{name}="{escape(value or "", 80)}": a jail forwards nothing')
        elif name == "environment":
            yield Remark(Effect.LOST, key.origin, f'environment="{escape(value or "", 80)}" is not set in the jail')
    if forwards(key) and settings.get("allowtcpforwarding", "yes").lower() != "no" \
            and settings.get("disableforwarding", "no").lower() != "yes":  # fmt: skip
        yield Remark(Effect.CLOSED, key.origin, "ports can be forwarded with this key; a jail forwards nothing")


def forwards(key: HomeKey) -> bool:
    """True if the options of a line let the key forward ports, read in their order."""
    allowed = True
    for name, _ in key.said:
        if name in ("restrict", "no-port-forwarding", "port-forwarding"):
            allowed = name == "port-forwarding"
    return allowed


def _unread(text: str) -> Remark:
    where, _, why = text.partition(": ")
    # sshd takes these, and the file of ours does not.
    ours = why.startswith(("from=", "principals=", "principal ", "the line is too long"))
    return Remark(Effect.LOST if ours else Effect.NOTE, where, f"the line gives no key: {escape(why, 200)}")
