"""Closed sets of words: what a file, a plan or a setting can say, and nothing else."""

from __future__ import annotations

from enum import StrEnum


class Word(StrEnum):
    """One of a closed set of words.  A member is its word: in files, in JSON, in messages, as a key."""

    def __repr__(self) -> str:
        # The digest of an image's needs and messages are made of it, and are the same as with the plain word.
        return str.__repr__(self)


class Shown(Word):
    """How a jail shows the home or another directory; what stands later is more."""

    NONE = "none"
    READ_ONLY = "ro"
    WRITABLE = "rw"


class Network(Word):
    """What a jail has of a network; ``AUTO`` depends on what its plugins are for.

    ``OUTBOUND`` has a way out, and none in.  ``ACCOUNT`` is what a plan says of a network that all sessions of the
    account share, with a loopback interface and perhaps that way out; no ``network`` setting names it.
    """

    AUTO = "auto"
    NONE = "none"
    LOOPBACK = "loopback"
    OUTBOUND = "outbound"
    HOST = "host"
    ACCOUNT = "account"


class Forward(Word):
    """Where sshd forwards ports for a jail's accounts: nowhere, or in the network of the account alone."""

    NO = "no"
    INSIDE = "inside"


class Recorded(Word):
    """What is recorded of a session at a terminal: nothing, what is shown, or also what is typed."""

    NO = "no"
    OUTPUT = "output"
    INPUT = "input"


class Root(Word):
    """What the root of a jail is: an image, which is a copy, or the host's ``/usr``."""

    IMAGE = "image"
    LIVE = "live"
