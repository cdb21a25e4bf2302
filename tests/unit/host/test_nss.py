"""How often a name service is asked that does not answer."""

from __future__ import annotations

from pathlib import Path

import pytest

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


def test_names_of_local_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group, switch = tmp_path / "group", tmp_path / "nsswitch.conf"
    monkeypatch.setattr(nss_helper, "GROUPS", str(group))
    monkeypatch.setattr(nss_helper, "SWITCH", str(switch))
    group.write_text("one:x:5:a,b\ntwo:x:5:\n+nis:x:6:\n#no:x:7:\nbad:x:y:\n:x:8:\nshort:x:9\n\nlast:x:10:")
    switch.write_text("group: files systemd\n")
    services = nss_helper.Services()
    found = {gid: services.local_group(gid) for gid in range(4, 12)}
    # As getgrgid(3): the first line counts, and what is no line of a group is none.
    assert {gid: name for gid, name in found.items() if name} == {5: "one", 10: "last"}
    group.write_text("two:x:5:\n")
    assert services.local_group(5) == "two"
    group.unlink()
    group.write_text("six:x:5:\n")
    assert services.local_group(5) == "six"
    # Where something else is asked first, that says it.
    switch.write_text("group: sss files\n")
    assert services.local_group(5) is None
