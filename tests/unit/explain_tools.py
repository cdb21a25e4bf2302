"""An account alice in made-up jails, with the real matcher: what the tests of explain and learn share."""

from __future__ import annotations

import base64
import json
import shutil
import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from jailssh.cli import learn as cli_learn
from jailssh.config.files import read_main, read_user
from jailssh.config.reader import read_document
from jailssh.config.rights import Table
from jailssh.console.context import Context
from jailssh.console.main import parse
from jailssh.core.names import HostPath
from jailssh.diagnose import explain
from jailssh.diagnose.trials import Trials
from jailssh.host import accounts, journal
from jailssh.host.journal import JournalRecord
from jailssh.host.paths import Layout
from jailssh.jail.configuration import Configuration
from jailssh.jail.profiles import shipped_profiles
from jailssh.jail.this_host import ThisHost
from jailssh.plan import codec
from jailssh.plan.compile import JailSettings, RosterKey, compile_plan, compile_roster
from jailssh.plugin.api import Account
from jailssh.plugin.registry import Registry
from jailssh.queries import explain as cli_explain
from tests.login import jails

ENTRY = accounts.AccountEntry(
    "alice", 1000, 1000, group="alice", home="/home/alice", shell="/bin/sh", gecos="", groups=(("alice", 1000),)
)
PLUGINS = {
    plugin.name: plugin
    for plugin in (jails.borg, jails.command, jails.cvs, jails.git, jails.rsync, jails.scp, jails.sftp, jails.shell)
}
OWN = "plugins = git rsync\nshared_directories = yes\n[git]\nread = /srv\n[rsync]\nwrite = ~/in\ndelete = no\n"
PUSH = "rsync --server -logDtpre.iLsfxC {} . {}"
needs_matcher = pytest.mark.needs("login-program")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(root=str(tmp_path / "root"), prefix=str(tmp_path / "prefix"))
    for folder in (layout.users, layout.jails, layout.plans):
        Path(folder).mkdir(parents=True)
    return layout


class Programs(ThisHost):
    """A host that has these programs, by their paths."""

    def __init__(self, paths: Mapping[str, str]) -> None:
        self._paths = paths

    def find_program(self, name: str) -> str | None:
        return self._paths.get(name)


@pytest.fixture
def configure(layout: Layout, match_build: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Trials]:
    """Return what puts alice into a jail ("own" is the administrator's) and gives the trials for it."""
    Path(layout.match_program).parent.mkdir(parents=True)
    shutil.copy(match_build, layout.match_program)
    programs = {**jails.PROGRAMS, **{name: f"/usr/bin/{name}" for name in ("uptime", "head", "wc")}}

    def configure(jail: str, own: str = OWN, tables: Mapping[str, Table] | None = None) -> Trials:
        Path(layout.users, "alice.conf").write_text(f"uid = 1000\njail = {jail}\n")
        document = replace(read_document(own, f"{layout.jails}/own.conf"), tables=tables or {})
        documents = {**shipped_profiles(), "own": document}
        registry = Registry(PLUGINS, dict.fromkeys(PLUGINS, "jailssh"), {})
        configuration = Configuration(layout, read_main(b"", "main"), documents, registry, (), Programs(programs))
        for module in (explain, cli_learn):
            monkeypatch.setattr(module, "load_configuration", lambda _: configuration)
        return Trials(configuration, replace(jails.ALICE, roles=frozenset(("@all", "alice"))))

    return configure


def publish(layout: Layout, trials: Trials) -> codec.Plan:
    """Put alice's plan where it belongs."""
    return _write(layout, "1000", _plan(trials, jails.ALICE, _settings(layout, trials)))


def _settings(layout: Layout, trials: Trials) -> JailSettings:
    file = Path(layout.users, "alice.conf")
    return trials.definition.settings(read_main(b"", "main"), read_user(file.read_bytes(), str(file), "alice"))


def _plan(trials: Trials, account: Account, settings: JailSettings) -> codec.Plan:
    definition = trials.definition
    results = [PLUGINS[name].account(definition.facts, account, definition.config.options[name])
               for name in definition.config.plugins]  # fmt: skip
    return compile_plan(account, settings, results, HostPath("/image"), ("none", bytes(8)))


def _write(layout: Layout, name: str, plan: codec.Plan) -> codec.Plan:
    path = Path(layout.plans, name)
    path.write_bytes(codec.encode(plan))
    path.chmod(0o600)
    return plan


def name_keys(layout: Layout, names: str, groups: str = "") -> None:
    """Give alice's account named keys, and these lines of groups; once it is in a jail."""
    folder = Path(layout.key_rings, "alice")
    folder.mkdir(parents=True)
    for number, name in enumerate(names.split()):
        raw = b"".join(struct.pack(">I", len(each)) + each for each in (b"ssh-ed25519", number.to_bytes(32, "big")))
        (folder / f"{name}.pub").write_bytes(b"ssh-ed25519 " + base64.b64encode(raw) + b"\n")
    with Path(layout.users, "alice.conf").open("a") as file:
        file.write(f"[groups]\n{groups}\n")


def publish_keys(layout: Layout, trials: Trials, *names: str) -> None:
    """Put the plans of these named keys, and the roster of the account, where they belong."""
    settings, found = _settings(layout, trials), []
    for name in names:
        mine = trials.of(name)
        assert mine is not None
        plan = _plan(trials, mine.account, settings)
        _write(layout, f"1000.{plan.serial}", plan)
        found.append(RosterKey(name, plan.serial, f"{name:A<16}"))
    _write(layout, "1000", compile_roster(jails.ALICE, settings, found))


def record(
    command: str | None, reason: str = "command-not-allowed", time: float = 1.7e9, **fields: str
) -> JournalRecord:
    row = {"JAILSSH_UID": "1000", "_UID": "1000", "JAILSSH_EVENT": "denied", "JAILSSH_REASON": reason,
           "JAILSSH_SESSION": "3f9a1c0755aa0001", **fields}  # fmt: skip
    return JournalRecord(f"s=1;t={time}", time, row if command is None else {**row, "JAILSSH_COMMAND": command})


class Journalctl:
    """Answers as journalctl does, with made-up records."""

    def __init__(self, *records: JournalRecord) -> None:
        self.records = records

    def __call__(self, argv: list[str], root: str, seconds: float = 0.0) -> str:
        if "--field=JAILSSH_SESSION" in argv:
            return "".join(f"{one.get('JAILSSH_SESSION')}\n" for one in self.records)
        wanted = [argument.split("=", 1) for argument in argv if argument[0] != "-"]
        found = [one for one in self.records if all(one.get(name) == value for name, value in wanted)]
        if any(argument.startswith("--cursor=") for argument in argv):
            found = found[:1]  # what is nearest, as journalctl does
        rows = [
            {**one.fields, "__CURSOR": one.cursor, "__REALTIME_TIMESTAMP": str(int(one.time * 1e6))} for one in found
        ]
        return "".join(f"{json.dumps(row)}\n" for row in rows)


def run_explain(layout: Layout, monkeypatch: pytest.MonkeyPatch, *argv: str) -> int:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(accounts, "find_uid", lambda uid: ENTRY if uid == 1000 else None)
    monkeypatch.setattr(accounts, "get", lambda name: ENTRY)
    _, args = parse(["explain", *argv])
    return cli_explain.run(args, Context(layout, json=args.json))


def run_learn(layout: Layout, monkeypatch: pytest.MonkeyPatch, now: float, *argv: str) -> int:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(accounts, "get", lambda name: ENTRY)
    monkeypatch.setattr(cli_learn, "time", SimpleNamespace(time=lambda: now))
    monkeypatch.setattr(journal, "record", lambda *_: None)
    _, args = parse(["learn", *argv])
    return cli_learn.run(args, Context(layout, json=args.json))
