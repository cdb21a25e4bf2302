"""Sections ``[directories]``: what they say, how they combine, and what they come to for one account."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jailssh.config.files import read_user
from jailssh.config.jails import JailConfig, combine, read_jail
from jailssh.config.reader import Document, read_document
from jailssh.core.errors import JailsshError
from jailssh.jail.definition import JailDefinition
from jailssh.jail.shown import MADE, Entry, entries, tried
from jailssh.jail.this_host import ThisHost, Top
from jailssh.plan.compile import JailSettings, compile_plan
from jailssh.plugin.api import Account, Bind, Directory, Jail, Plugin, PluginResult
from jailssh.plugin.registry import load_registry

ALICE = Account("alice", 1001, 1001, "alice", "/home/alice", roles=frozenset({"alice", "@alice", "@staff", "@all"}))
PLUGINS = load_registry().plugins
WEB = "[directories]\nwrite = /a\ngroup = web\n"


class Host(ThisHost):
    def group_id(self, group: str) -> int | None:
        return {"web": 33, "staff": 50, "root": 0}.get(group)

    def tops_of(self, account: Account) -> tuple[Top, ...] | None:
        return TOPS.get(account.name)


TOPS = {
    "alice": (Top(".ssh", own=False), Top("pub", own=False), Top("up load", own=True)),
    "usr": (Top("usr", own=True),),
    "home": (Top("home", own=False),),
    "many": tuple(Top(f"d{number}", own=True) for number in range(65)),
    "nothing": (),
}
HOST = Host()


def document(text: str, plugins: str = "sftp", file: str = "j.conf") -> Document:
    return read_document(f"plugins = {plugins}\n{text}", file)


def jail(text: str, plugins: str = "sftp") -> JailConfig:
    return read_jail("j", document(text, plugins), lambda name: PLUGINS[name].options, PLUGINS)


def seen(text: str, account: Account = ALICE) -> list[tuple[str, str, bool]]:
    return [(each.place, each.source, each.writable) for each in entries(jail(text), account, HOST) or ()]


def definition(text: str, plugins: str) -> JailDefinition:
    config = jail(text, plugins)
    chosen: tuple[Plugin, ...] = tuple(PLUGINS[name] for name in config.plugins)
    facts = Jail("j", config.plugins, lambda name: name if name.startswith("/") else f"/usr/bin/{name}")
    return JailDefinition(config, chosen, facts, host=Host())


def results(text: str, plugins: str, account: Account = ALICE) -> dict[str, PluginResult]:
    of = definition(text, plugins)
    return dict(zip(of.config.plugins, of.results(account), strict=True))


def told(text: str, plugins: str = "sftp") -> str:
    with pytest.raises(JailsshError) as raised:
        results(text, plugins)
    return "\n".join(raised.value.lines())


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("read = /srv/a", ("/srv/a", "/srv/a", False)),
        ("write = /srv/a as /b", ("/b", "/srv/a", True)),
        ("write = /srv/a b as /c d", ("/c d", "/srv/a b", True)),
        ("write = ~", ("/home/alice", "/home/alice", True)),
        ("read = ~/in as /in", ("/in", "/home/alice/in", False)),
        ("write = /srv/%u as /%g", ("/alice", "/srv/alice", True)),
        ("write = ~/%k", ("/home/alice/alice", "/home/alice/alice", True)),
        ("write = /srv/a/ as /b/", ("/b", "/srv/a", True)),
    ],
)
def test_a_line_says_what_is_seen_where(line: str, wanted: tuple[str, str, bool]) -> None:
    assert seen(f"[directories]\n{line}") == [wanted]


def test_who_is_named_sees_more_and_no_line_takes_away() -> None:
    text = "[directories]\nread = /srv/a\n[directories @staff]\nwrite = /srv/a\n[directories bob]\nwrite = /srv/b"
    assert seen(text) == [("/srv/a", "/srv/a", True)]
    assert seen("[directories bob @other]\nread = /srv/a") == []
    assert entries(jail(""), ALICE, HOST) is None
    assert seen("[directories key alice]\nread = /srv/a") == [("/srv/a", "/srv/a", False)]


def test_the_home_can_be_seen_at_another_path() -> None:
    elsewhere = Account("alice", 1001, 1001, "alice", "/data", host_home="/home/alice")
    assert seen("[directories]\nwrite = ~, ~/x as /x", elsewhere) == [
        ("/data", "/home/alice", True), ("/x", "/home/alice/x", True),
    ]  # fmt: skip


def test_an_account_has_directories_of_its_own() -> None:
    user = read_user("uid = 1001\njail = j\n[directories]\nread = /srv/own as /own\n", "alice.conf", "alice")
    assert [each.origin for each in user.directories] == ["alice.conf:4 [directories] read"]
    account = Account("alice", 1001, 1001, "alice", "/home/alice", directories=user.directories)
    assert [each.place for each in entries(jail("[directories]\nread = /srv/a"), account, HOST) or ()] == [
        "/own",
        "/srv/a",
    ]
    assert [each.place for each in entries(jail(""), account, HOST) or ()] == ["/home/alice", "/own"]
    assert results("", "sftp", account)["sftp"].home == "rw"
    assert results("[sftp]\nread_only = yes", "sftp", account)["sftp"].home == "ro"
    with pytest.raises(JailsshError, match="unknown setting"):
        read_user("uid = 1\njail = j\n[directories]\nwrite = /a\nmode = 0664\n", "alice.conf", "alice")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[directories]\nread = srv", "not a plain absolute path"),
        ("[directories]\nread = /srv/../etc", "not a plain absolute path"),
        ("[directories]\nread = /srv/a as b", "not a path inside"),
        ("[directories]\nread = /srv/a as /", "not a path inside"),
        ("[directories]\nread = /srv/a /srv/b", "separate several with commas"),
        ("[directories]\nread = ~ as /b", "home cannot have another path"),
        ("[directories]\nwrite = /home/%u as /site", "is the home, which cannot have another path"),
        ("[directories]\nread = /home/alice as /home/alice/x", "is the home, which cannot have another path"),
        ("[directories a/b]\nread = /srv/a", "neither a name nor @group"),
        ("[directories]\nwrite = /srv/a\nmode = 0664", "group is not set"),
        ("[directories]\nread = /srv/a\ngroup = web", "has no effect"),
        ("[directories]\nwrite = /srv/a\ngroup = web\nmode = 2664", "not a mode of files"),
        ("[directories]\nwrite = /srv/a\ngroup = web\nmode = 044", "not a mode of files"),
        ("[directories]\nwrite = /srv/a\ngroup = web\nmode = rw", "not an octal number"),
        ("[directories]\nwrites = /srv/a", "unknown setting"),
        ("[directory]\nwrite = /srv/a", "unknown section"),
        ("[directories]\nwrite = /srv/a\ngroup = nobody-has-it", "does not exist on this host"),
        ("[directories]\nwrite = /srv/a\ngroup = root", "group of root"),
        ("[directories]\nwrite = /etc/x as /x", "is a system directory"),
        ("[directories]\nwrite = /srv/x as /usr/x", "is a system directory"),
        ("[directories]\nread = /home as /people", "contains the homes"),
        ("[directories]\nwrite = ~/.ssh as /keys", "hidden from every session"),
        ("[directories]\nwrite = /home/alice/.mailfilters/x", "hidden from every session"),
        ("[directories]\nread = /srv/%x", "has no meaning"),
        ("[directories]\nread = /srv/a as /x, /srv/b as /x", "where /srv/a is seen"),
        ("[directories]\nread = /srv/a as /x, /srv/b as /x/y", "where /srv/a is seen"),
        ("[directories]\nread = /srv/a as /x, /srv/a as /y", "listed twice"),
        ("[directories]\nwrite = /srv/a\nread = /srv/a/b", "cannot be read-only"),
        ("[directories]\nwrite = /srv/a\nread = /srv/a/b as /b", "cannot be read-only"),
        ("[directories]\nwrite = ~\nread = ~/b", "cannot be read-only"),
        (f"{WEB}[directories @all]\nwrite = /a\ngroup = staff", "another mode or group"),
        (f"{WEB}[directories @all]\nwrite = /b\ngroup = web\nmode = 0660", "two modes"),
        ("[directories]\nwrite = /a\ngroup = web\nmode = 0664\n[sftp]\nappend_only = yes", "takes new files only"),
        ("[directories]\nwrite = /srv/a\n[sftp]\nstart = /srv/b", "not in a directory that the jail shows"),
        ("[sftp]\nstart = /srv/b", "not in a directory that the jail shows"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told(text: str, why: str) -> None:
    with pytest.raises(JailsshError) as raised:
        found = tuple(results(text, "sftp").values())
        compile_plan(ALICE, JailSettings("j"), found, "/i", ("none", bytes(8)))  # type: ignore[arg-type]
    assert why in "\n".join(raised.value.lines())


def test_a_home_as_the_root() -> None:
    """Its directories are at the top, and a session begins there; where the home is as yet, such as it will have."""
    text = "[directories]\nwrite = ~ as /\n"
    assert seen(text) == [("/pub", "/home/alice/pub", True), ("/up load", "/home/alice/up load", True)]
    assert seen(text, replace(ALICE, name="new")) == [("/upload", "/home/alice/upload", True)]
    assert seen(text, replace(ALICE, name="nothing")) == []
    moved = replace(ALICE, home="/home/alice", host_home="/srv/chroot/alice")
    assert seen(text, moved)[0] == ("/pub", "/srv/chroot/alice/pub", True)
    found = results(text, "sftp scp rsync")
    assert found["sftp"].rules[0].argv_prefix[-2:] == ("-d", "/")
    for result in found.values():
        assert result.home == "none"
        assert {(bind.path, bind.source, bind.optional) for bind in result.binds} == {
            ("/pub", "/home/alice/pub", True), ("/up load", "/home/alice/up load", True),
        }  # fmt: skip
    someone = tried(entries(jail(text), ALICE, HOST), ALICE)
    assert someone is not None
    assert someone.home == "/up load"  # where it can write
    read = results(text.replace("write", "read"), "sftp")["sftp"]
    assert not any(bind.writable for bind in read.binds)


@pytest.mark.parametrize(
    ("name", "plugins", "why"),
    [
        ("usr", "sftp", "/home/alice/usr cannot be shown as /usr, which a jail has for itself"),
        ("home", "sftp", "/home/alice/home cannot be shown as /home, which a jail has for itself"),
        ("many", "sftp", "65 directories, and 64 at most"),
        ("alice", "shell", "the home as / is for transfers"),
    ],
)
def test_a_home_that_cannot_be_the_root(name: str, plugins: str, why: str) -> None:
    with pytest.raises(JailsshError) as raised:
        results("[directories]\nwrite = ~ as /\n", plugins, replace(ALICE, name=name))
    assert why in "\n".join(raised.value.lines())


@pytest.mark.parametrize("name", ["..", ".", "a/b", ""])
def test_a_name_that_is_no_directory_is_told(name: str) -> None:
    odd = Account(name, 1001, 1001, "g", "/home/odd")
    with pytest.raises(JailsshError, match="not a name of a directory"):
        seen("[directories]\nread = /srv/%u", odd)


@pytest.mark.parametrize("name", ["DOM\\bob", "a b", "x as etc", "a,b", "%u", "ü", "-n", "a@b.c"])
def test_odd_names_are_one_component(name: str) -> None:
    odd = Account(name, 1001, 1001, "g", "/home/odd")
    assert seen("[directories]\nread = /srv/%u as /in/%u", odd) == [(f"/in/{name}", f"/srv/{name}", False)]


def combined(one: str, other: str) -> JailConfig:
    both = combine({"a": document(one, file="a.conf"), "b": document(other, file="b.conf")})
    return read_jail("a+b", both, lambda name: PLUGINS[name].options, PLUGINS)


def test_jails_are_combined_to_what_either_shows() -> None:
    found = combined("[directories]\nread = /srv/a\n", "[directories]\nread = /srv/b, /srv/a\nwrite = /srv/c\n")
    assert [each.path for each in found.directories] == ["/srv/a", "/srv/b", "/srv/c"]
    assert combined("", "[directories @x]\nread = /srv/a\n").directories[0].who == ("@x",)


def test_a_mode_of_one_jail_is_not_taken_for_directories_of_another() -> None:
    with pytest.raises(JailsshError, match="is set differently in another jail"):
        combined("[directories]\nwrite = /srv/a\ngroup = web\n", "[directories]\nwrite = /srv/b\n")


def test_what_is_listed_stands_for_the_home_and_for_directories_of_plugins() -> None:
    text = "[directories]\nread = /srv/logs as /logs\nwrite = ~/in, /srv/site as /site\n"
    found = results(text, "sftp, rsync, shell")
    binds = {Bind("/logs", source="/srv/logs"), Bind("/site", True, source="/srv/site"), Bind("/home/alice/in", True)}
    for name in ("sftp", "shell", "rsync"):
        assert (found[name].home, set(found[name].binds)) == ("none", binds), name
    rules = {rule.id: rule for rule in found["rsync"].rules}
    assert set(rules["rsync.pull"].path_roots) == {"/home/alice/in", "/logs", "/site"}
    assert set(rules["rsync.push"].path_roots) == {"/home/alice/in", "/site"}
    plan = compile_plan(ALICE, JailSettings("j"), tuple(found.values()), "/i", ("none", bytes(8)))  # type: ignore[arg-type]
    binds_of_plan = [record.args for record in plan.records if record.verb == "bind"]
    shown = {args[1]: (args[0], args[2], *args[4:]) for args in binds_of_plan}
    assert shown == {
        "/logs": ("/srv/logs", "ro", "root", "must"),
        "/site": ("/srv/site", "rw", "root", "must"),
        "/home/alice/in": ("/home/alice/in", "rw", "user", "make"),
    }


def test_a_plugin_that_only_reads_has_it_read_only() -> None:
    found = results("[directories]\nwrite = /srv/a, ~\n[sftp]\nread_only = yes", "sftp")["sftp"]
    assert (found.home, found.binds) == ("ro", (Bind("/srv/a"),))


@pytest.mark.parametrize(
    "text",
    [
        "[directories]\nwrite = /srv/x as /x, /srv/x/git as /r\n[git]\nwrite = /r\n[rsync]\nwrite = /x",
        "[directories]\nwrite = ~/git as /r, ~\n[git]\nwrite = /r\n[rsync]\nwrite = ~",
    ],
)
def test_what_one_plugin_trusts_another_does_not_write_by_another_path(text: str) -> None:
    assert "git reads hooks and settings from" in told(text, "git rsync")


def test_plugins_that_write_to_different_directories_do_not_meet() -> None:
    text = "[directories]\nwrite = /srv/x as /x, /srv/y as /r\n[git]\nwrite = /r\n[rsync]\nwrite = /x"
    assert [bind.source for each in results(text, "git rsync").values() for bind in each.binds] == ["/srv/y", "/srv/x"]


def test_a_directory_that_a_plugin_names_itself_is_shown_besides() -> None:
    text = "[directories]\nread = /srv/a as /a\n[rsync]\nwrite = /srv/in\n"
    assert set(results(text, "rsync")["rsync"].binds) == {Bind("/srv/in", True)}
    for path in ("/a/b", "/srv/a", "/srv", "/srv/a/b"):
        said = told(text.replace("/srv/in", path), "rsync")
        assert "is writable there, and /srv/a read-only at j.conf:3" in said, path
    home = "[directories]\nread = ~/pub\n[rsync]\nwrite = ~\n"
    assert "/home/alice is writable there, and /home/alice/pub read-only" in told(home, "rsync, sftp")


@pytest.mark.parametrize(
    ("plugin", "lines", "words"),
    [
        ("borg", "write = /srv/a as /a\nread = /srv/b", "--restrict-to-path /a"),
        ("restic", "write = /srv/a as /a\nread = /srv/b", "--append-only /a"),
    ],
)
def test_servers_of_backups_take_what_is_writable(plugin: str, lines: str, words: str) -> None:
    found = results(f"[directories]\n{lines}", plugin)[plugin]
    assert any(words in " ".join(rule.argv_insert) for rule in found.rules)
    assert found.binds == (Bind("/a", True, source="/srv/a"),)
    assert "no directory is set" in told("[directories]\nread = /srv/b", plugin)


@pytest.mark.parametrize("plugin", ["rsync", "borg", "restic", "git"])
def test_who_has_no_directory_is_denied_and_the_others_go_on(plugin: str) -> None:
    text = "[directories @writers]\nwrite = /srv/a as /a\n"
    (rule,) = results(text, plugin)[plugin].rules
    assert (rule.builtin_reply or (0, ""))[0] == 126
    writer = Account("bob", 1002, 1002, "bob", "/home/bob", roles=frozenset({"bob", "@writers", "@all"}))
    given = results(text, plugin, writer)[plugin]
    assert [rule.builtin_reply for rule in given.rules if rule.builtin_reply is None]
    assert given.binds == (Bind("/a", True, source="/srv/a"),)
    for account in (ALICE, writer):
        found = tuple(results(text, plugin, account).values())
        compile_plan(account, JailSettings("j"), found, "/i", ("none", bytes(8)))  # type: ignore[arg-type]


def test_without_a_home_sftp_starts_in_what_is_listed_first() -> None:
    def start(text: str) -> str:
        return " ".join(results(text, "sftp")["sftp"].rules[0].argv_prefix).partition("-d ")[2]

    assert start("[directories]\nwrite = /srv/a as /a") == "/a"
    assert start("[directories]\nwrite = /srv/a as /a, ~") == ""
    assert start("[directories]\nwrite = /srv/a as /a\n[sftp]\nstart = /") == "/"
    assert start("[directories]\nwrite = /srv/a as /a\n[sftp]\nstart = /a/b") == "/a/b"


def test_programs_that_serve_get_modes_and_a_shell_does_not() -> None:
    text = (
        "[directories]\nwrite = /srv/a\ngroup = web\nmode = 0660\n[directories @all]\nwrite = /srv/b\ngroup = staff\n"
    )
    of = definition(text, "sftp, shell")
    rules = {rule.id: dict(rule.environment) for result in of.results(ALICE) for rule in result.rules}
    assert rules["sftp.server"][MADE] == "50:-:-,33:660:770"
    assert rules["shell.login"] == rules["shell.command"] == {}
    assert (of.config.umask, set(of.config.supplementary_groups)) == (0o007, {"web", "staff"})
    assert jail(f"umask = 027\n{text}").umask == 0o027
    assert [path for _, need in of.needs() for path in need.files if "jailssh-made" in path]


def test_an_entry_is_what_a_line_says() -> None:
    (found,) = entries(jail("[directories @staff]\nwrite = /srv/%g\ngroup = web\nmode = 0640\n"), ALICE, HOST) or ()
    assert found == Entry(
        place="/srv/alice", source="/srv/alice", writable=True, mode=0o640, group="web",
        origin="j.conf:3 [directories @staff] write", personal=True,
    )  # fmt: skip
    assert isinstance(jail("[directories]\nread = /a").directories[0], Directory)
