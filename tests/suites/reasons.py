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
            "test.test_socket.GeneralModuleTests.testHostnameRes",
            "test.test_socket.GeneralModuleTests.testSockName",
        ),
        SKIP,
        "the host name is the jail's own, and no name service knows it",
    ),
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
    Reason("rsync", ("chmod-option", "dir-sgid"), SKIP, _SETGID),
)
