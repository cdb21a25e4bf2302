"""What Jailkit does, case by case, and the test that holds that jailssh does so too, or does it rightly.

The cases are those of a set-up of Jailkit's: who is let in, what becomes of an account, what is found, what is read.
"""

from __future__ import annotations

import ast

import pytest

from jailssh.jail.profiles import shipped_profiles
from jailssh.jailkit import source as jailkit
from jailssh.migration.wanted import wanted
from jailssh.sources.found import Fate, Person
from tests.abilities import REPO
from tests.unit.source_tools import AHost

_FOUND, _FILTER = "tests/unit/sources/test_jailkit.py", "tests/unit/sources/test_jk_lsh.py"
_REAL, _BOOTED = "tests/sshd/test_migrate_jailkit.py", "tests/system/test_jailkit_booted.py"
_INIT, _CHECK = "tests/unit/jailspec/test_jkinit.py", "tests/unit/sources/test_jk_check.py"
_CHROOT, _ADDUSER = "tests/root/checks/test_check.py", "tests/root/users/test_adduser.py"
_ORACLE, _STATE = "tests/root/migration/test_jk_lsh_oracle.py", "tests/root/login/test_state.py"
_INSIDE, _NAMES = "tests/root/login/test_inside.py", "tests/unit/compat/test_names.py"
_REFUSED, _RELAXED = "test_who_is_refused_today_with_the_exit_code", "test_relaxed_checks_of_a_home_are_flagged"
_BY_THE_REAL = f"{_REAL}::test_who_is_refused_with_the_exit_code_of_the_real_one"
_HERE = "tests/unit/migration/test_jailkits_behaviour.py"
TESTS: dict[str, tuple[str, ...]] = {
    # The login shell.
    "1 home, HOME, USER and / in the jail": (f"{_REAL}::test_a_login_is_in_the_home_as_jailkits_was",),
    "2 any spelling of jk_chrootsh, and no checker flags it": (
        f"{_FOUND}::test_every_spelling_of_the_shell", f"{_REAL}::test_any_spelling_of_the_shell_is_no_finding",
    ),
    "3 called by another name; su": (
        f"{_STATE}::test_the_programs_own_name_means_nothing", f"{_REAL}::test_a_login_is_in_the_home_as_jailkits_was",
    ),
    "5 a home without /./, missing, or a file": (f"{_FOUND}::{_REFUSED}", _BY_THE_REAL),
    "6 a path of the jail that is not the kernel's": (f"{_FOUND}::{_REFUSED}", _BY_THE_REAL),
    "7 a jail that others can write to": (f"{_FOUND}::{_REFUSED}", _BY_THE_REAL),
    "9 a home that its group can write to": (f"{_FOUND}::{_RELAXED}", _BY_THE_REAL),
    "10 owner, group and others of a home": (f"{_FOUND}::{_RELAXED}", f"{_FOUND}::{_REFUSED}", _BY_THE_REAL),
    "11 one section alone acts": (f"{_FOUND}::{_RELAXED}",),
    "13 the jail's own passwd and group": (f"{_FOUND}::{_REFUSED}", _BY_THE_REAL),
    "14 the shell of the section": (
        f"{_FOUND}::test_the_shell_of_the_section_and_a_passwd_that_is_not_asked",
        f"{_FOUND}::test_a_blank_before_the_shell_is_not_meant",
    ),
    "15 a login shell that takes commands": (
        f"{_FOUND}::test_a_login_shell_that_drops_commands", "tests/sshd/test_shell.py::test_usual_tools",
    ),
    "17 a descriptor above the limit": (f"{_STATE}::test_open_descriptors",),
    "18 set-id programs, ptrace, processes of others": (
        f"{_INSIDE}::test_a_set_uid_program_in_the_home", f"{_INSIDE}::test_nothing_that_is_forbidden_works",
        f"{_INSIDE}::test_another_accounts_processes", f"{_INSIDE}::test_proc_tells_nothing_of_others",
    ),
    # Accounts into jails.
    "43 an account goes in with all of its files, or not at all": (
        f"{_ADDUSER}::test_an_existing_account_is_taken_and_restored_exactly",
        f"{_ADDUSER}::test_a_home_of_traps_is_left_as_it_is", f"{_NAMES}::test_what_cannot_be_done_is_an_error",
    ),
    "45 an account with a process": (f"{_ADDUSER}::test_a_logged_in_account_is_taken_with_now_only",),
    "46 links, pipes, sockets, hard links and attributes in a home": (
        f"{_ADDUSER}::test_a_home_of_traps_is_left_as_it_is",
        f"{_ADDUSER}::test_a_failure_in_the_middle_is_taken_back",
    ),
    "47 the jail's passwd without a last line's end": (f"{_REAL}::test_what_worked_works_and_all_goes_back",),
    # What is found.
    "49 what jk_check finds, and what it does not": (
        f"{_CHROOT}::test_a_chroot_of_others", "tests/unit/checks/test_judgements.py::test_paths_of_a_chroot",
        "tests/unit/checks/test_judgements.py::test_accounts_of_a_chroot",
    ),
    "50 empty and ambiguous paths leave nothing out": (
        f"{_CHECK}::test_what_is_left_away_is_told", f"{_CHROOT}::test_a_chroot_of_others_in_order",
    ),
    # The files.
    "57 the jk_init.ini that is shipped": (
        f"{_INIT}::test_the_installed_file_reads_as_python_reads_it",
        f"{_INIT}::test_all_of_jailkit_s_names_are_shipped",
        f"{_INIT}::test_keys_and_deprecated_names_in_jk_init_s_order",
    ),
    "58 what jk_init trips over": (
        f"{_INIT}::test_what_jk_init_trips_over_is_noted", f"{_INIT}::test_errors_have_their_place",
        f"{_INIT}::test_any_bytes_give_statements_or_spec_errors",
    ),
    "59 jk_lsh.ini as it acts": (
        f"{_ORACLE}::test_the_same_commands_run", f"{_FILTER}::test_strict_refuses",
        f"{_FILTER}::test_a_long_value_is_cut", f"{_FILTER}::test_comments_and_line_ends",
    ),
    "60 relax_home_group alone": (f"{_FOUND}::{_RELAXED}",),
    "61 jk_check.ini": (
        f"{_CHECK}::test_a_file_as_it_is_shipped", f"{_CHECK}::test_what_is_left_away_is_told",
        f"{_CHECK}::test_a_jail_that_is_not_there",
    ),
    "62 jk_socketd.ini, jk_update.ini, jk_uchroot.ini": (f"{_FOUND}::test_the_other_files",),
    # Fleets.
    "63 who is where, by which file": (
        f"{_FOUND}::test_every_spelling_of_the_shell",
        f"{_FOUND}::test_the_filter_of_the_jail_decides_and_not_that_of_the_host", f"{_FOUND}::{_REFUSED}",
    ),
    "64 /./ with another shell": (f"{_FOUND}::test_a_mark_with_another_shell_is_listed_and_left",),
    "65 the same logins before and after, and all of it back": (
        f"{_BOOTED}::test_the_whole_way_and_back", f"{_REAL}::test_what_worked_works_and_all_goes_back",
        f"{_REAL}::test_the_plan_tells_what_becomes_of_a_line_of_passwd",
    ),
    "66 jk_chrootsh goes on": (
        f"{_BOOTED}::test_the_whole_way_and_back", f"{_BOOTED}::test_accounts_whose_shell_has_vanished_are_served",
    ),
    "67 two hundred accounts of one section": (f"{_HERE}::test_accounts_of_one_section_share_a_jail",),
    "68 data of users in directories of the system": (
        f"{_FOUND}::test_data_of_users_in_directories_of_the_system",
        "tests/root/compat/test_trees.py::test_a_jail_is_made_filled_and_updated",
    ),
    # The two dialects of its files.
    "A the programs in C": (f"{_ORACLE}::test_the_same_commands_run", f"{_FOUND}::test_the_other_files"),
    "A the programs in Python": (f"{_INIT}::test_the_same_sections_and_values_as_configparser",),
    # Numbers of exit codes.
    "B of jk_chrootsh": (_BY_THE_REAL, f"{_FOUND}::{_REFUSED}"),
    "B of the others": (f"{_NAMES}::test_what_cannot_be_done_is_an_error",),
}  # fmt: skip


@pytest.mark.parametrize("case", TESTS)
def test_the_tests_are_there(case: str) -> None:
    for place in TESTS[case]:
        path, _, name = place.partition("::")
        tree = ast.parse((REPO / path).read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, place


def test_accounts_of_one_section_share_a_jail() -> None:
    """And who has a section of their own has a jail of their own; again there is nothing to do."""
    shell, jail = "/usr/sbin/jk_chrootsh", "/srv/j1"
    people = [
        Person(f"u{number}", 2000 + number, 2000 + number, group=f"u{number}", home=f"{jail}/./home/u{number}",
               shell=shell)
        for number in range(200)
    ]  # fmt: skip
    text = "[{}]\npaths=/usr/bin\nexecutables=/usr/bin/{}\numask=022\n"
    files = {
        shell: "", "/usr/bin/rsync": "", "/usr/bin/id": "", "/etc/jailkit/jk_chrootsh.ini": "",
        f"{jail}/usr/sbin/jk_lsh": "", f"{jail}/etc/group": "".join(f"{p.group}:x:{p.gid}:\n" for p in people),
        f"{jail}/etc/passwd": "".join(f"{p.name}:x:{p.uid}:{p.gid}::/home/{p.name}:/usr/sbin/jk_lsh\n" for p in people),
        f"{jail}/etc/jailkit/jk_lsh.ini": text.format("u7", "id") + text.format("DEFAULT", "rsync"),
    }  # fmt: skip
    homes = {f"{jail}/home/{person.name}": (0o40700, person.uid, person.gid) for person in people}
    found = jailkit.find(AHost(people, files, homes, settings={"": {"subsystem": "sftp /usr/lib/sftp-server"}}))
    assert {each.fate for each in found} == {Fate.MIGRATE}
    plan = wanted(found, shipped_profiles(), {}, {})
    assert set(plan.texts) == {"jailkit-default", "jailkit-u7"}
    assert [name for name, its in plan.jails.items() if its == "jailkit-u7"] == ["u7"]
    assert len(plan.jails) == 200
    again = wanted(found, shipped_profiles(), {}, {name: [its] for name, its in plan.jails.items()})
    assert (again.jails, again.texts, len(again.left)) == ({}, {}, 200)
