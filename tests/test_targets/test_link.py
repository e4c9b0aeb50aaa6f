"""The link fixture does what it says, seen with real sockets, ssh and adb (demand A9)."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.targets.fixtures_adb import MakeAdbd, MakeAdbHost
    from tests.targets.fixtures_link import MakeLink
    from tests.targets.fixtures_ssh import MakeSshd
    from tests.targets.link import Link
    from tests.targets.sshd import SshServer

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def ssh(server: SshServer, command: str, *, stdin: bytes = b"", timeout: float = 30.0) -> bytes:
    argv = ["ssh", f"{server.user}@{server.host}", command]
    return subprocess.run(argv, input=stdin, capture_output=True, timeout=timeout, check=True).stdout


def connect_ms(link: Link) -> float:
    began = time.monotonic()
    socket.create_connection((link.device_address, 22), timeout=5).close()
    return (time.monotonic() - began) * 1000


def test_delay_is_that_of_a_round_trip(make_link: MakeLink, make_sshd: MakeSshd) -> None:
    link = make_link(delay_ms=20)
    make_sshd(link=link)
    assert 40 <= min(connect_ms(link) for _ in range(10)) < 120


def test_rate_limits_what_gets_through(make_link: MakeLink, make_sshd: MakeSshd) -> None:
    server = make_sshd(link=make_link(rate_mbit=20))
    began = time.monotonic()
    assert ssh(server, "wc -c", stdin=bytes(2_500_000)).strip() == b"2500000"
    took_s = time.monotonic() - began
    assert took_s > 0.9, "2.5 MB at 20 Mbit/s take 1 s at least"
    assert took_s < 20


def test_loss_slows_and_loses_nothing(make_link: MakeLink, make_sshd: MakeSshd) -> None:
    server = make_sshd(link=make_link(loss=0.02, delay_ms=1))
    data = os.urandom(1_000_000)
    assert ssh(server, "cat", stdin=data) == data
    retransmitted = int(_counter("RetransSegs"))
    ssh(server, "cat", stdin=data)
    assert int(_counter("RetransSegs")) > retransmitted


def _counter(name: str) -> str:
    """A TCP counter of this host's network, from /proc/net/snmp."""
    names, values = (
        line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Tcp:")
    )
    return values[names.index(name)]


def test_blackhole_is_silent_until_healed(make_link: MakeLink, make_sshd: MakeSshd) -> None:
    link = make_link()
    make_sshd(link=link)
    with socket.create_connection((link.device_address, 22), timeout=5) as open_one:
        assert open_one.recv(4) == b"SSH-"
        link.blackhole()
        with pytest.raises(TimeoutError):
            socket.create_connection((link.device_address, 22), timeout=0.5)
        open_one.sendall(
            b"SSH-2.0-test\r\n"
        )  # taken by this host's kernel; nothing comes back, no error either
        open_one.settimeout(0.5)
        open_one.recv(4096)  # the rest of the banner, which came before
        with pytest.raises(TimeoutError):
            open_one.recv(1)
        link.heal()
        open_one.settimeout(30)
        assert open_one.recv(1)
    connect_ms(link)


def test_cut_says_that_the_host_cannot_be_reached(make_link: MakeLink, make_sshd: MakeSshd) -> None:
    link = make_link()
    make_sshd(link=link)
    link.cut()
    with pytest.raises(OSError) as caught:
        socket.create_connection((link.device_address, 22), timeout=5)
    assert caught.value.errno == errno.EHOSTUNREACH
    link.heal()
    connect_ms(link)


def test_change_counts_at_once(make_link: MakeLink, make_sshd: MakeSshd) -> None:
    link = make_link()
    make_sshd(link=link)
    assert min(connect_ms(link) for _ in range(10)) < 40
    link.change(delay_ms=30)
    assert connect_ms(link) >= 60


def test_adbd_at_the_far_end(make_link: MakeLink, make_adbd: MakeAdbd) -> None:
    link = make_link(delay_ms=5)
    device = make_adbd(link=link)
    assert device.shell("exit 6").returncode == 6
    link.blackhole()
    with pytest.raises(subprocess.TimeoutExpired):
        device.shell("true", timeout=1.5)
    link.heal()


def test_lab_host_with_an_adb_server_of_its_own(
    make_link: MakeLink, make_sshd: MakeSshd, make_adb_host: MakeAdbHost, make_adbd: MakeAdbd
) -> None:
    """What adb+ssh:// needs: reached by ssh alone, an adb server on its loopback."""
    link = make_link()
    server = make_sshd(link=link)
    host = make_adb_host(link=link)
    device = make_adbd(host=host, link=link)
    argv = ["ssh", "-W", f"127.0.0.1:{host.port}", f"{server.user}@{server.host}"]
    request = b"000chost:devices"
    done = subprocess.run(argv, input=request, capture_output=True, timeout=30, check=False)
    assert done.stdout.startswith(b"OKAY")
    assert f"{device.serial}\tdevice".encode() in done.stdout
    with pytest.raises(OSError):
        socket.create_connection((link.device_address, host.port), timeout=1)


def test_nothing_is_left_of_a_closed_link() -> None:
    from tests.targets.link import Link

    link = Link()
    assert link.host_address in _addresses()
    link.close()
    assert link.host_address not in _addresses()


def _addresses() -> str:
    command = ["ip", "-o", "addr"]
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
