"""After an upgrade of the distribution: what was made for the Python of before says so, and is made anew."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from jailssh.console import main as cli
from jailssh.host.paths import INSTALL
from tests.abilities import REPO

OURS = f"python{sys.version_info[0]}.{sys.version_info[1]}"
_ROOM = ("packages-build.stamp", "venv/stamp", "dependencies.stamp", "python.stamp")
_HINT = "hint: while packages are upgraded, wait until that has ended; else: "


@pytest.mark.needs("make")
@pytest.mark.parametrize(("made_for", "anew"), [(OURS, False), ("python3.1", True)])
def test_what_was_built_with_another_python_is_built_again(tmp_path: Path, made_for: str, anew: bool) -> None:
    (tmp_path / "venv/lib" / made_for).mkdir(parents=True)
    for name in _ROOM:
        (tmp_path / name).touch()
    room, python = f"ROOM={tmp_path}", f"PYTHON={sys.executable}"
    argv = ["make", "--dry-run", "-C", str(REPO), room, python, f"{tmp_path}/python.stamp"]
    done = subprocess.run(argv, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = ("install-packages packaging", "-m venv --clear", "install --target")
    assert [words in done.stdout for words in said] == [anew] * 3


def _launcher(folder: Path, module: str, version: str = "") -> subprocess.CompletedProcess[str]:
    text = (REPO / "packaging/launcher.in").read_text()
    words = {"MODULE": module, "FUNCTION": "main", "PYTHON_FILES": ".", "PYTHON_VERSION": version, "INSTALL": INSTALL}
    for name, word in words.items():
        text = text.replace(f"@{name}@", word)
    (folder / "launcher").write_text(text)
    return subprocess.run([sys.executable, folder / "launcher"], capture_output=True, text=True, check=False)


def test_the_launcher_names_the_python_that_it_was_installed_for(tmp_path: Path) -> None:
    done = _launcher(tmp_path, "jailssh", "3.1")
    assert (done.returncode, done.stderr.splitlines()) == (4, [
        "jailssh: /usr/bin/python3: jailssh was installed for Python 3.1",
        "hint: run make install again after an upgrade of the distribution",
    ])  # fmt: skip


def test_files_that_are_just_being_replaced_are_no_bug_of_ours(tmp_path: Path) -> None:
    done = _launcher(tmp_path, "no_such_module")
    assert (done.returncode, done.stderr.splitlines()) == (4, [
        "jailssh: /usr/bin/python3: No module named 'no_such_module'", f"{_HINT}{INSTALL}",
    ])  # fmt: skip


def test_nor_are_a_verbs_own(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "jailssh.queries.list", None)
    assert cli.main(["list"]) == 4
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith(f"jailssh: {sys.executable}: ")
    assert said[1:] == [f"{_HINT}{INSTALL}"]
