#!/usr/bin/python
"""Jails of jailssh."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: jailssh_jail
short_description: Jails for SSH accounts
description:
  - Writes jail files (jailssh-jail(5)), all of them in one change that is checked before it is made.
  - What changes for accounts takes effect with M(jailssh.jailssh.jailssh_apply).
options:
  jails:
    description: The text of each jail file by the name of the jail.
    type: dict
    default: {}
  rights:
    description:
      - The text of each table of rights by its name, which is that of the file in C(/etc/jailssh/rights).
      - The jail C(git-hosting) reads the table C(git).
    type: dict
    default: {}
  state:
    description:
      - V(absent) removes jail files, and no table; only the names count then.
      - A jail that an account is in is not removed.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    description: Says what would change.
    support: full
  diff_mode:
    description: Shows the difference of each file.
    support: full
author:
  - The authors of jailssh (@jailssh)
"""

EXAMPLES = r"""
- name: Have a jail for uploads
  jailssh.jailssh.jailssh_jail:
    jails:
      uploads: |
        plugins = sftp
        umask = 027

- name: Have who may do what to which repository in git-hosting
  jailssh.jailssh.jailssh_jail:
    rights:
      git: |
        create team/* @developers
        read **       @all
"""

RETURN = r"""
changes:
  description: How many files are others.
  type: int
  returned: always
"""

import re

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.jailssh.jailssh.plugins.module_utils.command import archive, bring, facts, removed

# It becomes a part of a path.
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}\Z")


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "jails": {"type": "dict", "default": {}},
            "rights": {"type": "dict", "default": {}},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    jails = {str(name): text for name, text in module.params["jails"].items()}
    rights = {str(name): text for name, text in module.params["rights"].items()}
    if odd := [name for name in (*jails, *rights) if not _NAME.match(name)]:
        module.fail_json(msg=f"name {odd[0]!r} is not valid", changed=False)
    if module.params["state"] == "present":
        files = {f"jails/{name}.conf": str(text) for name, text in jails.items()}
        files |= {f"rights/{name}": str(text) for name, text in rights.items()}
        changed, diff, found = bring(module, archive(files))
        module.exit_json(changed=changed, diff=diff, changes=found["changes"])
    listed = facts(module, "list")
    used = sorted({each["name"] for each in listed["accounts"] if jails.keys() & set(each["jail"].split("+"))})
    if used:
        module.fail_json(msg=f"accounts are in these jails: {', '.join(used)}", changed=False)
    gone = [name for name in sorted(jails) if removed(module, f"jails/{name}.conf")]
    diff = {"prepared": "".join(f"- /etc/jailssh/jails/{name}.conf\n" for name in gone)}
    module.exit_json(changed=bool(gone), diff=diff, changes=len(gone))


if __name__ == "__main__":
    main()
