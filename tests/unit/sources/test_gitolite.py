"""What gitolite's rules come to, held against gitolite itself where it is installed."""

from __future__ import annotations

import base64
import random
import re
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from jailssh.config.rights import Table, read_rights
from jailssh.core.errors import ConfigError
from jailssh.gitolite import conf as gitolite_conf
from jailssh.gitolite import rc as gitolite_rc
from jailssh.gitolite import source as gitolite
from jailssh.plugin.api import Account, Grant
from jailssh.sources.found import Effect, Fate, Found, Person
from jailssh_plugins.rights import granted
from tests.abilities import GITOLITE
from tests.unit.jails_found import builds
from tests.unit.source_tools import AHost

GIT = Person("git", 1001, 1001, group="git", home="/srv/git", shell="/bin/bash", groups=("git",))
CONF = "/srv/git/.gitolite/conf/gitolite.conf"
KEYS = "/srv/git/.ssh/authorized_keys"
USERS = ("ann", "bob", "cat", "dan")
RC = "%RC = (\nROLES => {READERS => 1, WRITERS => 1},\nGIT_CONFIG_KEYS => 'x\\..*',\n);\n1;\n"
REFS = ("refs/heads/master", "refs/heads/dev/ann/x", "refs/heads/other", "refs/tags/v1", "refs/notes/x")


def a_key(number: int) -> str:
    """Return the type and the base64 text of a key."""
    kind, data = b"ssh-ed25519", bytes([number]) * 32
    blob = struct.pack(">I", len(kind)) + kind + struct.pack(">I", len(data)) + data
    return f"ssh-ed25519 {base64.b64encode(blob).decode()}"


def keys(*users: str) -> str:
    """Return a keys file as gitolite writes it."""
    command = 'command="/usr/share/gitolite3/gitolite-shell {}",no-port-forwarding,no-pty {} x\n'
    rows = [command.format(user, a_key(number)) for number, user in enumerate(users)]
    return "".join(["# gitolite start\n", *rows, "# gitolite end\n"])


def a_host(conf: str, repos: Mapping[str, Mapping[str, str]], more: Mapping[str, str], users: str) -> AHost:
    """Return a host with gitolite: repositories with the files in them, other files, and the text of the keys file."""
    files = {CONF: conf, KEYS: users, **more}
    for name, inside in repos.items():
        files |= {f"/srv/git/repositories/{name}.git/{file}": text for file, text in {"HEAD": "", **inside}.items()}
    hooks = {
        f"/srv/git/repositories/{name}.git/hooks/update": "/srv/git/.gitolite/hooks/common/update" for name in repos
    }
    return AHost([GIT], files, {f"/srv/git/repositories/{name}.git": (0o40755, 1001, 1001) for name in repos}, hooks)


def found(
    conf: str,
    repos: Mapping[str, Mapping[str, str]] | None = None,
    more: Mapping[str, str] | None = None,
    users: str = "",
) -> Found:
    """Return the account of gitolite's."""
    (one,) = gitolite.find(a_host(conf, repos or {"one": {}, "two": {}}, more or {}, users or keys(*USERS)))
    return one


def table(result: Found) -> list[str]:
    """Return the lines of the table of rights."""
    (text,) = result.files.values()
    return text.splitlines()[1:]


TABLES: tuple[tuple[str, list[str]], ...] = (
    ("repo one\n RW+ = ann\n R = bob # x\nrepo two\n RW+ = @all", ["read one bob", "write one ann", "write two @all"]),
    ("@dev = ann bob\n@all2 = @dev cat\nrepo one two\n RW+ = @dev\n R = @all2",
     ["read one cat", "write one @dev", "read two cat", "write two @dev"]),
    ("@r = one two\nrepo @r\nRW+ = dan", ["write one dan", "write two dan"]),
    ("repo t.*\nRW+ = dan\nrepo @all\nR = cat", ["read one cat", "read two cat", "write two dan"]),
    # What depends on the ref or on what is done is read only.
    ("repo one\nRW = ann\nRW+ = bob", ["read one ann", "write one bob"]),
    ("repo one\nRW+ master = ann\n- refs/tags/v = bob\nRW+ = bob", ["read one ann bob"]),
    ("repo one\nRW+ = bob\n- master = bob", ["write one bob"]),
    ("repo one\nRW+CD = ann\nRW+ = bob", ["read one bob", "write one ann"]),
    ("repo one\nRW+ = ann\nRW+ VREF/COUNT/5 = bob\n - VREF/NAME/x = ann\nRW+ = bob", ["read one ann bob"]),
    ("repo one\nRW+ = ann\n - NAME/secret = ann", ["read one ann"]),
    ("repo one\n- = ann\nRW+ = @all\noption deny-rules = 1", ["write one bob cat dan"]),
    ("repo one\n- = ann\nR = @all", ["read one @all"]),
    ("repo one\nRW+ = ann gitweb daemon", ["write one ann"]),
    ("repo one\nRW+ = ann\nnonsense\nRX = bob\n", ["write one ann"]),
    ("\ufeffrepo one\nRW+ = bob\nrepo one\r\nRW+ = ann\r\n", ["write one ann"]),
    ("= begin testconf\nrepo one\nRW+ = bob\n= end\nrepo one\nRW+ = ann", ["write one ann"]),
    ("repo gitolite-admin\nRW+ = ann\nrepo one\nR = ann # \"a\"", ["read one ann"]),
)  # fmt: skip


@pytest.mark.parametrize(("conf", "lines"), TABLES)
def test_rules_become_rights(conf: str, lines: list[str]) -> None:
    """A push is all or nothing; who may not send everything reads."""
    result = found(conf)
    assert result.fate is Fate.MIGRATE, result.remarks
    assert sorted(table(result)) == sorted(lines)
    builds(result)


WILD: tuple[tuple[str, dict[str, dict[str, str]], list[str]], ...] = (
    ("repo CREATOR/..*\nC = @all\nRW+ = CREATOR\nRW = WRITERS\nR = READERS",
     {"ann/x": {"gl-creator": "ann\n", "gl-perms": "READERS bob\nWRITERS cat\n# R dan\n"}},
     ["create ann/** ann", "create bob/** bob", "create cat/** cat", "create dan/** dan", "read ann/x bob cat",
      "write ann/x ann"]),
    ("repo push/..*\nC = ann\nRW+ = ann", {"push/a/b": {}}, ["create push/** ann", "write push/a/b ann"]),
    # Each may make one, and nobody may touch those of others: no right says that.
    ("repo push/..*\nC = @all\nRW+ = CREATOR", {"push/a": {"gl-creator": "bob"}}, ["write push/a bob"]),
    ("repo push/[a-z].*\nC = ann\nRW+ = ann", {}, []),
    ("repo push/..*\nC = ann\nRW+ = ann\nrepo push/x.*\n- = ann", {}, []),
    ("repo push/x\nRW = ann\nrepo push/..*\nC = ann\nRW = ann", {"push/x": {}}, ["read push/x ann"]),
    ("@g = a b\nrepo @g\nRW+ = ann", {"x": {"gl-repo-groups": "g"}}, ["write x ann"]),
    ("repo one\nRW+ = ann", {"one": {".gitolite.down": "x"}}, ["read one ann"]),
)  # fmt: skip


@pytest.mark.parametrize(("conf", "repos", "lines"), WILD)
def test_repositories_by_pattern(conf: str, repos: dict[str, dict[str, str]], lines: list[str]) -> None:
    """Those that there are get lines of their own, and making one is a right where it takes in no other's."""
    result = found(conf, repos)
    assert sorted(table(result)) == sorted(lines), result.remarks
    told = any(remark.effect is Effect.LOST and "no new repository" in remark.text for remark in result.remarks)
    assert told == (" C = " in conf.replace("\n", " ") and not any(line.startswith("create") for line in lines))


STOPS: tuple[tuple[str, dict[str, str], str, str], ...] = (
    ("repo one\nRW+ = a$b", {}, f"{CONF}:2", "not a user"),
    ("@a = @b", {}, f"{CONF}:1", "not defined"),
    ("repo one two;\nR = ann", {}, f"{CONF}:1", "not a repository"),
    ("include x.conf", {}, f"{CONF}:1", "in quotes"),
    ("include \"/etc/*.conf\"", {}, f"{CONF}:1", "not a file of"),
    ("include \"../*.conf\"", {}, f"{CONF}:1", "not a file of"),
    ("repo x(a*)*\nR = ann", {}, CONF, "can be judged"),
    ("repo [z-a]x\nR = ann", {}, CONF, "not valid"),
    ("x" * 70000, {}, f"{CONF}:1", "too long"),
    ("repo one\nR = ann\noption x = a;b", {}, f"{CONF}:3", "does not take"),
    ("repo one\nR = ann\nconfig a.b = c", {}, f"{CONF}:3", "GIT_CONFIG_KEYS"),
    ("repo one\nR = ann\ndesc = c", {}, f"{CONF}:3", "gitweb.description"),
    ("repo one\nR = ann", {"/srv/git/.gitolite.rc": "%RC = (\nPRE_GIT => [ 'x' ],\n);\n1;\n"},
     "/srv/git/.gitolite.rc:2", "PRE_GIT"),
    ("repo one\nR = ann", {"/srv/git/.gitolite.rc": "%RC = (\nENABLE => [\n'macros',\n],\n);\nunlink 1;\n"},
     "/srv/git/.gitolite.rc:3", "macros"),
    ("repo one\n- = @x\nR = ann", {"/srv/git/.gitolite.rc": "%RC = (\nGROUPLIST_PGM => '/bin/g',\n);\n"},
     "/srv/git/.gitolite.rc", "who is in a group"),
)  # fmt: skip


@pytest.mark.parametrize(("conf", "more", "where", "why"), STOPS)
def test_what_gitolite_or_nobody_can_read_is_left(conf: str, more: dict[str, str], where: str, why: str) -> None:
    """With the file and the line."""
    result = found(conf, None, more)
    assert (result.fate, result.settings, result.files) == (Fate.LEAVE, {}, {})
    assert result.remarks[-1].where == where and re.search(why, result.remarks[-1].text), result.remarks


def test_include_and_subconf() -> None:
    """Files by pattern, each once; a subconf has a say about the repositories of its group alone."""
    conf = '@sub = one\nsubconf "sub.conf"\ninclude "more/*.conf"\ninclude "gone.conf"\ninclude "more/a.conf"\n'
    more = {
        "sub.conf": "@g = bob\nrepo one two\nRW+ = @g\n",
        "more/a.conf": "repo two\nR = cat\ninclude 'more/a.conf'\n",
    }
    folder = CONF.rpartition("/")[0]
    result = found(conf, None, {f"{folder}/{name}": text for name, text in more.items()})
    assert table(result) == ["write one bob", "read two cat"]
    texts = [remark.text for remark in result.remarks]
    assert any("subconf sub cannot give" in text for text in texts)
    assert any("does not exist" in text for text in texts) and any("included already" in text for text in texts)


def test_keys_have_the_names_of_gitolite() -> None:
    """Several of one user, names with a domain, and what has no name in a key ring."""
    lines = keys("ann", "bob@example.com", "ann") + f"{a_key(8)} admin\n" + f"{a_key(0)} again\n"
    lines += f'from="10.0.0.1",command="gitolite-shell eve" {a_key(9)}\n\udcff\0\nbroken line\n'
    lines += f'verify-required,command="gitolite-shell eve" {a_key(10)}\n'
    result = found("repo one\nRW+ = ann bob@example.com eve", None, None, lines)
    assert {name: len(found) for name, found in result.named.items()} == {"ann": 2, "bob+example.com": 1}
    assert table(result) == ["write one ann bob+example.com"]
    told = {remark.where: remark.text for remark in result.remarks}
    assert "cannot have verify-required, so" in told[f"{KEYS}:11"]
    assert "none of gitolite's" in told[f"{KEYS}:6"] and "from=" in told[f"{KEYS}:8"] and "no key" in told[f"{KEYS}:9"]


def test_an_account_without_keys_or_of_root_is_left() -> None:
    """Nobody would log in."""
    assert found("repo one\nR = ann", None, None, "# none\n").fate is Fate.LEAVE
    host = AHost([Person("root", 0, 0, group="root", home="/srv/git", shell="/bin/sh")], {CONF: "", KEYS: keys("ann")})
    assert gitolite.find(host)[0].fate is Fate.LEAVE


def test_the_jail_takes_the_table() -> None:
    """What was written is read by the reader of tables."""
    rc = "%RC = (\n UMASK => 0077,\n ENABLE => [ 'info', 'ssh-authkeys', ],\n);\n1;\n"
    result = found("@dev = ann bob\nrepo one\nRW+ = @dev\nR = @all", None, {"/srv/git/.gitolite.rc": rc})
    ((path, text),) = result.files.items()
    errors: list[Exception] = []
    rows = read_rights(path, "x", {path: Table(path, text.encode())}, errors)  # type: ignore[arg-type]
    assert not errors and [row.text for row in rows] == table(result)
    assert result.settings["git"] == {"roots": ("~/repositories",), "rights": path, "archive": "yes"}
    assert result.groups == {"dev": ("ann", "bob")}
    assert any("own commands: info" in remark.text for remark in result.remarks)


def test_the_rc_file_of_debian_is_a_link() -> None:
    """To a file of root's; one of anybody else's is not followed."""
    rc = "%RC = (\n ENABLE => [\n 'no-auto-create', # x\n],\n);\n"
    host = a_host("repo x/..*\nC = ann\nRW+ = ann", {}, {"/etc/gitolite3/gitolite.rc": rc}, keys("ann"))
    for target, lines in (("/etc/gitolite3/gitolite.rc", []), ("/srv/git/rc", None), ("rc", None), ("/etc/none", None)):
        host.links = {"/srv/git/.gitolite.rc": target}
        (result,) = gitolite.find(host)
        assert (table(result) if result.files else None) == lines, result.remarks


RCS: tuple[tuple[str, str, str], ...] = (
    ("ENABLE => [ 'info', \"Shell ann\", 'D', ],", "info D", "what Shell ann does"),
    ("ENABLE => [\n 'renice 10', # 'macros'\n # 'Alias',\n qw(help desc),\n ],", "help desc", ""),
    # As gitolite 3.0 has it.
    ("COMMANDS =>\n {\n 'help' => 1,\n # 'D' => 1,\n },\nINPUT =>\n [\n # 'x',\n ],", "help", ""),
    ("POST_GIT => [ 'CI' ],\nPOST_COMPILE =>\n [\n 'post-compile/ssh-authkeys',\n ],", "", "what CI does (POST_GIT)"),
    ("LOCAL_CODE => \"$ENV{HOME}/local\",", "", "LOCAL_CODE"),
    ("PRE_GIT =>\n [\n 'pre-git'\n ],", "STOP", "PRE_GIT"),
    ("ACCESS_2 => [ 'x' ],", "STOP", "ACCESS_2"),
    ("NON_CORE => 'x',", "STOP", "NON_CORE"),
    ("GL_REPO_BASE => \"$x/r\",", "STOP", "no plain text"),
    ("GL_REPO_BASE => somewhere(),", "STOP", "no plain text"),
    ("SYNTACTIC_SUGAR =>\n [\n 'keysubdirs-as-groups',\n ],", "STOP", "rewrites"),
    ("); $UNSAFE_PATT = qr//;", "STOP", "no plain setting"),
)  # fmt: skip


@pytest.mark.parametrize(("text", "commands", "said"), RCS)
def test_the_rc_file(text: str, commands: str, said: str) -> None:
    """Plain settings are read; what could deny something by code stops it."""
    rc = gitolite_rc.read(f"# x\n%RC = (\n{text}\n);\n1;\n", "rc", "/srv/git")
    assert bool(rc.stop) == (commands == "STOP"), rc.stop
    assert rc.stop or rc.commands == commands.split()
    assert said in " ".join(why for _, why in (*rc.stop, *rc.lost))


def test_settings_of_the_rc_file() -> None:
    """Places, roles, and patterns of what may be configured."""
    text = "%RC = (\nGL_REPO_BASE => \"$ENV{HOME}/r/\",\nROLES =>\n {\n READERS => 1,\n 'OWNERS' => 1,\n },\n"
    text += "HOSTNAME => 'h',\nGIT_CONFIG_KEYS => 'hooks..* gitweb..*',\nGROUPLIST_PGM => '/bin/g',\n);\n"
    rc = gitolite_rc.read(text, "rc", "/srv/git")
    assert (rc.base, rc.roles, rc.hostname) == ("/srv/git/r", ("READERS", "OWNERS"), "h")
    assert (rc.config, rc.groups_program, rc.stop) == (("hooks..*", "gitweb..*"), "/bin/g", [])


def test_lines_as_gitolite_cleans_them() -> None:
    """Comments, but not within quotes."""
    assert gitolite_conf._cleaned(' a  =\tb "c#d" # e "f"') == 'a = b "c#d"'
    with pytest.raises(ConfigError):
        gitolite_conf._cleaned('"' * 30 + "#")


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
    refs = ["", "", "", "master", "refs/tags/v[0-9]", "dev/USER/", "refs/heads/", "VREF/COUNT/3", "refs/.*", "@refs"]
    perms = ["-", "R", "RW", "RW+", "RW+", "RWC", "RW+C", "RW+CD", "RWD", "RW+DC", "C", "RW+M"]
    out: list[str] = []
    for _ in range(chance.randint(1, 5)):
        out.append("repo " + " ".join(chance.sample(repos, chance.randint(1, 2))))
        for _ in range(chance.randint(1, 4)):
            who = " ".join(chance.sample(names, chance.randint(1, 3)))
            out.append(f"  {chance.choice(perms)} {chance.choice(refs)} = {who}")
        if chance.random() < 0.2:
            out.append(chance.choice(["option deny-rules = 1", "option deny-rules = 0", "config x.y = 1", "junk"]))
    return "".join(f"{line}\n" for line in out)


@pytest.mark.needs("gitolite")
def test_decisions_are_those_of_gitolite(tmp_path: Path) -> None:
    """Who may read is the same; who may push may do so to every ref, and who may not is refused something."""
    chance = random.Random(13)
    repos = {"one": {}, "two": {}, "a.b": {}, "axb": {}, "sub/x": {}, "t1": {}, "wild/w": {"gl-creator": "ann"},
             "ann/p": {"gl-creator": "ann\n", "gl-perms": "READERS bob\nWRITERS @ops\n"}}  # fmt: skip
    home = tmp_path / "home"
    pushed = 0
    for round_ in range(20):
        files = _files(chance)
        answers = _asked(home / str(round_), files, repos)
        conf = files["gitolite.conf"]
        folder = CONF.rpartition("/")[0]
        more = {f"{folder}/{name}": text for name, text in files.items()}
        result = found(conf, repos, {"/srv/git/.gitolite.rc": RC, **more})
        assert bool(answers) == (result.fate is Fate.MIGRATE), (conf, result.remarks)
        if not answers:
            continue
        lines = tuple(table(result))
        told = any(remark.effect is Effect.LOST and "depends on the ref" in remark.text for remark in result.remarks)
        for user in USERS:
            roles = {user, "@all", *(f"@{group}" for group, members in result.groups.items() if user in members)}
            given = granted(lines, ("/r",), Account("git", 1, 1, "git", "/h", roles=frozenset(roles)), "[git]")
            for repo in repos:
                reads, writes = (f"/r/{repo}" in given[right] for right in (Grant.READ, Grant.WRITE))
                theirs = [answers[repo, user, aa, ref] for ref in REFS for aa in "W+CD"]
                may = answers[repo, user, "W", "any"]
                assert reads == answers[repo, user, "R", "any"], (repo, user, files)
                assert not writes or (may and all(theirs)), (repo, user, files)
                if may and all(theirs) and not writes:
                    assert told, (repo, user, files)
                pushed += writes
    assert pushed > 50


def _asked(
    home: Path, confs: Mapping[str, str], repos: Mapping[str, Mapping[str, str]]
) -> dict[tuple[str, str, str, str], bool]:
    """Return gitolite's answers; none where it does not take the configuration."""
    (home / ".gitolite" / "conf").mkdir(parents=True)
    (home / ".gitolite" / "logs").mkdir()
    for name, text in confs.items():
        (home / ".gitolite" / "conf" / name).write_text(text)
    for name, files in repos.items():
        (home / "repositories" / f"{name}.git" / "hooks").mkdir(parents=True)
        update = home / "repositories" / f"{name}.git" / "hooks" / "update"
        update.symlink_to(home / ".gitolite" / "hooks" / "common" / "update")
        for file, text in files.items():
            (home / "repositories" / f"{name}.git" / file).write_text(text)
    (home / ".gitolite.rc").write_text(RC)
    asked = [(repo, user, "R", "any") for repo in repos for user in USERS]
    asked += [(repo, user, "W", "any") for repo in repos for user in USERS]
    asked += [(repo, user, aa, ref) for repo in repos for user in USERS for aa in "W+CD" for ref in REFS]
    script = Path(__file__).parent / "gitolite_oracle.pl"
    done = subprocess.run(
        ["perl", str(script), str(GITOLITE)],
        input="".join(" ".join(row) + "\n" for row in asked),
        env={"HOME": str(home), "PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=True,
    )
    head, *rows = done.stdout.splitlines()
    return dict(zip(asked, (row == "yes" for row in rows), strict=True)) if head == "compiled" else {}
