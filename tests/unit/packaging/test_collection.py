"""What the modules of the Ansible collection share: how they read what jailssh prints."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from jailssh.carrying import archive
from jailssh.carrying.archive import Archive, CarriedAccount, CarriedFile
from tests.harness.source import REPO

PATH = REPO / "packaging/ansible/jailssh/plugins/module_utils/command.py"


class FailedError(Exception):
    """What a module ends with that fails."""


class Module:
    """Stands for a module: the command ends with ``code`` and has said this."""

    check_mode = False

    def __init__(self, out: str = "", err: str = "", code: int = 0) -> None:
        self.said = (code, out, err)

    def run_command(self, *_: object, **__: object) -> tuple[int, str, str]:
        return self.said

    def fail_json(self, **said: Any) -> None:
        raise FailedError(said["msg"])


@pytest.fixture
def command() -> Any:
    spec = importlib.util.spec_from_file_location("command", PATH)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_exported_comes_as_it_is(command: Any) -> None:
    files = {
        "jails/own.conf": "plugins = sftp\r\n\r\n# fin\r\n", "users/olaf.conf": "uid = 7002\njail = own\n",
        "notes": "no end", "empty": "",
    }  # fmt: skip
    olaf = CarriedAccount("olaf", 7002, 7002, group="olaf", home="/home/olaf", jails=("own",))
    data = archive.write(Archive({path: CarriedFile(0o644, text) for path, text in files.items()}, {}, {"olaf": olaf}))
    found, accounts = command.exported(Module(data.decode()))
    assert (found, accounts) == (files, {"olaf": archive.account_lines(olaf)})
    assert command.archive(found, [("olaf", accounts["olaf"])]).encode() == data


def test_why_a_command_has_nothing_to_print_is_said(command: Any) -> None:
    failed = Module(err="note\njailssh: /etc/jailssh: belongs to uid 7\nhint: chown\n", code=1)
    with pytest.raises(FailedError, match=r"^/etc/jailssh: belongs to uid 7$"):
        command.facts(failed, "check", good=(0, 1))
    with pytest.raises(FailedError, match=r"^jailssh check printed no JSON$"):
        command.facts(Module(), "check")
