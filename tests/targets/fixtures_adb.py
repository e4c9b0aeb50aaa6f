"""adbd: a device for the whole session, and factories for tests that break theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.targets.adb_host import AdbHost
    from tests.targets.adbd import AdbdDevice
    from tests.targets.fault_device import FaultDevice
    from tests.targets.link import Link

MakeAdbHost = Callable[..., "AdbHost"]
MakeAdbd = Callable[..., "AdbdDevice"]
MakeFaulty = Callable[..., "FaultDevice"]
ADB_VERSIONS = ("36", "29")
LAB_PORT = 5037


@pytest.fixture(scope="session")
def adbd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdbdDevice]:
    """A running device at an adb 36 server of its own, shared by the tests of one worker: do not kill it.
    `adbd.host.use(monkeypatch)` makes its adb server that of the test."""
    from tests.targets.adb_host import AdbHost
    from tests.targets.adbd import AdbdDevice

    folder = tmp_path_factory.mktemp("adbd")
    host = AdbHost(folder / "host", "36")
    try:
        host.start()
        device = AdbdDevice(folder / "device", host)
        device.connect()
        yield device
        device.close()
    finally:
        host.close()


@pytest.fixture(params=ADB_VERSIONS, ids=[f"adb{version}" for version in ADB_VERSIONS])
def adb_version(request: pytest.FixtureRequest) -> str:
    """Ask for it, and the test runs with each generation of adb on the host."""
    return str(request.param)


@pytest.fixture
def make_adb_host(tmp_path: Path) -> Iterator[MakeAdbHost]:
    """make_adb_host(version="36"|"29", start=True, link=None): an adb server for this test only. With start=False
    nothing listens on its port yet; a server that the product starts there ends with the test. With `link` it is
    the server of another host, at the link's far end, on adb's usual port 5037."""
    from tests.targets.adb_host import AdbHost

    hosts: list[AdbHost] = []

    def make(version: str = "36", *, start: bool = True, link: Link | None = None) -> AdbHost:
        folder = tmp_path / f"adb-host-{len(hosts)}"
        if link is None:
            host = AdbHost(folder, version)
        else:
            host = AdbHost(folder, version, sandbox=link.sandbox, port=LAB_PORT)
        hosts.append(host)
        if start:
            host.start()
        return host

    yield make
    for host in reversed(hosts):
        host.close()


@pytest.fixture
def make_adbd(tmp_path: Path, make_adb_host: MakeAdbHost) -> Iterator[MakeAdbd]:
    """Make devices for this test only.

    make_adbd(host=None, version="36", connect=True, auth=False, small_tmp_bytes=None, read_only_tmp=False,
              sysfs=None, link=None): without `host` each call makes a server of its own; connect=False: the adb server
    does not know the device yet; with `link` the device is at its far end.
    """
    from tests.targets.adbd import AdbdDevice, AdbdOptions

    devices: list[AdbdDevice] = []

    def make(
        *,
        host: AdbHost | None = None,
        version: str = "36",
        connect: bool = True,
        auth: bool = False,
        small_tmp_bytes: int | None = None,
        read_only_tmp: bool = False,
        sysfs: Path | None = None,
        link: Link | None = None,
    ) -> AdbdDevice:
        options = AdbdOptions(
            auth=auth, small_tmp_bytes=small_tmp_bytes, read_only_tmp=read_only_tmp, sysfs=sysfs
        )
        if link is not None:
            options = replace(options, network_pid=link.sandbox.pid, host_address=link.device_address)
        folder = tmp_path / f"adbd-{len(devices)}"
        device = AdbdDevice(folder, host or make_adb_host(version), options)
        devices.append(device)
        if connect:
            device.connect("unauthorized" if auth else "device")
        return device

    yield make
    for device in reversed(devices):
        device.close()


@pytest.fixture
def make_faulty(tmp_path: Path, make_adb_host: MakeAdbHost) -> Iterator[MakeFaulty]:
    """Make devices whose adbd is tests/targets/faultd.py, for this test only.

    make_faulty(host=None, version="36", old=False, connect=True, link=None, **settings): `old` is the dialect of
    Android 4; settings are those of faultd.Settings (state, die_after_sent, die_after_received, how, features,
    exec_service). `device.fault(...)` changes them later.
    """
    from tests.targets.adbd import AdbdOptions
    from tests.targets.fault_device import OLD_DIALECT, FaultDevice

    devices: list[FaultDevice] = []

    def make(
        *,
        host: AdbHost | None = None,
        version: str = "36",
        old: bool = False,
        connect: bool = True,
        link: Link | None = None,
        **settings: Any,
    ) -> FaultDevice:
        options = AdbdOptions()
        if link is not None:
            options = AdbdOptions(network_pid=link.sandbox.pid, host_address=link.device_address)
        settings = {**(OLD_DIALECT if old else {}), **settings}
        folder = tmp_path / f"faulty-{len(devices)}"
        device = FaultDevice(folder, host or make_adb_host(version), options, **settings)
        devices.append(device)
        if connect:
            state = settings.get("state", "device")
            expected = {"unauthorized": "unauthorized", "silent": None}.get(state, "device")
            device.connect(expected)
        return device

    yield make
    for device in reversed(devices):
        device.close()
