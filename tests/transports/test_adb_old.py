"""A4: devices from before shell_v2. The real adbd still serves `exec:` and `shell:` to hosts that do not know
its newer protocol, so both old ways run against it, whole contract."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from edgekit.errors import DeviceError, DeviceLost
from edgekit.transports import Transport
from edgekit.transports.adb import AdbTransport
from edgekit.transports.adb_server import local_server
from tests.targets.adbd import AdbdDevice
from tests.targets.fixtures_adb import ADB_VERSIONS, MakeAdbd
from tests.timed import timed
from tests.transports.contract import RunContract, StreamContract, in_thread, read_all

pytestmark = pytest.mark.android


def old_transport(device: AdbdDevice, *, has_exec: bool) -> AdbTransport:
    """As for a device without features; without `exec` it is found out at the first use."""
    transport = AdbTransport(local_server(), device.serial, frozenset(), device.address)
    if not has_exec:
        transport._exec = False
    return transport


@pytest.fixture(scope="module", params=ADB_VERSIONS, ids=lambda version: f"adb{version}")
def device(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdbdDevice]:
    from tests.targets.adb_host import AdbHost

    folder = tmp_path_factory.mktemp("old-device")
    host = AdbHost(folder / "host", request.param)
    try:
        host.start()
        device = AdbdDevice(folder / "device", host)
        device.connect()
        yield device
        device.close()
    finally:
        host.close()


@pytest.fixture
def folder(device: AdbdDevice) -> str:
    name = f"/data/local/tmp/folder-{time.monotonic_ns()}"
    device.shell(f"mkdir {name}")
    return name


class TestExec(StreamContract):
    """Android 5 and 6."""

    can_end_stdin = False

    @pytest.fixture
    def transport(self, device: AdbdDevice, monkeypatch: pytest.MonkeyPatch) -> Transport:
        device.host.use(monkeypatch)
        return old_transport(device, has_exec=True)

    @pytest.fixture
    def folder(self, folder: str) -> str:
        return folder


class TestTerminal(RunContract):
    """Android 4: everything goes through a terminal."""

    @pytest.fixture
    def transport(self, device: AdbdDevice, monkeypatch: pytest.MonkeyPatch) -> Transport:
        device.host.use(monkeypatch)
        return old_transport(device, has_exec=False)

    @pytest.fixture
    def folder(self, folder: str) -> str:
        return folder

    def test_a_stream_is_refused(self, transport: Transport) -> None:
        with pytest.raises(DeviceError) as caught:
            transport.open(["cat"], timeout=10)
        assert caught.value.code == "E_ADB_TOO_OLD"


@timed
@pytest.mark.parametrize("has_exec", [True, False], ids=["exec", "terminal"])
@pytest.mark.parametrize("version", ADB_VERSIONS)
def test_without_its_marker_output_is_not_whole(
    make_adbd: MakeAdbd, monkeypatch: pytest.MonkeyPatch, version: str, has_exec: bool
) -> None:
    """adb 29 says "exit code 0" of a shell whose device died."""
    device = make_adbd(version=version)
    device.host.use(monkeypatch)
    transport = old_transport(device, has_exec=has_exec)
    runner, ran = in_thread(lambda: transport.run(["sh", "-c", "echo part; sleep 60"], timeout=60))
    streams = []
    if has_exec:
        streams.append(transport.open(["sh", "-c", "echo part; sleep 60"], timeout=10))
        assert read_all(streams[0], 5) == b"part\n"
    time.sleep(0.7)
    device.kill()
    runner.join(15)
    assert isinstance(ran[0], DeviceLost)
    for stream in streams:
        with pytest.raises(DeviceLost):
            stream.recv(10, 15)
        with pytest.raises(DeviceLost):
            stream.wait(5)


def test_nothing_is_left_on_the_device(device: AdbdDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    device.host.use(monkeypatch)
    transport = old_transport(device, has_exec=False)
    assert transport.run(["cat"], stdin=b"input", timeout=20).stdout == b"input"
    assert b"edgekit" not in device.shell("ls -A /data/local/tmp").stdout
