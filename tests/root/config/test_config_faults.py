"""Mistakes in jail files: the command names file, line and cure, tells all of them at once, and stops nobody else."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.keys import public_key
from tests.root.site_lab import Site, site

__all__ = ["site"]

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("git"), pytest.mark.needs("sshd")]


def test_a_configuration_without_mistakes(site: Site) -> None:
    site.put("jails/own.conf", "plugins = sftp other\n[limits]\nmax_sessions = 2\n")
    done = site.run("config", "check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("no errors in ")


ROWS: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "unknown key": (
        "plugins = sftp\n[sftp]\nread_onyl = yes\n",
        [("{}:3: unknown setting [sftp] read_onyl", "did you mean 'read_only'?")],
    ),
    "unknown limit": (
        "plugins = sftp\n[limits]\nhuors = daily 08:00-09:00\n",
        [("{}:3: unknown setting [limits] huors", "did you mean 'hours'?")],
    ),
    "unknown section": ("plugins = sftp\n[limit]\n", [("{}:2: unknown section [limit]", "did you mean 'limits'?")]),
    "package that is not installed": (
        "plugins = sftp\npackages = bash no-such\n",
        [("{}:2: packages: package no-such is not installed", "apt-get install no-such, or remove its name")],
    ),
    "files that are not there": (
        "plugins = sftp command\nfiles = /etc/hostname, /no/such\n[command]\ncommands = true\nfiles = /no/more\n",
        [
            ("{}:2: files: /no/such is not on this host", "correct the path, or remove it"),
            ("{}:5: [command] files: /no/more is not on this host", "correct the path, or remove it"),
        ],
    ),
    "files below the home": ("plugins = sftp\nfiles = ~/x\n", [("{}:2: files: ~/x is not a plain absolute path", "")]),
    "unknown plugin": ("plugins = sfpt\n", [("{}:1: plugin sfpt: does not exist", "did you mean 'sftp'?")]),
    "unknown class": (
        "plugins = sftp\n[limits]\nbandwidth = slow\n",
        [("{}:3: bandwidth: class 'slow' does not exist", "as in: slow = 512K")],
    ),
    "plugin that raises": (
        "plugins = sftp unruly\n",
        [("{}:1 [unruly]: plugin unruly: raised RuntimeError: boom\\x0aand more", "the plugin is at fault at ")],
    ),
    "plugin that ends the program": (
        "plugins = ending\n\n[ending]\n",
        [("{}:3 [ending]: plugin ending: raised SystemExit: 0", "ending_plugin.py:8: correct it, or do not use it")],
    ),
    "plugin whose exception has no text": (
        "plugins = textless\n",
        [("{}:1 [textless]: plugin textless: raised Textless", "the plugin is at fault")],
    ),
    "plugin that answers nothing": (
        "plugins = late\n",
        [("{}:1 [late]: plugin late: returned a wrong type: result is NoneType, not PluginResult", "correct it")],
    ),
    "plugin that answers nonsense": (
        "plugins = odd\n",
        [("{}:1 [odd]: plugin odd: returned a wrong type: rules[0].short_flags is int, not str", "correct it")],
    ),
    "plugin that cannot be imported": (
        "plugins = broken\n",
        [
            (
                "{}:1: plugin broken: cannot be loaded: ModuleNotFoundError: No module named 'no_such_module'",
                "correct it, or do",
            )
        ],
    ),
    "plugin that ends the program when imported": (
        "plugins = import-ends\n",
        [("{}:1: plugin import-ends: cannot be loaded: SystemExit: 0", "correct it, or do not use it")],
    ),
    "plugin with an option of an unknown kind": (
        "plugins = kinds\n",
        [("{}:1: plugin kinds: option 'list' has the unknown kind 'colour'", "the plugin is at fault, not")],
    ),
    "plugin with an impossible default": (
        "plugins = defaults\n",
        [("{}:1: plugin defaults: default of option 'list': 'many' is not a number", "the plugin is at fault, not")],
    ),
    "two plugins, one first word": (
        "plugins = other twin\n[other]\n\n[twin]\n",
        [("{0}:2 [other] and {0}:4 [twin]: rules other.true and twin.true: both claim 'true'", "use only one of the")],
    ),
    "two plugins, one first word, no sections": (
        "plugins = sftp other twin\n",
        [("{0}:1 [other] and {0}:1 [twin]: rules other.true and twin.true: both claim 'true'", "use only one of the")],
    ),
    "root that does not exist": (
        "plugins = git rsync\n[git]\nwrite = /srv/no-such\n[rsync]\nread = /srv\nwrite = /srv/no/rsync\n",
        [
            ("{}:3 [git] write: '/srv/no-such' is not a directory", "mkdir -p /srv/no-such"),
            ("{}:6 [rsync] write: '/srv/no/rsync' is not a directory", "mkdir -p /srv/no/rsync"),
        ],
    ),
    "table that does not exist": (
        "plugins = git\n[git]\nroots = /srv\nrights = /etc/jailssh/rights/gone\n",
        [("{}:4: table of rights ", "write it, one right in a line")],
    ),
    "pattern below no root": (
        "plugins = git\n[git]\nroots = /srv\nrights = read /home/x bob, read y @all\n",
        [
            (
                "{}:4 [git] rights: read /home/x bob: /home/x is not below roots: /srv",
                "add a directory above it to roots",
            )
        ],
    ),
}


def expect(lines: list[str], path: str, wanted: list[tuple[str, str]]) -> None:
    """Each error is there, with its hint behind it."""
    for start, hint in wanted:
        (place,) = (at for at, line in enumerate(lines) if line.startswith(f"jailssh: {start.format(path)}"))
        if hint:
            assert lines[place + 1].startswith("hint: ")
            assert hint in lines[place + 1]


@pytest.mark.parametrize("what", ROWS)
def test_a_mistake_is_named_with_file_line_and_cure(site: Site, what: str) -> None:
    text, wanted = ROWS[what]
    path = site.put("jails/own.conf", text)
    lines = site.check()
    expect(lines, path, wanted)
    assert len([line for line in lines if line.startswith("jailssh: ")]) == len(wanted)


def test_all_mistakes_of_all_jails_at_once_and_the_rest_goes_on(site: Site) -> None:
    site.put("users/nobody.conf", "uid = 65534\njail = sftp-only\n")
    done = site.run("apply")
    assert done.returncode == 0, done.stderr
    assert os.path.exists(f"{site.layout.plans}/65534")
    site.put("users/nobody.conf", "uid = 65534\njail = sftp-ro\n")
    wanted = []
    for number, (text, errors) in enumerate(ROWS.values()):
        path = site.put(f"jails/own{number}.conf", text)
        wanted += [(start.format(path), hint) for start, hint in errors]
    lines = site.check()
    expect(lines, "", wanted)
    before = site.tree()
    done = site.run("apply")
    assert done.returncode == 1
    expect(done.stderr.splitlines(), "", wanted)
    assert "jail sftp-ro" in done.stdout
    after = site.tree()
    changed = {path for path in after if before.get(path) != after[path] and path.startswith(f"{site.layout.plans}/")}
    assert changed - {f"{site.layout.plans}/.lock"} == {f"{site.layout.plans}/65534"}


def test_jails_beside_a_broken_one_can_still_be_shown(site: Site) -> None:
    site.put("jails/bad.conf", "plugins = unruly broken\n")
    site.put("jails/good.conf", "plugins = sftp\n[limits]\nhours = mon-fri 08:00-18:00\n")
    done = site.run("config", "show", "good")
    assert done.returncode == 0
    assert "mon-fri 08:00-18:00" in done.stdout
    done = site.run("config", "show", "bad")
    assert done.returncode == 1
    assert "bad.conf:1: plugin broken: cannot be loaded" in done.stderr


@pytest.fixture
def repositories() -> Iterator[Path]:
    """A directory with repositories, where one may be shown: not below /tmp."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))
    for name in ("team/one.git", "team/two.git", "tool.git"):
        (folder / name).mkdir(parents=True)
        (folder / name / "HEAD").write_text("ref: refs/heads/main\n")
    yield folder
    shutil.rmtree(folder)


def test_what_holds_for_an_account_is_shown_with_where_it_comes_from(site: Site) -> None:
    jail = site.put(
        "jails/own.conf", "plugins = sftp\ngroups = backup\n[limits]\nmax_sessions = 3\nidle_timeout = 30m\n"
    )
    user = site.put("users/nobody.conf", "uid = 65534\njail = own\n[limits]\nmax_sessions = 1\n"
                    "hours = mon-fri 08:00-18:00\n[groups]\ndevs = bob, carol\n")  # fmt: skip
    site.put("jailssh.conf", "min_uid = 30\n")
    rows = {
        "uid": f"= 65534                     # {user}:1",
        "jail": f"= own                       # {user}:2",
        "[groups] devs": f"= bob, carol                # {user}:7",
        "plugins": f"= sftp                      # {jail}:1",
        "[limits] max_sessions": f"= 1                         # {user}:4",
        "[limits] idle_timeout": f"= 30m                       # {jail}:5",
        "[limits] hours": f"= mon-fri 08:00-18:00       # {user}:5",
        "[limits] nofile": "= 1024                      # default",
    }
    for argv in (("nobody",), ("--user", "nobody")):
        done = site.run("config", "show", *argv)
        assert (done.returncode, done.stderr) == (0, "")
        shown = {line.partition(" =")[0].rstrip(): line[line.index("= ") :] for line in done.stdout.splitlines()}
        assert {name: shown.get(name) for name in rows} == rows
        assert len(done.stdout.splitlines()) == len(shown)
    # One that is in the jail by its Unix group, and one that is in none.
    facts = json.loads(site.run("--json", "config", "show", "backup").stdout)
    assert {"section": "", "name": "jail", "value": "own", "origin": f"by its Unix groups: {jail}:2"} in facts
    assert {"section": "limits", "name": "max_sessions", "value": "3", "origin": f"{jail}:4"} in facts
    assert "account mail: is not in a jail" in site.run("config", "show", "mail").stderr
    assert "jail no-such: does not exist" in site.run("config", "show", "no-such").stderr
    # A jail goes before an account of its name, which is told.
    site.put("jails/nobody.conf", "plugins = scp\n")
    done = site.run("config", "show", "nobody")
    assert "scp" in done.stdout
    assert done.stderr == "note: an account has the same name; to show it: jailssh config show --user nobody\n"
    assert f"# {user}:1" in site.run("config", "show", "--user", "nobody").stdout


def test_rights_to_nothing_and_of_nobody(site: Site, repositories: Path) -> None:
    folder = repositories
    table = (
        "read tool.git nobody\n"  # 1
        "write toool nobody\n"
        "read team nobody\n"
        "read team/* @nogroup\n"  # 4
        "read teem/* nobody\n"
        "read team/** @all\n"
        "read team/*/** nobody\n"  # 7
        "create new/* nobody\n"
        "read tool.git nobdy @nogrup\n"
        f"write {folder}/team/two.git nobody\n"  # 10
        "read t*.git nobody www-data\nread tool nobody\nread te*/one nobody\n"
        "write gone nobody\n"
    )
    rights = site.put("rights/git", table)
    site.put("jails/own.conf", f"plugins = git\n[git]\nroots = {folder}\nrights = /etc/jailssh/rights/git\n")
    site.put("users/nobody.conf", "uid = 65534\njail = own\n")
    lines = site.check()
    wanted = [
        ("{}:2: repository " + f"{folder}/toool does not exist", "did you mean 'tool.git'?"),
        ("{}:3: " + f"{folder}/team is not a git repository", "for repositories in it, write team/* or team/**"),
        (
            "{}:5: teem/* does not match a repository yet: " + f"{folder}/teem is not a directory",
            "did you mean 'team'?",
        ),
        ("{}:7: team/*/** does not match a repository yet", f"or create one: git init --bare {folder}/team/NAME.git"),
        ("{}:8: " + f"'{folder}/new' is not a directory", f"install -d -o nobody -g nogroup -m 755 {folder}/new"),
        ("{}:9: unknown account 'nobdy' in this jail", "did you mean 'nobody'?"),
        ("{}:9: unknown group '@nogrup' in this jail", "did you mean '@nogroup'?"),
        (
            "{}:10: account nobody cannot write to the repository " + f"{folder}/team/two.git",
            f"chown -R nobody:nogroup {folder}/team/two.git",
        ),
        ("{}:14: repository " + f"{folder}/gone does not exist", f"git init --bare {folder}/gone"),
    ]
    expect(lines, rights, wanted)
    assert len(lines) == 2 * len(wanted)
    # They stop nobody: repositories come and go.  They are told beside what is done.
    told = [line.replace("jailssh: ", "note: ", 1) for line in lines]
    for argv in (("apply", "--dry-run"), ("apply",), ("apply", "--json"), ("--json", "apply", "--dry-run")):
        done = site.run(*argv)
        assert (done.returncode, done.stderr.splitlines()) == (0, told)
    assert json.loads(done.stdout) == []
    assert os.path.exists(f"{site.layout.plans}/65534")


def test_what_may_be_created_needs_no_repository_yet(site: Site, repositories: Path) -> None:
    (repositories / "empty").mkdir()
    shutil.chown(repositories / "empty", "nobody")
    shutil.chown(repositories, "nobody")
    shutil.chown(repositories / "tool.git", "nobody")
    table = [
        "write empty/* @all", "create empty/* nobody",
        "read empty/a/b @all", "read empty/x @all", "read empty/one* nobody",
        "read empty/** @all", "write empty/a/* @all",
    ]  # fmt: skip
    rights = site.put("rights/git", "\n".join(table) + "\n")
    site.put("jails/own.conf", f"plugins = git\n[git]\nroots = {repositories}\nrights = /etc/jailssh/rights/git\n")
    site.put("users/nobody.conf", "uid = 65534\njail = own\n")
    lines = site.check()
    wanted = [
        ("{}:3: repository " + f"{repositories}/empty/a/b does not exist", "create it"),
        ("{}:6: empty/** does not match a repository yet", f"git init --bare {repositories}/empty/NAME.git"),
        (
            "{}:7: empty/a/* does not match a repository yet: " + f"{repositories}/empty/a is not a directory",
            "check the spelling",
        ),
    ]
    expect(lines, rights, wanted)
    assert len(lines) == 2 * len(wanted)
    # With ** all of them may come to be, in directories that are made with them.
    site.put(
        "rights/git", "\n".join((*table, "create ** nobody", "create private/deep/x nobody", "read ** @all")) + "\n"
    )
    done = site.run("config", "check")
    assert (done.returncode, done.stderr) == (0, "")
    # The same in a root with nothing in it.
    site.put("jails/own.conf", f"plugins = git\n[git]\nroots = {repositories}/empty\n"
             "rights = write ** @all, create ** @all\n")  # fmt: skip
    assert site.run("config", "check").returncode == 0


def test_where_nothing_can_be_created_or_written(site: Site, repositories: Path) -> None:
    group = repositories / "group"
    group.mkdir()
    shutil.chown(group, "root", "users")
    group.chmod(0o2775)
    shutil.chown(repositories / "team", "nobody")
    table = [
        "create private/alice.git nobody", "create private/deep/*/x nobody", "create team/* nobody",
        "create new nobody", "create group/* nobody", "write team/* nobody", "create gone/* backup",
    ]  # fmt: skip
    rights = site.put("rights/git", "\n".join(table) + "\n")
    site.put("jails/own.conf", f"plugins = git\n[git]\nroots = {repositories}\nrights = /etc/jailssh/rights/git\n")
    lines = site.check()
    assert lines[:2] == [
        f"jailssh: {rights}:1: '{repositories}/private' is not a directory, so nothing can be created in it",
        f"hint: create it: mkdir -p {repositories}/private",
    ]
    site.put("users/nobody.conf", "uid = 65534\njail = own\n")
    site.put("users/backup.conf", "uid = 34\njail = own\n")
    own = "-o nobody -g nogroup -m 755"
    chown = f"chown nobody:nogroup {repositories}"
    create = "so nothing can be created in it"
    wanted = [
        ("{}:1: " + f"'{repositories}/private' is not a directory", f"install -d {own} {repositories}/private"),
        ("{}:2: " + f"'{repositories}/private/deep' is not", f"install -d {own} {repositories}/private/deep"),
        ("{}:3: account nobody cannot write to the repository " + f"{repositories}/team/one.git, nor to 1 more",
         f"chown -R nobody:nogroup {repositories}/team/one.git"),
        ("{}:4: account nobody cannot write to " + f"{repositories}, {create}", f"{chown}; or a group of nobody"),
        ("{}:5: account nobody cannot write to " + f"{repositories}/group, {create}", f"{chown}/group; or"),
        ("{}:6: account nobody cannot write to the repository ", "chown -R"),
        ("{}:7: " + f"'{repositories}/gone' is not a", f"install -d -o backup -g backup -m 755 {repositories}/g"),
    ]  # fmt: skip
    lines = site.check()
    expect(lines, rights, wanted)
    assert len(lines) == 2 * len(wanted)
    for path in (repositories, group, *(repositories / "team").iterdir()):
        shutil.chown(path, "nobody")
    for folder in ("private/deep", "gone"):
        (repositories / folder).mkdir(parents=True)
    shutil.chown(repositories / "private", "nobody")
    shutil.chown(repositories / "private" / "deep", "nobody")
    shutil.chown(repositories / "gone", "backup")
    assert site.run("config", "check").returncode == 0


def test_a_directory_that_a_plugin_lets_an_account_write_and_its_mode_does_not(site: Site, repositories: Path) -> None:
    path = site.put("jails/own.conf", f"plugins = rsync\n[rsync]\nwrite = {repositories}\n")
    site.put("users/nobody.conf", "uid = 65534\njail = own\n")
    said = [
        f"jailssh: {path}:3 [rsync] write: account nobody cannot write to {repositories}",
        f"hint: chown nobody:nogroup {repositories}; or a group of nobody in the jail's supplementary_groups",
    ]
    assert site.check() == said
    shutil.chown(repositories / "team", "nobody")
    assert site.run("config", "check").returncode == 0


def test_an_end_that_is_past_and_groups_that_are_not_there(site: Site) -> None:
    path = site.put("jails/own.conf", "plugins = sftp\ngroups = nogrup backup\nsupplementary_groups = qqqqqq\n"
                    "[limits]\nexpires = 2020-01-31\n")  # fmt: skip
    groups = [("{}:2: groups: group nogrup does not exist on this host", "did you mean 'nogroup'?"),
              ("{}:3: supplementary_groups: group qqqqqq does not exist on this host", "groupadd qqqqqq")]  # fmt: skip
    jail = ("{}:5: expires: 2020-01-31 is in the past: all logins are denied", "set a later day, or remove the line")
    lines = site.check()
    expect(lines, path, [*groups, jail])
    assert len(lines) == 6
    # An account's own end goes before the jail's.
    user = site.put("users/nobody.conf", "uid = 65534\njail = own\n[limits]\nexpires = 2999-01-01\n")
    assert any("2999-01-01" in line for line in site.check())
    site.put("users/nobody.conf", "uid = 65534\njail = own\n[limits]\nexpires = 2040-01-01\n")
    lines = site.check()
    expect(lines, path, groups)
    assert len(lines) == 4
    site.put("users/nobody.conf", "uid = 65534\njail = own\n[limits]\n\nexpires = 2021-05-01 10:00\n")
    lines = site.check()
    expect(lines, user, [("{}:5: expires: 2021-05-01 10:00 is in the past", "set a later day")])
    assert len(lines) == 6


def test_a_changed_table_is_a_changed_configuration(site: Site) -> None:
    site.put("jails/own.conf", "plugins = git\n[git]\nroots = /srv\nrights = /etc/jailssh/rights/git\n")
    path = site.put("rights/git", "read * @all\n")
    assert "raed" not in site.run("config", "check").stderr
    site.put("rights/git", "read * @all\nraed * @all\n")
    assert site.check()[0] == f"jailssh: {path}:2: 'raed' is not a right"
    os.chmod(path, 0o666)
    assert "writable by its group" in site.check()[0]


def test_a_directory_in_the_home_is_told_but_no_mistake(site: Site) -> None:
    site.put("jails/pull.conf", "plugins = rsync\n[rsync]\nread = ~/backup\nwrite = ~/in\n")
    site.put("users/backup.conf", "uid = 34\njail = pull\n")
    done = site.run("config", "check")
    assert done.returncode == 0
    note, hint = done.stderr.splitlines()
    assert note.startswith("note: ")
    assert note.endswith("[rsync] read: /var/backups/backup does not exist, so backup cannot log in")
    assert hint == "hint: install -d -o backup -g backup /var/backups/backup"


def test_a_damaged_time_zone_is_an_error_only_where_hours_are_used(site: Site) -> None:
    Path(site.layout.root, "etc/localtime").write_bytes(b"TZif, not\n")
    site.put("jails/plain.conf", "plugins = sftp\n[limits]\nmax_sessions = 1\n")
    assert site.run("config", "check").returncode == 0
    site.put("jails/office.conf", "plugins = sftp\n[limits]\nhours = daily 08:00-18:00\n")
    done = site.run("config", "check")
    assert done.returncode != 0
    assert "etc/localtime is not a valid time zone file" in done.stderr
    assert "timedatectl set-timezone" in done.stderr


def test_a_jail_may_linger_for_some_keys_alone(site: Site) -> None:
    site.put("jails/both.conf", "plugins = shell rsync\nlinger = yes\n[rsync]\nwrite = ~/in\n")
    site.put("users/backup.conf", "uid = 34\njail = both\n[key robot]\nplugins = rsync\n")
    Path(site.layout.key_rings, "backup").mkdir(parents=True)
    site.put("keys.d/backup/robot.pub", public_key(1))
    done = site.run("config", "check")
    assert "linger" not in done.stderr
    assert done.returncode == 0
