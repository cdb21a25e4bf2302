#!/usr/bin/python
"""Accounts in jails."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: jailssh_account
short_description: SSH accounts in jails of jailssh
description:
  - Puts accounts into their jails, new ones and those that are there, all of them in one change that is judged before
    it is made, and made whole or not at all.
  - With V(absent), accounts leave their jails, those that jailssh has made are deleted, and homes stay.
options:
  accounts:
    description: The accounts.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The name.
        type: str
        required: true
      jail:
        description: The jail, or several with commas.
        type: str
      uid:
        description: The uid, the same on all hosts; needed for an account that is not there, and its gid too.
        type: int
      home:
        description: The home directory of one that is made.
        type: str
      gecos:
        description: The full name of one that is made.
        type: str
      keys:
        description: All of its public keys, one each; a key that is not among them lets nobody in any more.
        type: list
        elements: str
      settings:
        description: Other lines of its own file, such as limits; without, those that it has stay.
        type: str
  state:
    description: Whether they are in their jails.
    type: str
    choices: [present, absent]
    default: present
  jails:
    description:
      - Jail files by name, which an earlier task makes; a dry run judges the accounts with them.
      - Used in check mode only.
    type: dict
    default: {}
  rights:
    description: Tables of rights by name, likewise.
    type: dict
    default: {}
  on_demand:
    description: Build images and plans at the first logins.
    type: bool
    default: false
  archive:
    description:
      - An archive of this run, which M(jailssh.jailssh.jailssh_archive) has kept, where nothing has changed since.
      - The host is not asked once more for what it has, then.
    type: path
  disable:
    description: Set aside cron jobs, lingering and similar of accounts that come into a jail.
    type: bool
    default: false
attributes:
  check_mode:
    description: Says what would change.
    support: full
  diff_mode:
    description: Shows the difference of each file, and accounts that are made.
    support: full
author:
  - The authors of jailssh (@jailssh)
"""

EXAMPLES = r"""
- name: Have accounts for uploads
  jailssh.jailssh.jailssh_account:
    accounts:
      - name: alice
        uid: 7001
        jail: uploads
        keys:
          - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHN0YW5kcyBmb3IgYSBrZXkgb2YgYWxpY2UncyBvbmx5 alice
"""

RETURN = r"""
created:
  description: Accounts that were made.
  type: list
  elements: str
  returned: with state present
joining:
  description: Accounts that were there and came into a jail.
  type: list
  elements: str
  returned: with state present
notes:
  description: What else is to be known.
  type: list
  elements: str
  returned: with state present
"""

import grp
import pwd
import re

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.jailssh.jailssh.plugins.module_utils.command import archive, bring, exported, facts

# As an archive has them.
_ORDER = (
    "uid", "gid", "group", "groups", "gecos", "home", "shell-before", "expires", "locked", "origin", "jails", "subuids",
    "subgids",
)  # fmt: skip
_PROGRAM = "/libexec/jailssh/jailssh-login"
_LINE = re.compile(r"\s*(uid|jail)\s*=\s*(.*?)\s*\Z")


def main():
    """Run the module."""
    account = {
        "name": {"type": "str", "required": True},
        "jail": {"type": "str"},
        "uid": {"type": "int"},
        "home": {"type": "str"},
        "gecos": {"type": "str"},
        "keys": {"type": "list", "elements": "str", "no_log": False},
        "settings": {"type": "str"},
    }
    module = AnsibleModule(
        argument_spec={
            "accounts": {"type": "list", "elements": "dict", "required": True, "options": account},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "jails": {"type": "dict", "default": {}},
            "rights": {"type": "dict", "default": {}},
            "on_demand": {"type": "bool", "default": False},
            "disable": {"type": "bool", "default": False},
            "archive": {"type": "path"},
        },
        supports_check_mode=True,
    )
    if module.params["state"] == "absent":
        _leave(module)
    files, known, odd = exported(module, module.params["archive"])
    wanted, people = {}, []
    for each in module.params["accounts"]:
        if not each["jail"]:
            module.fail_json(msg=f"account {each['name']}: jail is missing", changed=False)
        people.append((each["name"], _lines(module, each, known.get(each["name"]))))
        wanted[f"users/{each['name']}.conf"] = _own_file(each, people[-1][1], files)
        if each["keys"] is not None:
            wanted[f"keys/{each['name']}"] = "".join(f"{key.strip()}\n" for key in each["keys"])
    given = (("--on-demand", "on_demand"), ("--disable", "disable"))
    options = [option for option, name in given if module.params[name]]
    # In a dry run the jails that an earlier task makes are not here, and accounts cannot be judged without them.
    jails = module.params["jails"] if module.check_mode else {}
    own = {f"jails/{jail}.conf": str(text) for jail, text in jails.items()}
    own |= {f"rights/{name}": str(text) for name, text in module.params["rights"].items() if module.check_mode}
    same = all(files.get(path) == text and path not in odd for path, text in {**own, **wanted}.items())
    # One that is there twice is refused, and a key may name the login program as another host has it.
    plain = len(dict(people)) == len(people) and not any(_PROGRAM in text for text in wanted.values())
    if plain and same and all(known.get(name) == lines for name, lines in people):
        # It is what this host has, and need not be compared a second time.  Are the jails good?  One of each says it.
        first = {_jails(each): each["name"] for each in module.params["accounts"]}.values()
        people = [(name, lines) for name, lines in people if name in first]
        paths = {path for name in first for path in (f"users/{name}.conf", f"keys/{name}")}
        wanted = {path: text for path, text in wanted.items() if path in paths}
    changed, diff, found = bring(module, archive({**own, **wanted}, people), *options, unless=own)
    module.exit_json(
        changed=changed, diff=diff, created=found["created"], joining=found["joining"], notes=found["notes"]
    )


def _jails(each):
    return " ".join(sorted(each["jail"].replace(",", " ").split()))


def _lines(module, each, known):
    """Return the account as an archive has it: as this host has it, if it is in a jail, or known at all."""
    name = each["name"]
    if known:
        said = dict(line.split(" = ", 1) for line in known)
        if each["uid"] not in (None, int(said["uid"])):
            module.fail_json(msg=f"account {name}: has the uid {said['uid']} here, not {each['uid']}", changed=False)
        return _ordered({**said, "jails": _jails(each)})
    try:
        entry = pwd.getpwnam(name)
        uid, gid, home = entry.pw_uid, entry.pw_gid, entry.pw_dir
    except KeyError:
        uid = gid = each["uid"]
        home = each["home"] or f"/home/{name}"
        entry = None
    if entry and each["uid"] not in (None, uid):
        module.fail_json(msg=f"account {name}: has the uid {uid} here, not {each['uid']}", changed=False)
    if uid is None:
        module.fail_json(msg=f"account {name}: is not here, and uid does not say which one it gets", changed=False)
    try:
        group = grp.getgrgid(gid).gr_name if entry else name
    except KeyError:
        module.fail_json(msg=f"account {name}: its gid {gid} is that of no group", changed=False)
    gecos = (entry.pw_gecos if entry else each["gecos"] or "").strip()
    return _ordered({"uid": uid, "gid": gid, "group": group, "gecos": gecos, "home": home, "jails": _jails(each)})


def _ordered(said):
    return [f"{key} = {said[key]}" for key in _ORDER if said.get(key, "") != ""]


def _own_file(each, lines, files):
    """Return the text of users/NAME.conf: the one that is there, if it says the same."""
    uid = next(line.split(" = ")[1] for line in lines if line.startswith("uid = "))
    head = f"uid = {uid}\njail = {_jails(each)}\n"
    before = files.get(f"users/{each['name']}.conf", "")
    if each["settings"] is not None:
        return head + (each["settings"].rstrip("\n") + "\n" if each["settings"].strip() else "")
    said = dict(match.groups() for line in before.splitlines() if (match := _LINE.match(line)))
    same = " ".join(sorted(said.get("jail", "").replace(",", " ").split())) == _jails(each)
    if before and same and said.get("uid") == uid:
        return before
    return head + "".join(f"{line}\n" for line in before.splitlines() if not _LINE.match(line))


def _leave(module):
    listed = {each["name"] for each in facts(module, "list")["accounts"]}
    names = [each["name"] for each in module.params["accounts"] if each["name"] in listed]
    if names and not module.check_mode:
        facts(module, "deluser", "--yes", *names)
    diff = {"prepared": "".join(f"- account {name}\n" for name in names)}
    module.exit_json(changed=bool(names), diff=diff)


if __name__ == "__main__":
    main()
