"""Mail servers that read other files of a home than those that are covered are told, with a cure."""

from __future__ import annotations

import pytest

from jailssh.services import mail

# As Debian sets postfix up.
POSTFIX = """\
forward_path = $home/.forward${recipient_delimiter}${extension}, $home/.forward
recipient_delimiter = +
allow_mail_to_commands = alias, forward
mailbox_command =
"""
DELIVER = "/usr/libexec/jailssh/jailssh-deliver"
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
    ((what, why, cure),) = mail.about_postfix(POSTFIX, DELIVER)
    assert what == "postfix forward_path"
    assert "$home/.forward${recipient_delimiter}${extension}" in why
    assert "postconf -e 'forward_path = $home/.forward'" in cure


def test_postfix_is_quiet_once_cured() -> None:
    for old, new in (
        ("recipient_delimiter = +", "recipient_delimiter ="),
        ("alias, forward", "alias"),
        ("$home/.forward${recipient_delimiter}${extension}, ", ""),
    ):
        assert mail.about_postfix(POSTFIX.replace(old, new), DELIVER) == []
    assert mail.about_postfix("", DELIVER) == []


def test_other_ways_of_postfix_to_deliver() -> None:
    procmail = POSTFIX.replace("recipient_delimiter = +", "").replace(
        "mailbox_command =", 'mailbox_command = procmail -a "$EXTENSION"'
    )
    assert mail.about_postfix(procmail, DELIVER) == []
    ((what, why, _),) = mail.about_postfix(procmail.replace("procmail -a", "/opt/deliver.sh"), DELIVER)
    assert what == "postfix mailbox_command"
    assert "/opt/deliver.sh" in why


def test_exim_routers() -> None:
    assert mail.about_exim(EXIM) == []
    ((_, why, cure),) = mail.about_exim(EXIM.replace(".forward", ".forward${local_part_suffix}"))
    assert ".forward${local_part_suffix}" in why
    assert "forbid_pipe" in cure


# What the transports of Debian's exim4 are, shortened.
TRANSPORTS = """\
address_file transport:
driver = appendfile
user =
address_pipe transport:
driver = pipe
user =
command =
no_force_command
fixed_pipe transport:
driver = pipe
user = list
command = /bin/sh
own_pipe transport:
driver = pipe
user =
command = "/bin/sh -c x"
no_force_command
gone_pipe transport:
driver = pipe
command = /none/maildrop
"""
ROUTERS = "aliases router:\npipe_transport =\nuserforward router:\npipe_transport = address_pipe\n"


def test_commands_that_postfix_runs_outside() -> None:
    ((what, why, cure),) = mail.commands_of_postfix(POSTFIX, DELIVER)
    assert (what, why) == ("postfix", "runs commands of .forward files outside the jail")
    assert f"postconf -e 'local_command_shell = {DELIVER} -c'" in cure
    assert "mail_inside = yes" in cure
    by_admin = POSTFIX.replace("alias, forward", "alias").replace("mailbox_command =", "mailbox_command = procmail")
    ((_, why, _),) = mail.commands_of_postfix(by_admin, DELIVER)
    assert why == "runs commands of mailbox_command outside the jail"
    for other in ("/bin/sh -c", f"{DELIVER}", f"{DELIVER} --", f"/opt{DELIVER} -c"):
        assert mail.commands_of_postfix(f"{POSTFIX}local_command_shell = {other}\n", DELIVER)
    assert mail.commands_of_postfix(f"{POSTFIX}local_command_shell = {DELIVER} -c\n", DELIVER) == []
    assert mail.commands_of_postfix(POSTFIX.replace("alias, forward", "alias"), DELIVER) == []
    assert mail.commands_of_postfix("", DELIVER) == []


def test_commands_that_exim_runs_outside() -> None:
    found = mail.commands_of_exim(TRANSPORTS, ROUTERS, DELIVER)
    assert [what for what, _, _ in found] == ["exim transport address_pipe", "exim transport own_pipe"]
    assert f"command = {DELIVER} -- $address_pipe, and force_command" in found[0][2]
    assert f'command = {DELIVER} -- "/bin/sh -c x"' in found[1][2]
    cured = TRANSPORTS.replace('"/bin/sh -c x"', f"{DELIVER} -- /bin/sh -c x")
    forced = cured.replace("command =\nno_force_command", f"command = {DELIVER} -- $address_pipe\nforce_command")
    assert mail.commands_of_exim(forced, ROUTERS, DELIVER) == []
    # Of the file's own command nothing is seen unless it is forced.
    (only,) = mail.commands_of_exim(forced.replace("\nforce_command", "\nno_force_command"), ROUTERS, DELIVER)
    assert only[0] == "exim transport address_pipe"


def test_servers_that_start_the_delivery_command(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"postconf": f"local_command_shell = {DELIVER} -c\n", "exim4": "command = /usr/bin/procmail\n"}
    monkeypatch.setattr(mail, "_said", lambda *argv: said.get(argv[0], ""))
    monkeypatch.setattr("jailssh.host.process.find_program", lambda name: f"/usr/sbin/{name}")
    assert mail.starting(DELIVER) == ["postfix"]
    said["exim4"] = f"command = {DELIVER} -- $address_pipe\n"
    assert mail.starting(DELIVER) == ["postfix", "exim"]
    assert mail.starting(DELIVER.removeprefix("/usr")) == []


def test_with_the_delivery_command_files_alone_are_written_outside() -> None:
    ((_, why, _),) = mail.about_postfix(f"{POSTFIX}local_command_shell = {DELIVER} -c\n", DELIVER)
    assert "files that it names are written outside the jail" in why
