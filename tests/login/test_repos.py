"""jailssh-repos, the commands of git accounts: with the rules that the plugin makes, on repositories that want more."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from jailssh.config.values import defaults
from jailssh.plugin.api import Account, Jail, Value
from jailssh.policy.rules import check_rules
from jailssh_plugins.git.plugin import plugin

pytestmark = pytest.mark.needs("gcc", "git")

GIT = "/usr/bin/git"
MOST_BYTES = 256 << 10
ALL = ("info", "list", "create", "describe", "set-head", "delete")
TABLE = ("create team/** @devs", "read docs @devs", "write free @devs")

Done = subprocess.CompletedProcess[str]
Ask = Callable[..., Done]


def rules_of(build_dir: Path, room: Path, rights: tuple[str, ...], git: str) -> dict[str, dict[str, str]]:
    """Return the environment of each rule of a developer's, by its name."""
    settings: dict[str, Value] = {
        **defaults(plugin.options), "roots": (str(room),), "rights": rights, "commands": ALL,
    }  # fmt: skip
    programs = {name: str(build_dir / name) for name in ("jailssh-refs", "jailssh-repos")} | {"git": git}
    account = Account("git", 999, 999, "git", "/home/git", roles=frozenset(("@all", "@devs")))
    rules = plugin.account(Jail("j", ("git",), programs.get), account, settings).rules
    check_rules(rules)
    return {rule.id: dict(rule.environment) for rule in rules}


@pytest.fixture
def room(tmp_path: Path) -> Path:
    for name in ("docs.git", "team/a.git", "free", "secret.git"):
        subprocess.run([GIT, "init", "-q", "--bare", "-b", "main", tmp_path / "r" / name], check=True)
    return tmp_path / "r"


@pytest.fixture
def ask(build_dir: Path, room: Path) -> Ask:
    """Run a command by its rule; the repository is a path below the room."""

    def run(rule: str, *words: str, rights: tuple[str, ...] = TABLE, git: str = GIT) -> Done:
        where = f"{room}/{words[0]}" if words else ""
        env = {key: value.replace("%p", where) for key, value in rules_of(build_dir, room, rights, git)[rule].items()}
        verb = {"git.create-empty": "create", "git.description": "describe", "git.create": "ensure"}
        argv = [str(build_dir / "jailssh-repos"), verb.get(rule, rule[4:]), *([where, *words[1:]] if words else [])]
        return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, cwd="/")

    return run


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if ".git/" not in str(path))


def pushed(room: Path, name: str, *refs: str) -> None:
    """Give the repository a commit by these references."""
    text = "".join(f"commit {ref}\ncommitter a <a@b> 1700000000 +0000\ndata 1\nx\n" for ref in refs)
    subprocess.run([GIT, "-C", room / name, "fast-import", "--quiet"], input=text.encode(), check=True)


def test_it_tells_what_there_is_for_somebody_and_nothing_else(ask: Ask, room: Path) -> None:
    for name in ("team/a", "team/deep/b.git", "team/work", "team/.hidden.git", "team/-x.git", "team/a.git/inner.git"):
        subprocess.run([GIT, "init", "-q", *(["--bare"] if name != "team/work" else []), room / name], check=True)
    (room / "team/link.git").symlink_to("a.git")
    (room / "team/loop").symlink_to(".")
    (room / "team/half.git/refs").mkdir(parents=True)
    os.mkfifo(room / "team/fifo.git")
    (room / "team" / "b\x1b[31m\n.git").mkdir()
    subprocess.run([GIT, "init", "-q", "--bare", room / "team" / "b\x1b[31m\n.git"], check=True)
    done = ask("git.info")
    assert (done.returncode, done.stderr) == (0, "")
    # team/a is another repository than team/a.git, which has no shorter name then.
    assert done.stdout.splitlines() == [
        "read        docs", "read write  free", "read write  team/a", "read write  team/a.git",
        "read write  team/b?[31m?", "read write  team/deep/b", "read write  team/work", "create      team/**",
    ]  # fmt: skip
    assert [line[12:] for line in done.stdout.splitlines()[:-1]] == ask("git.list").stdout.splitlines()
    assert ask("git.list", rights=("write nothing @devs",)).stdout == ""


def test_a_thousand_repositories_are_listed_quickly(ask: Ask, room: Path) -> None:
    for number in range(1000):
        for part in ("objects", "refs"):
            (room / f"team/g{number % 10}/r{number}.git/{part}").mkdir(parents=True)
        (room / f"team/g{number % 10}/r{number}.git/HEAD").write_text("ref: refs/heads/main\n")
    before = time.process_time() + sum(os.times()[2:4])
    assert (
        len(ask("git.list", rights=(*TABLE, *(f"read o{n}/* @devs" for n in range(1000)))).stdout.splitlines()) == 1003
    )
    assert time.process_time() + sum(os.times()[2:4]) - before < 2


def test_a_repository_is_made_whole(ask: Ask, room: Path) -> None:
    done = ask("git.create-empty", "team/new/tool.git")
    assert (done.returncode, done.stdout, done.stderr) == (0, "team/new/tool is created\n", "")
    assert sorted(os.listdir(room / "team/new/tool.git")) == ["HEAD", "config", "objects", "refs"]
    assert os.listdir(room / "team/new") == ["tool.git"]
    done = ask("git.create-empty", "team/new/tool.git")
    assert (done.returncode, done.stderr) == (1, "jailssh: team/new/tool: exists already\n")
    assert ask("git.create", "team/new/tool.git").returncode == 0


def test_what_is_no_repository_is_in_the_way_of_one(ask: Ask, room: Path) -> None:
    (room / "team/file.git").write_text("")
    (room / "team/folder.git/inside").mkdir(parents=True)
    before = everything(room)
    for rule in ("git.create-empty", "git.create"):
        for name in ("file", "folder"):
            done = ask(rule, f"team/{name}.git")
            assert (done.returncode, done.stderr) == (1, f"jailssh: team/{name}: exists already\n")
    assert everything(room) == before


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("team/../x.git", "begins with '.'"), ("team/-x/y.git", "begins with '.'"), ("team/.x/y.git", "begins with"),
        ("team//y.git", "is empty"), ("team/" + "x" * 200 + ".git", "too long"), ("team/x" * 65 + ".git", "too long"),
        ("team/a\x1b[1m.git", "cannot be shown"), ("team/a\n.git", "cannot be shown"), ("team/\udcff.git", "be shown"),
    ],
)  # fmt: skip
def test_names_that_no_repository_gets(ask: Ask, room: Path, name: str, why: str) -> None:
    before = everything(room)
    for rule in ("git.create-empty", "git.create"):
        done = ask(rule, name)
        assert done.returncode == 1 and why in done.stderr, done
        assert "\x1b" not in done.stderr and done.stderr.count("\n") == 1
    assert everything(room) == before


def test_the_administrator_names_the_directory_above(build_dir: Path, tmp_path: Path) -> None:
    room = tmp_path / ".own/-r"
    room.mkdir(parents=True)
    for rule, verb, name, code in (("git.create", "ensure", "a", 0), ("git.create-empty", "create", "b", 0),
                                   ("git.create", "ensure", ".c", 1), ("git.create", "ensure", "x/-d", 1)):  # fmt: skip
        env = rules_of(build_dir, room, ("create ** @devs",), GIT)[rule]
        done = subprocess.run([build_dir / "jailssh-repos", verb, f"{room}/{name}.git"], env=env, capture_output=True)
        assert done.returncode == code, (name, done)
    assert sorted(os.listdir(room)) == ["a.git", "b.git"]


@pytest.mark.parametrize("there", ["file", "link", "directory", "full"])
def test_what_is_there_stays_as_it_is(ask: Ask, room: Path, there: str) -> None:
    place = room / "team/x.git"
    if there == "file":
        place.write_text("mine")
    elif there == "link":
        place.symlink_to("nowhere")
    else:
        place.mkdir()
        (place / "mine").mkdir() if there == "full" else None
    before = everything(room)
    for rule in ("git.create-empty", "git.create"):
        assert ask(rule, "team/x.git").returncode == 1
    assert everything(room) == before


def test_a_link_on_the_way_is_not_followed(ask: Ask, room: Path) -> None:
    (room / "team/away").symlink_to("../docs.git")
    (room / "team/b.git").symlink_to("../docs.git")
    (room / "free/description").unlink()
    (room / "free/description").symlink_to("/etc/hostname")
    before = everything(room)
    assert ask("git.create-empty", "team/away/x.git").returncode == 1
    for rule, *words in (("git.delete",), ("git.describe", "text"), ("git.set-head", "main"), ("git.description",)):
        assert ask(rule, "team/b.git", *words).returncode == 1, rule
    assert everything(room) == before
    assert ask("git.description", "free").stdout == ""
    assert ask("git.describe", "free", "own").returncode == 0
    assert not (room / "free/description").is_symlink()
    assert ask("git.description", "free").stdout == "own\n"


KILLED = """#!/bin/sh
{do}
kill -KILL $PPID
sleep 1
"""


@pytest.mark.parametrize("do", ["true", f"{GIT} init -q --bare .", "echo 'ref: refs/heads/main' >HEAD; mkdir refs"])
def test_what_is_killed_half_way_leaves_nothing_to_push_to(ask: Ask, room: Path, tmp_path: Path, do: str) -> None:
    (tmp_path / "git").write_text(KILLED.format(do=do))
    (tmp_path / "git").chmod(0o755)
    done = ask("git.create-empty", "team/new.git", git=str(tmp_path / "git"))
    assert done.returncode == -signal.SIGKILL
    (left,) = set(os.listdir(room / "team")) - {"a.git"}
    assert left.startswith(".new-")
    assert ask("git.list").stdout.splitlines() == ["docs", "free", "team/a"]
    # It is gone with the next one, a day later; what only looks like it stays.
    os.mkdir(room / "team/.new-mine")
    assert ask("git.create-empty", "team/new.git").returncode == 0
    assert left in os.listdir(room / "team")
    for name in (left, ".new-mine"):
        os.utime(room / "team" / name, (time.time() - 100_000,) * 2)
    assert ask("git.create-empty", "team/more.git").returncode == 0
    assert set(os.listdir(room / "team")) == {"a.git", "new.git", "more.git", ".new-mine"}


def test_what_git_cannot_do_leaves_nothing(ask: Ask, room: Path) -> None:
    before = everything(room)
    done = ask("git.create-empty", "team/deep/er/new.git", git="/bin/false")
    assert (done.returncode, done.stderr) == (1, "jailssh: team/deep/er/new: git cannot make a repository here\n")
    assert everything(room) == before


def test_of_many_at_once_one_is_first(build_dir: Path, room: Path) -> None:
    path = f"{room}/team/new.git"
    for rule, verb, good in (("git.create", "ensure", 8), ("git.create-empty", "create", 1)):
        env = {k: v.replace("%p", path) for k, v in rules_of(build_dir, room, TABLE, GIT)[rule].items()}
        argv = [str(build_dir / "jailssh-repos"), verb, path]
        running = [subprocess.Popen(argv, env=env, stdout=-3, stderr=-3) for _ in range(8)]
        assert [each.wait(60) for each in running].count(0) == good
        assert sorted(os.listdir(room / "team")) == ["a.git", "new.git"]
        subprocess.run(["rm", "-r", path], check=True)


def test_descriptions(ask: Ask, room: Path) -> None:
    assert ask("git.description", "team/a.git").stderr == "jailssh: team/a: has no description\n"
    assert ask("git.describe", "team/a.git", "a", "täxt  of", "words").stdout == "team/a is described\n"
    assert (room / "team/a.git/description").read_text() == "a täxt  of words\n"
    (room / "team/a.git/description").write_text("\x1b[31mred\nmore\n")
    assert ask("git.description", "team/a.git").stdout == "?[31mred\n"
    for bad in ("x" * 501, "a\x1b[1m", "a\nb"):
        assert ask("git.describe", "team/a.git", bad).returncode == 1
    assert (room / "team/a.git/description").read_text() == "\x1b[31mred\nmore\n"
    (room / "team/a.git/description").unlink()
    os.mkfifo(room / "team/a.git/description")
    assert ask("git.description", "team/a.git").returncode == 1


def test_the_branch_of_head(ask: Ask, room: Path) -> None:
    head = room / "team/a.git/HEAD"
    assert ask("git.set-head", "team/a.git", "trunk").stdout == "team/a has HEAD at trunk\n"
    pushed(room, "team/a.git", "refs/heads/dev")
    assert ask("git.set-head", "team/a.git", "dev").returncode == 0
    for bad in ("main", "a..b", "-d", "--delete", "", "x.lock", "../../x", "a b", "x" * 5000):
        done = ask("git.set-head", "team/a.git", bad)
        assert done.returncode == 1 and done.stderr.count("\n") == 1, bad
    assert head.read_text() == "ref: refs/heads/dev\n"
    (room / "team/a.git/HEAD.lock").write_text("")
    assert "git cannot change HEAD" in ask("git.set-head", "team/a.git", "dev").stderr


def test_what_is_deleted_is_in_the_trash_and_comes_back(ask: Ask, room: Path) -> None:
    pushed(room, "team/a.git", "refs/heads/main")
    said = "team/a is in the trash; 'restore team/a' takes it back\n"
    assert ask("git.delete", "team/a.git").stdout == said
    assert ask("git.list").stdout.splitlines() == ["docs", "free"]
    assert ask("git.delete", "team/a.git").stderr.startswith("jailssh: team/a: cannot open it: No such file")
    assert ask("git.create-empty", "team/a.git").returncode == 0
    assert ask("git.restore", "team/a.git").stderr == "jailssh: team/a: cannot be moved back: File exists\n"
    time.sleep(1)
    assert ask("git.delete", "team/a.git").returncode == 0
    assert len(os.listdir(room / "team/.trash")) == 2
    # The last one first; what has another name, or none of ours, is not it.
    for name in ("a.git.99991231T235959Z.1234567g", "b.git.20260101T000000Z.12345678", "a.git"):
        (room / "team/.trash" / name).mkdir()
    assert ask("git.restore", "team/a.git").stdout == "team/a is back\n"
    assert not (room / "team/a.git/refs/heads/main").exists()
    (room / "team/a.git").rename(room / "team/later.git")
    assert ask("git.restore", "team/a.git").returncode == 0
    assert (room / "team/a.git/refs/heads/main").exists()
    assert ask("git.restore", "team/nothing.git").stderr == "jailssh: team/nothing: is not in the trash\n"


@pytest.mark.parametrize("trash", ["link", "file"])
def test_a_trash_that_leads_elsewhere(ask: Ask, room: Path, trash: str) -> None:
    place = room / "team/.trash"
    place.symlink_to("../docs.git") if trash == "link" else place.write_text("")
    assert ask("git.delete", "team/a.git").stderr.startswith("jailssh: team/a: cannot open the trash: ")
    assert ask("git.restore", "team/b.git").returncode == 1
    assert os.listdir(room / "team") == [".trash", "a.git"] or os.listdir(room / "team") == ["a.git", ".trash"]


@pytest.mark.parametrize(("mask", "mode"), [(0o027, 0o700), (0o022, 0o700), (0o002, 0o775)])
def test_who_only_reads_sees_no_trash(ask: Ask, room: Path, mask: int, mode: int) -> None:
    """gitweb lists what it can read, in any directory; who writes too takes back what others deleted."""
    before = os.umask(mask)
    try:
        assert ask("git.delete", "team/a.git").returncode == 0
    finally:
        os.umask(before)
    assert (room / "team/.trash").stat().st_mode & 0o777 == mode
    assert ask("git.restore", "team/a.git").returncode == 0


RULED = (
    *TABLE, "push team/a refs/heads/main @devs", "push team/a refs/heads/dev @devs",
    "delete team/a refs/heads/** @devs", "create team/a refs/heads/** @devs",
)  # fmt: skip


def test_rights_to_references_hold_for_the_whole(ask: Ask, room: Path) -> None:
    pushed(room, "team/a.git", "refs/heads/main", "refs/heads/dev", "refs/heads/locked")
    assert ask("git.set-head", "team/a.git", "dev", rights=RULED).returncode == 0
    done = ask("git.set-head", "team/a.git", "locked", rights=RULED)
    assert done.returncode == 126 and "no right to push to the branch" in done.stderr
    subprocess.run([GIT, "-C", room / "team/a.git", "symbolic-ref", "refs/heads/main", "refs/heads/locked"], check=True)
    assert ask("git.set-head", "team/a.git", "main", rights=RULED).returncode == 126
    subprocess.run([GIT, "-C", room / "team/a.git", "symbolic-ref", "HEAD", "refs/heads/locked"], check=True)
    assert ask("git.set-head", "team/a.git", "dev", rights=RULED).returncode == 126
    assert ask("git.delete", "team/a.git", rights=RULED).returncode == 0
    done = ask("git.restore", "team/a.git", rights=RULED[:-1])
    assert (done.returncode, done.stderr) == (
        126, "jailssh: team/a: no right to create refs/heads/dev, which it has\n",
    )  # fmt: skip
    assert ask("git.restore", "team/a.git", rights=RULED).returncode == 0
    pushed(room, "team/a.git", "refs/tags/v1")
    done = ask("git.delete", "team/a.git", rights=RULED)
    assert (done.returncode, done.stderr) == (126, "jailssh: team/a: no right to delete refs/tags/v1, which it has\n")
    assert (room / "team/a.git").exists()


TRAPS = {
    "core.fsmonitor", "core.pager", "pager.symbolic-ref", "pager.for-each-ref", "pager.show-ref", "core.editor",
    "core.sshCommand", "core.alternateRefsCommand", "gpg.program", "uploadpack.packObjectsHook",
    "alias.symbolic-ref", "alias.for-each-ref", "hook.x.command", "core.askPass", "diff.external",
}  # fmt: skip


def test_nothing_that_a_repository_says_is_run(ask: Ask, room: Path, tmp_path: Path) -> None:
    trap, sprung, repository = tmp_path / "trap", tmp_path / "sprung", room / "team/a.git"
    trap.write_text(f"#!/bin/sh\ntouch {sprung}\n")
    trap.chmod(0o755)
    pushed(room, "team/a.git", "refs/heads/main", "refs/heads/dev")
    hooks = repository / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in (
        "reference-transaction",
        "post-checkout",
        "pre-receive",
        "update",
        "post-update",
        "fsmonitor-watchman",
    ):
        (hooks / name).write_text(trap.read_text())
        (hooks / name).chmod(0o755)
    config = [f"git config --add {name} {shlex.quote(value)}" for name, value in (
        *((name, f"!{trap}" if name.startswith("alias") else str(trap)) for name in sorted(TRAPS)),
        ("hook.x.event", "reference-transaction"), ("core.hooksPath", str(hooks)), ("core.worktree", "/"),
        ("include.path", "../../../more"), ("core.logAllRefUpdates", "always"),
    )]  # fmt: skip
    (tmp_path / "more").write_text(f"[core]\n\thooksPath = {hooks}\n")
    subprocess.run(["sh", "-ec", "\n".join(config)], cwd=repository, check=True)
    (repository / "objects/info/alternates").write_text(f"{room}/secret.git/objects\n")
    # Without the settings of the plan it does run.
    subprocess.run([GIT, "--git-dir=.", "symbolic-ref", "HEAD", "refs/heads/dev"], cwd=repository, check=True)
    subprocess.run([GIT, "--git-dir=.", "update-ref", "refs/heads/x", "refs/heads/dev"], cwd=repository, check=True)
    assert sprung.exists()
    sprung.unlink()
    for rights in (TABLE, (*RULED, "create team/a refs/heads/x @devs")):
        for rule, *words in (("git.set-head", "main"), ("git.describe", "text"), ("git.description",), ("git.delete",),
                             ("git.restore",)):  # fmt: skip
            done = ask(rule, "team/a.git", *words, rights=rights)
            assert done.returncode == 0, (rule, done)
    assert ask("git.info").returncode == 0
    assert not sprung.exists()


def test_a_damaged_plan_refuses(build_dir: Path, room: Path) -> None:
    program, path = build_dir / "jailssh-repos", f"{room}/team/a.git"
    before = everything(room)
    for env, words in (
        ({}, ["info"]), ({"JAILSSH_RIGHTS_0": "all /x"}, ["list"]), ({"JAILSSH_RIGHTS_0": "read"}, ["list"]),
        ({"JAILSSH_RIGHTS_0": "read x"}, ["list"]), ({}, ["delete", path]),
        ({"JAILSSH_REPOSITORY": path}, ["delete", path]),
        ({"JAILSSH_GIT": GIT}, ["set-head", path, "x"]), ({}, ["create", f"{room}/team/b.git"]), ({}, []),
        ({"JAILSSH_GIT": "/nowhere"}, ["create", f"{room}/team/b.git"]), ({}, ["delete"]), ({}, ["delete", path, path]),
        ({"JAILSSH_REPOSITORY": path, "JAILSSH_REFS_0": "give /** refs/**"}, ["delete", path]), ({}, ["infos"]),
    ):  # fmt: skip
        done = subprocess.run([program, *words], env=env, capture_output=True, text=True)
        assert done.returncode in (1, 2) and done.stdout == "" and done.stderr, (env, words)
    assert everything(room) == before


def test_it_is_small(build_dir: Path, tmp_path: Path) -> None:
    subprocess.run(["strip", "-o", tmp_path / "stripped", build_dir / "jailssh-repos"], check=True)
    assert (tmp_path / "stripped").stat().st_size < MOST_BYTES
