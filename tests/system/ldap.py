"""A directory of 10,000 accounts for a booted tree: slapd(8) on the tree's own loopback, asked by SSSD or nslcd."""

from __future__ import annotations

from tests.system.booted import BootedTree

BASE = "dc=example,dc=org"
PEOPLE, FIRST_UID = 10_000, 2_000_000
# The primary group of the first people is a group of the directory's, as in most directories; nobody lists them in it.
STAFF, STAFF_ID, OF_STAFF = "staff-of-ours", 2_900_001, 10
CREW, CREW_ID = "crew", 2_900_002
DESK, DESK_ID = "desk", 2_900_003
_NOBODYS = 2_900_004
_ADMIN = f"-x -H ldap://127.0.0.1 -D cn=admin,{BASE} -w known"
_SLAPD = f"""include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
attributetype ( 1.3.6.1.4.1.24552.500.1.1.1.13 NAME 'sshPublicKey' EQUALITY octetStringMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 )
objectclass ( 1.3.6.1.4.1.24552.500.1.1.2.0 NAME 'ldapPublicKey' SUP top AUXILIARY MAY sshPublicKey )
modulepath /usr/lib/ldap
moduleload back_mdb
database mdb
maxsize 268435456
directory /srv/ldap/data
suffix "{BASE}"
rootdn "cn=admin,{BASE}"
rootpw known
index uid,uidNumber,gidNumber,memberUid,objectClass,cn eq
sizelimit unlimited
"""
_UNIT = """[Service]
ExecStart=/usr/sbin/slapd -d 0 -f /srv/ldap/slapd.conf -h ldap://127.0.0.1 -u openldap -g openldap
"""
_SSSD = """[sssd]
services = nss, pam, ssh
domains = example
[domain/example]
id_provider = ldap
auth_provider = none
access_provider = permit
ldap_uri = ldap://127.0.0.1
ldap_search_base = {base}
ldap_schema = rfc2307
ldap_id_use_start_tls = false
ldap_network_timeout = 2
ldap_opt_timeout = 2
ldap_search_timeout = 2
offline_timeout = 1
offline_timeout_random_offset = 0
override_shell = {login}
[pam]
pam_initgroups_scheme = always
"""
_NSLCD = """uid nslcd
gid nslcd
uri ldap://127.0.0.1
base {base}
bind_timelimit 2
timelimit 2
reconnect_sleeptime 1
reconnect_retrytime 1
map passwd loginShell "{login}"
"""


def _entries() -> str:
    rows = [f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\no: example\ndc: example\n"]
    for number in range(PEOPLE):
        group = STAFF_ID if number < OF_STAFF else _NOBODYS
        rows.append(
            f"dn: uid=p{number},{BASE}\nobjectClass: account\nobjectClass: posixAccount\nuid: p{number}\n"
            f"cn: p{number}\nuidNumber: {FIRST_UID + number}\ngidNumber: {group}\n"
            f"homeDirectory: /home/staff/p{number}\nloginShell: /bin/bash\n"
        )
    members = "".join(f"memberUid: p{number}\n" for number in range(OF_STAFF, PEOPLE))
    for name, gid, listed in ((STAFF, STAFF_ID, ""), (CREW, CREW_ID, members), (DESK, DESK_ID, "")):
        rows.append(f"dn: cn={name},{BASE}\nobjectClass: posixGroup\ncn: {name}\ngidNumber: {gid}\n{listed}")
    return "\n".join(rows)


class Ldap:
    """The directory of a tree, asked by SSSD; its packages wait in the tree, which has no network."""

    def __init__(self, tree: BootedTree, login_program: str) -> None:
        self.tree = tree
        self._login = login_program
        self._starts = 0
        tree.sh("cp -p /etc/nsswitch.conf /root/nsswitch.conf; systemctl mask --now slapd sssd 2>/dev/null")
        self._install("grep -v -e /nslcd -e ldapd")
        self._write("/srv/ldap/slapd.conf", _SLAPD)
        self._write("/srv/ldap/all.ldif", _entries())
        self._write("/run/systemd/system/directory.service", _UNIT)
        self._write("/etc/sssd/sssd.conf", _SSSD.format(base=BASE, login=login_program))
        tree.sh(
            "set -e; install -d -o openldap /srv/ldap/data; slapadd -q -f /srv/ldap/slapd.conf -l /srv/ldap/all.ldif;"
            " chown -R openldap: /srv/ldap/data; chmod 600 /etc/sssd/sssd.conf; install -d /home/staff;"
            " systemctl unmask sssd; systemctl daemon-reload; systemctl start directory sssd;"
            " pam-auth-update --enable mkhomedir"
        )

    def _install(self, which: str) -> None:
        self.tree.sh(
            f"files=$(ls /root/directory/*.deb | {which}); export DEBIAN_FRONTEND=noninteractive;"
            " apt-get -q -y --no-install-recommends install $files >&2"
        )

    def _write(self, path: str, text: str) -> None:
        self.tree.run(f"mkdir -p $(dirname {path}); cat >{path}", input=text, check=True)

    def change(self, ldif: str) -> None:
        """Change entries; who has them in a cache keeps them there."""
        self.tree.run(f"ldapmodify {_ADMIN}", input=ldif, check=True)

    def set_uid(self, name: str, uid: int) -> None:
        """Give the account another uid."""
        self.change(f"dn: uid={name},{BASE}\nchangetype: modify\nreplace: uidNumber\nuidNumber: {uid}\n")

    def set_keys(self, name: str, *lines: str) -> None:
        """Give the account these keys, with the options that stand before them."""
        rows = "".join(f"sshPublicKey: {line}\n" for line in lines)
        self.change(
            f"dn: uid={name},{BASE}\nchangetype: modify\nreplace: objectClass\nobjectClass: account\n"
            f"objectClass: posixAccount\nobjectClass: ldapPublicKey\n-\nreplace: sshPublicKey\n{rows}"
        )

    def join(self, name: str, group: str) -> None:
        """Make the account a member of the group."""
        self.change(f"dn: cn={group},{BASE}\nchangetype: modify\nadd: memberUid\nmemberUid: {name}\n")

    def leave(self, name: str, group: str) -> None:
        """Take the account out of the group."""
        self.change(f"dn: cn={group},{BASE}\nchangetype: modify\ndelete: memberUid\nmemberUid: {name}\n")

    def forget(self) -> None:
        """Have SSSD ask again for all that it knows."""
        self.tree.sh("sss_cache -E")

    def stop(self) -> None:
        """End the server; SSSD has noticed by the time this returns."""
        self.tree.sh("systemctl stop directory; getent passwd nobody-of-this-name; true")

    def start(self) -> None:
        """Have the server back, and asked."""
        self._starts += 1
        stranger = f"p{PEOPLE - self._starts}"  # not in the cache: one that is there is known without the server, too
        self.tree.sh("systemctl start directory; sss_cache -E")
        self.tree.wait(lambda: self.tree.run(f"id {stranger}").returncode == 0, "the directory", 30)

    def use_nslcd(self) -> None:
        """Have nslcd asked in the place of SSSD."""
        self._write("/etc/nslcd.conf", _NSLCD.format(base=BASE, login=self._login))
        self._install("grep -e /nslcd -e ldapd")
        self.tree.sh(
            "set -e; systemctl stop sssd; pam-auth-update --remove sss; chmod 640 /etc/nslcd.conf;"
            " sed -i -E 's/^(passwd|group|shadow|gshadow):.*/\\1: files ldap/' /etc/nsswitch.conf;"
            " systemctl restart nslcd"
        )

    def close(self) -> None:
        """Have nobody ask the directory any more; packages stay."""
        self.tree.sh(
            "systemctl disable --now sssd nslcd; systemctl stop directory; cp -p /root/nsswitch.conf /etc;"
            " pam-auth-update --remove sss mkhomedir; rm -rf /home/staff;"
            " systemctl reset-failed; true"
        )
