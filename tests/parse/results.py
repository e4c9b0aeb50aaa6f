"""A BenchmarkResult as the tool would write it, made by hand from the schema's field numbers; numbers made up."""

from __future__ import annotations

import struct


def _message(number: int, body: bytes) -> bytes:
    return bytes([number << 3 | 2, len(body)]) + body


def _float(number: int, value: float) -> bytes:
    return bytes([number << 3 | 5]) + struct.pack("<f", value)


def _varint(number: int, value: int) -> bytes:
    out = bytes([number << 3])
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def result_file() -> bytes:
    """tensorflow/lite/tools/benchmark/proto/benchmark_result.proto, with every field set."""
    latency = [13.5202, 13.105, 15.765, 0.470, 13.480, 13.120, 14.900, 12.750, 14.744, 13.7643]
    return b"".join(
        (
            _message(1, b"mobilenet"),
            _message(2, b"".join(_float(number, value) for number, value in enumerate(latency, start=1))),
            _message(3, _varint(1, 9192) + _varint(2, 19172) + _float(3, 30.0)),
            _message(4, _float(1, 16.9008) + _varint(2, 74) + _varint(3, 37) + _float(4, 42.5)),
        )
    )
