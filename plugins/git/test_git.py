import os
import shlex
import subprocess
import sys

import pytest

from jailssh.core.errors import ConfigError
from jailssh.image.jail import find_program
from jailssh.image.resolve import resolve
from jailssh.plugin.api import Account, Bind, Jail, Plugin
from jailssh.policy.rules import check_rules
from jailssh_plugins.git.plugin import NO_HOOKS, plugin

ALICE = Account("alice", 1000, 1000, "alice", "/home/alice")
JAIL = Jail("j", ("git",), {"git": "/usr/bin/git"}.get)
PLAIN = {"read": (), "write": (), "roots": (), "rights": (), "branch": "main", "hooks": (), "archive": False,
         "max_pack": -1}  # fmt: skip


def result(**settings):
    return plugin.account(JAIL, ALICE, {**PLAIN, **settings})


def rules(**settings):
    return {rule.id: rule for rule in result(**settings).rules}


def test_it_is_a_plugin_whose_options_have_these_defaults():
    assert isinstance(plugin, Plugin)
    assert {option.name for option in plugin.options} == set(PLAIN)
    assert plugin.image(JAIL, PLAIN).dirs == (NO_HOOKS,)
    with pytest.raises(ConfigError, match="not found"):
        plugin.image(Jail("j", ("git",), {}.get), PLAIN)


def test_read_only_directories():
    given = result(read=("/srv/git",))
    rule = rules(read=("/srv/git",))["git.upload-pack"]
    assert (rule.id, rule.program, rule.fixed) == ("git.upload-pack", "/usr/bin/git", ("upload-pack",))
    assert (rule.base, rule.roots, rule.operands) == ("/srv/git", ("/srv/git",), (1, 1, "repository"))
    assert given.binds == (Bind("/srv/git"),)
    assert given.home == "none"


def test_writable_directories_can_be_read_too():
    mine = rules(read=("/srv/pub",), write=("/srv/git",), archive=True)
    assert set(mine) == {"git.lfs", "git.upload-pack", "git.receive-pack", "git.upload-archive"}
    assert mine["git.upload-pack"].roots == ("/srv/pub", "/srv/git")
    assert mine["git.receive-pack"].roots == ("/srv/git",)
    assert {rule.base for rule in mine.values()} == {"/srv/pub", ""}
    check_rules(mine.values())
    binds = result(read=("/srv/pub",), write=("/srv/git",)).binds
    assert set(binds) == {Bind("/srv/pub"), Bind("/srv/git", writable=True)}


def test_a_writable_directory_in_a_read_only_one():
    given = result(read=("/srv/git",), write=("/srv/git/team",))
    assert given.binds == (Bind("/srv/git"), Bind("/srv/git/team", writable=True))


def test_one_repository_is_a_directory_too():
    given = result(read=("/srv/git/a.git",), write=("/srv/git/b.git",))
    assert set(given.binds) == {Bind("/srv/git/a.git"), Bind("/srv/git/b.git", writable=True)}


def test_the_size_of_a_push():
    limited = rules(write=("/srv/git",), max_pack=1000)
    values = dict(limited["git.receive-pack"].env)
    assert ("receive.maxInputSize", "1000") in {
        (values[f"GIT_CONFIG_KEY_{n}"], values[f"GIT_CONFIG_VALUE_{n}"]) for n in range(int(values["GIT_CONFIG_COUNT"]))
    }
    assert limited["git.upload-pack"].env == rules(write=("/srv/git",))["git.upload-pack"].env
    assert "receive.maxInputSize" not in dict(rules(write=("/srv/git",))["git.receive-pack"].env).values()


def test_directories_in_the_home():
    assert result(write=("~/git",)).home == "rw"
    assert result(read=("~/git",)).home == "ro"
    assert result(write=("~/git",)).binds == ()
    assert rules(write=("~/git",))["git.receive-pack"].roots == ("/home/alice/git",)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, "names no directory"),
        ({"read": ("/srv/git/x",), "write": ("/srv/git",)}, "cannot be read-only"),
        ({"read": ("/srv/git",), "write": ("/srv/git",)}, "cannot be read-only"),
        ({"read": ("~/a",), "write": ("~/b",)}, "makes writable"),
        ({"read": ("/home",)}, "homes of accounts"),
        ({"write": ("/",)}, "homes of accounts"),
        ({"write": ("srv/git",)}, "not a path"),
        ({"write": ("~bob/git",)}, "not a path"),
    ],
)
def test_impossible_settings(settings, why):
    with pytest.raises(ConfigError, match=why):
        result(**settings)


# Served by the real git, as the login program executes the rule: this argv, this environment, nothing else.
SERVE = """#!{python}
import os, shlex, sys
service, path = shlex.split(sys.argv[-1])
env = {{name: path + value[2:] if value.startswith("%p") else value for name, value in {env!r}}}
os.execve("/usr/bin/git", ["git", service.removeprefix("git-"), path], env)
"""


@pytest.fixture
def served(tmp_path, request):
    """A bare repository, a clone of it, and a way to run git against it through the rule."""
    if not os.path.exists("/usr/bin/git"):
        pytest.skip("git is not at /usr/bin/git")
    no_hooks = tmp_path / "no-hooks"
    no_hooks.mkdir()
    env = rules(write=("/srv/git",), **getattr(request, "param", {}))["git.receive-pack"].env
    env = [(name, str(no_hooks) if value == NO_HOOKS else value) for name, value in env]
    # Whose repository it is must not matter: git looks at this variable in its own tests.
    env += [("PATH", "/usr/bin:/bin"), ("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")]
    transport = tmp_path / "transport"
    transport.write_text(SERVE.format(python=sys.executable, env=env))
    transport.chmod(0o755)
    client = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "GIT_SSH": str(transport),
        "GIT_SSH_VARIANT": "simple",
        **{f"GIT_{who}_{what}": "a@b.example" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }

    def run(command, where=tmp_path):
        words = shlex.split(command)
        return subprocess.run(words, cwd=where, env=client, capture_output=True, text=True, timeout=60)

    for command in ("git init -q -b main --bare r.git", "git clone -q r.git work"):
        assert run(command).returncode == 0
    return tmp_path, run


def commit_and_push(room, run):
    assert run("git commit -q --allow-empty -m x", room / "work").returncode == 0
    return run(f"git push h:{room}/r.git HEAD:main", room / "work")


@pytest.mark.needs("git")
@pytest.mark.parametrize("spelling", ["r.git", "work"])
def test_clone_and_push_bare_or_beside_a_working_tree(served, spelling):
    room, run = served
    assert commit_and_push(room, run).returncode == 0
    done = run(f"git clone h:{room}/{spelling} out")
    assert done.returncode == 0, done.stderr
    assert "dubious" not in done.stderr


@pytest.mark.needs("git")
@pytest.mark.parametrize("served", [{"max_pack": 100_000}], indirect=True)
def test_a_push_that_is_too_large_is_refused(served):
    room, run = served
    assert commit_and_push(room, run).returncode == 0
    (room / "work" / "large").write_bytes(os.urandom(200_000))
    assert run("git add large", room / "work").returncode == 0
    done = commit_and_push(room, run)
    assert done.returncode != 0
    assert "exceeds maximum allowed size" in done.stderr


@pytest.mark.needs("git")
def test_no_configuration_and_no_hook_of_the_user_runs_a_program(served):
    room, run = served
    trap = room / "trap"
    trap.write_text(f'#!/bin/sh\ntouch {room}/sprung\nexec "$@"\n')
    trap.chmod(0o755)
    hooks = room / "r.git" / "hooks"
    for hook in ("pre-receive", "update", "post-receive", "post-update", "reference-transaction", "proc-receive"):
        (hooks / hook).write_bytes(trap.read_bytes())
        (hooks / hook).chmod(0o755)
    for name, text in (
        ("core.hooksPath", hooks),
        ("uploadpack.packObjectsHook", trap),
        ("core.fsmonitor", trap),
        ("core.pager", trap),
        ("core.sshCommand", trap),
        ("core.gitProxy", trap),
    ):
        assert run(f"git config {name} {text}", room / "r.git").returncode == 0
    (room / ".gitconfig").write_text(f"[uploadpack]\n\tpackObjectsHook = {trap}\n")
    (room / "sprung").unlink(missing_ok=True)
    serve = (room / "transport").read_text()
    assert ("HOME", "/") in rules(write=("/srv/git",))["git.upload-pack"].env
    (room / "transport").write_text(serve.replace("('HOME', '/')", f"('HOME', '{room}')"))
    done = commit_and_push(room, run)
    assert done.returncode == 0, done.stderr
    env = "GIT_CONFIG_GLOBAL=/dev/null"
    assert run(f"env {env} git clone h:{room}/r.git out").returncode == 0
    assert not (room / "sprung").exists()


@pytest.mark.needs("git")
@pytest.mark.parametrize(("guard", "instead"), [("core.hooksPath", "core.hooksPathh"), ("GIT_CONFIG_GLOBAL", "X")])
def test_the_traps_of_the_test_above_work_where_nothing_guards(served, guard, instead):
    room, run = served
    assert commit_and_push(room, run).returncode == 0
    trap = room / "r.git" / "hooks" / "pre-receive"
    trap.write_text(f'#!/bin/sh\ntouch {room}/sprung\nexec "$@"\n')
    trap.chmod(0o755)
    (room / ".gitconfig").write_text(f"[uploadpack]\n\tpackObjectsHook = {trap}\n")
    serve = (room / "transport").read_text()
    (room / "transport").write_text(serve.replace("('HOME', '/')", f"('HOME', '{room}')").replace(guard, instead))
    assert commit_and_push(room, run).returncode == 0
    assert run(f"git clone h:{room}/r.git out").returncode == 0
    assert (room / "sprung").exists()


@pytest.mark.needs("git")
def test_a_repository_that_was_not_asked_for_is_not_made_safe(served):
    room, run = served
    serve = (room / "transport").read_text()
    (room / "transport").write_text(
        serve.replace("= path + value[2:]", "= '/elsewhere'").replace("name: path + value[2:]", "name: '/elsewhere'")
    )
    done = run(f"git clone h:{room}/r.git out")
    assert done.returncode != 0
    assert "dubious ownership" in done.stderr


@pytest.mark.needs("git")
def test_this_host_has_what_the_image_needs():
    found = Jail("j", ("git",), find_program)
    manifest = resolve([("git", plugin.image(found, PLAIN))])
    (program, *_) = plugin.image(found, PLAIN).programs
    assert manifest.get(program) is not None
