#!/usr/bin/python
"""What a host has."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: jailssh_info
short_description: Jails, accounts in them, and sessions of a host
description:
  - Tells what C(jailssh list) and C(jailssh sessions) tell; changes nothing.
attributes:
  check_mode:
    description: The same.
    support: full
  diff_mode:
    description: Nothing is changed.
    support: none
author:
  - The authors of jailssh (@jailssh)
"""

EXAMPLES = r"""
- name: Look
  jailssh.jailssh.jailssh_info:
  register: jailssh
"""

RETURN = r"""
version:
  description: The version of jailssh.
  type: str
  returned: always
jails:
  description: The jails, with the groups whose members get them.
  type: list
  elements: dict
  returned: always
accounts:
  description: The accounts that are in a jail by name, with uid, jail and state.
  type: list
  elements: dict
  returned: always
unfinished:
  description: Changes that were interrupted.
  type: list
  elements: dict
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.jailssh.jailssh.plugins.module_utils.command import facts, said


def main():
    """Run the module."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    _code, version, _err = said(module, "--version")
    listed = facts(module, "list")
    told = {word: listed[word] for word in ("jails", "accounts", "unfinished")}
    module.exit_json(changed=False, version=version.split()[-1], **told)


if __name__ == "__main__":
    main()
