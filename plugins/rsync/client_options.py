"""The options that a client may ask for, each with the class of its value: those of rsync's own rrsync, 3.5.0."""

from __future__ import annotations

LETTERS = "ACDEHIJNORSUWXbcdglmnopqrtuvxyz"
LINK_LETTERS = "KLk"
_NUMBER = "int:0:2147483647"


def _flags(names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), "flag")


BOTH = {
    **_flags(
        "append copy-unsafe-links dirs from0 group hard-links ignore-errors ignore-missing-args ignore-times inplace "
        "links list-only msgs2stderr munge-links new-compress no-W no-implied-dirs no-msgs2stderr no-r no-relative "
        "no-specials numeric-ids old-compress one-file-system open-noatime owner partial perms recursive safe-links "
        "size-only specials stats times use-qsort"
    ),
    "block-size": "int:0:536870912",
    "bwlimit": _NUMBER,
    "checksum-choice": "word",
    "checksum-seed": "int:-999999999:2147483647",
    "compress-choice": "word",
    "compress-level": "int:-131072:99",
    "compress-threads": "int:0:16",
    "iconv": "word",
    "info": "word",
    "log-format": "text",
    # A number here lifts rsync's own limit on its memory; these are what people set.
    "max-alloc": "enum:256M,512M,1G,2G,3G,4G,6G,8G,256m,512m,1g,2g,3g,4g,6g,8g",
    "stderr": "enum:e,errors,a,all,c,client",
    "suffix": "text",
    "timeout": "int:1:2147483647",
}
PULL = {"skip-compress": "text", "backup-dir": "path", "files-from": "enum:-"}
"""A client that makes backups of its own files tells the sender where; the sender does not look at it."""

PUSH = {
    **_flags("delay-updates existing fake-super force fsync fuzzy ignore-existing mkpath preallocate super"),
    "backup-dir": "path",
    "compare-dest": "path",
    "copy-dest": "path",
    "groupmap": "text",
    "link-dest": "path",
    "max-size": "size:999999999999999999",
    "min-size": "size:999999999999999999",
    "modify-window": _NUMBER,
    "only-write-batch": "enum:X",
    "partial-dir": "path",
    "temp-dir": "path",
    "usermap": "text",
}
DELETE = {
    **_flags(
        "delete delete-after delete-before delete-delay delete-during delete-excluded delete-missing-args "
        "remove-sent-files remove-source-files"
    ),
    "max-delete": "int:-1:2147483647",
}
OVERWRITES = ("backup-dir", "partial-dir", "delay-updates", "suffix", "append", "inplace", "force")
