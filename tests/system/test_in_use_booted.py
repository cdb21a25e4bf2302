"""Our own tests where jailssh is installed, set up and in use, started by one who ignores SIGINT and SIGHUP (nohup)."""

from __future__ import annotations

import pytest

from tests.abilities import REPO
from tests.system.booted import BootedTree, own_suite
from tests.system.people import SSH

pytestmark = pytest.mark.needs("root", "login-program", "make", "mmdebstrap", "nspawn")

# Where what is there already could be taken for what a test made, and where signals count.
FILES = (
    "root/users/test_setup.py", "root/users/test_doors.py", "root/users/test_adduser.py",
    "root/scratch/test_scratch.py", "sshd/test_kick.py", "sshd/test_ways_in.py",
)  # fmt: skip
NAMES = (
    "undoes_exactly", "undo_is_refused", "undo_stops", "journal_record", "lets_jailed_accounts", "opens_later",
    "however_the_owner_ends", "a_signal_waits and alice-1 and not 15", "every_session", "test_way_in and sftp-only",
)  # fmt: skip
WATCHED = "/etc/passwd /etc/group /etc/shadow /etc/pam.d /etc/ssh /etc/jailssh /var/lib/jailssh /var/lib/pam /usr/local"


@pytest.mark.parametrize("tree", [own_suite()], indirect=True)
def test_tests_pass_and_what_is_in_use_is_left_alone(tree: BootedTree) -> None:
    state = f"find {WATCHED} -type f -exec sha256sum {{}} + | sort; find {WATCHED} -printf '%p %M %U %G\\n' | sort"
    before = tree.sh(state)
    files = " ".join(f"tests/{name}" for name in FILES)
    done = tree.run(
        f"cd {REPO} && trap '' INT HUP && JAILSSH_MUST_RUN=all build/venv/bin/python -m pytest -q -p no:cacheprovider"
        f" {files} -k '{' or '.join(NAMES)}' --durations=5 2>&1 | tail -n 80",
        timeout=400,
    )
    print(done.stdout)
    assert " passed" in done.stdout.splitlines()[-1], done.stdout
    assert " failed" not in done.stdout.splitlines()[-1], done.stdout
    assert " error" not in done.stdout.splitlines()[-1], done.stdout
    assert tree.sh(state) == before
    assert tree.run(f"echo pwd | sftp -q -b - {SSH} shut@localhost").stdout.endswith("/home/shut\n")
