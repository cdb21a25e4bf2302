"""Fixtures of the login program's tests: the real matcher on the jails of ``jails.py``, and the driver."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from jailssh.plan import codec
from tests.harness.shared import once
from tests.login.driver import ITS_OWN, PURE, Driver, compile_c
from tests.login.jails import JAILS, plan_of

Decision = tuple[str, list[str]] | str


@pytest.fixture(scope="session")
def decide(tmp_path_factory: pytest.TempPathFactory, match_build: Path) -> Callable[[str, str], Decision]:
    """Return the decision of ``jailssh-match`` about a command in a jail: ``(rule, argv)``, or why not."""
    folder = tmp_path_factory.mktemp("plans")
    for name in JAILS:
        (folder / name).write_bytes(codec.encode(plan_of(name)))

    def run(jail: str, command: str) -> Decision:
        done = subprocess.run(
            [match_build, folder / jail, command], capture_output=True, timeout=10, text=True, errors="surrogateescape"
        )
        head, *argv = done.stdout.split("\n")[:-1]
        word, *facts = head.split("\t")
        assert (done.returncode, word) in ((0, "allow"), (3, "deny")), done
        return (facts[0], argv) if word == "allow" else facts[0]

    return run


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Driver:
    """The driver of the pure parts, with AddressSanitizer and UndefinedBehaviorSanitizer."""
    sources = [Path(__file__).with_name("driver.c"), *PURE, *ITS_OWN]

    def build(folder: Path) -> None:
        compile_c("gcc", folder / "driver", sources, "-fsanitize=address,undefined")

    return Driver(once(tmp_path_factory, "driver", build) / "driver")


@pytest.fixture(scope="session")
def scarce_driver(tmp_path_factory: pytest.TempPathFactory) -> Driver:
    """The driver with memory that runs out at a given allocation."""
    folder = tmp_path_factory.mktemp("scarce")
    flags = ["-fsanitize=address,undefined", "-fno-builtin"]
    renamed = [f"-D{name}=scarce_{name}" for name in ("malloc", "calloc", "strdup", "strndup")]
    objects = [compile_c("gcc", folder / f"{path.stem}.o", [path], "-c", *flags, *renamed) for path in PURE + ITS_OWN]
    sources = [Path(__file__).with_name(name) for name in ("driver.c", "scarce.c")]
    return Driver(compile_c("gcc", folder / "driver", [*sources, *objects], *flags))
