"""How a command is split into words."""

from __future__ import annotations

import random
import re
import shlex

import pytest

from tests.login.driver import Driver, joined

pytestmark = pytest.mark.needs("gcc", "sanitizers")

REQUEST_MAX = 65536
WORDS_MAX = 1030
CASES = 20000


def split(driver: Driver, *commands: str | bytes) -> list[tuple[str, str, list[list[str]]]]:
    """Return of each command the reason, the character at fault, and per word: text, pattern, glob, tilde."""
    answers = driver.parts("split", [joined([command]) for command in commands])
    return [(parts[0], parts[1], [parts[i : i + 4] for i in range(2, len(parts), 4)]) for parts in answers]


def texts(driver: Driver, command: str | bytes) -> list[str]:
    reason, fault, words = split(driver, command)[0]
    assert (reason, fault) == ("", "")
    return [word[0] for word in words]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("a", ["a"]),
        ("  a   b  ", ["a", "b"]),
        ("'a b'", ["a b"]),
        ('"a b"', ["a b"]),
        ("a' 'b", ["a b"]),
        ("'a'\"b\"c\\d", ["abcd"]),
        ("a\\ b", ["a b"]),
        ("\\a\\b", ["ab"]),
        ("\\\\", ["\\"]),
        ("''", [""]),
        ("a '' \"\" b", ["a", "", "", "b"]),
        ("'it'\\''s'", ["it's"]),
        ("'a\\b'", ["a\\b"]),
        ("'a\\'b", ["a\\b"]),
        ('"a\\b"', ["a\\b"]),
        ('"a\\"b\\\\c\\$d\\`e"', ['a"b\\c$d`e']),
        ('"it\'s"', ["it's"]),
        ("'say \"x\"'", ['say "x"']),
        ("';|&<>$()`#*?[~'", [";|&<>$()`#*?[~"]),
        ('";|&<>()#*?[~"', [";|&<>()#*?[~"]),
        ("\\;\\|\\&\\<\\>\\$\\(\\)\\`\\#\\*\\?\\[\\~", [";|&<>$()`#*?[~"]),
        ("a#b", ["a#b"]),
        ("'#'b", ["#b"]),
        ("{a,b} a=b !x ^ % ] }", ["{a,b}", "a=b", "!x", "^", "%", "]", "}"]),
        ("a\u00a0b", ["a\u00a0b"]),
        ("'ä' \u0455 \u200b", ["ä", "\u0455", "\u200b"]),
        (b"\xff\xfe '\x80'", ["\udcff\udcfe", "\udc80"]),
        ("x " * WORDS_MAX, ["x"] * WORDS_MAX),
        ("x" * (REQUEST_MAX - 1), ["x" * (REQUEST_MAX - 1)]),
        (("x" * 62 + " ") * 1029 + "y" * 500, ["x" * 62] * 1029 + ["y" * 500]),
        ("'" + "*" * (REQUEST_MAX - 3) + "'", ["*" * (REQUEST_MAX - 3)]),
        ("\\*" * (REQUEST_MAX // 2 - 1), ["*" * (REQUEST_MAX // 2 - 1)]),
    ],
)
def test_words(driver: Driver, command: str | bytes, words: list[str]) -> None:
    assert texts(driver, command) == words


@pytest.mark.parametrize(
    ("command", "reason", "fault"),
    [
        ("", "empty-command", ""),
        (" ", "empty-command", ""),
        (" " * (REQUEST_MAX - 1), "empty-command", ""),
        ("x" * REQUEST_MAX, "command-too-long", ""),
        (" " * REQUEST_MAX, "command-too-long", ""),
        ("x" * 200000, "command-too-long", ""),
        ("x " * (WORDS_MAX + 1), "too-many-words", ""),
        ("x " * WORDS_MAX + ";", "too-many-words", ""),
        ("'", "unbalanced-quote", "'"),
        ('"', "unbalanced-quote", '"'),
        ("a 'b", "unbalanced-quote", "'"),
        ("a \"b'", "unbalanced-quote", '"'),
        ('"a\\"', "unbalanced-quote", '"'),
        ("a\\", "unbalanced-quote", "\\"),
        ("\\", "unbalanced-quote", "\\"),
        ('"$x"', "shell-metacharacter", "$"),
        ('"`x`"', "shell-metacharacter", "`"),
        ('"a\\a$"', "shell-metacharacter", "$"),
        ("#x", "shell-metacharacter", "#"),
        ("a #x", "shell-metacharacter", "#"),
        ("a\nb", "shell-metacharacter", "0x0a"),
        ("a\\\nb", "control-character", "0x0a"),
        ("'a\nb'", "control-character", "0x0a"),
        ('"a\\\nb"', "control-character", "0x0a"),
        ("a\tb", "control-character", "0x09"),
        ("\ta", "control-character", "0x09"),
        ("'a\tb'", "control-character", "0x09"),
        ("a\\\tb", "control-character", "0x09"),
        ("a\rb", "control-character", "0x0d"),
        ("a\vb", "control-character", "0x0b"),
        ("a\fb", "control-character", "0x0c"),
        ("a\x7fb", "control-character", "0x7f"),
        ("\x1b[0m", "control-character", "0x1b"),
        ("\x01", "control-character", "0x01"),
        # The first thing that is wrong is what is named.
        ("a;b\n", "shell-metacharacter", ";"),
        ("'a'\n;", "shell-metacharacter", "0x0a"),
    ],
)
def test_refused(driver: Driver, command: str, reason: str, fault: str) -> None:
    assert split(driver, command)[0][:2] == (reason, fault)


@pytest.mark.parametrize("character", ";|&<>$()`")
@pytest.mark.parametrize("form", ["{}", "a{}b", "a {} b", "a{}", "'a'{}", "\\a{}"])
def test_every_metacharacter(driver: Driver, character: str, form: str) -> None:
    assert split(driver, form.format(character))[0][:2] == ("shell-metacharacter", character)


@pytest.mark.parametrize("code", [code for code in (*range(1, 32), 127) if code != 10])
def test_every_control_character(driver: Driver, code: int) -> None:
    forms = ["{}", "a{}", "'{}'", '"{}"', "\\{}", '"\\{}"']
    answers = split(driver, *(form.format(chr(code)) for form in forms))
    assert {answer[:2] for answer in answers} == {("control-character", f"0x{code:02x}")}


@pytest.mark.parametrize(
    ("command", "pattern", "glob", "tilde"),
    [
        ("*", "*", "glob", ""),
        ("a?", "a?", "glob", ""),
        ("[ab]", "[ab]", "glob", ""),
        ("a]", "a]", "", ""),
        ("'*'", "\\*", "", ""),
        ('"?"', "\\?", "", ""),
        ("\\[", "\\[", "", ""),
        ("'\\'", "\\\\", "", ""),
        ("'*'*", "\\**", "glob", ""),
        ("*'[x]'", "*\\[x\\]", "glob", ""),
        ("~", "~", "", "tilde"),
        ("~/*", "~/*", "glob", "tilde"),
        ("~x", "~x", "", "tilde"),
        ("'~'", "\\~", "", ""),
        ("\\~", "\\~", "", ""),
        ("''~", "~", "", ""),
        ("a~", "a~", "", ""),
    ],
)
def test_patterns(driver: Driver, command: str, pattern: str, glob: str, tilde: str) -> None:
    assert split(driver, command)[0][2] == [[re.sub(r"\\(.)", r"\1", pattern), pattern, glob, tilde]]


def by_shlex(command: str) -> list[str] | None:
    try:
        return shlex.split(command)
    except ValueError:
        return None


def generated(alphabet: str, seed: int) -> list[str]:
    choice = random.Random(seed)
    return ["".join(choice.choices(alphabet, k=choice.randrange(1, 24))) for _ in range(CASES)]


def test_same_words_as_shlex(driver: Driver) -> None:
    """Plain characters, blanks, quotes and backslashes mean what they mean to a shell, and are refused as there."""
    commands = generated("ab- ''\"\"\\\\/~*ä", 1)
    accepted = 0
    for command, (reason, _, words) in zip(commands, split(driver, *commands), strict=True):
        wanted = by_shlex(command)
        assert (wanted or None) == (None if reason else [word[0] for word in words]), command
        accepted += not reason
    assert accepted > CASES // 5


def test_what_is_accepted_is_what_shlex_reads(driver: Driver) -> None:
    """With everything in it that a shell knows, whatever is not refused has the same words."""
    commands = generated("ab '\"\\*?[~#;|&<>$()`\t\n\r\v{}!\u00a0", 2)
    # In double quotes shlex leaves the backslash before $ and `, which sh(1) takes away.
    commands = [command for command in commands if "\\$" not in command and "\\`" not in command]
    accepted = 0
    for command, (reason, _, words) in zip(commands, split(driver, *commands), strict=True):
        if not reason:
            assert by_shlex(command) == [word[0] for word in words], command
            accepted += 1
    assert accepted > CASES // 50
