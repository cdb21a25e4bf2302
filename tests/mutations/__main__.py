"""Make every mutation in a copy of the repository, run the nearest tests, and tell which of them nobody has seen.

    python -m tests.mutations [WORD...]      only those whose name has one of the words

The word "refusals" means that each refusal of the login program is left out by itself.

Before, the same tests run on the copy as it is, and must pass.  Exits with 1 where a mutation survived.  All of them
take some 20 minutes on two idle cores; what is copied and built lies in a directory of its own and goes at the end.
"""

from __future__ import annotations

import ast
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.abilities import REPO
from tests.mutations.musts import MUSTS
from tests.mutations.pam import MODULE
from tests.mutations.python import RULES
from tests.mutations.table import REFUSALS, Mutation, MutationError

_PATIENCE = 120  # seconds for the tests of one mutation: who waits for ever has been seen to fail
_MUCH_PATIENCE = 3600  # for all of them as they are
_NOT_COPIED = shutil.ignore_patterns("build", ".git", "__pycache__", ".*_cache", ".hypothesis")
_ALL_PASSED, _SOME_FAILED = 0, 1
OMISSIONS = "tests/mutations/omissions.py"


def _environment(copy: Path) -> dict[str, str]:
    # No compiled Python: it is known by the second and the size, which a mutation may leave as they are.
    return {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "JAILSSH_MUST_RUN": "all"}


def _build(copy: Path) -> str:
    """Compile the C programs; return why that failed, or ""."""
    done = subprocess.run(["ninja", "-C", copy / "build/meson"], capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout


def _test(copy: Path, tests: tuple[str, ...], patience: int = _PATIENCE) -> tuple[int, str]:
    """Run tests in the copy; return pytest's exit code, that of a failure where they did not end, and its output."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command, cwd=copy, env=_environment(copy), capture_output=True, text=True, timeout=patience
        )
    except subprocess.TimeoutExpired:
        return _SOME_FAILED, "they did not end"
    return done.returncode, done.stdout + done.stderr


def _try(copy: Path, mutation: Mutation) -> str:
    """Make a mutation, run its tests, take it back; return "caught", "SURVIVED", or what is wrong with it."""
    file, text = mutation.find(copy)
    before = file.read_text()
    file.write_text(text)
    try:
        if file.suffix == ".py":
            ast.parse(text)
        elif why := _build(copy):
            return f"does not compile:\n{why}"
        code, said = _test(copy, mutation.tests)
    finally:
        file.write_text(before)
    return {_ALL_PASSED: "SURVIVED", _SOME_FAILED: "caught"}.get(code) or f"the tests could not run:\n{said}"


def _leave_refusals_out(copy: Path) -> list[str]:
    """Leave each refusal out by itself; return the names of those that nobody missed."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=line", OMISSIONS]
    done = subprocess.run(command, cwd=copy, env=_environment(copy), capture_output=True, text=True)
    print(done.stdout, flush=True)
    left = [line.removeprefix("FAILED ") for line in done.stdout.splitlines() if line.startswith("FAILED ")]
    if done.returncode not in (_ALL_PASSED, _SOME_FAILED) or bool(left) != bool(done.returncode):
        raise MutationError(done.stderr or "they could not be left out")
    return left


def _prepare(copy: Path, mutations: list[Mutation]) -> None:
    """Copy, build, and see all tests pass as it is."""
    shutil.copytree(REPO, copy, symlinks=True, ignore=_NOT_COPIED)
    (copy / "build").mkdir()
    (copy / "build/dependencies").symlink_to(REPO / "build/dependencies")
    compiler = shutil.which("musl-gcc") or "cc"
    setup = ["meson", "setup", str(copy / "build/meson"), str(copy)]
    subprocess.run(setup, check=True, capture_output=True, env={**os.environ, "CC": compiler})
    if why := _build(copy):
        raise MutationError(why)
    tests = sorted({REFUSALS, *(test for mutation in mutations for test in mutation.tests)})
    begun = time.monotonic()
    code, said = _test(copy, tuple(tests), _MUCH_PATIENCE)
    if code != _ALL_PASSED:
        raise MutationError(f"the tests do not pass as it is:\n{said}")
    print(f"{time.monotonic() - begun:6.1f} s  {len(tests)} tests pass as it is", flush=True)


def main(words: list[str]) -> int:
    """Try the mutations whose names have one of ``words``, all without any; return the exit code."""
    mutations = [each for each in (*MUSTS, *MODULE, *RULES) if not words or any(word in each.name for word in words)]
    left = []
    with tempfile.TemporaryDirectory(prefix="jailssh-mutations-") as folder:
        copy = Path(folder) / "copy"
        _prepare(copy, mutations)
        for mutation in mutations:
            begun = time.monotonic()
            result = _try(copy, mutation)
            print(f"{time.monotonic() - begun:6.1f} s  {result}  {mutation.name}", flush=True)
            if result != "caught":
                left.append(mutation.name)
        if not words or "refusals" in words:
            left += _leave_refusals_out(copy)
    print(f"{len(mutations)} mutations, {len(left)} not caught", *left, sep="\n  ")
    return 1 if left else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the copy goes
    try:
        sys.exit(main(sys.argv[1:]))
    except MutationError as error:
        sys.exit(str(error))
