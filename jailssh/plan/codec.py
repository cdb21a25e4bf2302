"""Encode a plan to bytes and decode it again, as strictly as the C reader does.

A plan file is a list of NUL-terminated text tokens: magic, version, uid, gid, account name, serial, number of
records, the records, ``end``.  Nothing may follow.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import cached_property, lru_cache
from itertools import groupby

from jailssh.core.errors import ConfigError
from jailssh.core.names import MAX_UID, check_account_name, is_below
from jailssh.plan import ops, words

_DIGITS = 16
_SERIAL = re.compile(r"[0-9a-f]{16}\Z")
_UINT = re.compile(r"(0|[1-9][0-9]{0,9})\Z")


@dataclass(frozen=True)
class Plan:
    """One account's compiled login program.  ``serial`` identifies this content in the journal (16 hex digits)."""

    uid: int
    gid: int
    name: str
    serial: str
    records: tuple[ops.Record, ...]

    @cached_property
    def data(self) -> bytes:
        """The bytes, as :func:`encode` returns them."""
        return _encoded(self)

    def first(self, verb: str) -> tuple[str, ...] | None:
        """Return the arguments of the first record with this verb, or None."""
        return next((record.args for record in self.records if record.verb == verb), None)


_PLACED = ("tmpfs", "dir", "file")


def check_plan(plan: Plan) -> None:
    """Raise :class:`ConfigError` unless the login program would accept ``plan``."""
    if not 0 < plan.uid <= MAX_UID or not 0 < plan.gid <= MAX_UID:
        raise ConfigError("plan", f"uid {plan.uid} and gid {plan.gid} must be between 1 and {MAX_UID}")
    check_account_name(plan.name)
    if not _SERIAL.match(plan.serial):
        raise ConfigError("plan", f"serial {plan.serial!r} is not 16 hex digits")
    if len(plan.records) > ops.MAX_RECORDS:
        raise ConfigError("plan", f"more than {ops.MAX_RECORDS} records")
    ops.check_records(plan.records)
    _check_verbs(tuple([record.verb for record in plan.records]))
    _check_mounts(plan.records)


# Accounts of a jail have the same verbs, thousands of them.
@lru_cache(maxsize=1 << 6)
def _check_verbs(names: tuple[str, ...]) -> None:
    """Raise unless these verbs, all of which are known, may follow each other, and all are there that must be."""
    if names.count("group") > ops.MAX_GROUPS:
        raise ConfigError("plan", f"more than {ops.MAX_GROUPS} supplementary groups")
    _check_order(names)
    present = set(names)
    for verb in ops.REQUIRED if present.isdisjoint(ops.ROSTER) else ops.REQUIRED_OF_ROSTER:
        if verb not in present:
            raise ConfigError("plan", f"{verb} is missing")


def _check_mounts(records: Sequence[ops.Record]) -> None:
    """Raise for a mount below a directory that the user can change, through which it could be redirected."""
    writable: list[str] = []
    for record in records:
        if record.verb == "rule":
            return
        target = record.args[1] if record.verb == "bind" else record.args[0] if record.verb in _PLACED else ""
        if target and any(is_below(target, above) for above in writable):
            raise ConfigError("plan", f"{record.verb} {target} is below a directory that the user can change")
        if (record.verb == "bind" and record.args[2] == "rw") or (record.verb == "tmpfs" and record.args[3] == "rw"):
            writable.append(target)


def _check_order(names: Sequence[str]) -> None:
    phase = 0
    seen: set[str] = set()
    for verb in map(ops.BY_NAME.__getitem__, names):
        if verb.name == "rule":
            seen = {name for name in seen if ops.BY_NAME[name].phase < ops.RULE_PHASE}
        elif verb.phase < phase:
            raise ConfigError("plan", f"{verb.name} is out of order")
        if verb.once and verb.name in seen:
            raise ConfigError("plan", f"{verb.name} appears twice")
        if verb.phase > ops.RULE_PHASE and phase < ops.RULE_PHASE:
            raise ConfigError("plan", f"{verb.name} is before the first rule")
        seen.add(verb.name)
        phase = verb.phase


def encode(plan: Plan) -> bytes:
    """Return the bytes of ``plan``; raises :class:`ConfigError` if the login program would refuse them."""
    return plan.data


def numbered(plan: Plan) -> Plan:
    """Return the plan with the serial that its content has; raises as :func:`encode`."""
    data = replace(plan, serial="0" * _DIGITS).data
    done = replace(plan, serial=hashlib.sha256(data).hexdigest()[:_DIGITS])
    # Nothing but the serial differs, so nothing is to be looked at again.
    at = len(f"{ops.MAGIC}.{ops.VERSION}.{plan.uid}.{plan.gid}.{plan.name}.".encode())
    done.__dict__["data"] = data[:at] + done.serial.encode() + data[at + _DIGITS :]
    return done


def _encoded(plan: Plan) -> bytes:
    check_plan(plan)
    tokens = [ops.MAGIC, ops.VERSION, str(plan.uid), str(plan.gid), plan.name, plan.serial, str(len(plan.records))]
    for record in plan.records:
        tokens.append(record.verb)
        tokens.extend(record.args)
    data = "\0".join((*tokens, ops.END, "")).encode("utf-8", "surrogateescape")
    if len(data) > ops.MAX_SIZE:
        raise ConfigError("plan", f"larger than {ops.MAX_SIZE} bytes")
    return data


def decode(data: bytes) -> Plan:
    """Return the plan in ``data``; any doubt is a :class:`ConfigError`."""
    if len(data) > ops.MAX_SIZE:
        raise ConfigError("plan", f"larger than {ops.MAX_SIZE} bytes")
    if not data.endswith(b"\0"):
        raise ConfigError("plan", "truncated: the last byte is not NUL")
    tokens = [token.decode("utf-8", "surrogateescape") for token in data[:-1].split(b"\0")]
    if len(tokens) < 8:
        raise ConfigError("plan", "truncated: the head is incomplete")
    magic, version, uid, gid, name, serial, count = tokens[:7]
    if magic != ops.MAGIC:
        raise ConfigError("plan", "not a plan")
    if version != ops.VERSION:
        raise ConfigError("plan", f"version {version!r}, this jailssh reads {ops.VERSION!r}", hint="jailssh apply")
    for number in (uid, gid, count):
        if not _UINT.match(number):
            raise ConfigError("plan", f"{number!r} is not a number")
    records, rest = _decode_records(tokens[7:], int(count))
    if rest != [ops.END]:
        raise ConfigError("plan", "the end is missing or is not last")
    plan = Plan(int(uid), int(gid), name, serial, tuple(records))
    check_plan(plan)
    return plan


def _decode_records(tokens: list[str], count: int) -> tuple[list[ops.Record], list[str]]:
    records: list[ops.Record] = []
    position = 0
    for _ in range(count):
        if position >= len(tokens):
            raise ConfigError("plan", "truncated: fewer records than announced")
        verb = ops.BY_NAME.get(tokens[position])
        if verb is None:
            raise ConfigError("plan", f"unknown verb {tokens[position]!r}")
        end = position + 1 + len(verb.fields)
        if end > len(tokens):
            raise ConfigError("plan", f"truncated in {verb.name}")
        records.append(ops.Record(verb.name, tuple(tokens[position + 1 : end])))
        position = end
    return records, tokens[position:]


@dataclass(frozen=True)
class _TextLine:
    """A line for people, and the records that it stands for."""

    records: tuple[ops.Record, ...]
    text: str


def show(plan: Plan) -> list[str]:
    """Return the plan for people: one line a record, and one for all that is known of local time."""
    head = f"plan {plan.serial} of {plan.name} (uid {plan.uid}, gid {plan.gid}), {len(plan.records)} records"
    return [head, *(line.text for part in _parts(plan).values() for line in part)]


def diff(old: Plan | None, new: Plan) -> list[str]:
    """Return what changes from ``old`` to ``new``, in lines as of :func:`show`.

    In front of each stands ``-``, ``+``, or ``~`` where what changes is not shown; before the changed parts of a rule
    stands its own line, with ``~`` if the rule is there before and after.
    """
    before = {} if old is None else _records_of(old)
    after = _records_of(new)
    out: list[str] = []
    for rule in dict.fromkeys([*before, *after]):
        if before.get(rule) == after.get(rule):
            continue
        was, now = _lines_of(before.get(rule, ())), _lines_of(after.get(rule, ()))
        lines = _changed(was, now)
        if lines and rule and was and now and was[0] == now[0]:
            out.append(f"~ {now[0].text}")
        out += lines
    return out


def _parts(plan: Plan) -> dict[str, tuple[_TextLine, ...]]:
    """Return the lines of the plan by the rule that they are of, "" for what stands before all rules."""
    return {rule: _lines_of(records) for rule, records in _records_of(plan).items()}


def _records_of(plan: Plan) -> dict[str, tuple[ops.Record, ...]]:
    """Return the records of the plan by the rule that they are of, "" for those before all rules."""
    found: dict[str, list[ops.Record]] = {"": []}
    rule = ""
    for record in plan.records:
        rule = record.args[0] if record.verb == "rule" else rule
        found.setdefault(rule, []).append(record)
    return {rule: tuple(records) for rule, records in found.items()}


@lru_cache(maxsize=1 << 7)
def _lines_of(given: tuple[ops.Record, ...]) -> tuple[_TextLine, ...]:
    found: list[_TextLine] = []
    for is_offset, group in groupby(given, lambda record: record.verb == "utc-offset"):
        records = tuple(group)
        if is_offset:
            offsets = [(int(record.args[0]), int(record.args[1])) for record in records]
            found.append(_TextLine(records, words.local_time(offsets)))
        else:
            found += map(_line_of, records)
    return tuple(found)


@lru_cache(maxsize=1 << 12)
def _line_of(record: ops.Record) -> _TextLine:
    return _TextLine((record,), record.describe())


def _changed(old: Sequence[_TextLine], new: Sequence[_TextLine]) -> list[str]:
    if not old or not new:
        return [f"- {line.text}" for line in old] + [f"+ {line.text}" for line in new]
    out: list[str] = []
    for what, start, end, begin, stop in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if what == "equal":
            continue
        gone, come = [line.text for line in old[start:end]], [line.text for line in new[begin:stop]]
        out += [f"- {text}" for text in gone if text not in come]
        out += [f"{'~' if text in gone else '+'} {text}" for text in come]
    return out
