"""Reads a .tflite file: signature, operators, tensors. Every offset is checked before it is followed.

Field numbers are those of the public schema (tensorflow/compiler/mlir/lite/schema/schema.fbs); the tests compare
what is read here with the generated classes of the `tflite` package. Operator names come from that package.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from mmap import mmap

import msgspec

from edgekit.models.flat import Damaged, Flat, Table
from edgekit.models.info import ITEM_BYTES, Quantization, Signature, TensorSpec
from edgekit.models.limits import as_error, tensor_bytes
from edgekit.models.quantization import TensorFact, describe

MAGIC = b"TFL3"
MAX_BUILTIN = 4096

DTYPES = (
    "float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64", "int8",
    "float64", "complex128", "uint64", "resource", "variant", "uint32", "uint16", "int4", "bfloat16", "int2",
)  # fmt: skip
"""TensorType of the schema, by number."""


@dataclass(frozen=True)
class TfliteFacts:
    """What the file says; see ModelInfo for the meaning of the fields."""

    signature: Signature
    operators: dict[str, int]
    custom_operators: tuple[str, ...]
    parameters: int
    dtypes: dict[str, int]
    quantization: Quantization
    subgraphs: int
    description: str


@dataclass(frozen=True)
class _Tensor:
    spec: TensorSpec
    constant_bytes: int
    fact: TensorFact


@dataclass(frozen=True)
class _Subgraph:
    tensors: tuple[_Tensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: tuple[tuple[int, tuple[int, ...], tuple[int, ...]], ...]


def read_tflite(data: bytes | mmap, name: str) -> TfliteFacts:
    """Read a whole .tflite file from memory; `name` is for messages.

    Raises ModelError: E_MODEL_TRUNCATED where the file ends too early, E_MODEL_CORRUPT where it contradicts
    itself.
    """
    try:
        return _read(Flat(data))
    except Damaged as damage:
        raise as_error(damage, len(data), name) from damage


def _read(flat: Flat) -> TfliteFacts:
    model = flat.root()
    if (version := model.scalar(0, "I")) != 3:
        raise Damaged(f"schema version {version}, where 3 is the only one")
    buffers = [_buffer_bytes(buffer, flat) for buffer in model.children(4)]
    codes = [operator_name(code) for code in model.children(1)]
    subgraphs = [_with_steps(_subgraph(table, buffers, len(codes)), codes) for table in model.children(2)]
    if not subgraphs:
        raise Damaged("it holds no graph")
    tensors = [tensor for subgraph in subgraphs for tensor in subgraph.tensors]
    used = Counter(codes[code] for subgraph in subgraphs for code, _, _ in subgraph.operators)
    facts = [
        (codes[code], [s.tensors[i].fact for i in ins if i >= 0], [s.tensors[i].fact for i in outs if i >= 0])
        for s in subgraphs
        for code, ins, outs in s.operators
    ]
    return TfliteFacts(
        signature=_signature(model, subgraphs),
        operators={code.removeprefix("custom:"): used[code] for code in sorted(used)},
        custom_operators=tuple(sorted(c.removeprefix("custom:") for c in used if c.startswith("custom:"))),
        parameters=sum(t.fact.elements for t in tensors if t.fact.is_weight),
        dtypes=dict(sorted(Counter(t.spec.dtype for t in tensors).items())),
        quantization=describe(facts),
        subgraphs=len(subgraphs),
        description=model.text(3),
    )


def _buffer_bytes(buffer: Table, flat: Flat) -> int:
    """Length of a constant's bytes, inside the tables or (large models) behind them."""
    data = buffer.vector(0, 1)
    offset, size = buffer.scalar(1, "Q"), buffer.scalar(2, "Q")
    if offset > 1:
        flat.check(offset, size)
        return size
    return data[1] if data else 0


def operator_name(code: Table) -> str:
    """Name of an OperatorCode, "custom:NAME" for custom ones. Raises Damaged for a number that cannot be."""
    number = max(code.scalar(0, "b"), code.scalar(3, "i"))
    if not 0 <= number < MAX_BUILTIN:
        raise Damaged(f"operator number {number}")
    name = _builtin_names().get(number, f"BUILTIN_{number}")
    return f"custom:{code.text(1) or 'unnamed'}" if name == "CUSTOM" else name


def _builtin_names() -> dict[int, str]:
    if not _NAMES:
        kinds = import_module("tflite.BuiltinOperator").BuiltinOperator  # heavy: imports numpy
        _NAMES.update({v: k for k, v in vars(kinds).items() if isinstance(v, int) and not k.startswith("_")})
    return _NAMES


_NAMES: dict[int, str] = {}


def _subgraph(table: Table, buffers: Sequence[int], codes: int) -> _Subgraph:
    tensors = tuple(_tensor(tensor, buffers) for tensor in table.children(0))

    def indices(values: tuple[int, ...], least: int) -> tuple[int, ...]:
        for value in values:
            if not least <= value < len(tensors):
                raise Damaged(f"tensor number {value} of {len(tensors)}")
        return values

    operators = []
    for operator in table.children(3):
        code = operator.scalar(0, "I")
        if code >= codes:
            raise Damaged(f"operator code {code} of {codes}")
        # -1 stands for an optional input that is not given
        operators.append((code, indices(operator.numbers(1, "i"), -1), indices(operator.numbers(2, "i"), -1)))
    return _Subgraph(
        tensors, indices(table.numbers(1, "i"), 0), indices(table.numbers(2, "i"), 0), tuple(operators)
    )


def _with_steps(subgraph: _Subgraph, codes: Sequence[str]) -> _Subgraph:
    """Outputs that are dequantized integers get the integer's scale as their step."""
    tensors = list(subgraph.tensors)
    for code, ins, outs in subgraph.operators:
        if codes[code] == "DEQUANTIZE" and ins and outs and ins[0] >= 0 and outs[0] in subgraph.outputs:
            made = tensors[outs[0]]
            scale = tensors[ins[0]].spec.scale
            tensors[outs[0]] = replace(made, spec=msgspec.structs.replace(made.spec, step=scale))
    return replace(subgraph, tensors=tuple(tensors))


def _tensor(table: Table, buffers: Sequence[int]) -> _Tensor:
    number, buffer = table.scalar(1, "b"), table.scalar(2, "I")
    if not 0 <= number < len(DTYPES):
        raise Damaged(f"tensor type {number}")
    if buffer >= len(buffers):
        raise Damaged(f"buffer {buffer} of {len(buffers)}")
    dtype, name = DTYPES[number], table.text(3)
    fixed = table.numbers(0, "i")
    shape = table.numbers(7, "i") or fixed
    constant_bytes = buffers[buffer]
    elements = _elements(fixed, dtype, name)
    sparse = table.child(6) is not None
    if constant_bytes and not sparse:
        _check_constant(dtype, elements, constant_bytes, name)
    quantization = table.child(4)
    scales = quantization.floats(2) if quantization else ()
    zero_points = quantization.numbers(3, "q") if quantization else ()
    spec = TensorSpec(
        name=name,
        dtype=dtype,
        shape=_checked_shape(shape, name),
        tensor=name,
        scale=scales[0] if len(scales) == 1 else None,
        zero_point=zero_points[0] if len(scales) == 1 and len(zero_points) == 1 else None,
    )
    blockwise = quantization is not None and quantization.child(5) is not None
    fact = TensorFact(dtype, elements, constant=constant_bytes > 0, quantized=bool(scales) or blockwise)
    return _Tensor(spec, constant_bytes, fact)


def _checked_shape(shape: tuple[int, ...], name: str) -> tuple[int, ...]:
    if any(dim < -1 for dim in shape):
        raise Damaged(f"tensor '{name}' has the shape {list(shape)}")
    return shape


def _elements(shape: tuple[int, ...], dtype: str, name: str) -> int:
    """Elements of a tensor. A runtime makes room for all of them, so absurd ones are refused here."""
    tensor_bytes(_checked_shape(shape, name), dtype, name)
    return math.prod(1 if dim < 0 else dim for dim in shape)


def _check_constant(dtype: str, elements: int, constant_bytes: int, name: str) -> None:
    expected = (
        {"int4": (elements + 1) // 2, "int2": (elements + 3) // 4}.get(dtype)
        if dtype not in ITEM_BYTES
        else elements * ITEM_BYTES[dtype]
    )
    if expected is not None and expected != constant_bytes:
        raise Damaged(f"constant '{name}' has {constant_bytes} bytes where its shape needs {expected}")


def _signature(model: Table, subgraphs: Sequence[_Subgraph]) -> Signature:
    """The first SignatureDef's names on the tensors of its subgraph, in the subgraph's order."""
    for definition in model.children(7):
        index = definition.scalar(4, "I")
        if index >= len(subgraphs):
            raise Damaged(f"subgraph {index} of {len(subgraphs)}")
        names_in, names_out = _names(definition, 0), _names(definition, 1)
        return _named(subgraphs[index], definition.text(2), names_in, names_out)
    return _named(subgraphs[0], None, {}, {})


def _names(definition: Table, number: int) -> dict[int, str]:
    return {entry.scalar(1, "I"): entry.text(0) for entry in definition.children(number)}


def _named(subgraph: _Subgraph, key: str | None, ins: dict[int, str], outs: dict[int, str]) -> Signature:
    def specs(indices: tuple[int, ...], names: dict[int, str]) -> tuple[TensorSpec, ...]:
        found = [subgraph.tensors[index].spec for index in indices]
        told = _unlike([names.get(index, spec.name) for index, spec in zip(indices, found, strict=True)])
        return tuple(msgspec.structs.replace(spec, name=name) for spec, name in zip(found, told, strict=True))

    return Signature(key=key, inputs=specs(subgraph.inputs, ins), outputs=specs(subgraph.outputs, outs))


def _unlike(names: Sequence[str]) -> list[str]:
    """Names under which data can be given: one that is empty or was there before gets a number behind it."""
    taken, seen = set(names), set[str]()
    told = []
    for place, name in enumerate(names):
        if not name or name in seen:
            number = place + 1
            while (free := f"{name or 'tensor'}_{number}") in taken:
                number += 1
            name = free
            taken.add(name)
        seen.add(name)
        told.append(name)
    return told
