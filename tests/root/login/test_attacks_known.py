"""Every known attack has its test, or a reason why it has none here."""

from __future__ import annotations

import ast

import pytest

from tests.abilities import REPO
from tests.root.attack_rows_servers import ROWS

# Numbers that are not among them are of attacks on what jailssh does not have, or are part of a neighbour.
KNOWN = {
    "A": "01 02 03 04 05 06 07 08 09 10 11 12 13 14 16 17 19 20 22 23 24 25 26 28 29 30 31 32",
    "B": "01 02 04 05 07 08 10 11 13",
    "C": "01 02 03 04 05 07 08 10 11 13 14",
    "D": "01 02 03 04 05 07 08 10 11 13 14 16 17 19 20 21 22",
    "E": "01 02 03 04 05 07 08 10 11 13 14 16 17 19 20 22 23",
    "G": "01 02 04 05 07 08 10 11 13 14 16 17",
    "J": "01 02 04 05 07 08 10 11",
    "M": "01 02 04 05 07",
}

_ATTACKS, _KEYS, _SURFACE = (
    "tests/sshd/test_attacks.py",
    "tests/sshd/test_attacks_keys.py",
    "tests/sshd/test_surface.py",
)
_REPOSITORIES, _TERMINAL = "tests/sshd/test_repositories.py", "tests/root/login/test_terminal.py"
_ADDUSER, _SETUP = "tests/root/users/test_adduser.py", "tests/root/users/test_setup.py"
ELSEWHERE = {
    "A05": f"{_ATTACKS}::test_a_command_with_a_nul",
    "B10": f"{_ATTACKS}::test_bits_that_a_source_sends",
    "C01": f"{_SURFACE}::test_a_subsystem_of_sshd_itself_does_not_escape",
    "C04": f"{_ATTACKS}::test_requests_that_a_jail_denies",
    "C05": f"{_ATTACKS}::test_a_file_copied_onto_itself",
    "C07": f"{_ATTACKS}::test_links_lead_nowhere",
    "C08": "tests/root/login/test_homes.py::test_a_swap_during_the_login_leads_nowhere",
    "C10": f"{_ATTACKS}::test_odd_bytes_in_names",
    "C11": f"{_ATTACKS}::test_packets_of_no_client",
    "C13": f"{_ATTACKS}::test_rights_and_owners_that_a_client_sets",
    "C14": f"{_ATTACKS}::test_the_umask_is_the_jails",
    "D04": f"{_SURFACE}::test_variables_that_accept_env_lets_pass",
    "D13": f"{_ATTACKS}::test_a_link_that_comes_and_goes",
    "D22": f"{_ATTACKS}::test_special_files_that_a_client_sends",
    "E07": f"{_REPOSITORIES}::test_hooks_and_configuration_of_a_repository_are_not_run",
    "E08": f"{_REPOSITORIES}::test_hooks_and_configuration_of_a_repository_are_not_run",
    "E10": f"{_REPOSITORIES}::test_variables_for_git_do_not_pass",
    "E11": f"{_ATTACKS}::test_objects_of_a_repository_that_is_not_shown",
    "E22": f"{_ATTACKS}::test_names_of_variables_are_no_arguments",
    "E23": f"{_KEYS}::test_a_key_file_that_brings_options",
    "G01": f"{_SURFACE}::test_start_files_do_not_run",
    "G02": f"{_SURFACE}::test_options_of_a_key",
    "G04": f"{_SURFACE}::test_the_agent_is_not_there",
    "G05": f"{_ATTACKS}::test_channels_are_judged_each",
    "G07": f"{_SURFACE}::test_keys_cannot_be_changed_from_inside",
    "G08": f"{_KEYS}::test_a_comment_is_only_a_comment",
    "G10": f"{_KEYS}::test_files_of_keys_are_roots",
    "G11": f"{_KEYS}::test_what_sshd_tells_about_keys",
    "G13": f"{_SURFACE}::test_the_login_shell_without_the_drop_in",
    "G14": f"{_SETUP}::test_a_global_forced_command_or_chroot_does_not_win_over_the_drop_in",
    "G16": "plugins/shell/test_shell.py::test_no_program_that_changes_identity_is_among_the_tools",
    "J01": f"{_TERMINAL}::test_nothing_can_be_typed_for_the_caller",
    "J02": "tests/root/login/test_inside.py::test_nothing_that_is_forbidden_works",
    "M01": f"{_ADDUSER}::test_what_is_refused_changes_nothing",
    "M04": f"{_ADDUSER}::test_a_recreated_account_is_not_mistaken_for_the_jailed_one",
    "M05": "tests/root/login/test_homes.py::test_a_home_that_is",
}
"""Attacks that are no command line, with the test that makes them."""

NOT_HERE = {
    "E13": "a client's own clone of a local path; only git upload-pack is served, and no repository of others shown",
    "E14": "holes of git clients; the server never checks out",
    "E17": "what a hook prints goes to the one who pushed; only the administrator's own hooks run",
    "G17": "holes of sshd before the login; the version is for jailssh check to report",
    "J07": "the login program writes at most two records a login; a rate for jails' own logs is the relay's part",
    "J08": "no log socket is in a jail; the relay's part",
    "J10": "no log socket is in a jail; the relay's part",
    "M07": "sshd itself runs passwd for an expired password, before any login; for jailssh check to report",
}
"""Attacks without a test in these files, and why."""


def test_every_known_attack_is_accounted_for() -> None:
    known = {letter + number for letter, numbers in KNOWN.items() for number in numbers.split()}
    rows = {row.id for row in ROWS}
    assert rows | set(ELSEWHERE) | set(NOT_HERE) == known
    assert rows & set(NOT_HERE) == set(ELSEWHERE) & set(NOT_HERE) == set()


@pytest.mark.parametrize("id", ELSEWHERE)
def test_the_test_is_there(id: str) -> None:
    path, _, name = ELSEWHERE[id].partition("::")
    tree = ast.parse((REPO / path).read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_no_row_is_there_twice() -> None:
    asked = [(row.jail, row.command) for row in ROWS]
    assert [one for one in asked if asked.count(one) > 1] == []
