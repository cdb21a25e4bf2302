#!/usr/bin/python
"""What a host has, kept before a run; and the way back to it."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: jailssh_archive
short_description: Keep what a host has, and go back to it
description:
  - V(kept) writes an archive (jailssh-archive(5)) of the configuration, keys and accounts into a directory, unless the
    newest one there says the same; that is no change of the host.
  - V(restored) makes the host what an archive says and publishes it. What has been added since stays.
options:
  directory:
    description: Where the archives are; root's alone.
    type: path
    default: /var/lib/jailssh/archives
  most:
    description: How many are kept.
    type: int
    default: 20
  state:
    description: What to do.
    type: str
    choices: [kept, restored]
    default: kept
  archive:
    description: With V(restored), which one.
    type: path
attributes:
  check_mode:
    description: Says what would change.
    support: full
  diff_mode:
    description: Shows the difference of each file with V(restored).
    support: full
author:
  - The authors of jailssh (@jailssh)
"""

EXAMPLES = r"""
- name: Keep what is there
  jailssh.jailssh.jailssh_archive:
  register: before

- name: Go back to it
  jailssh.jailssh.jailssh_archive:
    state: restored
    archive: "{{ before.archive }}"
"""

RETURN = r"""
archive:
  description: The archive.
  type: str
  returned: always
"""

import os
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.jailssh.jailssh.plugins.module_utils.command import bring, facts, read, said

_END = ".txt"


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "default": "/var/lib/jailssh/archives"},
            "most": {"type": "int", "default": 20},
            "state": {"type": "str", "choices": ["kept", "restored"], "default": "kept"},
            "archive": {"type": "path"},
        },
        required_if=[("state", "restored", ["archive"])],
        supports_check_mode=True,
    )
    if module.params["state"] == "restored":
        path = module.params["archive"]
        changed, diff, _found = bring(module, read(path))
        if changed and not module.check_mode:
            facts(module, "apply")
        module.exit_json(changed=changed, diff=diff, archive=path)
    module.exit_json(changed=False, archive=_keep(module))


def _keep(module):
    """Return the path of an archive of what there is now."""
    top = module.params["directory"]
    if not module.check_mode:
        os.makedirs(top, mode=0o700, exist_ok=True)
    there = os.listdir(top) if os.path.isdir(top) else []
    names = sorted((name for name in there if name.endswith(_END)), key=_place)
    _code, now, _err = said(module, "export", "-")
    if names and read(f"{top}/{names[-1]}") == now:
        return f"{top}/{names[-1]}"
    stem = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    path, again = f"{top}/{stem}{_END}", 0
    while os.path.exists(path):
        again += 1
        path = f"{top}/{stem}.{again}{_END}"
    if module.check_mode:
        return path
    part = f"{path}.part"
    with open(
        os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w", encoding="utf-8"
    ) as new:
        new.write(now)
        new.flush()
        os.fsync(new.fileno())
    os.rename(part, path)
    for name in names[: max(0, len(names) + 1 - module.params["most"])]:
        os.unlink(f"{top}/{name}")
    return path


def _place(name):
    """Return what archives are sorted by: of those of one second the first has no number."""
    stem, _, number = name.removesuffix(_END).partition(".")
    return stem, int(number) if number.isdecimal() else 0, name


if __name__ == "__main__":
    main()
