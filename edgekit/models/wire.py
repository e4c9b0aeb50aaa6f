"""A bounds-checked reader of protobuf messages, for files that may be damaged, hostile, or larger than memory.

It walks the wire format (https://protobuf.dev/programming-guides/encoding/) without a schema: a caller asks for
fields by number. The file is read in small windows and skipped over where nobody asks for the bytes, so that
gigabytes of weights cost neither memory nor time. Fields are counted: millions of tiny ones are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from edgekit.models.flat import Damaged

MAX_FIELDS = 2_000_000
"""Some seconds of work. A model of 10,000 operators has some 200,000."""
MAX_DEPTH = 100
"""Of messages in messages; the limit of protobuf itself."""
MAX_TEXT_BYTES = 1 << 16
_WINDOW_BYTES = 1 << 15
_VARINT_BYTES = 10

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class Field(NamedTuple):
    """One field. `value` is its number for VARINT; its bytes lie from `start` to before `end` in the file."""

    number: int
    kind: int
    value: int
    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start


class Wire:
    """An open file and how many fields may still be read of it."""

    def __init__(self, file: BinaryIO, size_bytes: int, max_fields: int = MAX_FIELDS) -> None:
        self._file = file
        self._size = size_bytes
        self._left = max_fields
        self._base = 0
        self._window = b""

    def root(self) -> Message:
        return Message(self, 0, self._size, 0)

    def spend(self, fields: int = 1) -> None:
        self._left -= fields
        if self._left < 0:
            raise Damaged("it is made of more parts than any model")

    def read(self, start: int, end: int) -> bytes:
        """The bytes of a span. Raises Damaged where the file is shorter by now."""
        if start >= self._base and end <= self._base + len(self._window):
            return self._window[start - self._base : end - self._base]
        self._file.seek(start)
        data = self._file.read(end - start)
        if len(data) != end - start:
            raise Damaged(f"byte {end} is needed, the file has {start + len(data)}", end)
        return data

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """The number at `at` and where it ends; it lies before `end`."""
        offset = at - self._base
        if at < end and 0 <= offset < len(self._window) and (byte := self._window[offset]) < 0x80:
            return byte, at + 1  # nearly all keys and lengths are one byte
        if not 0 <= offset <= len(self._window) - _VARINT_BYTES:
            self._file.seek(at)
            self._window, self._base, offset = self._file.read(_WINDOW_BYTES), at, 0
        window = self._window
        value = shift = 0
        for index in range(offset, min(offset + _VARINT_BYTES, len(window), offset + end - at)):
            byte = window[index]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFF_FFFF_FFFF_FFFF, at + index - offset + 1
            shift += 7
        if end - at >= _VARINT_BYTES:
            raise Damaged(f"the number at byte {at} has no end")
        raise Damaged(f"the number at byte {at} goes past the end of what holds it", end + 1)


@dataclass(frozen=True)
class Message:
    """A message: a span of the file."""

    wire: Wire
    start: int
    end: int
    depth: int

    def fields(self) -> Iterator[Field]:
        """Every field in the file's order. Raises Damaged where one does not fit into the message."""
        wire, at, end = self.wire, self.start, self.end
        while at < end:
            wire.spend()
            key, at = wire.varint(at, end)
            number, kind, value, start = key >> 3, key & 7, 0, at
            if kind == VARINT:
                value, stop = wire.varint(at, end)
            elif kind == BYTES:
                length, start = wire.varint(at, end)
                stop = start + length
            elif kind in (FIXED32, FIXED64):
                stop = at + (4 if kind == FIXED32 else 8)
            else:
                raise Damaged(f"byte {at} begins no field of a message")
            if number == 0:
                raise Damaged(f"byte {at} begins no field of a message")
            if stop > end:
                raise Damaged(f"byte {stop} is needed, there are {end}", stop)
            yield Field(number, kind, value, start, stop)
            at = stop

    def message(self, field: Field) -> Message:
        """The message in a field."""
        _expect(field, BYTES)
        if self.depth >= MAX_DEPTH:
            raise Damaged(f"messages are nested more than {MAX_DEPTH} deep")
        return Message(self.wire, field.start, field.end, self.depth + 1)

    def messages(self, number: int) -> Iterator[Message]:
        """The messages of a repeated field."""
        for field in self.fields():
            if field.number == number:
                yield self.message(field)

    def child(self, number: int) -> Message | None:
        """The last message with this number: what protobuf takes where there are several."""
        found = None
        for found in self.messages(number):  # noqa: B007
            pass
        return found

    def bytes(self, field: Field, limit: int) -> bytes:
        """The bytes of a field. Raises Damaged where there are more than `limit`."""
        _expect(field, BYTES)
        if field.length > limit:
            raise Damaged(f"field {field.number} at byte {field.start} has {field.length} bytes")
        return self.wire.read(field.start, field.end)

    def text(self, field: Field) -> str:
        """A string; bytes that are not UTF-8 become U+FFFD."""
        return self.bytes(field, MAX_TEXT_BYTES).decode("utf-8", "replace")

    def numbers(self, field: Field, limit: int) -> tuple[int, ...]:
        """The signed numbers of one occurrence of a repeated int64 field, packed or not; at most `limit`."""
        if field.kind == VARINT:
            return (signed(field.value),)
        _expect(field, BYTES)
        found: list[int] = []
        at = field.start
        while at < field.end:
            if len(found) >= limit:
                raise Damaged(f"field {field.number} at byte {field.start} has more than {limit} numbers")
            self.wire.spend()
            value, at = self.wire.varint(at, field.end)
            found.append(signed(value))
        return tuple(found)

    def pair(self) -> tuple[str, Message | None]:
        """Key and value of an entry of a map from text to messages."""
        key, value = "", None
        for field in self.fields():
            if field.number == 1:
                key = self.text(field)
            elif field.number == 2:
                value = self.message(field)
        return key, value


def number(field: Field) -> int:
    """The signed number of a field."""
    _expect(field, VARINT)
    return signed(field.value)


def signed(value: int) -> int:
    """A varint as int64: negative numbers are written as their complement."""
    return value - (1 << 64) if value >> 63 else value


def _expect(field: Field, kind: int) -> None:
    if field.kind != kind:
        raise Damaged(f"field {field.number} at byte {field.start} has the wrong type")
