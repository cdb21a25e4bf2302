"""Messages, help texts and notes are plain: what a machine can see of that.

The rooms whose texts have been read by these rules are listed; a room is added when its texts have been.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.lint.tree import PRODUCT_PYTHON, name

ROOMS = (
    "change", "cli", "config", "console", "core", "daemon", "diagnose", "doctor", "files", "fleet", "host", "image",
    "jail", "plan", "plugin", "policy", "publish", "scratch", "selfservice", "services", "upkeep", "users", "webhooks",
)  # fmt: skip

# What each pattern finds, and what is said instead.
PHRASES = (
    (r"\bany ?more\b", "no longer"),
    (r"\b(is|are|was|were) (no|none)\b(?! longer\b)", "negate the verb: is not, does not exist"),
    (r"\bthere (is|are|was|were)\b", "subject first: X does not exist, no X"),
    (r"\b(has|have) (none|neither)\b", "negate the verb"),
    (r"\b(could|would) not be\b", "present tense: cannot"),
    (r"\b(would be|has to|have to)\b", "present tense: is, must"),
    (r"\blets? (in|go|nobody|somebody|anybody|everybody|whoever|it in|them in)\b", "keys authorize, accounts log in"),
    (r"\b(knows?|speaks?|stands?|wants?|likes)\b(?!-)", "things do not act as people do: contains, reports"),
    (r"\btaken? (away|back|out)\b", "removed, rolled back"),
    (r"\bmay be repeated\b", "repeatable"),
    (r"\b([Pp]lease|[Ss]orry|Hi)\b", "say what to do, without politeness"),
    (r"\w!(\s|$)", "no exclamation"),
)  # fmt: skip
OPENINGS = re.compile(r"(it|its|what|who|whoever|something|somebody|nobody|there)\b")
"""A line of a log is read alone: it says first what it is about."""


def _text(node: ast.expr) -> str:
    """Return a string's text, "{}" where a value is put in, "" for what is no string."""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    if isinstance(node, ast.IfExp):
        return _text(node.body)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def texts(tree: ast.Module) -> list[tuple[int, str]]:
    """Return line and text of each string with several words that is no docstring."""
    silent = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            silent.update(id(part) for part in node.values)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("AssertionError", "re.compile"):
            silent.update(id(argument) for argument in node.args)
    strings = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr | ast.Constant)]
    found = [(node.lineno, _text(node)) for node in strings if id(node) not in silent]
    return [(line, text) for line, text in found if " " in text.strip()]


def reasons(tree: ast.Module) -> list[tuple[int, str]]:
    """Return line and text of the cause in each error that is made: the second argument."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and len(node.args) == 2]
    made = [node for node in calls if re.fullmatch(r"[A-Z]\w*Error", ast.unparse(node.func))]
    return [(node.lineno, text) for node in made if (text := _text(node.args[1]))]


def helps(tree: ast.Module) -> list[tuple[int, str]]:
    """Return line and text of each ``help=``."""
    words = [word for node in ast.walk(tree) if isinstance(node, ast.Call) for word in node.keywords]
    return [(word.value.lineno, text) for word in words if word.arg == "help" and (text := _text(word.value))]


def findings(source: str) -> list[str]:
    """Return what is wrong with the texts of a module, each with its line."""
    tree = ast.parse(source)
    found = []
    for line, text in texts(tree):
        found += [f"{line}: {text!r}: {cure}" for pattern, cure in PHRASES if re.search(pattern, text)]
    for line, text in [*reasons(tree), *helps(tree)]:
        if text.endswith("."):
            found.append(f"{line}: {text!r}: no full stop at the end")
        if re.match(r"[A-Z][a-z]+ [a-z]", text):
            found.append(f"{line}: {text!r}: begins with a small letter")
    for line, text in reasons(tree):
        if OPENINGS.match(text):
            found.append(f"{line}: {text!r}: begin with what it is about")
    return found


@pytest.mark.parametrize("path", [path for path in PRODUCT_PYTHON if path.parent.name in ROOMS], ids=name)
def test_texts(path: Path) -> None:
    assert findings(path.read_text()) == []


def test_the_rooms_exist() -> None:
    assert set(ROOMS) <= {path.parent.name for path in PRODUCT_PYTHON if name(path).startswith("jailssh/")}


@pytest.mark.parametrize(
    "text",
    [
        "keys that do not log in any more", "{path} is no directory", "there is no such account",
        "it has neither key nor password", "{path} could not be opened", "mode would be 0755", "please try again",
        "the drop-in has to be read", "nothing lets it in", "the daemon knows no uid", "a group; may be repeated",
        "what was begun was taken back", "all done!",
    ],
)  # fmt: skip
def test_a_phrase_is_found(text: str) -> None:
    assert findings(f"print(f{text!r})") != []
    assert findings(f"def act():\n    {text!r}") == [], "a docstring is for who reads the code"


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("is not a directory.", "full stop"),
        ("Cannot open it", "small letter"),
        ("it has two names", "what it is about"),
        ("something is mounted", "what it is about"),
    ],
)
def test_a_cause_in_another_form_is_found(text: str, cure: str) -> None:
    assert [each for each in findings(f"raise UsageError('x', {text!r})") if cure in each] != []
    assert findings("raise UsageError('x', 'is not a directory', hint='jailssh setup')") == []


def test_a_help_with_a_full_stop_is_found() -> None:
    assert findings("parser.add_argument('--x', help='size in bytes.')") != []
    assert findings("parser.add_argument('--x', help='size in bytes (default 5)')") == []
