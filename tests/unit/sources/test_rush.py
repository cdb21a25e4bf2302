"""Accounts whose login shell is GNU Rush."""

from __future__ import annotations

import pytest

from jailssh.sources import rush, rush_rc
from jailssh.sources.found import Effect, Fate, Found
from jailssh.sources.rush_rc import Denied, Unclear
from tests.unit.sources.shells import KIM, one, survives, texts

PATH = "/etc/rush.rc"
SHELL = "/usr/sbin/rush"
PROGRAMS = {f"/usr/bin/{name}": "" for name in ("uptime", "df", "svnserve", "bash", "ls")}
SERVER = "/usr/lib/openssh/sftp-server"


def found(*rules: str, **settings: str) -> Found:
    """Return what is found with these rules, each the lines below ``rule``."""
    text = "rush 2.0\n" + "".join(f"rule r{number}\n{lines}\n" for number, lines in enumerate(rules))
    return one(rush, SHELL, {PATH: text, **PROGRAMS}, settings={"": settings})


COMMANDS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("a command", ('match $command == "uptime"',), ("uptime",)),
    ("unquoted", ("match $command == uptime",), ("uptime",)),
    ("with words", ('match $command == "df -h /srv"',), ("df -h /srv",)),
    ("anchored", ('match $command ~ "^df( -h)?$"',), ("df -h", "df")),
    ("alternatives", ('match $command ~ "^(uptime|df -h)$"',), ("uptime", "df -h")),
    ("by its words", ('match $0 == "df" && $# == 2 && $1 ~ "^-(h|k)$"',), ("df -h", "df -k")),
    ("in a list", ("match $command in (uptime df)",), ("uptime", "df")),
    ("either", ('match $command == "uptime" || $command == "df"',), ("uptime", "df")),
    ("for its group", ("match $command == uptime && group (staff users)",), ("uptime",)),
    ("by its path", ('match $command == "/usr/bin/uptime"',), ("/usr/bin/uptime",)),
    ("run by its path", ('match $command == "uptime"\nset [0] = "/usr/bin/uptime"',), ("uptime",)),
    ("two lines", ("match $command == \\\n  uptime # comment",), ("uptime",)),
    ("the first rule counts", ('match $0 == "df" && $1 == "-h"\nexit "no"', 'match $command ~ "^(df -h|uptime)$"'),
     ("uptime",)),
    ("a rule that falls through",
     ("match $command == df\nset command = \"uptime\"\nfall-through", "match $command == uptime"),
     ("uptime",)),
    ("interactive no", ("interactive no\nmatch $command == df\nexit \"no\"", "match $command ~ \"^(df|uptime)$\""),
     ("uptime",)),
)  # fmt: skip


@pytest.mark.parametrize(("rules", "lines"), [case[1:] for case in COMMANDS], ids=[case[0] for case in COMMANDS])
def test_fixed_commands_become_command_lines(rules: tuple[str, ...], lines: tuple[str, ...]) -> None:
    """Each has gone through all rules."""
    result = found(*rules)
    assert result.fate is Fate.MIGRATE, texts(result)
    assert result.settings[""]["plugins"] == "command" and result.settings["command"] == {"commands": lines}


LOST: tuple[tuple[str, str, str], ...] = (
    ("a pattern", 'match $command ~ "^uptime"', "no list can name"),
    ("no anchor", 'match $command ~ "uptime$"', "no list can name"),
    ("a dot", 'match $command ~ "^upt.me$"', "no list can name"),
    ("no number of words", 'match $0 == "df"', "no list can name"),
    ("a substitution", 'match $command == uptime\nset [0] =~ "s,^,/usr/bin/,"', "a set that is not read here"),
    ("an option taken out", "match $command == uptime\nremopt A", "the statement 'remopt'"),
    ("an include", "match $command == uptime\ninclude /etc/more", "the statement 'include'"),
    ("a chroot", "match $command == uptime\nchroot /srv/x", "runs in the chroot"),
    ("another program", 'match $command == uptime\nset [0] = "/usr/bin/df"', "rush runs '/usr/bin/df' instead"),
    ("a program that is not there", "match $command == nosuch", "does not have nosuch"),
    ("a shell", "match $command == bash", "a shell or an interpreter"),
    ("cvs", 'match $command == "cvs server"', "cvs has a plugin of its own"),
    ("an unknown variable", 'match $command == uptime && $TERM == "x"', "TERM"),
    ("a class of characters", 'match $command == uptime && $user ~ "[[:alpha:]]"', "is not read here"),
    ("a login", "interactive true", "a login without a command"),
)


@pytest.mark.parametrize(("rule", "why"), [case[1:] for case in LOST], ids=[case[0] for case in LOST])
def test_what_is_no_fixed_command_is_lost(rule: str, why: str) -> None:
    """It is said, with the line of the rule."""
    result = found(rule)
    assert result.fate is Fate.LEAVE and why in texts(result, Effect.LOST) and f"{PATH}:2" in texts(result)


def test_a_rule_that_is_unclear_stops_what_comes_to_it() -> None:
    """It could deny the command, so what stands behind it is not taken over."""
    result = found('match $user ~ "[[:alpha:]]"\nexit "no"', "match $command == uptime")
    assert result.fate is Fate.LEAVE and "'uptime': the regular expression" in texts(result, Effect.LOST)


def test_and_and_or_are_equal_in_rush() -> None:
    """Reading from the left denies what other languages would let through."""
    result = found("match $command == uptime || $command == df && group staff")
    assert result.fate is Fate.LEAVE and "without parentheses" in texts(result, Effect.LOST)
    parted = found("match $command == uptime || ($command == df && group staff)")
    assert parted.settings["command"] == {"commands": ("uptime",)}


def test_sftp() -> None:
    """By what sshd runs, or what Debian's sshd runs."""
    rule = f'match $0 ~ "^(.*/)?sftp-server$"\nset [0] = "{SERVER}"\numask 027\nchdir "~/in"\nlimits l3n100'
    result = found(rule, subsystem="sftp /usr/lib/sftp-server -R")
    assert result.settings == {
        "": {"plugins": "sftp", "umask": "027"}, "sftp": {"read_only": "yes", "start": "~/in"},
        "limits": {"max_sessions": "3", "nofile": "100"}}  # fmt: skip
    assert "no list can name" in texts(result, Effect.LOST)
    assert found(rule).settings["sftp"] == {"start": "~/in"}
    assert "internal-sftp" in texts(found(rule, subsystem="sftp internal-sftp"), Effect.CLOSED)


def test_sftp_in_a_chroot() -> None:
    """As with every other chroot."""
    text = f'rush 2.0\nrule a\n  match $command == "{SERVER}"\n  chroot "/srv/jail"\n'
    dirs = {"/srv/jail/home/kim": (0o40750, 1001, 1001)}
    result = one(rush, SHELL, {PATH: text}, dirs=dirs)
    assert (result.home, result.inside) == ("/srv/jail/home/kim", "/home/kim")
    both = one(rush, SHELL, {PATH: f"{text}rule b\n  match $command == uptime\n", **PROGRAMS}, dirs=dirs)
    assert both.fate is Fate.LEAVE


def test_a_rule_for_everything_has_sftp() -> None:
    """And more than a jail can name."""
    result = found("umask 022")
    assert result.settings == {"": {"plugins": "sftp"}}
    assert "every command that comes to it" in texts(result, Effect.LOST)


SAMPLE = """\
# Everything that a rule does besides is said.

rush 2.0

global
  # what is logged
  debug 1

rule first
  limits t10r20
  umask 002
  clrenv
  keepenv USER LC_* PATH
  setenv PATH="$PATH:/opt/bin"
  fall-through

rule copies
  match $command ~ "^scp (-v )?-t /incoming/(a|b)"
  set [0] = "/bin/scp"
  chroot "/var/spool/in"

rule no-copies
  match $command ~ "^scp (-v )?-f"
  exit "Error: no"

rule git
  match $command ~ "^git-(receive|upload)-pack"
  match $1 ~ "^/git/[^ ]+\\\\.git$"
  set command =~ "s|^|/usr/bin/|"

rule sftp
  match $program ~ "^.*/sftp-server"
  set [0] = "bin/sftp-server"
  chroot "~"
  chdir "/"
"""


def test_a_whole_file() -> None:
    """As the manual shows them: sftp is what a jail has of it."""
    result = one(rush, SHELL, {PATH: SAMPLE}, dirs={"/home/kim": (0o40755, 0, 0)})
    assert result.fate is Fate.MIGRATE, texts(result)
    assert result.settings == {"": {"plugins": "sftp", "umask": "002"}, "limits": {"cpu": "600"}}
    lost = texts(result, Effect.LOST)
    assert "rule copies: a pattern" in lost and "rule git: a pattern" in lost and "no-copies" not in lost
    assert "the limit r20" in lost and "variables" in lost and result.where == f"{PATH}:31"


def test_svnserve() -> None:
    """With the root that the rule gives it."""
    result = found('match $command == "svnserve -t"\nset command = "/usr/bin/svnserve -r /srv/svn -t"')
    assert result.settings == {"": {"plugins": "svn"}, "svn": {"root": "/srv/svn"}}


@pytest.mark.parametrize(
    ("text", "fate", "why"),
    [
        (None, Fate.REFUSED, "there is no rush.rc"),
        ("rule a\n  command ^uptime$\n", Fate.LEAVE, f"{PATH}:1 does not begin with 'rush 2.0'"),
        ("", Fate.LEAVE, "older language"),
        ("rush 2.0\nglobal\n  regexp icase\nrule a\n  umask 022\n", Fate.LEAVE, f"{PATH}:3 has 'regexp'"),
        ("rush 2.0\nrule a\n  match $command ==\n", Fate.LEAVE, f"{PATH}:3 has an expression"),
        ("rush 2.0\nrule a\n  match (" + "(" * 5000 + "\n", Fate.LEAVE, f"{PATH}:3 has an expression"),
        ("rush 2.0\nrule a\n  match $command == uptime\n  exit \"no\"\n", Fate.REFUSED, "no rule lets it"),
        ("rush 2.0\nrule a\n  match $command == uptime && group staff\n", Fate.REFUSED, "no rule lets it"),
        ("rush 2.0\nrule a\n  match $command == up\0\n", Fate.LEAVE, f"{PATH}:3 has"),
        ("rush 2.0\nrule a \\", Fate.LEAVE, "goes on behind the end"),
    ],
)  # fmt: skip
def test_files_that_give_nothing(text: str | None, fate: Fate, why: str) -> None:
    """With the line where there is one."""
    result = one(rush, SHELL, {**PROGRAMS, **({} if text is None else {PATH: text})})
    assert result.fate is fate and why in texts(result), texts(result)


@pytest.mark.parametrize("command", ["", "a  b", "a;b", "a 'b'", "a\tb", "$x", " a"])
def test_only_plain_commands_are_tried(command: str) -> None:
    """Others are split by rules of rush's own."""
    with pytest.raises(Unclear):
        rush_rc.decide(rush_rc.read("rush 2.0\nrule a\n  umask 022\n"), KIM, command)


def test_a_word_that_is_not_there_is_an_error() -> None:
    """Unless the file says otherwise."""
    text = 'rush 2.0\n{}rule a\n  match $1 == ""\n  umask 022\n'
    with pytest.raises(Denied):
        rush_rc.decide(rush_rc.read(text.format("")), KIM, "df")
    more = text.format("global\n  expand-undefined yes\n")
    assert rush_rc.decide(rush_rc.read(more), KIM, "df").words == ["df"]


def test_damaged_files() -> None:
    """They give nothing more."""
    survives(rush, SHELL, PATH, f'rush 2.0\nrule a\n  match $command == "{SERVER}"\n  umask 022\n')
