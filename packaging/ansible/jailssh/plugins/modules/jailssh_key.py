#!/usr/bin/python
"""Named keys of an account that several people use."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: jailssh_key
short_description: Named keys of a shared account
description:
  - Adds and removes the keys of people who share an account, by their names; they hold from then on.
  - Other keys or groups of a name take the place of those of before in one step.
options:
  user:
    description: The shared account; needed without O(keys).
    type: str
  name:
    description: The name of the person; needed without O(keys).
    type: str
  key:
    description: The public keys, one a line; needed with V(present).
    type: str
  groups:
    description: The groups of the keys.
    type: list
    elements: str
    default: []
  state:
    description: Whether the keys under this name let anybody in.
    type: str
    choices: [present, absent]
    default: present
  now:
    description: With V(absent), end sessions of the keys, too.
    type: bool
    default: false
  keys:
    description: Several at once, each with the options above; what comes is made in one step for each account.
    type: list
    elements: dict
    suboptions:
      user:
        description: The shared account.
        type: str
        required: true
      name:
        description: The name of the person.
        type: str
        required: true
      key:
        description: The public keys, one a line; needed with V(present).
        type: str
      groups:
        description: The groups of the keys.
        type: list
        elements: str
        default: []
      state:
        description: Whether the keys under this name let anybody in.
        type: str
        choices: [present, absent]
        default: present
      now:
        description: With V(absent), end sessions of the keys, too.
        type: bool
        default: false
attributes:
  check_mode:
    description: Says what would change.
    support: full
  diff_mode:
    description: Shows the fingerprints.
    support: full
author:
  - The authors of jailssh (@jailssh)
"""

EXAMPLES = r"""
- name: Let Ann push
  jailssh.jailssh.jailssh_key:
    user: git
    name: ann
    key: "{{ lookup('file', 'ann.pub') }}"
    groups: [devs]

- name: Let Bob do nothing any more, now
  jailssh.jailssh.jailssh_key:
    user: git
    name: bob
    state: absent
    now: true

- name: Let several people push
  jailssh.jailssh.jailssh_key:
    keys:
      - {user: git, name: ann, key: "{{ lookup('file', 'ann.pub') }}", groups: [devs]}
      - {user: git, name: cleo, key: "{{ lookup('file', 'cleo.pub') }}"}
"""

RETURN = r"""
fingerprints:
  description: The fingerprints of the keys under the names, as they are then.
  type: list
  elements: str
  returned: always
"""

import base64
import hashlib
import pwd
import re

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.jailssh.jailssh.plugins.module_utils.command import archive, bring, exported, facts, said

_HEADER = re.compile(r"\s*\[\s*([^]]*?)\s*\]")
_ENTRY = re.compile(r"\s*[\"']?([A-Za-z0-9_.-]+)[\"']?\s*=\s*(.*?)\s*(?:#.*)?\Z")


def main():
    """Run the module."""
    named = {"user": {"type": "str"}, "name": {"type": "str"}}
    one = {
        "key": {"type": "str", "no_log": False},
        "groups": {"type": "list", "elements": "str", "default": []},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "now": {"type": "bool", "default": False},
    }
    many = {**{name: {**row, "required": True} for name, row in named.items()}, **one}
    module = AnsibleModule(
        argument_spec={
            **named,
            **one,
            "keys": {
                "type": "list",
                "elements": "dict",
                "no_log": False,
                "options": many,
                "required_if": [("state", "present", ["key"])],
            },
        },
        mutually_exclusive=[("keys", "user"), ("keys", "name"), ("keys", "key")],
        required_one_of=[("keys", "user")],
        required_together=[("user", "name")],
        supports_check_mode=True,
    )
    rows = module.params["keys"]
    if rows is None:
        rows = [module.params]
        if rows[0]["state"] == "present" and rows[0]["key"] is None:
            module.fail_json(msg="state is present but all of the following are missing: key", changed=False)
    # All is judged before anything is changed.
    wanted = [_fingerprints(module, row) for row in rows]
    listed = {user: _listed(module, user) for user in dict.fromkeys(row["user"] for row in rows)}
    changes, diffs = [], []
    for row, after in zip(rows, wanted, strict=True):
        own = [each for each in listed[row["user"]] if each["name"] == row["name"]]
        before = sorted({each["fingerprint"] for each in own})
        regroup = after and any(sorted(each["groups"]) != sorted(row["groups"]) for each in own)
        if before != after or regroup:
            changes.append(row)
        diffs.append(_diff(f"keys of {row['name']} in {row['user']}", before, after))
    if not module.check_mode:
        _make(module, changes, listed)
    module.exit_json(changed=bool(changes), diff=diffs, fingerprints=[each for after in wanted for each in after])


def _fingerprints(module, row):
    """Return what the name stands for when this is done."""
    return [] if row["state"] == "absent" else sorted({_fingerprint(module, line) for line in _keys(row)})


def _keys(row):
    return [line.strip() for line in row["key"].splitlines() if line.strip()]


def _diff(head, before, after):
    lines = ["".join(f"{each}\n" for each in fingerprints) for fingerprints in (before, after)]
    return {"before": lines[0], "after": lines[1], "before_header": head, "after_header": head}


def _make(module, changes, listed):
    """Make the changes: who goes, goes first, and who comes to an account comes in one step."""
    for row in changes:
        if row["state"] == "absent":
            said(module, "keys", "remove", row["user"], row["name"], *(["--now"] if row["now"] else []))
    coming = [row for row in changes if row["state"] == "present"]
    for user in dict.fromkeys(row["user"] for row in coming):
        there = {each["name"] for each in listed[user]}
        _set(module, user, [row for row in coming if row["user"] == user], there)


def _listed(module, user):
    """Return the account's keys; none of an account that an earlier task makes only when it is not a dry run."""
    if module.check_mode:
        try:
            pwd.getpwnam(user)
        except KeyError:
            return []
    return facts(module, "keys", "list", user)


def _set(module, user, rows, there):
    """Give the names these keys and groups and no others, in one step: at no time nobody is let in."""
    texts = {row["name"]: "".join(f"{line}\n" for line in _keys(row)) for row in rows}
    if len(rows) == 1 and rows[0]["name"] not in there:
        words = [word for group in sorted(rows[0]["groups"]) for word in ("--group", group)]
        name = rows[0]["name"]
        said(module, "keys", "add", *words, user, name, "-", data=texts[name].encode())
        return
    files, known, _odd = exported(module)
    wanted = {f"keys.d/{user}/{name}.pub": text for name, text in texts.items()}
    before = after = files.get(f"users/{user}.conf", "")
    for row in rows:
        after = regrouped(after, row["name"], sorted(row["groups"]))
    if after != before:
        wanted[f"users/{user}.conf"] = after
    if user not in known:
        module.fail_json(msg=f"account {user}: is in no jail by name", changed=False)
    bring(module, archive(wanted, [(user, known[user])]))


def regrouped(text, name, groups):
    """Return a user's file where the name is in these groups of keys and in no others; all else stays as it is."""
    out, inside, left = [], False, list(groups)
    for line in text.splitlines():
        if head := _HEADER.match(line):
            out += [f"{group} = {name}" for group in left] if inside else []
            left = [] if inside else left
            inside = head[1] == "groups"
        entry = _ENTRY.match(line) if inside else None
        if entry:
            names = [word.strip("\"'") for word in entry[2].replace(",", " ").split()]
            wanted = entry[1] in groups
            left = [group for group in left if group != entry[1]]
            if wanted != (name in names):
                names = [*names, name] if wanted else [each for each in names if each != name]
                line = f"{entry[1]} = {', '.join(names)}" if names else None
        if line is not None:
            out.append(line)
    if left:
        out += [*([] if inside else ["[groups]"]), *(f"{group} = {name}" for group in left)]
    return "".join(f"{line}\n" for line in out)


def _fingerprint(module, line):
    """Return the fingerprint of a public key, as ssh-keygen -l has it."""
    words = line.split()
    try:
        blob = base64.b64decode(words[1], validate=True)
    except (IndexError, ValueError):
        return module.fail_json(msg=f"key: is no public key of OpenSSH: {line[:60]}", changed=False)
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


if __name__ == "__main__":
    main()
