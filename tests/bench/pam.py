"""What the PAM module adds to a login: PAM's account phase with it alone, less the same with a module that says yes.

It counts from pam_start(3), which loads the module, as each login does.
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
import ctypes, json, sys, time
folder, runs, *users = sys.argv[1:]
libpam = ctypes.CDLL("libpam.so.0")
class Conv(ctypes.Structure):
    _fields_ = [("conv", ctypes.c_void_p), ("data", ctypes.c_void_p)]
conv = Conv(None, None)
def once(service, user):
    handle = ctypes.c_void_p()
    begun = time.perf_counter_ns()
    assert libpam.pam_start_confdir(service, user, ctypes.byref(conv), folder.encode(), ctypes.byref(handle)) == 0
    libpam.pam_acct_mgmt(handle, 0)
    libpam.pam_end(handle, 0)
    return (time.perf_counter_ns() - begun) / 1e6
times = {f"{service} {user}": [] for service in ("sshd", "permit") for user in users}
for _ in range(int(runs)):
    for key, spent in times.items():
        service, user = key.split()
        spent.append(once(service.encode(), user.encode()))
print(json.dumps(times))
"""


def measure(site: Site, runs: int) -> list[Row]:
    """Return the rows for an account in a jail and for one in none."""
    site.host.run(["mkdir", "-p", _FOLDER], check=True)
    # The second line of each makes a success of PAM_IGNORE.
    for service, module in (("sshd", PAM_MODULE), ("permit", "pam_permit.so")):
        site.host.write(f"{_FOLDER}/{service}", f"account required {module}\naccount required pam_permit.so\n")
    names = {"in a jail": site.jailed.name, "in none": site.plain.name}
    argv = ["/usr/bin/python3", "-c", _DRIVER, _FOLDER, str(runs), *names.values()]
    times = json.loads(site.host.run(argv, check=True, timeout=300).stdout)
    rows = []
    for text, name in names.items():
        usual = statistics.median(times[f"permit {name}"])
        added = [spent - usual for spent in times[f"sshd {name}"]]
        median = statistics.median(added)
        goal = Goal(f"PAM module: an account {text}", median, LIMIT)
        rows.append(Row(f"PAM module: an account {text}", median, "ms", min(added), goals=(goal,)))
    return rows
