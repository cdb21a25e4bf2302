import dataclasses
from typing import Any

import pytest

from jailssh.core.errors import ConfigError
from jailssh.policy.rules import Rule, check_rules, rule_records


def rule(name: Any = "a.one", command_names: Any = ("prog",), **fields: Any) -> Any:
    return Rule(name, "a", "/usr/bin/prog", command_names, **fields)


def clash(*rules: Any) -> Any:
    with pytest.raises(ConfigError) as caught:
        check_rules(rules)
    return str(caught.value)


def test_records_stand_in_the_plan_s_order_and_hold_every_field() -> None:
    full = rule(
        argv0="p",
        argv_prefix=("x",),
        literal_words=("--server",),
        short_flags="ab",
        required_letters="a",
        cluster_tail=("e", "capabilities"),
        short_options=(("B", "int:0:9"),),
        long_options=(("delete", "flag"),),
        argv_insert=("-R",),
        operand_marker=".",
        end_of_options=True,
        operands=(1, 2, "path"),
        relative_to="/home/u",
        path_roots=("/srv",),
        glob=True,
        environment=(("HOME", "/"),),
    )
    assert list(rule_records(full)) == [
        ("rule", "a.one", "a", "/usr/bin/prog"),
        ("word", "prog"),
        ("argv0", "p"),
        ("fixed", "x"),
        ("literal", "--server"),
        ("letters", "ab"),
        ("need", "a"),
        ("tail", "e", "capabilities"),
        ("short", "B", "int:0:9"),
        ("long", "delete", "flag"),
        ("insert", "-R"),
        ("mark", "."),
        ("dashdash",),
        ("operands", "1", "2", "path"),
        ("base", "/home/u"),
        ("below", "/srv"),
        ("glob",),
        ("rule-env", "HOME", "/"),
    ]
    check_rules([full])


def test_what_must_be_there_what_once_and_where() -> None:
    full = rule(
        short_flags="a",
        required_letters="an",
        short_options=(("n", "word"),),
        long_options=(("to", "word"), ("x", "flag")),
        required_options=("to",),
        single_use=("n", "to"),
        operand_classes=("pattern:a-*", "int:0:9"),
        operands=(1, 3, "word"),
    )
    check_rules([full])
    assert list(rule_records(full))[3:-1] == [
        ("letters", "a"),
        ("need", "an"),
        ("need-long", "to"),
        ("once", "n"),
        ("once", "to"),
        ("short", "n", "word"),
        ("long", "to", "word"),
        ("long", "x", "flag"),
        ("operand", "pattern:a-*"),
        ("operand", "int:0:9"),
    ]
    assert [full.class_of_operand(place) for place in range(4)] == ["pattern:a-*", "int:0:9", "word", "word"]
    # Where each has a class of its own, the last class is nobody's.
    check_rules([rule(operand_classes=("int:0:9",), operands=(1, 1, "path"))])


def test_argv0_is_the_program_s_name_unless_given() -> None:
    assert ("argv0", "prog") in set(rule_records(rule()))


def test_flags_of_a_rule() -> None:
    records = list(rule_records(Rule("a.i", "a", "/bin/sh", (), interactive_login=True)))
    assert records[1] == ("interactive",)
    assert ("ignore-rest",) in list(rule_records(rule(ignore_arguments=True)))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"command_names": ()}, "no first word"),
        ({"command_names": ("prog", "prog")}, "twice"),
        ({"command_names": ("-x",)}, "cannot be a first word"),
        ({"command_names": ("PROG",)}, "cannot be a first word"),
        ({"command_names": ("./prog",)}, "cannot be a first word"),
        ({"command_names": ("/usr//prog",)}, "cannot be a first word"),
        ({"command_names": ("/usr/../prog",)}, "cannot be a first word"),
        ({"command_names": ("git  upload-pack",)}, "cannot be a first word"),
        ({"command_names": ("git upload-pack x",)}, "cannot be a first word"),
        ({"command_names": ("prog\n",)}, "cannot be a first word"),
        ({"short_flags": "aa"}, "option letters"),
        ({"short_flags": "a-"}, "option letters"),
        ({"short_flags": "a", "short_options": (("a", "word"),)}, "option letters"),
        ({"short_flags": "a", "cluster_tail": ("a", "capabilities")}, "option letters"),
        ({"short_options": (("ab", "word"),)}, "has one letter"),
        ({"short_flags": "a", "required_letters": "b"}, "does not allow"),
        ({"long_options": (("x", "flag"), ("x", "word"))}, "twice"),
        ({"long_options": (("-x", "flag"),)}, "long option"),
        ({"long_options": (("x", "anything"),)}, "value class"),
        ({"short_options": (("x", "int:1"),)}, "value class"),
        ({"operands": (0, 0, "nothing")}, "value class"),
        ({"operands": (1, 1, "path")}, "no directory is set"),
        ({"long_options": (("dir", "path"),)}, "no directory is set"),
        ({"operands": (2, 1, "text")}, "impossible"),
        ({"operands": (0, 1025, "text")}, "impossible"),
        ({"operands": (1, 1, "path"), "path_roots": ("srv",)}, "plain absolute path"),
        ({"operands": (1, 1, "path"), "path_roots": ("/srv/../etc",)}, "plain absolute path"),
        ({"operands": (1, 1, "path"), "path_roots": ("/srv",), "relative_to": "srv"}, "plain absolute path"),
        ({"operands": (1, 1, "flag")}, "which is for options only"),
        ({"operand_classes": ("capabilities",), "operands": (1, 1, "word")}, "which is for options only"),
        ({"operand_classes": ("word", "word"), "operands": (1, 1, "word")}, "classes for 2 operands and takes 1"),
        ({"operand_classes": ("nothing",), "operands": (1, 1, "word")}, "value class"),
        ({"operand_classes": ("path",), "operands": (1, 2, "word")}, "no directory is set"),
        (
            {"operand_classes": ("word",), "operands": (1, 2, "path"), "path_roots": ("/srv",), "glob": True},
            "operands cannot have classes of their own",
        ),
        ({"operands": (0, 1, "pattern:")}, "value class"),
        ({"operands": (0, 1, "pattern:-x*")}, "value class"),
        ({"operands": (0, 1, "pattern:a/*")}, "value class"),
        ({"operands": (0, 1, "pattern:" + "a" * 256)}, "value class"),
        ({"required_options": ("x",)}, "requires 'x', which is not one of its options"),
        ({"long_options": (("x", "flag"),), "required_options": ("x", "x")}, "named twice"),
        ({"short_flags": "a", "single_use": ("b",)}, "allows at most once 'b', which is not one of its options"),
        ({"short_flags": "@", "single_use": ("@",)}, "which is not one of its options"),
        ({"short_flags": "a", "single_use": ("a", "a")}, "named twice"),
        (
            {
                "short_flags": "a",
                "required_letters": "a",
                "long_options": (("a", "flag"),),
                "required_options": ("a",),
                "single_use": ("a",),
            },
            "requires -a and --a, but allows only one",
        ),
        ({"short_flags": "a", "single_use": ("a",), "ignore_arguments": True}, "ignores everything after its words"),
        (
            {"operand_classes": ("word",), "operands": (1, 1, "word"), "ignore_arguments": True},
            "ignores everything after its words",
        ),
        ({"command_names": ("*",), "operands": (0, 1024, "text"), "operand_classes": ("word",)}, "whole command"),
        ({"command_names": ("*", "prog"), "operands": (0, 1024, "text")}, "whole command"),
        ({"command_names": ("*",)}, "whole command"),
        ({"command_names": ("*",), "operands": (0, 1024, "text"), "short_flags": "a"}, "whole command"),
    ],
)
def test_an_impossible_rule_is_refused(fields: Any, why: Any) -> None:
    assert why in clash(rule(**fields))


REPOSITORY = {"operands": (1, 1, "repository"), "path_roots": ("/srv/git", "/home/u/.git-data")}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        (
            {"repository_patterns": ("/srv/git/a",), "operands": (1, 1, "path"), "path_roots": ("/srv/git",)},
            "takes no repository",
        ),
        ({**REPOSITORY, "repository_patterns": ("srv/git/a",)}, "with or without"),
        ({**REPOSITORY, "repository_patterns": ("/srv/git/../a",)}, "with or without"),
        ({**REPOSITORY, "repository_patterns": ("/srv/git/**/a",)}, "only as the last component"),
        ({**REPOSITORY, "repository_patterns": ("/srv/git/a**",)}, "only as the last component"),
        ({**REPOSITORY, "repository_patterns": ("/srv/git/a/.git",)}, "'.git' cannot be part"),
        ({**REPOSITORY, "path_roots": ("/srv/a/.git",)}, "'.git' cannot be part"),
        ({**REPOSITORY, "repository_patterns": ("/srv/other/*",)}, "matches nothing in the directories"),
        (
            {**REPOSITORY, "repository_patterns": ("/srv/*",), "path_roots": ("/srv/git/team",)},
            "matches nothing in the directories",
        ),
        ({**REPOSITORY, "repository_patterns": ("/srv/git/.a",)}, "matches nothing in the directories"),
        ({**REPOSITORY, "repository_patterns": ("/srv/git/*/-a",)}, "matches nothing in the directories"),
        ({**REPOSITORY, "repository_patterns": ("/home/u/*/a",)}, "matches nothing in the directories"),
        ({**REPOSITORY, "repository_patterns": ("/home/u/**",)}, "matches nothing in the directories"),
        ({**REPOSITORY, "glob": True}, "expands file name patterns"),
        ({"operands": (1, 1, "repository")}, "no directory is set"),
        ({"long_options": (("dir", "repository"),), "path_roots": ("/srv",)}, "only an operand"),
        ({"short_options": (("d", "new-repository"),), "path_roots": ("/srv",)}, "only an operand"),
        ({"pre_command": ("git", "init")}, "not a plain absolute path"),
        ({"pre_command": ("/usr/bin/git", *["x"] * 30)}, "more than 30 words"),
        ({"pre_command": ("/usr/bin/git", "%p")}, "takes none"),
        ({**REPOSITORY, "operands": (0, 1, "repository"), "pre_command": ("/usr/bin/git", "%p")}, "takes none"),
        ({"builtin_reply": (1, "x")}, "status 0 or 126"),
        ({"builtin_reply": (126, "a\nb")}, "printable line"),
        ({"builtin_reply": (126, "ä" * 101)}, "200 bytes"),
        ({"builtin_reply": (0, ""), "stderr_to_journal": True}, "has an answer and runs nothing"),
        ({"builtin_reply": (0, ""), "noexec": True}, "has an answer and runs nothing"),
        ({"builtin_reply": (0, ""), "pre_command": ("/bin/true",)}, "has an answer and runs nothing"),
    ],
)
def test_impossible_repositories_and_answers(fields: Any, why: Any) -> None:
    assert why in clash(rule(**fields))


@pytest.mark.parametrize(
    "pattern",
    ["/**", "/srv/**", "/srv/git", "/srv/git/*", "/*/git/a", "/srv/g*t/a", "/srv/git/a*b/**", "/home/u/.git-*/a"],
)
def test_patterns_that_can_fit(pattern: Any) -> None:
    check_rules([rule(**REPOSITORY, repository_patterns=(pattern,))])
    records = list(
        rule_records(
            rule(
                **REPOSITORY,
                repository_patterns=(pattern,),
                stderr_to_journal=True,
                builtin_reply=None,
                pre_command=("/bin/x",),
            )
        )
    )
    assert records[-3:] == [("like", pattern), ("first", "/bin/x"), ("log",)]


def test_one_rule_for_what_is_and_one_for_what_is_not_yet() -> None:
    new = {**REPOSITORY, "operands": (1, 1, "new-repository")}
    check_rules([rule("a.read", **REPOSITORY), rule("a.create", **new)])
    assert "cannot be told apart" in clash(rule("a.read", **REPOSITORY), rule("a.write", **REPOSITORY))
    some = {**new, "operands": (0, 1, "new-repository")}
    assert "cannot be told apart" in clash(rule("a.read", **REPOSITORY), rule("a.create", **some))


def test_a_program_is_a_plain_absolute_path() -> None:
    assert "plain absolute path" in clash(dataclasses.replace(rule(), program="prog"))


def test_the_whole_command_rule() -> None:
    whole = rule("a.any", ("*",), argv_prefix=("-c",), operands=(0, 1024, "text"))
    check_rules([whole, rule()])
    assert "cannot be told apart" in clash(whole, dataclasses.replace(whole, id="b.any"))


def test_an_identifier_is_used_once() -> None:
    assert "defined twice" in clash(rule(), rule(command_names=("other",)))


def test_one_interactive_login() -> None:
    login = Rule("a.i", "a", "/bin/sh", (), interactive_login=True)
    assert "interactive" in clash(login, dataclasses.replace(login, id="b.i"))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"command_names": ("a",)}, {"command_names": ("b",)}),
        ({"command_names": ("git pull",)}, {"command_names": ("git push",)}),
        # scp -t against scp -f
        ({"short_flags": "rt", "required_letters": "t"}, {"short_flags": "rf", "required_letters": "f"}),
        # one of them needs a letter that the other does not know
        ({"short_flags": "rt", "required_letters": "t"}, {"short_flags": "r"}),
        # rsync --server --sender against rsync --server
        (
            {"literal_words": ("--server", "--sender")},
            {"literal_words": ("--server",), "long_options": (("x", "flag"),)},
        ),
        ({"literal_words": ("serve",)}, {"literal_words": ("list",)}),
        # one of them needs a long option that the other does not know
        (
            {"long_options": (("x", "word"),), "required_options": ("x",)},
            {"short_flags": "a", "long_options": (("y", "flag"),)},
        ),
        # or a letter that has a value
        ({"short_options": (("n", "word"),), "required_letters": "n"}, {"short_flags": "a"}),
        # a repository that is there against one that is not, in the same place
        (
            {"operand_classes": ("word", "repository"), "operands": (2, 3, "word"), "path_roots": ("/srv",)},
            {"operand_classes": ("word",), "operands": (2, 2, "new-repository"), "path_roots": ("/srv",)},
        ),
        ({"literal_words": ("--server",), "ignore_arguments": True}, {"long_options": (("x", "flag"),)}),
        # one operand against two or more
        ({"operands": (0, 1, "word")}, {"operands": (2, 9, "text"), "short_flags": "a"}),
    ],
)
def test_rules_that_can_be_told_apart(first: Any, second: Any) -> None:
    check_rules(
        [
            rule("a.one", **{"command_names": ("prog",), **first}),
            rule("a.two", **{"command_names": ("prog",), **second}),
        ]
    )
    check_rules(
        [
            rule("a.one", **{"command_names": ("prog",), **second}),
            rule("a.two", **{"command_names": ("prog",), **first}),
        ]
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {}),
        ({"command_names": ("x", "prog")}, {"command_names": ("prog", "y")}),
        ({"ignore_arguments": True}, {"short_flags": "t", "required_letters": "t"}),
        ({"ignore_arguments": True}, {"literal_words": ("--server",)}),
        ({"short_flags": "rt", "required_letters": "t"}, {"short_flags": "rt"}),
        # the needed letter is another rule's option with a value
        ({"short_flags": "t", "required_letters": "t"}, {"short_options": (("t", "text"),)}),
        # one operand behind -n for the one, two for the other; a word before them that the other counts
        (
            {"operands": (1, 1, "word"), "short_options": (("n", "word"),)},
            {"operands": (2, 2, "word"), "short_flags": "n"},
        ),
        ({"operands": (1, 1, "word"), "operand_marker": "."}, {"operands": (2, 2, "word")}),
        ({"operands": (1, 2, "word")}, {"operands": (2, 3, "word")}),
        # "-St": two letters for the one, -S with the value "t" for the other
        ({"short_flags": "St", "required_letters": "t"}, {"short_options": (("S", "text"),)}),
        ({"short_flags": "et", "required_letters": "t"}, {"cluster_tail": ("e", "text")}),
        # "--name -t": a flag and a letter for the one, a value for the other
        (
            {"short_flags": "t", "required_letters": "t", "long_options": (("name", "flag"),)},
            {"long_options": (("name", "text"),)},
        ),
        # "-S x -t": S's value and a letter for the one, two operands for the other
        (
            {"short_flags": "t", "required_letters": "t", "short_options": (("S", "word"),)},
            {"short_flags": "S", "operands": (0, 2, "path"), "path_roots": ("/srv",)},
        ),
        # the option that is needed is a word of the other
        ({"short_flags": "t", "required_letters": "t"}, {"literal_words": ("-t",)}),
        (
            {"long_options": (("to", "word"),), "required_options": ("to",), "operands": (0, 2, "word")},
            {"literal_words": ("--to", "a")},
        ),
        # "x -t": a word and a letter for the one, two operands for the other
        (
            {"short_flags": "t", "required_letters": "t", "literal_words": ("x",)},
            {"operands": (0, 2, "path"), "path_roots": ("/srv",)},
        ),
        # the option that is needed is an option of the other too, or once may be a value
        ({"long_options": (("x", "word"),), "required_options": ("x",)}, {"long_options": (("x", "word"),)}),
        (
            {"long_options": (("x", "flag"),), "short_flags": "S", "required_options": ("x",)},
            {"short_options": (("S", "text"),)},
        ),
        ({"long_options": (("x", "flag"),), "required_options": ("x",)}, {"operand_marker": "--x"}),
        # a repository in another place, or below another directory, is another one
        (
            {"operand_classes": ("word",), "operands": (2, 2, "repository"), "path_roots": ("/srv",)},
            {"operand_classes": ("new-repository",), "operands": (2, 2, "word"), "path_roots": ("/srv",)},
        ),
        (
            {"operands": (1, 1, "repository"), "path_roots": ("/srv",), "relative_to": "/srv/a"},
            {"operands": (1, 1, "new-repository"), "path_roots": ("/srv",), "relative_to": "/srv/b"},
        ),
        (
            {"operands": (1, 1, "repository"), "path_roots": ("/srv",), "short_flags": "S"},
            {"operands": (1, 1, "new-repository"), "path_roots": ("/srv",), "short_options": (("S", "text"),)},
        ),
        (
            {"operands": (1, 1, "repository"), "path_roots": ("/srv",), "literal_words": ("a",)},
            {"operands": (1, 2, "new-repository"), "path_roots": ("/srv",)},
        ),
        # the longer rule's extra word is an option of the shorter
        (
            {"literal_words": ("--server", "--sender")},
            {"literal_words": ("--server",), "long_options": (("sender", "flag"),)},
        ),
        # an operand of the shorter may be the extra word of the longer
        ({"literal_words": ("serve",)}, {"operands": (0, 2, "text")}),
        # a spelling of two words begins with the other's only word
        ({"command_names": ("git",), "operands": (0, 2, "text")}, {"command_names": ("git upload-pack",)}),
    ],
)
def test_rules_that_could_match_the_same_command(first: Any, second: Any) -> None:
    for one, two in ((first, second), (second, first)):
        rules = (
            rule("a.one", **{"command_names": ("prog",), **one}),
            rule("a.two", **{"command_names": ("prog",), **two}),
        )
        assert "cannot be told apart" in clash(*rules)
