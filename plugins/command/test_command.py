from typing import Any

import pytest

from jailssh.config.values import parse
from jailssh.core.errors import ConfigError
from jailssh.core.names import JailPath
from jailssh.image.resolve import resolve
from jailssh.jail.this_host import find_program
from jailssh.plugin.api import Account, Bind, Jail, Plugin, Value
from jailssh.policy.rules import check_rules
from jailssh_plugins.command.plugin import plugin

ALICE = Account("alice", 1000, 1000, "alice", "/home/alice")
PROGRAMS = {
    "report": "/usr/local/bin/report",
    "/usr/local/bin/report": "/usr/local/bin/report",
    "id": "/usr/bin/id",
    "find": "/usr/bin/find",
}
JAIL = Jail("j", ("command",), PROGRAMS.get)
PLAIN: dict[str, Value] = {"commands": (), "read": (), "write": (), "files": (), "proc": False}


def result(*commands: Any, **settings: Any) -> Any:
    return plugin.account(JAIL, ALICE, {**PLAIN, "commands": commands, **settings})


def rule(command: Any, **settings: Any) -> Any:
    (only,) = result(command, **settings).rules
    check_rules([only])
    return only


def test_it_is_a_plugin_whose_options_have_these_defaults() -> None:
    assert isinstance(plugin, Plugin)
    assert {option.name for option in plugin.options} == set(PLAIN)


def test_lines_as_a_file_holds_them() -> None:
    raw = ("report --days <int:1:365>", "id <enum:-,a>")
    assert parse("texts", raw) == raw
    assert parse("texts", "id") == ("id",)
    assert parse("texts", "") == ()


def test_literal_words() -> None:
    mine = rule("report --days 7")
    assert (mine.program, mine.argv0) == ("/usr/local/bin/report", "report")
    assert mine.command_names == ("report", "/usr/local/bin/report")
    assert (mine.literal_words, mine.operands) == (("--days", "7"), (0, 0, "text"))
    assert rule("/usr/local/bin/report").command_names == ("/usr/local/bin/report",)


def test_arguments() -> None:
    assert rule("report --days <int:1:365>").operands == (1, 1, "int:1:365")
    assert rule("report <word> [<word>]").operands == (1, 2, "word")
    assert rule("report <enum:a,b>...").operands == (1, 1024, "enum:a,b")


def test_options() -> None:
    mine = rule("report daily [-v] [-n <int:1:9>] [--all] [--name <word>] <word>")
    assert mine.literal_words == ("daily",)
    assert (mine.short_flags, mine.short_options) == ("v", (("n", "int:1:9"),))
    assert mine.long_options == (("all", "flag"), ("name", "word"))


def test_options_that_must_be_given() -> None:
    mine = rule("report (-n <int:1:9>) (-v) (--to <word>) [--all] <word>")
    assert (mine.short_flags, mine.required_letters, mine.short_options) == ("v", "nv", (("n", "int:1:9"),))
    assert (mine.long_options, mine.required_options) == ((("all", "flag"), ("to", "word")), ("to",))
    assert mine.single_use == ("n", "v", "to")
    assert rule("report (--n)").required_options == ("n",)
    check_rules(result("report (--to <word>)", "report [--all]").rules)


def test_arguments_of_several_classes() -> None:
    mine = rule("report <pattern:db-*> <int:1:31> [<path:~/in>...]", write=("~",))
    assert (mine.operand_classes, mine.operands) == (("pattern:db-*", "int:1:31"), (2, 1024, "path"))
    mine = rule("report <word> <int:1:2> [<int:1:2>] [<enum:a>]")
    assert (mine.operand_classes, mine.operands) == (("word", "int:1:2", "int:1:2"), (2, 4, "enum:a"))
    mine = rule("report <word> [<int:1:2>] [<int:1:2>]")
    assert (mine.operand_classes, mine.operands) == (("word",), (1, 3, "int:1:2"))
    assert rule("report [<word>...]").operands == (0, 1024, "word")
    assert rule("report <word> <text>").operand_classes == ("word",)


def test_paths_are_shown_and_judged() -> None:
    given = result("report <path:~/in>", write=("~",))
    assert (given.rules[0].path_roots, given.rules[0].relative_to, given.home) == (
        ("/home/alice/in",),
        "/home/alice",
        "rw",
    )
    given = result("report <path:/srv/a,/srv/b>", read=("/srv/a", "/srv/b"))
    assert (given.rules[0].path_roots, given.rules[0].relative_to) == (("/srv/a", "/srv/b"), "/srv/a")
    assert (set(given.binds), given.home) == ({Bind("/srv/a"), Bind("/srv/b")}, "none")


def test_anything() -> None:
    mine = rule("id <anything>")
    assert mine.operands == (0, 1024, "text")
    assert {"u", "Z", "1"} <= set(mine.short_flags)
    assert mine.long_options == ()


def test_rules_are_named_by_number_and_program() -> None:
    assert [mine.id for mine in result("report a", "report b").rules] == ["command.1.report", "command.2.report"]
    assert result("report a", "id", "report b").capability == "report, id"


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("nothere", "not a program on this host"),
        ("report <nonsense>", "not a value class"),
        ("report <word> x", "is not allowed after an argument"),
        ("report [-v] x", "is not allowed here"),
        ("report a;id", "is not allowed here"),
        ("report 'a b'", "is not allowed here"),
        ("report [-vv]", "is not allowed here"),
        ("report <word", "cannot be parsed from"),
        ("report [<word>] <word>", "is not allowed here"),
        ("report <word>... <word>", "is not allowed here"),
        ("report [<word>...] [<word>]", "is not allowed here"),
        ("report (<word>)", "is not allowed here"),
        ("report (--to <word>", "cannot be parsed from"),
        ("report (--to <word>]", "cannot be parsed from"),
        ("report <word> (-v)", "is not allowed after an argument"),
        ("report (-v) x", "is not allowed here"),
        ("report (-v) <anything>", "must be alone"),
        ("report (-n) (--n)", "named twice"),
        ("report <pattern:>", "not a value class"),
        ("report <pattern:-*>", "not a value class"),
        ("report <flag>", "which is for options only"),
        ("report <text> [<text>]", "several <text>"),
        ("report <word> <text>...", "several <text>"),
        ("report <text>...", "several <text>"),
        ("report [-v] <anything>", "must be alone"),
        ("report <anything> <word>", "is not allowed after an argument"),
        ("report <path:/srv/a>", "not in read or write"),
        ("report <path:srv>", "not a path"),
        ("find <anything>", "this program can run other programs"),
        ("find <text>", "this program can run other programs"),
    ],
)
def test_impossible_lines(command: Any, why: Any) -> None:
    with pytest.raises(ConfigError, match=why):
        check_rules(result(command).rules)


def test_different_directories_in_one_line() -> None:
    with pytest.raises(ConfigError, match="different directories"):
        result("report [-o <path:/srv/a>] <path:/srv/b>", read=("/srv",))


def test_no_command_at_all() -> None:
    with pytest.raises(ConfigError, match="no command is set"):
        plugin.image(JAIL, PLAIN)


def test_two_lines_that_one_command_matches() -> None:
    with pytest.raises(ConfigError, match=r"command.1.report and command.2.report"):
        check_rules(result("report daily", "report <word>").rules)
    check_rules(result("report daily", "report weekly", "report --days <int:1:9>").rules)


def test_the_image_holds_the_programs() -> None:
    given = plugin.image(JAIL, {**PLAIN, "commands": ("id -u", "report", "id -g"), "files": ("/usr/share/report",)})
    assert given.programs == ("/usr/bin/id", "/usr/local/bin/report")
    assert given.files == ("/usr/share/report",)


def test_this_host_has_what_the_image_needs() -> None:
    needs = plugin.image(Jail("j", ("command",), find_program), {**PLAIN, "commands": ("id -u",)})
    assert resolve([("command", needs)]).get(JailPath(needs.programs[0])) is not None
