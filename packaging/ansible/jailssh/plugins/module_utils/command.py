"""Run the command jailssh and read what it prints; shared by the modules of this collection."""

from __future__ import annotations

import hashlib
import json
import os
import re

LOCALE = {"LC_ALL": "C.UTF-8"}
_MODE = "mode=0644"
_HEAD = re.compile(r"=== (file|group|account) (\S+) ")


def said(module, *words, data=None, good=(0,)):
    """Return (exit status, standard output, standard error) of ``jailssh WORDS``; the module fails unless it is good.

    The reason is jailssh's own first line, the cure its hint.
    """
    # bytes: a module's own encoding of text is the caller's locale
    code, out, err = module.run_command(
        ["jailssh", *words], data=data, binary_data=True, environ_update=LOCALE, encoding="utf-8"
    )
    if code not in good:
        lines = [line for line in err.splitlines() if line.strip()] or [f"exit status {code}"]
        module.fail_json(msg=_reason(lines), rc=code, stderr=err, stderr_lines=lines, changed=False)
    return code, out, err


def _reason(lines):
    why = next((line for line in lines if line.startswith("jailssh: ")), lines[-1])
    return why.removeprefix("jailssh: ")


def facts(module, *words, data=None, good=(0,)):
    """Return what ``jailssh --json WORDS`` prints, as the module's own values."""
    return asked(module, *words, data=data, good=good)[1]


def asked(module, *words, data=None, good=(0,)):
    """Return the exit status as well."""
    code, out, err = said(module, "--json", *words, data=data, good=good)
    try:
        return code, json.loads(out)
    except ValueError:
        # An exit status that can be good is also that of a command that has failed before it had anything to print.
        lines = [line for line in err.splitlines() if line.strip()] or [f"jailssh {words[0]} printed no JSON"]
        return module.fail_json(msg=_reason(lines), rc=code, stdout=out, stderr=err, changed=False)


def archive(files, accounts=()):
    """Return an archive (jailssh-archive(5)) of files, by path, and accounts, as (name, lines)."""
    body = "jailssh-archive 1\n"
    for path in sorted(files):
        text = files[path]
        unended = "unended " if text and not text.endswith("\n") else ""
        body += _section(f"file {path} {_MODE} {unended}", text)
    for name, lines in sorted(accounts):
        body += _section(f"account {name} ", "".join(f"{line}\n" for line in lines))
    return f"{body}=== end secrets=no sha256={_sha256(body)}\n"


def _section(head, text):
    lines = text.removesuffix("\n").split("\n") if text else []
    return "".join(f"{line}\n" for line in (f"=== {head}sha256={_sha256(text)}", *(f"|{line}" for line in lines)))


def _sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def exported(module, kept=None):
    """Return what this host has, as ``jailssh export`` writes it, or has written it to the file ``kept``.

    That is files by path, accounts' lines by name, and the paths of files whose mode is not the one that they get here.
    """
    out = read(kept) if kept and os.path.exists(kept) else said(module, "export", "-")[1]
    found = {"file": {}, "group": {}, "account": {}}
    content, odd = [], set()
    for line in out.split("\n"):  # as it is: lines of a file may end with a carriage return
        if line.startswith("|"):
            content.append(line[1:])
            continue
        if match := _HEAD.match(line):
            content = []
            found[match[1]][match[2]] = (content, " unended " in line)
            if match[1] == "file" and f" {_MODE} " not in line:
                odd.add(match[2])
    files = {
        path: "\n".join(lines) + ("" if unended or not lines else "\n")
        for path, (lines, unended) in found["file"].items()
    }
    return files, {name: list(lines) for name, (lines, _unended) in found["account"].items()}, odd


def read(path):
    """Return the text of an archive as it is: lines of a file in it may end with a carriage return."""
    with open(path, encoding="utf-8", newline="") as stream:
        return stream.read()


def bring(module, data, *options, unless=()):
    """Make this host what an archive says, or in check mode find what that would change; return (changed, diff, facts).

    It is judged as a whole before anything is changed, and made whole or not at all.  Changes of the files ``unless``
    are another task's, and are not told.
    """
    words = ["import", "--replace", *options, "-"]
    found = facts(module, *words, data=data.encode())
    files = [each for each in found["files"] if each["path"] not in unless]
    changed = found["changes"] > len(found["files"]) - len(files)
    if changed and not module.check_mode:
        found = facts(module, *words[:1], "--apply", "--yes", *words[1:], data=data.encode())
        files = found["files"]
    lines = [line for each in files for line in each["diff"]]
    for word in ("created", "joining"):
        lines += [f"+ account {name} ({word})" for name in found[word]]
    return changed, {"prepared": "".join(f"{line}\n" for line in lines)}, found


def removed(module, path):
    """Remove a file of /etc/jailssh, unless in check mode; return True if there is one."""
    whole = f"/etc/jailssh/{path}"
    there = os.path.lexists(whole)
    if there and not module.check_mode:
        os.unlink(whole)
    return there
