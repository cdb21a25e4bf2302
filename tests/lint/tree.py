"""The files that the house rules are about."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

from tests.abilities import REPO

SKIPPED_FOLDERS = {"build", "dist", ".git", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"}


def _walk(folder: Path) -> list[Path]:
    found = []
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            if path.name not in SKIPPED_FOLDERS and not path.name.startswith(".venv"):
                found += _walk(path)
        elif path.is_file():
            found.append(path)
    return found


FILES = _walk(REPO)


def name(path: Path) -> str:
    """Return the path as seen from the top of the tree."""
    return str(path.relative_to(REPO))


def below(*folders: str, suffix: str) -> list[Path]:
    """Return the files with this suffix below the folders; all folders when none is given."""
    inside = [path for path in FILES if path.suffix == suffix]
    return [path for path in inside if not folders or name(path).startswith(tuple(f"{folder}/" for folder in folders))]


PYTHON = below(suffix=".py")
PRODUCT_PYTHON = below("jailssh", "plugins", suffix=".py")
C = below(suffix=".c") + below(suffix=".h")
PAM_C = [path for path in C if name(path).startswith("pam/")]
LOGIN_C = [path for path in C if name(path).startswith("jailssh/login/")]
ASK_C = [path for path in C if name(path).startswith("jailssh/ask/")]
DELIVER_C = [path for path in C if name(path).startswith("jailssh/deliver/")]
RELAY_C = [path for path in C if name(path).startswith("jailssh/relay/")]


@functools.cache
def parsed(path: Path) -> ast.Module:
    """Return a Python file's syntax tree; nobody may change it."""
    return ast.parse(path.read_text())


@functools.cache
def text_files() -> list[tuple[Path, str]]:
    """Return every file that is UTF-8 text, with its text."""
    found = []
    for path in FILES:
        data = path.read_bytes()
        if b"\0" in data:
            continue
        try:
            found.append((path, data.decode()))
        except UnicodeDecodeError:
            continue
    return found


def shell_scripts() -> list[Path]:
    """Return the files that a POSIX shell or bash runs."""
    return [path for path, text in text_files() if path.suffix == ".sh" or re.match(r"#!\s*/bin/(ba)?sh\b", text)]


def is_plugin_test(path: Path) -> bool:
    """True for a test that lies beside its plugin."""
    return name(path).startswith("plugins/") and path.name.startswith("test_")


@functools.cache
def c_code(path: Path) -> str:
    """Return a C file's text with comments and the insides of strings blanked, line numbers kept."""
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    return re.sub(pattern, lambda match: '""' + "\n" * match[0].count("\n"), path.read_text(), flags=re.DOTALL)
