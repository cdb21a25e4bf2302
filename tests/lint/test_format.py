"""Formats, types and the linters' findings, in the versions of packaging/requirements-test.txt."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

import pytest

from tests.abilities import REPO
from tests.lint.tree import PRODUCT_PYTHON, PYTHON, C, below, is_plugin_test, name, shell_scripts

TOOLS = Path(sys.executable).parent
PACKAGING = ("packaging/install.py", "packaging/metadata.py")


def _run(tool: str, *arguments: str) -> tuple[int, str]:
    """Return how a tool ended, and what it said."""
    program = TOOLS / tool
    # Outside the private environment the tool is looked up in PATH.
    command = [str(program) if program.exists() else tool, *arguments]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def _passes(tool: str, *arguments: str) -> None:
    code, said = _run(tool, *arguments)
    if code != 0:
        pytest.fail(f"{tool} {' '.join(arguments[:3])}\n{said}", pytrace=False)


def _among(wanted: tuple[Path, ...], files: list[Path], all_of_them: tuple[str, ...]) -> tuple[str, ...]:
    """Return what a tool is to look at: all, or what is wanted if the tool is about it."""
    found = tuple(name(path) for path in wanted if path in files)
    if wanted and not found:
        pytest.skip("not about these files")
    return found or all_of_them


@pytest.mark.needs("ruff")
def test_ruff_check(wanted: tuple[Path, ...]) -> None:
    _passes("ruff", "check", "--no-cache", *_among(wanted, PYTHON, (".",)))


@pytest.mark.needs("ruff")
def test_ruff_format(wanted: tuple[Path, ...]) -> None:
    _passes("ruff", "format", "--no-cache", "--check", "--diff", *_among(wanted, PYTHON, (".",)))


@pytest.mark.needs("mypy")
def test_mypy_product(wanted: tuple[Path, ...]) -> None:
    product = [path for path in PRODUCT_PYTHON if not is_plugin_test(path)]
    _passes("mypy", "--no-error-summary", *_among(wanted, product, ()))


@pytest.mark.needs("mypy")
def test_mypy_tests(wanted: tuple[Path, ...]) -> None:
    product = {path for path in PRODUCT_PYTHON if not is_plugin_test(path)} | set(below("packaging", suffix=".py"))
    files = [path for path in PYTHON if path not in product]
    _passes("mypy", "--explicit-package-bases", "--no-error-summary", *_among(wanted, files, tuple(map(name, files))))


@pytest.mark.needs("mypy")
def test_mypy_packaging(wanted: tuple[Path, ...]) -> None:
    documents = [name(path) for path in PYTHON if name(path).startswith("packaging/documents/")]
    assert documents
    files = [REPO / path for path in (*PACKAGING, *documents)]
    _passes("mypy", "--strict", "--no-error-summary", *_among(wanted, files, (*PACKAGING, *documents)))


@functools.cache
def _said(paths: tuple[Path, ...], tool: str, *arguments: str) -> str:
    """Run a tool once for all files; return what it says if it finds something."""
    code, said = _run(tool, *arguments, *map(name, paths))
    return f"{tool} ended with {code}\n{said}" if code else ""


def _judge(path: Path, paths: tuple[Path, ...], tool: str, *arguments: str) -> None:
    """Fail with the tool's lines about ``path``, or with all that it says where they name none of the files."""
    lines = _said(paths, tool, *arguments).splitlines()
    names = {name(one): [line for line in lines if line.startswith(f"{name(one)}:")] for one in paths}
    found = names[name(path)] if any(names.values()) else lines
    if found:
        pytest.fail("\n".join(found), pytrace=False)


@pytest.mark.needs("clang-format")
@pytest.mark.parametrize("path", C, ids=name)
def test_clang_format(path: Path, chosen: tuple[Path, ...]) -> None:
    _judge(path, chosen, "clang-format", "--dry-run", "-Werror")


@pytest.mark.needs("shellcheck")
@pytest.mark.parametrize("path", shell_scripts(), ids=name)
def test_shellcheck(path: Path, chosen: tuple[Path, ...]) -> None:
    _judge(path, chosen, "shellcheck", "--format=gcc")


@pytest.mark.needs("clang-format", "shellcheck")
def test_what_is_found_is_said_of_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".clang-format").write_text((REPO / ".clang-format").read_text())
    monkeypatch.setattr(sys.modules[__name__], "REPO", tmp_path)
    monkeypatch.setattr(sys.modules[__name__], "name", lambda path: path.name)
    texts = {"bad.c": "int  a;\n", "good.c": "int a;\n", "bad.sh": "#!/bin/sh\necho $1\n", "good.sh": "#!/bin/sh\n"}
    for file, text in texts.items():
        (tmp_path / file).write_text(text)
    for suffix, tool in ((".c", ("clang-format", "--dry-run", "-Werror")), (".sh", ("shellcheck", "--format=gcc"))):
        paths = tuple(tmp_path / file for file in texts if file.endswith(suffix))
        _judge(tmp_path / f"good{suffix}", paths, *tool)
        with pytest.raises(pytest.fail.Exception, match=f"^bad.{suffix[1:]}:"):
            _judge(tmp_path / f"bad{suffix}", paths, *tool)


@pytest.mark.slow
@pytest.mark.needs("login-program", "clang")
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_no_warning(compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", compiler)
    _passes("meson", "setup", "--werror", str(tmp_path), str(REPO))
    _passes("ninja", "-C", str(tmp_path))


@pytest.mark.slow
@pytest.mark.needs("mypy")
@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        ("dir_entry(host, 'x')", "JailPath"),
        ("Sources().find(jail)", "HostPath"),
        ("below(jail, jail)", "HostPath"),
        ("below(host, host)", "JailPath"),
    ],
)
def test_mypy_tells_a_path_of_the_host_from_one_of_a_jail(call: str, wanted: str, tmp_path: Path) -> None:
    text = (
        "from jailssh.closure.manifest import dir_entry\nfrom jailssh.closure.sources import Sources\n"
        "from jailssh.core.names import HostPath, JailPath, below\nhost, jail = HostPath('/'), JailPath('/')\n"
    )
    (tmp_path / "mixed.py").write_text(f"{text}{call}\n")
    code, said = _run("mypy", "--no-error-summary", str(tmp_path / "mixed.py"))
    assert code == 1
    assert said.count("error:") == 1
    assert f'expected "{wanted}"' in said
