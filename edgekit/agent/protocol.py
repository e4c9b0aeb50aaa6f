"""The agent's frames: packing, unpacking, the types. Pure: no I/O. The description is docs/agent-protocol.md.

A frame is u32 length, u32 request id, u8 type, then `length` bytes. All numbers are little-endian and packed; a
string or blob is u32 length and its bytes. Host and agent are always of one build, so nothing carries a version.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Literal

from edgekit.errors import BugError

MAGIC = b"EDGEKIT-AGENT/1\n"
FRAME_MAX = 16 << 20
DATA_BYTES = 8 * (32768 - 64) - 9
"""How much of a file goes into one data frame: with its header eight whole packets of ssh (RFC 4253's 32 KiB, less what
paramiko leaves for their own headers)."""

_HEADER = struct.Struct("<IIB")
HEADER_BYTES = _HEADER.size
_U32 = struct.Struct("<I")
_I32 = struct.Struct("<i")
_U64 = struct.Struct("<Q")


class Type(IntEnum):
    """What a frame is. Requests are below 0x80, answers from 0x80."""

    PING = 0x01
    PONG = 0x02
    DATA = 0x03
    CANCEL = 0x04
    PUT = 0x10
    GET = 0x11
    RUN = 0x12
    SAMPLE = 0x13
    BATCH = 0x14
    STAT = 0x20
    STATVFS = 0x21
    READ = 0x22
    WRITE = 0x23
    MKDIR = 0x24
    RENAME = 0x25
    CHMOD = 0x26
    REMOVE = 0x27
    LIST = 0x28
    FSYNC = 0x29
    GLOB = 0x2A
    OPENED = 0x2B
    KNOB_SET = 0x30
    KNOB_RESTORE = 0x31
    LEASE_ACQUIRE = 0x32
    LEASE_RENEW = 0x33
    LEASE_RELEASE = 0x34
    JOB_START = 0x35
    JOB_STATUS = 0x36
    JOB_LIST = 0x37
    JOB_KILL = 0x38
    RESULT = 0x80
    ERROR = 0x81
    STDOUT = 0x82
    STDERR = 0x83
    CHUNK = 0x84
    READING = 0x85
    HELLO = 0x86
    STARTED = 0x87


class StatFlag(IntFlag):
    SHA256 = 1
    NOFOLLOW = 2
    MISSING_OK = 4


class RemoveFlag(IntFlag):
    RECURSIVE = 1
    MISSING_OK = 2
    INSIDE_ROOT = 4
    SYNC = 8


class RenameFlag(IntFlag):
    SYNC = 1
    EXCHANGE = 2
    NO_REPLACE = 4


PUT_KEEP = 1
"""Keep the temporary file of a put that fails, so that it can be resumed."""

Encoding = Literal["raw", "zstd", "patch", "copy"]
"""How the bytes of a put travel: as they are, as a zstd frame, as one that refers to a file of the device (its
base), or not at all, being copied from the base."""
ENCODING_BYTES: Mapping[Encoding, int] = {"raw": 0, "zstd": 1, "patch": 2, "copy": 3}
KEPT = ("models", "run", "runtimes", "jobs", "journal")
"""Bits 1, 2, 4, 8, 16 of the hello's last byte."""


@dataclass(frozen=True)
class Frame:
    type: int
    id: int
    payload: bytes


def pack_frame(kind: int, request_id: int, payload: bytes = b"") -> bytes:
    if len(payload) > FRAME_MAX:
        raise BugError(f"a frame of {len(payload)} bytes does not fit into {FRAME_MAX}")
    return _HEADER.pack(len(payload), request_id, kind) + payload


class FrameDecoder:
    """Bytes in, whole frames out."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Frames that are complete now. Raises ValueError where the bytes cannot be frames."""
        self._buffer += data
        frames: list[Frame] = []
        at = 0
        while len(self._buffer) - at >= HEADER_BYTES:
            length, request_id, kind = _HEADER.unpack_from(self._buffer, at)
            if length > FRAME_MAX:
                raise ValueError(f"a frame that claims {length} bytes")
            end = at + HEADER_BYTES + length
            if len(self._buffer) < end:
                break
            frames.append(Frame(kind, request_id, bytes(self._buffer[at + HEADER_BYTES : end])))
            at = end
        del self._buffer[:at]
        return frames


class Packer:
    """Builds a payload, field by field."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def u8(self, value: int) -> Packer:
        self._parts.append(bytes((value,)))
        return self

    def u32(self, value: int) -> Packer:
        self._parts.append(_U32.pack(value))
        return self

    def i32(self, value: int) -> Packer:
        self._parts.append(_I32.pack(value))
        return self

    def u64(self, value: int) -> Packer:
        self._parts.append(_U64.pack(value))
        return self

    def raw(self, value: bytes) -> Packer:
        self._parts.append(value)
        return self

    def blob(self, value: bytes) -> Packer:
        self._parts.append(_U32.pack(len(value)))
        self._parts.append(value)
        return self

    def text(self, value: str) -> Packer:
        return self.blob(value.encode("utf-8", "surrogateescape"))

    def texts(self, values: Iterable[str]) -> Packer:
        items = list(values)
        self.u32(len(items))
        for item in items:
            self.text(item)
        return self

    def done(self) -> bytes:
        return b"".join(self._parts)


class Unpacker:
    """Reads a payload, field by field. Raises BugError past its end: host and agent are of one build."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._at = 0

    def raw(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._payload):
            raise BugError("an answer of the agent is shorter than its fields")
        part = self._payload[self._at : end]
        self._at = end
        return part

    def u8(self) -> int:
        return self.raw(1)[0]

    def u32(self) -> int:
        return int(_U32.unpack(self.raw(4))[0])

    def u64(self) -> int:
        return int(_U64.unpack(self.raw(8))[0])

    def blob(self) -> bytes:
        return self.raw(self.u32())

    def text(self) -> str:
        return self.blob().decode("utf-8", "surrogateescape")

    def left(self) -> int:
        return len(self._payload) - self._at
