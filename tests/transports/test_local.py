"""A4: `local:`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.errors import DeviceFull, DevicePermission, HostError, RemoteError
from edgekit.transports import Transport, connect
from tests.agent.starting import eventually
from tests.transports.contract import StreamContract

pytestmark = pytest.mark.base


@pytest.fixture
def transport() -> Transport:
    return connect("local:", timeout=30)


class TestLocal(StreamContract):
    @pytest.fixture
    def transport(self, transport: Transport) -> Transport:
        return transport

    @pytest.fixture
    def folder(self, tmp_path: Path) -> str:
        return str(tmp_path)


def test_what_it_says_of_itself(transport: Transport) -> None:
    assert (transport.kind, transport.address) == ("local", "local:")
    assert transport.default_root.endswith("/local-device")
    assert Path(transport.default_root).is_dir()


def test_full_disk(transport: Transport) -> None:
    with pytest.raises(DeviceFull):
        transport.put(b"x", "/dev/full", mode=0o666, timeout=30)


def test_a_folder_in_the_place_of_the_file(transport: Transport, tmp_path: Path) -> None:
    with pytest.raises(RemoteError) as caught:
        transport.put(b"x", str(tmp_path), mode=0o666, timeout=30)
    assert caught.value.code == "E_REMOTE_FILE"


def test_permission_denied(tmp_path: Path) -> None:
    """Needs a user without root's powers; root drops its own in a child process."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    script = (
        "import sys; from edgekit.errors import DevicePermission\n"
        "from edgekit.transports.local import LocalTransport\n"
        "try: LocalTransport().put(b'x', sys.argv[1], mode=0o644, timeout=30)\n"
        "except DevicePermission as error: print(error.code)\n"
    )
    argv = [sys.executable, "-c", script, str(closed / "f")]
    if os.geteuid() == 0:
        argv = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--", *argv]
        os.chown(closed, 12345, 12345)
    done = subprocess.run(argv, capture_output=True, timeout=30, check=False)
    assert done.stdout == b"E_DEVICE_PERMISSION\n", done.stderr
    assert DevicePermission.default_code == "E_DEVICE_PERMISSION"


def test_a_missing_source_is_the_hosts_fault(transport: Transport, tmp_path: Path) -> None:
    with pytest.raises(HostError):
        transport.put(tmp_path / "missing", str(tmp_path / "f"), mode=0o644, timeout=30)
    assert not (tmp_path / "f").exists()


def test_abort_ends_grandchildren_too(transport: Transport) -> None:
    stream = transport.open(["sh", "-c", "sleep 300 & echo $!; wait"], timeout=30)
    pid = stream.recv(20, 30)
    assert pid is not None
    stream.abort()
    stream.close()
    gone = f"while kill -0 {pid.decode().strip()} 2>/dev/null; do sleep 0.05; done"
    assert transport.run(["sh", "-c", gone], timeout=30).exit_code == 0


def test_no_descriptors_are_left_open(transport: Transport) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        transport.run(["true"], timeout=30)
        stream = transport.open(["cat"], timeout=30)
        stream.close()
        stream = transport.open(["sleep", "30"], timeout=30)
        stream.abort()
        stream.close()
    assert eventually(lambda: len(list(Path("/proc/self/fd").iterdir())) <= before)
