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
"""

RETURN = r"""
fingerprints:
  description: The fingerprints of the keys under the name, as they are then.
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
    module = AnsibleModule(
        argument_spec={
            "user": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "key": {"type": "str", "no_log": False},
            "groups": {"type": "list", "elements": "str", "default": []},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "now": {"type": "bool", "default": False},
        },
        required_if=[("state", "present", ["key"])],
        supports_check_mode=True,
    )
    user, name = module.params["user"], module.params["name"]
    rows = [row for row in _listed(module, user) if row["name"] == name]
    here = sorted({row["fingerprint"] for row in rows})
    if module.params["state"] == "absent":
        wanted = []
        if here and not module.check_mode:
            said(module, "keys", "remove", user, name, *(["--now"] if module.params["now"] else []))
        changed = bool(here)
    else:
        wanted = sorted({_fingerprint(module, line) for line in module.params["key"].splitlines() if line.strip()})
        groups = sorted(module.params["groups"])
        changed = here != wanted or any(sorted(row["groups"]) != groups for row in rows)
        if changed and not module.check_mode:
            _set(module, user, name, groups, there=bool(rows))
    before, after = ("".join(f"{each}\n" for each in each_list) for each_list in (here, wanted))
    head = f"keys of {name} in {user}"
    diff = {"before": before, "after": after, "before_header": head, "after_header": head}
    module.exit_json(changed=changed, diff=diff, fingerprints=wanted)


def _listed(module, user):
    """Return the account's keys; none of an account that an earlier task makes only when it is not a dry run."""
    if module.check_mode:
        try:
            pwd.getpwnam(user)
        except KeyError:
            return []
    return facts(module, "keys", "list", user)


def _set(module, user, name, groups, there):
    """Give the name these keys and groups and no others, in one step: at no time nobody is let in."""
    text = "".join(f"{line.strip()}\n" for line in module.params["key"].splitlines() if line.strip())
    if not there:
        words = [word for group in groups for word in ("--group", group)]
        said(module, "keys", "add", *words, user, name, "-", data=text.encode())
        return
    files, known = exported(module)
    wanted = {f"keys.d/{user}/{name}.pub": text}
    before = files.get(f"users/{user}.conf", "")
    after = regrouped(before, name, groups)
    if after != before:
        wanted[f"users/{user}.conf"] = after
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
