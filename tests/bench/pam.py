"""What the PAM module adds to a login: PAM's account phase with it alone, less the same with a module that says yes.

It counts from pam_start(3), which loads the module, as each login does.  With ``forward = inside`` the module changes
the network of its process in both phases: that, and the same for an account without, is measured in processes that end.
"""

from __future__ import annotations

import json
import statistics

from jailssh.host.paths import PAM_MODULE
from tests.bench.figures import Goal, Row
from tests.bench.site import Site

LIMIT = 0.5
"""Milliseconds."""
_FOLDER = "/run/bench-pam"
_DRIVER = """
import ctypes, json, os, pwd, struct, sys, time
folder, runs, *users = sys.argv[1:]
libpam = ctypes.CDLL("libpam.so.0")
class Conv(ctypes.Structure):
    _fields_ = [("conv", ctypes.c_void_p), ("data", ctypes.c_void_p)]
conv = Conv(None, None)
def once(service, user, session=False):
    handle = ctypes.c_void_p()
    begun = time.perf_counter_ns()
    assert libpam.pam_start_confdir(service, user, ctypes.byref(conv), folder.encode(), ctypes.byref(handle)) == 0
    said = libpam.pam_acct_mgmt(handle, 0)
    assert said in (0, 24), (service, user, said)
    assert not session or libpam.pam_open_session(handle, 0) == 0
    libpam.pam_end(handle, 0)
    return (time.perf_counter_ns() - begun) / 1e6
def apart(service, user):
    pid = os.fork()
    if not pid:
        os.write(pipe[1], struct.pack("d", once(service, user, True)))
        os._exit(0)
    os.waitpid(pid, 0)
    return struct.unpack("d", os.read(pipe[0], 8))[0]
pipe = os.pipe()
jailed, ports, plain = users
for user in users:  # as sshd has asked by then
    os.getgrouplist(user, pwd.getpwnam(user).pw_gid)
ways = {"in a jail": (once, jailed), "in none": (once, plain), "both phases, in a jail": (apart, jailed),
        "both phases, in a jail with forward = inside": (apart, ports)}
times = {name: {"sshd": [], "permit": []} for name in ways}
for _ in range(int(runs)):
    for name, (way, user) in ways.items():
        for service, spent in times[name].items():
            spent.append(way(service.encode(), user.encode()))
print(json.dumps(times))
"""


def measure(site: Site, runs: int) -> list[Row]:
    """Return the rows for accounts in jails, one of which has forwarding, and for one in none."""
    site.host.run(["mkdir", "-p", _FOLDER], check=True)
    # The second line of each makes a success of PAM_IGNORE; PAM_TRY_AGAIN (24) is a yes of ours.
    for service, module in (("sshd", PAM_MODULE), ("permit", "pam_permit.so")):
        lines = [f"{phase} required {each}\n" for phase in ("account", "session") for each in (module, "pam_permit.so")]
        site.host.write(f"{_FOLDER}/{service}", "".join(lines))
    names = [site.jailed.name, site.ports.name, site.plain.name]
    argv = ["/usr/bin/python3", "-c", _DRIVER, _FOLDER, str(runs), *names]
    times = json.loads(site.host.run(argv, check=True, timeout=300).stdout)
    rows = []
    for text, spent in times.items():
        usual = statistics.median(spent["permit"])
        added = [each - usual for each in spent["sshd"]]
        median = statistics.median(added)
        goal = Goal(f"PAM module: an account {text}", median, LIMIT)
        rows.append(Row(f"PAM module: an account {text}", median, "ms", min(added), goals=(goal,)))
    return rows
