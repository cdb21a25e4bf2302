"""Jailkit's command lines, as scripts of panels write them, and its words, as they read them."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jailssh.compat import names, people, trees, words
from jailssh.compat.call import Failed
from jailssh.compat.options import read
from jailssh.core.errors import JailsshError
from jailssh.host.accounts import AccountEntry
from jailssh.host.paths import Layout

J = "/var/www/clients/client1/web1"


class Verbs:
    """Keeps the command lines of verbs, and answers with facts."""

    def __init__(self, **facts: Any) -> None:
        self.lines: list[list[str]] = []
        self.facts = facts

    def verb(self, _name: str, argv: Any, _jail: str = "") -> int:
        self.lines.append(list(argv))
        return 0

    def tell_facts(self, _name: str, argv: Any, _jail: str, *, rows: bool = False, **_how: Any) -> dict[str, Any]:
        self.lines.append(list(argv))
        if rows:
            return {"rows": [{"name": "ssh", "comment": "client"}, {"name": "mine", "comment": ""}]}
        return {"changes": self.facts.get("dry" if "--dry-run" in argv else "changes", [])}


@pytest.fixture
def verbs(monkeypatch: pytest.MonkeyPatch) -> Verbs:
    found = Verbs()
    monkeypatch.setattr("jailssh.compat.call.verb", found.verb)
    monkeypatch.setattr("jailssh.compat.call.facts", found.tell_facts)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("jailssh.host.accounts.get", lambda name: AccountEntry(
        name, 5000, 5000, group=name, home="/", shell="/bin/sh", gecos="", groups=()
    ))  # fmt: skip
    monkeypatch.setattr("os.path.isdir", lambda path: str(path).rstrip("/") == J)
    monkeypatch.setattr("os.path.exists", lambda path: path == trees.INIT)
    monkeypatch.setattr("os.path.lexists", lambda path: path in ("/", "/usr/bin/php", "/usr/bin/mysql"))
    return found


def words_of(line: str) -> list[str]:
    return line.split()


# What the sources of ISPConfig, i-MSCP, HestiaCP and Virtualmin, and published scripts run, and what becomes of it.
CALLS = {
    f"jk_cp -k {J} /usr/bin/php /usr/bin/mysql": f"cp {J} /usr/bin/php /usr/bin/mysql --reflink",
    f"jk_cp -f -j {J} /usr/bin/php": f"cp {J} /usr/bin/php",
    f"jk_cp -v -f {J}/ /usr/bin/php": f"cp {J} /usr/bin/php --verbose",
    f"jk_init -f -k -c /etc/jailkit/jk_init.ini -j {J} basicshell editors extendedshell netutils ssh sftp scp git": (
        "build --jk-init /etc/jailkit/jk_init.ini section:basicshell section:editors section:extendedshell "
        f"section:netutils section:ssh section:sftp section:scp section:git {J} --allow-missing --reflink"
    ),
    f"jk_init -v -f {J} netutils basicshell jk_lsh": (
        f"build --jk-init /etc/jailkit/jk_init.ini section:netutils section:basicshell section:jk_lsh {J} "
        "--allow-missing --verbose"
    ),
    f"jk_init -k -f -c /etc/jailkit/jk_init.ini -j {J} basicshell editors": (
        f"build --jk-init /etc/jailkit/jk_init.ini section:basicshell section:editors {J} --allow-missing --reflink"
    ),
    f"jk_init -c /etc/jailkit/jk_init.ini -f -j {J} jk_lsh": (
        f"build --jk-init /etc/jailkit/jk_init.ini section:jk_lsh {J} --allow-missing"
    ),
    f"jk_init -f -j {J} perl": f"build --jk-init /etc/jailkit/jk_init.ini section:perl {J} --allow-missing",
    f"jk_init -f {J} perl": f"build --jk-init /etc/jailkit/jk_init.ini section:perl {J} --allow-missing",
    "jk_init -l": "build --jk-init /etc/jailkit/jk_init.ini --list-sections",
    f"jk_cp -k -f -j {J} /usr/bin/php /usr/bin/mysql": f"cp {J} /usr/bin/php /usr/bin/mysql --reflink",
    f"jk_cp -j {J} -f /usr/bin/php": f"cp {J} /usr/bin/php",
    f"jk_cp -o -s -f -j {J}/ php": f"cp {J} php --owner --setuid",
    "jk_list -w": "list",
}


@pytest.mark.parametrize("line", CALLS)
def test_calls_of_panels(verbs: Verbs, line: str) -> None:
    assert names.main([f"/usr/libexec/jailssh/compat/{words_of(line)[0]}", *words_of(line)[1:]]) == 0
    assert [" ".join(each) for each in verbs.lines if "--dry-run" not in each] == [CALLS[line]]


@pytest.mark.parametrize("line", [f"jk_init -j {J} sftp", f"jk_cp -j {J} /usr/bin/php"])
def test_without_force_nothing_is_replaced(verbs: Verbs, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    verbs.facts = {"dry": [{"action": "replace", "path": "/etc/jailkit/jk_lsh.ini"}]}
    assert names.main(words_of(line)) == 1
    assert [each[-1] for each in verbs.lines] == ["--dry-run"]
    assert "/etc/jailkit/jk_lsh.ini" in capsys.readouterr().err
    verbs.facts = {"dry": [{"action": "create", "path": "/bin/x"}]}
    assert names.main(words_of(line)) == 0


ERRORS = {
    "jk_init": 2,
    f"jk_init -j {J}": 2,
    f"jk_init -c /none -j {J} a": 3,
    "jk_init --jail": 1,
    "jk_init -x": 1,
    f"jk_cp -j {J}": 2,
    "jk_cp -j /none /usr/bin/php": 3,
    f"jk_cp -j {J} /usr/bin/none": 4,
    "jk_update": 1,
    f"jk_update -j {J} -c {J}": 21,
    "jk_jailuser -n -j /none": 2,
    "jk_jailuser -n x": 33,
    "jk_jailuser -n -j /none x": 33,
    f"jk_jailuser -n -s /bin/false -j {J} web1": 33,
    f"jk_jailuser -n -s /usr/sbin/nologin -j {J} web1": 33,
    f"jk_jailuser -n -s /bin/rbash -j {J} web1": 33,
    f"jk_addjailuser -n {J} x": 1,
    "jk_chrootlaunch -j relative -x /bin/x": 27,
    "jk_chrootlaunch": 1,
    "jk_socketd": 1,
    "jk_socketd --socket=/dev/log -n": 1,
    f"jk_uchroot -j {J}": 1,
    "jk_uchroot -x /bin/sh": 1,
    "jk_uchroot -j / -x /bin/sh": 1,
    "jk_lsh -c id": 1,
    "jk_chrootsh": 1,
    f"jk_list -j {J}": 1,
    f"jk_update -j {J} /srv": 1,
    "jk_check /none": 1,
    f"jk_jailuser -n -m -j {J} x": 33,
    f"jk_jailuser -n -s /usr/sbin/jk_lsh -j {J} x": 33,
    f"jk_jailuser -n -s /bin/bash -j {J} no-such-account": 2,
    f"jk_addjailuser -g users {J} x": 1,
    f"jk_addjailuser {J}": 2,
    "jk_list what": 1,
    "jk_other": 1,
}


@pytest.mark.parametrize("line", ERRORS)
def test_what_cannot_be_done_is_an_error(verbs: Verbs, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert names.main(words_of(line)) == ERRORS[line]
    assert verbs.lines == []
    assert capsys.readouterr().err.count("\n") >= 1


# Each option that the usage texts, manual pages and sources of Jailkit 2.23 have (jk_addjailuser: 2.17), with what
# becomes of it: an argument of a verb, "!" and the words of an error, or "~" and words that are told beside the verb.
# "." is an option that asks for what is done in any case, so that there is nothing to tell.
OPTIONS = {
    f"jk_init -c /etc/jailkit/jk_init.ini -j {J} a": "--jk-init /etc/jailkit/jk_init.ini",
    f"jk_init --configfile=/etc/jailkit/jk_init.ini -j {J} a": "--jk-init /etc/jailkit/jk_init.ini",
    "jk_init --list": "--list-sections",
    f"jk_init --jail={J} a": J,
    f"jk_init --jail {J} a": J,
    f"jk_init -v -f -j {J} a": "--verbose",
    f"jk_init --verbose --force -j {J} a": "--verbose",
    f"jk_init -k -j {J} a": "~a hard link would let the jail change",
    f"jk_init --hardlink -j {J} a": "--reflink",
    f"jk_cp -o -j {J} /usr/bin/php": "--owner",
    f"jk_cp --owner --jail={J} /usr/bin/php": "--owner",
    f"jk_cp -s -j {J} /usr/bin/php": "--setuid",
    f"jk_cp --setuid -j {J} /usr/bin/php": "--setuid",
    f"jk_cp -k -j {J} /usr/bin/php": "~a hard link would let the jail change",
    f"jk_cp --hardlink --verbose --force -j {J} /usr/bin/php": "--reflink --verbose",
    f"jk_jailuser -m -s /bin/bash -j {J} web1": "adduser web1 --jail shell",
    f"jk_jailuser --move -s /bin/bash -j {J} web1": "adduser web1 --jail shell",
    f"jk_jailuser --nomove -s /bin/bash -j {J} web1": "adduser web1 --jail shell",
    f"jk_jailuser --noninteractive --shell=/bin/bash --jail={J} web1": "adduser web1 --jail shell",
    f"jk_jailuser -v -n -s /bin/sh -j {J} web1": "adduser web1 --jail shell",
    f"jk_jailuser --verbose -n -s /bin/sh -j {J} web1": "adduser web1 --jail shell",
    "jk_jailuser web1": "!-j is required",
    f"jk_jailuser -j {J} web1": "!to write it: jailssh config import",
    f"jk_addjailuser -s /bin/bash -c Full {J} new": "--gecos Full",
    f"jk_addjailuser -s /bin/bash -d /srv/new new {J}": "--home /srv/new",
    f"jk_addjailuser -s /bin/bash -e 2027-01-01 {J} new": "--expires 2027-01-01",
    f"jk_addjailuser -s /bin/bash -u 5001 {J} new": "--uid 5001",
    f"jk_addjailuser -s /bin/bash -m -v {J} new": "adduser new --jail shell",
    f"jk_addjailuser -s /bin/bash --verbose {J} new": "adduser new --jail shell",
    **{f"jk_addjailuser -{letter} x {J} new": "!use useradd and then: jailssh adduser" for letter in "fgGkp"},
    **{f"jk_addjailuser -{letter} {J} new": "!use useradd and then: jailssh adduser" for letter in "Mnor"},
    "jk_check -v": ".",
    "jk_check --verbose": ".",
    "jk_check -c /none": "~WARNING: /none does not exist, only checking jails found in /etc/passwd",
    "jk_check --configfile=/none": "~WARNING: /none does not exist",
    f"jk_check {J}": f"check --dir {J}",
    "jk_list -w": "~accounts are listed and not processes",
    "jk_list --wide": "list",
    f"jk_list --jail={J}": "!processes of one account: ps -u NAME",
    "jk_chrootlaunch -j /srv/j -u web -g www -p /run/x.pid -x /srv/j/usr/sbin/x -- -D a": (
        "launch -u web -g www -p /run/x.pid /srv/j -- /usr/sbin/x -D a"
    ),
    "jk_chrootlaunch --jail=/srv/j --user=web --group=www --pidfile=/p --exec=/bin/x": (
        "launch -u web -g www -p /p /srv/j -- /bin/x"
    ),
    f"jk_chrootlaunch -j {J} -u root -x /usr/sbin/locale-gen": f"launch -u root {J} -- /usr/sbin/locale-gen",
    "jk_socketd --nodetach --pidfile=/x --base=5 --peak=9 --interval=1": "!jailssh audit log",
    f"jk_uchroot --jail={J} --executable=/bin/sh -- -c id": "enter web1 -- /bin/sh -c id",
    f"jk_uchroot -v -j {J}/ -x usr/bin/id a b": "enter web1 -- /usr/bin/id a b",
    f"jk_uchroot --verbose -j {J} --exec=/bin/sh": "enter web1 -- /bin/sh",
    "jk_lsh -c id": "!jailssh migrate jailkit",
    "jk_chrootsh -c id": "!jailssh migrate jailkit",
}


@pytest.mark.parametrize("line", OPTIONS)
def test_every_option_does_its_job_or_says_what_to_do(
    verbs: Verbs, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jailssh.host.accounts.find", lambda name: object() if name == "web1" else None)
    monkeypatch.setattr("jailssh.host.accounts.local_homes", lambda: [])
    code, expected = names.main(words_of(line)), OPTIONS[line]
    said = capsys.readouterr().err
    if expected.startswith("!"):
        assert (code != 0, verbs.lines) == (True, []), said
        assert expected[1:] in said
    elif expected.startswith("~"):
        assert code == 0 and expected[1:] in said, said
    else:
        assert code == 0, said
        assert expected == "." or any(expected in " ".join(each) for each in verbs.lines), verbs.lines


def test_the_wrapper_of_procmail_becomes_the_delivery_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the recipient, with procmail's arguments; what cannot be started keeps the message in the queue."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("jailssh.host.process.find_program", lambda name: f"/opt/{name}")
    begun: list[list[str]] = []
    monkeypatch.setattr("jailssh.host.process.become", lambda path, argv: begun.append([path, *argv]))
    names.main(["/usr/sbin/jk_procmailwrapper", "-h", "-a", "x y"])
    deliver = Layout().deliver_program
    assert begun == [[deliver, deliver, "--", "/opt/procmail", "-h", "-a", "x y"]]

    def fails(_path: str, _argv: list[str]) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("jailssh.host.process.become", fails)
    assert names.main(["jk_procmailwrapper"]) == 75
    assert f"cannot start {deliver}: [Errno 13] Permission denied" in capsys.readouterr().err


# Letters and long names as the tools' sources give them to getopt(3).
OF_JAILKIT = {
    "jk_init": ("vhflckj", "help configfile verbose force list hardlink jail"),
    "jk_cp": ("fh?vkosj", "help verbose force hardlink owner jail setuid"),
    "jk_jailuser": ("vsjnmh?", "help verbose shell nomove move jail noninteractive"),
    "jk_addjailuser": ("cdefgGmkMnoprsuvh?", "help verbose"),
    "jk_check": ("vhc", "help configfile verbose"),
    "jk_list": ("hwj", "wide help jail"),
    "jk_update": ("hvdjskc", "help verbose dry-run jail skip hardlink configsection"),
    "jk_chrootlaunch": ("pugjxh", "pidfile user group jail exec help"),
}


@pytest.mark.parametrize("name", OF_JAILKIT)
def test_no_option_is_unknown_and_each_is_explained(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    tool = names.NAMES[name][0]
    letters, long = OF_JAILKIT[name]
    assert {each.letter for each in tool.options} | {"h", "?"} >= {*letters}
    assert {each for option in tool.options for each in option.long} | {"help"} >= {*long.split()}
    for asks in ("-h", "--help", "-?"):
        assert names.main([name, asks]) == 0
        told = capsys.readouterr().out
        assert told.startswith(f"Usage: {name} [OPTIONS]")
        assert all(f"\n  -{each.letter}" in told and each.text for each in tool.options)
    assert names.main([name, "-Z"]) == 1
    assert "-h" in capsys.readouterr().err


@pytest.mark.needs("jailkit")
@pytest.mark.parametrize("name", sorted({*OF_JAILKIT} - {"jk_addjailuser", "jk_chrootlaunch"}))
def test_the_options_are_those_of_the_real_one(name: str) -> None:
    source = Path(f"/usr/sbin/{name}").read_text(errors="replace")
    found = re.search(r"getopt\.getopt\(sys\.argv\[1:\], ?[\"']([^\"']*)[\"'], ?\[([^]]*)\]", source)
    assert found
    long = {each.strip().strip("\"'").rstrip("=") for each in found[2].split(",")}
    letters, known = OF_JAILKIT[name]
    assert ({*found[1].replace(":", "")} <= {*letters}, long <= {*known.split()}) == (True, True)


def test_sections_are_listed_with_jailkits_words(verbs: Verbs, capsys: pytest.CaptureFixture[str]) -> None:
    assert names.main(["jk_init", "-l"]) == 0
    assert capsys.readouterr().out == (f"\n** Available sections in {trees.INIT} **\n\nmine\nssh - client\n\n")


def test_what_jk_check_leaves_out_is_told(tmp_path: Path, verbs: Verbs, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "jk_check.ini"
    file.write_text(f"[{J}/]\nignorepathoncompare = {J}/x\n[/none]\n")
    assert names.main(["jk_check", "-c", str(file)]) == 0
    said = capsys.readouterr().err
    assert verbs.lines[0] == ["check", "--dir", J]
    assert f"jailssh config import {file}" in said
    assert "cannot check files in /none/, it does not exist" in said


def test_nobody_but_root(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert names.main(["jk_init", "-j", J, "sftp"]) == 5
    assert "must be run as root" in capsys.readouterr().err


def test_a_shell_says_which_jail(verbs: Verbs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jailssh.host.accounts.find", lambda name: object() if name == "web1" else None)
    assert names.main(words_of(f"jk_jailuser -n -s /bin/bash -j {J} web1")) == 0
    assert names.main(words_of(f"jk_addjailuser -s /bin/bash -u 5001 -c Name -d /srv/x {J} new1")) == 0
    monkeypatch.setattr("os.path.exists", lambda path: path == "/etc/jailssh/jails/web1.conf")
    assert names.main(words_of(f"jk_jailuser -n -s /usr/sbin/jk_lsh -j {J}/ web1")) == 0
    assert [" ".join(each) for each in verbs.lines] == [
        "adduser web1 --jail shell --yes",
        "adduser new1 --jail shell --yes --home /srv/x --gecos Name --uid 5001",
        "adduser web1 --jail web1 --yes",
    ]


@pytest.mark.parametrize(("home", "moves"), [("/home/web1", f" --home {J}/home/web1 --home-move"), (f"{J}/home/w", "")])
def test_a_home_that_moves(verbs: Verbs, monkeypatch: pytest.MonkeyPatch, home: str, moves: str) -> None:
    for asked in ("find", "get"):
        monkeypatch.setattr(f"jailssh.host.accounts.{asked}", lambda _name: SimpleNamespace(home=home))
    monkeypatch.setattr("os.path.lexists", lambda _path: True)
    assert names.main(words_of(f"jk_jailuser -n -m -s /bin/bash -j {J} web1")) == 0
    assert [" ".join(each) for each in verbs.lines] == [f"adduser web1 --jail shell --yes{moves}"]


def test_words_of_jailkit() -> None:
    row = {"path": "/usr/bin/x", "kind": "file", "source": "/usr/bin/x"}
    assert words.of_change(row, f"{J}/") == f"Copying /usr/bin/x to {J}/usr/bin/x"
    assert words.of_change({"path": "/bin", "kind": "link", "target": "usr/bin"}, J) == (
        f"Creating symlink {J}/bin to usr/bin"
    )
    assert words.of_change({"path": "/tmp", "kind": "dir"}, J) == f"Creating directory {J}/tmp"


# ISPConfig takes the path behind the sixth word of any other line for something to remove, and removes it.
ACTED_ON = re.compile(r"(?:[^ ]+ ){6}(?:.+)(" + re.escape(J) + r".+)")


@pytest.mark.parametrize(
    "line",
    [
        f"note: one two three four five six seven {J}/opt/app is kept: it was changed",
        f"jk_update: runs: jailssh cp {J} /usr/bin/a /usr/bin/b {J}/x",
        f"jailssh: target {J}/usr: cannot be written: it is {J}/usr/bin",
    ],
)
def test_no_line_of_ours_makes_a_panel_remove_something(line: str) -> None:
    assert not ACTED_ON.match(words.harmless(line, J))
    assert words.harmless(f"Copying a to {J}/a b c d e f {J}/g", J).endswith("/g"), "these it knows"


def test_the_error_of_a_verb_ends_the_tool(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(_argv: Any) -> int:
        raise JailsshError("tree", "is broken", hint="mend it")

    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("jailssh.console.main.run", fails)
    assert names.main(["jk_list"]) == 1
    said = capsys.readouterr().err
    assert "jk_list: runs: jailssh list" in said
    assert "tree: is broken" in said


def test_options_end_where_a_word_is() -> None:
    tool = names.NAMES["jk_cp"][0]
    given = read(tool, ["-k", "-j", J, "a", "-f"])
    assert (given.has("k"), given.has("f"), given.rest) == (True, False, ("a", "-f"))
    with pytest.raises(Failed):
        read(tool, ["--jail"])


def test_every_name_is_installed() -> None:
    from tests.harness.source import REPO

    text = (REPO / "meson.build").read_text()
    tried = {words_of(line)[0] for line in (*CALLS, *OPTIONS)} | {
        "jk_update",
        "jk_procmailwrapper",
    }  # in tests of their own
    assert tried == set(names.NAMES), "each name is tried"
    assert set(re.findall(r"'(jk_\w+)'", text)) == set(names.NAMES)
    assert {people.jk_list, trees.jk_init} <= {action for _, action in names.NAMES.values()}
