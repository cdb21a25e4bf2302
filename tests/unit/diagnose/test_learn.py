"""learn without a host: settings and lines for what was denied, each tried with the real matcher."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from jailssh.cli import learn as cli_learn
from jailssh.config.jails import extend
from jailssh.config.reader import read_document
from jailssh.config.rights import Table
from jailssh.core.errors import ConfigError, JailsshError, UsageError
from jailssh.diagnose import suggest
from jailssh.diagnose.trials import Remedy, Trials, candidate_paths
from jailssh.host import journal, matcher
from jailssh.host.paths import Layout
from jailssh.jail.profiles import shipped_profiles
from jailssh.policy.lines import alike, lines_for
from jailssh.users import learning
from jailssh.users.learning import Learning
from tests.unit.explain_tools import (
    OWN,
    PUSH,
    Journalctl,
    Programs,
    configure,
    layout,
    needs_matcher,
    record,
    run_learn,
)

__all__ = ["configure", "layout"]


def asked(*commands: str | None, reason: str = "command-not-allowed") -> list[suggest.Asked]:
    return suggest.group([record(command, reason) for command in commands])


# Lines for the plugin command.


@pytest.mark.parametrize(
    ("commands", "line"),
    [
        (["uptime -p"], "uptime -p"),
        (["uptime", "uptime -p"], "uptime [-p]"),
        (["r --days 7", "r --days 30", "r --days 9"], "r --days <int:7:30>"),
        (["r --days 7 --all", "r --days 30 --all"], "r [--all] [--days <int:7:30>]"),
        (["r x.b", "r a"], "r <enum:a,x.b>"),
        (["r a:1", "r b:2"], "r <word>"),
        (["r -vn 4 x", "r -v y"], "r [-v] [-n <int:4:4>] <enum:x,y>"),
        (["cat /srv/in/x"], "cat <path:/srv/in>"),
        (["cp ~/a/x /srv/b/y"], "cp <path:~/a,/srv/b> <path:~/a,/srv/b>"),
        ([f"r {n}" for n in "abcdefghijklmnopq"], "r <word>"),
        (["r", "r 1 2 3 4 5 6"], "r <int:1:6>..."),
    ],
)
def test_the_narrowest_line(commands: list[str], line: str) -> None:
    words = [tuple(command.split()) for command in commands]
    assert lines_for(words, lambda path: path.rsplit("/", 1)[0])[0].text == line


def test_a_line_that_takes_any_text_comes_last() -> None:
    lines = lines_for([("r", "a b")], str)
    assert [line.text for line in lines] == ["r <text>"]
    lines = lines_for([("r", "/srv/x", "a b")], str)
    assert ["<text>" in line.text for line in lines] == sorted("<text>" in line.text for line in lines)


def test_commands_that_differ_in_one_place_are_grouped() -> None:
    words = [tuple(text.split()) for text in ("r a 1", "r b", "r a 2", "r a 3", "q", "r a 1")]
    assert alike(words) == [[words[0], words[2], words[3]], [words[1]], [words[4]]]


def test_groups_are_those_that_are_found_one_by_one() -> None:
    """Each begins with the first command that is left, and is the largest of those that it can be in."""
    random = Random(1)
    for _ in range(200):
        words = [("r", *(random.choice("abc") for _ in range(random.randint(0, 3)))) for _ in range(30)]
        rest, found = list(dict.fromkeys(words)), []
        while rest:
            best = [rest[0]]
            for place in range(1, len(rest[0])):
                same = [one for one in rest if len(one) == len(rest[0]) and one[:place] == rest[0][:place]
                        and one[place + 1 :] == rest[0][place + 1 :]]  # fmt: skip
                best = max(best, same, key=len)
            found.append(best)
            rest = [one for one in rest if one not in best]
        assert alike(words) == sorted(found, key=len, reverse=True)


# Remedies: every one was tried with the matcher.


@needs_matcher
@pytest.mark.parametrize(
    ("jail", "command", "plugins", "changes"),
    [
        ("own", PUSH.format("--delete", "in/"), (), {("rsync", "delete"): "yes"}),
        ("own", PUSH.format("-v", "~/new/x"), (), {("rsync", "write"): ("~/in", "~/new/x")}),
        ("own", PUSH.format("--delete", "."), (), {("rsync", "write"): ("~",), ("rsync", "delete"): "yes"}),
        ("own", "rsync --server --sender -e.i . a b", (), {("rsync", "read"): ("~/a", "~/b")}),
        ("own", "rsync --server --sender -Le.i . a", (),
         {("rsync", "read"): ("~/a",), ("rsync", "follow_links"): "yes"}),
        ("own", "scp -t x", ("scp",), {}),
        ("sftp-ro", "git-upload-pack '~/team/x.git'", ("git",), {("git", "read"): ("~/team/x.git",)}),
        ("sftp-ro", "git-upload-pack 'team/x.git'", ("git",), {("git", "read"): ("~/git",)}),
        ("sftp-only", "borg serve --umask=077", ("borg",), {("borg", "repositories"): ("~/borg",)}),
        ("sftp-only", None, ("shell",), {}),
    ],
)  # fmt: skip
def test_the_smallest_remedy(
    configure: Callable[..., Trials], jail: str, command: str | None, plugins: tuple[str, ...], changes: dict[Any, Any]
) -> None:
    trials = configure(jail)
    denied = trials.judge(Remedy(), command)
    found = trials.remedy(command, denied.words)
    assert found is not None
    assert found.plugins == plugins
    assert {(change.plugin, change.option): change.raw for change in found.changes} == changes
    assert (denied.allowed, trials.judge(found, command).allowed) == (False, True)
    assert found.guess == (command in ("borg serve --umask=077", "git-upload-pack 'team/x.git'"))


@needs_matcher
@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("git-upload-pack 'doc'", "read doc alice"),
        ("git-receive-pack '/srv/git/tool/'", "write /srv/git/tool alice"),
        ("git-receive-pack 'team/../doc'", None),
        ("git-receive-pack 'a b'", None),
        ("git-receive-pack '/srv/x'", None),
    ],
)
def test_a_right_that_is_missing(configure: Callable[..., Trials], command: str, line: str | None) -> None:
    trials = configure("own", 'plugins = git\n[git]\nroots = /srv/git\nrights = "read tool @all", "write own alice"\n')
    found = trials.remedy(command, trials.judge(Remedy(), command).words)
    assert ([change.raw for change in found.changes] if found else None) == (
        [("read tool @all", "write own alice", line)] if line else None
    )


@needs_matcher
@pytest.mark.parametrize("name", ["*", "team/*", "**", "*\u2003@all", "*\u00a0@all", "team/*\u3000bob"])
def test_a_name_that_a_table_takes_for_more_gets_no_line(configure: Callable[..., Trials], name: str) -> None:
    own = "plugins = git\n[git]\nroots = /srv/git\nrights = read tool @all\n"
    found = suggest.suggest(configure("own", own), asked(f"git-receive-pack '{name}'"))
    assert (found.needed, len(found.impossible)) == ({}, 1)


@needs_matcher
@pytest.mark.parametrize(
    ("path", "directory"),
    [("~/it's", "~/it's"), ('~/a "b"', '~/a "b"'), ("~/a\"',/srv,'~/b", "~"), ("~/a'''b", "~"), ('~/a"""b', "~")],
)
def test_a_suggestion_is_read_as_what_was_tried(configure: Callable[..., Trials], path: str, directory: str) -> None:
    trials = configure("own")
    word = "'" + path.replace("'", "'\"'\"'") + "'"
    found = suggest.suggest(trials, asked(PUSH.format("-v", word)))
    lines = suggest.fragment(trials, found)
    # What no quotes can hold is in the home.
    wanted = "~" if directory == "~" else ("~/in", directory)
    assert read_document("\n".join(lines), "own.conf").entries["rsync"]["write"].raw == wanted


@needs_matcher
@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\x85", "\n", "\r"])
def test_what_was_asked_is_one_line_of_a_suggestion(configure: Callable[..., Trials], end: str) -> None:
    trials = configure("own")
    (one,) = asked(PUSH.format("-v", f"'~/x{end}write = /srv{end}#'"))
    for line in (suggest.shown(one.command), str(one), *suggest.fragment(trials, suggest.suggest(trials, [one]))):
        assert len(line.splitlines()) <= 1, line


@needs_matcher
def test_a_table_in_a_file_gets_a_line_there(configure: Callable[..., Trials], layout: Layout) -> None:
    own = "plugins = git\n[git]\nroots = /srv/git\nrights = /etc/jailssh/rights/git\n"
    trials = configure("own", own, {"/etc/jailssh/rights/git": Table("git", b"read tool @all\n")})
    (one,) = asked("git-receive-pack 'tool'")
    found = suggest.suggest(trials, [one])
    assert found.impossible == []
    assert suggest.settings_lines(found.remedy.changes) == [
        "/etc/jailssh/rights/git: write tool alice  (additional line)"
    ]
    lines = suggest.fragment(trials, found)
    assert lines[-2:] == [
        "# additional lines of /etc/jailssh/rights/git, which this file names:", "#   write tool alice"
    ]  # fmt: skip


@needs_matcher
@pytest.mark.parametrize("command", ["uptime", "id;ls", "rsync --daemon", "scp -S x -t y", "bash -c id", ""])
def test_no_remedy_and_never_a_shell(configure: Callable[..., Trials], command: str) -> None:
    trials = configure("own")
    assert trials.remedy(command, trials.judge(Remedy(), command).words) is None


@needs_matcher
def test_a_program_that_is_not_here_is_named(configure: Callable[..., Trials], monkeypatch: pytest.MonkeyPatch) -> None:
    trials = configure("own")
    monkeypatch.setattr(Programs, "find_program", lambda _, name: None)
    found = trials.remedy("borg serve", ("borg", "serve"))
    assert found is not None
    assert "borg is not installed on this host" in found.lacks


def test_directories_that_a_command_may_mean(tmp_path: Path) -> None:
    home, outside = tmp_path / "home", tmp_path / "srv"
    home.mkdir()
    outside.mkdir()
    (home / "file").write_text("")
    (outside / "file").write_text("")
    words = [
        "x",
        "--a",
        "-b",
        ".",
        "..",
        "../y",
        "a\tb",
        "file",
        "new/z",
        "~/q",
        f"--d={outside}/none/deep",
        f"{outside}/file",
    ]
    found = candidate_paths(words, str(home))
    assert found == [str(outside), "~/q", "~/new/z", "~"]
    assert candidate_paths(["x", "-a", "."], str(home)) == ["~"]


# learn.


@needs_matcher
def test_a_suggestion_is_a_jail_file_that_allows_what_was_asked_and_no_more(
    configure: Callable[..., Trials], layout: Layout
) -> None:
    trials = configure("own")
    wanted = [PUSH.format("--delete", "in/"), PUSH.format("-v", "data"), "report --days 7", "report --days 30",
              "uptime", "uptime -p", "head -n 5 ~/f", "head -n 7 ~/f"]  # fmt: skip
    found = suggest.suggest(trials, asked(*wanted, wanted[0]))
    assert (found.impossible, found.allowed) == ([], [])
    lines = suggest.fragment(trials, found)
    assert lines[0].startswith(f"# {layout.jails}/own.conf: replace the present settings")
    assert lines[1] == "plugins = command git rsync"
    assert "delete = yes" in lines
    assert "write = ~/in, ~/data" in lines
    assert 'commands = "report --days <int:7:30>", "uptime [-p]", "head [-n <int:5:7>] <path:~/f>"' in lines
    assert any(line.startswith("# requested 2 times, ") and line.endswith(wanted[0]) for line in lines)
    merged = configure("own", own="\n".join([*lines[:2], "[git]", "read = /srv", *lines[2:]]))
    assert [command for command in wanted if not merged.judge(Remedy(), command).allowed] == []
    for command in (PUSH.format("", "other"), "report --days 31", "report", "uptime -x", "head -n 7 ~/g", "id"):
        assert not merged.judge(Remedy(), command).allowed, command


@needs_matcher
def test_a_profile_is_extended_and_a_union_is_written_out(configure: Callable[..., Trials], layout: Layout) -> None:
    found = suggest.fragment(trials := configure("rsync-backup"), suggest.suggest(trials, asked("scp -t x", "uptime")))
    assert found[:3] == [
        f"# New file {layout.jails}/alice.conf; then: jailssh adduser alice --jail alice",
        "extends = rsync-backup",
        "plugins = command rsync scp",
    ]
    document = extend(read_document("\n".join(found), f"{layout.jails}/alice.conf"), shipped_profiles())
    assert document.entries["rsync"]["write"].raw == "~/backup"
    trials = configure("rsync-backup sftp-ro")
    found = suggest.fragment(trials, suggest.suggest(trials, asked("uptime")))
    assert found[1] == "plugins = command rsync sftp"
    assert {"[rsync]", "write = ~/backup", "[sftp]", "read_only = yes", "commands = uptime"} <= set(found)


@needs_matcher
@pytest.mark.parametrize(
    ("command", "reason", "why"),
    [
        ("id;ls", "shell-metacharacter", "has a meaning only in a shell"),
        ("echo '", "unbalanced-quote", "an unbalanced quote"),
        ("echo a\nb", "shell-metacharacter", "has a meaning only in a shell"),
        ("", "empty-command", "empty"),
        ("nowhere", "command-not-allowed", "not a program on this host"),
        ("./uptime", "command-not-allowed", "not a program on this host"),
        ("rsync --server -e.i . in", "path-leaves-root", "symbolic links of a path leave"),
        ("rsync --server -e.i . ../x", "path-dotdot", "but no setting allows this one"),
        ("x" * 4096, "command-not-allowed", "only its beginning"),
        (None, "not-interactive", "only a shell allows it (plugin shell)"),
        ("git-receive-pack /srv/x", "command-not-allowed", "can allow it, but [git] read"),
    ],
)
def test_what_cannot_be_allowed(configure: Callable[..., Trials], command: str | None, reason: str, why: str) -> None:
    found = suggest.suggest(configure("own"), asked(command, reason=reason))
    assert found.needed == {}
    assert [why in text for _, text in found.impossible] == [True], found.impossible


@needs_matcher
def test_settings_that_do_not_go_together_are_said_and_left_out(configure: Callable[..., Trials]) -> None:
    found = suggest.suggest(configure("sftp-ro"), asked("cvs server", "uptime", "cat /etc/hosts", "cat 'a b'"))
    assert found.remedy.plugins == ("cvs",)
    assert "CVSROOT could run its programs" in found.impossible[0][1]


@needs_matcher
@pytest.mark.parametrize(
    ("own", "command"),
    [
        (OWN, PUSH.format("-v", "d{0}/")),
        (OWN, "uptime x{0} -y{0}"),
        ("plugins = git\n[git]\nroots = /srv\nrights = read a alice\n", "git-receive-pack '/srv/r{0}.git'"),
    ],
)
def test_a_command_more_asks_no_more_than_those_before(
    configure: Callable[..., Trials], monkeypatch: pytest.MonkeyPatch, own: str, command: str
) -> None:
    questions: list[str | None] = []

    def judge(layout: Layout, plan: str | bytes, command: str | None) -> matcher.Verdict:
        questions.append(command)
        return real(layout, plan, command)

    real = matcher.judge
    monkeypatch.setattr(matcher, "judge", judge)
    numbers = []
    for number in (8, 16, 24):
        questions.clear()
        found = suggest.suggest(configure("own", own), asked(*map(command.format, range(number))))
        assert (found.impossible, found.allowed) == ([], [])
        numbers.append(len(questions))
    assert numbers[2] - numbers[1] == numbers[1] - numbers[0], numbers


@needs_matcher
def test_any_text_is_not_used_to_put_commands_together(configure: Callable[..., Trials]) -> None:
    found = suggest.suggest(configure("sftp-only"), asked("report a:b", "report 'a b'", "id -n 4", "id -n 5"))
    lines = [line for change in found.remedy.changes if change.option == "commands" for line in change.raw]
    assert lines == ["report a:b", "id -n <int:4:5>"]
    assert [each.command for each, _ in found.impossible] == ["report 'a b'"]


@needs_matcher
def test_a_comment_cannot_break_the_file(configure: Callable[..., Trials]) -> None:
    trials = configure("sftp-only")
    command = "rsync --server -e.i . '''x'''\"\"\"\"\"\"/\x85\x1b]0;"
    found = suggest.suggest(trials, asked("scp -t '''''x'", "uptime"))
    text = "\n".join(suggest.fragment(trials, found))
    read_document(text, "x")
    assert suggest.shown(command).isprintable()


def test_how_long_to_learn() -> None:
    assert [cli_learn.seconds(text) for text in ("90s", "30m", "1h", "31d")] == [90, 1800, 3600, 31 * 86400]
    for bad in ("", "0h", "1", "h", "-1h", "1.5h", "32d", "1h30m", "1 h", "1h\n"):
        with pytest.raises(UsageError):
            cli_learn.seconds(bad)


@needs_matcher
@pytest.mark.needs("root")
def test_learning_begins_goes_on_ends_by_itself_and_is_forgotten(
    configure: Callable[..., Trials],
    layout: Layout,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("own")

    def learn(now: float, *argv: str) -> str:
        assert run_learn(layout, monkeypatch, now, *argv) == 0
        return capsys.readouterr().out

    with pytest.raises(JailsshError, match="has no learning period"):
        learn(0, "alice", "--suggest")
    assert "nothing more is allowed meanwhile" in learn(1000.5, "alice")
    assert learning.read(layout, 1000, "alice") == Learning(1000, "alice", 1000.5, 4600.5)
    learn(2000, "alice", "--for", "10m")
    assert learning.read(layout, 1000, "alice") == Learning(1000, "alice", 1000.5, 2600)
    rows = [
        record("uptime", time=1000),
        record("report x", time=1500),
        record("id;", time=2000),
        record("uptime", time=3000),
    ]
    monkeypatch.setattr(journal, "_journalctl", Journalctl(*rows))
    out = learn(2700, "alice", "--suggest")
    assert 'commands = "report x"' in out
    assert (
        "# cannot be allowed: id;: the command contains a character that has a meaning only in a shell (requested once"
        in out
    )
    assert "uptime" not in out
    facts = json.loads(learn(2700, "alice", "--suggest", "--json"))
    assert facts["settings"][0]["asked"][0]["command"] == "report x"
    assert "over, " in learn(2700, "--list")
    learn(2700, "alice", "--for", "1h")
    assert learning.read(layout, 1000, "alice") == Learning(1000, "alice", 2700, 6300)
    assert "alice: until " in learn(2800, "--list")
    assert "ended the learning period" in learn(2800, "alice", "--stop")
    assert "deleted the learning period" in learn(2900, "alice", "--stop")
    assert learn(2900, "--list") == "no account has a learning period\n"


def test_learn_takes_an_account_or_list(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    for argv in ([], ["alice", "--list"], ["alice", "--stop", "--suggest"], ["alice", "--for", "1h", "--stop"]):
        with pytest.raises(UsageError):
            run_learn(layout, monkeypatch, 0, *argv)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"uid": 1001, "name": "a", "since": 1, "until": 2}', '{"uid": 1000, "name": "a"}']
)
def test_a_damaged_state_is_an_error_with_a_way_out(layout: Layout, text: str) -> None:
    folder = Path(layout.state, "learn")
    folder.mkdir(parents=True)
    (folder / "1000").write_text(text)
    with pytest.raises(ConfigError) as caught:
        learning.read(layout, 1000, "alice")
    assert "start again" in caught.value.hint


def test_the_state_of_an_earlier_account_with_the_uid_does_not_count(layout: Layout) -> None:
    folder = Path(layout.state, "learn")
    folder.mkdir(parents=True)
    (folder / "1000").write_text('{"uid": 1000, "name": "bob", "since": 1, "until": 2}')
    assert learning.read(layout, 1000, "alice") is None
    assert [one.name for one in learning.every(layout)] == ["bob"]


@needs_matcher
def test_a_plugin_that_would_believe_what_another_one_writes_is_no_remedy(configure: Callable[..., Trials]) -> None:
    found = suggest.suggest(configure("sftp-only"), asked("git-upload-pack '~/team/x.git'"))
    assert found.needed == {}
    assert [each.command for each, _ in found.impossible] == ["git-upload-pack '~/team/x.git'"]
