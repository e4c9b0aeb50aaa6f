"""The wire format of protobuf messages of tools: all bytes are in memory, nothing is unaccounted for.

`read_fields` is for messages with every field once, some hundred bytes long; `each_field` for those that repeat some.
`edgekit.models.wire` reads model files. Format: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import Final

from edgekit.parse import fail

MAX_BYTES: Final = 1 << 16
MAX_FIELDS: Final = 1000
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_FIXED_BYTES: Final = {FIXED64: 8, FIXED32: 4}
_MAX_VARINT_BYTES: Final = 10

Fields = dict[int, tuple[int, int | bytes]]
"""Kind and value by field number: a number for VARINT, bytes for the others."""


def read_fields(tool: str, data: bytes) -> Fields:
    """The fields of one message.

    Raises ParseError where it is too large, ends in the middle of a field, has a field twice or one of a kind that
    is not used any more (groups).
    """
    if len(data) > MAX_BYTES:
        fail(tool, f"a message of {len(data)} bytes")
    found: Fields = {}
    for number, kind, value in each_field(tool, data):
        if number in found or len(found) >= MAX_FIELDS:
            fail(tool, f"field {number} out of place")
        found[number] = (kind, value)
    return found


def each_field(tool: str, data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Number, kind and value of the fields of one message, in order.

    Raises ParseError where it ends in the middle of a field, or has one of a kind that is not used any more (groups).
    """
    at = 0
    while at < len(data):
        key, at = _varint(tool, data, at)
        number, kind = key >> 3, key & 7
        value: int | bytes
        if kind == VARINT:
            value, at = _varint(tool, data, at)
        elif kind in (FIXED64, FIXED32, BYTES):
            size, at = _varint(tool, data, at) if kind == BYTES else (_FIXED_BYTES[kind], at)
            if size > len(data) - at:
                fail(tool, f"field {number} needs {size} bytes and {len(data) - at} are left")
            value, at = data[at : at + size], at + size
        else:
            fail(tool, f"byte {at} begins no field of a message")
        if number == 0:
            fail(tool, f"field {number} out of place")
        yield number, kind, value


def _varint(tool: str, data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(_MAX_VARINT_BYTES):
        if at + index >= len(data):
            fail(tool, "it is cut short in the middle of a number")
        byte = data[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if value >> 64:
                break
            return value, at + index + 1
    fail(tool, f"the number at byte {at} has no end")


def message_of(tool: str, fields: Fields, number: int) -> Fields | None:
    """The message in a field; None where it is absent."""
    if number not in fields:
        return None
    value = _of_kind(tool, fields, number, BYTES)
    return read_fields(tool, value if isinstance(value, bytes) else b"")


def float32_of(tool: str, fields: Fields | None, number: int) -> float | None:
    """A float field; None where it is absent, NaN or infinite."""
    if fields is None or number not in fields:
        return None
    value = _of_kind(tool, fields, number, FIXED32)
    (number_there,) = struct.unpack("<f", value if isinstance(value, bytes) else b"\0\0\0\0")
    return float(number_there) if math.isfinite(number_there) else None


def int64_of(tool: str, fields: Fields | None, number: int) -> int | None:
    """An int32 or int64 field; None where it is absent."""
    if fields is None or number not in fields:
        return None
    value = _of_kind(tool, fields, number, VARINT)
    if not isinstance(value, int):
        return None
    return value - (1 << 64) if value >> 63 else value


def _of_kind(tool: str, fields: Fields, number: int, kind: int) -> int | bytes:
    actual, value = fields[number]
    if actual != kind:
        fail(tool, f"field {number} has the wrong type")
    return value
