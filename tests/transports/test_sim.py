"""A4, D1.2: `sim:`. Of the contract what needs no shell: a simulated device has a few commands, and its agent."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from edgekit.addresses import parse
from edgekit.agent.bootstrap import connect_agent
from edgekit.devices import Device
from edgekit.devices.opening import resolve
from edgekit.errors import DeviceFull, DeviceLost, DeviceReadOnly
from edgekit.transports import Transport, connect
from edgekit.transports.adb import AdbTransport
from edgekit.transports.adb_ssh import AdbOverSshTransport
from edgekit.transports.local import LocalTransport
from edgekit.transports.sim.transport import SimTransport, forget
from edgekit.transports.ssh import SshTransport
from tests.sim.devices import address
from tests.transports.contract import MIB, LimitsContract, RunContract, StreamContract

pytestmark = pytest.mark.base


@pytest.fixture
def transport() -> Iterator[Transport]:
    where = address()
    yield connect(where, timeout=5)
    forget(parse(where))


@pytest.fixture
def folder(transport: Transport) -> str:
    assert transport.run(["mkdir", "-p", "/tmp/own"], timeout=5).exit_code == 0
    return "/tmp/own"


class TestSim:
    test_missing_command_is_127 = RunContract.test_missing_command_is_127
    test_no_stdin_is_an_empty_one = RunContract.test_no_stdin_is_an_empty_one
    test_stdin_that_nobody_reads_is_no_error = RunContract.test_stdin_that_nobody_reads_is_no_error
    test_twenty_commands_in_a_row = RunContract.test_twenty_commands_in_a_row
    test_put_bytes = RunContract.test_put_bytes
    test_put_a_file_over_a_longer_one = RunContract.test_put_a_file_over_a_longer_one
    test_put_into_a_missing_folder = RunContract.test_put_into_a_missing_folder
    test_echo_both_ways_at_once = StreamContract.test_echo_both_ways_at_once
    test_small_messages_go_and_come_at_once = StreamContract.test_small_messages_go_and_come_at_once
    test_missing_command_as_a_stream = StreamContract.test_missing_command_as_a_stream
    test_permission_denied = LimitsContract.test_permission_denied
    forbidden = "/etc/edgekit"

    @pytest.mark.parametrize("mode", [0o755, 0o644, 0o600, 0o700])
    def test_put_sets_the_mode_exactly(self, transport: Transport, folder: str, mode: int) -> None:
        transport.put(b"x", f"{folder}/f", mode=mode, timeout=30)
        assert transport.run(["stat", "-c", "%a", f"{folder}/f"], timeout=20).stdout.strip() == b"%o" % mode

    def test_relative_names_begin_at_the_login_folder(self, transport: Transport) -> None:
        where = transport.run(["pwd"], timeout=20).stdout.decode().strip()
        transport.put(b"here", "name", mode=0o644, timeout=30)
        assert transport.run(["cat", f"{where}/name"], timeout=20).stdout == b"here"

    def test_a_shell_is_not_pretended(self, transport: Transport) -> None:
        done = transport.run(["sh", "-c", "echo hello"], timeout=5)
        assert (done.exit_code, done.stdout) == (127, b"")
        assert b"simulated" in done.stderr

    @pytest.mark.parametrize("argv", [["mv", "a"], ["chmod", "x", "/tmp"], ["stat"], ["sleep", "long"]])
    def test_arguments_that_are_not_known(self, transport: Transport, argv: list[str]) -> None:
        assert transport.run(argv, timeout=5).exit_code == 2

    def test_many_threads_share_one_agent(self, transport: Transport) -> None:
        wrong: list[object] = []
        with connect_agent(transport) as client:

            def work(number: int) -> None:
                data = bytes([number]) * 50_000
                for turn in range(10):
                    client.put(data, f"/tmp/{number}-{turn}")
                    if client.get(f"/tmp/{number}-{turn}") != data:
                        wrong.append((number, turn))

            threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            assert not wrong
            assert len(client.list_dir("/tmp")) == 80

    def test_abort_ends_an_agent_for_whoever_waits(self, transport: Transport) -> None:
        client = connect_agent(transport)
        path = f"{transport.default_root}/agent"
        program = next(entry.name for entry in client.list_dir(path))
        stream = transport.open([f"{path}/{program}", "serve", "--root", transport.default_root], timeout=5)
        assert stream.recv(16, 30) == b"EDGEKIT-AGENT/1\n"
        stream.abort()
        for work in (lambda: stream.recv(1, 1), lambda: stream.send(b"x"), lambda: stream.wait(1)):
            with pytest.raises(DeviceLost):
                work()
        stream.close()
        client.ping()
        client.close()

    def test_what_is_no_frame_ends_the_agent(self, transport: Transport) -> None:
        client = connect_agent(transport)
        client.close()
        program = transport.run(["ls", f"{transport.default_root}/agent"], timeout=5).stdout.decode().strip()
        argv = [f"{transport.default_root}/agent/{program}", "serve", "--root", transport.default_root]
        stream = transport.open(argv, timeout=5)
        stream.send(b"\xff" * 9)
        assert stream.wait(30) == 3
        assert "malformed" in stream.stderr_tail()


@pytest.mark.parametrize(("fault", "kind"), [("full", DeviceFull), ("readonly", DeviceReadOnly)])
def test_limits(fault: str, kind: type[Exception]) -> None:
    where = address(fault=fault)
    transport = connect(where, timeout=5)
    with connect_agent(transport), pytest.raises(kind):
        transport.put(os.urandom(8 * MIB), "f", mode=0o644, timeout=60)
    forget(parse(where))


class PlugIn(SimTransport):
    """A simulated device of another package: it has a kind of its own."""

    kind = "toy"


@pytest.mark.parametrize("kind", [SimTransport, PlugIn])
def test_nothing_is_kept_of_a_device_that_says_it_is_simulated(
    kind: type[SimTransport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(tmp_path))
    where = address()
    transport = cast(Transport, kind.connect(parse(where), timeout=5))
    with Device(resolve(where), transport, connect_agent(transport)) as device:
        assert (device.simulated, device.kind) == (True, kind.kind)
        assert device.facts.abi == "arm64-v8a"
    forget(parse(where))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_all_other_devices_are_real() -> None:
    assert not any(
        kind.simulated for kind in (LocalTransport, SshTransport, AdbTransport, AdbOverSshTransport)
    )
