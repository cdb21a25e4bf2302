"""A cron that does not ask PAM, whose jobs nothing leads into a jail."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jailssh.config import jails, reader
from jailssh.config.files import read_main
from jailssh.core.errors import ConfigError
from jailssh.jail.crontab import crontab_place
from jailssh.plugin.registry import load_registry
from jailssh.services import spools

REGISTRY = load_registry()
TEXT = "plugins = shell\nroot = live\ncrontab = yes\n"


def test_a_jail_has_no_crontabs_where_systemd_cron_runs_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = tmp_path / "systemd-crontab-generator"
    monkeypatch.setattr(spools, "CRONTABS", (str(tmp_path),))
    monkeypatch.setattr(spools, "GENERATORS", (str(generator),))
    config = jails.read_jail("j", reader.read_document(TEXT, "j.conf"), REGISTRY.options, frozenset(REGISTRY.plugins))
    main = read_main(b"pam_inside = cron\n", "jailssh.conf")
    assert crontab_place(config, main) == str(tmp_path)
    generator.touch()
    with pytest.raises(ConfigError, match="systemd-cron does not ask PAM"):
        crontab_place(config, main)


def test_a_job_that_has_just_run_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [tmp_path / f"a{number}" for number in range(3)]
    for job in jobs:
        job.touch()
    real = os.scandir

    @contextmanager
    def meanwhile(folder: str) -> Iterator[Iterator[os.DirEntry[str]]]:
        with real(folder) as entries:
            listed = sorted(entries, key=lambda each: each.name)
            jobs[0].unlink()
            yield iter(listed)

    monkeypatch.setattr(spools, "AT_JOBS", (str(tmp_path),))
    monkeypatch.setattr(os, "scandir", meanwhile)
    assert spools.at_jobs(os.getuid()) == [str(job) for job in jobs[1:]]
