"""Accounts whose login shell is MySecureShell."""

from __future__ import annotations

import pytest

from jailssh.sources import mysecureshell
from jailssh.sources.found import Effect, Fate, Found
from tests.unit.sources.shells import one, survives, texts

PATH = "/etc/ssh/sftp_config"
SHELL = "/usr/bin/mysecureshell"
STOCK = """\
<Default>
\tGlobalDownload\t\t50k\t#total speed
\tDownload 5k
\tUpload\t\t0
\tStayAtHome\ttrue
\tVirtualChroot\ttrue
\tLimitConnectionByUser 2
\tLimitConnectionByIP 5
\tHome\t\t\t/home/$USER
\tIdleTimeOut\t5m
\tResolveIP\t\ttrue
\tHideNoAccess\ttrue
\tDefaultRights\t0640 0750
</Default>
"""


def found(text: str, **files: str) -> Found:
    """Return what is found with this file, and others below /etc/ssh."""
    return one(mysecureshell, SHELL, {PATH: text, **{f"/etc/ssh/{name}": each for name, each in files.items()}})


def test_the_stock_file() -> None:
    """Speeds, times and rights become settings."""
    result = found(STOCK)
    assert result.fate is Fate.MIGRATE, texts(result)
    assert result.settings == {
        "": {"plugins": "sftp"}, "sftp": {"umask": "027"},
        "limits": {"idle_timeout": "300", "max_sessions": "2", "bandwidth": "5120"},
    }  # fmt: skip
    assert result.where == f"{PATH}:9" and (result.home, result.inside) == ("", "")
    assert f"{PATH}:2 GlobalDownload" in texts(result, Effect.LOST)
    assert f"{PATH}:12 files that it cannot read" in texts(result, Effect.CHANGED)
    assert "what was /x is /home/kim/x" in texts(result, Effect.CHANGED)


ACTIVE: tuple[tuple[str, str, bool], ...] = (
    ("a user's", "<User kim>\nDisableRename true\n</User>\n", True),
    ("another user's", "<User lee>\nDisableRename true\n</User>\n", False),
    ("tags without case", "<uSER kim>\nDisableRename TRUE\n</user>\n", True),
    ("names with case", "disablerename true\n", False),
    ("a group's", "<Group users>\nDisableRename 1\n</Group>\n", True),
    ("everybody's", "<Group *>\nDisableRename 1\n</Group>\n", True),
    ("not yes", "DisableRename yes\n", False),
    ("the last one", "DisableRename true\nDisableRename false\n", False),
    ("the innermost decides", "<User lee>\n<Group users>\nDisableRename 1\n</Group>\n</User>\n", True),
    ("the innermost decides, the other way", "<User kim>\n<Group no>\nDisableRename 1\n</Group>\n</User>\n", False),
    ("behind the inner one", "<User lee>\n<Group users>\n</Group>\nDisableRename 1\n</User>\n", False),
    ("an unknown tag is Default", "<Anything lee>\nDisableRename 1\n</Anything>\n", True),
    ("a tag without argument opens nothing", "<User lee>\n<Default>\nDisableRename 1\n</Default>\n</User>\n", False),
    ("and its end closes another", "<User lee>\n<Default>\n</Default>\nDisableRename 1\n</User>\n", True),
    ("within a FileSpec", "<FileSpec x>\nDisableRename 1\n</FileSpec>\n", False),
    ("quotes and an equal sign", "'DisableRename' = \"tr\"ue # x\r\n", True),
    ("a comment in quotes", "LogFile '#' \nDisableRename 1\n", True),
    ("behind a NUL", "x \0\nDisableRename 1\n", True),
    ("a long line's rest is a line", "#" + "x" * 1022 + "DisableRename 1\n", True),
    ("included", "Include /etc/ssh/more\n", True),
    ("included nothing", "Include /etc/ssh/none\nDisableRename 1\n", True),
    ("included by a tag of another's", "<User lee>\nInclude /etc/ssh/more\n</User>\n", False),
)  # fmt: skip


@pytest.mark.parametrize(("text", "holds"), [case[1:] for case in ACTIVE], ids=[case[0] for case in ACTIVE])
def test_which_lines_are_active(text: str, holds: bool) -> None:
    """As MySecureShell decides it, oddities and all."""
    result = found(text, more="DisableRename true\n")
    assert result.fate is Fate.MIGRATE, texts(result)
    assert ("sftp" in result.settings) == holds


RIGHTS: tuple[tuple[str, dict[str, object]], ...] = (
    ("DisableReadDir true\n", {"deny_requests": ("opendir", "readdir")}),
    ("DisableRemoveFile 1\nDisableRemoveDir 1\n", {"deny_requests": ("rmdir", "remove")}),
    ("CanChangeTime false\n", {"deny_requests": ("setstat", "fsetstat", "lsetstat")}),
    ("DisableOverwrite true\nDisableRename true\n", {"append_only": "yes"}),
    ("DisableOverwrite true\nDisableReadFile true\n",
     {"append_only": "yes", "deny_requests": ("read", "copy-data")}),
    ("".join(f"Disable{name} true\n" for name in
             ("RemoveDir", "RemoveFile", "WriteFile", "SetAttribute", "MakeDir", "Rename", "SymLink", "Overwrite")),
     {"read_only": "yes"}),
    ("MaximumRights 0644\n", {"umask": "133"}),
    ("ForceRights 0600 0700\nDefaultRights 0640 0755\n", {"umask": "077"}),
)  # fmt: skip


@pytest.mark.parametrize(("text", "own"), RIGHTS)
def test_rights_become_requests(text: str, own: dict[str, object]) -> None:
    """What is disabled stays disabled."""
    result = found(text)
    assert result.fate is Fate.MIGRATE, texts(result)
    assert result.settings["sftp"] == own


ENDS: tuple[tuple[str, Fate, str], ...] = (
    ("</User>\n", Fate.REFUSED, f"{PATH}:1 closes a tag too many"),
    ("<User kim>\n", Fate.REFUSED, "leaves 1 tags open"),
    ("<User kim\n</User>\n", Fate.REFUSED, f"{PATH}:1 has no '>'"),
    ("DisableAccount true\n", Fate.REFUSED, "DisableAccount"),
    ("ApplyFileSpec images\n", Fate.LEAVE, "ApplyFileSpec"),
    ("<IpRange 10.0.0.1-10.0.0.9>\nDisableReadFile 1\n</IpRange>\n", Fate.LEAVE, f"{PATH}:1 holds for some addresses"),
    ("<VirtualHost *:22>\nHome /srv/x\n</VirtualHost>\n", Fate.LEAVE, "depends on the address"),
    ("Include more\n", Fate.LEAVE, "whatever directory a login begins in"),
    ("Home /srv/$TERM\n", Fate.LEAVE, "the variable '$TERM'"),
    ("Home /home\n", Fate.LEAVE, "holds the homes"),
    ("Home srv\n", Fate.LEAVE, "not an absolute path"),
    ("DefaultRights rw\n", Fate.LEAVE, "no rights"),
    ("ExpireDate tomorrow\n", Fate.LEAVE, "never expires"),
    ("Shell /bin/bash\nDisableRename true\n", Fate.LEAVE, "decide for one"),
)  # fmt: skip


@pytest.mark.parametrize(("text", "fate", "why"), ENDS)
def test_what_is_refused_or_left(text: str, fate: Fate, why: str) -> None:
    """With the line."""
    result = found(text)
    assert result.fate is fate and why in texts(result) and not result.settings


def test_there_must_be_a_file() -> None:
    """The second place is looked at where the first has none."""
    assert one(mysecureshell, SHELL).fate is Fate.REFUSED
    assert one(mysecureshell, SHELL, {"/etc/sftp_config": "StayAtHome true\n"}).fate is Fate.MIGRATE


def test_blocks_for_addresses_that_change_nothing_are_none() -> None:
    """Only what they say counts."""
    assert found("StayAtHome true\n<IpRange 10.0.0.0/8>\nStayAtHome true\n</IpRange>\n").fate is Fate.MIGRATE


def test_includes_in_a_circle_end() -> None:
    """Ten deep, as there; and not for ever."""
    assert f"{PATH}:1 includes {PATH}, which is not there or is too deep" in texts(found(f"Include {PATH}\n"))
    result = found(f"Include {PATH}\nInclude {PATH}\n")
    assert result.fate is Fate.LEAVE and "times" in texts(result)


def test_shell_home_and_date() -> None:
    """The rest of what an account has."""
    result = found("Shell /bin/bash\nHome '/srv/data/${USER}/'\nExpireDate 2030-01-31 18:00:00\n")
    assert result.settings == {"": {"plugins": "sftp shell"}, "shell": {"shell": "/bin/bash"}}
    assert result.home == "/srv/data/kim" and result.own == {"expires": "2030-01-31 18:00"}
    assert "nothing confines" in texts(result, Effect.CLOSED)
    assert "unknown" not in texts(result)


def test_values_of_other_versions() -> None:
    """A name that it does not know goes on with a message."""
    result = found("Callbackupload x\nCallbackUpload '/usr/local/bin/x $USER'\nLogFile\n")
    assert "/etc/ssh/sftp_config:2 CallbackUpload: a command after" in texts(result, Effect.LOST)
    assert "does not know 'Callbackupload'" in texts(result) and f"{PATH}:3" in texts(result, Effect.NOTE)


def test_damaged_files() -> None:
    """They give nothing more."""
    survives(mysecureshell, SHELL, PATH, STOCK)
