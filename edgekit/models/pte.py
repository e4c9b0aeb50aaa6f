"""Reads an ExecuTorch program (.pte): signature of `forward`, operators, delegates. Base install only.

Field numbers are those of the public schema (executorch/schema/program.fbs); the layout of the header in front of
the tables is that of executorch/schema/extended_header.h. Weights behind the tables are not read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.models.flat import Damaged, Flat, Table
from edgekit.models.formats import unreadable
from edgekit.models.info import Signature, TensorSpec
from edgekit.models.limits import MAX_INPUTS, as_error, checked, count

METHOD = "forward"
MAX_PROGRAM_BYTES = 1 << 30
DTYPES = {
    0: "uint8", 1: "int8", 2: "int16", 3: "int32", 4: "int64", 5: "float16", 6: "float32", 7: "float64", 11: "bool",
    12: "qint8", 13: "quint8", 14: "qint32", 15: "bfloat16", 16: "quint4x2", 17: "quint2x4", 22: "bits16",
    23: "float8_e5m2", 24: "float8_e4m3fn", 25: "float8_e5m2fnuz", 26: "float8_e4m3fnuz", 27: "uint16",
    28: "uint32", 29: "uint64",
}  # fmt: skip
"""ScalarType of the schema, by number."""
_VALUE_KINDS = ("none", "none", "int64", "bool", "float64", "tensor", "string", "int64", "float64", "bool")
"""KernelTypes, by number; 5 is a tensor, from 7 on they are lists."""
_TENSOR, _KERNEL_CALL, _DELEGATE_CALL = 5, 1, 2
_HEADER = struct.Struct("<8x4sIQQ")
_HEADER_MAGIC = b"eh00"


@dataclass(frozen=True)
class PteFacts:
    """What the file says; see ModelInfo for the meaning of the fields they share.

    Inputs and outputs have no names in this format: they are input_0, output_0 and so on. `operators` counts calls:
    "aten::add.out" of the portable kernels, "delegate::XnnpackBackend" of a delegate. `constant_bytes`: weights and
    delegates' own data, inside of the tables and behind them.
    """

    signature: Signature
    operators: dict[str, int]
    dtypes: dict[str, int]
    methods: tuple[str, ...]
    constant_bytes: int
    version: int

    @property
    def description(self) -> str:
        return f"methods: {', '.join(self.methods)}"


def read_pte(path: str | Path) -> PteFacts:
    """Read a .pte file.

    Raises ModelError: E_MODEL_MISSING; E_MODEL_TRUNCATED where it ends too early; E_MODEL_CORRUPT where it
    contradicts itself.
    """
    place, size_bytes = Path(path), 0
    try:
        size_bytes = place.stat().st_size
        with open(place, "rb") as file:
            head = file.read(_HEADER.size)
            program_bytes, segments_at = _header(head, size_bytes)
            file.seek(0)
            return _read(Flat(file.read(program_bytes)), segments_at, size_bytes)
    except OSError as error:
        raise unreadable(place, error) from error
    except Damaged as damage:
        raise as_error(damage, size_bytes, str(place)) from damage


def _header(head: bytes, size_bytes: int) -> tuple[int, int]:
    """How long the tables are and where the segments begin."""
    if len(head) < _HEADER.size or head[8:12] != _HEADER_MAGIC:
        program_bytes, segments_at = size_bytes, size_bytes
    else:
        _, _, program_bytes, segments_at = _HEADER.unpack(head)
    if program_bytes > size_bytes:
        raise Damaged(f"byte {program_bytes} is needed, the file has {size_bytes}", program_bytes)
    if program_bytes > MAX_PROGRAM_BYTES:
        raise Damaged(f"its tables take {program_bytes} bytes")
    return program_bytes, segments_at


def _read(flat: Flat, segments_at: int, size_bytes: int) -> PteFacts:
    program = flat.root()
    operators: dict[str, int] = {}
    dtypes: dict[str, int] = {}
    signatures: dict[str, Signature] = {}
    for plan in program.children(1):
        name = plan.text(0)[:200]
        specs = [_value(value, dtypes) for value in plan.children(2)]
        signatures[name] = Signature(
            key=name, inputs=_named(plan, 3, "input", specs), outputs=_named(plan, 4, "output", specs)
        )
        _count_calls(plan, operators)
        if len(signatures) > MAX_INPUTS:
            raise Damaged(f"more than {MAX_INPUTS} methods")
    if not signatures:
        raise Damaged("it holds no method")
    constant_bytes = sum(_vector_bytes(buffer, 0) for buffer in (*program.children(2), *program.children(3)))
    for segment in program.children(4):
        offset, length = segment.scalar(0, "Q"), segment.scalar(1, "Q")
        end = segments_at + offset + length
        if end > size_bytes:
            raise Damaged(f"byte {end} is needed, the file has {size_bytes}", end)
        constant_bytes += length
    return PteFacts(
        signature=signatures.get(METHOD) or next(iter(signatures.values())),
        operators=dict(sorted(operators.items())),
        dtypes=dict(sorted(dtypes.items())),
        methods=tuple(signatures),
        constant_bytes=constant_bytes,
        version=program.scalar(0, "I"),
    )


def _vector_bytes(table: Table, field: int) -> int:
    found = table.vector(field, 1)
    return found[1] if found else 0


def _value(value: Table, dtypes: dict[str, int]) -> TensorSpec:
    """dtype and shape of one value of a plan; what is no tensor is a scalar of its kind."""
    kind = value.scalar(0, "B")
    if kind != _TENSOR:
        return TensorSpec(name="", dtype=_VALUE_KINDS[kind] if kind < len(_VALUE_KINDS) else "list", shape=())
    tensor = value.child(1)
    if tensor is None:
        raise Damaged("a tensor that is not there")
    number = tensor.scalar(0, "b")
    if number not in DTYPES:
        raise Damaged(f"tensor type {number}")
    dtype, dynamic = DTYPES[number], tensor.scalar(8, "b")
    dtypes[dtype] = dtypes.get(dtype, 0) + 1
    sizes = tensor.numbers(2, "i")
    if any(size < 0 for size in sizes):
        raise Damaged(f"a tensor has the shape {list(sizes)}")
    checked(TensorSpec(name="", dtype=dtype, shape=sizes))
    # DYNAMIC_BOUND gives the largest sizes only, not which of the dimensions may change
    return TensorSpec(name="", dtype=dtype, shape=sizes if dynamic != 2 else (-1,) * len(sizes))


def _named(plan: Table, field: int, what: str, specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    indices = plan.numbers(field, "i")
    if len(indices) > MAX_INPUTS:
        raise Damaged(f"more than {MAX_INPUTS} inputs or outputs")
    named = []
    for number, index in enumerate(indices):
        if not 0 <= index < len(specs):
            raise Damaged(f"value {index} of {len(specs)}")
        spec = specs[index]
        named.append(TensorSpec(name=f"{what}_{number}", dtype=spec.dtype, shape=spec.shape))
    return tuple(named)


def _count_calls(plan: Table, operators: dict[str, int]) -> None:
    kernels = [_operator(table) for table in plan.children(6)]
    delegates = [f"delegate::{table.text(0)[:200]}" for table in plan.children(7)]
    for kind, index in _calls(plan):
        names = kernels if kind == _KERNEL_CALL else delegates
        if not 0 <= index < len(names):
            raise Damaged(f"operator {index} of {len(names)}")
        count(operators, names[index])


def _operator(table: Table) -> str:
    name, overload = table.text(0)[:200], table.text(1)[:200]
    return f"{name}.{overload}" if overload else name


def _calls(plan: Table) -> Iterator[tuple[int, int]]:
    """Kind and index of every call of a kernel or a delegate."""
    for chain in plan.children(5):
        for instruction in chain.children(2):
            kind, arguments = instruction.scalar(0, "B"), instruction.child(1)
            if kind in (_KERNEL_CALL, _DELEGATE_CALL) and arguments is not None:
                yield kind, arguments.scalar(0, "i")
