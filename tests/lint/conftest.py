"""``pytest tests/lint --file PATH``: the rules for these files alone, in a second or two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--file``, which may be given several times."""
    parser.addoption("--file", action="append", default=[], metavar="PATH", help="only what is said of this file")


def _wanted(config: pytest.Config) -> tuple[Path, ...]:
    return tuple(Path(name).resolve() for name in config.getoption("--file", default=None) or ())


def _path(item: pytest.Item) -> Any:
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("path") if callspec else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is about other files, or about the whole tree."""
    wanted = set(_wanted(config))
    if not wanted:
        return
    unknown = wanted - {_path(item) for item in items}
    if unknown:
        raise pytest.UsageError(f"no rule is about {', '.join(sorted(map(str, unknown)))}")
    kept = [item for item in items if _path(item) in wanted or "wanted" in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=list(set(items) - set(kept)))
    items[:] = kept


@pytest.fixture
def wanted(request: pytest.FixtureRequest) -> tuple[Path, ...]:
    """The files that were asked for; none where all are."""
    return _wanted(request.config)


@pytest.fixture
def chosen(request: pytest.FixtureRequest) -> tuple[Path, ...]:
    """The files that the test is run for: a tool is started once for all of them."""
    mine = [item for item in request.session.items if getattr(item, "function", None) is request.function]
    return tuple(dict.fromkeys(_path(item) for item in mine))
