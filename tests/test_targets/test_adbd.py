"""The adbd fixture does what it says, seen with the real adb of both generations (demand A9)."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.timed import timed

if TYPE_CHECKING:
    from tests.targets.adbd import AdbdDevice
    from tests.targets.fixtures_adb import MakeAdbd, MakeAdbHost

pytestmark = pytest.mark.android


def test_shell_has_exact_exit_code_and_both_outputs(make_adbd: MakeAdbd, adb_version: str) -> None:
    device = make_adbd(version=adb_version)
    done = device.shell("cat; echo err >&2; exit 7", stdin=b"in")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"in", b"err\n")


def test_push_and_pull_are_identical(make_adbd: MakeAdbd, adb_version: str, tmp_path: Path) -> None:
    device = make_adbd(version=adb_version)
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(os.urandom(3_000_001))
    for command in (["push", str(source), "/data/local/tmp/f"], ["pull", "/data/local/tmp/f", str(back)]):
        done = device.host.adb("-s", device.serial, *command)
        assert done.returncode == 0, done.stderr
    assert back.read_bytes() == source.read_bytes() == device.path("/data/local/tmp/f").read_bytes()


def test_exec_out_is_binary_clean(adbd: AdbdDevice) -> None:
    data = bytes(range(256)) * 1000
    adbd.path("/data/local/tmp/binary").write_bytes(data)
    assert adbd.host.adb("-s", adbd.serial, "exec-out", "cat /data/local/tmp/binary").stdout == data


def test_identity(adbd: AdbdDevice) -> None:
    listing = adbd.host.adb("devices", "-l").stdout.decode()
    assert "product:edge_x86_64 model:EdgePhone device:edge" in listing
    assert adbd.shell("getprop ro.build.version.sdk").stdout == b"34\n"
    assert b"[ro.product.model]: [EdgePhone]\n" in adbd.shell("getprop").stdout
    assert adbd.shell("id -u; pwd; hostname").stdout == b"2000\n/\nlocalhost\n"


def test_looks_like_android(adbd: AdbdDevice) -> None:
    assert b"temperature: 220" in adbd.shell("dumpsys battery").stdout
    assert b"Current temperatures from HAL:" in adbd.shell("dumpsys thermalservice").stdout
    assert adbd.shell("dumpsys nothing").returncode == 1
    assert b"Read-only file system" in adbd.shell("touch /x").stderr
    assert adbd.shell("toybox sha256sum /dev/null").stdout.startswith(b"e3b0c44298fc1c149afbf4c8996fb924")
    assert adbd.shell("setprop debug.x 'a b'; getprop debug.x").stdout == b"a b\n"
    assert adbd.shell("ls /lib /lib64 /usr").returncode != 0


def test_nothing_of_the_harness_is_in_the_shells_environment(adbd: AdbdDevice) -> None:
    names = {line.partition("=")[0] for line in adbd.shell("env").stdout.decode().splitlines()}
    assert not names & {"LD_PRELOAD", "PROPDIR", "BIND_LOOPBACK", "LD_LIBRARY_PATH"}
    assert adbd.shell("echo $HOME $SHELL $USER").stdout.split() == [b"/", b"/system/bin/sh", b"shell"]


def test_a_program_linked_with_glibc_does_not_start_as_on_a_phone(adbd: AdbdDevice) -> None:
    outcomes = []
    for program in ("/usr/bin/env", "/usr/bin/busybox"):
        target = adbd.path(f"/data/local/tmp/{Path(program).name}")
        target.write_bytes(Path(program).read_bytes())
        target.chmod(0o755)
        outcomes.append(adbd.shell(f"/data/local/tmp/{target.name} true"))
    linked, static = outcomes
    assert linked.returncode in (126, 127)
    assert b"No such file or directory" in linked.stderr
    assert static.returncode == 0


def test_only_loopback_listens(adbd: AdbdDevice) -> None:
    addresses = {line.split()[3] for line in _listening().splitlines()}
    for port in (adbd.port, adbd.host.port):
        mine = {address for address in addresses if address.endswith(f":{port}")}
        assert mine
        assert mine <= {f"127.0.0.1:{port}", f"[::ffff:127.0.0.1]:{port}", f"[::1]:{port}"}
    assert not (subprocess.run(["ss", "-Hl", "--vsock"], capture_output=True, timeout=10, check=True).stdout)


def _listening() -> str:
    return subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, timeout=10, check=True).stdout


def test_property_of_the_tests_own(make_adbd: MakeAdbd) -> None:
    device = make_adbd(connect=False)
    device.set_property("ro.product.model", "Another_Phone")
    device.set_dumpsys("battery", None)
    device.connect()
    assert "model:Another_Phone" in device.host.adb("devices", "-l").stdout.decode()
    assert device.shell("dumpsys battery").returncode == 1


def test_sysfs_of_the_tests_own(make_adbd: MakeAdbd, tmp_path: Path) -> None:
    zone = tmp_path / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "temp").write_text("48312\n")
    at_start, later = make_adbd(sysfs=tmp_path / "sys"), make_adbd()
    assert later.shell("cat /sys/class/thermal/thermal_zone0/temp").returncode == 1
    later.sysfs(tmp_path / "sys")
    for device in (at_start, later):
        assert device.shell("cat /sys/class/thermal/thermal_zone0/temp").stdout == b"48312\n"


def test_full_disk(make_adbd: MakeAdbd, adb_version: str, tmp_path: Path) -> None:
    device = make_adbd(version=adb_version, small_tmp_bytes=1_000_000)
    (tmp_path / "big").write_bytes(os.urandom(2_000_000))
    done = device.host.adb("-s", device.serial, "push", str(tmp_path / "big"), "/data/local/tmp/big")
    assert done.returncode == 1
    assert b"No space left on device" in done.stdout + done.stderr


def test_read_only_tmp(make_adbd: MakeAdbd) -> None:
    done = make_adbd(read_only_tmp=True).shell("touch /data/local/tmp/x")
    assert done.returncode == 1
    assert b"Read-only file system" in done.stderr


def test_authentication_refuses_then_accepts(make_adbd: MakeAdbd, adb_version: str) -> None:
    device = make_adbd(version=adb_version, auth=True)
    assert device.host.states() == {device.serial: "unauthorized"}
    assert b"unauthorized" in device.shell("true").stderr
    device.authorize(device.host.public_key)
    device.reconnect()
    assert device.shell("exit 3").returncode == 3


def test_kill_leaves_what_was_started_and_restart_brings_adbd_back(make_adbd: MakeAdbd) -> None:
    device = make_adbd()
    device.shell(
        "cd /data/local/tmp; setsid sh -c 'echo $$ > pid; exec sleep 100' >/dev/null 2>&1 </dev/null &"
    )
    device.kill()
    assert device.shell("true").returncode != 0
    device.restart()
    device.reconnect()
    assert device.shell("kill -0 $(cat /data/local/tmp/pid)").returncode == 0


def test_power_off_ends_all_keeps_data_and_boots_with_another_boot_id(make_adbd: MakeAdbd) -> None:
    device = make_adbd()
    boot_id = "cat /proc/sys/kernel/random/boot_id"
    before = device.shell(f"echo kept > /data/local/tmp/f; sync; {boot_id}").stdout
    device.power_off()
    device.restart()
    device.reconnect()
    after = device.shell(boot_id).stdout
    assert len(before) == len(after) == 37
    assert before != after
    assert device.shell("cat /data/local/tmp/f").stdout == b"kept\n"


def test_frozen_adbd_is_silent_and_comes_back(make_adbd: MakeAdbd) -> None:
    device = make_adbd()
    device.freeze()
    with pytest.raises(subprocess.TimeoutExpired):
        device.shell("true", timeout=1.0)
    device.freeze(False)
    assert device.shell("exit 2", timeout=30).returncode == 2


def test_server_that_the_product_starts_ends_with_the_test(make_adb_host: MakeAdbHost) -> None:
    host = make_adb_host("36", start=False)
    env = {**os.environ, **host.env}
    command = [host.binary, "start-server"]
    null = subprocess.DEVNULL
    subprocess.run(command, env=env, check=True, timeout=20, stdin=null, stdout=null, stderr=null)
    host.close()
    host.poll_until(lambda: f":{host.port} " not in _listening(), "the server to end")


@timed
def test_device_is_up_fast(make_adb_host: MakeAdbHost, make_adbd: MakeAdbd) -> None:
    """Promised: 1 s from a finished root; asserted with a threefold margin."""
    make_adbd()  # the root is made now, if it was not there
    host = make_adb_host("36")
    began = time.monotonic()
    make_adbd(host=host)
    assert time.monotonic() - began < 3.0
