"""What ``jailssh selftest`` tries of rsync: the beginning of a transfer in each direction, spoken by hand.

The words are those of protocol 29 (rsync's NEWS for 3.0.0 and its compat.c, flist.c): a client that says it is of that
age is not asked for more than these bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from jailssh.plugin.trials import PLACE, Trial, denied, quoted

_PROTOCOL = struct.pack("<i", 29)
_NO_FILTERS = struct.pack("<i", 0)
_CAN = "e.LsfxC"
_MODE = 0o040755
_TOP = 1
# A list of files leaves out what a name has in common with the one before, so it begins like no other.
_READY = "=listed-by-rsync="


def trials(read: Sequence[str], write: Sequence[str], *, letters: str, delete: bool, probe: bool) -> Iterator[Trial]:
    """Yield what is to be tried.

    ``letters``: options that the settings refuse.  ``delete``: files may be removed.  ``probe``: ``true`` is answered.
    """
    yield from _directions(read, write)
    if probe:
        yield Trial("rsync.probe", "the command true, answered without running", command="true")
    here = quoted((*read, *write)[0])
    way = "--server --sender" if read else "--server"
    begin = f"rsync {way} -{_CAN}"
    yield from denied(
        "rsync.program", "a program by an option of rsync (-e, --rsh, --rsync-path)",
        "rsync -e 'sh -c id' x: y", "rsync --rsh=id x: y", f"rsync {way} --rsh=id . {here}",
        f"rsync {way} '-esh -c id' . {here}", f"rsync {way} --rsync-path=id . {here}", "rsync -a /etc /tmp",
        "rsync exec --x /bin/sh", "rsync alias --sender --daemon",
    )  # fmt: skip
    yield from denied(
        "rsync.daemon", "rsync as a daemon with a configuration of its own (--daemon, --config)",
        "rsync --daemon", "rsync --server --daemon .", f"rsync {way} --config=/tmp/x . {here}",
        "rsync --config=/tmp/x --daemon", "rsync --server --daem .",
    )  # fmt: skip
    yield from denied(
        "rsync.other-files", "files of the host by an option (--log-file, --files-from, --write-batch)",
        f"{begin} --log-file=/tmp/x . {here}", f"{begin} --files-from=/etc/shadow . {here}",
        f"{begin} --write-batch=/tmp/x . {here}", f"{begin} --password-file=/etc/shadow . {here}",
        f"{begin} --exclude-from=/etc/shadow . {here}", f"{begin} --early-input=/etc/shadow . {here}",
    )  # fmt: skip
    yield from denied("rsync.devices", "devices as files (--copy-devices, --write-devices)",
                      f"{begin} --copy-devices . {here}", f"{begin} --write-devices . {here}")  # fmt: skip
    outside = [path for path in ("/etc", "/", "/etc/shadow") if path not in (*read, *write)]
    yield from denied("rsync.outside", "a path outside of the directories", *(f"{begin} . {path}" for path in outside))
    yield from denied("rsync.dotdot", "a path with '..' in it", f"{begin} . {quoted((*read, *write)[0] + '/../..')}")
    yield from denied("rsync.other-user", "a path of another account", f"{begin} . ~root/x")
    for letter in letters:
        yield from denied(f"rsync.links-{letter}", "links that are followed, which the settings refuse",
                          f"rsync {way} -{letter}{_CAN} . {here}")  # fmt: skip
    if write and not delete:
        yield from denied("rsync.no-delete", "removing files, which the settings refuse",
                          f"rsync --server -{_CAN} --delete . {quoted(write[0])}")  # fmt: skip


def _directions(read: Sequence[str], write: Sequence[str]) -> Iterator[Trial]:
    """Yield a use or a denial for each direction."""
    if read:
        yield Trial(
            "rsync.pull", "a list of files from this host", command=f"rsync --server --sender -rl{_CAN} . '{PLACE}/'",
            input=_PROTOCOL + _NO_FILTERS, exits=None, shows=_READY, place=_writable(read, write),
            files=((_READY, "x\n"),),
        )  # fmt: skip
    else:
        yield from denied("rsync.no-pull", "files from this host, which the settings refuse",
                          f"rsync --server --sender -{_CAN} . {quoted(write[0])}")  # fmt: skip
    if write:
        yield Trial(
            "rsync.push", "a directory to this host", command=f"rsync --server -r{_CAN} . '{PLACE}/'",
            input=_PROTOCOL + _list_of("made"), exits=None, shows=struct.pack("<i", -1).decode("latin-1"),
            place=write[0], files=((_READY, "x\n"),),
        )  # fmt: skip
    else:
        yield from denied("rsync.no-push", "files to this host, which the settings refuse",
                          f"rsync --server -{_CAN} . {quoted(read[0])}")  # fmt: skip


def _writable(read: Sequence[str], write: Sequence[str]) -> str:
    """Return the directory to make what is to be listed in: one that is read."""
    return next((path for path in read if path in write), read[0])


def _list_of(name: str) -> bytes:
    """Return a list of files that has one directory, and the end of the list."""
    data = name.encode()
    entry = struct.pack("<BB", _TOP, len(data)) + data + struct.pack("<iii", 0, 1, _MODE)
    return entry + b"\0" + struct.pack("<i", 0)
