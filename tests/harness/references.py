"""A model of what jailssh-refs decides about a reference, by the lines of a plan."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

GIVES = {"push": {"push"}, "rewind": {"push", "rewind"}, "create": {"create"}, "delete": {"delete"}}
TAGS = "refs/tags/"


@lru_cache(maxsize=1 << 12)
def _shape(pattern: str) -> re.Pattern[str]:
    deep = pattern.endswith("/**")
    text = re.escape(pattern.removesuffix("/**")).replace(r"\*", "[^/]*") + ("/.+" if deep else "")
    return re.compile(text, re.DOTALL)


def fits(pattern: str, name: str) -> bool:
    """The model of a pattern: of names without components that begin with a dot."""
    return _shape(pattern).fullmatch(name) is not None


def decided(lines: Iterable[str], names: tuple[str, ...], act: str, ref: str) -> bool:
    """The model of the decision: the first line that gives it or takes it away.  A tag is moved by "rewind" alone."""
    act = "rewind" if act == "push" and TAGS in ref else act
    words = [line.split(" ") for line in lines]
    mine = [each for each in words if any(fits(each[1], name) for name in names)]
    if not mine:
        return True
    for right, _, *pattern in mine:
        if right != "ruled" and fits(pattern[0], ref) and (right == "deny" or act in GIVES[right]):
            return right != "deny"
    return False
