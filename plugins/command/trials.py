"""What can be tried of the command plugin in real logins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from jailssh.plugin.trials import Trial, denied
from jailssh_plugins.command.line import Line


def trials(lines: Iterable[Line]) -> Iterator[Trial]:
    """Yield ways to make more of each line; what the lines themselves do nobody knows, so none of them is run."""
    for number, line in enumerate(lines, 1):
        words = " ".join((line.text.split()[0], *line.literal_words))
        more = ["; id", " | sh", " $(id)", "\nid"]
        more += [] if line.anything else [" --jailssh-no-such-option"]
        what = "an allowed command with more behind it"
        yield from denied(f"command.{number}", what, *(f"{words}{each}" for each in more))
