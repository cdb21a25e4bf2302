"""The drawing of the rooms in ARCHITECTURE.md is that of the code, and links between documents lead somewhere."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.abilities import REPO
from tests.lint.tree import below, name

SCRIPT = REPO / "packaging/documents/rooms.py"
DOCUMENTS = below(suffix=".md")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#([^)\s]+))?\)")


@pytest.fixture(scope="module")
def rooms() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rooms", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_drawing_is_that_of_the_code(rooms: ModuleType) -> None:
    page = (REPO / "ARCHITECTURE.md").read_text()
    assert rooms.replaced(page) == page, "run: python3 packaging/documents/rooms.py --write"


def test_every_room_is_drawn_and_arrows_go_down(rooms: ModuleType) -> None:
    arrows = rooms.arrows()
    folders = {path.parent.name for path in (REPO / "jailssh").glob("*/*.py")}
    assert set(arrows) == folders | {"plugins"}
    place = {room: number for number, floor in enumerate(rooms.floors(arrows)) for room in floor}
    assert all(place[use] < place[room] for room, uses in arrows.items() for use in uses)
    assert arrows["core"] == set()
    assert "core" in arrows["cli"]


def test_a_circle_is_not_drawn(rooms: ModuleType) -> None:
    with pytest.raises(ValueError, match="import each other: a, b"):
        rooms.floors({"a": {"b"}, "b": {"a"}, "c": set()})


def _anchors(path: Path) -> set[str]:
    heads = re.findall(r"^#+ (.*)", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_links_lead_somewhere(path: Path) -> None:
    wrong = []
    for target, anchor in LINK.findall(path.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        there = path.parent / target
        if not there.exists() or (anchor and anchor not in _anchors(there)):
            wrong.append(f"{target}#{anchor}")
    assert wrong == []


def test_every_document_is_linked() -> None:
    # From README.md on; a page that nobody finds is written for nobody.
    seen, ahead = set(), [REPO / "README.md"]
    while ahead:
        path = ahead.pop()
        if path in seen or path.suffix != ".md":
            continue
        seen.add(path)
        targets = [target for target, _ in LINK.findall(path.read_text()) if not re.match(r"[a-z]+:", target)]
        ahead += [(path.parent / target).resolve() for target in targets]
    apart = {"tests/scenarios/README.md"}
    assert {name(path) for path in DOCUMENTS if path not in seen} - apart == set()
