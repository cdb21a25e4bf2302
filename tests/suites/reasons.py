"""Why tests of other projects end in another way in a jail: each difference by design, with its reason."""

from __future__ import annotations

from tests.suites.results import FAIL, SKIP, Reason

_SETGID = "a jail makes no file and no directory setgid or setuid"

REASONS: tuple[Reason, ...] = (
    Reason(
        "bash",
        ("run-trap", "run-varenv"),
        FAIL,
        "SIGXFSZ is ignored in a jail, so that a write beyond the limit says EFBIG and a server goes on; trap lists it",
    ),
    Reason("cpython", ("test.test_os.MakedirTests.test_exist_ok_s_isgid_directory",), SKIP, _SETGID),
    Reason(
        "cpython",
        (
            "test.test_subprocess.POSIXProcessTestCase.test_extra_groups",
            "test.test_subprocess.POSIXProcessTestCase.test_group",
        ),
        SKIP,
        "a jail knows the account's own groups alone, and nobody else's by name",
    ),
    Reason(
        "git",
        (
            "t0001-init: 20 *",
            "t0001-init: 21 *",
            "t0001-init: 28 *",
        ),
        FAIL,
        _SETGID,
    ),
    Reason(
        "cpython",
        ("test.test_venv.BasicTest.test_zippath_from_non_installed_posix",),
        FAIL,
        "it copies the standard library to /tmp, which holds 64 MiB in a jail unless tmp_size says more",
    ),
    Reason(
        "rsync",
        ("chmod-symlink-race",),
        FAIL,
        "openat2(2) is answered as by a kernel without it, as no filter sees the mode that it gives; rsync goes step by"
        " step then and follows no link, not even one that stays inside",
    ),
    Reason("rsync", ("chmod-option", "dir-sgid"), SKIP, _SETGID),
)
