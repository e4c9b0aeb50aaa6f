"""A bounds-checked reader of FlatBuffers, for files that may be damaged or hostile.

The generated classes of the `tflite` and `flatbuffers` packages trust every offset and length. This reader
checks each before it is used, and has a budget of elements, so that tables which point at each other cannot
make work out of nothing. Format: https://flatbuffers.dev/internals/
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap

_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
_I32 = struct.Struct("<i")


class Damaged(Exception):
    """The bytes are not what they should be. `needed_bytes`: how long the file would have to be, if that is why."""

    def __init__(self, message: str, needed_bytes: int | None = None) -> None:
        super().__init__(message)
        self.needed_bytes = needed_bytes


class Flat:
    """The bytes of one file and what may still be read of them."""

    def __init__(self, data: bytes | mmap) -> None:
        self.data = data
        self.size = len(data)
        self._budget = self.size + 1_000_000

    def spend(self, elements: int) -> None:
        """Count elements about to be visited; raises Damaged when there are more than the file can hold."""
        self._budget -= elements
        if self._budget < 0:
            raise Damaged("its tables refer to each other more often than the file is long")

    def check(self, start: int, length: int) -> None:
        if start < 0:
            raise Damaged("an offset points before the start of the file")
        if start + length > self.size:
            raise Damaged(f"byte {start + length} is needed, the file has {self.size}", start + length)

    def u16(self, at: int) -> int:
        self.check(at, 2)
        return int(_U16.unpack_from(self.data, at)[0])

    def u32(self, at: int) -> int:
        self.check(at, 4)
        return int(_U32.unpack_from(self.data, at)[0])

    def i32(self, at: int) -> int:
        self.check(at, 4)
        return int(_I32.unpack_from(self.data, at)[0])

    def root(self) -> Table:
        return self.table(self.u32(0))

    def table(self, at: int) -> Table:
        """The table at `at`. Raises Damaged where its field list is not inside the file."""
        self.spend(1)
        fields = at - self.i32(at)
        fields_bytes, table_bytes = self.u16(fields), self.u16(fields + 2)
        if fields_bytes < 4 or fields_bytes % 2 or table_bytes < 4:
            raise Damaged(f"the table at byte {at} has no valid list of fields")
        self.check(fields, fields_bytes)
        self.check(at, table_bytes)
        return Table(self, at, fields, fields_bytes, table_bytes)


@dataclass(frozen=True)
class Table:
    """One table: fields by their number in the schema."""

    flat: Flat
    at: int
    fields: int
    fields_bytes: int
    table_bytes: int

    def _field(self, number: int, width: int) -> int | None:
        slot = 4 + 2 * number
        if slot + 2 > self.fields_bytes:
            return None
        offset = self.flat.u16(self.fields + slot)
        if offset == 0:
            return None
        if offset < 4 or offset + width > self.table_bytes:
            raise Damaged(f"field {number} of the table at byte {self.at} lies outside of it")
        return self.at + offset

    def scalar(self, number: int, kind: str, default: int = 0) -> int:
        """An integer field; `kind` is its struct letter (b, B, i, I, q, Q)."""
        at = self._field(number, struct.calcsize(kind))
        return default if at is None else int(struct.unpack_from(f"<{kind}", self.flat.data, at)[0])

    def vector(self, number: int, width: int) -> tuple[int, int] | None:
        """Where the elements of a vector begin and how many there are; None where the field is absent."""
        at = self._field(number, 4)
        if at is None:
            return None
        start = at + self.flat.u32(at)
        count = self.flat.u32(start)
        self.flat.check(start + 4, count * width)
        return start + 4, count

    def numbers(self, number: int, kind: str) -> tuple[int, ...]:
        """A vector of integers (struct letter `kind`)."""
        return tuple(int(value) for value in self._unpacked(number, kind))

    def floats(self, number: int) -> tuple[float, ...]:
        """A vector of float32."""
        return tuple(float(value) for value in self._unpacked(number, "f"))

    def _unpacked(self, number: int, kind: str) -> tuple[float, ...]:
        found = self.vector(number, struct.calcsize(kind))
        if found is None:
            return ()
        start, count = found
        self.flat.spend(count)
        return struct.unpack_from(f"<{count}{kind}", self.flat.data, start)

    def text(self, number: int) -> str:
        """A string field; bytes that are not UTF-8 become U+FFFD."""
        found = self.vector(number, 1)
        if found is None:
            return ""
        start, count = found
        self.flat.spend(1 + count // 16)
        return self.flat.data[start : start + count].decode("utf-8", "replace")

    def child(self, number: int) -> Table | None:
        at = self._field(number, 4)
        return None if at is None else self.flat.table(at + self.flat.u32(at))

    def children(self, number: int) -> Iterator[Table]:
        """The tables of a vector of tables."""
        start, count = self.vector(number, 4) or (0, 0)
        for index in range(count):
            at = start + 4 * index
            yield self.flat.table(at + self.flat.u32(at))
