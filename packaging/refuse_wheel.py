"""What pip and other builders call here: there is no wheel of jailssh, and this says what there is.

The login program is set-user-ID root, which a wheel cannot carry, and a virtual environment belongs to whoever made it.
"""

from __future__ import annotations

from typing import NoReturn

SENTENCE = (
    "jailssh: pip cannot install it: its login program is set-user-ID root, which a wheel cannot carry\n"
    "hint: as root, in the source tree: make install, or make deb and apt-get install ./build/deb/jailssh_*.deb"
)


def _refuse(*_: object, **__: object) -> NoReturn:
    """Raise SystemExit with :data:`SENTENCE`, whatever the builder wants to have made (PEP 517, PEP 660)."""
    raise SystemExit(SENTENCE)


get_requires_for_build_wheel = get_requires_for_build_sdist = get_requires_for_build_editable = _refuse
prepare_metadata_for_build_wheel = prepare_metadata_for_build_editable = _refuse
build_wheel = build_sdist = build_editable = _refuse
