"""Mail servers that read other files of a home than those that are covered are told, with a cure."""

from __future__ import annotations

from jailssh.services import mail

# As Debian sets postfix up.
POSTFIX = """\
forward_path = $home/.forward${recipient_delimiter}${extension}, $home/.forward
recipient_delimiter = +
allow_mail_to_commands = alias, forward
mailbox_command =
"""
# What exim4 of Debian prints, shortened.
EXIM = """\
userforward router:
pass_router =
file = $home/.forward
file_transport = address_file
system_aliases router:
file =
"""


def test_postfix_reads_forward_files_without_number() -> None:
    ((what, why, cure),) = mail.about_postfix(POSTFIX)
    assert what == "postfix forward_path"
    assert "$home/.forward${recipient_delimiter}${extension}" in why
    assert "postconf -e 'forward_path = $home/.forward'" in cure


def test_postfix_is_quiet_once_cured() -> None:
    for old, new in (
        ("recipient_delimiter = +", "recipient_delimiter ="),
        ("alias, forward", "alias"),
        ("$home/.forward${recipient_delimiter}${extension}, ", ""),
    ):
        assert mail.about_postfix(POSTFIX.replace(old, new)) == []
    assert mail.about_postfix("") == []


def test_other_ways_of_postfix_to_deliver() -> None:
    procmail = POSTFIX.replace("recipient_delimiter = +", "").replace(
        "mailbox_command =", 'mailbox_command = procmail -a "$EXTENSION"'
    )
    assert mail.about_postfix(procmail) == []
    ((what, why, _),) = mail.about_postfix(procmail.replace("procmail -a", "/opt/deliver.sh"))
    assert what == "postfix mailbox_command"
    assert "/opt/deliver.sh" in why


def test_exim_routers() -> None:
    assert mail.about_exim(EXIM) == []
    ((_, why, cure),) = mail.about_exim(EXIM.replace(".forward", ".forward${local_part_suffix}"))
    assert ".forward${local_part_suffix}" in why
    assert "forbid_pipe" in cure
