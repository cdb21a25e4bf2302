"""A command line of the administrator's, as it is read."""

from __future__ import annotations

from dataclasses import dataclass, field

from jailssh.core.errors import ConfigError


@dataclass
class Line:
    """One command line as it is read."""

    text: str
    literal_words: list[str] = field(default_factory=list)
    short_flags: str = ""
    short_options: list[tuple[str, str]] = field(default_factory=list)
    long_options: list[tuple[str, str]] = field(default_factory=list)
    needed: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    least: int = 0
    most: int = 0
    path_roots: tuple[str, ...] = ()
    anything: bool = False

    def bad(self, why: str, hint: str = "") -> ConfigError:
        """Return the error about this line."""
        return ConfigError(f"[command] {self.text!r}", why, hint=hint)
