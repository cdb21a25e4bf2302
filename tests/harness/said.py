"""What a user is told, as tests expect it."""

from __future__ import annotations

import re


def denial_of(text: str, allows: str, *, among: bool = False) -> str:
    """Return what of the command ``text`` says did not fit, "" for none; fails if it is no denial of this account.

    ``among``: a client has added lines of its own.  Nothing as it was sent may reach a terminal raw, so our line is of
    ASCII without control characters.
    """
    lines = [line for line in text.splitlines() if line.startswith("jailssh:")] if among else text.splitlines()
    assert len(lines) == 1 and (among or text.endswith("\n")), text
    plain = f"jailssh: command not allowed; {allows}"
    if lines[0] == plain:
        return ""
    what = re.fullmatch(
        rf"jailssh: command not allowed: ([ -~]+); {re.escape(allows)}; reference [0-9a-f]{{8}}", lines[0]
    )
    assert what, text
    return what[1]
