"""What is carried over from gitolite's rules, beside what gitolite itself decides: never more, and less only if told.

JAILSSH_GITOLITE_ROUNDS sets how many configurations are made at random.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import jailssh.gitolite.table
from jailssh.plugin.api import Account, Grant
from jailssh.sources.found import Effect, Fate, Found
from jailssh_plugins.rights import granted, has_references, on_references
from tests.abilities import GITOLITE
from tests.harness.references import TAGS, decided, fits
from tests.unit.sources.gitolite_lab import CONF, USERS, found, table

# Read here, since the tests themselves see an environment without it.
ROUNDS = int(os.environ.get("JAILSSH_GITOLITE_ROUNDS", "24"))
RC = "%RC = (\nROLES => {READERS => 1, WRITERS => 1},\nGIT_CONFIG_KEYS => 'x\\..*',\n);\n1;\n"
REFS = (
    "refs/heads/master", "refs/heads/master2", "refs/heads/master/x", "refs/heads/dev/ann/x", "refs/heads/dev/bob/y",
    "refs/heads/other", "refs/heads/v1.0", "refs/heads/v1x0", "refs/heads/v1/0", "refs/tags/v1", "refs/tags/v1.0",
    "refs/tags/x/y", "refs/notes/x", "refs/heads/fix-12-a",
)  # fmt: skip
REFEXES = (
    "", "", "", "master", "master$", "refs/tags/v[0-9]", "dev/USER/", "refs/heads/", "VREF/COUNT/3", "refs/.*", "@refs",
    "v1.0", "v1\\.0$", "(master|other)$", "refs/tags/", "[a-m]", "[^/]+/[^/]+$", "master|other", "fix-[0-9]+-a",
    "dev/.*", "refs/heads/..*", "ma.*r", "other other", "[mo]", "refs/", "refs/notes", "v\\d",
)  # fmt: skip
REPOS = {
    "one": {}, "two": {}, "a.b": {}, "axb": {}, "sub/x": {}, "t1": {}, "wild/w": {"gl-creator": "ann"},
    "ann/p": {"gl-creator": "ann\n", "gl-perms": "READERS bob\nWRITERS @ops\n"},
}  # fmt: skip
ACTS = {"push": ("W", "WM"), "rewind": ("+", "+M"), "create": ("C",), "delete": ("D",)}
"""What a push does to a reference, and what gitolite asks then: with M where a merge is in it."""
ASKED = [("R", "any"), ("W", "any"), ("V", "any"), *((aa, ref) for ref in REFS for act in ACTS.values() for aa in act)]

Answers = dict[tuple[str, str, str, str], bool]


def _files(chance: random.Random) -> dict[str, str]:
    """Return a configuration made at random, by the names of its files."""
    head = "@devs = ann bob\n@ops = @devs cat\n@repos = one wild/.*\n@refs = master other\n@sub = two sub/.*\n"
    rows = [head + _conf(chance), 'include "m*.conf"\n', 'subconf "sub.conf"\n', _conf(chance)]
    main = "".join(row for row in rows[:1] + [each for each in rows[1:] if chance.random() < 0.6])
    inside = f"@devs = cat\n{_conf(chance)}repo two sub/x @sub\n RW+ = @devs\n R = @ops\n"
    return {"gitolite.conf": f"{main}@late = dan\n", "more.conf": _conf(chance), "sub.conf": inside}


def _conf(chance: random.Random) -> str:
    """Return repositories and rules made at random, of all that rules are made of."""
    names = ["@devs", "@ops", "@late", *USERS, "@all", "CREATOR", "WRITERS", "READERS"]
    repos = ["one", "two", "a.b", "sub/x", "wild/..*", "@repos", "@all", "t.*|x", "CREATOR/..*", "o[n]e", "[a-z]/.*"]
    perms = ["-", "-", "R", "RW", "RW", "RW+", "RW+", "RWC", "RW+C", "RW+CD", "RWD", "RW+DC", "C", "RW+M"]
    out: list[str] = []
    for _ in range(chance.randint(1, 5)):
        out.append("repo " + " ".join(chance.sample(repos, chance.randint(1, 2))))
        for _ in range(chance.randint(1, 4)):
            who = " ".join(chance.sample(names, chance.randint(1, 3)))
            out.append(f"  {chance.choice(perms)} {chance.choice(REFEXES)} = {who}")
        if chance.random() < 0.2:
            out.append(chance.choice(["option deny-rules = 1", "option deny-rules = 0", "config x.y = 1", "junk"]))
    return "".join(f"{line}\n" for line in out)


def _asked(folder: Path, confs: list[dict[str, str]]) -> list[Answers]:
    """Return gitolite's answers about each; none where it does not take the configuration."""
    (folder / ".gitolite/logs").mkdir(parents=True)
    (folder / ".gitolite.rc").write_text(RC)
    cases = [(repo, user, aa, ref) for repo in REPOS for user in USERS for aa, ref in ASKED]
    questions = "".join(" ".join(case) + "\n" for case in cases)
    text = ""
    for number, files in enumerate(confs):
        home = folder / str(number)
        _make_home(home, files)
        text += f"= {home}\n{questions}"
    script = Path(__file__).parent / "gitolite_oracle.pl"
    command = ["perl", str(script), str(GITOLITE), str(folder)]
    env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    done = subprocess.run(command, input=text, env=env, capture_output=True, text=True, check=True)
    rows = done.stdout.splitlines()
    assert len(rows) == len(confs) * (len(cases) + 1)
    answers = []
    for at in range(0, len(rows), len(cases) + 1):
        head, *said = rows[at : at + len(cases) + 1]
        assert head in ("compiled", "died")
        answers.append(dict(zip(cases, (row == "yes" for row in said), strict=True)) if head == "compiled" else {})
    return answers


def _make_home(home: Path, files: Mapping[str, str]) -> None:
    (home / ".gitolite/conf").mkdir(parents=True)
    (home / ".gitolite/logs").mkdir()
    for name, text in files.items():
        (home / ".gitolite/conf" / name).write_text(text)
    for name, inside in REPOS.items():
        hooks = home / "repositories" / f"{name}.git" / "hooks"
        hooks.mkdir(parents=True)
        (hooks / "update").symlink_to(home / ".gitolite/hooks/common/update")
        for file, text in inside.items():
            (hooks.parent / file).write_text(text)


@dataclass
class _Ours:
    """What the table gives one user."""

    given: Mapping[Grant, tuple[str, ...]]
    lines: tuple[str, ...]

    def may(self, right: Grant, repo: str) -> bool:
        return any(fits(pattern, f"/r/{repo}") for pattern in self.given[right])

    def pushes(self, repo: str, act: str, ref: str) -> bool:
        return self.may(Grant.WRITE, repo) and decided(self.lines, (f"/r/{repo}", f"/r/{repo}.git"), act, ref)


def _ours(result: Found, user: str) -> _Ours:
    lines = tuple(table(result))
    roles = {user, "@all", *(f"@{group}" for group, members in result.groups.items() if user in members)}
    account = Account("git", 1, 1, "git", "/h", roles=frozenset(roles))
    given = granted(lines, ("/r",), account, "[git]", refs=True)
    of_refs = on_references(lines, ("/r",), account, "[git]", given[Grant.WRITE]) if has_references(lines) else ()
    return _Ours(given, of_refs)


@dataclass
class _Counts:
    """How many decisions were compared, gitolite gives, and both give; and how many repositories have references."""

    all: int = 0
    theirs: int = 0
    both: int = 0
    ruled: set[tuple[int, str]] = field(default_factory=set)


def _compare(number: int, files: Mapping[str, str], answers: Answers, result: Found, counts: _Counts) -> None:
    told = [
        set(re.findall(r"[\w./-]+", each.text))
        for each in result.remarks
        if each.effect in (Effect.LOST, Effect.CHANGED)
    ]
    counts.ruled |= {(number, line.split()[1]) for line in table(result) if " refs/" in line}
    for user in USERS:
        ours = _ours(result, user)
        for repo in REPOS:
            case = repo, user, files

            def theirs(aa: str, ref: str, repo: str = repo, user: str = user) -> bool:
                return answers[repo, user, aa, ref]

            assert ours.may(Grant.READ, repo) == theirs("R", "any"), case
            checked = theirs("V", "any")
            for ref in REFS:
                for act, letters in ACTS.items():
                    letters = ACTS["rewind"] if act == "push" and TAGS in ref else letters
                    may = theirs("W", "any") and all(theirs(aa, ref) for aa in letters)
                    mine = ours.pushes(repo, act, ref)
                    counts.all += 1
                    counts.theirs += may and not checked
                    counts.both += mine
                    assert not mine or (may and not checked), (act, ref, *case, table(result))
                    if may and not mine:
                        assert any({repo, user} <= words for words in told), (act, ref, *case, table(result))


@pytest.mark.needs("gitolite")
def test_decisions_are_never_more_than_gitolites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may read is the same; what may be pushed is the same but for what is named with its line."""
    monkeypatch.setattr(jailssh.gitolite.table, "_SHOWN", 99)
    chance = random.Random(13)
    confs = [_files(chance) for _ in range(ROUNDS)]
    counts = _Counts()
    folder = CONF.rpartition("/")[0]
    for number, (files, answers) in enumerate(zip(confs, _asked(tmp_path, confs), strict=True)):
        more = {f"{folder}/{name}": text for name, text in files.items()}
        result = found(files["gitolite.conf"], REPOS, {"/srv/git/.gitolite.rc": RC, **more})
        assert bool(answers) == (result.fate is Fate.MIGRATE), (files, result.remarks)
        if answers:
            _compare(number, files, answers, result, counts)
    print(f"{counts.all} decisions, gitolite gives {counts.theirs}, both {counts.both}")
    assert counts.all >= 1000 * ROUNDS and len(counts.ruled) > ROUNDS
    assert counts.both > 0.7 * counts.theirs, counts
