"""Runs pytest with the project's plugins on test files that are made for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.abilities import REPO


def run_pytest(
    folder: Path, files: dict[str, str], *arguments: str, must_run: str = "", stdin: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run pytest on ``files`` below ``folder``; without ``stdin`` its standard input is closed."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    plugins = ("-p", "tests.abilities", "-p", "tests.side_by_side", "-p", "no:cacheprovider")
    options = [*plugins, "-c", os.devnull, "--rootdir", str(folder), *arguments]
    # What xdist says to its workers is not for the one that is started here: it would take itself for one of them.
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    env |= {"JAILSSH_MUST_RUN": must_run, "GIT_DIR": "/nowhere", "LC_ALL": "C", "PYTHONPATH": str(REPO)}
    command = [sys.executable, "-m", "pytest", *options, str(folder)]
    if not stdin:
        command = ["sh", "-c", 'exec "$@" <&-', "sh", *command]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
