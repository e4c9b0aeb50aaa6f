"""A network link that can be slow, lossy, cut or silent, to a network namespace where servers run.

    this host  10.203.x.y ── TUN ── relay (own process) ── TUN ── 10.203.x.y+1  `Link.sandbox`

The kernel's own netem is not built into every kernel; the relay needs only TUN, and its loss is repeatable.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.targets.sandbox import Sandbox, need_root, need_tools

_TUNSETIFF = 0x400454CA
_IFF_TUN_NO_PI = 0x0001 | 0x1000
_NETWORKS = ("10.203", "10.91", "10.177")
_BLOCKS = 16384  # of four addresses each


@dataclass(frozen=True, kw_only=True)
class LinkSettings:
    """Each way. `rate_mbit` 0: as fast as it goes. `queue_bytes`: what may wait for a busy line; more is lost."""

    delay_ms: float = 0.0
    rate_mbit: float = 0.0
    loss: float = 0.0
    queue_bytes: int = 1 << 18
    seed: int = 1


class Link:
    """Up when made. `device_address` is the far end, inside `sandbox`."""

    def __init__(self, settings: LinkSettings | None = None) -> None:
        need_root()
        need_tools("ip")
        if not Path("/dev/net/tun").exists():
            pytest.skip("no TUN devices here (/dev/net/tun)")
        self.settings = settings or LinkSettings()
        self.sandbox = Sandbox(network=True, hostname="board")
        self._relay: subprocess.Popen[str] | None = None
        try:
            self._connect()
        except BaseException:
            self.sandbox.close()
            raise

    def _connect(self) -> None:
        block, near = _free_block()
        far = _tun(f"ekf{block}")
        try:
            base = f"{_network()}.{block >> 6}"
            self.host_address = f"{base}.{(block & 63) * 4 + 1}"
            self.device_address = f"{base}.{(block & 63) * 4 + 2}"
            _ip("link", "set", f"ekf{block}", "netns", str(self.sandbox.pid))
            here, there = f"{self.host_address}/32", f"{self.device_address}/32"
            _ip("addr", "add", self.host_address, "peer", there, "dev", f"ekn{block}")
            _ip("link", "set", f"ekn{block}", "up")
            inside = ["ip", "addr", "add", self.device_address, "peer", here, "dev", f"ekf{block}"]
            self.sandbox.run(inside)
            self.sandbox.run(["ip", "link", "set", f"ekf{block}", "up"])
            self._start_relay(near, far)
        finally:
            os.close(near)  # the relay has its own; the devices go when it ends
            os.close(far)

    def _start_relay(self, near: int, far: int) -> None:
        program = str(Path(__file__).with_name("link_relay.py"))
        self._relay = subprocess.Popen(
            [sys.executable, "-S", program, str(near), str(far), json.dumps(asdict(self.settings))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=(near, far),
            start_new_session=True,
        )
        self._await_ok()

    def _await_ok(self) -> None:
        assert self._relay is not None
        assert self._relay.stdout is not None
        if self._relay.stdout.readline() != "ok\n":
            raise RuntimeError(f"the relay ended with {self._relay.wait(timeout=5)}")

    def _tell(self, line: str) -> None:
        assert self._relay is not None, "the link is closed"
        assert self._relay.stdin is not None
        self._relay.stdin.write(line + "\n")
        self._relay.stdin.flush()
        self._await_ok()

    def blackhole(self) -> None:
        """Silence both ways, as when a phone leaves the network; what is under way is lost."""
        self._tell("blackhole")

    def cut(self) -> None:
        """As `blackhole`, but each side is told "host unreachable", as by a router."""
        self._tell("cut")

    def heal(self) -> None:
        """As before `cut` or `blackhole`."""
        self._tell("open")

    def change(self, **settings: Any) -> None:
        """Change delay_ms, rate_mbit, loss or queue_bytes from now on."""
        self.settings = replace(self.settings, **settings)
        self._tell(json.dumps(asdict(self.settings)))

    def close(self) -> None:
        """End the link and everything in its sandbox."""
        if self._relay is not None:
            assert self._relay.stdin is not None
            assert self._relay.stdout is not None
            self._relay.stdin.close()
            try:
                self._relay.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._relay.kill()
                self._relay.wait(timeout=30)
            self._relay.stdout.close()
            self._relay = None
        self.sandbox.close()


def _ip(*arguments: str) -> str:
    command = ["ip", *arguments]
    return subprocess.run(command, check=True, timeout=20, capture_output=True, text=True).stdout


def _network() -> str:
    """A /16 that no route of this host touches, but for other links' and the default route."""
    routes = [line.split() for line in _ip("-o", "route", "show", "table", "all").splitlines()]
    used = {word for words in routes if "ekn" not in " ".join(words) for word in words[:2]}
    for network in _NETWORKS:
        if not any(word.startswith(f"{network}.") or word == "10.0.0.0/8" for word in used):
            return network
    pytest.skip(f"this host uses all of {', '.join(_NETWORKS)}")


def _free_block() -> tuple[int, int]:
    """A block of addresses that no other link of this host has, and the near TUN device, whose name claims it."""
    start = os.getpid() * 7
    for offset in range(64):
        block = (start + offset) % _BLOCKS
        try:
            return block, _tun(f"ekn{block}")
        except OSError:  # taken
            continue
    raise RuntimeError("no free TUN device name found")


def _tun(name: str) -> int:
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN_NO_PI))
    except OSError:
        os.close(fd)
        raise
    return fd
