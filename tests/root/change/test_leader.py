"""A change of many subjects with one decision: before it all is rolled back, after it all is completed."""

from __future__ import annotations

from pathlib import Path

import pytest

from jailssh.change import transaction
from jailssh.change.owner import owner
from jailssh.change.transaction import Journal
from jailssh.change.undo import OPERATIONS, Operation, UndoAction
from jailssh.core.errors import JailsshError
from jailssh.files import fs
from jailssh.host.paths import Layout

pytestmark = pytest.mark.needs("root")
PARTS = ("account-al", "account-bo")


class Change:
    """A leader with a file, and two parts with a file each, written but not ended."""

    def __init__(self, top: Path) -> None:
        self.layout = Layout(root=str(top))
        fs.ensure_dir(self.layout.undo, 0o700, trusted_root=str(top))
        self.files = {name: top / name for name in ("lead", *PARTS)}
        self.leader = Journal(self.layout, "lead")
        self.leader.owner = owner("import", "jailssh import FILE")
        self.leader.lead()
        self.parts = [Journal(self.layout, name) for name in PARTS]
        for journal in self.parts:
            journal.open(f"adduser {journal.subject}", "", "lead")
        for journal in (self.leader, *self.parts):
            path = self.files[journal.subject]
            journal.note([UndoAction(Operation.FILE, str(path))])
            path.touch()

    def there(self) -> list[str]:
        """Return whose file is there, and the subjects that have a journal."""
        return [*(name for name, path in self.files.items() if path.exists()), *transaction.subjects(self.layout)]


@pytest.fixture
def change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Change:
    # The real one trusts no directory that others can write to, and /tmp is one.
    monkeypatch.setitem(OPERATIONS, Operation.FILE, lambda path: Path(path).unlink(missing_ok=True))
    return Change(tmp_path)


@pytest.mark.parametrize("subject", ["lead", "account-bo"])
def test_before_the_decision_whoever_settles_rolls_all_back(change: Change, subject: str) -> None:
    assert transaction.recover(change.layout, subject) == ["rolled back an interrupted change: lead"]
    assert change.there() == []
    assert transaction.recover(change.layout, "lead") == []


@pytest.mark.parametrize("subject", ["lead", "account-al"])
def test_after_it_whoever_settles_completes(change: Change, subject: str) -> None:
    change.leader.decide()
    change.parts[0].commit()
    assert transaction.recover(change.layout, subject)[-1:] == (
        ["completed an interrupted change: lead"] if subject == "lead" else []
    )
    transaction.recover(change.layout, "lead")
    assert change.there() == ["lead", *PARTS, *PARTS]
    for name in PARTS:
        assert [step.key for step in Journal(change.layout, name).original] == [str(change.files[name])]
    assert transaction.unfinished(change.layout) == []


def test_after_it_an_error_takes_nothing_back(change: Change) -> None:
    change.leader.decide()
    for journal in (*change.parts, change.leader):
        journal.rollback()
    assert [name for name, path in change.files.items() if path.exists()] == ["lead", *PARTS]
    assert transaction.recover(change.layout, "lead") == ["completed an interrupted change: lead"]


def test_one_change_is_shown(change: Change) -> None:
    (found,) = transaction.unfinished(change.layout)
    assert (found.subject, found.what, found.parts, found.stays) == ("lead", "import", PARTS, ())
    assert found.goes == ("file", *PARTS)
    change.leader.decide()
    (found,) = transaction.unfinished(change.layout)
    assert (found.stays, found.goes) == (PARTS, ())


def test_a_part_that_fails_keeps_the_leader(change: Change, monkeypatch: pytest.MonkeyPatch) -> None:
    real = OPERATIONS[Operation.FILE]

    def failing(path: str) -> None:
        if path.endswith("account-al"):
            raise OSError(28, "No space left on device")
        real(path)

    monkeypatch.setitem(OPERATIONS, Operation.FILE, failing)
    with pytest.raises(JailsshError, match=r"account-al: .*No space"):
        transaction.recover(change.layout, "lead")
    with pytest.raises(JailsshError, match="cannot be rolled back"):
        change.leader.rollback()
    assert change.there() == ["lead", "account-al", "account-al", "lead"]
    monkeypatch.setitem(OPERATIONS, Operation.FILE, real)
    transaction.recover(change.layout, "account-al")
    assert change.there() == []


def test_a_part_whose_leader_is_lost_is_settled_alone(change: Change) -> None:
    (Path(change.layout.undo) / "lead.json").write_text("{")
    with pytest.raises(JailsshError, match="is damaged") as caught:
        transaction.recover(change.layout, "account-al")
    assert caught.value.hint == "jailssh recover lead"
    transaction.put_aside(change.layout, "lead")
    assert transaction.recover(change.layout, "account-al") == ["settled an interrupted change: account-al"]
    assert not change.files["account-al"].exists() and change.files["account-bo"].exists()


def test_one_that_cannot_be_written_down_is_not_begun(change: Change, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transaction, "LIMIT", 3000)
    with pytest.raises(JailsshError, match="change is too large to be rolled back"):
        change.parts[0].note([UndoAction(Operation.FILE, "/x")] * 50)
