"""Broken set-ups, and what doctor says first of each, with its cure."""

from __future__ import annotations

import os
from dataclasses import dataclass

LOGIN = "/usr/local/libexec/jailssh/jailssh-login"
DROP_IN = "/etc/ssh/sshd_config.d/20-jailssh.conf"
KEYS = "/etc/jailssh/keys"
PLANS = "/var/lib/jailssh/plan.v1"
_UID = "$(id -u alice)"
_UNLIMITED = "sed -i '/limits/,$d' /etc/jailssh/users/alice.conf; jailssh apply"
_IMAGE = "$(readlink -f /var/lib/jailssh/images/sftp-only/current)"


@dataclass(frozen=True)
class Row:
    """``breaks`` and ``back`` are commands of a shell; ``first`` and ``cure`` patterns of fnmatch(3).

    ``runs``: the cure is run, and doctor is content then.
    """

    name: str
    breaks: str
    first: str
    cure: str
    back: str = ""
    user: str | bytes = "alice"
    runs: bool = False

    def case(self) -> dict[str, object]:
        """Return it for the driver."""
        about_running = any(word in self.breaks for word in ("sshd.pid", "sshd_config", "reload", DROP_IN))
        return {"user": os.fsencode(self.user).hex(), "breaks": self.breaks, "back": self.back,
                "cure_is_run": self.runs, "is_run": about_running}  # fmt: skip


def _sshd(name: str, lines: str, first: str, cure: str) -> Row:
    """A row about lines in a file that sshd reads before ours."""
    path = "/etc/ssh/sshd_config.d/10-odd.conf"
    return Row(name, f"printf '{lines}' >{path}; /root/reload", first, cure, f"rm {path}; /root/reload")


def _file(name: str, path: str, change: str, first: str, cure: str, *, runs: bool = False, user: str = "alice") -> Row:
    """A row about a file that is changed."""
    return Row(name, f"cp -a {path} /root/kept; {change}", first, cure, f"rm -rf {path}; cp -a /root/kept {path}",
               user, runs)  # fmt: skip


def _home(name: str, change: str, first: str, cure: str, *, runs: bool = False) -> Row:
    """A row about the home, which is moved away."""
    back = "umount -q /home/alice; rm -rf /home/alice; mv /home/alice.kept /home/alice"
    return Row(name, f"mv /home/alice /home/alice.kept; {change}", first, cure, back, runs=runs)


def _pam(name: str, line: str, first: str, cure: str) -> Row:
    return _file(name, "/etc/pam.d/sshd", f"sed -i '1i {line}' /etc/pam.d/sshd", first, cure)


ROWS = [
    Row("no-account", "", "wrong: account bob: does not exist on this host", "jailssh adduser bob --jail JAIL",
        user="bob"),
    Row("newline-in-name", "", r"wrong: account name 'a\nb': is not valid", "use letters*", user="a\nb"),
    Row("escape-in-name", "", r"wrong: account name '\x1b[[]31m': is not valid", "use letters*", user="\x1b[31m"),
    Row("name-no-utf-8", "", r"wrong: account name '\udcff\udcfe': is not valid", "use letters*", user=b"\xff\xfe"),
    Row("root", "", "wrong: account root: has uid 0, and root is never jailed", "jailssh adduser NAME --jail JAIL",
        user="root"),
    Row("not-jailed", "", "wrong: account plain: is not in a jail", "jailssh adduser plain --jail JAIL", user="plain"),
    _file("no-such-jail", "/etc/jailssh/users/alice.conf", "sed -i s/sftp-only/nosuch/ /etc/jailssh/users/alice.conf",
          "wrong: /etc/jailssh/users/alice.conf:*: jail nosuch of account alice does not exist", "jailssh adduser*"),
    _file("other-uid", "/etc/jailssh/users/alice.conf", "sed -i 's/uid = .*/uid = 4711/' /etc/jailssh/users/alice.conf",
          "wrong: /etc/jailssh/users/alice.conf: is for uid 4711, the account has uid *", "*jailssh apply --gone && *"),
    _file("broken-jail", "/etc/jailssh/jails/own.conf", "echo frob >>/etc/jailssh/jails/own.conf",
          "wrong: /etc/jailssh/jails/own.conf:*", "*", user="erin"),
    _file("main-file", "/etc/jailssh/jailssh.conf", "echo 'frob = 1' >>/etc/jailssh/jailssh.conf",
          "wrong: /etc/jailssh/jailssh.conf:*frob*", "*"),
    Row("drop-in-gone", f"rm {DROP_IN}; /root/reload",
        "wrong: setup: is out of date: drop-in differs from the expected text", "jailssh setup", runs=True),
    Row("drop-in-edited", f"sed -i 's/PermitTTY yes/PermitTTY no/' {DROP_IN}",
        "wrong: setup: is out of date: drop-in differs from the expected text", "jailssh setup", runs=True),
    _file("not-set-uid", LOGIN, f"chmod 755 {LOGIN}", f"wrong: setup: is out of date: *{LOGIN} to mode 4750*",
          "jailssh setup", runs=True),
    Row("no-login-program", f"mv {LOGIN} {LOGIN}.kept", f"wrong: {LOGIN}: is not installed (the login program)",
        "make install", f"mv {LOGIN}.kept {LOGIN}"),
    Row("not-in-the-group", "gpasswd -d alice jailssh",
        "wrong: account alice: has a jail but is not in group jailssh, by which sshd finds it: PAM refuses its logins",
        "gpasswd --add alice jailssh", runs=True),
    Row("shell", "usermod -s /bin/bash alice",
        f"wrong: account alice: login shell is '/bin/bash', expected '{LOGIN}': PAM refuses its logins",
        "jailssh apply", runs=True),
    Row("expired-account", "chage -E 2020-01-01 alice", "wrong: account alice: expired on 2020-01-01 (shadow)",
        "chage --expiredate -1 alice", runs=True),
    Row("must-change-password", "chage -d 0 alice",
        "wrong: account alice: must change its password at the next login, which a jail does not allow",
        "chage --lastday -1 alice", runs=True),
    Row("password-too-old", "chage -d 2020-01-01 -M 10 alice",
        "wrong: account alice: password expired on 2020-01-11, and a jail does not allow to change it",
        "chage --maxdays -1 alice", "chage -d $(date +%F) -M 99999 alice", runs=True),
    Row("nologin", "printf 'back at 8\\033[31m\\n' >/run/nologin",
        r"wrong: /run/nologin: exists, so nobody but root can log in: back at 8\x1b[[]31m", "rm /run/nologin",
        runs=True),
    Row("nologin-fifo", "mkfifo /etc/nologin", "wrong: /etc/nologin: exists, so nobody but root can log in",
        "rm /etc/nologin", runs=True),
    Row("sshd-config", "cp -a /etc/ssh/sshd_config /root/kept; echo Frob yes >>/etc/ssh/sshd_config",
          "wrong: sshd -T: */etc/ssh/sshd_config*Bad configuration option: Frob*", "correct that line; to check: *",
          "cp -a /root/kept /etc/ssh/sshd_config; sleep 0.1; /root/reload"),
    Row("drop-in-not-included",
        "cp -a /etc/ssh/sshd_config /root/kept; sed -i /^Include/d /etc/ssh/sshd_config; sleep 0.1; /root/reload",
        "wrong: sshd for alice: forcecommand is 'none', expected *",
        "add at the top of /etc/ssh/sshd_config: Include /etc/ssh/sshd_config.d/*",
        "cp -a /root/kept /etc/ssh/sshd_config; sleep 0.1; /root/reload"),
    Row("sshd-stopped", "kill $(cat /run/sshd.pid); sleep 0.1", "wrong: sshd: no process listens on port 22",
        "/usr/sbin/sshd", "[ -e /run/sshd.pid ] || /usr/sbin/sshd; sleep 0.1", runs=True),
    Row("sshd-not-reloaded", "sleep 0.1; touch /etc/ssh/sshd_config",
        "wrong: sshd, process *: has not read /etc/ssh/sshd_config since it was changed", "kill -HUP *",
        "sleep 0.1; /root/reload"),
    _sshd("deny-users", "DenyUsers bob ali*\\n", "wrong: sshd for alice: DenyUsers ali[*]: takes alice",
          "remove it from DenyUsers, *"),
    _sshd("allow-users", "AllowUsers bob root\\n", "wrong: sshd for alice: AllowUsers bob root: does not name alice",
          "add it to AllowUsers, *"),
    _sshd("deny-groups", "DenyGroups jailssh\\n", "wrong: sshd for alice: DenyGroups jailssh: takes a group of alice",
          "remove it from DenyGroups, *"),
    _sshd("allow-groups", "AllowGroups adm\\n",
          "wrong: sshd for alice: AllowGroups adm: does not name a group of alice",
          "add it to AllowGroups, *"),
    _sshd("earlier-match", "Match User alice\\nForceCommand internal-sftp\\n",
          "wrong: sshd for alice: forcecommand is 'internal-sftp', expected *10-odd.conf:1: Match User alice is read *",
          "an earlier sshd_config line overrides the drop-in*"),
    _sshd("no-public-keys", "PubkeyAuthentication no\\n",
          "wrong: sshd for alice: PubkeyAuthentication is off, and the account has no password that sshd takes",
          "PubkeyAuthentication yes: *"),
    _sshd("two-methods", "AuthenticationMethods publickey,password\\n",
          "wrong: sshd for alice: AuthenticationMethods is 'publickey,password'; the account can use: publickey",
          "AuthenticationMethods publickey: *"),
    _sshd("no-sessions", "Match User alice\\nMaxSessions 0\\n",
          "wrong: sshd for alice: MaxSessions is 0, so no session can be opened", "MaxSessions 10: *"),
    _sshd("revoked-keys", "RevokedKeys /etc/ssh/no-such\\n",
          "wrong: sshd for alice: RevokedKeys names /etc/ssh/no-such, which cannot be read: sshd refuses every key",
          "ssh-keygen -k -f /etc/ssh/no-such"),
    _sshd("key-types", "PubkeyAcceptedAlgorithms rsa-sha2-512\\n",
          f"wrong: {KEYS}/alice: sshd takes none of the types of its keys: ssh-ed25519 (PubkeyAcceptedAlgorithms)",
          "ssh-keygen -t ed25519*"),
    _file("no-keys-file", f"{KEYS}/alice", f"rm {KEYS}/alice",
          f"wrong: account alice: has no key in {KEYS}/alice, and no password that sshd takes",
          "jailssh adduser alice --jail JAIL --key FILE"),
    _file("keys-unreadable", f"{KEYS}/alice", f"chmod 600 {KEYS}/alice",
          f"wrong: {KEYS}/alice: cannot be read by the account, as sshd reads it: permission denied",
          f"chmod 644 {KEYS}/alice", runs=True),
    _file("keys-writable", f"{KEYS}/alice", f"chmod 666 {KEYS}/alice",
          f"wrong: file {KEYS}/alice: writable by its group", f"chmod go-w {KEYS}/alice",
          runs=True),
    _file("keys-of-another", f"{KEYS}/alice", f"chown plain {KEYS}/alice",
          f"wrong: file {KEYS}/alice: owned by uid *, not by root", f"chown root {KEYS}/alice",
          runs=True),
    _file("keys-empty", f"{KEYS}/alice", f"echo '# none' >{KEYS}/alice", f"wrong: {KEYS}/alice: contains no key",
          "jailssh adduser alice --jail JAIL --key FILE"),
    _file("keys-private", f"{KEYS}/alice", f"cat /root/k >{KEYS}/alice",
          f"wrong: {KEYS}/alice: contains a private key, expected public ones", f"ssh-keygen -y -f {KEYS}/alice"),
    _file("keys-broken", f"{KEYS}/alice", f"echo ssh-ed25519 AAAAC3Nza frob >{KEYS}/alice",
          f"wrong: {KEYS}/alice: contains no key that sshd can read: line 1 is not one", "ssh-keygen -l -f *"),
    _file("keys-expired", f"{KEYS}/alice", f"sed -i 's/^/expiry-time=\"20200101\" /' {KEYS}/alice",
          f"wrong: {KEYS}/alice: every key in it has expired (expiry-time)", "remove expiry-time from *"),
    _file("keys-fifo", f"{KEYS}/alice", f"rm {KEYS}/alice; mkfifo {KEYS}/alice", f"wrong: *{KEYS}/alice*regular file*",
          "*"),
    _file("no-pam-file", "/etc/pam.d/sshd", "rm /etc/pam.d/sshd",
          "wrong: PAM: /etc/pam.d/sshd does not exist, so PAM uses that of other", "apt-get install --reinstall *"),
    _pam("pam-module-missing", "account required pam_frob.so",
         "wrong: /etc/pam.d/sshd: names pam_frob.so, which does not exist: PAM denies everybody",
         "apt-get install libpam-frob, or remove its lines from /etc/pam.d/sshd"),
    _pam("pam-denies", "account required pam_listfile.so item=user sense=allow file=/etc/hostname onerr=fail",
         "wrong: PAM for alice: a module denies the account (PAM_AUTH_ERR)*", "look at: pam_listfile.so in *"),
    _pam("pam-hangs", "account required pam_exec.so /usr/bin/sleep 600",
         "wrong: PAM for alice: a module does not answer within 1 seconds: every login of the account hangs",
         "mend or remove one of: *pam_exec.so in /etc/pam.d/sshd*"),
    Row("plan-missing", f"mv {PLANS}/{_UID} /root/plan",
        "wrong: plan of alice: does not exist, and jailsshd, which would create it, does not run", "jailssh apply",
        runs=True),
    Row("plan-damaged", f"truncate -s -3 {PLANS}/{_UID}", "wrong: plan of alice: is damaged: *", "jailssh apply",
        runs=True),
    Row("plan-writable", f"chmod 666 {PLANS}/{_UID}", "wrong: plan of alice: is damaged: *writ*", "jailssh apply",
        runs=True),
    Row("plan-of-another", f"sed -i '0,/alice/s//alicf/' {PLANS}/{_UID}",
        "wrong: plan of alice: is for an account called 'alicf', which had uid * before", "jailssh apply --gone*",
        "jailssh apply"),
    Row("plan-stale", "printf '[limits]\\nnice = 3\\n' >>/etc/jailssh/jails/own.conf",
        "wrong: plan of erin: is not what the configuration says: + nice value 3", "jailssh apply",
        "sed -i '/limits/,$d' /etc/jailssh/jails/own.conf; jailssh apply", user="erin", runs=True),
    Row("plan-of-a-key-gone", f"rm {PLANS}/$(id -u team).*",
        f"wrong: plan of team: is incomplete: the plan {PLANS}/*.* of its keys does not exist", "jailssh apply",
        user="team", runs=True),
    Row("image-gone", f"mv {_IMAGE} /root/image", "wrong: image of jail sftp-only: /var/lib/*does not exist",
        "jailssh update --all && jailssh apply", runs=True),
    Row("image-program-changed", f"printf X | dd of={_IMAGE}/usr/lib/openssh/sftp-server bs=1 seek=99 conv=notrunc",
        "wrong: image of jail sftp-only: is damaged: /usr/lib/openssh/sftp-server: *", "jailssh image verify --repair",
        runs=True),
    Row("image-library-gone", f"rm $(find {_IMAGE} -name 'libc.so.6')",
        "wrong: image of jail sftp-only: is damaged: */libc.so.6: is missing", "jailssh image verify --repair",
        runs=True),
    Row("image-writable", f"chmod 777 {_IMAGE}/usr", "wrong: image of jail sftp-only: is damaged: /usr: mode 0777, *",
        "jailssh image verify --repair", runs=True),
    Row("nosuid", "mount --bind /usr/local/libexec /usr/local/libexec; mount -o remount,bind,nosuid /usr/local/libexec",
        f"wrong: login program: {LOGIN} is on /usr/local/libexec, which is mounted nosuid", "mount -o remount,*suid *",
        "umount /usr/local/libexec", runs=True),
    Row("noexec", "mount --bind /var/lib/jailssh/images /var/lib/jailssh/images;"
        "mount -o remount,bind,noexec /var/lib/jailssh/images",
        "wrong: image: /var/lib/jailssh/images/.pool/* is on /var/lib/jailssh/images, which is mounted noexec",
        "mount -o remount,*exec *", "umount /var/lib/jailssh/images", runs=True),
    Row("directory-gone", "rmdir /srv/data", "wrong: jail own: '/srv/data' is not a directory",
        "create it, *mkdir -p *", "install -d -o erin /srv/data", user="erin"),
    Row("directory-read-only", "mount --bind /srv/data /srv/data; mount -o remount,bind,ro /srv/data",
        "wrong: jail own: /srv/data is on /srv/data, which is mounted read-only", "mount -o remount,*rw /srv/data*",
        "umount /srv/data", user="erin", runs=True),
    _home("home-gone", "true", "wrong: home of alice: /home/alice does not exist", "install -d -o alice *", runs=True),
    _home("home-fifo", "mkfifo /home/alice", "wrong: home of alice: /home/alice is a FIFO, not a directory", "mv *"),
    _home("home-link", "ln -s alice.kept /home/alice",
          "wrong: home of alice: /home/alice has a symbolic link on its way (/home/alice), *", "usermod --home *"),
    _home("home-of-root", "mkdir -m 755 /home/alice", "wrong: home of alice: /home/alice belongs to uid 0, expected *",
          "chown alice: /home/alice", runs=True),
    _home("home-closed", "install -d -o alice -m 0 /home/alice",
          "wrong: home of alice: /home/alice: permission denied (mode 0000)", "chmod u+rwx /home/alice", runs=True),
    _home("home-full", "mkdir /home/alice; mount -t tmpfs -o size=8k,mode=700,uid=$(id -u alice) none /home/alice;"
          "head -c 9000 /dev/zero >/home/alice/x || true",
          "wrong: home of alice: /home/alice: no space left on device", "df -h /home/alice; *"),
    _home("home-read-only", "cp -a /home/alice.kept /home/alice; mount --bind /home/alice /home/alice;"
          "mount -o remount,bind,ro /home/alice", "wrong: home of alice: /home/alice: read-only file system",
          "mount -o remount,*rw /home/alice", runs=True),
    Row("expired-by-jailssh", "printf '[limits]\\nexpires = 2020-01-01\\n' >>/etc/jailssh/users/alice.conf;"
        "jailssh apply", "wrong: limits of alice: account expired; last valid day: 2020-01-01 (*)",
        "[[]limits] expires = 2020-01-01 *alice.conf*", _UNLIMITED),
    Row("hours", "printf '[limits]\\nhours = mon 03:00-03:01\\n' >>/etc/jailssh/users/alice.conf; jailssh apply",
        "wrong: limits of alice: login not allowed at this time (*)", "[[]limits] hours = *",
        _UNLIMITED),
    Row("processes", "printf '[limits]\\nnproc = 2\\n' >>/etc/jailssh/jails/own.conf; jailssh apply;"
        "for n in 1 2 3; do setpriv --reuid=erin --regid=erin --clear-groups sleep 60 & done; sleep 0.1",
        "wrong: limits of erin: the account runs 3 processes, its jail allows 2", "jailssh kick erin; *",
        "killall -u erin sleep; sed -i '/limits/,$d' /etc/jailssh/jails/own.conf; jailssh apply", user="erin"),
]  # fmt: skip
