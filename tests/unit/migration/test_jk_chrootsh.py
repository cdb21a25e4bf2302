"""Jailkit's shell in crontabs, and as an entry when its own is gone."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from jailssh.change.transaction import Journal
from jailssh.change.undo import take_back
from jailssh.host.paths import Layout
from jailssh.migration import jk_chrootsh
from jailssh.migration.jk_chrootsh import missing, shell_lines
from tests.unit.source_tools import AHost

SHELL = "/usr/sbin/jk_chrootsh"
JOB = "*/5 * * * * web1 /bin/true\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"SHELL='{SHELL}'\n\n{JOB}", (1, ("web1",), True)),
        (f'MAILTO=""\n SHELL = "{SHELL}"\n# x\n@daily web1 /bin/x\n', (2, ("web1",), True)),
        (f"SHELL={SHELL}\n{JOB}0 1 * * * root /bin/x\n", (1, ("web1",), False)),
        # Another shell ends it.
        (f"SHELL={SHELL}\n{JOB}SHELL=/bin/sh\n0 1 * * * root /bin/x\n", (1, ("web1",), True)),
        (f"SHELL={SHELL}\n0 1 * * * web2 /bin/x\n", None),
        (f"SHELL={SHELL}x\n{JOB}", None),
        (f"#SHELL={SHELL}\n{JOB}", None),
        (JOB, None),
    ],
)
def test_lines_of_root(text: str, found: tuple[int, tuple[str, ...], bool] | None) -> None:
    rows = shell_lines(AHost(files={"/etc/cron.d/ispc_web1": text}), {"web1"})
    assert [(row.number, row.accounts, row.written) for row in rows] == ([found] if found else [])


def test_an_accounts_own_crontab_is_told_and_stays() -> None:
    text = f"SHELL={SHELL}\n* * * * * /bin/true\n"
    (row,) = shell_lines(AHost(files={"/var/spool/cron/crontabs/web1": text}), {"web1"})
    assert (row.written, "crontab -u web1 -e" in row.line("/x")) == (False, True)
    assert shell_lines(AHost(files={"/var/spool/cron/crontabs/web2": text}), {"web1"}) == []


def test_which_shells_are_missing(tmp_path: Path) -> None:
    gone = f"{tmp_path}/jk_chrootsh"
    assert missing([gone, "/bin/bash", "/no/such/directory/jk_chrootsh", f"{tmp_path}/../x/jk_chrootsh"]) == [gone]
    os.symlink("/nowhere", gone)
    assert missing([gone]) == [], "whatever is there stays"


@pytest.mark.needs("root")
def test_a_change_and_the_way_back(monkeypatch: pytest.MonkeyPatch) -> None:
    base = Path(tempfile.mkdtemp(dir="/run", prefix="jailssh-test-"))
    base.chmod(0o755)
    try:
        layout = Layout(root=str(base))
        cron = base / "ispc_web1"
        text = f"SHELL='{SHELL}'\n{JOB}"
        cron.write_text(text)
        cron.chmod(0o644)
        shell = f"{base}/jk_chrootsh"
        os.makedirs(layout.undo, mode=0o700)
        host = AHost(files={str(cron): text})
        monkeypatch.setattr(jk_chrootsh, "SYSTEM", (str(cron),))
        journal = Journal(layout, "migrate")
        with journal.changing("migrate: entries"):
            lines = jk_chrootsh.settle(layout, journal, host, {"web1"}, [shell, "/bin/sh"])
            journal.commit()
        assert os.readlink(shell) == layout.login_program
        assert cron.read_text() == f"SHELL='{layout.login_program}'\n{JOB}"
        assert [line[:1] for line in lines] == ["+", "~"]
        again = Journal(layout, "migrate")
        with again.changing("migrate: entries"):
            assert (
                jk_chrootsh.settle(layout, again, AHost(files={str(cron): cron.read_text()}), {"web1"}, [shell]) == []
            )
            again.commit()
        take_back(Journal(layout, "migrate").original)
        assert cron.read_text() == text
        assert not os.path.lexists(shell)
        # What somebody else has put there meanwhile stays.
        Path(shell).write_text("Jailkit's again")
        take_back(Journal(layout, "migrate").original)
        assert Path(shell).read_text() == "Jailkit's again"
    finally:
        shutil.rmtree(base)
