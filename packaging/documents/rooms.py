"""rooms.py [--write]: draw the rooms of the Python code and their arrows, as ARCHITECTURE.md has them.

A room is a folder of jailssh/, what it is for the first paragraph of its docstring, an arrow an import.
With --write the drawing in ARCHITECTURE.md is replaced; without, it is printed.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
PAGE = SOURCE / "ARCHITECTURE.md"
BEGIN, END = "<!-- rooms: made by packaging/documents/rooms.py -->", "<!-- end of rooms -->"


def _rooms() -> dict[str, Path]:
    """Return the rooms with Python in them, and the plugins."""
    found = {path.parent.name: path.parent for path in sorted((SOURCE / "jailssh").glob("*/*.py"))}
    return {**found, "plugins": SOURCE / "plugins"}


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*.py")) if not path.name.startswith("test_"))


def _arrows(room: str, folder: Path, rooms: dict[str, Path]) -> set[str]:
    """Return the rooms that files of ``folder`` import from."""
    found: set[str] = set()
    for path in _files(folder):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
    parts = [name.split(".") for name in found]
    return {words[1] for words in parts if words[0] == "jailssh" and len(words) > 1 and words[1] in rooms} - {room}


def arrows() -> dict[str, set[str]]:
    """Return for each room the rooms that it imports from."""
    rooms = _rooms()
    return {room: _arrows(room, folder, rooms) for room, folder in rooms.items()}


def floors(found: dict[str, set[str]]) -> list[list[str]]:
    """Return the rooms by floor, the lowest first: each stands on all that it imports; ValueError for a circle."""
    built: list[list[str]] = []
    below: set[str] = set()
    while len(below) < len(found):
        floor = sorted(room for room, uses in found.items() if room not in below and uses <= below)
        if not floor:
            raise ValueError(f"rooms that import each other: {', '.join(sorted(set(found) - below))}")
        built.append(floor)
        below |= set(floor)
    return built


def needed(found: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return for each room the arrows that no other arrow of it implies."""
    reached: dict[str, set[str]] = {}
    for room in (room for floor in floors(found) for room in floor):
        reached[room] = found[room].union(*(reached[use] for use in found[room]))
    return {room: uses - set().union(*(reached[use] for use in uses)) for room, uses in found.items()}


def _purpose(folder: Path) -> str:
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
    first = text.split("\n\n")[0].replace("\n", " ").replace("``", "`")
    if not first:
        raise ValueError(f"{folder}/__init__.py does not say what the room is for")
    return first


def drawing() -> str:
    """Return the part of ARCHITECTURE.md between the two marks."""
    rooms, found = _rooms(), arrows()
    built = floors(found)
    width = max(len("   ".join(floor)) for floor in built)
    lines = ["```"]
    lines += [f"  {'   '.join(floor).center(width)}".rstrip() for floor in reversed(built)]
    lines += ["```", "", "| room | what it is for | stands on |", "|---|---|---|"]
    direct = needed(found)
    for room in [room for floor in built for room in floor]:
        uses = ", ".join(f"`{use}`" for floor in built for use in floor if use in direct[room]) or "nothing"
        lines.append(f"| `{room}` | {_purpose(rooms[room])} | {uses} |")
    return "\n".join(lines)


def replaced(page: str) -> str:
    """Return the text of ARCHITECTURE.md with the drawing of today."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{drawing()}\n{END}{after}"


def main(arguments: list[str]) -> None:
    """Do what the module's docstring says."""
    if arguments == ["--write"]:
        PAGE.write_text(replaced(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    elif not arguments:
        print(drawing())
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
