"""The seam between edgekit and a way to reach a device: put one file, run one command, carry one stream.

A transport knows bytes, deadlines and how its connection fails; it does not retry, parse or decide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all)."""


@runtime_checkable
class OwnTime(Protocol):
    """A transport whose device has a time of its own: it passes by what the device does, not with the host's."""

    def now_us(self) -> float:
        """The device's CLOCK_BOOTTIME, microseconds."""

    def wait(self, seconds: float) -> None:
        """Let the device's time pass."""


@dataclass(frozen=True)
class Completed:
    """A command that ran to its end: exact exit code (128 + signal where a signal ended it), both outputs."""

    exit_code: int
    stdout: bytes
    stderr: bytes


@runtime_checkable
class Stream(Protocol):
    """One running command: its stdin and stdout as bytes, its end as an exit code."""

    def send(self, data: bytes | memoryview) -> None:
        """Write all of `data`; blocks while the other side does not read. Raises DeviceLost, also when
        `abort` is called meanwhile from another thread."""

    def recv(self, max_bytes: int, timeout: float) -> bytes | None:
        """Up to `max_bytes` as soon as there are any; b"" when stdout has ended; None when `timeout`
        seconds passed with nothing. Raises DeviceLost when the connection broke."""

    def close_stdin(self) -> None:
        """Tell the command that no more input comes."""

    def wait(self, timeout: float) -> int:
        """Exit code. Raises DeviceLost where the connection ended without one, DeviceTimeout past `timeout`.
        After a `send` that failed because the command had ended, this still tells its exit code."""

    def stderr_tail(self) -> str:
        """The last 8 KiB that the command wrote to stderr so far."""

    def abort(self) -> None:
        """Cut this stream now, from any thread; blocked calls raise DeviceLost.

        Never blocks, never raises."""

    def close(self) -> None:
        """End politely (stdin closed, command given a second) and free what is held. Never raises."""


@runtime_checkable
class Transport(Protocol):
    """A connected device. Every method raises an error of edgekit.errors, its `device` is the address.

    A class that is registered as a transport has `connect(address: Address, *, timeout: float)` as a class
    method. Commands run in the login folder; a command that is not there exits with 127.
    """

    kind: str
    """"local", "ssh", "adb", "sim"."""
    address: str
    """The address as the user would type it, without secrets."""
    default_root: str
    """edgekit's folder on the device; relative to the login folder where it does not begin with '/'."""
    simulated: bool
    """There is no device: nothing that is measured there is true, and nothing about it is kept on this host."""

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float) -> Completed:
        """Run one command to its end.

        Raises DeviceTimeout with what was printed until then in its message."""

    def open(self, argv: Sequence[str], *, timeout: float) -> Stream:
        """Start one command and keep its stdin and stdout. `timeout` is for the start."""

    def put(
        self,
        source: Path | bytes,
        remote: str,
        *,
        mode: int,
        timeout: float,
        progress: Progress | None = None,
    ) -> None:
        """Write a file under exactly this name (the caller gives a temporary one). May leave a part of it
        behind on failure. Raises DeviceFull, DeviceReadOnly, DevicePermission where that is the reason."""

    def close(self) -> None:
        """End the connection. Never raises."""
