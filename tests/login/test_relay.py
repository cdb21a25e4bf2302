"""The relay under a scheduler that a seed decides: nothing is lost, put in another order, held up or taken for an end.

Each run relays pipes, sockets or terminals with fast and slow ends, limits down to one byte a second, and poll(2)
answers that are old when they are used.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.harness.sampling import ALL, some
from tests.login.driver import LOGIN, compile_c

pytestmark = pytest.mark.needs("gcc", "sanitizers")

RUNS, PARTS = 3000, 6


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sources = [Path(__file__).with_name("scheduler.c"), LOGIN / "outer/pump.c"]
    return compile_c("gcc", tmp_path_factory.mktemp("relay") / "scheduler", sources, "-fsanitize=address,undefined")


@pytest.mark.parametrize("number", range(PARTS if ALL else 2))
def test_any_order(scheduler: Path, number: int) -> None:
    each, part = RUNS // PARTS, some(range(PARTS), 2, "relay")[number]
    done = subprocess.run([scheduler, str(part * each), str(each)], capture_output=True, text=True, timeout=200)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
