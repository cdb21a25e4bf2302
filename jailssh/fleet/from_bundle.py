"""What ``jailssh apply`` does first with a bundle: take in this host's part of a description of many hosts."""

from __future__ import annotations

from jailssh.carrying.bring import How
from jailssh.carrying.compare import Comparison
from jailssh.console.context import Context
from jailssh.console.inputs import read_named
from jailssh.core.errors import JailsshError, raise_all
from jailssh.core.names import escape, pluralize
from jailssh.fleet import fetch, receive
from jailssh.fleet.bundle import MAX_BUNDLE
from jailssh.publish.publish import Publisher


def take_in(
    context: Context, path: str | None, *, act: bool, replace: bool, older: bool, on_demand: bool
) -> tuple[dict[str, object], list[JailsshError]]:
    """Make this host what its part of a bundle says, or without ``act`` show that; return facts about it.

    The second value: what was left alone, and why.  ``path``: a file, "-" for standard input, None for what the command
    of ``pull.conf`` writes.
    """
    context.need_real_root("apply")
    layout = context.layout
    if path is None:
        source, data = "fetched bundle", fetch.fetch(layout)
    else:
        source = "standard input" if path == "-" else escape(path)
        data = read_named(path, source, MAX_BUNDLE, "a bundle")
    how = How(replace=replace, on_demand=on_demand)
    taken = receive.take(layout, data, source, lambda: Publisher(layout), act=act, how=how, older=older)
    found = taken.found
    if act and found.changes:
        context.record([f"bundle {taken.serial} of {taken.signer}", *_changed(found)], {})
    if not context.json:
        context.say([*taken.lines, *found.lines(), _summary(taken, act=act)])
    facts = {"serial": taken.serial, "signer": taken.signer, "made": act, **found.facts()}
    facts["skipped"] = [str(error) for error in taken.skipped]
    if not act:
        context.facts({"bundle": facts}, [])
        raise_all([*found.errors, *taken.skipped])
    return facts, list(taken.skipped)


def _changed(found: Comparison) -> list[str]:
    return [
        *(f"- {path}" for path in sorted(found.removed)),
        *(f"+ {path}" for path in sorted(found.files)),
        *(f"+ account {each.name}" for each in found.created),
        *(f"+ into a jail: {each.name}" for each in found.joining),
    ]


def _summary(taken: receive.Taken, *, act: bool) -> str:
    found, what = taken.found, f"bundle {taken.serial} of {taken.signer}"
    if found.errors:
        return f"{what}: {pluralize(len(found.errors), 'reason')} against it, nothing changed"
    if not found.changes:
        return f"{what}: nothing to change"
    return f"{what}: {pluralize(found.changes, 'change')} {'made' if act else 'to make'}"
