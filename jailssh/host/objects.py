"""A store of file contents: one name for each content, mode and time, sharing the blocks of all trees that have it.

Symbolic links are shared as well, by their text.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterable

# Another name is there, the file has all the names it can have, or another tool's mount lies between.
_HARMLESS = (errno.EEXIST, errno.EMLINK, errno.EXDEV)


def name_of(digest: str, mode: int, mtime_ns: int, size: int) -> str:
    """Return the name of a file in the store."""
    return f"{digest}-{mode:o}-{mtime_ns}-{size}"


def name_of_link(target: str) -> str:
    """Return the name of a symbolic link in the store."""
    return f"link-{hashlib.sha256(os.fsencode(target)).hexdigest()}"


def keep(root: int, store: int, files: Iterable[tuple[str, str]]) -> None:
    """Give files of the tree ``root``, which nobody else can reach yet, a name in ``store``: (path, name); OSError."""
    for path, name in files:
        try:
            os.link(path.lstrip("/"), name, src_dir_fd=root, dst_dir_fd=store, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _HARMLESS:
                raise


def sweep(store: int) -> int:
    """Remove what no tree has any more and return the bytes that this frees; OSError."""
    freed = 0
    for name in os.listdir(store):
        info = os.stat(name, dir_fd=store, follow_symlinks=False)
        if info.st_nlink == 1 and (stat.S_ISREG(info.st_mode) or stat.S_ISLNK(info.st_mode)):
            os.unlink(name, dir_fd=store)
            freed += info.st_blocks * 512
    return freed
