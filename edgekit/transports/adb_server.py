"""This host's adb server: where it listens, and starting one where none runs. Never killed, never replaced."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgekit.clock import Deadline
from edgekit.errors import DeviceLost, DeviceNotFound, DeviceTimeout, HostError, ToolError
from edgekit.transports.adb_host import (
    AdbDeviceInfo,
    AdbServer,
    Link,
    Refused,
    SocketLink,
    parse_devices,
    read_block,
    read_status,
    request,
)
from edgekit.transports.sockets import connect_tcp

_DEFAULT_PORT = 5037
_START_SECONDS = 15.0
_CONNECT_SECONDS = 5.0
_TRY_SECONDS = 3.0
_PAUSE_SECONDS = 0.2
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class ServerPlace:
    """Where a server listens: HOST and port, or a Unix socket ("\\0" first: of the abstract namespace)."""

    host: str = "localhost"
    port: int = _DEFAULT_PORT
    unix: str | None = None

    @property
    def here(self) -> bool:
        return self.unix is not None or self.host in _LOOPBACK

    def __str__(self) -> str:
        return f"{self.host}:{self.port}" if self.unix is None else f"unix:{self.unix}".replace("\0", "@")


def server_place(environ: Mapping[str, str]) -> ServerPlace:
    """As adb reads it: ADB_SERVER_SOCKET, else ANDROID_ADB_SERVER_ADDRESS and ANDROID_ADB_SERVER_PORT.

    Raises HostError (E_ADB_SERVER) where these make no sense.
    """
    if spec := environ.get("ADB_SERVER_SOCKET"):
        return _socket_spec(spec)
    host = environ.get("ANDROID_ADB_SERVER_ADDRESS") or "localhost"
    port = environ.get("ANDROID_ADB_SERVER_PORT") or str(_DEFAULT_PORT)
    return ServerPlace(host, _port(port, "ANDROID_ADB_SERVER_PORT"))


def _socket_spec(spec: str) -> ServerPlace:
    kind, _, rest = spec.partition(":")
    if kind == "tcp":
        host, _, port = rest.rpartition(":")
        return ServerPlace(host.strip("[]") or "localhost", _port(port, "ADB_SERVER_SOCKET"))
    if kind in ("localfilesystem", "local") and rest:
        return ServerPlace(unix=rest)
    if kind == "localabstract" and rest:
        return ServerPlace(unix="\0" + rest)
    raise HostError(
        f"ADB_SERVER_SOCKET={spec} is not understood", code="E_ADB_SERVER", hint="for instance tcp:HOST:5037"
    )


def _port(text: str, variable: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise HostError(f"{variable}: '{text}' is no port", code="E_ADB_SERVER", hint=f"unset {variable}")
    return int(text)


def local_server() -> AdbServer:
    """The adb server that this environment names; the first connection starts it where none runs."""
    place = server_place(os.environ)
    return AdbServer(str(place), lambda seconds: _dial_or_start(place, seconds))


def _dial_or_start(place: ServerPlace, seconds: float) -> Link:
    """Raises HostError (E_ADB_SERVER) where there is no server and none can be started."""
    deadline = Deadline.after(seconds)
    try:
        return _dial(place, deadline.within(_CONNECT_SECONDS))
    except OSError as error:
        # A server that is there but does not answer must not get a rival: only these mean "none".
        nobody = isinstance(error, ConnectionRefusedError | FileNotFoundError)
        if not nobody or not place.here:
            raise _no_server(place, str(error)) from error
    start_server(deadline.within(_START_SECONDS))
    try:
        return _dial(place, max(0.1, deadline.within(_CONNECT_SECONDS)))
    except OSError as error:
        raise _no_server(place, str(error)) from error


def _dial(place: ServerPlace, seconds: float) -> Link:
    if place.unix is None:
        return SocketLink(connect_tcp(place.host, place.port, seconds))
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(seconds)
        sock.connect(place.unix)
    except BaseException:
        sock.close()
        raise
    return SocketLink(sock)


def _no_server(place: ServerPlace, why: str) -> HostError:
    return HostError(
        f"no adb server at {place} ({why})",
        code="E_ADB_SERVER",
        hint="`adb start-server` on that host; check ANDROID_ADB_SERVER_ADDRESS and _PORT",
        transient=True,
    )


def adb_binary() -> str:
    """The user's own adb (another version's client would kill the server again), else the one of adbutils."""
    if found := shutil.which("adb"):
        return found
    import adbutils

    path = str(adbutils.adb_path())
    if not Path(path).is_file():
        raise ToolError("there is no adb on this host", hint="install Android's platform-tools")
    return path


def start_server(seconds: float) -> None:
    """Start a server that outlives us. Its output goes nowhere: it would keep a pipe of ours open for ever.
    ADB_LIBUSB=0: 20 ms instead of 3 s in adb 36."""
    environ = {**os.environ, "ADB_LIBUSB": os.environ.get("ADB_LIBUSB", "0")}
    try:
        done = subprocess.run(
            [adb_binary(), "start-server"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environ,
            start_new_session=True,
            timeout=max(1.0, seconds),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(f"`adb start-server` failed: {error}", hint="run it by hand to see why") from error
    if done.returncode != 0:
        raise ToolError(f"`adb start-server` failed with {done.returncode}", hint="run it by hand to see why")


def list_devices(server: AdbServer | None = None, *, timeout: float = 20.0) -> list[AdbDeviceInfo]:
    """What is attached, in any state. Raises HostError where no adb server can be had."""
    answer = (server or local_server()).query("host:devices-l", Deadline.after(timeout))
    return parse_devices(answer)


def reconnect(serial: str, server: AdbServer | None = None, *, timeout: float = 20.0) -> str:
    """Bring a device back that adb holds for offline; returns when its state is "device".

    A network device (HOST:PORT) is disconnected and connected: adb says "already connected" otherwise and
    stays offline. That is done again where it came too early for the device, until `timeout`. Another is asked
    to connect again. Returns what adb said. Raises DeviceTimeout, DeviceError.
    """
    server = server or local_server()
    deadline = Deadline.after(timeout)
    device = f"adb:{serial}"
    if ":" not in serial:
        with server.session(deadline, device) as link:
            said = _ask(link, f"host-serial:{serial}:reconnect")
        wait_for_device(server, serial, deadline, device)
        return said
    while True:
        with server.session(deadline) as link:
            # Not known to the server is as good as disconnected.
            _ask(link, f"host:disconnect:{serial}")
        said = server.query(f"host:connect:{serial}", deadline, device)
        try:
            wait_for_device(server, serial, Deadline.after(deadline.within(_TRY_SECONDS)), device)
        except (DeviceTimeout, DeviceLost, DeviceNotFound):
            if deadline.expired():
                raise
            threading.Event().wait(deadline.within(_PAUSE_SECONDS))
        else:
            return said


def _ask(link: Link, service: str) -> str:
    try:
        request(link, service)
        return read_block(link)
    except Refused as refused:
        return str(refused)


def wait_for_device(server: AdbServer, serial: str, deadline: Deadline, device: str) -> None:
    """Until adb has the device in the state "device": the server tells when. Raises DeviceTimeout."""
    with server.session(deadline, device) as link:
        request(link, f"host-serial:{serial}:wait-for-any-device")
        read_status(link)
