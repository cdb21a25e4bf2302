"""Which directories the setting ``services`` stands for."""

from __future__ import annotations

import pytest

from jailssh.checks.sockets import POWERFUL
from jailssh.config.services import SERVICES, directories


def test_names_and_directories() -> None:
    assert directories(()) == ()
    assert directories(("redis", "mysql", "/run/site/api")) == (
        "/run/mariadb", "/run/mysqld", "/run/redis", "/run/site/api", "/run/valkey",
    )  # fmt: skip
    assert all(directories((name,)) for name in SERVICES)


@pytest.mark.parametrize(
    "word", ["", "sql", "run/x", "/run", "/run/", "/run//x", "/run/../x", "/run/x/..", "/var/run/x", "/tmp"]
)
def test_what_is_no_directory_of_a_service(word: str) -> None:
    with pytest.raises(ValueError, match="is not one of memcached, mysql, postgresql, redis and not a directory"):
        directories((word,))


def test_no_directory_with_a_socket_that_gives_power() -> None:
    """Those in ``/run`` itself cannot be named at all."""
    known = {path.rsplit("/", 1)[0] for path in POWERFUL if path.startswith("/run/")} - {"/run"}
    assert len(known) > 5
    for path in (*known, "/run/user/1000", "/run/systemd/journal", "/run/jailssh/log"):
        with pytest.raises(ValueError, match="has sockets that give power"):
            directories((path,))
