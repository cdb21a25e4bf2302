"""The release script, on a clone: what it refuses, tags and packs; what the forge and the hooks of commits run."""

from __future__ import annotations

import os
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

import jailssh
from tests.abilities import REPO
from tests.lint.tree import text_files

VERSION = jailssh.__version__
pytestmark = pytest.mark.needs("git")


def git(clone: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=tester", "-c", "user.email=tester@example.org", "-c", "commit.gpgSign=false")
    return subprocess.run(["git", *identity, *arguments], cwd=clone, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository of this tree's files, ready to be released."""
    clone = tmp_path / "clone"
    for path, text in text_files():
        target = clone / path.relative_to(REPO)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(path.stat().st_mode)
    change_log = clone / "CHANGELOG.md"
    head = re.compile(rf"^## \[{re.escape(VERSION)}\].*$", re.MULTILINE)
    change_log.write_text(head.sub(f"## [{VERSION}] - 2026-12-01", change_log.read_text()))
    git(clone.parent, "init", "--quiet", "--initial-branch=main", str(clone))
    git(clone, "config", "user.name", "tester")
    git(clone, "config", "user.email", "tester@example.org")
    git(clone, "add", ".")
    git(clone, "commit", "--quiet", "-m", "all")
    return clone


def release(clone: Path, *arguments: str, check: str = "true") -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "RELEASE_CHECK": check}
    command = [str(clone / "packaging/release"), *arguments]
    return subprocess.run(command, cwd=clone, env=env, capture_output=True, text=True, timeout=60)


def test_released(clone: Path) -> None:
    done = release(clone, VERSION)
    assert (done.returncode, done.stderr) == (0, "")
    assert git(clone, "cat-file", "-t", f"v{VERSION}") == "tag\n"
    said = git(clone, "tag", "--list", "--format=%(contents)", f"v{VERSION}")
    assert "- The login program" in said
    assert "## [" not in said
    archive = clone / f"build/jailssh-{VERSION}.tar.gz"
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert set(git(clone, "ls-files", "-z").split("\0")) <= names
    listed = subprocess.run(["sha256sum", "-c", f"{archive.name}.sha256"], cwd=archive.parent, capture_output=True)
    assert listed.returncode == 0
    again = release(clone, VERSION)
    assert (again.returncode, again.stderr) == (1, f"release: tag v{VERSION} exists\n")


def spoil(clone: Path, name: str, old: str, new: str) -> None:
    path = clone / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    git(clone, "commit", "--quiet", "-am", "spoilt")


def test_what_is_refused(clone: Path) -> None:
    assert "is not a version" in release(clone, "1.0").stderr
    assert "does not say 9.9.9" in release(clone, "9.9.9").stderr
    assert release(clone, VERSION, check="false").returncode == 1
    assert "the tests have changed files" in release(clone, VERSION, check="touch made-by-a-test").stderr
    assert "not committed" in release(clone, VERSION).stderr
    (clone / "made-by-a-test").unlink()
    spoil(clone, "CHANGELOG.md", f"## [{VERSION}] - 2026-12-01", f"## [{VERSION}] - unreleased")
    assert "no dated section" in release(clone, VERSION).stderr
    spoil(clone, "meson.build", f"version: '{VERSION}'", "version: '0.0.9'")
    assert "meson.build does not say" in release(clone, VERSION).stderr
    git(clone, "switch", "--quiet", "-c", "other")
    assert "not on branch main" in release(clone, VERSION).stderr
    assert git(clone, "tag") == ""


def test_the_change_log_knows_this_version() -> None:
    heads = re.findall(r"^## \[([^\]]+)\]", (REPO / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heads[0] == "Unreleased"
    assert heads[1] == VERSION
    sections = re.findall(r"^### (\w+)$", (REPO / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert set(sections) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_forge_runs_what_everybody_runs() -> None:
    workflow = (REPO / ".github/workflows/ci.yml").read_text()
    assert re.findall(r"^      - run: (\S+)$", workflow, re.MULTILINE) == [".ci/run"]
    assert os.access(REPO / ".ci/run", os.X_OK)


def test_hooks_name_programs_that_are_there() -> None:
    entries = re.findall(r"^        entry: (\S+)", (REPO / ".pre-commit-config.yaml").read_text(), re.MULTILINE)
    tools = {Path(entry).name for entry in entries}
    assert tools == {"ruff", "clang-format", "shellcheck", "python"}
    required = (REPO / "packaging/requirements-test.txt").read_text()
    assert all(tool in required for tool in tools - {"python", "shellcheck"})
    assert "shellcheck" in required
