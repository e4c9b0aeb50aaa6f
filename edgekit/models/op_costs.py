"""What each operator of a model has to do: multiplications with addition (MACs), and bytes that it touches.

Computed from shapes alone, for the operators whose work is matrix products: convolutions, fully connected, matrix
multiplication. Of all others, and where a shape is open or not in the file, MACs are None: not known, never 0. Bytes
are inputs, weights and outputs at their stored size, each tensor once: what an operator touches at least, not what
moves over a bus.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct, structs

from edgekit.models.formats import detect_format
from edgekit.models.info import ITEM_BYTES
from edgekit.models.limits import item_bits
from edgekit.parse.op_profile import OpProfile, OpRow

Shape = tuple[int, ...] | None
"""None where it is not known; -1 stands for a dimension that is open."""


class OpCost(Struct, frozen=True, kw_only=True):
    """One operator of the main graph, in the file's order. `outputs`: names of what it makes."""

    index: int
    op: str
    name: str
    outputs: tuple[str, ...]
    macs: int | None
    bytes: int | None


def read_costs(path: Path) -> tuple[OpCost, ...]:
    """The operators of a .tflite or .onnx file; nothing for other formats, which do not tell them.

    Raises ModelError as `open_model` does.
    """
    from edgekit.models.onnx_costs import read_onnx_costs
    from edgekit.models.tflite_costs import read_tflite_costs

    kind = detect_format(path)
    if kind == "tflite":
        return read_tflite_costs(path)
    return read_onnx_costs(path) if kind == "onnx" else ()


def with_costs(profile: OpProfile, costs: Sequence[OpCost]) -> OpProfile:
    """The same profile with MACs and bytes of the operators that can be told apart in the file. Pure.

    A row is one of the file's operators where the kind is the same and so is its number in the graph, or else the name
    of its output or node, if only one has it. Rows of delegates are many operators and stay without; a layer of
    TensorRT has the MACs of the operators that its name lists.
    """
    by_index = {cost.index: cost for cost in costs}
    by_name: dict[tuple[str, str], list[OpCost]] = {}
    for cost in costs:
        for name in {cost.name, ", ".join(cost.outputs)} - {""}:
            by_name.setdefault((cost.op, name), []).append(cost)
    names = {cost.name: cost for cost in costs if cost.name}

    def told(row: OpRow) -> OpRow:
        if row.op == "layer":
            return structs.replace(row, macs=_fused_macs(row.node or "", names))
        found = by_index.get(row.index) if row.index is not None else None
        if found is None or found.op != row.op:
            same_name = by_name.get((row.op, row.node or ""), [])
            found = same_name[0] if len(same_name) == 1 else None
        return row if found is None else structs.replace(row, macs=found.macs, bytes=found.bytes)

    return structs.replace(profile, rows=tuple(told(row) for row in profile.rows))


def _fused_macs(layer: str, names: dict[str, OpCost]) -> int | None:
    """MACs of the nodes in a name like "Conv_0 + PWN(Clip_3)"; copies between layouts have none of their own."""
    if layer.startswith("Reformatting "):
        return None
    parts = [re.sub(r"^PWN\((.*)\)$", r"\1", part) for part in layer.split(" + ")]
    known = [names[part].macs for part in parts if part in names]
    macs = [value for value in known if value is not None]
    return sum(macs) if macs else None


def elements(shape: Shape, rank: int | None = None) -> int | None:
    """How many elements; None where that is open, or the rank is not `rank`."""
    if shape is None or any(dim < 0 for dim in shape) or (rank is not None and len(shape) != rank):
        return None
    return math.prod(shape)


def product(*factors: int | None) -> int | None:
    """Their product; None where one is not known."""
    known = [factor for factor in factors if factor is not None]
    return math.prod(known) if len(known) == len(factors) else None


def total_bytes(tensors: Iterable[tuple[str, Shape]]) -> int | None:
    """Bytes of tensors of these dtypes and shapes; None where one of them is not known."""
    total = 0
    for dtype, shape in tensors:
        count = elements(shape)
        bits = item_bits(dtype)
        if count is None or (bits == 8 and dtype not in ITEM_BYTES and not dtype.startswith("float8")):
            return None
        total += (count * bits + 7) // 8
    return total
