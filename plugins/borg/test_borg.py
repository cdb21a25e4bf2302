import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from jailssh.core.errors import ConfigError
from jailssh.core.names import JailPath
from jailssh.image.resolve import resolve
from jailssh.jail.this_host import find_program
from jailssh.plugin.api import Account, Bind, Jail, Plugin, Value
from jailssh.policy.rules import check_rules
from jailssh_plugins.borg.plugin import plugin
from tests.harness.transport import Transport

ALICE = Account("alice", 1000, 1000, "alice", "/home/alice")
FOUND = {"borg": "/usr/bin/borg", "/usr/bin/python3": "/usr/bin/python3.11", "/opt/borg": "/opt/borg"}
JAIL = Jail("j", ("borg",), FOUND.get)
PLAIN: dict[str, Value] = {"repositories": (), "paths": (), "append_only": False, "storage_quota": "", "program": ""}


def result(jail: Any = JAIL, **settings: Any) -> Any:
    return plugin.account(jail, ALICE, {**PLAIN, **settings})


def test_it_is_a_plugin_whose_options_have_these_defaults() -> None:
    assert isinstance(plugin, Plugin)
    assert {option.name for option in plugin.options} == set(PLAIN)


def test_what_is_forced() -> None:
    serve, version = result(repositories=("~/a",), paths=("/srv/b",), append_only=True, storage_quota="5G").rules
    check_rules([serve, version])
    assert serve.argv_insert == (
        "--restrict-to-repository", "/home/alice/a", "--restrict-to-path", "/srv/b",
        "--append-only", "--storage-quota", "5G",
    )  # fmt: skip
    assert (serve.program, serve.argv_prefix) == ("/usr/bin/python3.11", ("-I", "-m", "borg"))
    assert not {"storage-quota", "restrict-to-path", "append-only", "rsh"} & set(dict(serve.long_options))
    assert version.literal_words == ("--version",)
    assert "storage-quota" in dict(result(repositories=("~/a",)).rules[0].long_options)


def test_mounts() -> None:
    given = result(repositories=("/srv/a",), paths=("/srv/b",))
    assert set(given.binds) == {Bind("/srv/a", writable=True), Bind("/srv/b", writable=True)}
    assert given.home == "none"
    given = result(repositories=("~/a",))
    assert (given.binds, given.home) == ((Bind("/home/alice/a", writable=True),), "none")
    assert given.rules[0].accessible_directories == (("/home/alice/a", True),)


def test_a_stand_alone_program() -> None:
    (serve, _) = result(repositories=("~/a",), program="/opt/borg").rules
    assert (serve.program, serve.argv_prefix) == ("/opt/borg", ())
    assert plugin.image(JAIL, {**PLAIN, "program": "/opt/borg"}).optional_files == ()
    assert plugin.image(JAIL, PLAIN).bare_programs == ("/usr/bin/python3.11",)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, "no directory is set"),
        ({"repositories": ("~/a",), "storage_quota": "many"}, "not a size"),
        ({"repositories": ("~/a",), "program": "/opt/none"}, "not installed on this host"),
        ({"paths": ("/home",)}, "homes of accounts"),
    ],
)
def test_impossible_settings(settings: Any, why: Any) -> None:
    with pytest.raises(ConfigError, match=why):
        result(**settings)


def test_without_borg_or_python() -> None:
    for found in ({}, {"borg": "/usr/bin/borg"}):
        with pytest.raises(ConfigError, match="not installed on this host"):
            plugin.image(Jail("j", ("borg",), found.get), PLAIN)


@pytest.fixture
def backup(tmp_path: Path, match_build: Any) -> Any:
    """Run borg against the home through the rules made of the settings."""
    (tmp_path / "home").mkdir()
    (tmp_path / "data").write_text("the data")

    def run(settings: Any, *words: Any) -> Any:
        account = Account("alice", 1000, 1000, "alice", str(tmp_path / "home"))
        rules = plugin.account(Jail("j", ("borg",), find_program), account, {**PLAIN, **settings}).rules
        transport = Transport(tmp_path, match_build, rules, tmp_path / "home")
        env = {
            "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "BORG_RSH": str(transport.path),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes", "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
        }  # fmt: skip
        done = subprocess.run(["borg", *words], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        return done, transport

    return tmp_path, run


@pytest.mark.needs("borg", "login-program")
def test_a_real_borg_keeps_archives_and_no_other_repository(backup: Any) -> None:
    room, run = backup
    mine = {"repositories": ("~/repo",)}
    url = f"ssh://h{room}/home"
    done, transport = run(mine, "init", "-e", "none", f"{url}/repo")
    assert done.returncode == 0, done.stderr
    for words in (("create", f"{url}/repo::one", "data"), ("--debug", "create", f"{url}/repo::two", "data"),
                  ("list", f"{url}/repo"), ("check", f"{url}/repo")):  # fmt: skip
        done, transport = run(mine, *words)
        assert done.returncode == 0, done.stderr
    assert "one" in run(mine, "list", f"{url}/repo")[0].stdout
    assert {"borg serve", "borg serve --debug"} <= set(transport.sent)
    assert run(mine, "init", "-e", "none", f"{url}/other")[0].returncode != 0
    assert not os.path.exists(room / "home/other")


@pytest.mark.needs("borg", "login-program")
def test_append_only_keeps_what_is_deleted(backup: Any) -> None:
    room, run = backup
    mine = {"paths": ("~",), "append_only": True}
    repository = f"ssh://h{room}/home/repo"
    for words in (("init", "-e", "none", repository), ("create", f"{repository}::one", "data")):
        done, _ = run(mine, *words)
        assert done.returncode == 0, done.stderr
    segments = {path.name for path in (room / "home/repo/data/0").iterdir()}
    run(mine, "delete", f"{repository}::one")
    run(mine, "compact", repository)
    assert segments <= {path.name for path in (room / "home/repo/data/0").iterdir()}


@pytest.mark.needs("borg")
def test_this_host_has_what_the_image_needs() -> None:
    needs = plugin.image(Jail("j", ("borg",), find_program), PLAIN)
    manifest = resolve([("borg", needs)])
    assert manifest.get(JailPath(needs.bare_programs[0])) is not None
    assert manifest.get(JailPath("/usr/lib/python3/dist-packages/borg/archiver.py")) is not None
