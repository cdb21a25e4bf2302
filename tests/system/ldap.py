"""A directory of 10,000 accounts for a booted tree: slapd(8) on the tree's own loopback, asked through SSSD or nslcd."""

from __future__ import annotations

from tests.system.booted import DIRECTORY, BootedTree

BASE = "dc=example,dc=org"
PEOPLE, FIRST_UID = 10_000, 100_000
GROUP, GROUP_ID = "crew", 90_000
_SLAPD = f"""include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
modulepath /usr/lib/ldap
moduleload back_mdb
database mdb
maxsize 268435456
directory /srv/ldap/data
suffix "{BASE}"
rootdn "cn=admin,{BASE}"
rootpw known
index uid,uidNumber,gidNumber,memberUid,objectClass eq
sizelimit unlimited
"""
_SSSD = """[sssd]
services = nss, pam
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
"""
_UNIT = """[Service]
ExecStart=/usr/sbin/slapd -d 0 -f /srv/ldap/slapd.conf -h ldap://127.0.0.1 -u openldap -g openldap
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
        rows.append(person(f"p{number}", FIRST_UID + number))
    members = "".join(f"memberUid: p{number}\n" for number in range(PEOPLE))
    rows.append(f"dn: cn={GROUP},{BASE}\nobjectClass: posixGroup\ncn: {GROUP}\ngidNumber: {GROUP_ID}\n{members}")
    return "\n".join(rows)


def person(name: str, uid: int) -> str:
    """Return the entry of an account in LDIF; its primary group is no group of the directory's."""
    return (
        f"dn: uid={name},{BASE}\nobjectClass: account\nobjectClass: posixAccount\nuid: {name}\ncn: {name}\n"
        f"uidNumber: {uid}\ngidNumber: 89999\nhomeDirectory: /home/staff/{name}\nloginShell: /bin/bash\n"
    )


class Ldap:
    """The directory of a tree: up, its cache empty, asked through SSSD, once made."""

    def __init__(self, tree: BootedTree, login_program: str) -> None:
        self.tree = tree
        files = " ".join(f"/root/directory/{name}_*.deb" for name in ("nslcd", "libnss-ldapd"))
        self._later = files
        tree.sh(
            "set -e; export DEBIAN_FRONTEND=noninteractive; systemctl mask --now slapd.service sssd.service 2>/dev/null;"
            f" apt-get -q -y --no-install-recommends install $(ls /root/directory/*.deb | grep -v -e nslcd -e ldapd) >&2;"
            " systemctl unmask sssd.service; rm -rf /srv/ldap; install -d -o openldap -g openldap /srv/ldap/data"
        )
        self._write("/srv/ldap/slapd.conf", _SLAPD)
        self._write("/srv/ldap/all.ldif", _entries())
        self._write("/run/systemd/system/directory.service", _UNIT)
        self._write("/etc/sssd/sssd.conf", _SSSD.format(base=BASE, login=login_program))
        tree.sh(
            "set -e; slapadd -q -f /srv/ldap/slapd.conf -l /srv/ldap/all.ldif; chown -R openldap: /srv/ldap/data;"
            " chmod 600 /etc/sssd/sssd.conf; mkdir -p /home/staff; systemctl daemon-reload;"
            " systemctl start directory; systemctl restart sssd; pam-auth-update --enable mkhomedir"
        )

    def _write(self, path: str, text: str) -> None:
        self.tree.run(f"cat >{path}", input=text, check=True)

    def modify(self, ldif: str) -> None:
        """Change entries, and have SSSD forget what it has of them."""
        self.tree.run(f"ldapmodify -x -H ldap://127.0.0.1 -D cn=admin,{BASE} -w known", input=ldif, check=True)
        self.forget()

    def forget(self) -> None:
        """Have SSSD ask again."""
        self.tree.sh("sss_cache -E")

    def leave(self, name: str) -> None:
        """Take the account out of the group."""
        self.modify(f"dn: cn={GROUP},{BASE}\nchangetype: modify\ndelete: memberUid\nmemberUid: {name}\n")

    def use_nslcd(self, login_program: str) -> None:
        """Have nslcd asked instead of SSSD."""
        self._write("/etc/nslcd.conf", _NSLCD.format(base=BASE, login=login_program))
        self.tree.sh(
            "set -e; export DEBIAN_FRONTEND=noninteractive; systemctl stop sssd;"
            f" apt-get -q -y --no-install-recommends install {self._later} >&2; chmod 640 /etc/nslcd.conf;"
            " sed -i -E 's/^(passwd|group|shadow|gshadow):.*/\\1: files ldap/' /etc/nsswitch.conf; systemctl restart nslcd"
        )

    def close(self) -> None:
        """Have the tree as it was, for others' tests; the packages stay, and nobody asks them."""
        self.tree.sh(
            "systemctl stop directory sssd nslcd; systemctl disable sssd nslcd; sed -i -E 's/ (sss|ldap)\\b//g'"
            " /etc/nsswitch.conf; pam-auth-update --disable mkhomedir; pam-auth-update --remove sss mkhomedir;"
            " rm -rf /home/staff; systemctl reset-failed; true"
        )


__all__ = ["BASE", "DIRECTORY", "GROUP", "PEOPLE", "Ldap", "person"]
