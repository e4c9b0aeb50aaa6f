"""Pairs of `quantize` and `dequantize` written into the protobuf of an ML program. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_INT8, _STRING = 21, 2
_FLOATS = {"float16": 10, "float32": 11}
"""CoreML.Specification.MILSpec.DataType of coremltools' MIL.proto."""


@dataclass(frozen=True)
class Stored:
    """One tensor to be stored as int8: a value is scale * (stored - zero_point). `readers`: the operations, by their
    outputs, that shall read it so; `kind`: the tensor's float type."""

    name: str
    readers: frozenset[str]
    scale: float
    zero_point: int
    kind: str


def insert(model: Any, pairs: Sequence[Stored]) -> None:
    """Each pair stands before the first operation that reads its tensor so; all others read the tensor as before.

    `model`: CoreML.Specification.Model, changed in place.
    """
    for function in model.mlProgram.functions.values():
        types = {item.name: item.type for item in function.inputs}
        for block in function.block_specializations.values():
            _insert(block, types, {one.name: one for one in pairs})


def _insert(block: Any, types: dict[str, Any], pairs: dict[str, Stored]) -> None:
    operation_type = type(block.operations.add())
    del block.operations[-1]
    taken = {output.name for operation in block.operations for output in operation.outputs} | set(types)
    copies, made = [], {}
    for original in block.operations:
        operation = operation_type()
        operation.CopyFrom(original)
        own = {output.name for output in operation.outputs}
        for argument in operation.inputs.values():
            for binding in argument.arguments:
                pair = pairs.get(binding.name) if binding.WhichOneof("binding") == "name" else None
                if pair is None or not own & pair.readers:
                    continue
                if pair.name not in made:
                    names = _free(pair.name, taken)
                    copies += _pair(operation_type, pair, names, types[pair.name])
                    made[pair.name] = names[-1]
                binding.name = made[pair.name]
        copies.append(operation)
        types = {**types, **{output.name: output.type for output in operation.outputs}}
    del block.operations[:]
    block.operations.extend(copies)


_PARTS = ("scale", "zero_point", "int8_type", "int8", "held")


def _free(name: str, taken: set[str]) -> list[str]:
    number = 0
    while True:
        end = f"_{number}" if number else ""
        names = [f"{name}_{part}{end}" for part in _PARTS]
        if not taken & set(names):
            taken |= set(names)
            return names
        number += 1


def _pair(new: Callable[[], Any], pair: Stored, names: Sequence[str], kind: Any) -> list[Any]:
    scale_name, zero_name, type_name, stored_name, held_name = names
    scale, zero, stored_type = (_constant(new, name) for name in (scale_name, zero_name, type_name))
    scale.outputs[0].type.tensorType.dataType = _FLOATS[pair.kind]
    value = np.dtype(pair.kind).type(pair.scale)
    if pair.kind == "float16":  # what has less than 4 bytes is stored as bytes
        scale.attributes["val"].immediateValue.tensor.bytes.values = value.tobytes()
    else:
        scale.attributes["val"].immediateValue.tensor.floats.values.append(float(value))
    zero.outputs[0].type.tensorType.dataType = _INT8
    zero.attributes["val"].immediateValue.tensor.bytes.values = np.int8(pair.zero_point).tobytes()
    stored_type.outputs[0].type.tensorType.dataType = _STRING
    stored_type.attributes["val"].immediateValue.tensor.strings.values.append("int8")
    for constant in (scale, zero, stored_type):
        constant.attributes["val"].type.CopyFrom(constant.outputs[0].type)
    bound = {"scale": scale_name, "zero_point": zero_name}
    quantize = _operation(
        new, "quantize", stored_name, {"input": pair.name, **bound, "output_dtype": type_name}, kind
    )
    quantize.outputs[0].type.tensorType.dataType = _INT8
    dequantize = _operation(new, "dequantize", held_name, {"input": stored_name, **bound}, kind)
    return [scale, zero, stored_type, quantize, dequantize]


def _constant(new: Callable[[], Any], name: str) -> Any:
    operation = new()
    operation.type = "const"
    operation.outputs.add().name = name
    _label(operation, name)
    return operation


def _operation(new: Callable[[], Any], kind: str, name: str, inputs: dict[str, str], declared: Any) -> Any:
    operation = new()
    operation.type = kind
    for key, bound in inputs.items():
        operation.inputs[key].arguments.add().name = bound
    output = operation.outputs.add()
    output.name = name
    output.type.CopyFrom(declared)
    _label(operation, name)
    return operation


def _label(operation: Any, name: str) -> None:
    label = operation.attributes["name"]
    label.type.tensorType.dataType = _STRING
    label.immediateValue.tensor.strings.values.append(name)
