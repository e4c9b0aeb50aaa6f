"""One onnx.TensorProto, read without its weights."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.models.flat import Damaged
from edgekit.models.limits import MAX_RANK, item_bits, tensor_bytes
from edgekit.models.wire import BYTES, Field, Message, number

DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string", 9: "bool",
    10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128", 16: "bfloat16",
    17: "float8_e4m3fn", 18: "float8_e4m3fnuz", 19: "float8_e5m2", 20: "float8_e5m2fnuz", 21: "uint4", 22: "int4",
    23: "float4_e2m1", 24: "float8_e8m0", 25: "uint2", 26: "int2",
    27: "float6_e2m3", 28: "float6_e3m2",
}  # fmt: skip
"""TensorProto.DataType, by number."""
_ITEM_BYTES = {4: 4, 10: 8}
"""Bytes of one number in float_data and double_data; the other *_data fields hold varints of at least one."""
_MAX_KEY_ENTRIES = 16
_MAX_VALUES = 64


@dataclass(frozen=True)
class ExternalFile:
    """Where one tensor's bytes are: `location` is a path as the model tells it, not checked yet. `length` is None
    where the model does not say it: then it is `needed_bytes`."""

    tensor: str
    location: str
    offset: int
    length: int | None
    needed_bytes: int


@dataclass(frozen=True)
class Tensor:
    """`values`: the numbers of a short int64 vector (a shape); None for everything else."""

    name: str
    dtype: str
    elements: int
    external: ExternalFile | None
    values: tuple[int, ...] | None
    rank: int

    @property
    def is_weight(self) -> bool:
        """Data, not a shape or an axis (int64 vectors are those)."""
        return self.dtype.startswith(("float", "bfloat")) or (self.rank >= 2 and self.dtype != "string")


def dtype_name(value: int) -> str:
    """The dtype with this number. Raises Damaged for one that the schema does not have."""
    if value == 0:
        return "unknown"
    if value not in DTYPES:
        raise Damaged(f"tensor type {value}")
    return DTYPES[value]


def read_tensor(message: Message) -> Tensor:
    """Read one. Raises Damaged where its bytes are not as many as its shape needs."""
    dims: list[int] = []
    dtype, name, location, entries = "unknown", "", 0, list[tuple[str, str]]()
    raw: Field | None = None
    stored_items = stored_bytes = 0
    for found in message.fields():
        if found.number == 1:
            dims += message.numbers(found, MAX_RANK)
            if len(dims) > MAX_RANK:
                raise Damaged(f"a tensor has more than {MAX_RANK} dimensions")
        elif found.number == 2:
            dtype = dtype_name(number(found))
        elif found.number == 8:
            name = message.text(found)
        elif found.number == 9:
            raw = found
        elif found.number in (4, 5, 7, 10, 11):
            packed = found.kind == BYTES
            stored_bytes += found.length if packed else _ITEM_BYTES.get(found.number, 1)
        elif found.number == 6:
            stored_items += 1
        elif found.number == 13:
            entries.append(_entry(message.message(found)))
            if len(entries) > _MAX_KEY_ENTRIES:
                raise Damaged(f"the tensor '{name[:200]}' tells too much about its file")
        elif found.number == 14:
            location = number(found)
    if dtype == "unknown":
        raise Damaged(f"the tensor '{name[:200]}' has no type")
    if any(dim < 0 for dim in dims):
        raise Damaged(f"the tensor '{name[:200]}' has the shape {dims}")
    needed = tensor_bytes(dims, dtype, name)
    elements = needed * 8 // item_bits(dtype) if item_bits(dtype) >= 8 else _elements(dims)
    external = _external(name, entries, needed) if location == 1 else None
    if external is None:
        _check_stored(name, dtype, elements, needed, raw, stored_items, stored_bytes)
    values = _values(message, dims, dtype, raw) if external is None else None
    return Tensor(name, dtype, elements, external, values, len(dims))


def _elements(dims: list[int]) -> int:
    elements = 1
    for dim in dims:
        elements *= dim
    return elements


def _check_stored(
    name: str, dtype: str, elements: int, needed: int, raw: Field | None, items: int, data_bytes: int
) -> None:
    if raw is not None:
        held = raw.length
        fits = held == needed and dtype != "string"
    elif dtype == "string":
        held, fits = items, items == elements
    else:
        held = data_bytes
        if dtype in ("float32", "float64", "complex64", "complex128"):
            fits = held == needed
        else:  # varints of one byte at least, each for one element or (4 and 2 bits) several
            fits = held * max(1, 8 // item_bits(dtype)) >= elements
    if not fits:
        raise Damaged(f"the tensor '{name[:200]}' holds {held} bytes where its shape needs {needed}")


def _values(message: Message, dims: list[int], dtype: str, raw: Field | None) -> tuple[int, ...] | None:
    if dtype != "int64" or len(dims) != 1 or not 0 < dims[0] <= _MAX_VALUES:
        return None
    if raw is not None:
        data = message.bytes(raw, 8 * _MAX_VALUES)
        return tuple(int.from_bytes(data[i : i + 8], "little", signed=True) for i in range(0, len(data), 8))
    found: list[int] = []
    for item in message.fields():
        if item.number == 7:
            found += message.numbers(item, _MAX_VALUES)
            if len(found) > _MAX_VALUES:
                raise Damaged("a tensor holds more numbers than its shape tells")
    return tuple(found)


def _entry(message: Message) -> tuple[str, str]:
    key = value = ""
    for found in message.fields():
        if found.number == 1:
            key = message.text(found)
        elif found.number == 2:
            value = message.text(found)
    return key, value


def _external(name: str, entries: list[tuple[str, str]], needed: int) -> ExternalFile:
    said = dict(entries)
    offset, length = _whole(said.get("offset", "0"), name), None
    if "length" in said:
        length = _whole(said["length"], name)
        if length != needed:
            raise Damaged(
                f"the tensor '{name[:200]}' has {length} bytes in a file where its shape needs {needed}"
            )
    return ExternalFile(name, said.get("location", ""), offset, length, needed)


def _whole(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise Damaged(f"the tensor '{name[:200]}' lies at {text[:40]!r} in its file")
    return int(text)
