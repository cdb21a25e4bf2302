"""What a check can find, and one finding.  Data alone."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass

from jailssh.core.closed import Word

ID = re.compile(r"[A-Z]{3,8}-[0-9]{3,4}\Z")
"""What the id of a finding looks like: ours begin with JSH."""

FAMILIES: Mapping[str, str] = {
    "1": "images",
    "2": "accounts",
    "3": "sshd",
    "4": "PAM",
    "5": "other ways to run something",
    "6": "host and installation",
    "7": "configuration",
}
"""What the first digit of our ids stands for."""


class Severity(Word):
    """How bad.  ``high``: somebody can get out or in; ``medium``: a defence is missing; ``low``: worth knowing."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


@dataclass(frozen=True)
class Kind:
    """One thing that a check can find: its stable ``id``, a ``title``, ``why`` it matters, the ``cure`` in general."""

    id: str
    severity: Severity
    title: str
    why: str
    cure: str

    def __post_init__(self) -> None:
        if not ID.match(self.id):
            raise ValueError(f"{self.id!r} is not the id of a finding, such as JSH-101")


@dataclass(frozen=True)
class Finding:
    """One thing found.

    ``object``: what it is about, as in ``account alice``; ``what``: what is wrong with it; ``cure``: the command that
    mends it, else that of the kind; ``path``: where on this host, "" for nowhere; ``detail``: a word that tells it from
    others of its kind about the same object; ``account`` and ``jail``: whose it is, "" for the host's.  All texts may
    hold what users have chosen: they are escaped where they are shown.
    """

    kind: Kind
    object: str
    what: str
    _: KW_ONLY
    cure: str = ""
    path: str = ""
    detail: str = ""
    account: str = ""
    jail: str = ""

    @property
    def remedy(self) -> str:
        """How to mend it."""
        return self.cure or self.kind.cure

    @property
    def fingerprint(self) -> str:
        """What makes it the same finding in the next run: kind, object, path and detail, not the words about it."""
        parts = "\0".join((self.kind.id, self.object, self.path, self.detail))
        return hashlib.sha256(parts.encode("utf-8", "surrogateescape")).hexdigest()[:24]

    def facts(self) -> dict[str, str]:
        """Return it for JSON."""
        return {
            "id": self.kind.id,
            "severity": self.kind.severity,
            "title": self.kind.title,
            "object": self.object,
            "what": self.what,
            "why": self.kind.why,
            "cure": self.remedy,
            "path": self.path,
            "account": self.account,
            "jail": self.jail,
            "fingerprint": self.fingerprint,
        }
