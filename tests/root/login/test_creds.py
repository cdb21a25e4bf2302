"""The identity that the login program takes on for opening files, tried by itself on this machine's kernel."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.harness.sysctl import SUID_DUMPABLE, kernel_setting
from tests.login.driver import LOGIN, compile_c

pytestmark = pytest.mark.needs("root", "gcc")

ACTOR = r"""
#include <stdio.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include "creds.h"
int main(void)
{
    prctl(PR_SET_DUMPABLE, 0);
    for (int i = 0; i < 2; i++) {
        creds_files_as(i ? 0 : 4242, i ? 0 : 4242);
        printf("%d %d ", setfsuid((uid_t)-1), prctl(PR_GET_DUMPABLE));
    }
    setfsuid(4242);
    printf("%d\n", prctl(PR_GET_DUMPABLE));
    return 0;
}
"""


@pytest.mark.alone
@pytest.mark.parametrize("value", ["0", "2"])
def test_no_change_of_ids_makes_it_dumpable(tmp_path: Path, value: str) -> None:
    (tmp_path / "actor.c").write_text(ACTOR)
    parts = ["creds", "plan", "kind", "fail", "reason", "journal", "nojournal", "readable", "fd"]
    sources = [tmp_path / "actor.c", *(LOGIN / f"{name}.c" for name in parts)]
    flags = ['-DRUN_DIR="/run/jailssh"', '-DPLAN_DIR="/var/lib/jailssh/plan.v1"']
    actor = compile_c("gcc", tmp_path / "actor", sources, *flags)
    with kernel_setting(SUID_DUMPABLE, value):
        done = subprocess.run([actor], capture_output=True, text=True, check=True)
    # The last shows what the setting does to a change of which it is not the end.
    assert done.stdout == f"4242 0 0 0 {value}\n"
