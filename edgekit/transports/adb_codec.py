"""How a command's bytes travel inside an adb connection: the shell protocol of today, and a marker before it.

Pure: bytes in, events out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Literal, Protocol

Event = tuple[Literal["out", "err"], bytes] | tuple[Literal["exit"], int]

_HEADER = struct.Struct("<BI")
_STDIN, _STDOUT, _STDERR, _EXIT, _CLOSE_STDIN = 0, 1, 2, 3, 4
STDIN_CHUNK_BYTES = 1 << 16


class Codec(Protocol):
    """One command's way of framing; has state, is used once."""

    def feed(self, data: bytes) -> Iterator[Event]:
        """What these bytes bring. An exit code comes once."""

    def holds(self) -> bool:
        """Whether bytes wait for others to tell what they are."""

    def release(self) -> Iterator[Event]:
        """What was held back: nothing came after it for a while, or the connection ended."""

    def stdin(self, data: memoryview) -> bytes:
        """At most STDIN_CHUNK_BYTES of input, as they travel."""

    def end_of_stdin(self) -> bytes | None:
        """None where this way has no end of input but the end of the connection."""


class ShellV2:
    """shell,v2: packets of kind (1 byte), length (4, little-endian), data."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[Event]:
        self._data += data
        start = 0
        while len(self._data) - start >= _HEADER.size:
            kind, size = _HEADER.unpack_from(self._data, start)
            begin = start + _HEADER.size
            if kind in (_STDOUT, _STDERR):
                # A packet may be large: what is there is passed on, the rest keeps a shorter header.
                here = min(size, len(self._data) - begin)
                if here:
                    piece = bytes(memoryview(self._data)[begin : begin + here])
                    yield ("out" if kind == _STDOUT else "err", piece)
                start = begin + here
                if here < size:
                    self._data[:start] = _HEADER.pack(kind, size - here)
                    return
                continue
            if len(self._data) - begin < size:
                break
            if kind == _EXIT and size >= 1:
                yield ("exit", self._data[begin])
            start = begin + size
        del self._data[:start]

    def holds(self) -> bool:
        return False  # a part of a packet is of no use to anybody

    def release(self) -> Iterator[Event]:
        return iter(())

    def stdin(self, data: memoryview) -> bytes:
        return _HEADER.pack(_STDIN, len(data)) + data

    def end_of_stdin(self) -> bytes | None:
        return _HEADER.pack(_CLOSE_STDIN, 0)


class Marked:
    """For an adbd without shell_v2: output, MARKER, the exit code, a line feed, all of stderr, MARKER again.

    The exit code counts only with the second marker: until then stderr may not be whole.
    `crlf`: the service goes through a terminal, which made "\\r\\n" of every "\\n".
    """

    def __init__(self, marker: bytes, *, crlf: bool) -> None:
        self._marker = marker
        self._crlf = crlf
        self._held = b""
        self._code = b""
        self._stage: Literal["out", "code", "err", "end"] = "out"

    def feed(self, data: bytes) -> Iterator[Event]:
        data = self._held + data
        self._held = b""
        if self._crlf:
            if data.endswith(b"\r"):
                data, self._held = data[:-1], b"\r"
            data = data.replace(b"\r\n", b"\n")
        while data:
            if self._stage == "code":
                digits, newline, data = data.partition(b"\n")
                self._code += digits
                if newline:
                    self._stage = "err"
            elif self._stage == "end":
                return
            else:
                before, found, data = data.partition(self._marker)
                if not found:
                    keep = _overlap(before, self._marker)
                    self._held = before[len(before) - keep :] + self._held
                    before = before[: len(before) - keep]
                if before:
                    yield (self._stage, before)
                if found:
                    yield from self._next_stage()

    def _next_stage(self) -> Iterator[Event]:
        if self._stage == "out":
            self._stage = "code"
        else:
            self._stage = "end"
            yield ("exit", int(self._code))

    def holds(self) -> bool:
        return bool(self._held) and self._stage == "out"

    def release(self) -> Iterator[Event]:
        # The shell writes its marker in one piece: a part of one with nothing behind it is output.
        if self._held and (self._stage == "out" or self._stage == "err"):
            yield (self._stage, self._held)
            self._held = b""

    def stdin(self, data: memoryview) -> bytes:
        return bytes(data)

    def end_of_stdin(self) -> bytes | None:
        return None


def _overlap(data: bytes, marker: bytes) -> int:
    """How many last bytes of `data` may be the marker's first."""
    for size in range(min(len(data), len(marker) - 1), 0, -1):
        if data.endswith(marker[:size]):
            return size
    return 0
