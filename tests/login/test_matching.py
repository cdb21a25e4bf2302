"""The matcher where ``jailssh-match`` cannot look: inside the jail, at its limits, and the facts for the journal."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from jailssh.core.names import JailPath
from jailssh.host.matcher import NOT_SERVED, Verdict, read_verdict
from jailssh.plan import codec
from jailssh.policy.rules import Rule
from tests.abilities import REPO
from tests.login.driver import PURE, Driver, compile_c, joined
from tests.login.jails import plan_with

pytestmark = pytest.mark.needs("gcc", "sanitizers")

WORDS_MAX, ARGV_MAX = 1030, 1030 + 600 - 1
PROGRAM = JailPath("/usr/bin/tool")
SHELL = Rule("shell.login", "shell", "/bin/bash", (), argv0="-bash", argv_prefix=("-l",), interactive_login=True)
ANY = Rule("shell.command", "shell", "/bin/bash", ("*",), argv_prefix=("-c",), operands=(0, 1024, "text"))


def tool(**facts: object) -> Rule:
    return Rule("tool.use", "tool", PROGRAM, ("tool",), **facts)  # type: ignore[arg-type]


class Judge:
    """Judges commands by some rules, with ``home`` as the home; inside when that is to be looked at."""

    def __init__(self, driver: Driver, folder: Path, rules: list[Rule], home: Path | None = None) -> None:
        self._driver, self._inside = driver, "i" if home else ""
        self._plan = folder / "plan"
        self._plan.write_bytes(codec.encode(plan_with(rules, home=str(home or "/home/alice"))))

    def facts(self, command: str | None) -> list[str]:
        """Return reason, program or detail, rule, plugin, path, "interactive", and the words to execute."""
        case = [self._inside, "", ""] if command is None else [self._inside, "c", command]
        return self._driver.parts("match", [joined(case)], self._plan)[0]

    def argv(self, command: str | None) -> list[str]:
        reason, program, _, _, _, _, *argv = self.facts(command)
        assert (reason, program) == ("", PROGRAM)
        return argv[1:]

    def argv_of(self, command: str) -> list[str]:
        return self.facts(command)[6:]

    def refusal(self, command: str | None) -> tuple[str, str]:
        reason, detail, *_ = self.facts(command)
        return reason, detail


def test_interactive(driver: Driver, tmp_path: Path) -> None:
    judge = Judge(driver, tmp_path, [tool(), SHELL, ANY])
    assert judge.facts(None) == ["", "/bin/bash", "shell.login", "shell", "", "interactive", "-bash", "-l"]
    assert judge.facts("x  y")[:7] == ["", "/bin/bash", "shell.command", "shell", "", "", "bash"]
    assert judge.facts("tool")[2] == "tool.use"


def test_not_interactive(driver: Driver, tmp_path: Path) -> None:
    judge = Judge(driver, tmp_path, [tool(), ANY])
    assert judge.facts(None) == ["not-interactive", "", "", "", "", ""]


def test_a_shell_takes_what_the_splitter_refuses(driver: Driver, tmp_path: Path) -> None:
    judge = Judge(driver, tmp_path, [ANY, tool()])
    for command in ("", " ", "a;b", "'", "a\nb\tc", "~x", "tool x", "x " * 2000, "\x01"):
        assert judge.facts(command)[6:] == ["bash", "-c", command]
    assert judge.refusal("x" * 65536) == ("command-too-long", "character ")


def test_the_rule_that_came_furthest_is_named(driver: Driver, tmp_path: Path) -> None:
    first = Rule("a", "p1", "/bin/a", ("tool",), literal_words=("--one",))
    second = Rule("b", "p2", "/bin/b", ("tool",), literal_words=("--two",), short_flags="x")
    third = Rule("c", "p3", "/bin/c", ("other",))
    judge = Judge(driver, tmp_path, [first, second, third])
    assert judge.facts("tool --two -y")[:4] == ["option-not-allowed", "option -y", "b", "p2"]
    assert judge.facts("tool --two y")[:4] == ["operand-count", "operands too many or too few", "b", "p2"]
    assert judge.facts("nothing 'a b'")[:4] == ["command-not-allowed", "command nothing", "", ""]
    assert judge.facts("tool;")[:4] == ["shell-metacharacter", "character ;", "", ""]


LFS = Rule("lfs", "git", "/", ("git-lfs-authenticate",), ignore_arguments=True, builtin_reply=(126, "Großes: woanders"))
HELLO = Rule("hello", "p", "/", ("hello",), literal_words=("--all",), operands=(0, 1, "word"), builtin_reply=(0, ""))


def test_rules_that_have_the_answer(driver: Driver, tmp_path: Path) -> None:
    judge = Judge(driver, tmp_path, [tool(), LFS, HELLO])
    assert judge.facts("git-lfs-authenticate x.git upload")[:4] == ["not-served", "Großes: woanders", "lfs", "git"]
    assert judge.facts("hello --all x") == ["", "/", "hello", "p", "", ""]
    # Only where all of it fits: what does not is denied as by any rule.
    assert judge.facts("hello x")[:3] == ["word-missing", "word --all", "hello"]
    assert judge.facts("hello --all x y")[:3] == ["operand-count", "operands too many or too few", "hello"]
    assert judge.refusal("git-lfs") == ("command-not-allowed", "command git-lfs")
    assert judge.facts("tool")[:3] == ["", PROGRAM, "tool.use"]


def test_an_answer_is_the_last_word(driver: Driver, tmp_path: Path) -> None:
    judge = Judge(driver, tmp_path, [ANY, LFS, replace(SHELL, builtin_reply=(126, "no shell, but hello"))])
    assert judge.refusal("git-lfs-authenticate x") == ("not-served", "Großes: woanders")
    assert judge.argv_of("git-lfs-authenticat x") == ["bash", "-c", "git-lfs-authenticat x"]
    assert judge.facts(None)[:3] == ["not-served", "no shell, but hello", "shell.login"]


def test_the_fields_of_jailssh_match(tmp_path: Path, match_build: Path) -> None:
    def ask(command: str, rules: list[Rule]) -> Verdict:
        (tmp_path / "plan").write_bytes(codec.encode(plan_with(rules)))
        done = subprocess.run([match_build, "-0", tmp_path / "plan", command], capture_output=True, timeout=10)
        return read_verdict(done.stdout.decode())

    served = [tool(operands=(0, 1, "path"), path_roots=("/srv",), relative_to="/srv"), LFS, HELLO]
    assert ask("tool x", served) == Verdict(
        True, rule="tool.use", plugin="tool", program=PROGRAM, path=JailPath("/srv/x"), argv=("tool", "/srv/x")
    )
    assert ask("hello --all", served) == Verdict(True, rule="hello", plugin="p")
    words, detail = ("git-lfs-authenticate", "x"), "Großes: woanders"
    expected = Verdict(False, rule="lfs", plugin="git", reason=NOT_SERVED, detail=detail, words=words)
    assert ask("git-lfs-authenticate x", served) == expected


def test_the_timer_of_decisions(tmp_path: Path) -> None:
    """As the benchmarks call it; what it measures is their affair."""
    program = compile_c("gcc", tmp_path / "decide", [REPO / "tests/bench/decide.c", *PURE], "-O2")
    (tmp_path / "plan").write_bytes(codec.encode(plan_with([tool(operands=(1, 1, "word"))])))
    for words, code in (
        (["plan", "tool x", "100"], 0),
        (["-i", "plan", "tool x", "100"], 0),
        (["plan", "tools", "100"], 3),
    ):
        done = subprocess.run([program, *words], cwd=tmp_path, capture_output=True, text=True, timeout=20)
        assert (done.returncode, done.stderr) == (code, "")
        assert 0 < int(done.stdout) < 10**6
    assert subprocess.run([program, "none", "x", "1"], cwd=tmp_path, timeout=20).returncode == 2


def test_spellings(driver: Driver, tmp_path: Path) -> None:
    words = ("tool", "tool run", "/usr/bin/tool run")
    judge = Judge(driver, tmp_path, [Rule("tool.use", "tool", PROGRAM, words[1:], operands=(0, 3, "text"))])
    assert judge.argv("tool run x") == ["x"]
    assert judge.argv("'to'ol \"run\" x") == ["x"]
    assert judge.argv("/usr/bin/tool run") == []
    for command in ("tool", "tool runs", "tool 'run '", "'tool run'", "~tool run", "tools run", "too run", "'' run"):
        assert judge.refusal(command)[0] == "command-not-allowed"


def test_options(driver: Driver, tmp_path: Path) -> None:
    rule = tool(
        short_flags="abc", required_letters="a", cluster_tail=("e", "capabilities"),
        short_options=(("B", "int:0:9"), ("T", "path")),
        long_options=(("flag", "flag"), ("n", "int:0:9"), ("dir", "path")), argv_insert=("--in",), operand_marker=".",
        path_roots=("/srv",), operands=(1, 2, "word"), argv_prefix=("--fixed",), relative_to="/srv",
    )  # fmt: skip
    judge = Judge(driver, tmp_path, [rule])
    first = ["--fixed"]
    last = ["--in", ".", "x"]
    assert judge.argv("tool -ab -c . x") == [*first, "-ab", "-c", *last]
    assert judge.argv("tool -ae.x . x") == [*first, "-ae.x", *last]
    assert judge.argv("tool -aB3 . x") == [*first, "-aB3", *last]
    assert judge.argv("tool -aB 3 . x") == [*first, "-aB", "3", *last]
    assert judge.argv("tool -aT/srv/x . x") == [*first, "-aT", "/srv/x", *last]
    assert judge.argv("tool -aTx . x") == [*first, "-aTx", *last]
    assert judge.argv("tool --flag --n=3 --n 4 -a . x") == [*first, "--flag", "--n=3", "--n", "4", "-a", *last]
    assert judge.argv("tool --dir=/srv/x --dir x -a . x") == [*first, "--dir=/srv/x", "--dir", "x", "-a", *last]
    for command, refusal in {
        "tool . x": ("option-missing", "option -a"),
        "tool -a x": ("word-missing", "word ."),
        "tool -a": ("word-missing", "word ."),
        "tool -a .": ("operand-count", "operands none given"),
        "tool -a . x y z": ("operand-count", "operands too many or too few"),
        "tool -ad . x": ("option-not-allowed", "option -ad"),
        "tool -a -- . x": ("option-not-allowed", "option --"),
        "tool -a - . x": ("word-missing", "word ."),
        "tool -aB": ("value-missing", "option -aB"),
        "tool -aBx . x": ("value-not-allowed", "value x"),
        "tool -aB x . x": ("value-not-allowed", "value x"),
        "tool -aeX . x": ("value-not-allowed", "value X"),
        "tool -aT/etc . x": ("path-outside", "path /etc"),
        "tool -a --flag=1 . x": ("value-not-allowed", "option --flag=1"),
        "tool -a --fla . x": ("option-not-allowed", "option --fla"),
        "tool -a --flags . x": ("option-not-allowed", "option --flags"),
        "tool -a --=1 . x": ("option-not-allowed", "option --=1"),
        "tool -a --n": ("value-missing", "option --n"),
        "tool -a --n= . x": ("value-not-allowed", "value "),
        "tool -a --dir=/etc . x": ("path-outside", "path /etc"),
        "tool -a --dir ~bob . x": ("path-of-other-user", "path ~bob"),
        "tool -a . -x": ("value-not-allowed", "value -x"),
        "tool -a . x*": ("shell-metacharacter", "pattern x*"),
    }.items():
        assert judge.refusal(command) == refusal, command


def test_options_that_must_be_there(driver: Driver, tmp_path: Path) -> None:
    rule = tool(
        short_flags="v", short_options=(("n", "word"),), long_options=(("to", "word"), ("all", "flag")),
        required_letters="n", required_options=("to", "all"), operands=(0, 1, "word"),
    )  # fmt: skip
    judge = Judge(driver, tmp_path, [rule])
    assert judge.argv("tool -n x --to y --all") == ["-n", "x", "--to", "y", "--all"]
    assert judge.argv("tool --all --to=y -vnx z") == ["--all", "--to=y", "-vnx", "z"]
    for command, name in {
        "tool --to y --all": "-n",
        "tool -v --to n --all": "-n",
        "tool -n x --all": "--to",
        "tool -n to --all to": "--to",
        "tool -n x --to all": "--all",
        "tool -n x --to=y all": "--all",
    }.items():
        assert judge.refusal(command) == ("option-missing", f"option {name}"), command


def test_options_that_may_be_there_once(driver: Driver, tmp_path: Path) -> None:
    rule = tool(
        short_flags="vn", cluster_tail=("e", "capabilities"), short_options=(("B", "word"),), operands=(0, 9, "word"),
        single_use=("v", "e", "B", "to", "all", "n"), end_of_options=True,
        long_options=(("to", "word"), ("all", "flag"), ("tool", "word"), ("n", "flag"), ("t", "flag")),
    )  # fmt: skip
    judge = Judge(driver, tmp_path, [rule])
    for command in (
        "tool -vnB v --to=to --all --tool=to --tool to --t --t to",
        "tool -BB -e.v -v --to all -- all v",
        "tool -B vv -e.ee --all",
    ):
        assert judge.facts(command)[0] == "", command
    for command, name in {
        "tool -vv": "-v",
        "tool -v --all -nv": "-v",
        "tool -vBv -v": "-v",
        "tool -Bx -B x": "-B",
        "tool -B x -vBx x": "-B",
        "tool -e. -e.": "-e",
        "tool --to x --to=y": "--to",
        "tool --to=x --to=x x": "--to",
        "tool --to to --all --to to": "--to",
        "tool --all -v --all": "--all",
        "tool -n --n": "-n",
        "tool --n --n": "-n",
    }.items():
        assert judge.refusal(command) == ("option-twice", f"option {name}"), command


def test_operands_with_classes_of_their_own(driver: Driver, tmp_path: Path) -> None:
    below = {"path_roots": ("/srv",), "relative_to": "/srv"}
    rule = tool(operand_classes=("pattern:db-*", "int:0:9"), operands=(2, 4, "path"), **below)
    judge = Judge(driver, tmp_path, [rule])
    assert judge.argv("tool db-a 3") == ["db-a", "3"]
    assert judge.argv("tool db-a 3 x /srv/y") == ["db-a", "3", "/srv/x", "/srv/y"]
    assert judge.facts("tool db-a 3 x")[4] == "/srv/x"
    assert judge.argv("tool db-a 3 x -y") == ["db-a", "3", "/srv/x", "/srv/-y"]
    for command, refusal in {
        "tool": ("operand-count", "operands none given"),
        "tool db-a": ("operand-count", "operands too many or too few"),
        "tool db-a 3 a b c": ("operand-count", "operands too many or too few"),
        "tool 3 db-a": ("value-not-allowed", "value 3"),
        "tool db-a x": ("value-not-allowed", "value x"),
        "tool db-a 3 /etc": ("path-outside", "path /etc"),
        "tool db-a -3": ("option-not-allowed", "option -3"),
        "tool db-a 3 ../x": ("path-dotdot", "path ../x"),
        "tool ~/x 3": ("value-not-allowed", "value ~/x"),
    }.items():
        assert judge.refusal(command) == refusal, command


def test_a_path_among_other_operands(driver: Driver, tmp_path: Path) -> None:
    home = "/home/alice"
    rule = tool(operand_classes=("word", "path"), operands=(1, 3, "repository"), path_roots=(home,), relative_to=home)
    judge = Judge(driver, tmp_path, [rule])
    assert judge.argv("tool y in/x") == ["y", "in/x"]
    assert judge.argv("tool y -x a.git") == ["y", "/home/alice/-x", "/home/alice/a.git"]
    assert judge.argv("tool y ~/x") == ["y", "/home/alice/x"]
    assert judge.refusal("tool y x -a") == ("option-not-allowed", "option -a")
    assert judge.refusal("tool y x .git") == ("repository-name", "repository .git")
    assert judge.refusal("tool in/x x") == ("value-not-allowed", "value in/x")


def test_only_the_rule_s_own_dashes_end_the_options(driver: Driver, tmp_path: Path) -> None:
    facts = {"short_options": (("S", "text"),), "operands": (0, 9, "text")}
    judge = Judge(driver, tmp_path, [tool(**facts)])
    assert judge.argv("tool -S -- x") == ["-S", "--", "x"]
    assert judge.refusal("tool -S -- x -y") == ("option-not-allowed", "option -y")
    judge = Judge(driver, tmp_path, [tool(**facts, literal_words=("--",))])
    assert judge.argv("tool -- x -y") == ["--", "x", "-y"]
    assert judge.refusal("tool -- -S -- x -y") == ("option-not-allowed", "option -y")


def test_completed_paths_in_options(driver: Driver, tmp_path: Path) -> None:
    facts = {"short_options": (("T", "path"),), "long_options": (("dir", "path"),), "path_roots": ("/home/alice",)}
    judge = Judge(driver, tmp_path, [tool(**facts)])
    assert judge.argv("tool -T~/x --dir=~/y --dir ~/z") == [
        "-T", "/home/alice/x", "--dir=/home/alice/y", "--dir", "/home/alice/z",
    ]  # fmt: skip


def test_dashdash_and_ignored_words(driver: Driver, tmp_path: Path) -> None:
    rule = tool(end_of_options=True, short_flags="a", operands=(0, 9, "text"))
    judge = Judge(driver, tmp_path, [replace(rule, argv_insert=("--",))])
    assert judge.argv("tool -a -- -b --c -") == ["-a", "--", "-b", "--c", "-"]
    assert judge.argv("tool - -a") == ["--", "-", "-a"]
    bare = Judge(driver, tmp_path, [rule])
    for command in ("tool x -b", "tool -- -b", "tool x --b"):  # the program would take it for an option
        assert bare.refusal(command)[0] == "option-not-allowed"
    assert bare.argv("tool -- x -") == ["x", "-"]
    judge = Judge(driver, tmp_path, [tool(ignore_arguments=True, argv_prefix=("-R",), argv_insert=("-x",))])
    assert judge.argv("tool -f / '*' * ~x") == ["-R", "-x"]


def test_too_many_words(driver: Driver, tmp_path: Path) -> None:
    many = Judge(driver, tmp_path, [tool(operands=(0, 1024, "text"), end_of_options=True, short_flags="a")])
    assert len(many.argv("tool -a -- " + "x " * 1024)) == 1025
    assert many.refusal("tool " + "x " * 1025)[0] == "operand-count"
    assert many.refusal("tool " + "x " * WORDS_MAX)[0] == "too-many-words"
    fixed = ["-f"] * (ARGV_MAX - 11)
    room = {"argv_prefix": tuple(fixed), "operands": (0, 20, "text")}
    judge = Judge(driver, tmp_path, [tool(**room)])
    assert judge.argv("tool " + "x " * 10) == [*fixed, *["x"] * 10]
    assert judge.refusal("tool " + "x " * 11) == ("too-many-words", "word x")
    judge = Judge(driver, tmp_path, [tool(argv_prefix=("-f",) * 2000), SHELL])
    assert judge.refusal("tool") == ("too-many-words", "word -f")
    judge = Judge(driver, tmp_path, [tool(argv_insert=("-f",) * 2000, ignore_arguments=True)])
    assert judge.refusal("tool")[0] == "too-many-words"
    judge = Judge(driver, tmp_path, [tool(argv_insert=("-f",) * 2000)])
    assert judge.refusal("tool")[0] == "too-many-words"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with files, and with links within it and out of it."""
    home = tmp_path / "home"
    for folder in ("in/deep", "in/other", "out"):
        (home / folder).mkdir(parents=True)
    for name in ("a.txt", "b.txt", "c d.txt", "-dash.txt", "in/x", "$(id)", "*"):
        (home / name).touch()
    (tmp_path / "secret").touch()
    for name, target in {
        "in/up": "../out",
        "in/host": "/etc",
        "in/gone": "../../nowhere/x",
        "in/loop": "loop",
        "in/near": "deep",
        "in/self": str(home / "in/deep"),
        "link": str(tmp_path / "secret"),
    }.items():
        (home / name).symlink_to(target)
    return home


def inside(driver: Driver, tmp_path: Path, home: Path, *roots: Path, **facts: object) -> Judge:
    texts = tuple(map(str, roots))
    return Judge(driver, tmp_path, [tool(path_roots=texts, operands=(0, 1024, "path"), **facts)], home)


def test_links_must_stay_below_the_root(driver: Driver, tmp_path: Path, home: Path) -> None:
    judge = inside(driver, tmp_path, home, home / "in")
    for name in ("x", "deep", "near", "near/new", "deep/new/newer", "x/below-a-file", "new"):
        assert judge.argv(f"tool in/{name}") == [f"in/{name}"]
        assert judge.argv(f"tool {home}/in/{name}") == [f"{home}/in/{name}"]
    for name in ("up", "up/x", "host", "host/passwd", "gone", "gone/x", "loop", "self"):
        assert judge.refusal(f"tool in/{name}") == ("path-leaves-root", f"path in/{name}")
    assert judge.argv("tool in") == ["in"]
    assert judge.refusal("tool out/x")[0] == "path-outside"


def test_a_root_of_everything(driver: Driver, tmp_path: Path, home: Path) -> None:
    judge = inside(driver, tmp_path, home, Path("/"))
    links = ["in/up", "in/host", "in/gone", "in/self", "link"]
    assert judge.argv(f"tool / in/x in/new {' '.join(links)}") == ["/", "in/x", "in/new", *links]


def test_a_root_that_is_missing_or_no_directory(driver: Driver, tmp_path: Path, home: Path) -> None:
    judge = inside(driver, tmp_path, home, home / "new", home / "in/x")
    assert judge.argv("tool new/a/b") == ["new/a/b"]
    assert judge.refusal("tool in/x") == ("path-leaves-root", "path in/x")


def test_patterns_expand(driver: Driver, tmp_path: Path, home: Path) -> None:
    judge = inside(driver, tmp_path, home, home, glob=True, end_of_options=True, argv_insert=("--",))
    assert judge.argv("tool *.txt") == ["--", f"{home}/-dash.txt", "a.txt", "b.txt", "c d.txt"]
    assert judge.argv("tool ?.txt in/d*p") == ["--", "a.txt", "b.txt", "in/deep"]
    assert judge.argv("tool [ab].t'x't") == ["--", "a.txt", "b.txt"]
    assert judge.argv(f"tool {home}/b*") == ["--", f"{home}/b.txt"]
    # What is quoted is no pattern, and what matches nothing stays as it is.
    assert judge.argv("tool '*' \\*.txt 'a'*") == ["--", "*", "*.txt", "a.txt"]
    assert judge.argv("tool none*") == ["--", "none*"]
    assert judge.argv("tool '$('*") == ["--", "$(id)"]
    assert judge.refusal("tool ~/*.txt") == ("pattern-not-allowed", "pattern ~/*.txt")
    assert judge.refusal("tool l*") == ("path-leaves-root", "path link")
    assert judge.refusal("tool in/*")[0] == "path-leaves-root"
    assert judge.refusal("tool ../*")[0] == "path-dotdot"
    assert judge.refusal("tool /etc/p*")[0] == "path-outside"


def test_what_a_pattern_finds_is_no_option(driver: Driver, tmp_path: Path, home: Path) -> None:
    rule = tool(operands=(0, 9, "text"), glob=True)
    judge = Judge(driver, tmp_path, [rule], home)
    assert judge.argv("tool a*") == ["a.txt"]
    assert judge.refusal("tool *.txt") == ("option-not-allowed", "option -dash.txt")
    judge = Judge(driver, tmp_path, [replace(rule, argv_insert=("--",))], home)
    assert judge.argv("tool *.txt") == ["--", "-dash.txt", "a.txt", "b.txt", "c d.txt"]


def test_patterns_begin_at_the_base(driver: Driver, tmp_path: Path, home: Path) -> None:
    base = home / "in"
    judge = inside(driver, tmp_path, home, base, glob=True, relative_to=str(base))
    assert judge.argv("tool d*") == [f"{base}/deep"]
    (home / "in").rename(home / "moved")
    assert judge.argv("tool d*") == [f"{base}/d*"]


def test_a_pattern_may_match_too_much(driver: Driver, tmp_path: Path, home: Path) -> None:
    for number in range(ARGV_MAX + 10):
        (home / f"in/deep/{number}").touch()
    judge = inside(driver, tmp_path, home, home, glob=True)
    assert judge.refusal("tool in/deep/*")[0] == "too-many-words"
    for number in range(1025, ARGV_MAX + 10):
        (home / f"in/deep/{number}").unlink()
    assert judge.refusal("tool in/deep/*") == ("operand-count", "operands too many or too few")
    (home / "in/deep/0").unlink()
    assert len(judge.argv("tool in/deep/*")) == 1024


@pytest.mark.parametrize("pattern", ["*/../*", "in/..*/../x*", "*/..", "/../*", "'..'/*", "in/*/../*/../*"])
def test_a_pattern_does_not_go_up(driver: Driver, tmp_path: Path, home: Path, pattern: str) -> None:
    for cls in ("path", "text"):
        rule = tool(operands=(0, 9, cls), glob=True, path_roots=(str(home),), relative_to=str(home))
        assert Judge(driver, tmp_path, [rule], home).refusal(f"tool {pattern}")[0] == "path-dotdot"


def test_a_pattern_has_an_end(driver: Driver, tmp_path: Path, home: Path) -> None:
    folder = home / "in/deep"
    for number in range(9):
        (folder / f"l{number}").symlink_to(".")
    rule = tool(operands=(0, 1024, "text"), glob=True)
    judge = Judge(driver, tmp_path, [rule], home)
    assert judge.argv("tool in/deep/l1/?1") == ["in/deep/l1/l1"]
    begin = time.monotonic()
    for pattern in ("/*" * 12, "/*" * 12 + "/none", "/*" * 1000):
        assert judge.refusal(f"tool in/deep{pattern}")[0] == "too-many-words"
    # All patterns of a command together.
    assert judge.refusal("tool" + " in/deep/*/*/*/*/none" * 1000)[0] == "too-many-words"
    assert time.monotonic() - begin < 20


def test_patterns_in_the_middle(driver: Driver, tmp_path: Path, home: Path) -> None:
    for name in ("p/a/x", "p/b/x", "p/b/y", "p/.c/x", "p/f", "p/a*/x"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).touch()
    judge = inside(driver, tmp_path, home, home, glob=True)
    assert judge.argv("tool p/*/x") == ["p/a*/x", "p/a/x", "p/b/x"]
    assert judge.argv("tool p/*/") == ["p/a*/", "p/a/", "p/b/"]
    assert judge.argv("tool p/[ab]//*y") == ["p/b//y"]
    assert judge.argv("tool p/.*/x p/'a*'/?") == ["p/.c/x", "p/a*/x"]
    assert judge.argv("tool p/*/none p/f/*") == ["p/*/none", "p/f/*"]


def test_names_that_are_no_text(driver: Driver, tmp_path: Path, home: Path) -> None:
    folder = os.fsencode(home / "in/other")
    names = [b"\xff\xfe", b"a\nb", b"\xc3\xa4"]
    for name in names:
        with open(folder + b"/" + name, "x"):
            pass
    judge = inside(driver, tmp_path, home, home, glob=True)
    assert judge.argv("tool in/other/*") == sorted(f"in/other/{os.fsdecode(name)}" for name in names)


def test_the_first_path_is_told(driver: Driver, tmp_path: Path) -> None:
    judge = Judge(driver, tmp_path, [tool(path_roots=("/srv",), relative_to="/srv", operands=(0, 9, "path"))])
    assert judge.facts("tool ./b//c x")[4] == "/srv/b/c"
    assert judge.facts("tool")[4] == ""


def test_a_rule_that_says_nothing_of_operands(driver: Driver, tmp_path: Path) -> None:
    plan = plan_with([tool()])
    records = tuple(record for record in plan.records if record.verb != "operands")
    judge = Judge(driver, tmp_path, [tool()])
    (tmp_path / "plan").write_bytes(codec.encode(replace(plan, records=records)))
    assert judge.argv("tool") == []
    assert judge.refusal("tool x") == ("operand-not-allowed", "operand x")


def test_what_a_plan_says(driver: Driver, tmp_path: Path) -> None:
    (tmp_path / "plan").write_bytes(codec.encode(plan_with([tool()])))
    answers = driver.parts("says", [joined([value]) for value in ("none", "host", "")], tmp_path / "plan")
    assert answers == [["yes", "no"], ["no", "no"], ["no", "no"]]


def test_an_answer_explains_a_command_that_cannot_be_split(driver: Driver, tmp_path: Path) -> None:
    mark = replace(LFS, command_names=("echo",), literal_words=("a mark",), builtin_reply=(126, "choose another"))
    judge = Judge(driver, tmp_path, [tool(), mark, HELLO])
    for command in ('echo "a mark"; tool x', "echo 'a mark'|x", 'echo "a mark" x y $z', "echo 'a mark' 'z",
                    "echo 'a mark"):  # fmt: skip
        assert judge.facts(command)[:4] == ["not-served", "choose another", "lfs", "git"]
    for command in (";", "echo;", 'echo "a m";', 'echo "a mark"x;', "tool x;"):
        assert judge.facts(command)[:4] == ["shell-metacharacter", "character ;", "", ""]
    # What is answered with success is not executed either, but only where all of it fits.
    assert judge.refusal("hello --all; id") == ("shell-metacharacter", "character ;")
