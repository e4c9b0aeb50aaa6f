"""A4: what no real adbd of today does on demand (faultd): devices that break at a given byte, and Android 4."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from edgekit.errors import DeviceError, DeviceLost, DeviceUnauthorized
from edgekit.transports import Transport, connect
from tests.cli.running import MODEL, QUICK, edgekit
from tests.targets.fault_device import OLD_DIALECT, FaultDevice
from tests.targets.fixtures_adb import ADB_VERSIONS, MakeFaulty
from tests.timed import timed
from tests.transports.contract import MIB, RunContract

pytestmark = pytest.mark.android

BLOCK = bytes(range(256)) * 64
DATA = BLOCK * 16
SAY_DATA = "i=0; while [ $i -lt 16 ]; do cat /data/local/tmp/block; i=$((i+1)); done"


@timed
@pytest.mark.parametrize("how", ["close", "reset", "garbage", "exit", "hang"])
def test_output_is_whole_or_the_device_is_lost(
    make_faulty: MakeFaulty, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Whatever the byte at which the device goes."""
    device = make_faulty()
    device.host.use(monkeypatch)
    transport = connect(device.address, timeout=20)
    transport.put(BLOCK, "/data/local/tmp/block", mode=0o644, timeout=20)
    assert transport.run(["sh", "-c", SAY_DATA], timeout=60).stdout == DATA
    places = [100_000] if how == "hang" else [0, 7, 100_000, len(DATA) - 1]
    for place in places:
        device.fault(die_after_sent=place, how=how)
        began = time.monotonic()
        with pytest.raises(DeviceError) as caught:
            transport.run(["sh", "-c", SAY_DATA], timeout=60)
        assert caught.value.transient, caught.value
        assert time.monotonic() - began < 10
        device.fault_free_restart()
        device.reconnect()
        assert transport.run(["sh", "-c", SAY_DATA], timeout=60).stdout == DATA


@timed
@pytest.mark.parametrize("how", ["close", "reset", "garbage", "exit", "hang"])
def test_a_file_is_whole_or_the_device_is_lost(
    make_faulty: MakeFaulty, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    device = make_faulty()
    device.host.use(monkeypatch)
    transport = connect(device.address, timeout=20)
    data = DATA * 16
    for place in [2_000_000] if how == "hang" else [0, 30, 65_600, 2_000_000, len(data) - 1]:
        device.fault(die_after_received=place, how=how)
        began = time.monotonic()
        with pytest.raises(DeviceError) as caught:
            transport.put(data, "/data/local/tmp/f", mode=0o644, timeout=60)
        assert caught.value.transient, caught.value
        assert time.monotonic() - began < 10
        device.fault_free_restart()
        device.reconnect()
        transport.put(data, "/data/local/tmp/f", mode=0o644, timeout=60)
        assert transport.run(["cat", "/data/local/tmp/f"], timeout=60).stdout == data


@timed
def test_a_device_that_answers_nothing(make_faulty: MakeFaulty, monkeypatch: pytest.MonkeyPatch) -> None:
    device = make_faulty(state="mute")
    device.host.use(monkeypatch)
    began = time.monotonic()
    with pytest.raises(DeviceLost):
        connect(device.address, timeout=30)
    assert time.monotonic() - began < 10


def test_a_device_that_never_trusts_us(make_faulty: MakeFaulty, monkeypatch: pytest.MonkeyPatch) -> None:
    device = make_faulty(state="unauthorized")
    device.host.use(monkeypatch)
    with pytest.raises(DeviceUnauthorized):
        connect(device.address, timeout=20)


@timed
def test_a_device_that_falls_silent_while_idle(
    make_faulty: MakeFaulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = make_faulty()
    device.host.use(monkeypatch)
    stream = connect(device.address, timeout=20).open(["cat"], timeout=10)
    stream.send(b"x")
    assert stream.recv(1, 10) == b"x"
    device.fault(state="mute")
    began = time.monotonic()
    with pytest.raises(DeviceLost):
        stream.recv(MIB, 60)
    assert 3 < time.monotonic() - began < 10


@pytest.fixture(scope="module", params=ADB_VERSIONS, ids=lambda version: f"adb{version}")
def old_device(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FaultDevice]:
    from tests.targets.adb_host import AdbHost

    folder = tmp_path_factory.mktemp("old-device")
    host = AdbHost(folder / "host", request.param)
    try:
        host.start()
        device = FaultDevice(folder / "device", host, **OLD_DIALECT)
        device.connect()
        yield device
        device.close()
    finally:
        host.close()


class TestCrlfTerminal(RunContract):
    """Android 4: found out by the product itself; the terminal makes CR LF of every line feed."""

    @pytest.fixture
    def transport(self, old_device: FaultDevice, monkeypatch: pytest.MonkeyPatch) -> Transport:
        old_device.host.use(monkeypatch)
        return connect(old_device.address, timeout=20)

    @pytest.fixture
    def folder(self, old_device: FaultDevice) -> str:
        name = f"/data/local/tmp/folder-{time.monotonic_ns()}"
        old_device.shell(f"mkdir {name}")
        return name

    def test_a_stream_is_refused(self, transport: Transport) -> None:
        with pytest.raises(DeviceError) as caught:
            transport.open(["cat"], timeout=10)
        assert caught.value.code == "E_ADB_TOO_OLD"


@pytest.mark.parametrize("version", ADB_VERSIONS)
def test_android_4_gets_models_by_plain_shell_and_measures_nothing(
    make_faulty: MakeFaulty, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    """Its agent would need a stream that leaves bytes as they are: a bench says so at once and puts nothing there; a push goes
    by plain shell, and says that (C1.1)."""
    device = make_faulty(version=version, old=True)
    device.host.use(monkeypatch)
    error = edgekit("bench", MODEL, *QUICK, "-s", device.serial, "--json").error()
    assert (error["code"], error["device"]) == ("E_ADB_TOO_OLD", device.address)
    assert error["hint"]
    assert not error["transient"]
    shown = edgekit("bench", MODEL, *QUICK, "-s", device.serial)
    assert (shown.code, shown.stdout) == (3, "")
    assert shown.stderr.startswith("error E_ADB_TOO_OLD: "), shown.stderr
    assert device.shell("ls -A /data/local/tmp").stdout == b""
    pushed = edgekit("push", MODEL, "-s", device.serial, "--json")
    document = pushed.ok().json()
    assert (document["method"], document["smoke"], document["activated"]) == ("shell", "unchecked", False)
    assert "E_ADB_TOO_OLD" in document["notes"][0]
    assert "plain shell" in pushed.stderr
    active = edgekit("push", MODEL, "--no-smoke", "-s", device.serial, "--json").ok().json()
    assert (active["method"], active["activated"]) == ("unchanged", True)
    listed = edgekit("releases", "-s", device.serial, "--json").ok().json()
    assert [row["state"] for row in listed["releases"]] == ["active"]
    limited = edgekit("push", MODEL, "--bandwidth", "1MB/s", "-s", device.serial, "--json").error()
    assert limited["code"] == "E_BANDWIDTH"


@pytest.mark.parametrize("version", ADB_VERSIONS)
def test_the_product_works_on_android_5(
    make_faulty: MakeFaulty, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    """No shell_v2, packets of 4 KiB, `exec:` for the agent, a CR LF terminal beside it."""
    device = make_faulty(version=version, old=True, exec_service=True)
    device.host.use(monkeypatch)
    pushed = edgekit("push", MODEL, "-s", device.serial, "--json").ok().json()
    assert (pushed["device"], pushed["smoke"], pushed["activated"]) == (device.address, "passed", True)
    measured = edgekit("bench", MODEL, "-s", device.serial, *QUICK, "--json").ok().json()
    assert measured["model"]["sha256"] == pushed["sha256"]
