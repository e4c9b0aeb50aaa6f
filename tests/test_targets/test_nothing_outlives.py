"""When the process that runs the tests is killed, every target ends with it (demand A9)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.targets.sandbox import descendants_of, wait_gone

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

PROGRAM = """
import sys, time
from pathlib import Path
from tests.targets.adb_host import AdbHost
from tests.targets.adbd import AdbdDevice
from tests.targets.fault_device import FaultDevice
from tests.targets.link import Link
from tests.targets.sshd import SshClientHome, SshServer

folder = Path(sys.argv[1])
link = Link()
server = SshServer(folder / "sshd", SshClientHome(folder / "client"))
host = AdbHost(folder / "host", "36")
host.start()
for device in (AdbdDevice(folder / "device", host), FaultDevice(folder / "faulty", host)):
    device.connect()
    device.shell("setsid sleep 600 >/dev/null 2>&1 </dev/null &")
device.freeze()
print("up", flush=True)
time.sleep(600)
"""


def test_nothing_outlives_a_killed_test_run(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root) as runner:
        assert runner.stdout is not None
        assert runner.stdout.readline() == b"up\n"
        wanted = {"sshd", "adbd", "adb", "setsid"}  # toybox sleeps in the process of its setsid
        end = time.monotonic() + 30
        while True:  # the shells have what they start run beside them
            started = descendants_of(runner.pid)
            if wanted <= {_name(pid) for pid in started} or time.monotonic() > end:
                break
            time.sleep(0.1)
        names = {_name(pid) for pid in started}
        runner.send_signal(signal.SIGKILL)
    assert wanted <= names
    assert len(started) > 15
    wait_gone(started, timeout=60)


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text("utf-8").strip()
    except OSError:
        return ""


def test_a_closed_target_leaves_no_mounts(tmp_path: Path) -> None:
    from tests.targets.sshd import SshClientHome, SshServer

    began = time.monotonic()
    server = SshServer(tmp_path / "sshd", SshClientHome(tmp_path / "client"))
    server.close()
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text("utf-8")
    assert time.monotonic() - began < 20
