#!/usr/bin/python
"""What is weaker than it should be."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: jailssh_check
short_description: Find what is weaker than it should be
description:
  - Runs C(jailssh check), or with O(canary) real logins to an account by C(jailssh selftest), and changes nothing.
options:
  fail_on:
    description: The least severity that is a failure.
    type: str
    choices: [high, medium, low, none]
    default: high
  canary:
    description: Accounts or jails to prove by real logins, in the place of a check.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: The same; a canary's logins are left out then.
    support: full
  diff_mode:
    description: Nothing is changed.
    support: none
author:
  - The authors of jailssh (@jailssh)
"""

EXAMPLES = r"""
- name: See that nothing bad is open
  jailssh.jailssh.jailssh_check:

- name: Log in before the other hosts get it
  jailssh.jailssh.jailssh_check:
    canary: [alice]
"""

RETURN = r"""
findings:
  description: What was found, each with id, severity, why and cure.
  type: list
  elements: dict
  returned: without canary
reports:
  description: What each login did.
  type: list
  elements: dict
  returned: with canary
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.jailssh.jailssh.plugins.module_utils.command import asked, facts

_ORDER = ("none", "high", "medium", "low")


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "fail_on": {"type": "str", "choices": ["high", "medium", "low", "none"], "default": "high"},
            "canary": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    names = module.params["canary"]
    if names:
        if module.check_mode:
            module.exit_json(changed=False, reports=[])
        code, found = asked(module, "selftest", *names, good=(0, 1))
        if code:
            module.fail_json(msg=_why(found), reports=found["reports"], changed=False)
        module.exit_json(changed=False, reports=found["reports"])
    found = facts(module, "check", good=(0, 1))["findings"]
    bad = _ORDER[1 : 1 + _ORDER.index(module.params["fail_on"])]
    worst = [each for each in found if each["severity"] in bad]
    if worst:
        said = "; ".join(f"{each['id']} {each['title']}" for each in worst[:5])
        module.fail_json(msg=f"{len(worst)} findings: {said}", findings=found, changed=False)
    module.exit_json(changed=False, findings=found)


def _why(found):
    """Return the first of what was not as expected."""
    lines = [f"{each['what']}: {each['why']}" for each in found["errors"]]
    rows = [(report["account"], row) for report in found["reports"] for row in report["rows"] if row["verdict"] != "ok"]
    rows.sort(key=lambda pair: pair[1]["verdict"] != "wrong")
    lines += [f"{account}: {row['id']}: {row['verdict']}: {row['happened']}" for account, row in rows]
    return f"{len(lines)} trials of logins not as expected: {'; '.join(lines[:5])}"


if __name__ == "__main__":
    main()
