"""Who is in a jail: what is kept of it, and what is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from jailssh.core.errors import ConfigError, JailsshError
from jailssh.host.accounts import AccountEntry
from jailssh.host.paths import Layout
from jailssh.integrity.census import Census, _Jailing
from jailssh.integrity.kept import Kept
from jailssh.jail.configuration import Configuration, NotJailedError

AL = AccountEntry("al", 1001, 1001, group="al", home="/home/al", shell="", gecos="", groups=(("al", 1001),))


class _Answering:
    """A configuration that says one thing after the other, as long as there are any."""

    def __init__(self, *answers: JailsshError | tuple[str, ...]) -> None:
        self.answers = list(answers)

    def jails_for(self, _account: Any) -> tuple[str, ...]:
        answer = self.answers.pop(0)
        if isinstance(answer, JailsshError):
            raise answer
        return answer


def test_an_error_is_asked_about_again(tmp_path: Path) -> None:
    configuration = _Answering(ConfigError("plugin x", "cannot be loaded"), ("x",))
    kept = Kept(Layout(root=str(tmp_path)))

    def ask() -> tuple[str, ...] | None:
        census = Census((), (), {}, alone=True)
        jailing = _Jailing(Layout(root=str(tmp_path)), census, lambda: cast(Configuration, configuration), kept, [])
        person = jailing.person(AL, local=True)
        kept._old, kept._new = kept._new, {}
        return person.jails if person else None

    assert ask() is None
    assert ask() == ("x",)
    assert ask() == ("x",), "what is known is kept"


def test_that_somebody_is_in_no_jail_is_kept(tmp_path: Path) -> None:
    configuration = _Answering(NotJailedError("account al", "is in no jail"))
    kept = Kept(Layout(root=str(tmp_path)))
    census = Census((), (), {}, alone=True)
    for _ in range(2):
        jailing = _Jailing(Layout(root=str(tmp_path)), census, lambda: cast(Configuration, configuration), kept, [])
        assert jailing.person(AL, local=True) is None
        kept._old, kept._new = kept._new, {}
