"""Helpers of the tests of sources that a login shell makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from jailssh.core.errors import JailsshError
from jailssh.sources.found import Effect, Found, Person, Source
from tests.unit.source_tools import AHost

KIM = Person("kim", 1001, 1001, group="kim", home="/home/kim", shell="/bin/bash", groups=("kim", "users"))
HOSTILE = ("", "\n", "\0", "\udcff\udcfe\n", "\ufeff", "x" * (1 << 20), "\r\n", "[", "<", "<User", "'\"\n", "= = =\n",
           "\\\n", "user\n", "[default]\nallowed: __import__('os')\n", "rush 2.0\nrule a\n  match (((\n")  # fmt: skip
"""Files, or beginnings of files, that no program would write."""


def one(
    source: object, shell: str, files: Mapping[str, str] | None = None, *, home: str = "/home/kim",
    dirs: Mapping[str, tuple[int, int, int]] | None = None, settings: Mapping[str, Mapping[str, str]] | None = None,
    person: Person = KIM,
) -> Found:  # fmt: skip
    """Return what a source finds of an account with this shell."""
    kim = replace(person, shell=shell, home=home)
    host = AHost([kim, replace(KIM, name="other", uid=1002)], files or {}, dirs or {}, settings=settings or {})
    every = [found for found in cast("Source", source).find(host) if found.account == "kim"]
    assert len(every) == 1
    return every[0]


def texts(found: Found, *effects: Effect) -> str:
    """Return the remarks with these effects, or all, with their places."""
    return "\n".join(f"{each.where} {each.text}" for each in found.remarks if not effects or each.effect in effects)


def survives(source: object, shell: str, path: str, good: str) -> None:
    """Check that no damage to a file makes a traceback, and that none gives more than the file as it was."""
    whole = one(source, shell, {path: good})
    for text in HOSTILE:
        for file in (text, good + text, text + good):
            try:
                found = one(source, shell, {path: file})
            except JailsshError as error:
                assert path in error.what, error
                continue
            given = str(found.settings.get("", {}).get("plugins", "")).split()
            assert set(given) <= set(str(whole.settings[""]["plugins"]).split()), (file[:80], found)
            assert all(each.text.isprintable() and len(each.text) < 2000 for each in found.remarks), found.remarks
