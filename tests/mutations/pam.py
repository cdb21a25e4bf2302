"""What must hold of the PAM module (pam/README.md), each of its checks left out by itself."""

from __future__ import annotations

from tests.mutations.table import PAM, Mutation

_TESTS = "tests/root/pam/test_module.py"


def module(name: str, old: str, new: str, *tests: str) -> Mutation:
    """Return a mutation of the module; ``tests``: those of its file."""
    return Mutation(f"PAM module: {name}", PAM, old, new, tuple(f"{_TESTS}::{test}" for test in tests))


MODULE = (
    module("nothing executes", ".attr_set = MOUNT_ATTR_NOEXEC", ".attr_set = 0", "test_nothing_else_can_be_executed"),
    module("the links of /proc are covered", '"jailssh", "/proc", "tmpfs"', '"jailssh", "/mnt", "tmpfs"',
        "test_what_a_service_starts_runs_in_the_jail"),
    module("a service that is not named is refused", '!is_inside(person, service))\n        return refuse',
        "false)\n        return refuse", "test_a_service_that_is_not_named_is_refused"),
    module("root alone becomes an account by su", "&& getuid() == 0", "&& true",
        "test_root_alone_becomes_an_account_without_being_told"),
    module("a plan alone jails", "if (!has_plan(person) && !person->in_group && ", "if (!person->in_group && ",
        "test_a_plan_is_enough_to_be_known"),
    module("a group alone jails", "if (!has_plan(person) && !person->in_group && ", "if (!has_plan(person) && ",
        "test_a_group_is_enough_to_be_known"),
    module("a plan of another name jails nobody", "strcmp(person->plan.name, person->entry->pw_name) == 0", "true",
        "test_a_plan_of_the_account_that_had_this_uid_before_jails_nobody"),
    module("a damaged directory of plans jails nobody", "(!there || errno == ENOENT)", "(errno == ENOENT && there)",
        "test_a_group_is_enough_to_be_known"),
    module("the table ends where it should", "if (!line || *text != '\\0')", "if (false)",
        "test_what_is_wrong_is_refused_and_named"),
    module("a session is of whom it is for", "->entry->pw_name, name) == 0)", "->entry->pw_name, name) != 2)",
        "test_a_session_is_of_whom_it_is_for"),
    module("a session that cannot be led inside is refused", "why = view_enter();", "(void)view_enter();",
        "test_jobs_are_refused_where_their_way_into_the_jail_is_broken"),
)  # fmt: skip
