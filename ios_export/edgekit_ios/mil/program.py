"""The program of a model as plain data: operations, blocks, constants. Constants are read and expanded here, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgekit_ios.mil.blobs import BlobFile
from edgekit_ios.mil.errors import damaged
from edgekit_ios.mil.values import Declared, declared, read_value

Fold = Callable[["Operation", Mapping[str, Any]], tuple[Any, ...]]
_CONSTANT = "constexpr_"
_MAX_DEPTH = 32


@dataclass(frozen=True)
class Ref:
    """A value by the name of the output that makes it."""

    name: str


@dataclass(frozen=True)
class Operation:
    """`inputs`: for each name what is bound to it, references and constants. `outputs`: names and declared types."""

    type: str
    inputs: Mapping[str, tuple[Any, ...]]
    outputs: tuple[tuple[str, Declared], ...]
    blocks: tuple[Block, ...] = ()

    @property
    def name(self) -> str:
        return self.outputs[0][0] if self.outputs else ""


@dataclass(frozen=True)
class Block:
    """`constants` are those of this block, by name; they are not among the operations."""

    inputs: tuple[str, ...]
    operations: tuple[Operation, ...]
    outputs: tuple[str, ...]
    constants: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Program:
    """The function that a model runs. `inputs`: names and declared types, in order."""

    inputs: tuple[tuple[str, Declared], ...]
    block: Block


def read_program(model: Any, blob_file: Callable[[str], BlobFile], fold: Fold) -> Program:
    """Of a CoreML.Specification.Model. `fold` computes constexpr operations. Raises ModelError."""
    functions = model.mlProgram.functions
    name = model.description.defaultFunctionName or "main"
    if name not in functions:
        raise damaged(f"there is no function '{name}'")
    function = functions[name]
    if function.opset not in function.block_specializations:
        raise damaged(f"the function '{name}' has no block for {function.opset}")
    block = function.block_specializations[function.opset]
    inputs = tuple((item.name, declared(item.type)) for item in function.inputs)
    return Program(inputs, _Reader(blob_file, fold).block(block, {}, 0))


class _Reader:
    def __init__(self, blob_file: Callable[[str], BlobFile], fold: Fold) -> None:
        self._blob_file = blob_file
        self._fold = fold

    def block(self, block: Any, outer: Mapping[str, Any], depth: int) -> Block:
        if depth > _MAX_DEPTH:
            raise damaged("blocks are nested too deep")
        constants: dict[str, Any] = {}
        known = dict(outer)
        operations = []
        for item in block.operations:
            operation = self._operation(item, known, depth)
            if item.type == "const" or item.type.startswith(_CONSTANT):
                values = self._constant(item, operation, known)
                made = {name: value for (name, _), value in zip(operation.outputs, values, strict=False)}
                constants |= made
                known |= made
            else:
                operations.append(operation)
        return Block(
            tuple(item.name for item in block.inputs), tuple(operations), tuple(block.outputs), constants
        )

    def _operation(self, item: Any, known: Mapping[str, Any], depth: int) -> Operation:
        inputs = {name: tuple(map(self._bound, argument.arguments)) for name, argument in item.inputs.items()}
        if item.type.startswith(_CONSTANT):  # before iOS 18 these hold what they are given as attributes
            inputs |= {
                name: (read_value(value, self._blob_file),)
                for name, value in item.attributes.items()
                if name != "name"
            }
        return Operation(
            item.type,
            inputs,
            tuple((output.name, declared(output.type)) for output in item.outputs),
            tuple(self.block(inner, known, depth + 1) for inner in item.blocks),
        )

    def _bound(self, binding: Any) -> Any:
        if binding.WhichOneof("binding") == "name":
            return Ref(binding.name)
        return read_value(binding.value, self._blob_file)

    def _constant(self, item: Any, operation: Operation, known: Mapping[str, Any]) -> tuple[Any, ...]:
        if item.type != "const":
            return self._fold(operation, known)
        if "val" not in item.attributes:
            raise damaged(f"the constant '{operation.name}' has no value")
        return (read_value(item.attributes["val"], self._blob_file),)
