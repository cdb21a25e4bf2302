"""What a plugin gives us, looked at before it is used: a mistake in one must be said as that, and stay in its jail."""

from __future__ import annotations

import dataclasses
import traceback
import types
import typing
from collections.abc import Callable
from functools import cache
from operator import attrgetter

from jailssh.core.errors import ConfigError
from jailssh.core.names import escape


def type_mismatch(value: object, kind: object, where: str = "") -> str:
    """Return where ``value`` is not what the annotation ``kind`` says (``rules[0].letters is int``), "" if it is.

    ``kind`` is a plain type, a dataclass, a tuple, or a union of these.
    """
    return "" if _fits(kind)(value) else _misfit(value, kind, where)


@cache
def _fits(kind: object) -> Callable[[object], bool]:
    """Return what tells, without a word, whether a value is of ``kind``: nearly all are, and there are many."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        ways = tuple(map(_fits, parts))
        return lambda value: any(fits(value) for fits in ways)
    if origin is tuple and len(parts) == 2 and parts[1] is Ellipsis:
        if _is_plain(parts[0]):
            only = {parts[0]}
            return lambda value: type(value) is tuple and only.issuperset(map(type, value))
        each = _fits(parts[0])
        return lambda value: type(value) is tuple and all(map(each, value))
    if origin is tuple:
        places = tuple(map(_fits, parts))
        return lambda value: (
            type(value) is tuple
            and len(value) == len(places)
            and all(fits(part) for fits, part in zip(places, value, strict=True))
        )
    if not dataclasses.is_dataclass(kind):
        return lambda value: type(value) is kind
    rows = _fields(typing.cast(type, kind))
    plain = [(name, each) for name, each in rows if _is_plain(each)]
    fields = tuple((attrgetter(name), _fits(each)) for name, each in rows if not _is_plain(each))
    kinds = [each for _, each in plain]
    # One name alone is got as it is, not as a tuple.
    get = attrgetter(*(name for name, _ in plain)) if len(plain) > 1 else None
    if get is None:
        fields = tuple((attrgetter(name), _fits(each)) for name, each in rows)
    return lambda value: (
        type(value) is kind
        and (get is None or [*map(type, get(value))] == kinds)
        and all(fits(field(value)) for field, fits in fields)
    )


def _is_plain(kind: object) -> bool:
    return typing.get_origin(kind) is None and not dataclasses.is_dataclass(kind)


def _misfit(value: object, kind: object, where: str) -> str:
    """Return the first fault, "" where there is none."""
    origin = typing.get_origin(kind)
    if origin is tuple:
        return _tuple_misfit(value, typing.get_args(kind), where)
    if origin in (typing.Union, types.UnionType):
        faults = [_misfit(value, each, where) for each in typing.get_args(kind)]
        return "" if "" in faults else faults[0]
    if type(value) is not kind:
        return f"{where or 'result'} is {type(value).__name__}, not {getattr(kind, '__name__', kind)}"
    if dataclasses.is_dataclass(kind):
        for name, each in _fields(kind):
            if fault := _misfit(getattr(value, name), each, f"{where}.{name}".lstrip(".")):
                return fault
    return ""


def _tuple_misfit(value: object, kinds: tuple[object, ...], where: str) -> str:
    if type(value) is not tuple:
        return f"{where or 'result'} is {type(value).__name__}, not tuple"
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(kinds) != len(value):
        return f"{where or 'result'} has {len(value)} parts, not {len(kinds)}"
    faults = (_misfit(each, kind, f"{where}[{at}]") for at, (each, kind) in enumerate(zip(value, kinds, strict=True)))
    return next(filter(None, faults), "")


@cache
def _fields(kind: type) -> tuple[tuple[str, object], ...]:
    hints = typing.get_type_hints(kind)
    return tuple((each.name, hints[each.name]) for each in dataclasses.fields(kind))


def raised(plugin: str, error: BaseException) -> ConfigError:
    """Return the error for an exception that came out of a plugin: its kind, its text, where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    why = f"raised {described(error)}"
    return ConfigError(f"plugin {plugin}", why, hint=f"the plugin is at fault{place}: correct it, or do not use it")


def described(error: BaseException) -> str:
    """Return an exception as one short line."""
    try:
        text = str(error)
    except Exception:  # a third party's class may raise anything, even here
        text = ""
    return escape(f"{type(error).__name__}: {text}" if text else type(error).__name__, 300)
