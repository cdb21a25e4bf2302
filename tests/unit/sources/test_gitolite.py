"""What gitolite's rules come to."""

from __future__ import annotations

import re

import pytest

from jailssh.config.rights import Table, read_rights
from jailssh.core.errors import ConfigError
from jailssh.gitolite import conf as gitolite_conf
from jailssh.gitolite import rc as gitolite_rc
from jailssh.gitolite import source as gitolite
from jailssh.sources.found import Effect, Fate, Person
from tests.unit.jails_found import builds
from tests.unit.source_tools import AHost
from tests.unit.sources.gitolite_lab import CONF, KEYS, a_host, a_key, found, keys, table


def _given(repo: str, rights: str, refs: str, who: str) -> list[str]:
    """Return the lines of one rule."""
    return [f"{right} {repo} {ref} {who}" for right in rights.split() for ref in refs.split()]


def _all(repo: str, who: str) -> list[str]:
    return _given(repo, "rewind create delete", "refs/**", who)


TABLES: tuple[tuple[str, list[str]], ...] = (
    ("repo one\n RW+ = ann\n R = bob # x\nrepo two\n RW+ = @all", ["read one bob", "write one ann", "write two @all"]),
    ("@dev = ann bob\n@all2 = @dev cat\nrepo one two\n RW+ = @dev\n R = @all2",
     ["read one cat", "write one @dev", "read two cat", "write two @dev"]),
    ("@r = one two\nrepo @r\nRW+ = dan", ["write one dan", "write two dan"]),
    ("repo t.*\nRW+ = dan\nrepo @all\nR = cat", ["read one cat", "read two cat", "write two dan"]),
    # What depends on the ref or on what is done; a check looks at what is pushed.
    ("repo one\nRW = ann\nRW+ = bob", _given("one", "push create", "refs/**", "ann") + _all("one", "bob")),
    ("repo one\nRW+ master = ann\n- refs/tags/v = bob\nRW+ = bob",
     _given("one", "rewind create delete", "refs/heads/master* refs/heads/master*/**", "ann")
     + _given("one", "deny", "refs/tags/v* refs/tags/v*/**", "bob") + _all("one", "bob")),
    ("repo one\nRW+ = bob\n- master = bob", ["write one bob"]),
    ("repo one\nRW+CD = ann\nRW+ = bob", _all("one", "ann") + _given("one", "rewind", "refs/**", "bob")),
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
    """Of a repository, and of its references where these make a difference."""
    result = found(conf)
    assert result.fate is Fate.MIGRATE, result.remarks
    assert sorted(table(result)) == sorted(lines)
    builds(result)


REFERENCES: tuple[tuple[str, list[str], tuple[str, str]], ...] = (
    # Of each: the rules of one repository, its lines, and where and what is said of it.
    ("RW+ dev/USER/ = @devs\nR = @all",
     ["read one cat dan", *_given("one", "rewind create delete", "refs/heads/dev/ann/**", "ann"),
      *_given("one", "rewind create delete", "refs/heads/dev/bob/**", "bob")], ("", "")),
    ("- master$ = @devs\nRW+ = @devs", [*_given("one", "deny", "refs/heads/master", "@devs"), *_all("one", "@devs")],
     ("", "")),
    # The order decides: who is given first is not denied, and the group is denied as a group.
    ("RW+ = bob\n- refs/tags/ = @devs\nRW = @devs",
     [*_all("one", "bob"), "deny one refs/tags/** @devs", *_given("one", "push create", "refs/**", "ann")], ("", "")),
    ("- refs/tags/ = @all\nRW = @all", ["deny one refs/tags/** @all", *_given("one", "push create", "refs/**", "@all")],
     ("", "")),
    ("RWC v[12]$ = ann\nRWD pu/ = bob",
     [*_given("one", "push create", "refs/heads/v1 refs/heads/v2", "ann"),
      *_given("one", "push delete", "refs/heads/pu/**", "bob")], ("", "")),
    ("RW+ = ann\nRW VREF/COUNT/5 = bob\nRW = bob", ["read one bob", "write one ann"],
     (":3", "right does: bob can read")),
    ("RW fix-[0-9]+-a = ann\nRW x = ann", ["create one refs/heads/x* ann", "create one refs/heads/x*/** ann",
                                          "push one refs/heads/x* ann", "push one refs/heads/x*/** ann"],
     (":2", "RW refs/heads/fix-[0-9]+-a: no pattern")),
    ("RW x$ = ann\n- .*-old$ = ann\nRW+ = ann", _given("one", "push create", "refs/heads/x", "ann"),
     (":3", "ann do not get what the rules below it give in one")),
    ("RW a|b = ann", ["read one ann"], (":2", "no pattern")),
    ("RW v1.0$ = ann", _given("one", "push create", "refs/heads/v1.0", "ann"), (":2", "each dot is now a dot")),
    ("- v1.0$ = ann\nRW+ = ann",
     [*_given("one", "deny", "refs/heads/v1*0 refs/heads/v1/0", "ann"), *_all("one", "ann")],
     (":2", "takes more away")),
    ("RW+M x$ = ann\nRW = ann",
     [*_given("one", "rewind create delete", "refs/heads/x", "ann"), "create one refs/** ann"], (":3", "merges")),
    # A rule that adds nothing to one that gives everything, and what cannot be said of it.
    ("RW fix-[0-9]+-a = ann\nRW+ = ann\nRW = bob",
     [*_all("one", "ann"), *_given("one", "push create", "refs/**", "bob")], ("", "")),
)  # fmt: skip


@pytest.mark.parametrize(("rules", "lines", "said"), REFERENCES)
def test_rules_for_references(rules: str, lines: list[str], said: tuple[str, str]) -> None:
    """Each becomes lines in its place; what cannot be said is named, and never gives more."""
    groups = "@devs = ann bob; " if "@devs" in rules else ""
    result = found(f"{groups and '@devs = ann bob'}\nrepo one\n{rules}".lstrip("\n"), {"one": {}})
    place, text = said
    if groups and place:
        place = f":{int(place[1:]) + 1}"
    assert sorted(table(result)) == sorted(lines)
    told = [
        (each.where, each.text)
        for each in result.remarks
        if re.search("no pattern|right does|dot is|merges", each.text)
    ]
    assert [where for where, _ in told] == ([f"{CONF}{place}"] if place else []), told
    assert not place or text in told[0][1]
    builds(result)


def test_the_order_of_lines_is_that_of_the_rules() -> None:
    """Since the first decides."""
    result = found("repo one\n- a$ = ann\nRW a$ b$ = ann\n- b$ = ann\nRW+ = ann", {"one": {}})
    lines = table(result)
    place = {line: number for number, line in enumerate(lines)}
    order = ["deny one refs/heads/a ann", "push one refs/heads/a ann", "push one refs/heads/b ann",
             "deny one refs/heads/b ann", "rewind one refs/** ann"]  # fmt: skip
    assert [place[line] for line in order] == sorted(place[line] for line in order)


def test_more_lines_than_a_key_can_have_leave_the_references_out() -> None:
    """Who may not push everything reads, and it is said."""
    repos: dict[str, dict[str, str]] = {f"r{number}": {} for number in range(20)}
    long = "x" * 200
    result = found(f"repo @all\nRW+ = ann\nRW {long}[0-9] {long}y[0-9] = bob", repos)
    assert {line.split()[0] for line in table(result)} == {"read", "write"}
    assert any("more lines about references" in remark.text for remark in result.remarks)


WILD: tuple[tuple[str, dict[str, dict[str, str]], list[str]], ...] = (
    ("repo CREATOR/..*\nC = @all\nRW+ = CREATOR\nRW = WRITERS\nR = READERS",
     {"ann/x": {"gl-creator": "ann\n", "gl-perms": "READERS bob\nWRITERS cat\n# R dan\n"}},
     ["create ann/** ann", "create bob/** bob", "create cat/** cat", "create dan/** dan", "read ann/x bob",
      *_all("ann/x", "ann"), *_given("ann/x", "push create", "refs/**", "cat")]),
    ("repo push/..*\nC = ann\nRW+ = ann", {"push/a/b": {}}, ["create push/** ann", "write push/a/b ann"]),
    # Each may make one, and nobody may touch those of others: no right says that.
    ("repo push/..*\nC = @all\nRW+ = CREATOR", {"push/a": {"gl-creator": "bob"}}, ["write push/a bob"]),
    ("repo push/[a-z].*\nC = ann\nRW+ = ann", {}, []),
    ("repo push/..*\nC = ann\nRW+ = ann\nrepo push/x.*\n- = ann", {}, []),
    ("repo push/x\nRW = ann\nrepo push/..*\nC = ann\nRW = ann", {"push/x": {}},
     _given("push/x", "push create", "refs/**", "ann")),
    ("@g = a b\nrepo @g\nRW+ = ann", {"x": {"gl-repo-groups": "g"}}, ["write x ann"]),
    ("repo one\nRW+ = ann", {"one": {".gitolite.down": "x"}}, ["read one ann"]),
)  # fmt: skip


@pytest.mark.parametrize(("conf", "repos", "lines"), WILD)
def test_repositories_by_pattern(conf: str, repos: dict[str, dict[str, str]], lines: list[str]) -> None:
    """Those that there are get lines of their own, and making one is a right where it takes in no other's."""
    result = found(conf, repos)
    assert sorted(table(result)) == sorted(lines), result.remarks
    told = any(remark.effect is Effect.LOST and "no new repository" in remark.text for remark in result.remarks)
    makes = any(line.startswith("create") and " refs/" not in line for line in lines)
    assert told == (" C = " in conf.replace("\n", " ") and not makes)


STOPS: tuple[tuple[str, dict[str, str], str, str], ...] = (
    ("repo one\nRW+ = a$b", {}, f"{CONF}:2", "not a user"),
    ("@a = @b", {}, f"{CONF}:1", "not defined"),
    ("repo one two;\nR = ann", {}, f"{CONF}:1", "not a repository"),
    ("include x.conf", {}, f"{CONF}:1", "in quotes"),
    ("include \"/etc/*.conf\"", {}, f"{CONF}:1", "not a file of"),
    ("include \"../*.conf\"", {}, f"{CONF}:1", "not a file of"),
    ("repo x(a*)*\nR = ann", {}, CONF, "can be judged"),
    ("repo [z-a]x\nR = ann", {}, CONF, "not valid"),
    ("repo one\nR = ann\nRW x[z-a] = bob", {}, f"{CONF}:3", "not valid"),
    ("repo one\nR = ann\nRW x{ = bob", {}, f"{CONF}:3", "not valid"),
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
    rc = "%RC = (\n UMASK => 0077,\n ENABLE => [ 'info', 'symbolic-ref', 'desc', 'help', 'ssh-authkeys', ],\n);\n1;\n"
    result = found("@dev = ann bob\nrepo one\nRW+ = @dev\nR = @all", None, {"/srv/git/.gitolite.rc": rc})
    ((path, text),) = result.files.items()
    errors: list[Exception] = []
    rows = read_rights(path, "x", {path: Table(path, text.encode())}, errors)  # type: ignore[arg-type]
    assert not errors and [row.text for row in rows] == table(result)
    git = {"roots": ("~/repositories",), "rights": path, "archive": "yes", "commands": ("info", "list", "set-head")}
    assert result.settings["git"] == git
    assert result.groups == {"dev": ("ann", "bob")}
    assert any(remark.text == "commands of gitolite: desc" for remark in result.remarks)


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
