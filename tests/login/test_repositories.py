"""Repositories: the one name that git would open, the patterns, and what is never one.

Rows of the names in capitals are of the attacks on servers of git: a repository beside the named one, above it, within
it, under another spelling.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jailssh.plan import codec
from jailssh.policy.rules import Rule
from tests.login.driver import Driver, frame, frames, joined
from tests.login.jails import plan_with

pytestmark = pytest.mark.needs("gcc", "sanitizers")

GIT = "/usr/bin/git"
ROOT = "/srv/git"
OPEN = "0" * 40


def rule(*like: str, cls: str = "repository", roots: tuple[str, ...] = (ROOT,), **facts: Any) -> Rule:
    return Rule(
        f"git.{cls}", "git", GIT, ("git-serve",), argv_prefix=("serve",), operands=(1, 1, cls), relative_to=roots[0],
        path_roots=roots, repository_patterns=like, **facts,
    )  # fmt: skip


Ask = Callable[..., list[str]]


@pytest.fixture
def ask(driver: Driver, tmp_path: Path) -> Ask:
    """Return what becomes of the names: the executed path, or ``!`` and the reason."""

    def run(rules: Rule | list[Rule], *names: str, inside: bool = False) -> list[str]:
        plan = tmp_path / "plan"
        plan.write_bytes(codec.encode(plan_with(rules if isinstance(rules, list) else [rules])))
        cases = [joined(["i" if inside else "", "c", f"git-serve '{name}'"]) for name in names]
        found = []
        for reason, _, _, _, path, _, *argv in driver.parts("match", cases, plan):
            assert reason or argv == ["git", "serve", path]
            found.append(f"!{reason}" if reason else path)
        return found

    return run


NAMES = {
    "a": "/srv/git/a",
    "a.git": "/srv/git/a.git",
    "a.git/": "/srv/git/a.git",
    "a.git///": "/srv/git/a.git",
    "./a.git/.": "/srv/git/a.git",
    "/srv/git/a.git": "/srv/git/a.git",
    "//srv//git/./a.git/": "/srv/git/a.git",
    "team/a": "/srv/git/team/a",
    "a.git.git": "/srv/git/a.git.git",
    "a..b": "/srv/git/a..b",
    "ä b": "/srv/git/ä b",
    "*": "/srv/git/*",
    "/srv/git": "/srv/git",
    "": "!path-empty",
    "../other.git": "!path-dotdot",
    "/srv/git/a/../../etc": "!path-dotdot",
    "a.git/../b.git": "!path-dotdot",
    "..": "!path-dotdot",
    ".git": "!repository-name",
    "a.git/.git/": "!repository-name",
    "a/.git": "!repository-name",
    "a/.git/modules/b": "!repository-name",
    ".hidden/a.git": "!repository-name",
    "team/.a.git": "!repository-name",
    "team/-a.git": "!repository-name",
    "/srv/git/--help": "!repository-name",
    "--help": "!option-not-allowed",
    "-x": "!option-not-allowed",
    "/srv/gitx/a": "!path-outside",
    "/srv/gi": "!path-outside",
    "/": "!path-outside",
    "/etc": "!path-outside",
    "~/a": "!path-outside",
    "x" * 4078: "/srv/git/" + "x" * 4078,
    "x" * 4084: "!path-too-long",
    "x" * 4090: "!path-too-long",
    "x" * 9000: "!path-too-long",
}


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name[:20] or "empty")
def test_names(ask: Ask, name: str) -> None:
    assert ask(rule(), name) == [NAMES[name]]


def test_other_homes(driver: Driver, tmp_path: Path) -> None:
    (tmp_path / "plan").write_bytes(codec.encode(plan_with([rule(roots=("/home/alice",))])))
    cases = [joined(["", "c", f"git-serve {name}"]) for name in ("~bob/a", "~/a")]
    answers = driver.parts("match", cases, tmp_path / "plan")
    assert [answer[0] for answer in answers] == ["path-of-other-user", ""]


def test_names_that_no_word_can_be(driver: Driver, tmp_path: Path) -> None:
    (tmp_path / "plan").write_bytes(codec.encode(plan_with([rule()])))
    commands = {
        "git-serve '/srv/git/a.git\n'": "control-character",
        "git-serve $'a\\n'": "shell-metacharacter",
        "git-serve a.git*": "shell-metacharacter",
        "git-serve 'a.git": "unbalanced-quote",
        "git-serve": "operand-count",
        "git-serve a b": "operand-count",
    }
    cases = [joined(["", "c", command]) for command in commands]
    assert [answer[0] for answer in driver.parts("match", cases, tmp_path / "plan")] == list(commands.values())


def test_roots_with_dots_and_the_root_of_everything(ask: Ask) -> None:
    hidden = rule(roots=("/srv/.git-data", "/srv/.git-data/.x", "/srv/git"))
    assert ask(hidden, "a", "/srv/.git-data/.x/a", "/srv/.git-data/.y/a", "/srv/git/a") == [
        "/srv/.git-data/a", "/srv/.git-data/.x/a", "!repository-name", "/srv/git/a",
    ]  # fmt: skip
    assert ask(rule(roots=("/",)), "a", "/", ".a", ".git") == ["/a", *["!repository-name"] * 3]


def test_names_of_new_repositories(ask: Ask) -> None:
    names = ("a", "a.git", "a.git/", "team/x", "a.git.git", ".git", "x/.git", "/srv/git", "-a", "/srv/git/-a")
    assert ask(rule(cls="new-repository"), *names) == [
        "/srv/git/a.git", "/srv/git/a.git", "/srv/git/a.git", "/srv/git/team/x.git", *["!repository-name"] * 3,
        "!path-outside", "!option-not-allowed", "!repository-name",
    ]  # fmt: skip


LIKE = {
    "/srv/git/a": {"a", "a.git", "/srv/git/a"},
    "/srv/git/a.git": {"a", "a.git", "/srv/git/a", "a.git.git"},
    "/srv/git/*": {"a", "a.git", "b", "ab", "a.git.git", "/srv/git/a"},
    "/srv/git/a*": {"a", "a.git", "ab", "a.git.git", "/srv/git/a"},
    "/srv/git/*b": {"b", "ab"},
    "/srv/git/*a*b*": {"ab"},
    "/srv/git/**": {"a", "a.git", "b", "ab", "t/a", "t/u/a", "t/ba", "a.git.git", "/srv/git/a"},
    "/srv/git/t/*": {"t/a", "t/ba"},
    "/srv/git/*/a": {"t/a"},
    "/srv/git/*/*a": {"t/a", "t/ba"},
    "/srv/git/t/**": {"t/a", "t/u/a", "t/ba"},
    "/srv/git/*/**": {"t/a", "t/u/a", "t/ba"},
    "/srv/git/t/*/*": {"t/u/a"},
    "/srv/git/*.git": {"a", "a.git", "b", "ab", "a.git.git", "/srv/git/a"},
    "/srv/git/t": set(),
    "/srv/git/t*/x": set(),
    "/srv/git": set(),
    "/*/git/a": {"a", "a.git", "/srv/git/a"},
    "/**": {"a", "a.git", "b", "ab", "t/a", "t/u/a", "t/ba", "a.git.git", "/srv/git/a"},
}
ASKED = ["a", "a.git", "b", "ab", "t/a", "t/u/a", "t/ba", "a.git.git", "/srv/git/a"]


@pytest.mark.parametrize("pattern", LIKE)
def test_patterns_by_text(ask: Ask, pattern: str) -> None:
    """Nobody looks, so every spelling that could mean a repository of the pattern fits."""
    found = dict(zip(ASKED, ask(rule(pattern), *ASKED), strict=True))
    assert {name for name in ASKED if not found[name].startswith("!")} == LIKE[pattern]
    assert {found[name] for name in ASKED if name not in LIKE[pattern]} <= {"!path-outside"}


def test_stars_and_dots(ask: Ask) -> None:
    roots = ("/srv/.x",)
    assert ask(rule("/srv/*/a", "/**", roots=(*roots, "/srv/x")), "a", "/srv/x/a") == ["!path-outside", "/srv/x/a"]
    assert ask(rule("/srv/.x/*", "/srv/.*/b/c", roots=roots), "a", "b/c") == ["/srv/.x/a", "/srv/.x/b/c"]


def test_one_of_many_patterns(ask: Ask) -> None:
    many = [f"/srv/git/r{number}" for number in range(2000)]
    assert ask(rule(*many), "r1999", "r0.git", "r2000", "r", "r19999") == [
        "/srv/git/r1999", "/srv/git/r0.git", *["!path-outside"] * 3,
    ]  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    return root


def bare(path: Path, head: str = "ref: refs/heads/main\n") -> Path:
    for name in ("objects", "refs"):
        (path / name).mkdir(parents=True)
    (path / "HEAD").write_text(head)
    return path


def test_inside_the_name_is_the_one_that_git_opens(ask: Ask, root: Path) -> None:
    bare(root / "one.git")
    bare(root / "two")
    bare(root / "both")
    bare(root / "both.git")
    bare(root / "tree/.git")
    bare(root / "double.git.git")
    bare(root / "inner.git/.git")
    bare(root / "HEAD.git", OPEN)
    served = rule(roots=(str(root),))
    expected = {
        "one": "one.git", "one.git": "one.git", "one/": "one.git", "two": "two", "two.git": "!", "both": "both",
        "both.git": "both.git", "tree": "tree", "tree.git": "!", "double": "!", "double.git": "double.git.git",
        "inner": "inner.git", "HEAD": "HEAD.git", "none": "!",
    }  # fmt: skip
    expected = {name: "!no-such-repository" if to == "!" else f"{root}/{to}" for name, to in expected.items()}
    assert dict(zip(expected, ask(served, *expected, inside=True), strict=True)) == expected


def test_a_pattern_means_what_git_opens(ask: Ask, root: Path) -> None:
    for name in ("bare.git", "plain", "both", "both.git"):
        bare(root / name)

    def given(pattern: str) -> list[str]:
        answers = ask(rule(f"{root}/{pattern}", roots=(str(root),)), "bare", "bare.git", "plain", "both", "both.git",
                      inside=True)  # fmt: skip
        return [answer.removeprefix(f"{root}/") if answer[0] == "/" else "" for answer in answers]

    assert given("bare") == ["bare.git", "bare.git", "", "", ""]
    assert given("bare.git") == ["bare.git", "bare.git", "", "", ""]
    assert given("plain") == ["", "", "plain", "", ""]
    assert given("plain.git") == ["", "", "", "", ""]  # never the other repository
    assert given("both") == ["", "", "", "both", ""]
    assert given("both.git") == ["", "", "", "", "both.git"]
    assert given("*") == ["bare.git", "bare.git", "plain", "both", "both.git"]
    assert given("b*") == ["bare.git", "bare.git", "", "both", "both.git"]
    assert given("*.git") == ["bare.git", "bare.git", "", "", "both.git"]


def test_who_may_not_read_it_learns_nothing(ask: Ask, root: Path) -> None:
    bare(root / "secret.git")
    (root / "alias.git").symlink_to("secret.git")
    mine = rule(f"{root}/mine*", f"{root}/alias", roots=(str(root),))
    assert ask(mine, "secret", "secret.git", "absent", "mine", "alias", inside=True) == [
        *["!path-outside"] * 3, "!no-such-repository", "!path-outside",
    ]  # fmt: skip


def test_links(ask: Ask, root: Path) -> None:
    bare(root / "team/a.git")
    bare(root.parent / "secret.git")
    bare(root / "linked-tree/real")
    for name, target in {
        "short": "team", "alias.git": "team/a.git", "out": "..", "absolute.git": str(root / "team/a.git"),
        "away.git": "../secret.git", "gone.git": "nowhere.git", "loop.git": "loop.git", "team/.dot": ".",
        "to-hidden": ".hidden", "linked-tree/.git": "real", "self": ".",
    }.items():  # fmt: skip
        (root / name).symlink_to(target)
    bare(root / ".hidden/x.git")
    real = f"{root}/team/a.git"
    expected = {
        "short/a": real, "alias": real, "absolute": real, "self/team/a.git": real,
        "out/secret": "!path-leaves-root", "away": "!path-leaves-root", "gone": "!no-such-repository",
        "loop": "!no-such-repository", "to-hidden/x.git": "!repository-name", "linked-tree": "!no-such-repository",
    }  # fmt: skip
    assert dict(zip(expected, ask(rule(roots=(str(root),)), *expected, inside=True), strict=True)) == expected
    # An alias is judged by both names.
    only = rule(f"{root}/alias", roots=(str(root),))
    both = rule(f"{root}/alias", f"{root}/team/*", roots=(str(root),))
    assert ask(only, "alias", inside=True) == ["!path-outside"]
    assert ask(both, "alias", inside=True) == [real]


def test_a_root_that_is_a_link_or_missing_or_a_repository(ask: Ask, root: Path) -> None:
    bare(root / "a.git")
    bare(root / "a.git/modules/sub.git")
    link = root.parent / "link"
    link.symlink_to("root")
    assert ask(rule(roots=(str(link),)), "a", inside=True) == [f"{link}/a.git"]
    assert ask(rule(roots=(f"{root}/none",)), "a", inside=True) == ["!no-such-repository"]
    alone = rule(roots=(f"{root}/a.git",))
    assert ask(alone, f"{root}/a.git", "modules/sub.git", inside=True) == [f"{root}/a.git", "!repository-name"]
    # git would open a.git for a, but the root is a.
    assert ask(rule(roots=(f"{root}/a",)), f"{root}/a", inside=True) == ["!no-such-repository"]


def test_nothing_within_a_repository_is_one(ask: Ask, root: Path) -> None:
    bare(root / "a.git")
    bare(root / "a.git/refs/heads/evil", OPEN)  # three pushed branches: evil/HEAD, evil/objects/x, evil/refs/y
    bare(root / "tree/.git")
    bare(root / "tree/vendor/b.git")
    bare(root / "group/c.git")
    served, created = rule(roots=(str(root),)), rule(cls="new-repository", roots=(str(root),))
    names = ("a.git/refs/heads/evil", "tree/vendor/b.git", "group/c")
    denied = ["!repository-name"] * 2
    assert ask(served, *names, inside=True) == [*denied, f"{root}/group/c.git"]
    assert ask(created, "a.git/hooks/x", "tree/vendor/x", "group/x", inside=True) == [*denied, f"{root}/group/x.git"]


def test_new_repositories(ask: Ask, root: Path) -> None:
    bare(root / "a.git")
    (root / "group").mkdir()
    (root / "file.git").touch()
    (root / "dangling.git").symlink_to("nowhere")
    (root / "dangling").symlink_to("nowhere")
    (root / "out").symlink_to("..")
    (root / "short").symlink_to("group")
    created = rule(cls="new-repository", roots=(str(root),))
    expected = {
        "b": "b.git", "b.git": "b.git", "group/b": "group/b.git", "x/y/b": "x/y/b.git", "short/b": "group/b.git",
        "short/x/b": "group/x/b.git", "a": "!repository-exists", "a.git": "!repository-exists",
        "group": "!repository-exists", "file": "!repository-exists", "dangling": "!path-leaves-root",
        "dangling/x": "!path-leaves-root", "out/b": "!path-leaves-root", "file.git/b": "!path-leaves-root",
    }  # fmt: skip
    expected = {name: to if to[0] == "!" else f"{root}/{to}" for name, to in expected.items()}
    assert dict(zip(expected, ask(created, *expected, inside=True), strict=True)) == expected
    assert ask(rule(cls="new-repository", roots=(f"{root}/none",)), "a", inside=True) == ["!path-leaves-root"]
    everywhere = rule(cls="new-repository", roots=("/",))
    assert ask(everywhere, "no-such-thing", f"{root}/b", inside=True) == ["/no-such-thing.git", f"{root}/b.git"]
    some = rule(f"{root}/group/new-*", cls="new-repository", roots=(str(root),))
    assert ask(some, "group/new-1", "short/new-1", "group/b", "a", inside=True) == [
        f"{root}/group/new-1.git", *["!path-outside"] * 3,
    ]  # fmt: skip


def test_to_push_and_to_create_are_two_rules(ask: Ask, root: Path) -> None:
    bare(root / "a.git")
    rules = [rule(roots=(str(root),)), rule(f"{root}/new-*", cls="new-repository", roots=(str(root),))]
    assert ask(rules, "a", "new-1", "b", inside=True) == [f"{root}/a.git", f"{root}/new-1.git", "!no-such-repository"]
    assert ask(rules, "new-1", "b") == [f"{root}/new-1", f"{root}/b"]


def test_the_longest_names(ask: Ask, root: Path) -> None:
    served, created = rule(roots=(str(root),)), rule(cls="new-repository", roots=(str(root),))
    long = "/".join(["d" * 99] * 41)
    fits, too_long = (long[: size - len(str(root)) - 1] for size in (4087, 4088))
    assert ask(served, fits, too_long, inside=True) == ["!no-such-repository"] * 2
    assert ask(created, fits, too_long, inside=True) == [f"{root}/{fits}.git", "!path-leaves-root"]
    assert ask(created, "x" * 300, inside=True) == ["!path-leaves-root"]


# What a directory can be for git, each with the ref by which it is known when git has opened it.
KINDS = (
    "none", "none", "bare", "bare", "bare", "tree", "empty", "file", "gitfile", "badhead", "noobjects", "norefs",
    "link", "treelink", "detached", "headlink", "commondir", "emptytree", "spaces", "headdir", "short",
)  # fmt: skip
REFERRED = {"gitfile", "treelink", "commondir"}
"""What git follows to another directory, or stops at; we never serve it."""


class Layouts:
    """Many little trees, and what git opens in them."""

    def __init__(self, room: Path) -> None:
        self.room = room
        self.kinds: dict[str, str] = {}
        self._seed = room.parent / "seed.git"
        self.git("init", "-q", "--bare", str(self._seed))
        tree = self.git("-C", str(self._seed), "mktree", input="").strip()
        self._commit = self.git("-C", str(self._seed), "commit-tree", "-m", "x", tree).strip()

    def git(self, *words: str, input: str | None = None, check: bool = True) -> str:
        env = {"PATH": "/usr/bin:/bin", "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory",
               "GIT_CONFIG_VALUE_0": "*", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}  # fmt: skip
        env |= {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        done = subprocess.run([GIT, *words], input=input, capture_output=True, text=True, env=env, timeout=20)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def opened(self, path: str) -> str:
        """Return the name of the ref in the repository that git opens for ``path``, or ""."""
        shown = self.git("upload-pack", "--http-backend-info-refs", path, check=False)
        mark = re.search(r"refs/heads/(m\d+)", shown)
        return mark[1] if mark else ""

    def _bare(self, path: Path, mark: str, head: str = "ref: refs/heads/none\n") -> Path:
        bare(path, head)
        (path / "objects/info").mkdir()
        (path / "objects/info/alternates").write_text(f"{self._seed}/objects\n")
        (path / "packed-refs").write_text(f"{self._commit} refs/heads/{mark}\n")
        return path

    def place(self, path: Path, kind: str) -> None:
        mark = f"m{len(self.kinds)}"
        self.kinds[mark] = kind
        heads = {"badhead": "garbage\n", "detached": f"{self._commit}\n", "spaces": "ref: \t refs/heads/none",
                 "short": OPEN[1:] + "g\n"}  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind in ("file", "empty"):
            path.touch() if kind == "file" else path.mkdir()
        elif kind in ("gitfile", "link", "treelink"):
            other = self._bare(self.room / f"others/{mark}.git", mark)
            if kind == "link":
                path.symlink_to(other)
            else:
                path.mkdir()
                if kind == "gitfile":
                    (path / ".git").write_text(f"gitdir: {other}\n")
                else:
                    (path / ".git").symlink_to(other)
        elif kind in ("tree", "emptytree"):
            self._bare(path / ".git", mark, "garbage" if kind == "emptytree" else "ref: refs/heads/none\n")
        elif kind != "none":
            self._bare(path, mark, heads.get(kind, "ref: refs/heads/none\n"))
        self._spoil(path, kind, mark)

    def _spoil(self, path: Path, kind: str, mark: str) -> None:
        if kind == "noobjects":
            (path / "objects").rename(path / "objekts")
        elif kind == "norefs":
            (path / "refs").rmdir()
        elif kind == "headlink":
            (path / "HEAD").unlink()
            (path / "HEAD").symlink_to("refs/heads/none")
        elif kind == "headdir":
            (path / "HEAD").unlink()
            (path / "HEAD").mkdir()
        elif kind == "commondir":
            self._bare(self.room / f"others/{mark}-c", mark)
            (path / "commondir").write_text(f"{self.room}/others/{mark}-c\n")


@pytest.mark.needs("git")
def test_what_git_opens_is_what_was_judged(ask: Ask, root: Path) -> None:
    layouts, dice = Layouts(root), random.Random(7)
    names = []
    for number in range(80):
        for place in ("a", "a.git", "a.git.git"):
            layouts.place(root / f"t{number}/{place}", dice.choice(KINDS))
        names += [f"t{number}/{name}" for name in ("a", "a.git", "a/", "b")]
    answers = dict(zip(names, ask(rule(roots=(str(root),)), *names, inside=True), strict=True))
    served, refused = 0, set()
    for name, answer in answers.items():
        mark = layouts.opened(f"{root}/{name}")
        if answer.startswith("!"):
            assert answer == "!no-such-repository", name
            if mark:
                refused.add(layouts.kinds[mark])
            continue
        served += 1
        assert mark != "", name
        assert layouts.kinds[mark] not in REFERRED
        assert layouts.opened(answer) == mark, name
        assert mark in ((Path(answer) / "packed-refs").read_text() if (Path(answer) / "packed-refs").exists() else
                        (Path(answer) / ".git/packed-refs").read_text()), name  # fmt: skip
    assert served > 80
    assert refused == REFERRED


@pytest.mark.needs("git")
def test_two_who_make_one_repository_at_once_do_no_harm(root: Path) -> None:
    """One may fail; what is there then is whole, and to make it again changes nothing."""
    made = [GIT, "init", "--bare", "--quiet", "--template=", "--", f"{root}/group/new.git"]
    env = {"PATH": "/usr/bin:/bin", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    for _ in range(5):
        both = [subprocess.Popen(made, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
        ends = [(one.communicate(timeout=20), one.returncode) for one in both]
        assert ((b"", b""), 0) in ends
        again = subprocess.run(made, env=env, capture_output=True, timeout=20)
        assert (again.returncode, again.stdout + again.stderr) == (0, b"")
        assert (root / "group/new.git/HEAD").read_text() == "ref: refs/heads/master\n"
        shutil.rmtree(root / "group")


SMALL_ROOT = """
for name in usr proc; do mkdir "$1/$name" && mount --rbind "/$name" "$1/$name"; done
for name in lib lib64; do cp -P "/$name" "$1/$name"; done
exec chroot "$1" /driver match /plan
"""


@pytest.mark.needs("root")
def test_a_new_repository_that_is_a_link_to_the_shortest_name(driver: Driver, tmp_path: Path) -> None:
    """Below ``/``, where a name may be shorter than ".git"."""
    (tmp_path / "x").mkdir()
    (tmp_path / "a.git").symlink_to("x")
    shutil.copy(driver.program, tmp_path / "driver")
    everywhere = rule(cls="new-repository", roots=("/",))
    (tmp_path / "plan").write_bytes(codec.encode(plan_with([everywhere])))
    cases = b"".join(frame(joined(["i", "c", f"git-serve {name}"])) for name in ("a", "b"))
    command = ["unshare", "--mount", "sh", "-ec", SMALL_ROOT, "sh", str(tmp_path)]
    done = subprocess.run(command, input=cases, capture_output=True, timeout=60, env={"ASAN_OPTIONS": "detect_leaks=0"})
    assert done.returncode == 0, done.stderr.decode()
    taken, free = (answer.split(b"\0") for answer in frames(done.stdout))
    assert (taken[0], free[0], free[4]) == (b"repository-exists", b"", b"/b.git")
