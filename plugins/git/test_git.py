import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jailssh.config.values import defaults
from jailssh.core.errors import ConfigError
from jailssh.core.names import JailPath
from jailssh.image.resolve import resolve
from jailssh.jail.this_host import find_program
from jailssh.plugin.api import Account, Bind, Jail, Plugin, Value
from jailssh.policy.rules import check_rules
from jailssh_plugins.git.hooks import HOOKS, NO_HOOKS
from jailssh_plugins.git.plugin import plugin

ALICE = Account("alice", 1000, 1000, "alice", "/home/alice")
REPOS = "/usr/libexec/jailssh/jailssh-repos"
JAIL = Jail("j", ("git",), {"git": "/usr/bin/git", "jailssh-repos": REPOS}.get)
PLAIN: dict[str, Value] = defaults(plugin.options)


def result(**settings: Any) -> Any:
    return plugin.account(JAIL, ALICE, {**PLAIN, **settings})


def rules(**settings: Any) -> Any:
    return {rule.id: rule for rule in result(**settings).rules}


def test_it_is_a_plugin_that_needs_git() -> None:
    assert isinstance(plugin, Plugin)
    assert plugin.image(JAIL, PLAIN).dirs == (NO_HOOKS,)
    with pytest.raises(ConfigError, match="not found"):
        plugin.image(Jail("j", ("git",), dict[str, str]().get), PLAIN)


def test_read_only_directories() -> None:
    given = result(read=("/srv/git",))
    rule = rules(read=("/srv/git",))["git.upload-pack"]
    assert (rule.id, rule.program, rule.argv_prefix) == ("git.upload-pack", "/usr/bin/git", ("upload-pack",))
    assert (rule.relative_to, rule.path_roots, rule.operands) == ("/srv/git", ("/srv/git",), (1, 1, "repository"))
    assert given.binds == (Bind("/srv/git"),)
    assert given.home == "none"


def test_writable_directories_can_be_read_too() -> None:
    mine = rules(read=("/srv/pub",), write=("/srv/git",), archive=True)
    assert set(mine) == {"git.lfs", "git.upload-pack", "git.receive-pack", "git.upload-archive"}
    assert mine["git.upload-pack"].path_roots == ("/srv/pub", "/srv/git")
    assert mine["git.receive-pack"].path_roots == ("/srv/git",)
    assert {rule.relative_to for rule in mine.values()} == {"/srv/pub", ""}
    check_rules(mine.values())
    binds = result(read=("/srv/pub",), write=("/srv/git",)).binds
    assert set(binds) == {Bind("/srv/pub"), Bind("/srv/git", writable=True)}


def test_a_writable_directory_in_a_read_only_one() -> None:
    given = result(read=("/srv/git",), write=("/srv/git/team",))
    assert given.binds == (Bind("/srv/git"), Bind("/srv/git/team", writable=True))


def test_one_repository_is_a_directory_too() -> None:
    given = result(read=("/srv/git/a.git",), write=("/srv/git/b.git",))
    assert set(given.binds) == {Bind("/srv/git/a.git"), Bind("/srv/git/b.git", writable=True)}


def test_the_size_of_a_push() -> None:
    limited = rules(write=("/srv/git",), max_pack=1000)
    values = dict(limited["git.receive-pack"].environment)
    assert ("receive.maxInputSize", "1000") in {
        (values[f"GIT_CONFIG_KEY_{n}"], values[f"GIT_CONFIG_VALUE_{n}"]) for n in range(int(values["GIT_CONFIG_COUNT"]))
    }
    assert limited["git.upload-pack"].environment == rules(write=("/srv/git",))["git.upload-pack"].environment
    assert "receive.maxInputSize" not in dict(rules(write=("/srv/git",))["git.receive-pack"].environment).values()


def test_directories_in_the_home() -> None:
    for given in (result(write=("~/git",)), result(read=("~/git",))):
        assert given.home == "none"
        assert [bind.path for bind in given.binds] == ["/home/alice/git"]
    both = result(read=("~/a",), write=("~/b",))
    assert both.binds == (Bind("/home/alice/a"), Bind("/home/alice/b", writable=True))
    assert rules(write=("~/git",))["git.receive-pack"].path_roots == ("/home/alice/git",)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, "no directory is set"),
        ({"read": ("/srv/git/x",), "write": ("/srv/git",)}, "cannot be read-only"),
        ({"read": ("/srv/git",), "write": ("/srv/git",)}, "cannot be read-only"),
        ({"read": ("/home",)}, "homes of accounts"),
        ({"write": ("/",)}, "homes of accounts"),
        ({"write": ("srv/git",)}, "not a path"),
        ({"write": ("~bob/git",)}, "not a path"),
    ],
)
def test_impossible_settings(settings: Any, why: Any) -> None:
    with pytest.raises(ConfigError, match=why):
        result(**settings)


SHARED: dict[str, Value] = {
    "roots": ("/srv/git",),
    "rights": ("create team/** @devs", "read tool @all", "write /srv/git/doc.git ann"),
}


def of(*roles: Any, **settings: Any) -> Any:
    """Return the rules and the result for an account with these roles."""
    account = Account("git", 999, 999, "git", "/home/git", roles=frozenset(("@all", *roles)))
    given = plugin.account(JAIL, account, {**PLAIN, **SHARED, **settings})
    check_rules(given.rules)
    return {rule.id: rule for rule in given.rules}, given


def test_each_role_gets_its_rights() -> None:
    mine, _ = of("@devs", "ann", archive=True)
    every = ("/srv/git/doc.git", "/srv/git/team/**", "/srv/git/tool")
    assert mine["git.upload-pack"].repository_patterns == mine["git.upload-archive"].repository_patterns == every
    assert mine["git.receive-pack"].repository_patterns == every[:2]
    assert mine["git.create"].repository_patterns == ("/srv/git/team/**",)
    assert mine["git.create"].operands == (1, 1, "new-repository")
    mine, _ = of("bob")
    assert mine["git.upload-pack"].repository_patterns == ("/srv/git/tool",)
    assert "git.receive-pack" not in mine
    assert mine["git.upload-pack"].path_roots == ("/srv/git",)
    assert mine["git.upload-pack"].relative_to == "/srv/git"


def test_the_best_of_several_rights_counts() -> None:
    rights = ("read x @all", "write x ann", "read x ann")
    assert of("ann", rights=rights)[0]["git.receive-pack"].repository_patterns == ("/srv/git/x",)
    assert "git.receive-pack" not in of("bob", rights=rights)[0]


def test_only_what_may_be_read_is_shown_and_only_what_may_be_written_is_writable() -> None:
    assert of("bob")[1].binds == (Bind("/srv/git/tool", optional=True), Bind("/srv/git/tool.git", optional=True))
    assert of("ann", "@devs")[1].binds == (
        Bind("/srv/git/doc.git", writable=True, optional=True),
        Bind("/srv/git/team", writable=True, optional=True),
        Bind("/srv/git/tool", optional=True),
        Bind("/srv/git/tool.git", optional=True),
    )
    everything = of("bob", rights=("read ** bob", "write team/* bob"))[1].binds
    assert everything == (Bind("/srv/git"), Bind("/srv/git/team", writable=True, optional=True))
    # To make one is to write in the directory that it will be in.
    assert of("bob", rights=("create new.git bob",))[1].binds == (Bind("/srv/git", writable=True),)
    assert of("bob", rights=("write team/*/x bob", "read team/a/y.git bob"))[1].binds == (
        Bind("/srv/git/team", writable=True, optional=True),
    )


@pytest.mark.parametrize(
    ("read", "write", "number"), [(24, 24, 48), (25, 24, 34), (2000, 0, 10), (0, 25, 1), (10, 25, 1)]
)
def test_the_mounts_are_few(read: Any, write: Any, number: Any) -> None:
    rights = [f"read dir{n % 10}/sub/r{n}.git bob" for n in range(read)]
    rights += [f"write own{n}/* bob" for n in range(write)]
    binds = of("bob", rights=tuple(rights))[1].binds
    assert len(binds) == number
    shown = {writable: tuple(f"{bind.path}/" for bind in binds if bind.writable >= writable) for writable in (0, 1)}
    assert all(f"/srv/git/dir{n % 10}/sub/r{n}.git/".startswith(shown[0]) for n in range(read))
    assert all(f"/srv/git/own{n}/".startswith(shown[1]) for n in range(write))


def test_an_account_without_rights_is_told_so() -> None:
    for rights in (("read x ann",), ()):
        mine, given = of("bob", rights=rights)
        assert set(mine) == {"git.lfs", "git.no-rights"}
        assert mine["git.no-rights"].builtin_reply == (126, "no repository access for this key")
        assert (given.binds, given.home) == ((), "none")
    mine, _ = of("git", rights=("read x ann",))
    assert mine["git.no-rights"].builtin_reply[1] == "no repository access for this account"


def test_a_new_repository_is_made_with_the_configuration_of_the_push() -> None:
    mine, _ = of("@devs", branch="trunk")
    create, push = mine["git.create"], mine["git.receive-pack"]
    assert create.pre_command == (REPOS, "ensure", "%p")
    assert (create.command_names, create.argv_prefix) == (push.command_names, push.argv_prefix)
    assert {**config_of(push), "init.defaultBranch": "trunk"} == config_of(create)


def config_of(rule: Any) -> Any:
    values = dict(rule.environment)
    count = int(values["GIT_CONFIG_COUNT"])
    return {values[f"GIT_CONFIG_KEY_{n}"]: values[f"GIT_CONFIG_VALUE_{n}"] for n in range(count)}


def test_the_image_is_the_same_for_all_keys() -> None:
    assert plugin.image(JAIL, {**PLAIN, **SHARED}).dirs == (NO_HOOKS, "/srv")


def test_hooks_of_the_administrator() -> None:
    hooks = ("/etc/jailssh/hooks/update", "/etc/jailssh/hooks/post-receive")
    needs = plugin.image(JAIL, {**PLAIN, "hooks": hooks, "programs": ("sed",)})
    assert needs.bare_programs == ("/usr/bin/git",)
    assert needs.programs == (*hooks, "sed", "true")
    assert config_of(of("@devs", hooks=hooks)[0]["git.receive-pack"])["core.hooksPath"] == "/etc/jailssh/hooks"
    assert config_of(of("@devs")[0]["git.receive-pack"])["core.hooksPath"] == NO_HOOKS


def test_hooks_of_the_repository_s_own_configuration_are_off_for_every_event() -> None:
    forced = config_of(rules(write=("/srv/git",))["git.receive-pack"])
    assert [
        event for event in [*HOOKS.split(), "post-checkout", "pre-push"] if forced[f"hook.{event}.enabled"] != "false"
    ] == []
    assert ("GIT_ALLOW_PROTOCOL", "none") in rules(read=("/srv/git",))["git.upload-pack"].environment


def test_signatures_are_checked_by_the_administrator_s_programs() -> None:
    forced = config_of(rules(write=("/srv/git",), programs=("/usr/bin/gpg", "sh"))["git.receive-pack"])
    assert (forced["gpg.program"], forced["gpg.ssh.program"]) == ("/usr/bin/gpg", "false")


def test_large_files_have_an_answer() -> None:
    rule = rules(read=("/srv/git",))["git.lfs"]
    assert {"git-lfs-authenticate", "git lfs-transfer", "/usr/bin/git-lfs-transfer"} <= set(rule.command_names)
    assert rule.builtin_reply[0] == 126
    assert "lfs.url" in rule.builtin_reply[1]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"read": ("/srv/git",)}, "and 'rights' cannot be combined"),
        ({"write": ("/srv/git",)}, "and 'rights' cannot be combined"),
        ({"roots": ()}, "rights need 1 to"),
        ({"roots": tuple(f"/srv/{n}" for n in range(30))}, "rights need 1 to"),
        ({"roots": ("/srv/*",)}, "without wildcards"),
        ({"roots": ("/home",), "rights": ("read * @all",)}, "homes of accounts"),
        ({"rights": ("read /srv/gitx/a @all",)}, r"rights: read /srv/gitx/a @all: .* is not below roots: /srv/git"),
        ({"rights": ("read /srv ann", "read a ann")}, "is not below roots: /srv/git"),
        ({"rights": ("read a/.git @all",)}, "remove /.git"),
        ({"rights": ("create /srv/git @all",)}, "so it exists already"),
        ({"rights": ("create * @all",), "branch": "-x"}, "is not a branch name"),
        ({"hooks": ("/srv/hooks/update",)}, "is not a file below /etc"),
        ({"hooks": ("~/update",)}, "is not a file below /etc"),
        ({"hooks": ("/etc/hooks/pre-commit",)}, "does not have the name of a server hook"),
        ({"hooks": ("/etc/a/update", "/etc/b/pre-receive")}, "several directories"),
    ],
)
def test_impossible_rights_and_hooks(settings: Any, why: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        of("@devs", **settings)
    assert re.search(why, f"{caught.value.what}: {caught.value.why} {caught.value.hint}")


# Served by the real git, as the login program executes the rule: this argv, this environment, nothing else.
SERVE = """#!{python}
import os, shlex, sys
service, path = shlex.split(sys.argv[-1])
env = {{name: path + value[2:] if value.startswith("%p") else value for name, value in {env!r}}}
os.execve("/usr/bin/git", ["git", service.removeprefix("git-"), path], env)
"""


@pytest.fixture
def served(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    """A bare repository, a clone of it, and a way to run git against it through the rule."""
    if not os.path.exists("/usr/bin/git"):
        pytest.skip("git is not at /usr/bin/git")
    no_hooks = tmp_path / "no-hooks"
    no_hooks.mkdir()
    env = rules(write=("/srv/git",), **getattr(request, "param", {}))["git.receive-pack"].environment
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

    def run(command: Any, where: Any = tmp_path) -> Any:
        words = shlex.split(command)
        return subprocess.run(words, cwd=where, env=client, capture_output=True, text=True, timeout=60)

    for command in ("git init -q -b main --bare r.git", "git clone -q r.git work"):
        assert run(command).returncode == 0
    return tmp_path, run


def commit_and_push(room: Any, run: Any) -> Any:
    assert run("git commit -q --allow-empty -m x", room / "work").returncode == 0
    return run(f"git push h:{room}/r.git HEAD:main", room / "work")


@pytest.mark.needs("git")
@pytest.mark.parametrize("spelling", ["r.git", "work"])
def test_clone_and_push_bare_or_beside_a_working_tree(served: Any, spelling: Any) -> None:
    room, run = served
    assert commit_and_push(room, run).returncode == 0
    done = run(f"git clone h:{room}/{spelling} out")
    assert done.returncode == 0, done.stderr
    assert "dubious" not in done.stderr


@pytest.mark.needs("git")
@pytest.mark.parametrize("served", [{"max_pack": 100_000}], indirect=True)
def test_a_push_that_is_too_large_is_refused(served: Any) -> None:
    room, run = served
    assert commit_and_push(room, run).returncode == 0
    (room / "work" / "large").write_bytes(os.urandom(200_000))
    assert run("git add large", room / "work").returncode == 0
    done = commit_and_push(room, run)
    assert done.returncode != 0
    assert "exceeds maximum allowed size" in done.stderr


@pytest.mark.needs("git")
def test_no_configuration_and_no_hook_of_the_user_runs_a_program(served: Any) -> None:
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
    assert ("HOME", "/") in rules(write=("/srv/git",))["git.upload-pack"].environment
    (room / "transport").write_text(serve.replace("('HOME', '/')", f"('HOME', '{room}')"))
    done = commit_and_push(room, run)
    assert done.returncode == 0, done.stderr
    env = "GIT_CONFIG_GLOBAL=/dev/null"
    assert run(f"env {env} git clone h:{room}/r.git out").returncode == 0
    assert not (room / "sprung").exists()


FAKE_SIGNER = """#!/bin/sh
cat >/dev/null
echo '[GNUPG:] SIG_CREATED ' >&2
printf -- '-----BEGIN PGP SIGNATURE-----\\n\\nx\\n-----END PGP SIGNATURE-----\\n'
"""


@pytest.mark.needs("git")
@pytest.mark.parametrize(
    ("key", "guard"),
    [("core.alternateRefsCommand", "core.alternateRefsCommand"), ("gpg.program", "gpg.program"), ("", "")],
    ids=["alternates", "signed push", "as it is"],
)
def test_a_repository_names_no_program(served: Any, key: Any, guard: Any) -> None:
    """With ``guard`` taken away the program of ``key`` runs, with all of them none does."""
    room, run = served
    trap, signer, repository = room / "trap", room / "signer", room / "r.git"
    trap.write_text(f"#!/bin/sh\ntouch {room}/sprung\n")
    signer.write_text(FAKE_SIGNER)
    # The signature of a push is looked at for a hook, and this is the administrator's.
    hook = room / "no-hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\n")
    for script in (trap, signer, hook):
        script.chmod(0o755)
    assert commit_and_push(room, run).returncode == 0
    assert run("git clone -q --bare r.git borrowed").returncode == 0
    (repository / "objects/info/alternates").write_text(f"{room}/borrowed/objects\n")
    named = {"core.alternateRefsCommand": trap, "gpg.program": trap, "receive.certNonceSeed": "x"}
    named |= {"hook.x.event": "pre-receive", "hook.x.command": trap, "hook.pre-receive.enabled": "true"}
    for name, value in named.items():
        assert run(f"git config {name} {value}", repository).returncode == 0
    serve = (room / "transport").read_text()
    if guard:
        assert f"'{guard}'" in serve
        (room / "transport").write_text(serve.replace(f"'{guard}'", "'x.y'"))
    assert run("git commit -q --allow-empty -m y", room / "work").returncode == 0
    run(f"git config gpg.program {signer}", room / "work")
    run("git config user.signingKey x", room / "work")
    done = run(f"git push --signed h:{repository} HEAD:main", room / "work")
    assert done.returncode == 0, done.stderr
    assert (room / "sprung").exists() is bool(key)


@pytest.mark.needs("git")
def test_a_hook_of_the_administrator_runs_and_knows_the_key(served: Any) -> None:
    room, run = served
    hooks = room / "of-root"
    hooks.mkdir()
    (hooks / "pre-receive").write_text(f'#!/bin/sh\necho "$JAILSSH_KEY" >{room}/key\ntest "$JAILSSH_KEY" = ann\n')
    (hooks / "pre-receive").chmod(0o755)
    serve = (room / "transport").read_text().replace(str(room / "no-hooks"), str(hooks))
    for key, code in (("ann", 0), ("bob", 1)):
        (room / "transport").write_text(serve.replace("os.execve(", f"env['JAILSSH_KEY'] = {key!r}\nos.execve("))
        assert commit_and_push(room, run).returncode == code
        assert (room / "key").read_text() == f"{key}\n"


@pytest.mark.needs("git")
def test_what_runs_first_makes_an_empty_repository(build_dir: Path, tmp_path: Path) -> None:
    create = of("@devs", branch="trunk")[0]["git.create"]
    path = str(tmp_path / "deep" / "new.git")
    words = {REPOS: str(build_dir / "jailssh-repos"), "%p": path}
    for _ in range(2):  # another login may have been faster
        argv = [words.get(word, word) for word in create.pre_command]
        assert subprocess.run(argv, env=dict(create.environment), timeout=30).returncode == 0
    assert (tmp_path / "deep/new.git/HEAD").read_text() == "ref: refs/heads/trunk\n"
    assert sorted(os.listdir(path)) == ["HEAD", "config", "objects", "refs"]


@pytest.mark.needs("git")
@pytest.mark.parametrize(("guard", "instead"), [("core.hooksPath", "core.hooksPathh"), ("GIT_CONFIG_GLOBAL", "X")])
def test_the_traps_of_the_test_above_work_where_nothing_guards(served: Any, guard: Any, instead: Any) -> None:
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
def test_a_repository_that_was_not_asked_for_is_not_made_safe(served: Any) -> None:
    room, run = served
    serve = (room / "transport").read_text()
    (room / "transport").write_text(
        serve.replace("= path + value[2:]", "= '/elsewhere'").replace("name: path + value[2:]", "name: '/elsewhere'")
    )
    done = run(f"git clone h:{room}/r.git out")
    assert done.returncode != 0
    assert "dubious ownership" in done.stderr


@pytest.mark.needs("git")
def test_this_host_has_what_the_image_needs() -> None:
    found = Jail("j", ("git",), find_program)
    manifest = resolve([("git", plugin.image(found, PLAIN))])
    (program, *_) = plugin.image(found, PLAIN).bare_programs
    assert manifest.get(JailPath(program)) is not None
