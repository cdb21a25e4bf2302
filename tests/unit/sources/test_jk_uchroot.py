"""jk_uchroot.ini as ``enter`` of jails' files."""

from __future__ import annotations

import pytest

from jailssh.jailkit import jk_uchroot

FILE = """# who may go where
[alice]
allowed_jails = /srv/web/, /srv/files
skip_injail_passwd_check = 1

[group staff]
allowed_jails=/srv/web
[DEFAULT]
allowed_jails = /srv/files
[bob]
skip_injail_passwd_check = 1
"""


def test_accounts_and_groups_by_jail() -> None:
    found = jk_uchroot.read(FILE)
    assert found.enter == {"files": ("alice",), "web": ("alice", "@staff")}
    text = found.as_text("/etc/jailssh/jails")
    assert "# at the top of /etc/jailssh/jails/web.conf:\nenter = alice, @staff\n" in text
    assert "[DEFAULT] was for every account: left away" in text
    assert "primary group" in text


@pytest.mark.parametrize(
    ("text", "enter", "said"),
    [
        ("[a]\nallowed_jails = /srv/x, /opt/x\n", {"x": ("a",)}, "/opt/x has the same name as /srv/x"),
        ("[a]\nallowed_jails = /\n", {}, "gives no name of a jail"),
        ("[a]\nallowed_jails = /srv/WEB\n", {}, "gives no name of a jail"),
        ("[a b]\nallowed_jails = /srv/x\n", {}, "names no account and no group"),
        ("[group ]\nallowed_jails = /srv/x\n", {}, "names no account and no group"),
        ("[a]\nallowed_jails = /srv/x\n[a]\nallowed_jails = /srv/y\n", {"x": ("a",)}, "second section [a]"),
        ("[a]\nallowed = /srv/x\n", {"x": ("a",)}, "'allowed' is read as allowed_jails"),
        ("[a]\nallowed_jails = /srv/x # note\n", {}, "gives no name of a jail"),
        ("[a]\nallowed_jails = \n", {}, ""),
        ("", {}, ""),
    ],
)
def test_what_is_not_as_it_seems(text: str, enter: dict[str, tuple[str, ...]], said: str) -> None:
    found = jk_uchroot.read(text)
    assert found.enter == enter
    assert said in "\n".join(found.warnings)


def test_which_file_it_is() -> None:
    assert jk_uchroot.is_one(FILE)
    assert jk_uchroot.is_one("[a]\n allowed_jails =/srv/x\n")
    assert not jk_uchroot.is_one("[a]\nexecutables = /usr/bin/scp\n# allowed_jails\n")
