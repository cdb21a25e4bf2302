"""jailssh-refs as the hook post-receive: what the administrator has run after a push, held to bounds."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("gcc")

OLD, NEW = "1" * 40, "2" * 40

Run = Callable[..., tuple[str, float]]


@pytest.fixture
def after(build_dir: Path, tmp_path: Path) -> Run:
    """Return what is said, and the seconds that it takes, for lines of a repository, a reference and a script."""
    hook = tmp_path / "post-receive"
    hook.symlink_to(build_dir / "jailssh-refs")

    def run(*lines: tuple[str, str, str], refs: str = "refs/heads/main", seconds: int = 20, path: str = "/srv/x.git",
            stderr: int = subprocess.PIPE, files: int = 64) -> tuple[str, float]:  # fmt: skip
        words = []
        for number, (repository, reference, script) in enumerate(lines):
            program = tmp_path / f"hook{number}"
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o755)
            words.append(f"{repository} {reference} {program} one two")
        env = {"JAILSSH_REPOSITORY": path, "JAILSSH_AFTER": "\n".join(words), "JAILSSH_AFTER_SECONDS": str(seconds),
               "JAILSSH_KEY": "alice", "JAILSSH_REFS_0": "secret", "PATH": "/usr/bin:/bin"}  # fmt: skip
        data = "".join(f"{OLD} {NEW} {ref}\n" for ref in refs.split())
        begun = time.monotonic()
        argv = ["/bin/sh", "-c", f'ulimit -n {files}; exec "$0"', str(hook)]
        done = subprocess.run(argv, input=data.encode(), env=env, cwd=tmp_path, stderr=stderr, timeout=60)
        assert done.returncode == 0
        return (done.stderr or b"").decode(), time.monotonic() - begun

    return run


def test_each_command_gets_the_references_that_are_meant(after: Run, tmp_path: Path) -> None:
    said, _ = after(
        ("/srv/*", "refs/heads/**", 'echo "$JAILSSH_KEY $JAILSSH_REPOSITORY ${JAILSSH_REFS_0-none} $*"; cat'),
        ("/srv/x", "refs/tags/v*", "cat >tags"),
        ("/srv/y", "refs/**", "touch ran"),
        ("/**", "refs/notes/*", "touch ran"),
        refs="refs/heads/main refs/heads/a/b refs/tags/v1 refs/tags/x",
    )
    assert said == f"alice /srv/x.git none one two\n{OLD} {NEW} refs/heads/main\n{OLD} {NEW} refs/heads/a/b\n"
    assert (tmp_path / "tags").read_text() == f"{OLD} {NEW} refs/tags/v1\n"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exit 3", "ended with status 3"),
        ("kill -9 $$", "was ended by signal 9"),
        ("exec /nothing", "ended with status 127"),
        # 1 GiB of data is the most.
        ("exec python3 -c 'bytearray(2 << 30)'", "ended with status 1"),
        ("dd if=/dev/zero of=full bs=1M seek=1023 count=2 2>/dev/null; test $(stat -c %s full) = 1073741824 && exit 5",
         "ended with status 5"),
    ],
)  # fmt: skip
def test_how_it_ended_is_said(after: Run, script: str, why: str) -> None:
    assert f"jailssh: the push is done; what runs after it {why}\n" in after(("/**", "refs/**", script))[0]


def test_one_that_cannot_be_told_of_the_push_is_not_left_out_silently(after: Run, tmp_path: Path) -> None:
    said, _ = after(("/**", "refs/**", "touch ran"), files=4)
    assert said == "jailssh: the push is done; what runs after it is not run: no memory or descriptor\n"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "script",
    [
        "exec sleep 50",
        "trap '' TERM; while :; do :; done",
        "(trap '' TERM; sleep 50) & wait",
        "while :; do echo y; done",
    ],
)
def test_one_that_runs_for_ever_holds_the_push_for_no_longer(after: Run, script: str) -> None:
    said, took = after(("/**", "refs/**", script), ("/**", "refs/**", "echo next"), seconds=1)
    assert "what runs after it was ended, its time was over\n" in said or "left out" in said
    assert "next" not in said
    assert took < 3.5


def test_what_it_leaves_behind_holds_nobody(after: Run) -> None:
    said, took = after(("/**", "refs/**", "sleep 30 & setsid sleep 7 & echo done"))
    assert (said, took < 2) == ("done\n", True)


def test_what_it_says_can_be_read_and_has_an_end(after: Run) -> None:
    said, _ = after(("/**", "refs/**", r"printf 'a\033[2Jb\rc\0d\302\233e\377f \303\274\n'"))
    assert said == "a?[2Jb?c?d??e?f \u00fc\n"
    said, _ = after(("/**", "refs/**", "head -c 9000000 /dev/zero | tr '\\0' x"), ("/**", "refs/**", "echo more"))
    assert len(said) < 40_000
    assert said.endswith("\njailssh: it says more, which is left out\n")


def test_a_client_that_reads_nothing_stops_no_command(after: Run, tmp_path: Path) -> None:
    read, write = os.pipe()
    try:
        os.set_blocking(write, False)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(write, b"x" * 4096)
        os.set_blocking(write, True)
        _, took = after(("/**", "refs/**", "echo a; exit 1"), ("/**", "refs/**", "touch ran"), stderr=write)
    finally:
        os.close(read)
        os.close(write)
    assert (tmp_path / "ran").exists()
    assert took < 2


def test_a_client_that_is_gone_stops_no_command(after: Run, tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    after(("/**", "refs/**", "echo a; exit 1"), ("/**", "refs/**", "touch ran"), stderr=write)
    os.close(write)
    assert (tmp_path / "ran").exists()


def test_many_references(after: Run) -> None:
    refs = " ".join(f"refs/heads/b{number}" for number in range(10_000))
    said, took = after(("/**", "refs/heads/*", "wc -l"), refs=refs)
    assert (said, took < 2) == ("10000\n", True)


@pytest.mark.parametrize("lost", ["JAILSSH_REPOSITORY", "JAILSSH_AFTER", "JAILSSH_AFTER_SECONDS"])
def test_a_damaged_plan_runs_nothing_and_says_so(build_dir: Path, tmp_path: Path, lost: str) -> None:
    hook = tmp_path / "post-receive"
    hook.symlink_to(build_dir / "jailssh-refs")
    env = {"JAILSSH_REPOSITORY": "/srv/x", "JAILSSH_AFTER": "/** refs/** /bin/true", "JAILSSH_AFTER_SECONDS": "1"}
    del env[lost]
    done = subprocess.run([hook], input=f"{OLD} {NEW} refs/heads/a\n".encode(), env=env, capture_output=True)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"jailssh: the push is done; what is to run after it cannot be found out\n"
