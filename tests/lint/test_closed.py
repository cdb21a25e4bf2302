"""Closed sets of words are types (``jailssh/core/closed.py``): a wrong word is found before the program runs."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.lint.tree import PRODUCT_PYTHON, is_plugin_test, name, parsed

PRODUCT = [path for path in PRODUCT_PYTHON if not is_plugin_test(path)]
NAMES = {
    "action", "closed", "event", "format", "how", "kind", "mode", "network", "op", "operation", "point", "right",
    "severity", "state", "type",
}  # fmt: skip
"""What says which of a few things something is."""
PLACES = {"home", "root"}
"""The same, or a path: a path may be compared with another."""
OUTSIDE = {"args"}
"""What argparse gives: its parser has refused every other word."""
OTHERS = {"jailssh/plan/ops.py"}
"""There a kind is the word for a pattern, as in ``int:0:7``."""


def _texts(node: ast.expr) -> list[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return [text for each in node.elts for text in _texts(each)]
    return []


def _word(node: ast.expr) -> str:
    """Return the name that the node goes by where it is one of a closed set."""
    if isinstance(node, ast.Attribute):
        return "" if isinstance(node.value, ast.Name) and node.value.id in OUTSIDE else node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _is_bare(subject: ast.expr, texts: list[str]) -> bool:
    word = _word(subject)
    return bool(texts) and (word in NAMES or (word in PLACES and not all(text[:1] in ("", "/") for text in texts)))


def bare_words(tree: ast.AST) -> list[int]:
    """Return the lines in which a member of a closed set is compared with a text."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            texts = [text for side in sides for text in _texts(side)]
            found += [node.lineno for side in sides if _is_bare(side, texts)]
        elif isinstance(node, ast.Match):
            values = [each.value for case in node.cases for each in ast.walk(case) if isinstance(each, ast.MatchValue)]
            found += [node.lineno] if _is_bare(node.subject, [t for value in values for t in _texts(value)]) else []
    return found


@pytest.mark.parametrize("path", PRODUCT, ids=name)
def test_no_closed_choice_is_a_bare_text(path: Path) -> None:
    found = bare_words(parsed(path))
    assert bool(found) == (name(path) in OTHERS), f"lines that compare with a text and not with a Word: {found}"


@pytest.mark.parametrize(
    ("text", "fires"),
    [
        ('entry.kind == "dir"', True),
        ('"dir" != entry.kind', True),
        ('kind in ("file", "text")', True),
        ('self.step.op not in {"plan"}', True),
        ('result.home == "rw"', True),
        ('config.root in ("live", "image")', True),
        ('match change.action:\n    case "keep" | "remove":\n        pass', True),
        ("entry.kind == EntryKind.DIR", False),
        ("entry.kind in (EntryKind.FILE, EntryKind.TEXT)", False),
        ('account.home == "/"', False),
        ('layout.root in ("", "/")', False),
        ('args.action == "check"', False),
        ('entry.path == "kind"', False),
    ],
)
def test_the_rule_sees_what_is_bare(text: str, fires: bool) -> None:
    assert bool(bare_words(ast.parse(text))) is fires
