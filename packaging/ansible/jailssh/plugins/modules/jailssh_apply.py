#!/usr/bin/python
"""The configuration made effective."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: jailssh_apply
short_description: Publish the configuration of jailssh
description:
  - Publishes what has changed for accounts in jails, and first, if one is named, takes in a signed bundle.
options:
  bundle:
    description: A signed bundle (jailssh-bundle(8)) on the host.
    type: path
  replace:
    description: Write files of the bundle that differ here, too.
    type: bool
    default: false
attributes:
  check_mode:
    description: Says what would change.
    support: full
  diff_mode:
    description: Shows what changes for whom.
    support: full
author:
  - The authors of jailssh (@jailssh)
"""

EXAMPLES = r"""
- name: Make what was written effective
  jailssh.jailssh.jailssh_apply:
"""

RETURN = r"""
accounts:
  description: The accounts for which something changed.
  type: list
  elements: str
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.jailssh.jailssh.plugins.module_utils.command import facts


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"bundle": {"type": "path"}, "replace": {"type": "bool", "default": False}},
        supports_check_mode=True,
    )
    words = ["apply", *(["--dry-run"] if module.check_mode else [])]
    if module.params["bundle"]:
        words += ["--from", module.params["bundle"], *(["--replace"] if module.params["replace"] else [])]
    found = facts(module, *words)
    bundle, plans = (found["bundle"], found.get("plans", [])) if isinstance(found, dict) else (None, found)
    lines = [line for each in bundle["files"] for line in each["diff"]] if bundle else []
    lines += [f"{each['name'] or each['uid']}: {line}" for each in plans for line in each["lines"]]
    changed = bool(plans) or bool(bundle and bundle["changes"])
    diff = {"prepared": "".join(f"{line}\n" for line in lines)}
    module.exit_json(changed=changed, diff=diff, accounts=sorted({each["name"] for each in plans}))


if __name__ == "__main__":
    main()
