"""How often a name service is asked that does not answer."""

from __future__ import annotations

from jailssh.host import nss, nss_helper


def test_patience() -> None:
    now = [0.0]
    patience = nss.Patience(lambda: now[0])
    assert not patience.tried()
    for _ in range(nss.PATIENCE):
        assert patience.may_ask(False)
        patience.note(False, late=True)
    assert patience.tried()
    assert [patience.may_ask(False), patience.may_ask(True)] == [False, True]
    patience.note(True, late=False)
    assert not patience.may_ask(False)
    now[0] += nss.PAUSE
    assert [patience.may_ask(False) for _ in range(3)] == [True, False, False]
    now[0] += nss.PAUSE
    assert patience.may_ask(False)
    patience.note(False, late=False)
    assert all(patience.may_ask(False) for _ in range(10))
    assert not patience.tried()


def test_words_of_a_line() -> None:
    assert nss_helper._words(" files [SUCCESS=merge] sss [!UNAVAIL=return] systemd\n") == ["files", "sss", "systemd"]
    assert nss_helper._words(" files [NOTFOUND=return") == ["files"]
    assert nss_helper._words("") == []
