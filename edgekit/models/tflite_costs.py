"""MACs and bytes of the operators of a .tflite file's main graph.

Shapes of filters: tensorflow/lite/kernels/{conv,depthwise_conv,transpose_conv,fully_connected,conv3d,batch_matmul}.cc.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from edgekit.models.flat import Damaged, Flat, Table
from edgekit.models.formats import unreadable
from edgekit.models.limits import as_error
from edgekit.models.op_costs import OpCost, Shape, elements, product, total_bytes
from edgekit.models.tflite import DTYPES, operator_name


class _Tensor(NamedTuple):
    name: str
    dtype: str
    shape: Shape


def read_tflite_costs(path: Path) -> tuple[OpCost, ...]:
    """Raises ModelError: E_MODEL_MISSING, E_MODEL_TRUNCATED, E_MODEL_CORRUPT."""
    size_bytes = 0
    try:
        with open(path, "rb") as file:
            size_bytes = path.stat().st_size
            if size_bytes == 0:
                raise Damaged("it is empty")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _read(Flat(data))
    except OSError as error:
        raise unreadable(path, error) from error
    except Damaged as damage:
        raise as_error(damage, size_bytes, str(path)) from damage


def _read(flat: Flat) -> tuple[OpCost, ...]:
    model = flat.root()
    codes = [operator_name(code).removeprefix("custom:") for code in model.children(1)]
    graph = next(iter(model.children(2)), None)
    if graph is None:
        raise Damaged("it holds no graph")
    filled = [_is_filled(buffer) for buffer in model.children(4)]
    tensors = [_tensor(table, filled) for table in graph.children(0)]
    return tuple(_operator(index, table, codes, tensors) for index, table in enumerate(graph.children(3)))


def _is_filled(buffer: Table) -> bool:
    """Whether it holds a constant; offsets are of large models, whose constants lie behind the tables."""
    data = buffer.vector(0, 1)
    return bool(data and data[1]) or buffer.scalar(1, "Q") > 1


def _tensor(table: Table, filled: Sequence[bool]) -> _Tensor:
    number = table.scalar(1, "b")
    if not 0 <= number < len(DTYPES):
        raise Damaged(f"tensor type {number}")
    shape = table.numbers(7, "i") or table.numbers(0, "i")
    # no dimensions may mean a scalar or a shape that is not known; the flag for that is younger than the format
    buffer, has_rank = table.scalar(2, "I"), table.scalar(8, "b")
    known = bool(shape) or bool(has_rank) or (buffer < len(filled) and filled[buffer])
    return _Tensor(table.text(3), DTYPES[number], shape if known else None)


def _operator(index: int, table: Table, codes: Sequence[str], tensors: Sequence[_Tensor]) -> OpCost:
    code = table.scalar(0, "I")
    if code >= len(codes):
        raise Damaged(f"operator code {code} of {len(codes)}")
    numbers_in, numbers_out = table.numbers(1, "i"), table.numbers(2, "i")
    for number in (*numbers_in, *numbers_out):
        if not -1 <= number < len(tensors):
            raise Damaged(f"tensor number {number} of {len(tensors)}")
    shapes_in = [tensors[number].shape if number >= 0 else None for number in numbers_in]
    outputs = [tensors[number] for number in numbers_out if number >= 0]
    touched = dict.fromkeys(number for number in (*numbers_in, *numbers_out) if number >= 0)
    return OpCost(
        index=index,
        op=codes[code],
        name="",
        outputs=tuple(tensor.name for tensor in outputs),
        macs=_macs(codes[code], table, shapes_in, outputs[0].shape if outputs else None),
        bytes=total_bytes((tensors[number].dtype, tensors[number].shape) for number in touched),
    )


def _macs(op: str, table: Table, inputs: Sequence[Shape], output: Shape) -> int | None:
    weights = inputs[1] if len(inputs) > 1 else None
    if op == "BATCH_MATMUL":
        options = table.child(4)  # BatchMatMulOptions: adj_x, adj_y
        left = inputs[0] if inputs else None
        transposed = options is not None and options.scalar(0, "b") != 0
        depth = None if left is None or len(left) < 2 else left[-2 if transposed else -1]
        return product(elements(output), depth if depth is not None and depth >= 0 else None)
    if weights is None or elements(weights) is None:
        return None
    if op == "CONV_2D" and len(weights) == 4:  # out, height, width, in (of one group)
        return product(elements(output, 4), *weights[1:])
    if op == "DEPTHWISE_CONV_2D" and len(weights) == 4:  # 1, height, width, out
        return product(elements(output, 4), *weights[1:3])
    if op == "TRANSPOSE_CONV" and len(weights) == 4 and len(inputs) > 2:  # out, height, width, in
        return product(elements(inputs[2], 4), *weights[:3])
    if op == "CONV_3D" and len(weights) == 5:  # depth, height, width, in, out
        return product(elements(output, 5), *weights[:4])
    if op == "FULLY_CONNECTED" and len(weights) == 2:  # out, in
        return product(elements(output), weights[1])
    return None
