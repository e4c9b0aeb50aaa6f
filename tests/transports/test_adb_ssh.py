"""A4: `adb+ssh://`, a device of another host's adb server: real sshd, real adb server, real adbd."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.errors import DeviceLost, DeviceNotFound, HostError
from edgekit.transports import Transport, connect
from tests.targets.adbd import AdbdDevice
from tests.targets.fixtures_adb import MakeAdbd
from tests.targets.fixtures_ssh import MakeSshd
from tests.targets.ports import free_port
from tests.targets.sshd import SshServer
from tests.timed import timed
from tests.transports.contract import MIB, StreamContract, in_thread, read_all

pytestmark = pytest.mark.android


def lab_address(server: SshServer, device: AdbdDevice | None, port: int | None = None) -> str:
    serial = device.serial if device else ""
    return f"adb+{server.address}/{serial}?port={port or (device.host.port if device else 0)}"


@pytest.fixture(scope="module")
def lab_transport(sshd: SshServer, adbd: AdbdDevice) -> Iterator[Transport]:
    with pytest.MonkeyPatch.context() as patch:
        sshd.client.use(patch)
        opened = connect(lab_address(sshd, adbd), timeout=20)
    yield opened
    opened.close()


class TestAdbOverSsh(StreamContract):
    @pytest.fixture
    def transport(self, lab_transport: Transport) -> Transport:
        return lab_transport

    @pytest.fixture
    def folder(self, transport: Transport) -> str:
        name = f"/data/local/tmp/folder-{time.monotonic_ns()}"
        transport.run(["mkdir", name], timeout=10)
        return name


def test_what_it_says_of_itself(lab_transport: Transport, sshd: SshServer, adbd: AdbdDevice) -> None:
    assert lab_transport.kind == "adb"
    assert lab_transport.address == lab_address(sshd, adbd)
    assert lab_transport.default_root == "/data/local/tmp/edgekit"


def test_no_port_is_opened_here(lab_transport: Transport) -> None:
    stream = lab_transport.open(["cat"], timeout=10)
    own = {str(fd.readlink()) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()}
    listening = [
        line.split()[9]
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        if line.split()[3] == "0A"
    ]
    stream.close()
    assert not [inode for inode in listening if f"socket:[{inode}]" in own]


def test_the_only_one(make_sshd: MakeSshd, make_adbd: MakeAdbd) -> None:
    server, device = make_sshd(), make_adbd()
    opened = connect(lab_address(server, None, device.host.port), timeout=20)
    assert opened.address == lab_address(server, device)
    assert opened.run(["echo", "hi"], timeout=10).stdout == b"hi\n"
    opened.close()


def test_the_labs_server_is_started_where_none_runs(make_sshd: MakeSshd) -> None:
    server = make_sshd()
    with pytest.raises(DeviceNotFound):
        connect(lab_address(server, None, free_port()), timeout=30)


def test_a_lab_without_adb(make_sshd: MakeSshd, monkeypatch: pytest.MonkeyPatch) -> None:
    server = make_sshd()
    assert server.sandbox is not None
    server.sandbox.run(["mount", "--bind", "/dev/null", "/usr/bin/adb"])
    with pytest.raises(HostError) as caught:
        connect(lab_address(server, None, free_port()), timeout=30)
    assert caught.value.code == "E_ADB_SERVER"
    assert "adb start-server" in (caught.value.hint or "")


@timed
def test_loss_of_the_lab_host(make_sshd: MakeSshd, adbd: AdbdDevice) -> None:
    server = make_sshd()
    opened = connect(lab_address(server, adbd), timeout=20)
    idle = opened.open(["cat"], timeout=10)
    busy = opened.open(["sleep", "30"], timeout=10)
    reader, got = in_thread(lambda: idle.recv(10, 60))
    writer, sent = in_thread(lambda: busy.send(b"x" * (64 * MIB)))
    time.sleep(0.5)
    server.kill_sessions()
    reader.join(20)
    writer.join(20)
    assert isinstance(got[0], DeviceLost)
    assert isinstance(sent[0], DeviceLost)
    with pytest.raises(DeviceLost):
        opened.run(["true"], timeout=10)
    with pytest.raises(DeviceLost):
        opened.put(b"x", "/data/local/tmp/f", mode=0o644, timeout=10)
    opened.close()


@timed
def test_loss_of_the_device_behind_it(make_sshd: MakeSshd, make_adbd: MakeAdbd) -> None:
    server, device = make_sshd(), make_adbd()
    opened = connect(lab_address(server, device), timeout=20)
    stream = opened.open(["cat"], timeout=10)
    stream.send(b"x")
    assert read_all(stream, 1) == b"x"
    began = time.monotonic()
    device.freeze()
    with pytest.raises(DeviceLost):
        stream.recv(10, 30)
    assert time.monotonic() - began < 10
    device.freeze(on=False)
    opened.close()
