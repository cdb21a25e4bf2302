"""The languages and tools that must work in a jail: how each is named in a spec, and what says that it works."""

from __future__ import annotations

import re

# name: what is written into a spec or a setting -> by which names --verify tells that it works
ROWS: dict[str, str] = {
    "python3": "python3", "perl": "perl", "node": "node", "npm": "npm", "ruby": "ruby", "php": "php",
    "composer": "composer", "lua5.4": "lua5.4", "tclsh": "tclsh", "Rscript": "Rscript", "gcc": "gcc", "git": "git",
    "mysql": "mysql|mariadb", "mysqldump": "mysqldump|mariadb-dump", "psql": "psql", "pg_dump": "pg_dump",
    "borg": "borg", "hg": "hg", "vim": "vim", "nano": "nano", "mc": "mc", "emacs": "emacs", "tmux": "tmux",
    "tput": "tput", "infocmp": "infocmp", "curl": "curl", "wget": "wget", "convert": "convert",
    "rdiff-backup": "rdiff-backup", "restic": "restic", "rclone": "rclone", "svn": "svn", "sqlite3": "sqlite3",
    "jq": "jq", "bc": "bc", "zsh": "zsh", "fish": "fish", "java": "java", "iconv": "iconv",
}  # fmt: skip
# What must have been tried besides a program, where the language has it.
MORE: dict[str, str] = {
    "python3": "a program, a module, zones, https", "perl": "a program, a module", "node": "a program, a module, https",
    "npm": "a program, a module", "ruby": "a program, a module, https", "php": "a program, a module, https",
    "composer": "a program, a module", "java": "a program, a module, https", "tclsh": "a program, a module",
    "git": "a program, a module, https", "mysql": "a program, a module", "psql": "a program, a module",
    "borg": "a program, a module", "hg": "a program, a module", "vim": "a program, syntax", "curl": "a program, https",
    "wget": "a program, https", "tmux": "a program, a module", "Rscript": "a program, a module, https",
    "rclone": "a program, https", "iconv": "a module", "zsh": "a program, a module", "fish": "a program, a module",
    "emacs": "a program, a module", "lua5.4": "a program, a module", "rdiff-backup": "a program, a module",
}  # fmt: skip


def faults(name: str, said: str) -> str:
    """Return what is wrong with a language by what ``--verify`` said; "" if it works, with all that was to be tried."""
    pattern = re.compile(rf"^/\S*/(?:{ROWS[name]})(?:[.-]\S*)? works: (.*)$", re.MULTILINE)
    found = pattern.search(said)
    if not found:
        about = [line for line in said.splitlines() if re.search(rf"/(?:{ROWS[name]})\b", line)]
        return "\n".join(about) or "it was not tried"
    wanted = MORE.get(name, "a program")
    return "" if found[1] == wanted else f"{found[0]}, not {wanted}"
