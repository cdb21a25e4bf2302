"""Calls that a security tool does without, and words that do not belong into it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.abilities import REPO
from tests.lint.tree import PYTHON, C, c_code, name, parsed, text_files

C_CALLS = (
    "sprintf", "vsprintf", "strcpy", "strcat", "strtok", "gets", "alloca", "system", "popen", "tmpnam", "mktemp",
    "execlp", "execvp", "execvpe", "getpwnam", "getpwuid", "getgrnam", "getgrgid",
)  # fmt: skip
PYTHON_CALLS = {"eval", "exec", "compile", "os.system", "os.popen", "tempfile.mktemp"}
PYTHON_MODULES = {"pickle", "marshal", "shelve"}

# What each pattern finds, and why it is wrong.  The brackets keep a pattern from finding itself.
WORDS = (
    (r"\b(TO[D]O|FIX[M]E|XX[X]|HA[C]K)\b", "unfinished work is not kept in the files"),
    (r"py[e]nv|(?<![\w.<{}])/wo[r]k/", "a path of one machine"),
    (r"https?://[\w.@:-]*(py[p]i|python[h]osted|deb\.debi[a]n|regis[t]ry)", "a host of a registry"),
    (r"--(extra-)?ind[e]x-url|--find-lin[k]s|--trusted-h[o]st", "the machine's own pip settings decide"),
    (r"(?i)\biss[u]e\s*#?\d", "numbers of a tracker mean nothing to a reader"),
)


def _calls(tree: ast.AST) -> set[str]:
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


def _shell_arguments(tree: ast.AST) -> list[tuple[int, str]]:
    """Return line and value of each ``shell=`` that is given to something of subprocess."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    calls = [node for node in calls if ast.unparse(node.func).split(".")[0] in ("subprocess", "Popen", "run")]
    keywords = [keyword for node in calls for keyword in node.keywords if keyword.arg == "shell"]
    return [(keyword.value.lineno, ast.unparse(keyword.value)) for keyword in keywords]


@pytest.mark.parametrize("path", PYTHON, ids=name)
def test_python(path: Path) -> None:
    tree = parsed(path)
    assert _calls(tree) & PYTHON_CALLS == set()
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert modules & PYTHON_MODULES == set()
    assert [line for line, value in _shell_arguments(tree) if value != "False"] == [], "lines with shell="


KEY_READERS = (
    "jailssh/config/authorized.py", "jailssh/config/files.py", "jailssh/config/home_keys.py", "jailssh/config/keys.py",
    "jailssh/config/reader.py", "jailssh/jail/authorized_keys.py", "jailssh/publish/key_rings.py",
    "jailssh/setup/home_keys.py", "jailssh/users/key_removal.py", "jailssh/users/keyring.py",
)  # fmt: skip


@pytest.mark.parametrize("path", [path for path in PYTHON if name(path) in KEY_READERS], ids=name)
def test_keys_are_split_as_sshd_does(path: Path) -> None:
    # splitlines() ends a line at U+2028 and others too: what follows would be a key without what limits it.
    calls = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)]
    methods = [node for node in calls if isinstance(node.func, ast.Attribute)]
    assert [node.lineno for node in methods if ast.unparse(node.func).endswith(".splitlines")] == []
    bare = [node for node in methods if ast.unparse(node.func).endswith(".split") and not node.args]
    assert [node.lineno for node in bare] == [], "split() takes every blank of Unicode for one"


def test_every_reader_of_keys_is_there() -> None:
    assert set(KEY_READERS) <= {name(path) for path in PYTHON}


@pytest.mark.parametrize("path", C, ids=name)
def test_c(path: Path) -> None:
    calls = re.findall(rf"\b({'|'.join(C_CALLS)})\s*\(", c_code(path))
    assert calls == []


def test_words() -> None:
    found = []
    for path, text in text_files():
        for pattern, why in WORDS:
            for match in re.finditer(pattern, text):
                line = text.count("\n", 0, match.start()) + 1
                found.append(f"{name(path)}:{line}: {match[0]}: {why}")
        if f"{REPO}/" in text:
            found.append(f"{name(path)}: names the place of this very tree")
    assert found == []


@pytest.mark.parametrize(
    ("pattern", "bad"),
    [
        (WORDS[0][0], "TO" + "DO"),
        (WORDS[1][0], "x /wo" + "rk/main"),
        (WORDS[2][0], "https://py" + "pi.org/simple"),
        (WORDS[3][0], "--index" + "-url"),
        (WORDS[4][0], "issue" + " 12"),
    ],
)
def test_patterns_find(pattern: str, bad: str) -> None:
    assert re.search(pattern, bad)
