"""The configuration reader: values, origins, errors, combination."""

from __future__ import annotations

import gc
import time
from dataclasses import replace
from pathlib import Path

import pytest

from jailssh.config import files, jails, reader, rights, values
from jailssh.config.settings import JAIL, MAIN, USER
from jailssh.core.errors import ConfigError, HostError, JailsshError, ManyErrors
from jailssh.plugin.api import Account, Grant, Option, Right
from jailssh_plugins.rights import granted, on_references

OPTIONS = {
    "sftp": (Option("read_only", "bool", "no", "no writing"), Option("start", "path", "", "first directory")),
    "git": (Option("read", "paths", "", "r"), Option("write", "paths", "", "w")),
}


def options_of(name: str) -> tuple[Option, ...]:
    if name not in OPTIONS:
        raise ConfigError(f"plugin {name}", "does not exist")
    return OPTIONS[name]


def read(text: str, name: str = "j") -> jails.JailConfig:
    return jails.read_jail(name, reader.read_document(text, "j.conf"), options_of)


def fails(text: str) -> list[str]:
    with pytest.raises(JailsshError) as caught:
        read(text)
    return caught.value.lines()


def test_defaults_of_the_main_file() -> None:
    main = files.read_main("", "m.conf")
    assert (main.require_journal, main.build_timeout, main.min_uid) == (False, 60, 1000)
    assert {"root", "sudo", "wheel", "docker", "disk", "adm", "lxd", "incus", "libvirt", "shadow"} <= {
        *main.deny_groups
    }
    assert main.pam_services == ()
    assert {item.origin for item in main.items} == {"default"}


def test_every_default_fits_its_kind() -> None:
    for row in (*MAIN, *JAIL):
        assert values.parse(row.kind, row.default) is not None
        assert row.help
    assert all(row.help for row in USER)


def test_origins_name_file_and_line() -> None:
    main = files.read_main("# first\n\nbuild_timeout = 5   # short\n", "/etc/m.conf")
    shown = {name: (value, origin) for _, name, value, origin in reader.show(main.items)}
    assert shown["build_timeout"] == ("5", "/etc/m.conf:3")
    assert shown["min_uid"] == ("1000", "default")


def test_unknown_setting_names_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        files.read_main("biuld_timeout = 5\n", "m.conf")
    assert caught.value.lines() == [
        "jailssh: m.conf:1: unknown setting biuld_timeout",
        "hint: did you mean 'build_timeout'?",
    ]


def test_all_errors_in_one_pass() -> None:
    with pytest.raises(ManyErrors) as caught:
        files.read_main("min_uid = x\nnonsense = 1\nbuild_timeout = 0\n[extra]\n", "m.conf")
    text = "\n".join(caught.value.lines())
    for part in (
        "m.conf:1: min_uid",
        "m.conf:2: unknown setting nonsense",
        "m.conf:3: build_timeout",
        "m.conf:4: unkn",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a = 1\na = 2\n", "j.conf:2: the setting is a duplicate: a = 2"),
        ("[x\n", "j.conf:1: '[x' is neither a setting nor a section"),
        ("[x]\n[x]\n", "j.conf:2: section [x] is a duplicate"),
        ("[sftp]\n[[deep]]\n", "[sftp] contains a section [[deep]]"),
        ('message = """x\ny"""\n', "triple quotes"),
        ("plugins = sftp\nmessage = a, b\n", "j.conf:2: message: contains a comma"),
        ("plugins = sftp\nnetwork = some\n", "'some' is not one of: auto, none, loopback, outbound, host"),
        ("plugins = sftp\ntmp_size = 12Q\n", "not a size"),
        ("plugins = sftp\numask = 9\n", "not an octal"),
        ("plugins = sftp\nhostname = a_b\n", "not a host name"),
        ("plugins = sftp\n[limits]\nnofile = -1\n", "nofile: '-1' is not a number"),
        ("plugins = sftp\n[limits]\nnofiles = 1\n", "unknown setting [limits] nofiles"),
        ("plugins = sftp\n[git]\nread = /x\n", "unknown section [git]"),
        ("plugins = sftp\n[sftp]\nread_only = maybe\n", "j.conf:3: read_only: 'maybe' is not yes or no"),
        ("plugins = nosuch\n", "j.conf:1: plugin nosuch: does not exist"),
        ("summary = nothing\n", "required setting 'plugins' is missing"),
        ("plugins = git\n[git]\nread = /srv/a /srv/b\n", "separate several paths with commas"),
        ("plugins = git\n[git]\nread = /srv/../etc\n", "is not a plain absolute path or ~/…"),
        ("plugins = git\n[git]\nread = srv\n", "is not a plain absolute path or ~/…"),
        ('plugins = sftp\nmessage = "rings\x07"\n', "j.conf:2: message: contains a control character"),
        ("plugins = sftp\nextends = 'two words'\n", "j.conf:2: extends: 'two words' is not one plain word"),
    ],
)
def test_bad_jail_files(text: str, part: str) -> None:
    assert part in "\n".join(fails(text))


def fails_knowing(text: str) -> list[str]:
    with pytest.raises(JailsshError) as caught:
        jails.read_jail("j", reader.read_document(text, "j.conf"), options_of, OPTIONS)
    return caught.value.lines()


def test_a_misspelt_plugin_is_one_error_and_its_section_is_checked() -> None:
    assert fails_knowing("plugins = sfpt\n[sftp]\nread_only = yes\n") == [
        "jailssh: j.conf:1: plugin sfpt: does not exist", "hint: did you mean 'sftp'?",
    ]  # fmt: skip
    assert any("j.conf:3: read_only" in line for line in fails_knowing("plugins = sfpt\n[sftp]\nread_only = maybe\n"))


def test_a_section_of_a_plugin_that_is_not_listed_is_named_and_checked() -> None:
    lines = fails_knowing("plugins = git\n[sftp]\nread_only = maybe\n[sfpt]\n")
    assert "jailssh: j.conf:2: section [sftp] has no effect: plugins does not list sftp" in lines
    assert any("j.conf:3: read_only" in line for line in lines)
    place = lines.index("jailssh: j.conf:4: unknown section [sfpt]")
    assert lines[place + 1] == "hint: did you mean 'sftp'?"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            ConfigError("git", "not found on this host", hint="install git"),
            "j.conf:3 [git]: git: not found on this host",
        ),
        (
            ConfigError("[git]", "no directory is set", hint="as in: write = /srv"),
            "j.conf:3 [git]: no directory is set",
        ),
        (ConfigError("[git] write", "is wrong"), "j.conf:4 [git] write: is wrong"),
        (ConfigError("[git] read", "is wrong"), "j.conf:3 [git] read: is wrong"),
    ],
)
def test_what_a_plugin_refuses_is_located(error: ConfigError, said: str) -> None:
    found = jails.locate(read("plugins = git\n\n[git]\nwrite = /srv/git\n"), "git", error)
    assert str(found) == said
    assert found.hint == error.hint


def test_what_a_plugin_refuses_is_located_without_a_section_in_a_profile_and_in_a_union() -> None:
    error = ConfigError("git", "not found", hint="install git")
    assert str(jails.locate(read("plugins = git\n"), "git", error)) == "j.conf:1 [git]: git: not found"
    base = reader.read_document("plugins = git\n[git]\nread = /srv\n", "base.conf")
    mine = jails.extend(reader.read_document("extends = base\n", "mine.conf"), {"base": base})
    found = jails.locate(jails.read_jail("mine", mine, options_of), "git", error)
    assert found.what == "mine.conf (base.conf:2) [git]"
    both = jails.combine({"base": base, "sftp": jails.plugin_document("sftp")})
    assert jails.locate(jails.read_jail("u", both, options_of), "git", error).what == "base+sftp (base.conf:2) [git]"


def test_a_bare_plugin_that_needs_settings_is_told_to_be_a_jail_file() -> None:
    both = jails.combine({name: jails.plugin_document(name) for name in ("git", "sftp")})
    for document in (jails.plugin_document("git"), both):
        config = jails.read_jail("j", document, options_of)
        found = jails.locate(config, "git", ConfigError("[git]", "no directory is set", hint="as in: write = /srv/git"))
        assert str(found) == "plugin git [git]: no directory is set"
        assert '"plugins = git", "[git]" and "write = /srv/git" into /etc/jailssh/jails/my-git.conf' in found.hint


@pytest.mark.parametrize(
    "name", ["LD_PRELOAD", "GLIBC_TUNABLES", "PATH", "PYTHONPATH", "ld_audit", "HOME", "GIT_DIR", "BASH_ENV"]
)
def test_dangerous_variables_are_refused(name: str) -> None:
    assert "is not allowed: it can change what is executed" in fails(f"plugins = sftp\n[env]\n{name} = x\n")[0]


def test_not_utf8_and_nul() -> None:
    with pytest.raises(ConfigError, match="UTF-8"):
        reader.read_document(b"a = \xff\n", "x.conf")
    with pytest.raises(ConfigError, match="not a configuration"):
        reader.read_document("a = \0\n", "x.conf")


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\x0b", "\x0c", "\x85", "\x1c", "\x1d", "\x1e", "\r"])
def test_only_a_newline_ends_a_line(end: str) -> None:
    text = f"plugins = git\r\n# asked for: x{end}message = y{end}[git]{end}read = /srv/secret\n[git]\nread = /srv/git\n"
    jail = read(text)
    assert (jail.message, jail.options["git"]["read"]) == ("", ("/srv/git",))
    assert next(item.origin for item in jail.items if item.setting.name == "read") == "j.conf:4"


def test_a_jail_with_everything() -> None:
    jail = read(
        "plugins = sftp, git\nnetwork = host\ntmp_size = 1M\numask = 027\ngroups = a b\nmessage = 'x, y'\n"
        "[limits]\nnproc = 10\nfsize = 2K\ncore =\n[env]\nLANG = C.UTF-8\n[git]\nwrite = /srv/git/, ~/repos\n"
    )
    assert jail.plugins == ("git", "sftp")
    assert (jail.network, jail.tmp_size, jail.umask, jail.message) == ("host", 1 << 20, 0o27, "x, y")
    assert dict(jail.limits) == {"nproc": 10, "fsize": 2048, "nofile": 1024}
    assert jail.env == (("LANG", "C.UTF-8"),)
    assert dict(jail.options["git"]) == {"read": (), "write": ("/srv/git", "~/repos")}
    assert dict(jail.options["sftp"]) == {"read_only": False, "start": ""}
    assert jail.groups == ("a", "b")


def test_extends_overrides_key_by_key() -> None:
    base = reader.read_document("plugins = sftp\numask = 077\n[sftp]\nread_only = yes\nstart = /srv\n", "base.conf")
    mine = reader.read_document("extends = base\n[sftp]\nread_only = no\n", "mine.conf")
    jail = jails.read_jail("mine", jails.extend(mine, {"base": base}), options_of)
    assert jail.umask == 0o77
    assert dict(jail.options["sftp"]) == {"read_only": False, "start": "/srv"}
    origins = {item.setting.name: item.origin for item in jail.items}
    assert origins["read_only"] == "mine.conf:3"
    assert origins["start"] == "base.conf:5"
    other = reader.read_document("extends = base\nplugins = git\n[git]\nread = /x\n", "o.conf")
    assert jails.read_jail("o", jails.extend(other, {"base": base}), options_of).plugins == ("git",)
    with pytest.raises(ConfigError, match="shipped profile 'base' does not exist"):
        jails.extend(mine, {})


def test_combining_jails() -> None:
    one = reader.read_document("plugins = sftp\nsummary = one\numask = 077\n[sftp]\nread_only = yes\n", "one.conf")
    both = jails.combine({"one": one, "git": jails.plugin_document("git")}, options_of)
    jail = jails.read_jail("git+one", both, options_of)
    assert jail.plugins == ("git", "sftp")
    assert jail.umask == 0o77
    assert jail.options["sftp"]["read_only"] is True
    other = reader.read_document("plugins = sftp\n[sftp]\nread_only = no\n", "two.conf")
    with pytest.raises(ConfigError) as caught:
        jails.combine({"one": one, "two": other})
    assert caught.value.what == "jails one and two"
    assert "[sftp] read_only is set differently (one.conf:5 and two.conf:3)" in caught.value.why


@pytest.mark.parametrize(("written", "refused"), [("read_only = yes", True), ("read_only = off", False), ("", False)])
def test_a_setting_that_another_jail_leaves_at_its_default_does_not_win_in_silence(written: str, refused: bool) -> None:
    one = reader.read_document(f"plugins = sftp\n[sftp]\n{written}\n", "one.conf")
    both = {"one": one, "sftp": jails.plugin_document("sftp")}
    if not refused:
        assert jails.read_jail("u", jails.combine(both, options_of), options_of).options["sftp"]["read_only"] is False
        return
    with pytest.raises(ConfigError) as caught:
        jails.combine(both, options_of)
    assert caught.value.what == "jails one and sftp"
    assert "[sftp] read_only is set in one (one.conf:3) and left at its default in sftp" in caught.value.why


def test_packages_and_files_of_several_jails_are_put_together() -> None:
    one = reader.read_document("plugins = sftp\npackages = php-cli git\nfiles = '/opt/a b', /opt/c\n", "one.conf")
    two = reader.read_document("plugins = git\npackages = git\nfiles = /opt/c\n", "two.conf")
    config = jails.read_jail("u", jails.combine({"one": one, "two": two}, options_of), options_of)
    assert config.packages == ("git", "php-cli")
    assert config.files == ("/opt/a b", "/opt/c")


@pytest.mark.parametrize(("other", "shared"), [("", False), ("shared_directories = yes\n", True)])
def test_what_one_jail_says_of_its_pairs_is_not_said_of_those_with_another(other: str, shared: bool) -> None:
    one = reader.read_document("plugins = sftp\nshared_directories = yes\n", "one.conf")
    two = reader.read_document(f"plugins = git\n{other}", "two.conf")
    config = jails.read_jail("u", jails.combine({"one": one, "two": two}, options_of), options_of)
    assert config.shared_directories is shared


def test_user_file() -> None:
    user = files.read_user("uid = 1001\njail = sftp-only, git\n", "u.conf", "alice")
    assert (user.uid, user.jails) == (1001, ("git", "sftp-only"))
    assert files.read_user(files.user_text(1001, ("sftp-only", "git")), "u.conf", "alice").jails == user.jails
    for text, part in [
        ("jail = a\n", "required setting 'uid' is missing"),
        ("uid = 0\njail = a\n", "uid 0"),
        ("uid = 5\njail =\n", "jail is empty"),
        ("uid = 5\njail = ../x\n", "is not valid"),
    ]:
        with pytest.raises(ConfigError, match=part):
            files.read_user(text, "u.conf", "alice")


def test_which_jail_an_account_is_in() -> None:
    account = Account("alice", 1001, 1001, "alice", "/home/alice", groups=(("alice", 1001), ("staff", 50)))
    groups = {"a": ("staff",), "b": ("other",), "c": ("alice", "other")}
    assert jails.jails_of(account, None, groups) == ("a", "c")
    assert jails.jails_of(account, None, {"b": ("other",)}) == ()
    user = files.read_user("uid = 1001\njail = b\n", "u.conf", "alice")
    assert jails.jails_of(account, user, groups) == ("b",)
    assert jails.combined_name(("b", "a", "b")) == "a+b"


def test_shipped_profiles_are_complete() -> None:
    folder = Path(jails.__file__).parents[1] / "profiles"
    names = sorted(path.stem for path in folder.glob("*.conf"))
    shipped = "borg-backup git-hosting git-only hg hosting jump restic-append rsync-backup rsync-pull scp-sftp"
    assert names == [*shipped.split(), "sftp-dropbox", "sftp-only", "sftp-ro", "shell", "svn"]
    for path in folder.glob("*.conf"):
        document = reader.read_document(path.read_bytes(), path.name)
        assert document.entries[""]["summary"].raw
        assert document.entries[""]["plugins"].raw


TABLE = (Option("roots", "paths", "", "where"), Option("rights", "rights", "", "who"))


def read_table(text: str, table: bytes | JailsshError | None = None) -> jails.JailConfig:
    document = reader.read_document(f"plugins = git\n[git]\nroots = /srv/git\nrights = {text}\n", "j.conf")
    if table is not None:
        document = replace(document, tables={"/etc/r": rights.Table("/etc/r", table)})
    return jails.read_jail("j", document, lambda _: TABLE)


def table_faults(text: str, table: bytes | JailsshError | None = None) -> list[str]:
    with pytest.raises(JailsshError) as caught:
        read_table(text, table)
    return caught.value.lines()


def test_rights_in_the_jail_file_and_in_a_file_of_their_own() -> None:
    lines = ("write team/** @devs alice", "read * @all", "create /srv/git/new/*.git bob@EXAMPLE.ORG")
    here = read_table(", ".join(lines))
    assert here.options["git"]["rights"] == lines
    assert read_table("read x bob").options["git"]["rights"] == ("read x bob",)
    assert read_table("").options["git"]["rights"] == ()
    file = f"# who\n\n{lines[0]}\n\t{lines[1].replace(' ', '   ')}  # all of us\r\n{lines[2]}"
    there = read_table("/etc/r", file.encode())
    assert there.options["git"]["rights"] == lines
    (item,) = (item for item in there.items if item.setting.name == "rights")
    assert [line.origin for line in item.lines] == ["/etc/r:3", "/etc/r:4", "/etc/r:5"]
    shown = {name: (value, origin) for _, name, value, origin in reader.show(there.items)}
    assert shown["rights"] == ("/etc/r (3 lines)", "j.conf:4")
    assert {name: value for _, name, value, _ in reader.show(here.items)}["rights"] == "(3 lines)"


@pytest.mark.parametrize(
    ("line", "why", "hint"),
    [
        ("wirte x bob", "'wirte' is not a right", "did you mean 'write'?"),
        ("rw x bob", "'rw' is not a right", "one of: read, write, create; as in: write team/** @developers alice"),
        ("write", "'write' does not name a repository", "@all means everybody"),
        ("write x", "'write x' does not name a key or account", "@all means everybody"),
        ("write x # bob", "'write x' does not name a key or account", "@all means everybody"),
        ("write ../x bob", "'../x' is not a pattern: it has an empty component, '.' or '..'", "as in:"),
        ("write a//b bob", "'a//b' is not a pattern", "as in:"),
        ("write a/ bob", "'a/' is not a pattern", "as in:"),
        ("write / bob", "'/' is not a pattern", "as in:"),
        ("write ./a bob", "'./a' is not a pattern", "as in:"),
        ("write a/**/b bob", "'a/**/b' is not a pattern: ** is allowed only as the last component", "as in:"),
        ("write a** bob", "'a**' is not a pattern: ** is allowed only as the last component", "as in:"),
        ("write a? bob", "'a?' is not a pattern: it contains a character", "* matches part of one component"),
        ("write ~/a bob", "'~/a' is not a pattern", "as in:"),
        ("write a\u202eb bob", "is not a pattern", "as in:"),
        (f"write {'x' * 1025} bob", "is too long", "as in:"),
        ("write x -bob", "'-bob' is neither a name nor @group", "separate names with blanks"),
        ("write x @", "'@' is neither a name nor @group", "separate names with blanks"),
        ("write x bob;alice", "'bob;alice' is neither a name nor @group", "separate names with blanks"),
    ],
)
def test_bad_rights(line: str, why: str, hint: str) -> None:
    said = table_faults(line if "#" not in line else f"'{line}'")
    assert said[0].startswith("jailssh: j.conf:4: ")
    assert why in said[0]
    assert hint in said[1]
    said = table_faults("/etc/r", f"read ok bob\n\n{line}\n".encode())
    assert said[0].startswith("jailssh: /etc/r:3: ")


def test_every_bad_right_and_other_mistakes_in_one_pass() -> None:
    said = table_faults("/etc/r\nnonsense = 1", b"raed x bob\nread x bob\nread x bob,alice\n")
    assert [line.split(": ")[1] for line in said if line.startswith("jailssh")] == ["j.conf:5", "/etc/r:1", "/etc/r:3"]


def test_a_file_of_rights_that_cannot_be_read() -> None:
    error = HostError("file /etc/r", "writable by its group", hint="chmod g-w")
    assert table_faults("/etc/r", error) == [
        "jailssh: j.conf:4: file /etc/r: writable by its group", "hint: chmod g-w",
    ]  # fmt: skip
    assert "/etc/r:2: is not UTF-8 text" in table_faults("/etc/r", b"read x bob\nread \xff bob\n")[0]
    assert table_faults("/etc/r")[0] == "jailssh: j.conf:4: /etc/r: is not allowed here, only in a jail file"


def test_what_a_plugin_says_of_a_right_names_its_line() -> None:
    config = read_table("/etc/r", b"# x\nread /home/x bob\n")
    found = jails.locate(config, "git", ConfigError("[git]: read /home/x bob", "is below no root"))
    assert found.what == "j.conf (/etc/r:2) [git]: read /home/x bob"


def test_rights_of_extended_and_combined_jails() -> None:
    table = {"/etc/r": rights.Table("/etc/r", b"read x bob\n")}
    mine = replace(reader.read_document("extends = base\n[git]\nrights = /etc/r\n", "j.conf"), tables=table)
    base = reader.read_document("plugins = git\n[git]\nroots = /srv\n", "base.conf")
    both = jails.combine({"j": jails.extend(mine, {"base": base}), "sftp": jails.plugin_document("sftp")})
    config = jails.read_jail("j+sftp", both, lambda name: TABLE if name == "git" else ())
    assert config.options["git"]["rights"] == ("read x bob",)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("push x bob", "'push' does not say which references, below refs/"),
        ("delete x bob", "'delete' does not say which references"),
        ("write x refs/heads/** bob", "'write' is a right to a repository, not to references"),
        ("rewind x refs/heads/**", "does not name a key or account"),
        ("create x refs/heads/**/a bob", "is allowed only as the last component"),
        ("create x refs/heads//a bob", "an empty component"),
        ("create x refs/ bob", "an empty component"),
        ("create x refs/heads/a?b bob", "a character that is not allowed"),
        ("create x refs/a refs/b bob", "'refs/b' is neither a name nor @group"),
        ("rewnd x refs/a bob", "did you mean 'rewind'"),
    ],
)
def test_wrong_rights_to_references(line: str, why: str) -> None:
    assert why in " ".join(table_faults("/etc/r", f"read y bob\n{line}\n".encode()))
    assert "/etc/r:2: " in table_faults("/etc/r", f"read y bob\n{line}\n".encode())[0]


def test_rights_to_references_are_lines_of_the_table() -> None:
    lines = ("push x refs/heads/ä-* bob", "create y @all", "create y refs/tags/** @all", "deny z refs/** bob")
    found = read_table("/etc/r", "\n".join(lines).encode()).options["git"]["rights"]
    assert found == lines
    assert [(each.right, each.ref, each.on_ref, each.who) for each in map(Right.of, lines)] == [
        ("write", "refs/heads/ä-*", "push", ("bob",)),
        ("create", "", None, ("@all",)),
        ("write", "refs/tags/**", "create", ("@all",)),
        ("read", "refs/**", "deny", ("bob",)),
    ]


@pytest.mark.alone
def test_a_hundred_thousand_rights_to_references_are_compiled_at_once() -> None:
    data = "".join(f"push team/r{n} refs/heads/main user{n % 5000}\n" for n in range(100_000)).encode()
    account = Account("git", 1, 1, "git", "/home/git", roles=frozenset(("@all", "user7")))
    errors: list[JailsshError] = []
    gc.freeze()  # what other tests have left is not looked through
    start = time.process_time()
    found = rights.read_rights("/etc/r", "j.conf:4", {"/etc/r": rights.Table("/etc/r", data)}, errors)
    lines = tuple(line.text for line in found)
    writes = granted(lines, ("/srv/git",), account, "[git]", refs=True)[Grant.WRITE]
    mine = on_references(lines, ("/srv/git",), account, "[git]", writes)
    spent = time.process_time() - start
    gc.unfreeze()
    assert spent < 1.5
    assert (len(found), errors, len(writes), len(mine)) == (100_000, [], 20, 20)


@pytest.mark.alone
def test_two_thousand_rights_are_read_quickly() -> None:
    rows = (
        f"write team{number % 50}/project{number}.git @group{number % 20} someone{number}" for number in range(2000)
    )
    data = "\n".join(rows).encode()
    times = []
    for _ in range(5):
        errors: list[JailsshError] = []
        start = time.process_time()
        found = rights.read_rights("/etc/r", "j.conf:4", {"/etc/r": rights.Table("/etc/r", data)}, errors)
        times.append(time.process_time() - start)
        assert (len(found), errors) == (2000, [])
    assert min(times) < 0.02


@pytest.mark.parametrize(
    ("wide", "narrow", "covered"),
    [
        ("team/*", "team/*", True),
        ("**", "team/*", True),
        ("**", "**", True),
        ("*", "**", False),
        ("team/*", "team/x", True),
        ("team/*", "team/x/y", False),
        ("team/*", "tea/x", False),
        ("team/**", "team/x/y", True),
        ("team/**", "team", False),
        ("team/**", "team/*/**", True),
        ("team/*/**", "team/**", False),
        ("t*/x", "team/x", True),
        ("t*m/*", "te*m/a*", True),
        ("te*m/a*", "t*m/*", False),
        ("a+*", "aab", False),
        ("/srv/git/**", "/srv/git/new/*", True),
    ],
)
def test_which_pattern_covers_which(wide: str, narrow: str, *, covered: bool) -> None:
    assert rights.covers(wide, narrow) is covered


@pytest.mark.parametrize(
    "line", ["[" * 100_000, "[ " * 50_000, " " * 50_000 + "x", "[a]" + " " * 50_000 + "x", "\t" * 50_000]
)
def test_a_line_that_would_take_the_parser_hours(line: str) -> None:
    with pytest.raises(ConfigError, match=r"^f:2: is too long for a section, or begins with too many blanks"):
        reader.read_document(f"# one\n{line}\n", "f")
