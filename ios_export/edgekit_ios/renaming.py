"""Names of a Core ML model's inputs and outputs. Pure, on the protobuf.

In an ML program an input or output is a value of the program, and values are named by identifiers: letters, digits, _
and @. Names that are none cannot be kept; the nearest one that can is taken, and a note says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

_BAD = re.compile(r"[^A-Za-z0-9_@]")


def identifiers(names: Sequence[str]) -> list[str]:
    """For each name the identifier that stands for it: itself where it is one, all different."""
    made: list[str] = []
    for name in names:
        near = _BAD.sub("_", name) or "_"
        near = near if near[0].isalpha() or near[0] == "_" else f"_{near}"
        made.append(_free(near, {*made, *(n for n in names if n != name)}))
    return made


def rename(model: Any, names: Mapping[str, str]) -> None:
    """Rename inputs and outputs of a CoreML.Specification.Model, keys to values, in place. Other values of the
    program that have such a name already get another."""
    taken = {name for block in _blocks(model) for name in _made(block)}
    every = dict(names)
    for wanted in names.values():
        if wanted in taken and wanted not in names:
            every[wanted] = _free(wanted, {*taken, *every.values()})
    for feature in (*model.description.input, *model.description.output):
        feature.name = every.get(feature.name, feature.name)
    for function in model.mlProgram.functions.values():
        for item in function.inputs:
            item.name = every.get(item.name, item.name)
    for block in _blocks(model):
        _rename_block(block, lambda name: every.get(name, name))


def _rename_block(block: Any, new: Callable[[str], str]) -> None:
    block.outputs[:] = [new(name) for name in block.outputs]
    for item in block.inputs:
        item.name = new(item.name)
    for operation in block.operations:
        for output in operation.outputs:
            output.name = new(output.name)
        for argument in operation.inputs.values():
            for binding in argument.arguments:
                if binding.WhichOneof("binding") == "name":
                    binding.name = new(binding.name)


def _blocks(model: Any) -> Iterator[Any]:
    """All blocks of the program, nested ones too."""
    waiting = [b for f in model.mlProgram.functions.values() for b in f.block_specializations.values()]
    while waiting:
        block = waiting.pop()
        yield block
        waiting += [inner for operation in block.operations for inner in operation.blocks]


def _made(block: Any) -> Iterator[str]:
    for item in block.inputs:
        yield item.name
    for operation in block.operations:
        for output in operation.outputs:
            yield output.name


def _free(name: str, taken: set[str]) -> str:
    free, number = name, 1
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free
