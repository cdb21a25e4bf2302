"""Who is in a jail: what is kept of it, and what is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from jailssh.core.errors import ConfigError, JailsshError
from jailssh.host.paths import Layout
from jailssh.integrity.census import Census, jailed
from jailssh.integrity.kept import Kept
from jailssh.jail.configuration import Configuration, NotJailedError

CENSUS = Census((("al", "x", "1001", "1001", "", "/home/al", ""),), (), {}, alone=True)


class _Answering:
    """A configuration that says one thing after the other, as long as there are any."""

    def __init__(self, layout: Layout, *answers: JailsshError | tuple[str, ...]) -> None:
        self.layout = layout
        self.answers = list(answers)

    def user_names(self) -> list[str]:
        return ["al"]

    def groups(self) -> tuple[str, ...]:
        return ()

    def jails_for(self, _account: Any) -> tuple[str, ...]:
        answer = self.answers.pop(0)
        if isinstance(answer, JailsshError):
            raise answer
        return answer

    def ask(self) -> tuple[str, ...] | None:
        """Return the account's jails as a run of its own sees them, None for none."""
        kept = Kept(self.layout)
        person = jailed(cast(Configuration, self), CENSUS, kept, "stamp", []).get("al")
        kept.save()
        return person.jails if person else None


def layout_in(place: Path) -> Layout:
    (place / "var/lib/jailssh").mkdir(parents=True)
    return Layout(root=str(place))


def test_an_error_is_asked_about_again(tmp_path: Path) -> None:
    asked = _Answering(layout_in(tmp_path), ConfigError("plugin x", "cannot be loaded"), ("x",))
    assert asked.ask() is None
    assert asked.ask() == ("x",)
    assert asked.ask() == ("x",), "what is known is kept"


def test_that_somebody_is_in_no_jail_is_kept(tmp_path: Path) -> None:
    asked = _Answering(layout_in(tmp_path), NotJailedError("account al", "is in no jail"))
    assert asked.ask() is None
    assert asked.ask() is None
