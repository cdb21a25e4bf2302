"""The account's keys as sshd reads them: as the account, through directories that nobody else can write to."""

from __future__ import annotations

import base64
import json
import os
import re
import stat
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from jailssh.config.keys import TYPES, lines_of, words_of
from jailssh.core.errors import JailsshError
from jailssh.core.names import is_below
from jailssh.doctor.case import Case
from jailssh.doctor.step import Fault
from jailssh.host import accounts, as_user
from jailssh.host.accounts import AccountEntry
from jailssh.services import pam_account, sshd

_KEYTAB = "/etc/krb5.keytab"
_LIMIT = 1 << 20
_EXPIRY = re.compile(r'expiry-time="(\d{8}(?:\d{4}(?:\d{2})?)?)(Z?)"', re.IGNORECASE)
_SIGNATURES = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa")}
"""What a key signs with, where that is not called as the key's type is."""
_DEBIAN = "/etc/debian_version"
"""Debian's sshd, and those made from it, let a group write whose only member is the account (its ssh(1), FILES)."""


@dataclass(frozen=True)
class Place:
    """A file, or a directory on the way to it: its path, owner, mode and group."""

    path: str
    uid: int
    mode: int
    gid: int = 0


@dataclass(frozen=True)
class KeyFile:
    """A file that sshd looks for keys in: ``trouble`` says why it cannot be read, "" if it can or is not there.

    ``chain``: the file and the directories above it, as far as sshd looks at them.
    """

    path: str
    managed: bool
    text: str | None
    trouble: str
    chain: tuple[Place, ...]


@dataclass(frozen=True)
class KeyFacts:
    """The files, what sshd says about keys, and whether another way in is left.

    ``strict``: StrictModes.  ``own_group``: the gid of a group that may write all the same, None for none.
    ``algorithms``: what sshd takes.  ``directory``: the lines that SSSD has for the account,
    and None where it is not asked; what it says instead of them is in ``unanswered``.  ``tickets``: those of Kerberos
    let in whom they name, which nobody can say beforehand.
    """

    name: str
    uid: int
    files: tuple[KeyFile, ...]
    strict: bool
    algorithms: frozenset[str]
    other_ways: bool
    tickets: bool
    now: str
    shared: bool
    by_group: str = ""
    own_group: int | None = None
    directory: str | None = None
    unanswered: str = ""


def collect(case: Case) -> KeyFacts:
    """Read the files as the account, for a bounded time."""
    entry, values = case.entry, case.server
    paths = [_expanded(word, case) for word in values.get("authorizedkeysfile", [""])[0].split() if word != "none"]
    answer = as_user.ask(entry, lambda: json.dumps([_read(path, entry.home) for path in paths]).encode(), case.seconds)
    files = tuple(
        KeyFile(path, is_below(path, case.layout.keys), row["text"], row["trouble"], _chain(row))
        for path, row in zip(paths, json.loads(answer), strict=True)
    )
    takes_password = values.get("passwordauthentication", ["no"])[0].lower() == "yes"
    by_password = takes_password and (
        accounts.has_password(case.name)
        if accounts.is_local(case.name)
        else pam_account.asks_for_more(pam_account.stack())
    )
    signed = values.get("trustedusercakeys", ["none"])[0] != "none"
    command = values.get("authorizedkeyscommand", ["none"])[0]
    directory, unanswered = _of_directory(case) if command == sshd.ASK_KEYS else (None, "")
    return KeyFacts(
        case.name,
        entry.uid,
        files,
        strict=values.get("strictmodes", ["yes"])[0].lower() == "yes",
        algorithms=frozenset(values.get("pubkeyacceptedalgorithms", [""])[0].split(",")),
        tickets=values.get("gssapiauthentication", ["no"])[0].lower() == "yes" and os.path.exists(_KEYTAB),
        other_ways=by_password or signed or command not in ("none", sshd.ASK_KEYS),
        now=time.strftime("%Y%m%d%H%M%S"),
        shared=bool(case.configuration.keyring(case.name).keys),
        by_group="" if case.by_name else f"{case.layout.keys}/{case.name}",
        own_group=_own_group(entry),
        directory=directory,
        unanswered=unanswered,
    )


def _own_group(entry: AccountEntry) -> int | None:
    alone = os.path.exists(_DEBIAN) and accounts.members(entry.group) == [entry.name]
    return entry.gid if alone else None


def _of_directory(case: Case) -> tuple[str, str]:
    """Return the lines that SSSD has for the account, or why there are none."""
    try:
        return sshd.directory_keys(case.name, case.seconds), ""
    except JailsshError as error:
        return "", error.why


def _expanded(word: str, case: Case) -> str:
    """Return a path of AuthorizedKeysFile (sshd_config(5), TOKENS)."""
    tokens = {"%%": "%", "%h": case.entry.home, "%u": case.name, "%U": str(case.entry.uid)}
    path = re.sub("%.", lambda found: tokens.get(found[0], found[0]), word)
    return path if path.startswith("/") else f"{case.entry.home}/{path}"


def _chain(row: dict[str, Any]) -> tuple[Place, ...]:
    return tuple(Place(path, uid, mode, gid) for path, uid, mode, gid in row["chain"])


def _read(path: str, home: str) -> dict[str, Any]:
    """Return what sshd would find at ``path``; runs as the account."""
    found: dict[str, Any] = {"text": None, "trouble": "", "chain": []}
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode):
                found["trouble"] = "is not a regular file"
                return found
            found["text"] = os.read(fd, _LIMIT).decode("utf-8", "surrogateescape")
        finally:
            os.close(fd)
        # A home that does not answer is not touched for a file that is elsewhere.
        real, top = os.path.realpath(path), os.path.realpath(home) if is_below(path, home) else "/"
        found["chain"] = [(path, info.st_uid, info.st_mode, info.st_gid)]
        while real not in ("/", top):
            real = os.path.dirname(real)
            above = os.stat(real)
            found["chain"].append((real, above.st_uid, above.st_mode, above.st_gid))
    except FileNotFoundError:
        pass
    except OSError as error:
        found["trouble"] = (error.strerror or str(error)).lower()
    return found


def judge(facts: KeyFacts) -> list[Fault]:
    """Say whether some key in some file lets the account in, and if none does, why."""
    found: list[Fault] = []
    works = False
    if facts.directory is not None:
        wrong = _about_directory(facts)
        works, found = not wrong, wrong
    for file in facts.files:
        wrong = _about_place(facts, file) or _about_text(facts, file)
        works = works or (file.text is not None and not wrong)
        found += wrong
    if works or facts.other_ways:
        return [Fault(each.what, each.why, each.cure, wrong=False) for each in found]
    found = found or [_no_key(facts)]
    if not facts.tickets:
        return found
    only = "nobody logs in without a ticket of Kerberos"
    return [Fault(each.what, f"{each.why}: {only}", each.cure, wrong=False) for each in found]


def _no_key(facts: KeyFacts) -> Fault:
    places = " or ".join(file.path for file in facts.files) or "any file (AuthorizedKeysFile none)"
    cure = f"jailssh adduser {facts.name} --jail JAIL --key FILE"
    # Where a group decides, a file of ours would from then on.
    cure = f"install -m 0644 FILE {facts.by_group}" if facts.by_group else cure
    cure = f"jailssh keys add {facts.name} NAME FILE" if facts.shared else cure
    return Fault(f"account {facts.name}", f"has no key in {places}, and no password that sshd takes", cure)


def _about_directory(facts: KeyFacts) -> list[Fault]:
    """Return why no key that SSSD has lets anybody in."""
    if facts.unanswered:
        cure = "systemctl status sssd; in sssd.conf: services = nss, pam, ssh"
        return [Fault(sshd.KEY_PROGRAM, f"gives no keys of {facts.name}: {facts.unanswered}", cure)]
    return _about_text(facts, KeyFile(f"the directory's entry of {facts.name}", True, facts.directory, "", ()))


def _about_place(facts: KeyFacts, file: KeyFile) -> list[Fault]:
    """Return what is wrong with the file's place, owner and mode; the first thing alone."""
    if file.trouble:
        cure = f"chmod 644 {file.path}" if file.trouble == "permission denied" else f"ls -ld {file.path}"
        why = f"cannot be read by the account, as sshd reads it: {file.trouble}"
        return [Fault(file.path, why, cure)]
    for place in file.chain if facts.strict else ():
        if place.uid not in (0, facts.uid):
            why = f"belongs to uid {place.uid}, so sshd takes no key {'in' if place.path == file.path else 'below'} it"
            owner = "root" if file.managed else facts.name
            return [Fault(place.path, f"{why} (StrictModes)", f"chown {owner} {place.path}")]
        bad = stat.S_IWOTH if place.gid == facts.own_group else stat.S_IWGRP | stat.S_IWOTH
        if place.mode & bad:
            where = "in" if place.path == file.path else "below"
            why = f"others can write to it (mode {stat.S_IMODE(place.mode):04o}), so sshd takes no key {where} it"
            return [Fault(place.path, f"{why} (StrictModes)", f"chmod go-w {place.path}")]
    return []


def _about_text(facts: KeyFacts, file: KeyFile) -> list[Fault]:
    """Return why no line of the file lets anybody in."""
    if file.text is None:
        return []
    lines = [(number, line) for number, line in enumerate(lines_of(file.text), 1)]
    lines = [(number, line) for number, line in lines if words_of(line) and not words_of(line)[0].startswith("#")]
    add = _no_key(facts).cure
    if not lines:
        return [Fault(file.path, "contains no key", add)]
    if "PRIVATE KEY-----" in file.text:
        return [Fault(file.path, "contains a private key, expected public ones", f"ssh-keygen -y -f {file.path}")]
    kinds = [(number, line, kind) for number, line in lines if (kind := _kind_of(line))]
    if not kinds:
        why = f"contains no key that sshd can read: line {lines[0][0]} is not one"
        return [Fault(file.path, why, f"ssh-keygen -l -f {file.path}")]
    live = [each for each in kinds if not _is_expired(each[1], facts.now)]
    if not live:
        return [Fault(file.path, "every key in it has expired (expiry-time)", f"remove expiry-time from {file.path}")]
    if not any(facts.algorithms & set(_SIGNATURES.get(kind, (kind,))) for _, _, kind in live):
        names = ", ".join(sorted({kind for _, _, kind in live}))
        why = f"sshd takes none of the types of its keys: {names} (PubkeyAcceptedAlgorithms)"
        return [Fault(file.path, why, f"ssh-keygen -t ed25519, then {add}")]
    return []


def _kind_of(line: str) -> str:
    """Return the type of the key in a line, "" where sshd reads none."""
    for kind, blob in pairwise(words_of(line)):
        if kind in TYPES:
            try:
                data = base64.b64decode(blob, validate=True)
            except ValueError:
                return ""
            return kind if data.startswith(len(kind).to_bytes(4, "big") + kind.encode()) else ""
    return ""


def _is_expired(line: str, now: str) -> bool:
    """True if the line's expiry-time is past; ``now``: local time as YYYYMMDDHHMMSS.  One in UTC is not judged."""
    found = _EXPIRY.search(line)
    return found is not None and not found[2] and found[1].ljust(14, "0") <= now
