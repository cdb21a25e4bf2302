"""Jailkit's command lines, as scripts of panels write them, and its words, as they read them."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from jailssh.compat import names, people, trees, words
from jailssh.compat.call import Failed
from jailssh.compat.options import read
from jailssh.core.errors import JailsshError

J = "/var/www/clients/client1/web1"


class Verbs:
    """Keeps the command lines of verbs, and answers with facts."""

    def __init__(self, **facts: Any) -> None:
        self.lines: list[list[str]] = []
        self.facts = facts

    def verb(self, _name: str, argv: Any, _jail: str = "") -> int:
        self.lines.append(list(argv))
        return 0

    def tell_facts(self, _name: str, argv: Any, _jail: str, **_how: Any) -> dict[str, Any]:
        self.lines.append(list(argv))
        return {"changes": self.facts.get("dry" if "--dry-run" in argv else "changes", [])}


@pytest.fixture
def verbs(monkeypatch: pytest.MonkeyPatch) -> Verbs:
    found = Verbs()
    monkeypatch.setattr("jailssh.compat.call.verb", found.verb)
    monkeypatch.setattr("jailssh.compat.call.facts", found.tell_facts)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("os.path.isdir", lambda path: str(path).rstrip("/") == J)
    monkeypatch.setattr("os.path.exists", lambda path: path == trees.INIT)
    monkeypatch.setattr("os.path.lexists", lambda path: path in ("/usr/bin/php", "/usr/bin/mysql"))
    return found


def words_of(line: str) -> list[str]:
    return line.split()


# What the sources of ISPConfig and of Virtualmin run, and what becomes of it.
CALLS = {
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
    assert [" ".join(each) for each in verbs.lines] == [CALLS[line]]


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
    monkeypatch.setattr("jailssh.host.accounts.find", lambda _name: SimpleNamespace(home=home))
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
    assert set(re.findall(r"'(jk_\w+)'", text)) == set(names.NAMES)
    assert {people.jk_list, trees.jk_init} <= {action for _, action in names.NAMES.values()}
