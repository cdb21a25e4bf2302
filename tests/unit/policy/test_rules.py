import dataclasses

import pytest

from jailssh.core.errors import ConfigError
from jailssh.policy.rules import Rule, check_rules, rule_records


def rule(name="a.one", words=("prog",), **fields):
    return Rule(name, "a", "/usr/bin/prog", words, **fields)


def clash(*rules):
    with pytest.raises(ConfigError) as caught:
        check_rules(rules)
    return str(caught.value)


def test_records_stand_in_the_plan_s_order_and_hold_every_field():
    full = rule(
        argv0="p",
        fixed=("x",),
        literals=("--server",),
        letters="ab",
        need="a",
        tail=("e", "capabilities"),
        shorts=(("B", "int:0:9"),),
        longs=(("delete", "flag"),),
        insert=("-R",),
        mark=".",
        dashdash=True,
        operands=(1, 2, "path"),
        base="/home/u",
        roots=("/srv",),
        glob=True,
        env=(("HOME", "/"),),
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


def test_what_must_be_there_what_once_and_where():
    full = rule(
        letters="a",
        need="an",
        shorts=(("n", "word"),),
        longs=(("to", "word"), ("x", "flag")),
        need_longs=("to",),
        once=("n", "to"),
        leading=("pattern:a-*", "int:0:9"),
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
    check_rules([rule(leading=("int:0:9",), operands=(1, 1, "path"))])


def test_argv0_is_the_program_s_name_unless_given():
    assert ("argv0", "prog") in set(rule_records(rule()))


def test_flags_of_a_rule():
    records = list(rule_records(Rule("a.i", "a", "/bin/sh", (), interactive=True)))
    assert records[1] == ("interactive",)
    assert ("ignore-rest",) in list(rule_records(rule(ignore_rest=True)))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"words": ()}, "no first word"),
        ({"words": ("prog", "prog")}, "twice"),
        ({"words": ("-x",)}, "cannot be a first word"),
        ({"words": ("PROG",)}, "cannot be a first word"),
        ({"words": ("./prog",)}, "cannot be a first word"),
        ({"words": ("/usr//prog",)}, "cannot be a first word"),
        ({"words": ("/usr/../prog",)}, "cannot be a first word"),
        ({"words": ("git  upload-pack",)}, "cannot be a first word"),
        ({"words": ("git upload-pack x",)}, "cannot be a first word"),
        ({"words": ("prog\n",)}, "cannot be a first word"),
        ({"letters": "aa"}, "option letters"),
        ({"letters": "a-"}, "option letters"),
        ({"letters": "a", "shorts": (("a", "word"),)}, "option letters"),
        ({"letters": "a", "tail": ("a", "capabilities")}, "option letters"),
        ({"shorts": (("ab", "word"),)}, "has one letter"),
        ({"letters": "a", "need": "b"}, "does not allow"),
        ({"longs": (("x", "flag"), ("x", "word"))}, "twice"),
        ({"longs": (("-x", "flag"),)}, "long option"),
        ({"longs": (("x", "anything"),)}, "value class"),
        ({"shorts": (("x", "int:1"),)}, "value class"),
        ({"operands": (0, 0, "nothing")}, "value class"),
        ({"operands": (1, 1, "path")}, "no directory is set"),
        ({"longs": (("dir", "path"),)}, "no directory is set"),
        ({"operands": (2, 1, "text")}, "impossible"),
        ({"operands": (0, 1025, "text")}, "impossible"),
        ({"operands": (1, 1, "path"), "roots": ("srv",)}, "plain absolute path"),
        ({"operands": (1, 1, "path"), "roots": ("/srv/../etc",)}, "plain absolute path"),
        ({"operands": (1, 1, "path"), "roots": ("/srv",), "base": "srv"}, "plain absolute path"),
        ({"operands": (1, 1, "flag")}, "which is for options only"),
        ({"leading": ("capabilities",), "operands": (1, 1, "word")}, "which is for options only"),
        ({"leading": ("word", "word"), "operands": (1, 1, "word")}, "classes for 2 operands and takes 1"),
        ({"leading": ("nothing",), "operands": (1, 1, "word")}, "value class"),
        ({"leading": ("path",), "operands": (1, 2, "word")}, "no directory is set"),
        (
            {"leading": ("word",), "operands": (1, 2, "path"), "roots": ("/srv",), "glob": True},
            "operands cannot have classes of their own",
        ),
        ({"operands": (0, 1, "pattern:")}, "value class"),
        ({"operands": (0, 1, "pattern:-x*")}, "value class"),
        ({"operands": (0, 1, "pattern:a/*")}, "value class"),
        ({"operands": (0, 1, "pattern:" + "a" * 256)}, "value class"),
        ({"need_longs": ("x",)}, "requires 'x', which is not one of its options"),
        ({"longs": (("x", "flag"),), "need_longs": ("x", "x")}, "named twice"),
        ({"letters": "a", "once": ("b",)}, "allows at most once 'b', which is not one of its options"),
        ({"letters": "@", "once": ("@",)}, "which is not one of its options"),
        ({"letters": "a", "once": ("a", "a")}, "named twice"),
        (
            {"letters": "a", "need": "a", "longs": (("a", "flag"),), "need_longs": ("a",), "once": ("a",)},
            "requires -a and --a, but allows only one",
        ),
        ({"letters": "a", "once": ("a",), "ignore_rest": True}, "ignores everything after its words"),
        ({"leading": ("word",), "operands": (1, 1, "word"), "ignore_rest": True}, "ignores everything after its words"),
        ({"words": ("*",), "operands": (0, 1024, "text"), "leading": ("word",)}, "whole command"),
        ({"words": ("*", "prog"), "operands": (0, 1024, "text")}, "whole command"),
        ({"words": ("*",)}, "whole command"),
        ({"words": ("*",), "operands": (0, 1024, "text"), "letters": "a"}, "whole command"),
    ],
)
def test_an_impossible_rule_is_refused(fields, why):
    assert why in clash(rule(**fields))


REPOSITORY = {"operands": (1, 1, "repository"), "roots": ("/srv/git", "/home/u/.git-data")}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"like": ("/srv/git/a",), "operands": (1, 1, "path"), "roots": ("/srv/git",)}, "takes no repository"),
        ({**REPOSITORY, "like": ("srv/git/a",)}, "with or without"),
        ({**REPOSITORY, "like": ("/srv/git/../a",)}, "with or without"),
        ({**REPOSITORY, "like": ("/srv/git/**/a",)}, "only as the last component"),
        ({**REPOSITORY, "like": ("/srv/git/a**",)}, "only as the last component"),
        ({**REPOSITORY, "like": ("/srv/git/a/.git",)}, "'.git' cannot be part"),
        ({**REPOSITORY, "roots": ("/srv/a/.git",)}, "'.git' cannot be part"),
        ({**REPOSITORY, "like": ("/srv/other/*",)}, "matches nothing in the directories"),
        ({**REPOSITORY, "like": ("/srv/*",), "roots": ("/srv/git/team",)}, "matches nothing in the directories"),
        ({**REPOSITORY, "like": ("/srv/git/.a",)}, "matches nothing in the directories"),
        ({**REPOSITORY, "like": ("/srv/git/*/-a",)}, "matches nothing in the directories"),
        ({**REPOSITORY, "like": ("/home/u/*/a",)}, "matches nothing in the directories"),
        ({**REPOSITORY, "like": ("/home/u/**",)}, "matches nothing in the directories"),
        ({**REPOSITORY, "glob": True}, "expands file name patterns"),
        ({"operands": (1, 1, "repository")}, "no directory is set"),
        ({"longs": (("dir", "repository"),), "roots": ("/srv",)}, "only an operand"),
        ({"shorts": (("d", "new-repository"),), "roots": ("/srv",)}, "only an operand"),
        ({"first": ("git", "init")}, "not a plain absolute path"),
        ({"first": ("/usr/bin/git", *["x"] * 30)}, "more than 30 words"),
        ({"first": ("/usr/bin/git", "%p")}, "takes none"),
        ({**REPOSITORY, "operands": (0, 1, "repository"), "first": ("/usr/bin/git", "%p")}, "takes none"),
        ({"answer": (1, "x")}, "status 0 or 126"),
        ({"answer": (126, "a\nb")}, "printable line"),
        ({"answer": (126, "ä" * 101)}, "200 bytes"),
        ({"answer": (0, ""), "log": True}, "has an answer and runs nothing"),
        ({"answer": (0, ""), "alone": True}, "has an answer and runs nothing"),
        ({"answer": (0, ""), "first": ("/bin/true",)}, "has an answer and runs nothing"),
    ],
)
def test_impossible_repositories_and_answers(fields, why):
    assert why in clash(rule(**fields))


@pytest.mark.parametrize(
    "pattern",
    ["/**", "/srv/**", "/srv/git", "/srv/git/*", "/*/git/a", "/srv/g*t/a", "/srv/git/a*b/**", "/home/u/.git-*/a"],
)
def test_patterns_that_can_fit(pattern):
    check_rules([rule(**REPOSITORY, like=(pattern,))])
    records = list(rule_records(rule(**REPOSITORY, like=(pattern,), log=True, answer=None, first=("/bin/x",))))
    assert records[-3:] == [("like", pattern), ("first", "/bin/x"), ("log",)]


def test_one_rule_for_what_is_and_one_for_what_is_not_yet():
    new = {**REPOSITORY, "operands": (1, 1, "new-repository")}
    check_rules([rule("a.read", **REPOSITORY), rule("a.create", **new)])
    assert "cannot be told apart" in clash(rule("a.read", **REPOSITORY), rule("a.write", **REPOSITORY))
    some = {**new, "operands": (0, 1, "new-repository")}
    assert "cannot be told apart" in clash(rule("a.read", **REPOSITORY), rule("a.create", **some))


def test_a_program_is_a_plain_absolute_path():
    assert "plain absolute path" in clash(dataclasses.replace(rule(), program="prog"))


def test_the_whole_command_rule():
    whole = rule("a.any", ("*",), fixed=("-c",), operands=(0, 1024, "text"))
    check_rules([whole, rule()])
    assert "cannot be told apart" in clash(whole, dataclasses.replace(whole, id="b.any"))


def test_an_identifier_is_used_once():
    assert "defined twice" in clash(rule(), rule(words=("other",)))


def test_one_interactive_login():
    login = Rule("a.i", "a", "/bin/sh", (), interactive=True)
    assert "interactive" in clash(login, dataclasses.replace(login, id="b.i"))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"words": ("a",)}, {"words": ("b",)}),
        ({"words": ("git pull",)}, {"words": ("git push",)}),
        # scp -t against scp -f
        ({"letters": "rt", "need": "t"}, {"letters": "rf", "need": "f"}),
        # one of them needs a letter that the other does not know
        ({"letters": "rt", "need": "t"}, {"letters": "r"}),
        # rsync --server --sender against rsync --server
        ({"literals": ("--server", "--sender")}, {"literals": ("--server",), "longs": (("x", "flag"),)}),
        ({"literals": ("serve",)}, {"literals": ("list",)}),
        # one of them needs a long option that the other does not know
        ({"longs": (("x", "word"),), "need_longs": ("x",)}, {"letters": "a", "longs": (("y", "flag"),)}),
        # or a letter that has a value
        ({"shorts": (("n", "word"),), "need": "n"}, {"letters": "a"}),
        # a repository that is there against one that is not, in the same place
        (
            {"leading": ("word", "repository"), "operands": (2, 3, "word"), "roots": ("/srv",)},
            {"leading": ("word",), "operands": (2, 2, "new-repository"), "roots": ("/srv",)},
        ),
        ({"literals": ("--server",), "ignore_rest": True}, {"longs": (("x", "flag"),)}),
    ],
)
def test_rules_that_can_be_told_apart(first, second):
    check_rules([rule("a.one", **{"words": ("prog",), **first}), rule("a.two", **{"words": ("prog",), **second})])
    check_rules([rule("a.one", **{"words": ("prog",), **second}), rule("a.two", **{"words": ("prog",), **first})])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {}),
        ({"words": ("x", "prog")}, {"words": ("prog", "y")}),
        ({"ignore_rest": True}, {"letters": "t", "need": "t"}),
        ({"ignore_rest": True}, {"literals": ("--server",)}),
        ({"letters": "rt", "need": "t"}, {"letters": "rt"}),
        # the needed letter is another rule's option with a value
        ({"letters": "t", "need": "t"}, {"shorts": (("t", "text"),)}),
        # "-St": two letters for the one, -S with the value "t" for the other
        ({"letters": "St", "need": "t"}, {"shorts": (("S", "text"),)}),
        ({"letters": "et", "need": "t"}, {"tail": ("e", "text")}),
        # "--name -t": a flag and a letter for the one, a value for the other
        ({"letters": "t", "need": "t", "longs": (("name", "flag"),)}, {"longs": (("name", "text"),)}),
        # "-S x -t": S's value and a letter for the one, two operands for the other
        (
            {"letters": "t", "need": "t", "shorts": (("S", "word"),)},
            {"letters": "S", "operands": (0, 2, "path"), "roots": ("/srv",)},
        ),
        # the option that is needed is a word of the other
        ({"letters": "t", "need": "t"}, {"literals": ("-t",)}),
        ({"longs": (("to", "word"),), "need_longs": ("to",), "operands": (0, 2, "word")}, {"literals": ("--to", "a")}),
        # "x -t": a word and a letter for the one, two operands for the other
        ({"letters": "t", "need": "t", "literals": ("x",)}, {"operands": (0, 2, "path"), "roots": ("/srv",)}),
        # the option that is needed is an option of the other too, or once may be a value
        ({"longs": (("x", "word"),), "need_longs": ("x",)}, {"longs": (("x", "word"),)}),
        ({"longs": (("x", "flag"),), "letters": "S", "need_longs": ("x",)}, {"shorts": (("S", "text"),)}),
        ({"longs": (("x", "flag"),), "need_longs": ("x",)}, {"mark": "--x"}),
        # a repository in another place, or below another directory, is another one
        (
            {"leading": ("word",), "operands": (2, 2, "repository"), "roots": ("/srv",)},
            {"leading": ("new-repository",), "operands": (2, 2, "word"), "roots": ("/srv",)},
        ),
        (
            {"operands": (1, 1, "repository"), "roots": ("/srv",), "base": "/srv/a"},
            {"operands": (1, 1, "new-repository"), "roots": ("/srv",), "base": "/srv/b"},
        ),
        (
            {"operands": (1, 1, "repository"), "roots": ("/srv",), "letters": "S"},
            {"operands": (1, 1, "new-repository"), "roots": ("/srv",), "shorts": (("S", "text"),)},
        ),
        (
            {"operands": (1, 1, "repository"), "roots": ("/srv",), "literals": ("a",)},
            {"operands": (1, 2, "new-repository"), "roots": ("/srv",)},
        ),
        # the longer rule's extra word is an option of the shorter
        ({"literals": ("--server", "--sender")}, {"literals": ("--server",), "longs": (("sender", "flag"),)}),
        # an operand of the shorter may be the extra word of the longer
        ({"literals": ("serve",)}, {"operands": (0, 2, "text")}),
        # a spelling of two words begins with the other's only word
        ({"words": ("git",), "operands": (0, 2, "text")}, {"words": ("git upload-pack",)}),
    ],
)
def test_rules_that_could_match_the_same_command(first, second):
    for one, two in ((first, second), (second, first)):
        rules = (rule("a.one", **{"words": ("prog",), **one}), rule("a.two", **{"words": ("prog",), **two}))
        assert "cannot be told apart" in clash(*rules)
