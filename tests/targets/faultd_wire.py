"""faultd's side of the ADB protocol: connections, streams, and where they break (see faultd.py)."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

_HEAD = struct.Struct("<6I")
_CNXN, _AUTH, _OPEN, _OKAY, _CLSE, _WRTE = (
    int.from_bytes(name, "little") for name in (b"CNXN", b"AUTH", b"OPEN", b"OKAY", b"CLSE", b"WRTE")
)
_TOKEN, _SIGNATURE = 1, 2


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`state`: "device"; "unauthorized"; "silent" (takes connections, says nothing); "mute" (connects, and
    answers no request). `how` to end at byte N of payload: "close", "reset", "hang", "exit", all
    within a packet where N is not a packet's end; "garbage" in the place of the packet that would pass N.
    `shell`: the command line before the text of a command; `old`: protocol version and packet size of old."""

    port: int
    host: str = "127.0.0.1"
    shell: tuple[str, ...] = ("/bin/sh", "-c")
    banner: str = "ro.product.name=fault;ro.product.model=Fault_Phone;ro.product.device=fault;"
    features: str = "shell_v2"
    exec_service: bool = True
    old: bool = False
    state: str = "device"
    die_after_sent: int | None = None
    die_after_received: int | None = None
    how: str = "close"

    @property
    def version(self) -> int:
        return 0x01000000 if self.old else 0x01000001

    @property
    def max_data(self) -> int:
        return 4096 if self.old else 1 << 20


class Ended(Exception):
    """The connection or the stream is over."""


@dataclass
class Daemon:
    """What all connections share."""

    settings: Settings
    service: Callable[[Stream, str], Coroutine[Any, Any, None]]
    sent: int = 0
    received: int = 0

    def change(self, new: dict[str, Any]) -> None:
        self.settings = replace(self.settings, **new)
        self.sent = self.received = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(self, reader, writer)
        try:
            await connection.serve()
        except (Ended, OSError, asyncio.IncompleteReadError):
            pass
        finally:
            connection.close()


@dataclass
class Connection:
    """One host's connection, with its streams."""

    daemon: Daemon
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    streams: dict[int, Stream] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    last_id: int = 0
    dead: bool = False

    @property
    def settings(self) -> Settings:
        return self.daemon.settings

    async def serve(self) -> None:
        while True:
            head = await self.reader.readexactly(_HEAD.size)
            command, arg0, arg1, length, _, _ = _HEAD.unpack(head)
            data = await self.reader.readexactly(length)
            if self.settings.state == "silent":
                continue
            if command == _CNXN or (command == _AUTH and arg0 == _SIGNATURE):
                await self._greet()
            elif self.settings.state == "mute":
                continue
            elif command == _OPEN:
                self._open(arg0, data.rstrip(b"\0").decode())
            elif stream := self.streams.get(arg1):
                await self._count_received(command, length)
                stream.hear(command, data)

    async def _greet(self) -> None:
        if self.settings.state == "unauthorized":
            await self.send(_AUTH, _TOKEN, 0, os.urandom(20))
            return
        features = f"features={self.settings.features}" if self.settings.features else ""
        banner = f"device::{self.settings.banner}{features}".encode()
        await self.send(_CNXN, self.settings.version, self.settings.max_data, banner)

    def _open(self, remote_id: int, service: str) -> None:
        self.last_id += 1
        stream = Stream(self, self.last_id, remote_id)
        self.streams[stream.local_id] = stream
        task = asyncio.create_task(self.daemon.service(stream, service))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _count_received(self, command: int, length: int) -> None:
        limit = self.settings.die_after_received
        if command == _WRTE and limit is not None:
            self.daemon.received += length
            if self.daemon.received >= limit:
                await self.die()

    async def send(self, command: int, arg0: int, arg1: int, data: bytes = b"") -> None:
        if self.dead:  # half a packet may have gone out: another one would pass for its rest
            if self.settings.how == "hang":
                await asyncio.Event().wait()
            raise Ended
        check = sum(data) & 0xFFFFFFFF if self.settings.old else 0
        head = _HEAD.pack(command, arg0, arg1, len(data), check, command ^ 0xFFFFFFFF)
        limit = self.settings.die_after_sent
        if command == _WRTE and limit is not None and self.daemon.sent + len(data) > limit:
            if (
                self.settings.how != "garbage"
            ):  # it stands where a packet begins, else it would pass for payload
                self.writer.write(head + data[: limit - self.daemon.sent])
            self.daemon.sent = limit
            self.dead = True
            await self.writer.drain()
            await self.die()
        if command == _WRTE:
            self.daemon.sent += len(data)
        self.writer.write(head + data)
        await self.writer.drain()

    async def die(self) -> None:
        """End as `how` says; raises Ended or never returns."""
        self.dead = True
        how = self.settings.how
        if how == "exit":
            os._exit(1)
        if how == "hang":
            await asyncio.Event().wait()
        if how == "garbage":
            self.writer.write(os.urandom(4096))
            await self.writer.drain()
        if how == "reset":
            plain: socket.socket = self.writer.get_extra_info("socket")
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
        self.writer.close()
        raise Ended

    def close(self) -> None:
        for stream in list(self.streams.values()):
            stream.end()
        self.writer.close()


class Stream:
    """One service's byte stream. A side may send one packet, then waits for the other's OKAY."""

    def __init__(self, connection: Connection, local_id: int, remote_id: int) -> None:
        self.connection = connection
        self.local_id, self.remote_id = local_id, remote_id
        self.inbox: asyncio.Queue[bytes] = asyncio.Queue()
        self.acknowledged = asyncio.Event()
        self.over = asyncio.Event()
        self.at_end: Callable[[], None] = lambda: None
        self._rest = b""
        self._turn = asyncio.Lock()

    def hear(self, command: int, data: bytes) -> None:
        if command == _WRTE:
            self.inbox.put_nowait(data)
        elif command == _OKAY:
            self.acknowledged.set()
        elif command == _CLSE:
            self.end()

    def end(self) -> None:
        self.connection.streams.pop(self.local_id, None)
        self.over.set()
        self.acknowledged.set()
        self.inbox.put_nowait(b"")
        self.at_end()

    async def accept(self) -> None:
        await self.connection.send(_OKAY, self.local_id, self.remote_id)

    async def write(self, data: bytes) -> None:
        """Raises Ended when the host has closed the stream."""
        size = self.connection.settings.max_data
        for start in range(0, len(data), size):
            async with self._turn:
                self.acknowledged.clear()
                if self.over.is_set():
                    raise Ended
                await self.connection.send(_WRTE, self.local_id, self.remote_id, data[start : start + size])
                await self.acknowledged.wait()

    async def read(self) -> bytes:
        """One packet. Raises Ended when the host has closed the stream."""
        data = await self.inbox.get()
        if not data:
            raise Ended
        await self.accept()
        return data

    async def read_exactly(self, size: int) -> bytes:
        while len(self._rest) < size:
            self._rest += await self.read()
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    async def refuse(self) -> None:
        """As a device that does not know the service."""
        await self.connection.send(_CLSE, 0, self.remote_id)
        self.end()

    async def close(self) -> None:
        if not self.over.is_set():
            await self.connection.send(_CLSE, self.local_id, self.remote_id)
            self.end()
