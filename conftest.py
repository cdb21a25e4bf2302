"""Makes the marker ``needs``, the clean environment and the build fixtures known to tests/ and plugins/ alike."""

pytest_plugins = ("tests.abilities", "tests.side_by_side")
