"""Makes files byte by byte, and holds readers to their bounds: only ModelError, little memory, little time."""

from __future__ import annotations

import struct
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekit.errors import ModelError


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | str | bytes) -> bytes:
    """A protobuf field: a number as varint, text and bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def message(*fields: tuple[int, int | str | bytes]) -> bytes:
    return b"".join(field(number, value) for number, value in fields)


def outcome(read: Callable[[], object]) -> str:
    """ "ok" or the code of the error; anything but ModelError escapes and fails the test."""
    try:
        read()
    except ModelError as error:
        code, hint, message_length = error.code, error.hint, len(error.message)
    else:
        return "ok"
    assert code.startswith("E_MODEL_")
    assert hint
    assert message_length < 2000
    return code


@contextmanager
def bounds(seconds: float = 10.0, megabytes: float = 32.0) -> Iterator[None]:
    """Fails where what is inside takes longer, or allocates more at once. Seconds of this process: others may run, too."""
    began = time.process_time()
    tracemalloc.start()
    try:
        yield
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < megabytes * 1e6
    assert time.process_time() - began < seconds


def zipped(path: Path, entries: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def every_cut(data: bytes, path: Path, read: Callable[[Path], object], step: int = 1) -> set[str]:
    """The outcomes of the file cut at every byte."""
    codes = set()
    for length in range(0, len(data), step):
        path.write_bytes(data[:length])
        codes.add(outcome(lambda: read(path)))
    return codes


def every_byte(data: bytes, path: Path, read: Callable[[Path], object], step: int = 1) -> set[str]:
    """The outcomes of the file with one byte changed, at every place, to three other values."""
    codes = set()
    for at in range(0, len(data), step):
        for value in (data[at] ^ 0xFF, data[at] ^ 0x01, 0x7F if data[at] != 0x7F else 0x80):
            path.write_bytes(data[:at] + bytes([value]) + data[at + 1 :])
            codes.add(outcome(lambda: read(path)))
    return codes


def onnx_tensor(
    name: str,
    dims: list[int],
    dtype: int = 1,
    raw: bytes | None = None,
    external: dict[str, str] | None = None,
) -> bytes:
    """An onnx.TensorProto; without raw data and an external file it has as many zeros as its float32 shape needs."""
    out = b"".join(field(1, dim) for dim in dims) + message((2, dtype), (8, name))
    if external is not None:
        for key, value in external.items():
            out += field(13, message((1, key), (2, value)))
        return out + field(14, 1)
    if raw is None:
        count = 1
        for dim in dims:
            count *= dim
        raw = bytes(4 * count)
    return out + field(9, raw)


def onnx_value(name: str, dims: list[int | str], dtype: int = 1) -> bytes:
    shape = b"".join(field(1, field(1 if isinstance(dim, int) else 2, dim)) for dim in dims)
    return message((1, name), (2, field(1, message((1, dtype), (2, shape)))))


def onnx_node(
    kind: str, inputs: list[str], outputs: list[str], domain: str = "", *attributes: bytes
) -> bytes:
    out = b"".join(field(1, name) for name in inputs) + b"".join(field(2, name) for name in outputs)
    out += field(4, kind) + (field(7, domain) if domain else b"")
    return out + b"".join(field(5, attribute) for attribute in attributes)


def onnx_model(*graph: tuple[int, bytes], functions: tuple[bytes, ...] = ()) -> bytes:
    """A ModelProto around these fields of its graph."""
    parts = message((1, 10), (2, "pytest"), (7, message(*graph)), (8, field(2, 20)))
    return parts + b"".join(field(25, function) for function in functions)


SMALL_ONNX = onnx_model(
    (1, onnx_node("MatMul", ["x", "w"], ["h"])),
    (1, onnx_node("Relu", ["h"], ["y"])),
    (2, b"small"),
    (5, onnx_tensor("w", [3, 2])),
    (11, onnx_value("x", ["n", 3])),
    (12, onnx_value("y", ["n", 2])),
)
"""y = relu(x @ w)"""


def float32(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)
