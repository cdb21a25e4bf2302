"""jailssh-refs, the hook by which git in images asks about each reference: against a model, and with git itself."""

from __future__ import annotations

import os
import random
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jailssh.config.values import defaults
from jailssh.plugin.api import Account, Jail, Value
from jailssh_plugins.git.plugin import plugin
from jailssh_plugins.git.serving import judging
from tests.harness.references import decided

pytestmark = pytest.mark.needs("gcc", "git")

GIT = "/usr/bin/git"
NONE, OLD, NEW = "0" * 40, "1" * 40, "2" * 40
MOST_BYTES = 256 << 10
"""The image of each jail with git holds it; the debugging information does not count."""


def pkt(text: bytes) -> bytes:
    return b"%04x%s" % (len(text) + 4, text)


def asked(*commands: str, atomic: bool = False, version: bytes = b"version=1") -> bytes:
    head = pkt(version + (b"\0 push-options atomic" if atomic else b"\0 push-options") + b"\n") + b"0000"
    return head + b"".join(pkt(command.encode("utf-8", "surrogateescape")) for command in commands) + b"0000"


Ask = Callable[..., tuple[int, dict[str, str], str]]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    subprocess.run([GIT, "init", "-q", "--bare", "-b", "main", tmp_path / "x.git"], check=True)
    return tmp_path / "x.git"


@pytest.fixture
def ask(build_dir: Path, repository: Path) -> Ask:
    """Return exit status, answers by reference ("" for let through) and messages for a push."""

    def run(lines: list[str], data: bytes) -> tuple[int, dict[str, str], str]:
        env = {name: value.replace("%p", str(repository)) for name, value in judging(GIT, lines)}
        done = subprocess.run(
            [build_dir / "jailssh-refs"], input=data, env=env, cwd=repository, capture_output=True, timeout=20
        )
        parts = re.findall(r"^(ok|ng) (\S+)(?: (.*))?$", _texts(done.stdout), re.MULTILINE)
        return done.returncode, {ref: why for _, ref, why in parts}, done.stderr.decode()

    return run


def _texts(data: bytes) -> str:
    out = []
    while data:
        size = int(data[:4], 16)
        out.append(data[4 : max(size, 4)])
        data = data[max(size, 4) :]
    return b"\n".join(out).decode("utf-8", "surrogateescape")


def test_it_decides_as_the_model_does(ask: Ask, repository: Path) -> None:
    rng = random.Random(7)
    room = str(repository.parent)
    repos = [f"{room}/x", f"{room}/x.git", f"{room}/*", f"{room}/y", f"{room}/**", f"{room}/x*"]
    parts = ["heads", "tags", "a", "ab", "b*", "*", "a*b", "*b*", "wip", "***"]
    names = ["heads", "tags", "a", "ab", "b", "abb", "wip", "ä"]
    for _ in range(60):
        lines = []
        for _ in range(rng.randrange(1, 9)):
            ref = "/".join(
                ["refs", *rng.choices(parts, k=rng.randrange(1, 4)), *rng.choices(["**"], k=rng.randrange(2))]
            )
            right = rng.choice(["push", "rewind", "create", "delete", "deny", "ruled"])
            lines.append(f"{right} {rng.choice(repos)}" + ("" if right == "ruled" else f" {ref}"))
        refs = {"/".join(["refs", *rng.choices(names, k=rng.randrange(2, 4))]) for _ in range(30)}
        acts = {ref: rng.choice(["create", "delete", "rewind"]) for ref in refs}
        ids = {"create": f"{NONE} {NEW}", "delete": f"{OLD} {NONE}", "rewind": f"{OLD} {NEW}"}
        code, answers, said = ask(lines, asked(*(f"{ids[act]} {ref}" for ref, act in acts.items())))
        expected = {ref: decided(lines, (f"{room}/x", f"{room}/x.git"), act, ref) for ref, act in acts.items()}
        assert (code, {ref: not why for ref, why in answers.items()}) == (0, expected), (lines, said)


@pytest.mark.parametrize(
    "name",
    ["refs/heads/a b", "refs/heads/a\x1b[31m", "refs/heads/.a", "refs/heads/a..b", "refs/heads/a.lock/b", "refs//a",
     "HEAD", "refs/heads/a\n", "refs/heads/", "refs/heads/a~1", "refs/heads/@{1}", "refs/heads/a\\b", "../../etc/x",
     "refs/heads/a."],
)  # fmt: skip
def test_a_name_that_none_can_have_gets_no_answer_and_is_not_repeated(ask: Ask, name: str) -> None:
    everything = ["create /** refs/**"]
    good = f"{NONE} {NEW} refs/heads/a"
    code, answers, said = ask(everything, asked(f"{NONE} {NEW} {name}\n", good))
    assert (code, answers) == (0, {"refs/heads/a": ""})
    assert said == "jailssh: a name is not one that a reference can have, so it is refused\n"
    assert not any(why == "" for why in ask(everything, asked(f"{NONE} {NEW} {name}\n", good, atomic=True))[1].values())


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "this git is not known here"),
        (asked(version=b"version=2"), "this git is not known here"),
        (asked(f"{NONE} {NEW} refs/heads/a")[:-4], "git does not say what is to be pushed"),
        (asked(f"{NONE} {NEW}"), "git does not say what is to be pushed"),
        (asked(f"{NONE} {NEW[1:]} refs/heads/a"), "git does not say what is to be pushed"),
        (asked(f"{NONE} {NEW} refs/heads/a\0b"), "git does not say what is to be pushed"),
        (asked(f"{NONE} {NEW} refs/heads/a", f"{OLD} {NONE} refs/heads/a"), "a reference is there twice"),
        (b"zzzz", "this git is not known here"),
    ],
)
def test_what_is_not_understood_refuses_everything(ask: Ask, data: bytes, why: str) -> None:
    assert ask(["create /** refs/**"], data) == (1, {}, f"jailssh: {why}, so nothing is pushed\n")


@pytest.mark.parametrize("form", ["reftable", "commondir"])
def test_forms_of_repositories_that_it_does_not_know(ask: Ask, repository: Path, form: str) -> None:
    (repository / form).mkdir()
    assert ask(["create /** refs/**"], asked())[0] == 1
    assert ask(["ruled /elsewhere"], asked(f"{NONE} {NEW} refs/heads/a"))[:2] == (0, {"refs/heads/a": ""})


def test_a_damaged_plan_refuses(build_dir: Path, repository: Path) -> None:
    for env in ({}, {"JAILSSH_REPOSITORY": str(repository)}, {"JAILSSH_REPOSITORY": "x", "JAILSSH_REFS_0": ""},
                {"JAILSSH_REPOSITORY": str(repository), "JAILSSH_REFS_0": "allow /** refs/**"}):  # fmt: skip
        done = subprocess.run([build_dir / "jailssh-refs"], input=asked(), env=env, cwd=repository, capture_output=True)
        assert (done.returncode, done.stdout) == (1, b""), env


def test_a_plan_without_lines_rules_nothing(ask: Ask) -> None:
    """What somebody has to whom nothing of the table's rights to references is."""
    assert ask([], asked(f"{NONE} {NEW} refs/heads/a"))[:2] == (0, {"refs/heads/a": ""})


@pytest.mark.parametrize(("beside", "given"), [("", True), ("HEAD", False), (".git", False)])
def test_what_is_beside_a_repository_makes_no_push_free(
    ask: Ask, repository: Path, beside: str, *, given: bool
) -> None:
    """x means x.git also where x is a plain directory, as who may create x/y.git makes one."""
    named = repository.with_suffix("")
    named.mkdir()
    if beside:
        (named / beside).mkdir()
    lines = [f"create {named} refs/heads/*"]
    code, answers, _ = ask(lines, asked(f"{NONE} {NEW} refs/heads/a", f"{OLD} {NONE} refs/heads/b"))
    assert (code, [not why for why in answers.values()]) == (0, [given, False])
    answers = ask([f"deny {named} refs/heads/*", "create /** refs/**"], asked(f"{NONE} {NEW} refs/heads/a"))[1]
    assert answers == {"refs/heads/a": "no right to create it"}
    assert ask([f"ruled {named}"], asked(f"{NONE} {NEW} refs/heads/a"))[1] == {"refs/heads/a": "no right to create it"}


def test_it_is_small(build_dir: Path, tmp_path: Path) -> None:
    subprocess.run(["strip", "-o", tmp_path / "stripped", build_dir / "jailssh-refs"], check=True)
    assert (tmp_path / "stripped").stat().st_size < MOST_BYTES


# With git itself: the repository's own configuration tries to switch the hook off.

TABLE = """
create  team/x  refs/heads/**     @devs
push    team/x  refs/heads/**     @devs
rewind  team/*  refs/heads/wip/*  @devs
delete  team/*  refs/heads/wip/*  @devs
deny    team/x  refs/tags/v0*     @devs
create  team/x  refs/tags/v*      @devs
push    team/x  refs/tags/v*      @devs
create  team/x  refs/keep/**      @devs
push    team/x  refs/keep/**      @devs
write   free    @devs
"""
OWN = """[receive]
    procReceiveRefs = !:refs
    denyDeletes = false
[core]
    hooksPath = /nowhere
[hook "proc-receive"]
    enabled = true
"""
SERVER = """#!/bin/sh
exec env -i {env} {git} receive-pack "$1"
"""
Push = Callable[..., tuple[list[str], str]]


@pytest.fixture
def push(build_dir: Path, tmp_path: Path) -> Iterator[Push]:
    """Return which references a push with these arguments changed, and what git says."""
    roles = frozenset(("@all", "@devs"))
    lines = tuple(" ".join(line.split()) for line in TABLE.splitlines() if line)
    settings: dict[str, Value] = {**defaults(plugin.options), "roots": (str(tmp_path),), "rights": lines}
    jail = Jail("j", ("git",), lambda name: GIT if name == "git" else str(build_dir / name))
    account = Account("git", 999, 999, "git", "/home/git", roles=roles)
    ((link, judge),) = plugin.image(jail, settings).links
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks" / os.path.basename(link)).symlink_to(judge)
    rules = {rule.id: rule for rule in plugin.account(jail, account, settings).rules}
    os.mkdir(tmp_path / "team")
    for name in ("team/x", "free"):
        path = tmp_path / f"{name}.git"
        subprocess.run([GIT, "init", "-q", "--bare", "-b", "main", path], check=True)
        with open(path / "config", "a") as file:
            file.write(OWN)
        given = rules["git.receive-pack"].environment
        env = [f"{key}={value.replace('%p', str(path)).replace(os.path.dirname(link), f'{tmp_path}/hooks')}"
               for key, value in given]  # fmt: skip
        server = tmp_path / f"serve-{name.replace('/', '-')}"
        server.write_text(SERVER.format(env=" ".join(map(shlex.quote, env)), git=GIT))
        server.chmod(0o755)
    client = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_{what}": "a@b.example" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [GIT, "-C", tmp_path / "w", *words], env=client, capture_output=True, text=True, timeout=60
        )

    subprocess.run([GIT, "init", "-q", "-b", "main", tmp_path / "w"], env=client, check=True)
    text = "".join(
        f"commit refs/heads/main\ncommitter a <a@b> {1_700_000_000 + number} +0000\ndata 1\n{number % 10}\n"
        for number in range(50)
    )
    subprocess.run([GIT, "-C", tmp_path / "w", "fast-import", "--quiet"], input=text.encode(), env=client, check=True)
    git("tag", "-a", "-m", "x", "old", "HEAD~9")
    git("tag", "-a", "-m", "x", "new", "HEAD")

    def run(*words: str, to: str = "team/x") -> tuple[list[str], str]:
        options = [word for word in words if word.startswith("--")]
        specs = [word for word in words if not word.startswith("--")]
        path = tmp_path / f"{to}.git"
        seen = ["for-each-ref", "--format=%(refname) %(objectname)"]
        before = subprocess.run([GIT, "-C", path, *seen], capture_output=True, text=True).stdout.splitlines()
        serve = f"--receive-pack={tmp_path}/serve-{to.replace('/', '-')}"
        done = git("push", "-f", serve, *options, str(path), *specs)
        after = subprocess.run([GIT, "-C", path, *seen], capture_output=True, text=True).stdout.splitlines()
        changed = sorted({line.split()[0].removeprefix("refs/") for line in {*before} ^ {*after}})
        return changed, done.stderr

    yield run


def test_git_lets_through_reference_by_reference(push: Push) -> None:
    names = ["heads/wip/a", "heads/wip/b/c", "x/y", "tags/v1", "tags/v01", "for/main"]
    changed = push("HEAD~40:refs/heads/main", *(f"HEAD:refs/{name}" for name in names))[0]
    assert changed == ["heads/main", "heads/wip/a", "heads/wip/b/c", "tags/v1"]
    changed, said = push("HEAD~20:main", "HEAD~30:wip/a", "HEAD~30:wip/b/c", ":refs/tags/v1")
    assert changed == ["heads/main", "heads/wip/a"]
    assert said.count("(no right to rewind it)") == said.count("(no right to delete it)") == 1
    # A way of more commits than are looked at one by one, in both directions.
    assert push("HEAD~45:main")[0] == []
    assert push("HEAD~19:main")[0] == ["heads/main"]
    assert push("HEAD:main", ":wip/a", ":wip/b/c")[0] == ["heads/main", "heads/wip/a"]


def test_an_atomic_push_is_all_or_nothing(push: Push) -> None:
    changed, said = push("--atomic", "HEAD:refs/heads/a", "HEAD:refs/x/y")
    assert changed == []
    assert "another reference of the atomic push is refused" in said and "no right to create it" in said
    assert push("--atomic", "HEAD:refs/heads/a", "HEAD:refs/heads/b")[0] == ["heads/a", "heads/b"]


def test_a_tag_is_not_moved_forward(push: Push) -> None:
    """Neither below refs/tags/, whatever it is, nor elsewhere where it is an object."""
    for room, moved in (("tags", []), ("keep", ["keep/v2", "keep/v3"])):
        names = [f"{room}/v{number}" for number in (1, 2, 3)]
        first = [f"{what}:refs/{to}" for what, to in zip(("old", "HEAD~5", "HEAD~9"), names, strict=True)]
        then = [f"{what}:refs/{to}" for what, to in zip(("new", "HEAD", "new"), names, strict=True)]
        assert push(*first)[0] == names
        changed, said = push(*then)
        assert changed == moved
        assert said.count("(no right to rewind it)") == 3 - len(moved)


def test_a_symbolic_reference_needs_the_right_to_what_it_stands_for(push: Push, tmp_path: Path) -> None:
    path = tmp_path / "team/x.git"
    push("HEAD:refs/heads/main", "HEAD~3:refs/heads/other")
    for name, target in (("alias", "refs/heads/main"), ("away", "refs/x/y"), ("loop", "refs/heads/wip/loop")):
        subprocess.run([GIT, "-C", path, "symbolic-ref", f"refs/heads/wip/{name}", target], check=True)
    os.symlink("../main", path / "refs/heads/wip/link")
    assert push("HEAD~1:refs/heads/wip/alias")[0] == []
    assert push("HEAD:refs/heads/wip/away")[0] == []
    assert push("HEAD:refs/heads/wip/loop")[0] == []
    assert push("HEAD~1:refs/heads/wip/link")[0] == []
    assert push(":refs/heads/wip/alias")[0] == []


def test_replaced_commits_do_not_make_a_way(push: Push, tmp_path: Path) -> None:
    """As if the older commit had the newer one before it, which refs/replace/ says and a push can bring."""
    path = tmp_path / "team/x.git"
    push("HEAD:refs/heads/main")
    tips = subprocess.run([GIT, "-C", tmp_path / "w", "rev-parse", "HEAD", "HEAD~1"], capture_output=True, text=True)
    tip, before = tips.stdout.split()
    who = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run([GIT, "-C", path, "replace", "--graft", before, tip], env=who, check=True)
    assert push("HEAD~1:main")[0] == []


COMMIT = "author a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\nx\n"
TAG = "type {}\ntag x\ntagger a <a@b> 1 +0000\n"


@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [
        ("commit", "heads/main", "tree {tree}\nx y\nparent {tip}\n" + COMMIT),
        ("commit", "heads/main", "tree {tree}\nencoding x\0\nparent {tip}\n" + COMMIT),
        ("tag", "keep/v1", "object {tree}\n" + TAG.format("tree") + "object {tip}\ntype commit\n\nx\n"),
    ],
)
def test_what_git_takes_for_no_parent_is_none(push: Push, tmp_path: Path, kind: str, name: str, text: str) -> None:
    """Lines that name the tip where git itself does not look for what an object leads to."""
    git = [GIT, "-C", str(tmp_path / "w")]
    tip, tree = subprocess.check_output([*git, "rev-parse", "HEAD", "HEAD^{tree}"], text=True).split()
    assert push(f"HEAD:refs/{name}")[0] == [name]
    made = [*git, "hash-object", "-w", "--literally", "--stdin", "-t", kind]
    new = subprocess.check_output(made, input=text.format(tip=tip, tree=tree), text=True).strip()
    changed, said = push(f"{new}:refs/{name}")
    assert (changed, "(no right to rewind it)" in said) == ([], True), said


def test_a_repository_without_such_rights_is_as_before(push: Push) -> None:
    assert push("HEAD:refs/heads/main", "HEAD:refs/any/thing", to="free")[0] == ["any/thing", "heads/main"]
    assert push("HEAD~4:refs/heads/main", ":refs/any/thing", to="free")[0] == ["any/thing", "heads/main"]
