"""Every plugin beside every other one on the same directory: both keep their word, or the pair is refused."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from types import MappingProxyType

import pytest

from jailssh.config import jails, reader
from jailssh.core.errors import ConfigError, ManyErrors
from jailssh.core.names import HostPath
from jailssh.jail.definition import NO_FILTER, JailDefinition
from jailssh.jail.meeting import Meeting, clashes, refuse_clashes
from jailssh.jail.profiles import shipped_profiles
from jailssh.jail.this_host import SAMPLE_ACCOUNT
from jailssh.plan.compile import JailSettings, compile_plan
from jailssh.plugin.api import Account, Bind, Jail, Plugin, PluginResult
from jailssh.plugin.registry import load_registry
from jailssh.policy.rules import Rule
from tests.login.jails import PROGRAMS

ALICE = Account("alice", 1000, 1000, "alice", "/home/alice")
REGISTRY = load_registry()
# Of each plugin, each way to use the one directory ~/d; and what its page says of it: t takes orders from what is
# there, w writes there what the client wants, c changes what is there, k keeps what is there.
WAYS: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "sftp": ("sftp", "", "wc"),
        "sftp-ro": ("sftp", "read_only = yes", ""),
        "sftp-drop": ("sftp", "write_only = yes", "wk"),
        "sftp-append": ("sftp", "append_only = yes", "wk"),
        "scp": ("scp", "", "wc"),
        "scp-down": ("scp", "upload = no", ""),
        "rsync": ("rsync", "write = ~/d", "wc"),
        "rsync-pull": ("rsync", "read = ~/d", ""),
        "rsync-keep": ("rsync", "write = ~/d\ndelete = no\noverwrite = no", "wk"),
        "rsync-no-delete": ("rsync", "write = ~/d\ndelete = no", "wck"),
        "rsync-no-overwrite": ("rsync", "write = ~/d\noverwrite = no", "wck"),
        "borg": ("borg", "repositories = ~/d", "wc"),
        "borg-append": ("borg", "paths = ~/d\nappend_only = yes", "wk"),
        "restic": ("restic", "repository = ~/d\nappend_only = no", "wc"),
        "restic-append": ("restic", "repository = ~/d", "wk"),
        "command": ("command", "commands = report <path:~/d>\nwrite = ~/d", "wc"),
        "command-ro": ("command", "commands = report <path:~/d>\nread = ~/d", ""),
        "shell": ("shell", "", "wc"),
        "git": ("git", "write = ~/d", "twc"),
        "git-ro": ("git", "read = ~/d", "t"),
        "git-rights": ("git", "roots = ~/d\nrights = create x/* @all", "twc"),
        "svn": ("svn", "root = ~/d", "twc"),
        "svn-ro": ("svn", "root = ~/d\nread_only = yes", "t"),
        "hg": ("hg", "write = ~/d", "twc"),
        "hg-ro": ("hg", "read = ~/d", "t"),
        "cvs": ("cvs", "repositories = ~/d", "twc"),
    }
)
PAIRS = [(a, b) for a, b in permutations(WAYS, 2) if WAYS[a][0] != WAYS[b][0]]


def text_of(*ways: str) -> str:
    return f"plugins = {' '.join(WAYS[way][0] for way in ways)}\n" + "".join(
        f"[{WAYS[way][0]}]\n{WAYS[way][1]}\n" for way in ways
    )


def config_of(text: str) -> jails.JailConfig:
    return jails.read_jail("j", reader.read_document(text, "j.conf"), REGISTRY.options, frozenset(REGISTRY.plugins))


def results_of(config: jails.JailConfig, account: Account = ALICE) -> tuple[PluginResult, ...]:
    facts = Jail("j", config.plugins, PROGRAMS.get)
    plugins: list[Plugin] = [REGISTRY.get(name) for name in config.plugins]
    return tuple(plugin.account(facts, account, config.options[plugin.name]) for plugin in plugins)


@pytest.mark.parametrize("way", WAYS)
def test_a_plugin_alone_meets_nobody(way: str) -> None:
    config = config_of(text_of(way))
    refuse_clashes(config, results_of(config), ALICE)


@pytest.mark.parametrize(("one", "two"), PAIRS, ids="+".join)
def test_a_pair_keeps_its_word_or_is_refused(one: str, two: str) -> None:
    config = config_of(text_of(one, two))
    if "cvs" in (one, two) and {"shell", "command"} & set(config.plugins):
        with pytest.raises(ConfigError, match="cannot be in one jail"):
            results_of(config)
        return
    results = results_of(config)
    (name, _, mine), (other, _, its) = WAYS[one], WAYS[two]
    orders = "t" in mine and "w" in its and "shell" not in config.plugins
    # Beside the sftp plugin scp has the old protocol left, which overwrites.
    kept = "k" in mine and "c" in its
    found = {clash.kind for clash in clashes(config.plugins, results, ALICE) if clash.plugin == name}
    assert found == {kind for kind, is_so in ((Meeting.ORDERS, orders), (Meeting.KEPT, kept)) if is_so}
    if orders or kept:
        with pytest.raises(ManyErrors if _several(config, results) else ConfigError) as caught:
            refuse_clashes(config, results, ALICE)
        errors = getattr(caught.value, "errors", [caught.value])
        assert any(error.what.startswith("j.conf:") and name in error.what and other in error.why for error in errors)
        said = config_of("shared_directories = yes\n" + text_of(one, two))
        refuse_clashes(said, results, ALICE)
    else:
        compile_plan(ALICE, JailSettings("j"), results, HostPath("/image"), NO_FILTER)


def _several(config: jails.JailConfig, results: tuple[PluginResult, ...]) -> bool:
    return len(clashes(config.plugins, results, ALICE)) > 1


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        # Not writable in the jail, whatever sftp does; and beside it.
        ("plugins = git sftp\n[git]\nread = /srv/git\n", False),
        ("plugins = git sftp\n[git]\nwrite = /srv/git\n", True),
        ("plugins = git sftp\n[git]\nwrite = /srv/git\n[sftp]\nread_only = yes\n", False),
        ("plugins = hg rsync\n[hg]\nwrite = /srv/hg/x\n[rsync]\nwrite = /srv/hg\n", True),
        ("plugins = hg rsync\n[hg]\nread = /srv/hg/x\n[rsync]\nwrite = /srv/hg/x/.hg\n", True),
        ("plugins = hg rsync\n[hg]\nwrite = /srv/hg/x\n[rsync]\nwrite = /srv/hg/xy\n", False),
        ("plugins = svn rsync\n[svn]\nroot = ~/svn\n[rsync]\nwrite = ~/backup\n", False),
        ("plugins = borg scp\n[borg]\nrepositories = /srv/borg\nappend_only = yes\n", True),
        ("plugins = borg scp\n[borg]\nrepositories = /srv/borg\nappend_only = yes\n[scp]\nupload = no\n", False),
        ("plugins = borg rsync\n[borg]\npaths = ~/borg\nappend_only = yes\n[rsync]\nwrite = ~/files\n", False),
    ],
)
def test_directories_apart_and_within_each_other(text: str, refused: bool) -> None:
    config = config_of(text)
    assert bool(clashes(config.plugins, results_of(config), ALICE)) is refused


def test_a_plugin_that_says_nothing_writes_what_it_has_shown() -> None:
    rule = Rule("x.x", "x", "/usr/bin/x", ("x",))
    other = PluginResult((rule,), "x", binds=(Bind("/srv/x", writable=True), Bind("/srv/y")), home="none")
    for root, refused in (("/srv/x", True), ("/srv/x/in", True), ("/srv/y", False)):
        config = config_of(f"plugins = svn\n[svn]\nroot = {root}\nread_only = yes\n")
        found = clashes(("svn", "x"), (*results_of(config), other), ALICE)
        assert [clash.path for clash in found] == [root] * refused


@pytest.mark.parametrize("name", sorted(shipped_profiles()))
def test_the_shipped_profiles_meet_nothing(name: str) -> None:
    document = shipped_profiles()[name]
    if "rights" in document.entries.get("git", {}):
        git = {key: entry for key, entry in document.entries["git"].items() if key != "rights"}
        entries = {**document.entries, "git": git}
        document = reader.Document(document.file, entries, document.headers)
    config = jails.read_jail(name, document, REGISTRY.options)
    refuse_clashes(config, results_of(config), ALICE)


def test_a_jail_asks_before_anything_else_is_made_of_it() -> None:
    config = config_of("plugins = svn sftp\n[svn]\nroot = ~/svn\n")
    plugins = tuple(REGISTRY.get(name) for name in config.plugins)
    definition = JailDefinition(config, plugins, Jail("j", config.plugins, PROGRAMS.get))
    with pytest.raises(ConfigError) as caught:
        definition.results(SAMPLE_ACCOUNT)
    assert caught.value.what == "j.conf:3 [svn] root"
    assert caught.value.why.startswith("svn reads hooks and settings from /home/user/svn, and sftp can write to")
    assert "shared_directories = yes" in caught.value.hint
