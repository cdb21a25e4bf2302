"""Reading specs from memory, for tests."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

import pytest

from jailssh.core.errors import JailsshError, ManyErrors
from jailssh.jailspec.errors import SpecError
from jailssh.jailspec.load import Source, SourceKind
from jailssh.jailspec.merge import Spec, read_spec
from tests.abilities import REPO

SCENARIOS = REPO / "tests" / "scenarios"


def scenario(name: str) -> bytes:
    return (SCENARIOS / f"{name}.jailspec").read_bytes()


def read(
    files: Mapping[str, bytes | str],
    *names: str,
    links: Mapping[str, str] | None = None,
    ini: str | None = None,
    sections: tuple[str, ...] = (),
    **options: object,
) -> Spec:
    """Read ``names`` (default: all) of ``files`` and then ``sections``; ``links`` are symbolic links between files."""

    def content(path: str) -> bytes:
        data = files.get(real(path))
        if data is None:
            raise FileNotFoundError(2, "No such file or directory")
        return data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data

    def real(path: str) -> str:
        return (links or {}).get(posixpath.normpath(path), posixpath.normpath(path))

    listed = names or (() if sections else tuple(files))
    sources = [Source(SourceKind.FILE, name) for name in listed] + [
        Source(SourceKind.SECTION, name) for name in sections
    ]
    return read_spec(sources, content, real=real, jk_init=ini, **options)  # type: ignore[arg-type]


def spec(text: bytes | str, **options: object) -> Spec:
    """Read one file, ``t.jailspec``."""
    return read({"t.jailspec": text}, **options)  # type: ignore[arg-type]


def errors(text: bytes | str, **options: object) -> list[SpecError]:
    """Return the errors of one file, which must have some."""
    with pytest.raises(JailsshError) as caught:
        spec(text, **options)
    found = caught.value.errors if isinstance(caught.value, ManyErrors) else [caught.value]
    assert all(isinstance(error, SpecError) for error in found)
    return [error for error in found if isinstance(error, SpecError)]


def notes(found: Spec) -> list[str]:
    return [str(note) for note in found.notes]
