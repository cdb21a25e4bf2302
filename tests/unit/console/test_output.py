"""What is printed in a locale that does not have the characters, and into what takes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252", "utf-8"])
@pytest.mark.parametrize("verb", ["list", "plugins", "--help", "nosuch\u2026"])
def test_any_locale(tmp_path: Path, encoding: str, verb: str) -> None:
    root = tmp_path / "root"
    (root / "etc/jailssh/jails").mkdir(parents=True)
    (root / "etc/jailssh/jails/odd.conf").write_text(
        "summary = Pr\u00fcfung \u2026 \U0001f511\nplugins = sftp\n", "utf-8"
    )
    env = {"PATH": os.environ["PATH"], "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0",
           "PYTHONIOENCODING": encoding}  # fmt: skip
    argv: list[str | bytes] = [sys.executable, "-m", "jailssh", "--root", str(root), verb.encode()]
    done = subprocess.run(argv, env=env, cwd=SOURCE, capture_output=True, timeout=60, check=False)
    said = done.stdout + done.stderr
    assert b"Traceback" not in said
    assert b"unexpected error" not in said
    assert done.returncode == (2 if "nosuch" in verb else 0), said
    if verb == "list":
        text = {"utf-8": "Pr\u00fcfung \u2026", "latin-1": "Pr\u00fcfung \\u2026", "ascii": "Pr\\xfcfung \\u2026",
                "cp1252": "Pr\u00fcfung \u2026"}[encoding]  # fmt: skip
        assert text.encode(encoding) in done.stdout
