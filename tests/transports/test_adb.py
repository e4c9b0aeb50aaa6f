"""A4: `adb:`, against a real adbd, with both generations of adb servers."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.errors import (
    DeviceAmbiguous,
    DeviceLost,
    DeviceNotFound,
    DeviceOffline,
    DeviceTimeout,
    DeviceUnauthorized,
    HostError,
)
from edgekit.transports import Transport, connect
from edgekit.transports.adb import AdbDeviceInfo, list_devices, reconnect
from tests.targets.adbd import AdbdDevice
from tests.targets.fixtures_adb import ADB_VERSIONS, MakeAdbd, MakeAdbHost
from tests.timed import timed
from tests.transports.contract import MIB, LimitsContract, StreamContract, in_thread, read_all

pytestmark = pytest.mark.android


@pytest.fixture(scope="module", params=ADB_VERSIONS, ids=lambda version: f"adb{version}")
def device(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdbdDevice]:
    from tests.targets.adb_host import AdbHost

    folder = tmp_path_factory.mktemp("device")
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
def transport(device: AdbdDevice, monkeypatch: pytest.MonkeyPatch) -> Iterator[Transport]:
    device.host.use(monkeypatch)
    opened = connect(device.address, timeout=20)
    yield opened
    opened.close()


class TestAdb(StreamContract):
    @pytest.fixture
    def transport(self, transport: Transport) -> Transport:
        return transport

    @pytest.fixture
    def folder(self, transport: Transport) -> str:
        name = f"/data/local/tmp/folder-{time.monotonic_ns()}"
        transport.run(["mkdir", name], timeout=10)
        return name


class TestAdbLimits(LimitsContract):
    @pytest.fixture(params=ADB_VERSIONS)
    def transport(
        self, request: pytest.FixtureRequest, make_adbd: MakeAdbd, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Transport]:
        read_only = "read_only" in request.node.name
        device = make_adbd(
            version=request.param,
            small_tmp_bytes=None if read_only else 2 * MIB,
            read_only_tmp=read_only,
        )
        device.host.use(monkeypatch)
        opened = connect(device.address, timeout=20)
        yield opened
        opened.close()

    forbidden = "/data/edgekit"

    def full_folder(self) -> str:
        return "/data/local/tmp"

    read_only_folder = full_folder


def test_what_it_says_of_itself(transport: Transport, device: AdbdDevice) -> None:
    assert (transport.kind, transport.address) == ("adb", device.address)
    assert transport.default_root == "/data/local/tmp/edgekit"


class TestChoice:
    """Which device `adb:` means."""

    def test_the_only_one(self, make_adbd: MakeAdbd, monkeypatch: pytest.MonkeyPatch) -> None:
        device = make_adbd()
        device.host.use(monkeypatch)
        opened = connect("adb:", timeout=20)
        assert opened.address == device.address
        assert opened.run(["echo", "hi"], timeout=10).stdout == b"hi\n"

    def test_none(self, make_adb_host: MakeAdbHost, monkeypatch: pytest.MonkeyPatch) -> None:
        make_adb_host().use(monkeypatch)
        with pytest.raises(DeviceNotFound) as caught:
            connect("adb:", timeout=20)
        assert caught.value.hint

    def test_two(self, make_adbd: MakeAdbd, monkeypatch: pytest.MonkeyPatch) -> None:
        first = make_adbd()
        second = make_adbd(host=first.host)
        first.host.use(monkeypatch)
        with pytest.raises(DeviceAmbiguous) as caught:
            connect("adb:", timeout=20)
        assert first.address in caught.value.message
        assert second.address in caught.value.message
        monkeypatch.setenv("ANDROID_SERIAL", second.serial)
        assert connect("adb:", timeout=20).address == second.address
        assert connect(first.address, timeout=20).address == first.address

    def test_unknown_serial(self, device: AdbdDevice, monkeypatch: pytest.MonkeyPatch) -> None:
        device.host.use(monkeypatch)
        with pytest.raises(DeviceNotFound) as caught:
            connect("adb:nobody", timeout=20)
        assert caught.value.device == "adb:nobody"

    def test_list(self, device: AdbdDevice, monkeypatch: pytest.MonkeyPatch) -> None:
        device.host.use(monkeypatch)
        (found,) = list_devices()
        assert isinstance(found, AdbDeviceInfo)
        assert (found.serial, found.state) == (device.serial, "device")
        assert found.model
        assert found.transport_id


class TestServer:
    """Where the adb server is, and that nobody else's is touched."""

    @timed
    def test_one_is_started_where_none_runs(
        self, make_adb_host: MakeAdbHost, make_adbd: MakeAdbd, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        host = make_adb_host(start=False)
        host.use(monkeypatch)
        monkeypatch.delenv("ADB_LIBUSB")
        began = time.monotonic()
        assert list_devices() == []
        assert time.monotonic() - began < 2
        device = make_adbd(host=host)
        assert connect("adb:", timeout=20).address == device.address

    def test_a_running_one_stays(
        self, make_adb_host: MakeAdbHost, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        host = make_adb_host("36")
        host.use(monkeypatch)
        pid = _listener(host.port)
        assert list_devices() == []
        assert _listener(host.port) == pid

    def test_a_silent_one_is_no_reason_to_start_another(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import socket

        with socket.create_server(("127.0.0.1", 0)) as silent:
            monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(silent.getsockname()[1]))
            began = time.monotonic()
            with pytest.raises(DeviceTimeout):
                list_devices(timeout=1)
            assert time.monotonic() - began < 15

    def test_server_socket_variable(self, device: AdbdDevice, monkeypatch: pytest.MonkeyPatch) -> None:
        device.host.use(monkeypatch)
        monkeypatch.delenv("ANDROID_ADB_SERVER_PORT")
        monkeypatch.setenv("ADB_SERVER_SOCKET", f"tcp:127.0.0.1:{device.host.port}")
        assert [found.serial for found in list_devices()] == [device.serial]

    def test_server_address_variable(self, device: AdbdDevice, monkeypatch: pytest.MonkeyPatch) -> None:
        device.host.use(monkeypatch)
        monkeypatch.setenv("ANDROID_ADB_SERVER_ADDRESS", "127.0.0.1")
        assert [found.serial for found in list_devices()] == [device.serial]

    def test_a_remote_server_that_is_not_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ANDROID_ADB_SERVER_ADDRESS", "no-such-host.invalid")
        with pytest.raises(HostError) as caught:
            list_devices()
        assert caught.value.code == "E_ADB_SERVER"

    def test_a_port_that_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "99999")
        with pytest.raises(HostError) as caught:
            list_devices()
        assert caught.value.code == "E_ADB_SERVER"


def _listener(port: int) -> str:
    """The socket that listens on a port of loopback, by inode."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[1].endswith(f":{port:04X}") and words[3] == "0A":
            return words[9]
    raise AssertionError(f"nothing listens on {port}")


@pytest.mark.parametrize("version", ADB_VERSIONS)
def test_unauthorized_then_accepted(
    make_adbd: MakeAdbd, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    device = make_adbd(version=version, auth=True)
    device.host.use(monkeypatch)
    with pytest.raises(DeviceUnauthorized) as caught:
        connect(device.address, timeout=20)
    assert "screen" in (caught.value.hint or "")
    assert not caught.value.transient
    device.authorize(device.host.public_key)
    reconnect(device.serial)
    assert connect(device.address, timeout=20).run(["true"], timeout=10).exit_code == 0


@timed
@pytest.mark.parametrize("version", ADB_VERSIONS)
class TestLoss:
    @pytest.fixture
    def device(self, make_adbd: MakeAdbd, version: str, monkeypatch: pytest.MonkeyPatch) -> AdbdDevice:
        device = make_adbd(version=version)
        device.host.use(monkeypatch)
        return device

    @pytest.fixture
    def transport(self, device: AdbdDevice) -> Transport:
        return connect(device.address, timeout=20)

    def test_adbd_killed(self, transport: Transport, device: AdbdDevice, tmp_path: Path) -> None:
        """Streams idle and busy, a command and a file: all are lost, nothing looks complete."""
        large = tmp_path / "large"
        with open(large, "wb") as file:
            file.truncate(16 << 30)
        idle = transport.open(["sh", "-c", "echo part; sleep 60"], timeout=10)
        assert read_all(idle, 5) == b"part\n"
        busy = transport.open(["sleep", "60"], timeout=10)
        work = [
            in_thread(lambda: idle.recv(10, 60)),
            in_thread(lambda: busy.send(b"x" * (64 * MIB))),
            in_thread(lambda: transport.run(["sh", "-c", "echo part; sleep 60"], timeout=60)),
            in_thread(lambda: transport.put(large, "/data/local/tmp/f", mode=0o644, timeout=60)),
        ]
        time.sleep(0.7)
        began = time.monotonic()
        device.kill()
        for thread, _ in work:
            thread.join(15)
        assert time.monotonic() - began < 10
        for _, result in work:
            assert isinstance(result[0], DeviceLost), result
            assert result[0].device == transport.address
        with pytest.raises(DeviceLost):
            idle.wait(5)

    def test_adbd_frozen(self, transport: Transport, device: AdbdDevice, tmp_path: Path) -> None:
        """Connected and silent: adb itself would wait for ever."""
        large = tmp_path / "large"
        with open(large, "wb") as file:
            file.truncate(16 << 30)
        idle = transport.open(["cat"], timeout=10)
        busy = transport.open(["sleep", "60"], timeout=10)
        work = [
            in_thread(lambda: idle.recv(10, 60)),
            in_thread(lambda: busy.send(b"x" * (64 * MIB))),
            in_thread(lambda: transport.run(["sleep", "60"], timeout=60)),
            in_thread(lambda: transport.put(large, "/data/local/tmp/f", mode=0o644, timeout=60)),
        ]
        time.sleep(0.7)
        began = time.monotonic()
        device.freeze()
        for thread, _ in work:
            thread.join(15)
        took = time.monotonic() - began
        device.freeze(on=False)
        for _, result in work:
            assert isinstance(result[0], DeviceLost), result
        assert took < 10

    def test_a_quiet_stream_is_no_lost_one(self, transport: Transport) -> None:
        stream = transport.open(["cat"], timeout=10)
        assert stream.recv(10, 11) is None
        stream.send(b"still here")
        assert read_all(stream, 10) == b"still here"
        stream.close()

    def test_offline_and_back(self, transport: Transport, device: AdbdDevice) -> None:
        device.kill()
        with pytest.raises((DeviceLost, DeviceOffline, DeviceNotFound)):
            transport.run(["true"], timeout=10)
        with pytest.raises((DeviceLost, DeviceOffline, DeviceNotFound)):
            connect(device.address, timeout=10)
        device.restart()
        reconnect(device.serial, timeout=10)
        assert transport.run(["echo", "back"], timeout=10).stdout == b"back\n"

    def test_reconnect_to_a_device_that_is_off(self, transport: Transport, device: AdbdDevice) -> None:
        device.power_off()
        began = time.monotonic()
        with pytest.raises((DeviceTimeout, DeviceOffline, DeviceNotFound)):
            reconnect(device.serial, timeout=2)
        assert time.monotonic() - began < 20


def test_no_process_is_started_on_a_quiet_device(transport: Transport) -> None:
    """The watch over a silent stream must not disturb what is measured there."""
    script = "read a < /proc/loadavg; sleep 6; read b < /proc/loadavg; echo $a; echo $b"
    lines = transport.run(["sh", "-c", script], timeout=20).stdout.decode().splitlines()
    before, after = (int(line.split()[-1]) for line in lines)
    assert after - before <= 2


def test_large_data_is_whole(transport: Transport) -> None:
    data = os.urandom(64 * MIB)
    transport.put(data, "/data/local/tmp/large", mode=0o600, timeout=60)
    try:
        assert transport.run(["cat", "/data/local/tmp/large"], timeout=60).stdout == data
    finally:
        transport.run(["rm", "/data/local/tmp/large"], timeout=20)
