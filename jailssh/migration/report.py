"""An inventory for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from jailssh.core.names import escape, pluralize
from jailssh.host.paths import Layout
from jailssh.migration.inventory import Inventory
from jailssh.sources.found import Effect, Fate, Found

_MOST_LINES = 20
_ORDER = (Effect.LOST, Effect.CHANGED, Effect.CLOSED, Effect.NOTE)


def facts(inventory: Inventory, layout: Layout) -> dict[str, Any]:
    """Return the inventory as JSON has it."""
    plan, folder = inventory.wanted, layout.jails
    rows = [*plan.found, *plan.left]
    return {
        "accounts": [
            {
                **_row(each, plan.jails.get(each.account, "") if each in plan.found else ""),
                "passwd": {name: list(both) for name, both in _passwd(inventory, each, layout).items()},
            }
            for each in rows
        ],
        "files": {**{f"{folder}/{name}.conf": text for name, text in plan.texts.items()}, **plan.files},
        "elsewhere": [
            {"service": each.service, "where": each.where, "path": each.path, "account": each.account}
            for each in inventory.elsewhere
        ],
        "errors": [str(error) for error in inventory.errors],
    }


def _row(found: Found, jail: str) -> dict[str, Any]:
    return {
        "account": found.account,
        "source": found.source,
        "where": found.where,
        "fate": Fate.MIGRATE if jail else Fate.LEAVE if found.fate == Fate.MIGRATE else found.fate,
        "jail": jail,
        "home": found.home,
        "home_in_jail": found.inside,
        "settings": dict(found.own),
        "keys": [key.fingerprint() for key in found.keys],
        "named_keys": {name: [key.fingerprint() for key in keys] for name, keys in found.named.items()},
        "uses": list(found.uses),
        "remarks": [{"effect": each.effect, "where": each.where, "text": each.text} for each in found.remarks],
    }


def _passwd(inventory: Inventory, found: Found, layout: Layout) -> dict[str, tuple[str, str]]:
    """Return what becomes another in the account's line of /etc/passwd: what it is and what it will be, by field."""
    person = inventory.now.get(found.account)
    if person is None or found not in inventory.wanted.found:
        return {}
    fields = {"home": (person.home, found.home or person.home), "shell": (person.shell, layout.login_program)}
    return {name: (old, new) for name, (old, new) in fields.items() if old != new}


def lines(inventory: Inventory, layout: Layout) -> Iterator[str]:
    """Yield the inventory in lines: by account, what is the same for many told once; then files and what is beside."""
    plan, folder = inventory.wanted, layout.jails
    if not plan.found and not plan.left:
        yield "nothing found that another program confines"
    for source in dict.fromkeys(each.source for each in plan.found):
        mine = [each for each in plan.found if each.source == source]
        jails = sorted({plan.jails[each.account] for each in mine})
        yield f"{source}: {pluralize(len(mine), 'account')} into {pluralize(len(jails), 'jail')} ({', '.join(jails)})"
        for each in mine:
            yield f"  {each.account}: {_now(each)} -> jail {plan.jails[each.account]}{_own(each)}"
            for name, (old, new) in _passwd(inventory, each, layout).items():
                yield f"    /etc/passwd: {name} {escape(old, 200)} -> {escape(new, 200)}"
        yield from _remarks(mine)
    if plan.left:
        yield f"left as they are: {pluralize(len(plan.left), 'account')}"
        for each in plan.left:
            why = "; ".join(remark.text for remark in each.remarks) or "see its source"
            told = "refused today, " if each.fate == Fate.REFUSED else ""
            yield f"  {each.account} ({each.source}, {each.where}): {told}{escape(why, 400)}"
    for path, text in {**{f"{folder}/{name}.conf": text for name, text in plan.texts.items()}, **plan.files}.items():
        yield f"new file {path}:"
        shown = text.splitlines()
        yield from (f"  {escape(line, 200)}" for line in shown[:_MOST_LINES])
        if len(shown) > _MOST_LINES:
            yield f"  and {pluralize(len(shown) - _MOST_LINES, 'more line')}"
    if inventory.elsewhere:
        yield "also names a home or a shell of these accounts, and is not changed:"
        for one in inventory.elsewhere:
            yield f"  {one.service}: {one.where}: {one.path}" + (f" ({one.account})" if one.account else "")


def _now(found: Found) -> str:
    return found.where


def _own(found: Found) -> str:
    parts = [f"shown at {found.inside}"] if found.inside else []
    parts += [f"{key} = {value}" for key, value in found.own.items()]
    parts += [pluralize(len(found.keys), "key")] if found.keys else []
    parts += [pluralize(len(found.named), "named key")] if found.named else []
    return f"; {', '.join(parts)}" if parts else ""


def _remarks(found: Sequence[Found]) -> Iterator[str]:
    """Yield what differs, each text once with those it is about and the place of the first."""
    who: dict[tuple[Effect, str], dict[str, str]] = {}
    for each in found:
        for remark in each.remarks:
            who.setdefault((remark.effect, remark.text), {}).setdefault(each.account, remark.where)
    for effect in _ORDER:
        for (kind, text), places in who.items():
            if kind == effect:
                names = list(places)
                about = "all" if len(names) == len(found) > 1 else ", ".join(names[:5])
                about += f" and {len(names) - 5} more" if about != "all" and len(names) > 5 else ""
                where = places[names[0]]
                yield f"  {effect}: {escape(text, 400)} ({about if where in names else f'{where}; {about}'})"
