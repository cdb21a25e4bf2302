"""Makes the marker ``needs``, the clean environment and the build fixtures known to tests/ and plugins/ alike."""

import gc

from hypothesis import HealthCheck, settings

from tests.harness.removing import wait_for_removals

# On a busy machine what draws an example is as slow as everything else, and finds no fault by that.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

pytest_plugins = ("tests.abilities", "tests.side_by_side")

# What collecting makes stays, so there is nothing to be found in it: a fifth of the time in which no test runs yet.
gc.disable()


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over the tests themselves, and come less often: it took a sixth of the time."""
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)
    gc.enable()


def pytest_sessionfinish() -> None:
    """Leave nothing behind."""
    wait_for_removals()
