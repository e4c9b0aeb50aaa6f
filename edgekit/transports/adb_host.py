"""An adb server's own protocol: requests with a length of four hex digits, OKAY or FAIL, device lists.

Spoken here and not through adbutils: every wait needs a deadline, a stream needs its stdin, and the same
code has to run over an ssh channel. Source of the format: AOSP packages/modules/adb, OVERVIEW and SERVICES.
"""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edgekit.clock import Deadline
from edgekit.errors import (
    DeviceAmbiguous,
    DeviceError,
    DeviceNotFound,
    DeviceOffline,
    DevicePermission,
    DeviceTimeout,
    DeviceUnauthorized,
    InputError,
)
from edgekit.transports.running import lost

_MAX_REQUEST_BYTES = 0xFFFF
_ANSWER_SECONDS = 8.0
"""A device that does not even open a service within this is lost."""


class Link(Protocol):
    """One connection to an adb server: a socket, or an ssh channel to another host's."""

    def recv(self, size: int) -> bytes:
        """b"" at the end. Raises TimeoutError, OSError."""

    def send(self, data: bytes | memoryview) -> int:
        """How much was taken. Raises TimeoutError, OSError."""

    def settimeout(self, seconds: float | None) -> None:
        """For each recv and send that begins after it."""

    def ready(self) -> bool:
        """Whether recv would not wait."""

    def abort(self) -> None:
        """From any thread: recv and send under way end. Never waits, never raises."""

    def close(self) -> None:
        """Never raises."""


class Closed(ConnectionError):
    """The adb server ended the connection."""


class Refused(Exception):
    """The adb server, or adbd, said FAIL with this text."""


@dataclass(frozen=True)
class AdbDeviceInfo:
    """One line of `adb devices -l`. `state` is adb's word: device, offline, unauthorized, no permissions,
    authorizing, connecting, recovery, sideload, bootloader, rescue. What adb does not tell is None."""

    serial: str
    state: str
    product: str | None = None
    model: str | None = None
    device: str | None = None
    transport_id: str | None = None


def parse_devices(text: str) -> list[AdbDeviceInfo]:
    """The answer to host:devices-l."""
    devices = []
    for line in text.splitlines():
        # A device that tells no serial is listed as "(no serial number)".
        match = re.match(r"(\(no serial number\)|\S+)\s+(.*)", line.strip())
        if match is None:
            continue
        serial, rest = match[1], match[2]
        # A state may have spaces and a hint with an address in it: "no permissions (...); see [http://...]".
        pairs = dict(re.findall(r"(?<!\S)(product|model|device|transport_id|usb):(\S+)", rest))
        state = re.split(r"(?<!\S)(?:product|model|device|transport_id|usb):\S", rest)[0].strip()
        devices.append(
            AdbDeviceInfo(
                serial,
                re.split(r"[(;]", state)[0].strip(),
                pairs.get("product"),
                pairs.get("model"),
                pairs.get("device"),
                pairs.get("transport_id"),
            )
        )
    return devices


@dataclass(frozen=True)
class AdbServer:
    """One adb server. `dial(seconds)` opens a connection to it; raises OSError or an edgekit error."""

    name: str
    dial: Callable[[float], Link]

    def query(self, service: str, deadline: Deadline, device: str | None = None) -> str:
        """A host service that answers with one text. Raises a DeviceError for FAIL."""
        with self.session(deadline, device) as link:
            request(link, service)
            return read_block(link)

    def open_device(self, serial: str, service: str, deadline: Deadline, device: str) -> Link:
        """A connection to a service of one device's adbd. Raises a DeviceError; Refused where the device is
        there and does not have the service."""
        link = self._dial(deadline)
        try:
            with link_errors(deadline, device):
                link.settimeout(min(_ANSWER_SECONDS, _left(deadline)))
                request(link, f"host:transport:{serial}")
            with link_errors(deadline, device, refused=False):
                request(link, service)
        except BaseException:
            link.close()
            raise
        return link

    @contextlib.contextmanager
    def session(self, deadline: Deadline, device: str | None = None):  # type: ignore[no-untyped-def]
        """A connection for one host service; errors are mapped, the connection is closed after."""
        link = self._dial(deadline)
        try:
            with link_errors(deadline, device):
                link.settimeout(_left(deadline))
                yield link
        finally:
            link.close()

    def _dial(self, deadline: Deadline) -> Link:
        return self.dial(_left(deadline))


def _left(deadline: Deadline) -> float:
    return max(0.05, deadline.within(3600))


def request(link: Link, service: str) -> None:
    """Send one request and read OKAY. Raises Refused with the text of FAIL."""
    data = service.encode("utf-8", "surrogateescape")
    if len(data) > _MAX_REQUEST_BYTES:
        raise InputError("the command is too long for adb (64 KiB)", code="E_ARGUMENT")
    send_all(link, f"{len(data):04x}".encode() + data)
    read_status(link)


def read_status(link: Link) -> None:
    status = recv_exactly(link, 4)
    if status == b"FAIL":
        raise Refused(read_block(link))
    if status != b"OKAY":
        raise Closed(f"this is no adb server: it says {status!r}")


def read_block(link: Link) -> str:
    """A text with its length before it."""
    length = recv_exactly(link, 4)
    try:
        size = int(length, 16)
    except ValueError as error:
        raise Closed(f"this is no adb server: it says {length!r}") from error
    return recv_exactly(link, size).decode("utf-8", "replace")


def recv_exactly(link: Link, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        chunk = link.recv(size - len(data))
        if not chunk:
            raise Closed("the adb server ended the connection")
        data += chunk
    return bytes(data)


def send_all(link: Link, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[link.send(view) :]


@contextlib.contextmanager
def link_errors(deadline: Deadline, device: str | None, *, refused: bool = True):  # type: ignore[no-untyped-def]
    """The one place where adb's errors become edgekit's. Without `refused`, a service that the device's adbd
    does not have stays Refused: the caller knows what to do then."""
    try:
        yield
    except Refused as error:
        known = device_error(str(error), device)
        if known is None and not refused:
            raise
        raise known or DeviceError(f"adb: {error}", code="E_ADB", device=device) from error
    except TimeoutError as error:
        if deadline.expired():
            raise DeviceTimeout("adb did not answer in time", device=device) from error
        raise lost("adb does not answer", device or "adb", error) from error
    except OSError as error:
        raise lost("the connection to the adb server broke", device or "adb", error) from error


def device_error(said: str, device: str | None) -> DeviceError | None:
    """What a FAIL of the adb server says about the device's state; None where it is about something else."""
    text = said.lower()
    if "unauthorized" in text:
        return DeviceUnauthorized(
            "the device does not trust this host's adb key yet",
            device=device,
            hint="unlock its screen and accept the question about USB debugging, then try again",
        )
    if "more than one" in text:
        return DeviceAmbiguous(f"adb: {said}", device=device, hint="name one: -s SERIAL")
    if "no permissions" in text or "insufficient permissions" in text:
        return DevicePermission(
            f"adb may not open the USB device ({said})",
            device=device,
            hint="install udev rules (package android-sdk-platform-tools-common), then replug the device",
        )
    if "not found" in text or "no devices" in text or "unknown host service" in text:
        return DeviceNotFound(
            f"adb: {said}",
            device=device,
            hint="plug it in and allow USB debugging there; `adb devices` lists what is attached",
        )
    if any(word in text for word in ("offline", "still authorizing", "still connecting", "connecting")):
        return DeviceOffline(
            f"adb: {said}", device=device, hint="replug it, or `adb reconnect offline`, then try again"
        )
    return None


_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)
"""Only Linux has it."""


class SocketLink:
    """A Link over a socket. The adb server leaves Nagle's algorithm on: the second of two short answers waits for the
    acknowledgement of the first, which a kernel may hold back for 40 ms; so ours is asked to send it at once. It
    forgets that, hence again after every read."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._tcp = sock.family in (socket.AF_INET, socket.AF_INET6)
        if self._tcp:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def recv(self, size: int) -> bytes:
        data = self._socket.recv(size)
        if self._tcp and _QUICKACK is not None:
            with contextlib.suppress(OSError):  # closed meanwhile: the next read tells
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        return data

    def send(self, data: bytes | memoryview) -> int:
        return self._socket.send(data)

    def settimeout(self, seconds: float | None) -> None:
        self._socket.settimeout(seconds)

    def ready(self) -> bool:
        import select

        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))

    def abort(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.abort()
        with contextlib.suppress(OSError):
            self._socket.close()
