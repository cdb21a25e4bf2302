import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jailssh.core.errors import ConfigError
from jailssh.core.names import JailPath
from jailssh.image.resolve import resolve
from jailssh.jail.this_host import find_program
from jailssh.plugin.api import Account, Bind, Jail, Plugin, Value
from jailssh.policy.rules import check_rules
from jailssh_plugins.rsync.plugin import plugin

ALICE = Account("alice", 1000, 1000, "alice", "/home/alice")
JAIL = Jail("j", ("rsync",), {"rsync": "/usr/bin/rsync"}.get)
PLAIN: dict[str, Value] = {
    "read": (),
    "write": (),
    "delete": True,
    "overwrite": True,
    "follow_links": False,
    "munge": False,
    "confine": False,
    "probe": False,
}


def result(**settings: Any) -> Any:
    return plugin.account(JAIL, ALICE, {**PLAIN, **settings})


def rules(**settings: Any) -> Any:
    """Return the rules but the answer to -s, which is in each jail."""
    return {rule.id: rule for rule in result(**settings).rules if not rule.id.endswith(".secluded")}


def test_it_is_a_plugin_whose_options_have_these_defaults() -> None:
    assert isinstance(plugin, Plugin)
    assert {option.name for option in plugin.options} == set(PLAIN)
    assert plugin.image(JAIL, PLAIN).programs == ("/usr/bin/rsync",)
    with pytest.raises(ConfigError, match="not found"):
        plugin.image(Jail("j", ("rsync",), dict[str, str]().get), PLAIN)


def test_each_direction_has_a_rule_only_if_it_has_a_directory() -> None:
    for given in ("read", "write"):
        some = rules(**{given: ("/srv/a",)})
        check_rules(some.values())
        assert {name for name, rule in some.items() if not rule.builtin_reply} == {
            "rsync.pull" if given == "read" else "rsync.push"
        }
    both = rules(read=("/srv/a",), write=("/srv/a",))
    assert set(both) == {"rsync.pull", "rsync.push"}
    check_rules(both.values())
    assert both["rsync.pull"].literal_words == ("--server", "--sender")
    assert both["rsync.push"].literal_words == ("--server",)
    assert both["rsync.push"].operands[:2] == (1, 1)


def test_who_sends_the_arguments_past_the_rules_is_told_what_to_set() -> None:
    given = result(read=("/srv/a",), write=("/srv/a",)).rules
    check_rules(given)
    found = {rule.literal_words: rule for rule in given if rule.id.endswith(".secluded")}
    assert set(found) == {("--server",), ("--server", "--sender")}
    for rule in found.values():
        assert (rule.required_letters, rule.builtin_reply[0], "--no-s" in rule.builtin_reply[1]) == ("s", 126, True)


def test_the_probe_is_answered_and_not_run() -> None:
    rule = rules(read=("/srv/a",), probe=True)["rsync.probe"]
    assert (rule.command_names, rule.operands[:2], rule.builtin_reply) == (("true",), (0, 0), (0, ""))


def test_mounts() -> None:
    given = result(read=("/srv/a", "/srv/c"), write=("/srv/b", "/srv/c"))
    assert set(given.binds) == {Bind("/srv/a"), Bind("/srv/b", writable=True), Bind("/srv/c", writable=True)}
    assert given.home == "none"
    assert result(write=("~/backup",)).home == "none"
    assert result(read=("~/pub",)).binds == (Bind("/home/alice/pub"),)
    assert result(read=("~/pub",), write=("~/in",)).binds == (Bind("/home/alice/in", True), Bind("/home/alice/pub"))
    assert [result(**{way: ("~",)}).home for way in ("read", "write")] == ["ro", "rw"]
    both = {name: rule.accessible_directories for name, rule in rules(read=("/srv/a",), write=("~/in",)).items()}
    assert both == {"rsync.pull": (("/srv/a", False),), "rsync.push": (("/home/alice/in", True),)}
    # Below a directory that the user can write to nothing is mounted.
    assert result(read=("/srv/a/b",), write=("/srv/a",)).binds == (Bind("/srv/a", writable=True),)
    assert result(read=("/srv/a", "/srv/a/b")).binds == (Bind("/srv/a"),)


def test_relative_paths_begin_in_the_home_or_in_the_first_directory() -> None:
    assert rules(write=("~/backup",))["rsync.push"].relative_to == "/home/alice"
    assert rules(write=("/srv/a", "/srv/b"))["rsync.push"].relative_to == "/srv/a"


def test_every_rule_keeps_popt_from_reading_the_user_s_aliases() -> None:
    assert {rule.environment for rule in rules(read=("~",), write=("~",)).values()} == {(("HOME", "/"),)}


@pytest.mark.parametrize("pull", [True, False])
def test_what_runs_something_or_writes_elsewhere_is_in_no_rule(pull: Any) -> None:
    mine = rules(read=("~",), write=("~",), follow_links=True)["rsync.pull" if pull else "rsync.push"]
    longs = dict(mine.long_options)
    runs = ("daemon", "config", "rsh", "rsync-path")
    assert not set(longs) & {*runs, "copy-devices", "write-devices", "no-munge-links", "debug", "log-file"}
    assert "s" not in mine.short_flags
    assert ("remove-source-files" in longs) is not pull
    assert "delete-missing-args" not in longs or not pull
    assert ("temp-dir" in longs) is not pull


def test_following_links_is_an_option() -> None:
    plain, follow = rules(read=("~",))["rsync.pull"], rules(read=("~",), follow_links=True)["rsync.pull"]
    assert not set("KLk") & set(plain.short_flags)
    assert set(follow.short_flags) - set(plain.short_flags) == set("KLk")
    assert set(dict(follow.long_options)) - set(dict(plain.long_options)) == {"copy-unsafe-links"}


def test_without_delete_and_overwrite() -> None:
    plain = dict(rules(write=("~",))["rsync.push"].long_options)
    longs = dict(rules(write=("~",), delete=False)["rsync.push"].long_options)
    assert [name for name in longs if name.startswith(("delete", "remove")) or name == "max-delete"] == []
    keep = rules(write=("~",), overwrite=False)["rsync.push"]
    assert keep.argv_insert == ("--ignore-existing",)
    assert "b" not in keep.short_flags
    assert set(plain) - set(dict(keep.long_options)) == {
        "append",
        "backup-dir",
        "delay-updates",
        "force",
        "inplace",
        "partial-dir",
        "suffix",
    }
    # As in rrsync, what makes backups is refused when reading too.
    pull, kept = rules(read=("~",))["rsync.pull"], rules(read=("~",), overwrite=False)["rsync.pull"]
    assert kept.argv_insert == ()
    assert set(pull.short_flags) - set(kept.short_flags) == {"b"}
    assert set(dict(pull.long_options)) - set(dict(kept.long_options)) == {"backup-dir"}


def test_munging_and_confining_are_inserted() -> None:
    munged = rules(read=("/srv/a",), write=("/srv/a",), munge=True, confine=True, overwrite=False)
    assert munged["rsync.pull"].argv_insert == ("--confine-root=/srv/a", "--munge-links")
    assert munged["rsync.push"].argv_insert == (
        "--drop-D",
        "--confine-root=/srv/a",
        "--munge-links",
        "--ignore-existing",
    )
    with pytest.raises(ConfigError, match="one directory"):
        rules(read=("/srv/a", "/srv/b"), confine=True)


@pytest.mark.parametrize(
    ("settings", "why"),
    [({}, "no directory is set"), ({"write": ("/",)}, "homes of accounts"), ({"read": ("x",)}, "not a path")],
)
def test_impossible_settings(settings: Any, why: Any) -> None:
    with pytest.raises(ConfigError, match=why):
        result(**settings)


# Runs what the client asks for, with the inserted options, in the environment of the rule.
SERVE = """#!{python}
import os, sys
words = sys.argv[2:]
at = words.index(".")
argv = words[:at] + {insert!r} + words[at:]
os.chdir({home!r})
os.execve("/usr/bin/rsync", argv, {env!r})
"""


@pytest.fixture
def transfer(tmp_path: Path) -> Any:
    home = tmp_path / "home"
    home.mkdir()

    def run(rule: Any, command: Any) -> Any:
        transport = tmp_path / "transport"
        text = SERVE.format(
            python=sys.executable, insert=list(rule.argv_insert), home=str(home), env=dict(rule.environment)
        )
        transport.write_text(text)
        transport.chmod(0o755)
        words = ["rsync", "-e", str(transport), *shlex.split(command)]
        return subprocess.run(words, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, timeout=30)

    return home, tmp_path, run


@pytest.mark.needs("rsync")
def test_what_exists_is_not_overwritten_without_overwrite(transfer: Any) -> None:
    home, room, run = transfer
    (room / "a").write_text("old")
    push = rules(write=("~",), overwrite=False)["rsync.push"]
    assert run(push, "-a a h:.").returncode == 0
    (room / "a").write_text("new text")
    (room / "b").write_text("b")
    assert run(push, "-a --checksum a b h:.").returncode == 0
    assert (home / "a").read_text() == "old"
    assert (home / "b").read_text() == "b"
    assert run(rules(write=("~",))["rsync.push"], "-a --checksum a h:.").returncode == 0
    assert (home / "a").read_text() == "new text"


@pytest.mark.needs("rsync")
def test_links_are_munged_where_they_should_be(transfer: Any) -> None:
    home, room, run = transfer
    (room / "link").symlink_to("/etc/passwd")
    assert run(rules(write=("~",), munge=True)["rsync.push"], "-a link h:.").returncode == 0
    assert os.readlink(home / "link") == "/rsyncd-munged//etc/passwd"


@pytest.mark.needs("rsync", "rrsync")
def test_confined_makes_no_special_file_and_reads_no_filter_from_elsewhere(transfer: Any) -> None:
    home, room, run = transfer
    os.mkfifo(room / "pipe")
    push = rules(write=(str(home),), confine=True)["rsync.push"]
    assert run(push, "-a pipe h:.").returncode == 0
    assert not (home / "pipe").exists()
    assert run(rules(write=(str(home),))["rsync.push"], "-a pipe h:.").returncode == 0
    assert (home / "pipe").exists()
    # A filter rule that names a file of this host: its lines would say which names are left out.
    (room / "secret").write_text("- hidden\n")
    for name in ("hidden", "shown"):
        (home / name).write_text(name)
    pull = rules(read=(str(home),))["rsync.pull"]
    words = f"-r --filter=':_{room}/secret' h:. "
    assert run(pull, f"{words} {room}/open/").returncode == 0
    assert not (room / "open" / "hidden").exists()
    held = rules(read=(str(home),), confine=True)["rsync.pull"]
    run(held, f"{words} {room}/held/")
    assert not (room / "held").exists() or (room / "held" / "hidden").exists()


@pytest.mark.needs("rsync")
def test_this_host_has_what_the_image_needs() -> None:
    found = Jail("j", ("rsync",), find_program)
    manifest = resolve([("rsync", plugin.image(found, PLAIN))])
    (program, *_) = plugin.image(found, PLAIN).programs
    assert manifest.get(JailPath(program)) is not None
