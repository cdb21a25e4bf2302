"""The systemd units agree with the code."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from jailssh.console import main as cli
from jailssh.core import asking
from jailssh.daemon import daemon
from jailssh.host.journal import RELAY_USER
from jailssh.host.paths import Layout
from jailssh.image.network import RESOLVERS
from jailssh.publish import outbound
from jailssh.selfservice import limits
from jailssh.services import slices, units
from jailssh.setup import jailed
from jailssh.setup.setup import GROUP

UNITS = Path(__file__).resolve().parents[3] / "packaging/systemd"


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=True, interpolation=None, comment_prefixes=("#",), delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNITS / name)
    return parser


def test_each_is_switched_off_where_the_set_up_is_taken_back() -> None:
    kinds = (".path", ".service", ".socket", ".timer")
    names = {path.name.removesuffix(".in") for path in UNITS.glob("jailssh*")}
    assert {name for name in names if name.endswith(kinds) and "@" not in name} == set(units.UNITS)


def test_the_socket_is_the_one_that_logins_ask() -> None:
    socket = unit("jailsshd.socket")["Socket"]
    assert socket["ListenStream"] == Layout().socket
    assert socket["SocketMode"] == "0666"
    assert int(socket["Backlog"]) == daemon.MAX_CONNECTIONS


def test_the_service_can_write_where_the_code_writes() -> None:
    service = unit("jailsshd.service.in")["Service"]
    assert f"/var/lib/{service['StateDirectory']}" == Layout().state
    assert service["ReadWritePaths"] == Layout().run
    assert "RuntimeDirectory" not in service
    assert int(service["LimitNOFILE"]) > 2 * daemon.MAX_CONNECTIONS
    assert int(service["TasksMax"]) > 2 * daemon.MAX_THREADS


def test_the_service_for_accounts_listens_where_jails_look_and_keeps_no_core() -> None:
    socket = unit("jailsshd-self.socket")["Socket"]
    assert socket["ListenStream"] == f"{asking.PLACE}/{asking.SOCKET}"
    assert socket["ExecStartPre"] == f"install -d -m 0700 {os.path.dirname(asking.PLACE)}"
    service = unit("jailsshd-self.service.in")["Service"]
    assert service["LimitCORE"] == "0"
    assert {"/etc", Layout().run} <= set(service["ReadWritePaths"].split())
    assert int(service["TasksMax"]) > 2 * limits.AT_ONCE


def test_a_daemon_that_ends_is_never_given_up() -> None:
    for name in ("jailsshd.service.in", "jailsshd.socket", "jailsshd-self.service.in", "jailsshd-self.socket"):
        assert unit(name)["Unit"]["StartLimitIntervalSec"] == "0"
    assert unit("jailsshd.socket")["Socket"]["TriggerLimitIntervalSec"] == "0"


@pytest.mark.parametrize(("result", "waits"), [("exit-code", True), ("success", False), ("signal", False)])
def test_a_daemon_that_cannot_start_is_not_started_again_at_once(tmp_path: Path, result: str, waits: bool) -> None:
    """As after an upgrade of the distribution: a login waits at the socket, which starts the unit again and again."""
    (tmp_path / "sleep").write_text("#!/bin/sh\necho waits\n")
    (tmp_path / "sleep").chmod(0o755)
    for name in ("jailsshd.service.in", "jailsshd-self.service.in"):
        command = shlex.split(unit(name)["Service"]["ExecStopPost"].removeprefix("+").replace("$$", "$"))
        env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SERVICE_RESULT": result}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        assert (done.stdout == "waits\n") == waits


def test_the_service_sees_the_directories_that_the_administrator_sees() -> None:
    service = unit("jailsshd.service.in")["Service"]
    hidden = [
        key for key in service if key in ("PrivateTmp", "InaccessiblePaths", "TemporaryFileSystem", "RootDirectory")
    ]
    assert hidden == []
    assert service["ProtectHome"] == "read-only"


def test_tmpfiles_and_sysusers() -> None:
    lines = [line.split() for line in (UNITS / "jailssh.tmpfiles").read_text().splitlines() if line[0] != "#"]
    made = {path: mode for _, path, mode, *_ in lines}
    shown = Layout().asking
    own = {os.path.dirname(shown): "0700", shown: "0755"}
    assert made == {Layout().run: "0755", Layout().state: "0755", Layout().recordings: "0700", **own}
    assert f"g {GROUP} -" in (UNITS / "jailssh.sysusers").read_text().splitlines()


def test_the_relay_has_what_it_needs_and_nothing_else() -> None:
    service = unit("jailssh-relay.service.in")["Service"]
    assert (service["User"], service["CapabilityBoundingSet"]) == (RELAY_USER, "")
    assert re.search(rf"^u {RELAY_USER} - ", (UNITS / "jailssh-relay.sysusers").read_text(), re.MULTILINE)
    # The kernel tells nothing of others to a service with a user namespace of its own; nor do hidden processes.
    assert not {"PrivateUsers", "ProtectProc"} & set(service)
    source = (UNITS.parents[1] / "jailssh/relay/state.h").read_text()
    most, sockets = (int(re.search(rf"{name} = (\d+)", source)[1]) for name in ("ACCOUNTS_MOST", "SOCKETS"))  # type: ignore[index]
    assert int(service["LimitNOFILE"]) > most * sockets + 253 * 32
    # A parcel holds 250 of them; two generations are there while they are packed.
    assert int(service["FileDescriptorStoreMax"]) > 2 * (most * sockets / 250 + 1)
    assert service["LogRateLimitIntervalSec"] == "0"
    for name in ("jailssh-relay.service.in", "jailssh-relay.socket"):
        assert unit(name)["Unit"]["StartLimitIntervalSec"] == "0"
    assert unit("jailssh-relay.socket")["Socket"]["SocketMode"] == "0600"


def test_what_sends_webhooks_can_write_where_the_code_writes_and_be_nobody() -> None:
    service = unit("jailssh-webhooks.service.in")["Service"]
    assert service["ExecStart"].endswith("/jailsshd webhooks")
    assert service["ReadWritePaths"] == Layout().run
    assert Layout().webhooks.startswith(f"/var/lib/{service['StateDirectory']}/")
    assert {"CAP_SETUID", "CAP_SETGID"} <= set(service["CapabilityBoundingSet"].split())


@pytest.mark.needs("systemd-analyze")
def test_the_exposure_of_the_relay(tmp_path: Path) -> None:
    path = tmp_path / "jailssh-relay.service"
    path.write_text((UNITS / "jailssh-relay.service.in").read_text().replace("@PROGRAM_DIR@", "/bin"))
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(path)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", told)
    assert found
    assert float(found[1]) <= 0.5, told


def test_the_way_out_is_as_the_code_and_pasta_know_it() -> None:
    names, layout = unit("jailssh-outbound@.service.in"), Layout()
    service = names["Service"]
    assert names["Unit"]["Requires"] == outbound.GUARD
    # It enters both namespaces of a network.
    assert {"user", "net"} <= set(unit("jailssh-outbound.service.in")["Service"]["RestrictNamespaces"].split())
    # Its owner is who pasta runs as, and has no power but in there.
    assert f"/run/{service['RuntimeDirectory']}" == f"{layout.run}/outbound/%i"
    assert (service["DynamicUser"], service["CapabilityBoundingSet"]) == ("yes", "")
    words = service["ExecStart"].replace("\\", " ").split()
    for address in RESOLVERS.values():
        assert [words[at + 1] for at, word in enumerate(words) if word in ("--dns-forward", "--gateway")].count(
            address
        ) == 2
    for option in ("--tcp-ports", "--udp-ports", "--tcp-ns", "--udp-ns"):
        assert words[words.index(option) + 1] == "none"
    assert "--no-map-gw" in words
    # Those of 2,000 accounts, with two processors.
    assert service["TimeoutStartSec"] == "10min"
    binds = dict(each.removeprefix("-").split(":") for each in service["BindReadOnlyPaths"].split())
    net, user = (words[words.index(option) + 1] for option in ("--netns", "--userns"))
    assert binds == {f"{layout.networks}/%i": net, f"{layout.networks}/%i.user": user}


def test_the_update_sees_the_hosts_mounts_and_may_unmount() -> None:
    service = unit("jailssh-update.service.in")["Service"]
    # Any of these gives a service a mount namespace of its own, in which the pins of the host cannot be taken away.
    own = [key for key in service if key.startswith(("Protect", "Private", "ReadWrite", "ReadOnly", "Bind", "Mount"))]
    assert own == []
    assert "CAP_SYS_ADMIN" in service["CapabilityBoundingSet"].split()
    assert "@mount" in service["SystemCallFilter"].split()
    arguments = service["ExecStart"].split()[1:]
    assert cli.parse(arguments)[1].all


@pytest.mark.parametrize(
    ("plan", "groups", "runs"),
    [
        (False, "users", True), (False, f"users {GROUP}", False), (True, "users", False),
        (False, f"{GROUP}-admin", True), (False, "users customers", False), (False, "my-customers", True),
        (False, "", False),
    ],
)  # fmt: skip
def test_no_user_manager_for_an_account_in_a_jail(tmp_path: Path, plan: bool, groups: str, runs: bool) -> None:
    program, option, script = shlex.split(unit("user-manager.conf.in")["Service"]["ExecCondition"])
    assert (program, option) == ("+/bin/sh", "-c")
    # Nothing: its groups cannot be told.
    (tmp_path / "id").write_text(f"#!/bin/sh\n{f'echo {groups}' if groups else 'exit 1'}\n")
    (tmp_path / "jailed-groups").write_text(jailed.listing(["customers"]))
    (tmp_path / "plans").mkdir()
    (tmp_path / "id").chmod(0o755)
    if plan:
        (tmp_path / "plans/4242").touch()
    # As systemd.service(5) has it: $$ is a dollar sign, %i what stands behind the @, here the uid.
    script = script.replace("@PLAN_DIR@", f"{tmp_path}/plans").replace("$$", "$").replace("%i", "4242")
    done = subprocess.run(["/bin/sh", "-c", script], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, timeout=20)
    assert done.returncode == (0 if runs else 1)


def test_accounts_that_are_gone_are_looked_for() -> None:
    assert unit("jailssh-gone.path")["Path"]["PathChanged"] == "/etc/passwd"
    assert unit("jailssh-gone.timer")["Timer"]["OnCalendar"] == "daily"
    service = unit("jailssh-gone.service.in")["Service"]
    assert cli.parse(service["ExecStart"].split()[1:])[1].gone
    layout = Layout()
    writable = [path.lstrip("-") for path in service["ReadWritePaths"].split()]
    # What limited the account is taken back as well.
    assert writable == [layout.etc, layout.state, layout.run, slices.CONTROL]


def test_a_description_is_pulled_where_somebody_may_sign() -> None:
    assert unit("jailssh-pull.service.in")["Unit"]["ConditionPathExists"] == f"{Layout().etc}/signers"
    service = unit("jailssh-pull.service.in")["Service"]
    assert cli.parse(service["ExecStart"].split()[1:])[1].pull
    # It lets go of pinned namespaces, as an update of images does.
    assert [key for key in service if key.startswith(("Protect", "Private", "ReadWrite", "ReadOnly", "Bind"))] == []
    assert unit("jailssh-pull.timer")["Timer"]["RandomizedDelaySec"] == "5min"


def test_the_timer_makes_up_for_lost_time() -> None:
    timer = unit("jailssh-update.timer")["Timer"]
    assert (timer["Persistent"], timer["RandomizedDelaySec"]) == ("true", "1h")


def test_the_trigger_covers_what_images_are_copied_from() -> None:
    lines = (UNITS.parent / "debian/jailssh.triggers").read_text().splitlines()
    rows = [line.split() for line in lines if not line.startswith("#")]
    assert {kind for kind, _ in rows} == {"interest-noawait"}
    assert {path for _, path in rows} >= {"/usr", "/etc", "/bin", "/lib", "/sbin"}


@pytest.mark.parametrize("code", [0, 1])
def test_a_failed_update_does_not_stop_the_package_manager(tmp_path: Path, code: int) -> None:
    program = tmp_path / "jailssh"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/said\nexit {code}\n')
    program.chmod(0o755)
    script = str(UNITS.parent / "debian/jailssh.postinst")
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(["sh", script, "triggered", "/usr/lib"], env=environment, capture_output=True, timeout=20)
    assert (done.returncode, done.stdout) == (0, b"")
    assert (tmp_path / "said").read_text() == "update --all\n"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    for name in ("jailsshd", "jailsshd-self", "jailssh", "jailssh-relay"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    names = (
        "jailsshd.service",
        "jailsshd.socket",
        "jailsshd-self.service",
        "jailsshd-self.socket",
        "jailssh-relay.service",
        "jailssh-relay.socket",
        "jailssh-webhooks.service",
        "jailssh-outbound.service",
        "jailssh-outbound@.service",
        *(f"jailssh-{what}.{kind}" for what in ("update", "gone") for kind in ("service", "timer", "path")),
    )
    for name in names:
        source = UNITS / name if (UNITS / name).exists() else UNITS / f"{name}.in"
        text = source.read_text().replace("@PROGRAM_DIR@", str(tmp_path)).replace("@BIN_DIR@", str(tmp_path))
        (tmp_path / name).write_text(text)
    units = [str(tmp_path / name) for name in names]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *units],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert [line for line in (done.stdout + done.stderr).splitlines() if "jailssh" in line] == []
    assert done.returncode == 0
