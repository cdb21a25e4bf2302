"""Programs that are written in Python: where an image finds the interpreter's modules and theirs."""

from __future__ import annotations

INTERPRETER = "/usr/bin/python3"
STANDARD = tuple(f"/usr/{lib}/python3.{minor}" for lib in ("lib", "lib64") for minor in range(9, 16))
"""The standard library of whichever version this host has; with Fedora's and Arch's layout also what is installed."""

ENVIRONMENT = (("PYTHONNOUSERSITE", "1"), ("PYTHONDONTWRITEBYTECODE", "1"))
"""Nothing is loaded from ``~/.local``, which the user can write to."""


def modules(*names: str) -> tuple[str, ...]:
    """Return the standard library and, where Debian keeps them, the modules ``names``; each may be absent."""
    return (*STANDARD, *(f"/usr/lib/python3/dist-packages/{name}" for name in names))
