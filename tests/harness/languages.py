"""The languages and tools that must work in a jail: how each is named in a spec, and what says that it works."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

from jailssh.tree.trials import HTTPS, TRIALS, Trial

# name: what is written into a spec or a setting -> by which names --verify tells that it works
ROWS: dict[str, str] = {
    "python3": "python3", "perl": "perl", "node": "node", "npm": "npm", "ruby": "ruby", "php": "php",
    "composer": "composer", "lua5.4": "lua5.4", "tclsh": "tclsh", "Rscript": "Rscript", "gcc": "gcc", "git": "git",
    "mysql": "mysql|mariadb", "mysqldump": "mysqldump|mariadb-dump", "psql": "psql", "pg_dump": "pg_dump",
    "borg": "borg", "hg": "hg", "vim": "vim", "nano": "nano", "mc": "mc", "emacs": "emacs", "tmux": "tmux",
    "tput": "tput", "infocmp": "infocmp", "curl": "curl", "wget": "wget", "convert": "convert",
    "rdiff-backup": "rdiff-backup", "restic": "restic", "rclone": "rclone", "svn": "svn", "sqlite3": "sqlite3",
    "jq": "jq", "bc": "bc", "zsh": "zsh", "fish": "fish", "java": "java", "iconv": "iconv",
    "man": "man",
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
    "man": "a program, a module",
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


def script(names: Iterable[str]) -> str:
    """Return a shell script that tries languages as a login has them, without https: a line for each trial.

    It says ``NAME KIND well``, or ``NAME KIND`` with what went wrong.
    """
    lines = ["cd /tmp", "mkdir -p own && cd own || exit", "export HOME=/tmp/own TERM=xterm LC_ALL=C.UTF-8"]
    for name in names:
        for trial in TRIALS:
            if trial.kind != HTTPS and re.fullmatch(trial.program, name):
                lines.append(_tried(name, trial))
    return "\n".join((*lines, ""))


def _tried(name: str, trial: Trial) -> str:
    files = [f"printf %s {shlex.quote(text)} >{file}" for file, text in trial.files]
    steps = [" ".join(shlex.quote(word.replace("{program}", name)) for word in step) for step in trial.steps]
    # A client for which there is no server ends with another status than 0.
    last = f"{{ {steps[-1]}; true; }}" if trial.fails else steps[-1]
    wanted = shlex.quote(trial.says.replace("(?i)", "").replace(r"\A", "^").replace(r"\Z", "$").replace(r"\d", "[0-9]"))
    run = " && ".join((*files, *steps[:-1], f"{last}"))
    # Standard input would be the rest of this script.
    return (
        f"rm -rf /tmp/own/* /tmp/own/.[!.]*; said=$( {{ {run}; }} </dev/null 2>&1 ) && "
        f'printf "%s\\n" "$said" | grep -qiE {wanted} && echo {shlex.quote(f"{name} {trial.kind} well")} || '
        f'printf "%s\\n" {shlex.quote(f"{name} {trial.kind}")}" $said"'
    )


def login_faults(name: str, said: str) -> str:
    """Return what is wrong with a language by what :func:`script` said; "" if it works, with all that was tried."""
    lines = [line for line in said.splitlines() if line.startswith(f"{name} ")]
    wanted = sum(trial.kind != HTTPS and re.fullmatch(trial.program, name) is not None for trial in TRIALS)
    wrong = [line for line in lines if not line.endswith(" well")]
    return ("\n".join(wrong) or "it was not tried") if len(lines) - len(wrong) < wanted else ""
