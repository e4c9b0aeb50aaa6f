"""Are the outputs that a device gave the expected ones? Pure; rules in docs/verdict.md.

Floats: the largest difference is at most `tolerance` times the largest expected value. Integers, and floats that
are dequantized integers: at most one step, on at most 1 % of the elements. Expected outputs that are all alike prove nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from edgekit.deployment.release import OutputSpec, ReleaseGolden

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_INTEGER_STEPS = 1
MAX_INTEGER_SHARE = 0.01


@dataclass(frozen=True)
class Comparison:
    """`max_abs_error` over floats and integers alike, `flips`: argmax changes over all samples of all outputs."""

    state: Literal["passed", "failed", "unchecked"]
    reason: str
    max_abs_error: float | None = None
    relative_error: float | None = None
    flips: int | None = None
    samples: int = 0


def compare_outputs(expected: bytes, actual: bytes, golden: ReleaseGolden) -> Comparison:
    """`expected` and `actual`: for each sample each output in order, raw little-endian."""
    if len(expected) != len(actual):
        return Comparison("failed", f"{len(actual)} bytes of output where {len(expected)} were expected")
    wanted = split_outputs(expected, golden.outputs, golden.samples)
    got = split_outputs(actual, golden.outputs, golden.samples)
    if wanted is None or got is None:
        return Comparison(
            "failed", "the golden outputs do not have the size or the type that the signature tells"
        )
    worst, relative, flips = 0.0, 0.0, 0
    for spec, want, have in zip(golden.outputs, wanted, got, strict=True):
        problem, error, share = _one_output(spec, want, have, golden.tolerance)
        if problem:
            return Comparison(
                "failed", f"output '{spec.name}': {problem}", error, share, None, golden.samples
            )
        worst, relative = max(worst, error), max(relative, share)
        flips += _flips(want, have)
    if all(_all_alike(array) for array in wanted):
        reason = "the expected outputs are all alike: they prove nothing"
        return Comparison("unchecked", reason, worst, relative, flips, golden.samples)
    return Comparison("passed", "", worst, relative, flips, golden.samples)


def split_outputs(data: bytes, specs: Sequence[OutputSpec], samples: int) -> list[NDArray[Any]] | None:
    """One array a spec, shape (samples, elements); None where the size does not fit, or a type is none of numpy's."""
    import numpy as np

    try:
        kinds = [np.dtype(spec.dtype).newbyteorder("<") for spec in specs]
    except TypeError:
        return None
    counts = [math.prod(spec.shape) for spec in specs]
    row_bytes = sum(kind.itemsize * count for kind, count in zip(kinds, counts, strict=True))
    if samples * row_bytes != len(data) or not data:
        return None
    rows = np.frombuffer(data, dtype=np.uint8).reshape(samples, row_bytes)
    arrays, at = [], 0
    for kind, count in zip(kinds, counts, strict=True):
        width = kind.itemsize * count
        arrays.append(np.ascontiguousarray(rows[:, at : at + width]).view(kind))
        at += width
    return arrays


def _all_alike(array: NDArray[Any]) -> bool:
    return bool((array == array.flat[0]).all())


def _one_output(
    spec: OutputSpec, want: NDArray[Any], have: NDArray[Any], tolerance: float
) -> tuple[str, float, float]:
    """(what is wrong or "", largest difference, the same as a share of the largest expected value)."""
    import numpy as np

    exact = np.issubdtype(want.dtype, np.integer) or want.dtype == np.bool_
    wide_want, wide_have = want.astype(np.float64), have.astype(np.float64)
    if not np.isfinite(wide_want).all():
        return "the expected outputs themselves are not numbers", math.inf, math.inf
    if not np.isfinite(wide_have).all():
        return "not a number or infinite", math.inf, math.inf
    difference = np.abs(wide_want - wide_have)
    error = float(difference.max())
    scale = float(np.abs(wide_want).max())
    relative = error / scale if scale else (0.0 if error == 0 else math.inf)
    if exact or spec.step:
        return _steps_problem(difference / (spec.step or 1.0)), error, relative
    if relative > tolerance:
        return f"off by {relative:.2g} of the largest value; {tolerance:.2g} is allowed", error, relative
    return "", error, relative


def _steps_problem(steps: NDArray[np.float64]) -> str:
    """`steps`: differences in steps. Those of dequantized floats are whole but for rounding."""
    import numpy as np

    whole = np.rint(steps)
    worst = float(whole.max())
    if worst > MAX_INTEGER_STEPS:
        return f"off by {worst:g} steps; {MAX_INTEGER_STEPS} is allowed"
    changed = int((whole > 0).sum())
    allowed = max(1, int(whole.size * MAX_INTEGER_SHARE))
    if changed > allowed:
        return f"{changed} of {whole.size} elements differ by a step; {allowed} may"
    return ""


def _flips(want: NDArray[Any], have: NDArray[Any]) -> int:
    if want.shape[1] < 2:
        return 0
    return int((want.argmax(axis=1) != have.argmax(axis=1)).sum())
