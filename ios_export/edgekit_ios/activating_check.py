"""Activations of an ML program read back and compared with the ranges that calibration found. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from edgekit.conversion.ranges import Range
from edgekit.conversion.recipes import Recipe
from edgekit.conversion.recipes.met import require_met
from edgekit_ios.mil.program import Operation, Program, Ref

_HALF_STEP = 0.51
"""Scales are rounded to float16, and zero points to whole steps."""
_WIDER = 1.05


def held_range(scale: float, zero_point: int, beyond: float = 0.0) -> tuple[float, float]:
    """The real values of -128 and 127, `beyond` steps further out on each side."""
    return scale * (-128 - zero_point - beyond), scale * (127 - zero_point + beyond)


def check(
    recipe: Recipe, held: Mapping[str, frozenset[str]], ranges: Mapping[str, Range], after: Program
) -> None:
    """`held`: the operations that shall read each tensor as int8. Raises VerificationError E_RECIPE_NOT_MET."""
    makers = {operation.name: operation for operation in after.block.operations}
    constants = after.block.constants
    wrong: list[str] = []
    seen: set[str] = set()
    for operation in after.block.operations:
        if operation.type in ("quantize", "dequantize"):
            continue
        read = {item.name for bound in operation.inputs.values() for item in bound if isinstance(item, Ref)}
        integers = {_source(makers, name): name for name in read if _type(makers, name) == "dequantize"}
        wanted = {name for name, readers in held.items() if operation.name in readers and name in ranges}
        for name in sorted(wanted - set(integers)):
            wrong.append(f"{operation.type} {operation.name} reads {name} as it is, it was to be int8")
        for name in sorted(set(integers) - wanted, key=str):
            wrong.append(f"{operation.type} {operation.name} reads {name} as int8, it was to stay float")
        for name in sorted(wanted & set(integers)):
            if name not in seen:
                seen.add(name)
                wrong += [
                    f"{name}: {what}" for what in _pair(makers, constants, integers[name], ranges[name])
                ]
    require_met(recipe, wrong, "model")


def _type(makers: Mapping[str, Operation], name: str) -> str:
    return makers[name].type if name in makers else ""


def _source(makers: Mapping[str, Operation], name: str) -> str:
    """The tensor that a pair begins with; the name of the pair's middle where that is no `quantize`."""
    stored = _bound(makers[name], "input")
    return _bound(makers[stored], "input") if _type(makers, stored) == "quantize" else stored


def _bound(operation: Operation, name: str) -> str:
    bound = operation.inputs.get(name, ())
    return bound[0].name if len(bound) == 1 and isinstance(bound[0], Ref) else ""


def _pair(
    makers: Mapping[str, Operation], constants: Mapping[str, Any], name: str, wanted: Range
) -> Iterator[str]:
    back = makers[name]
    there = makers[_bound(back, "input")]
    numbers = [
        {key: constants.get(_bound(one, key)) for key in ("scale", "zero_point")} for one in (there, back)
    ]
    if any(value is None or np.asarray(value).size != 1 for one in numbers for value in one.values()):
        yield "its scale and zero point are no single numbers"
        return
    (scale, zero), (scale_back, zero_back) = (
        (float(np.asarray(one["scale"])), int(np.asarray(one["zero_point"]))) for one in numbers
    )
    if (scale, zero) != (scale_back, zero_back):
        yield f"stored with scale {scale:.4g} and zero {zero}, read with {scale_back:.4g} and {zero_back}"
        return
    low, high = held_range(scale, zero)
    if low > wanted.low + _HALF_STEP * scale or high < wanted.high - _HALF_STEP * scale:
        yield f"holds {low:.4g} to {high:.4g}, calibration found {wanted.low:.4g} to {wanted.high:.4g}"
    elif high - low > _WIDER * (wanted.high - wanted.low) + _slack(scale):
        yield f"holds {low:.4g} to {high:.4g}, {wanted.low:.4g} to {wanted.high:.4g} is enough"


def _slack(scale: float) -> float:
    """Two steps of rounding; a range too small for its type's numbers has the least step there is."""
    return 256 * scale if scale <= 2.0**-14 else 2 * scale
