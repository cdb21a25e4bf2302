"""What the modules of the Ansible collection share: how they read what jailssh prints."""

from __future__ import annotations

import grp
import importlib.util
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from jailssh.carrying import archive
from jailssh.carrying.archive import Archive, CarriedAccount, CarriedFile
from tests.harness.keys import public_key
from tests.harness.source import REPO

PLUGINS = REPO / "packaging/ansible/jailssh/plugins"


class FailedError(Exception):
    """What a module ends with that fails."""


class Module:
    """Stands for a module: the command ends with ``code`` and has said this."""

    check_mode = False
    params: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, out: str = "", err: str = "", code: int = 0) -> None:
        self.said = (code, out, err)

    def run_command(self, *_: object, **__: object) -> tuple[int, str, str]:
        return self.said

    def fail_json(self, **said: Any) -> None:
        raise FailedError(said["msg"])

    def exit_json(self, **told: Any) -> None:
        self.told = told


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def command() -> Any:
    return load(PLUGINS / "module_utils/command.py")


@pytest.fixture
def plugin(command: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Load a module by its name."""
    name = "ansible_collections.jailssh.jailssh.plugins.module_utils.command"
    monkeypatch.setitem(sys.modules, name, command)
    return lambda name: load(PLUGINS / f"modules/{name}.py")


def test_what_is_exported_comes_as_it_is(command: Any, tmp_path: Path) -> None:
    files = {
        "jails/own.conf": "plugins = sftp\r\n\r\n# fin\r\n", "users/olaf.conf": "uid = 7002\njail = own\n",
        "notes": "no end", "empty": "",
    }  # fmt: skip
    olaf = CarriedAccount("olaf", 7002, 7002, group="olaf", home="/home/olaf", jails=("own",))
    data = archive.write(Archive({path: CarriedFile(0o644, text) for path, text in files.items()}, {}, {"olaf": olaf}))
    found, accounts, odd = command.exported(Module(data.decode()))
    assert (found, accounts, odd) == (files, {"olaf": archive.account_lines(olaf)}, set())
    kept = tmp_path / "kept"
    asked = Module(data.decode())
    assert command.exported(asked, str(kept)) == (found, accounts, odd)  # none yet, as in a dry run
    kept.write_bytes(data)
    assert command.exported(Module("nothing is asked"), str(kept)) == (found, accounts, odd)
    assert command.archive(found, [("olaf", accounts["olaf"])]).encode() == data


def test_why_a_command_has_nothing_to_print_is_said(command: Any) -> None:
    failed = Module(err="note\njailssh: /etc/jailssh: belongs to uid 7\nhint: chown\n", code=1)
    with pytest.raises(FailedError, match=r"^/etc/jailssh: belongs to uid 7$"):
        command.facts(failed, "check", good=(0, 1))
    with pytest.raises(FailedError, match=r"^jailssh check printed no JSON$"):
        command.facts(Module(), "check")


@pytest.mark.needs("ansible")
def test_the_newest_of_two_archives_of_one_second_is_known(plugin: Callable[[str], Any], tmp_path: Path) -> None:
    for name, text in {"20261130T000000Z.txt": "old", "20261130T000000Z.1.txt": "now", "2025.txt": "older"}.items():
        (tmp_path / name).write_text(text)
    module = Module("now")
    module.params = {"directory": str(tmp_path), "most": 2}
    keep = plugin("jailssh_archive")._keep
    assert keep(module) == f"{tmp_path}/20261130T000000Z.1.txt"
    module.said = (0, "later", "")
    made = Path(keep(module))
    assert made.read_text() == "later"
    assert sorted(each.read_text() for each in tmp_path.iterdir()) == ["later", "now"]


@pytest.mark.needs("ansible")
def test_an_account_whose_group_has_no_name(plugin: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(gid: int) -> None:
        raise KeyError(gid)

    monkeypatch.setattr(grp, "getgrgid", nobody)
    with pytest.raises(FailedError, match="account root: its gid 0 is that of no group"):
        plugin("jailssh_account")._lines(Module(), {"name": "root", "uid": None, "jail": "own", "home": None}, None)


@pytest.mark.needs("ansible")
def test_many_keys_are_judged_before_one_is_changed(
    plugin: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def row(name: str, **more: Any) -> dict[str, Any]:
        return {"user": "git", "name": name, "key": None, "groups": [], "state": "present", "now": False, **more}

    key = plugin("jailssh_key")
    done: list[tuple[str, ...]] = []
    ann = [{"name": "ann", "fingerprint": "SHA256:x", "groups": []}]
    monkeypatch.setattr(key, "said", lambda _, *words, **__: done.append(words))
    monkeypatch.setattr(key, "facts", lambda *_: ann)
    module = Module()
    monkeypatch.setattr(key, "AnsibleModule", lambda **_: module)
    module.params = {"keys": [row("ann", state="absent"), row("bob", key="ssh-ed25519 ???")]}
    with pytest.raises(FailedError, match="is no public key of OpenSSH"):
        key.main()
    assert done == []
    module.params = {"keys": [row("bob", key=public_key(1)), row("ann", state="absent", now=True)]}
    key.main()
    assert done == [("keys", "remove", "git", "ann", "--now"), ("keys", "add", "git", "bob", "-")]
    assert module.told["changed"] is True
    assert [each["before_header"] for each in module.told["diff"]] == ["keys of bob in git", "keys of ann in git"]


@pytest.mark.needs("ansible")
@pytest.mark.parametrize("odd", ["", "mode", "twice", "program"])
def test_of_what_is_as_described_one_account_of_each_jail_is_judged(
    plugin: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, odd: str
) -> None:
    """All where an import would change or refuse more than the text of the files says."""
    program = 'command="/opt/libexec/jailssh/jailssh-login" ' if odd == "program" else ""
    files, people, rows = {}, {}, []
    for uid, (name, jail) in enumerate({"olaf": "own", "otto": "own", "rita": "team"}.items(), 7001):
        key = f"{program}{public_key(uid % 10)}"
        files[f"users/{name}.conf"] = CarriedFile(0o644, f"uid = {uid}\njail = {jail}\n")
        files[f"keys/{name}"] = CarriedFile(0o600 if odd == "mode" else 0o644, f"{key}\n")
        people[name] = CarriedAccount(name, uid, uid, group=name, home=f"/home/{name}", jails=(jail,))
        rows.append({"name": name, "jail": jail, "uid": uid, "keys": [key], "settings": None})
    module = Module(archive.write(Archive(files, {}, people)).decode())
    module.params = {
        "accounts": rows + rows[:1] * (odd == "twice"), "state": "present", "jails": {}, "rights": {},
        "on_demand": False, "disable": False, "archive": None,
    }  # fmt: skip
    judged: list[str] = []

    def bring(_: Module, data: str, **__: object) -> tuple[bool, dict[str, str], dict[str, list[str]]]:
        judged.extend(re.findall(r"^=== (?:account|file) (\S+) ", data, re.MULTILINE))
        return False, {}, {"created": [], "joining": [], "notes": []}

    account = plugin("jailssh_account")
    monkeypatch.setattr(account, "AnsibleModule", lambda **_: module)
    monkeypatch.setattr(account, "bring", bring)
    account.main()
    assert module.told["changed"] is False
    wanted = {"otto", "rita"} if not odd else {"olaf", "otto", "rita"}
    assert {name for name in judged if "/" not in name} == wanted
    assert {name for name in judged if "/" in name} == {
        path for name in wanted for path in (f"users/{name}.conf", f"keys/{name}")
    }
    assert len([name for name in judged if name == "olaf"]) == {"": 0, "twice": 2}.get(odd, 1)


def test_a_canary_that_fails_says_why(plugin: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"id": "login", "verdict": "ok", "happened": "exit 126"},
        {"id": "forward", "verdict": "not-tried", "happened": "no more sessions"},
        {"id": "sftp", "verdict": "wrong", "happened": "no answer"},
    ]
    said = {"errors": [], "reports": [{"account": "nina", "rows": rows}]}
    for code in (0, 1):
        module = Module(json.dumps(said), code=code)
        module.params = {"canary": ["nina"], "fail_on": "high"}
        check = plugin("jailssh_check")
        monkeypatch.setattr(check, "AnsibleModule", lambda module=module, **_: module)
        if code:
            wanted = "2 trials of logins not as expected: nina: sftp: wrong: no answer; nina: forward: not-tried"
            with pytest.raises(FailedError, match=wanted):
                check.main()
        else:
            with pytest.raises(KeyError, match="findings"):  # here nothing ends with what is told
                check.main()
            assert module.told["reports"] == said["reports"]
