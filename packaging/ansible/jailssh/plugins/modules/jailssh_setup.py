#!/usr/bin/python
"""The set-up of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: jailssh_setup
short_description: Prepare a host for jails
description:
  - Runs C(jailssh setup), which makes the group, the drop-in of sshd and the PAM profile, and proves them by a login.
  - The drop-in is a file of its own, so it lives with roles that own C(sshd_config), if that includes
    C(sshd_config.d/*.conf).
attributes:
  check_mode:
    description: Says what would change.
    support: full
  diff_mode:
    description: Shows the changes as jailssh tells them.
    support: full
author:
  - The authors of jailssh (@jailssh)
"""

EXAMPLES = r"""
- name: Prepare the host
  jailssh.jailssh.jailssh_setup:
"""

RETURN = r"""
lines:
  description: What jailssh said.
  type: list
  elements: str
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.jailssh.jailssh.plugins.module_utils.command import said


def main():
    """Run the module."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    # Asked for consent where nobody can be asked, it tells what it would do and changes nothing: exit status 2.
    words = ["setup"] if module.check_mode else ["setup", "--yes"]
    code, out, err = said(module, *words, good=(0, 2) if module.check_mode else (0,))
    if code and "nothing changed" not in err:
        module.fail_json(msg=err.strip() or f"exit status {code}", rc=code, stderr=err, changed=False)
    lines = out.splitlines()
    changed = bool(code) or not any(line.startswith("nothing to do") for line in lines)
    diff = {"prepared": "".join(f"{line}\n" for line in lines if changed)}
    module.exit_json(changed=changed, lines=lines, diff=diff)


if __name__ == "__main__":
    main()
