"""Names for inputs and outputs, and what to say about a failure in one line. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgekit.errors import ModelError
from edgekit.models.info import TensorSpec

MAX_ELEMENTS = 1 << 28
NCHW, NHWC = "NCHW", "NHWC"


def unique(names: Sequence[str], count: int, stem: str = "output") -> list[str]:
    """The given names where they are all there and different, else stem_0, stem_1, ..."""
    if len(names) == count and len(set(names)) == count and all(names):
        return list(names)
    return [f"{stem}_{index}" for index in range(count)]


def layout_of(shape: Sequence[int], layout: str) -> str | None:
    """The layout of an image tensor by its framework's convention; None for what is none (rank other than 4)."""
    return layout if len(shape) == 4 else None


def short(error: BaseException, limit: int = 300) -> str:
    """The first line of a foreign error that says something, without the places that MLIR puts in front of it."""
    lines = [_without_places(line.strip()) for line in str(error).strip().splitlines()]
    lines = [line for line in lines if line]
    return lines[0][:limit] if lines else type(error).__name__


def _without_places(line: str) -> str:
    """`<unknown>:0: error: loc(callsite(...)): what it says` becomes `what it says`."""
    _, mark, rest = line.partition("error: loc(")
    if not mark:
        return line
    depth = 1
    for index, letter in enumerate(rest):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return rest[index + 1 :].lstrip(" :") or line
    return line


def fixed(
    spec: TensorSpec, wanted: tuple[int, ...] | None, batch_axes: Sequence[int] = (0,)
) -> tuple[int, ...]:
    """The shape with its dynamic axes fixed: as asked, else 1 where the axis counts samples.

    Raises ModelError E_DYNAMIC_SHAPE where an axis is left open, E_SHAPE where what was asked does not fit.
    """
    if wanted is not None:
        fits = len(wanted) == len(spec.shape) and all(
            have in (-1, want) and want > 0 for have, want in zip(spec.shape, wanted, strict=True)
        )
        if not fits:
            raise ModelError(
                f"input '{spec.name}' is {shape_text(spec.shape)}, which {shape_text(wanted)} does not fit",
                code="E_SHAPE",
                hint="only axes shown as ? can be given another size",
            )
        if math.prod(wanted) > MAX_ELEMENTS:
            raise ModelError(
                f"{shape_text(wanted)} for input '{spec.name}' has more than {MAX_ELEMENTS} elements",
                code="E_SHAPE",
                hint="give the size that one inference takes",
            )
        return tuple(wanted)
    open_axes = [axis for axis, size in enumerate(spec.shape) if size < 0 and axis not in batch_axes]
    if open_axes:
        raise ModelError(
            f"input '{spec.name}' is {shape_text(spec.shape)}: {len(open_axes)} of its axes have no fixed size",
            code="E_DYNAMIC_SHAPE",
            hint=f"fix them with --shape {spec.name}="
            + "x".join(
                "1" if size < 0 and axis in batch_axes else str(size) if size > 0 else "N"
                for axis, size in enumerate(spec.shape)
            ),
        )
    return tuple(1 if size < 0 else size for size in spec.shape)


def shape_text(shape: Sequence[int]) -> str:
    return "x".join("?" if size < 0 else str(size) for size in shape) or "scalar"


def unknown_shapes(asked: Sequence[str], inputs: Sequence[TensorSpec]) -> None:
    """Raises ModelError E_SHAPE where a size was given for an input that is not there."""
    names = [spec.name for spec in inputs]
    for name in asked:
        if name not in names:
            raise ModelError(
                f"--shape names '{name}'; the model's inputs are {', '.join(names)}",
                code="E_SHAPE",
                hint="write --shape NAME=1x3x224x224",
            )
