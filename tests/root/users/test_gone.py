"""Setting aside what an account had: interrupted anywhere, with files that cannot be moved, with names of others."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from jailssh.console import main as cli
from jailssh.core.errors import JailsshError
from jailssh.files import fs
from jailssh.host import accounts
from jailssh.host.paths import Layout
from jailssh.jail import owners
from jailssh.jail.this_host import ThisHost
from jailssh.users import gone

pytestmark = pytest.mark.needs("root")

NAME, UID = "jailssh-nobody-has-this", 61234
CONTENT = {
    f"users/{NAME}.conf": f"uid = {UID}\njail = sftp-only\n",
    f"keys/{NAME}": "restrict ssh-ed25519 AAAA old\n",
    f"keys.d/{NAME}/me.pub": "ssh-ed25519 AAAA me\n",
    f"keys.d/{NAME}/you.pub": "ssh-ed25519 AAAA you\n",
}
ASIDE = {"users.conf", "keys", "keys.d/me.pub", "keys.d/you.pub", "undo-account.json"}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(root=str(tmp_path))
    for path, text in CONTENT.items():
        os.makedirs(os.path.dirname(f"{layout.etc}/{path}"), exist_ok=True)
        Path(layout.etc, path).write_text(text)
    os.makedirs(layout.undo)
    Path(layout.undo, f"account-{NAME}.json").write_text("damaged")
    return layout


def left(layout: Layout) -> list[str]:
    """Return what is still where logins look for it, or where an undo would find it."""
    roots = (layout.etc, layout.undo, layout.owners)
    return sorted(str(path) for root in roots for path in Path(root).rglob("*") if path.is_file())


def set_aside(layout: Layout) -> dict[str, str]:
    """Return all that lies aside, by its name in its directory."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for folder in Path(layout.gone).iterdir()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_all_of_it(layout: Layout) -> None:
    found, errors = gone.check(layout, act=False)
    assert [(each.uid, each.name) for each in found] == [(UID, NAME)]
    assert len(left(layout)) == 5
    assert not os.path.exists(layout.gone)
    found, errors = gone.check(layout, act=True)
    assert (len(found), errors) == (1, [])
    assert left(layout) == []
    assert not os.path.exists(f"{layout.key_rings}/{NAME}")
    aside = set_aside(layout)
    assert set(aside) == ASIDE
    assert aside["users.conf"] == CONTENT[f"users/{NAME}.conf"]
    assert gone.check(layout, act=True) == ([], [])


def test_of_thousands_the_name_service_is_not_asked(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads all lines of the files for each; whoever has read them once answers."""
    asked: list[str | int] = []

    class Known(ThisHost):
        def find_entry(self, who: str | int) -> accounts.AccountEntry | None:
            asked.append(who)
            return accounts.AccountEntry(NAME, UID, UID, group=NAME, home="/", shell="", gecos="", groups=())

    monkeypatch.setattr(accounts, "find", lambda _: pytest.fail("the name service was asked"))
    assert gone.check(layout, act=True, host=Known()) == ([], [])
    assert asked == [NAME]


def interrupting(call: Callable[..., object], at: int, calls: list[str]) -> Callable[..., object]:
    def wrapped(*args: object, **how: object) -> object:
        calls.append(str(args[0]))
        if len(calls) == at:
            raise KeyboardInterrupt
        done = call(*args, **how)
        if len(calls) == -at:
            raise KeyboardInterrupt
        return done

    return wrapped


def test_interrupted_anywhere_it_is_finished_by_the_next_run(layout: Layout, tmp_path: Path) -> None:
    before = {path: Path(path).read_text() for path in left(layout)}
    points = 0
    for at in (*range(1, 30), *range(-1, -30, -1)):
        calls: list[str] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fs, "atomic_write", interrupting(fs.atomic_write, at, calls))
            patch.setattr(fs, "remove_file", interrupting(fs.remove_file, at, calls))
            try:
                gone.check(layout, act=True)
            except KeyboardInterrupt:
                points += 1
        _, errors = gone.check(layout, act=True)
        assert errors == []
        assert left(layout) == [], (at, calls)
        assert set(set_aside(layout)) == ASIDE, (at, calls)
        # And once more from the beginning.
        for folder in Path(layout.gone).iterdir():
            for path in sorted(folder.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            folder.rmdir()
        for name, text in before.items():
            os.makedirs(os.path.dirname(name), exist_ok=True)
            Path(name).write_text(text)
    assert points >= 20


def test_what_cannot_be_moved_is_told_and_stops_nothing_else(layout: Layout) -> None:
    key = Path(layout.key_rings, NAME, "me.pub")
    key.chmod(0o666)
    found, errors = gone.check(layout, act=True)
    assert found == []
    (error,) = errors
    assert "me.pub" in str(error)
    assert left(layout) == [str(key), f"{layout.owners}/{NAME}"]
    key.chmod(0o644)
    found, errors = gone.check(layout, act=True)
    assert (len(found), errors, left(layout)) == (1, [], [])


def test_who_is_there_keeps_all(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = accounts.AccountEntry(
        NAME, UID, UID, group=NAME, home=f"/home/{NAME}", shell="/bin/sh", gecos="", groups=((NAME, UID),)
    )
    monkeypatch.setattr(accounts, "find", lambda name: entry)
    assert gone.check(layout, act=True) == ([], [])
    assert len(left(layout)) == 5
    # Without a users file the note says whose the keys are.
    os.unlink(f"{layout.users}/{NAME}.conf")
    owners.note(layout, entry)
    assert gone.check(layout, act=True) == ([], [])
    other = accounts.AccountEntry(NAME, UID + 1, UID, group="", home="", shell="", gecos="", groups=())
    monkeypatch.setattr(accounts, "find", lambda name: other)
    found, errors = gone.check(layout, act=True)
    assert (len(found), errors, left(layout)) == (1, [], [])


def test_keys_that_nobody_was_noted_for_stay(layout: Layout) -> None:
    """An administrator may put them there before the account."""
    os.unlink(f"{layout.users}/{NAME}.conf")
    assert gone.check(layout, act=True) == ([], [])
    assert len(left(layout)) == 4


def test_a_name_that_cannot_be_looked_up_keeps_all(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    def unanswered(name: str) -> None:
        raise accounts.UnansweredError(f"account {name}", "cannot be looked up")

    monkeypatch.setattr(accounts, "find", unanswered)
    found, errors = gone.check(layout, act=True)
    assert (found, [str(each) for each in errors]) == ([], [f"account {NAME}: cannot be looked up"])
    assert len(left(layout)) == 5


@pytest.mark.parametrize("text", ["x", "", "-1", "12 34"])
def test_a_damaged_note(layout: Layout, text: str) -> None:
    os.unlink(f"{layout.users}/{NAME}.conf")
    os.makedirs(layout.owners)
    Path(layout.owners, NAME).write_text(text)
    found, errors = gone.check(layout, act=True)
    assert found == []
    assert "is not a uid" in str(errors[0])
    with pytest.raises(JailsshError):
        owners.owner(layout, NAME)


def test_another_root_has_other_accounts(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    """An image that is made on this host: its accounts are not this host's, and none of them is gone."""
    assert cli.main(["--root", layout.root, "apply", "--gone"]) == 2
    assert "cannot be combined with --root" in capsys.readouterr().err
    cli.main(["--root", layout.root, "apply"])
    assert len([path for path in left(layout) if path.startswith(layout.etc)]) == 4
    assert not os.path.exists(layout.gone)
