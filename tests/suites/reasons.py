"""Why tests of other projects end in another way in a jail: each difference by design, with its reason."""

from __future__ import annotations

from tests.suites.results import Reason

REASONS: tuple[Reason, ...] = ()
