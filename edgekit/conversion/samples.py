"""Which samples a conversion is judged on, and what is kept of them for the check on the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from edgekit.conversion.calibration import CalibrationData
from edgekit.conversion.datasets import DataSet
from edgekit.errors import ModelError
from edgekit.models.info import TensorSpec

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

GENERATED_COUNT = 8
COMPARED_COUNT = 64
GOLDEN_COUNT = 4
SEED = 20


@dataclass(frozen=True)
class Samples:
    """Inputs of several inferences, each in the source's order; a label (class number) or a target (what a regression
    should give, [samples, ...]) where every sample has one."""

    origin: Literal["evaluation", "calibration", "generated"]
    inputs: tuple[tuple[Array, ...], ...]
    labels: tuple[int, ...] | None = None
    targets: Array | None = None


def spread(count: int, wanted: int) -> list[int]:
    """Up to `wanted` indices of `count`, evenly spaced, the first always among them."""
    if count <= wanted:
        return list(range(count))
    return [index * count // wanted for index in range(wanted)]


def samples_for_verification(
    specs: Sequence[TensorSpec],
    evaluation: DataSet | None,
    calibration: CalibrationData | None,
    token_limits: Mapping[str, int] | None = None,
) -> Samples:
    """All of the evaluation data, else some of the calibration data, else inputs made up within the signature."""
    if evaluation is not None:
        inputs = tuple(evaluation.sample(i) for i in range(len(evaluation)))
        labels = None if evaluation.labels is None else tuple(int(label) for label in evaluation.labels)
        return Samples("evaluation", inputs, labels, evaluation.targets)
    if calibration is not None:
        picked = spread(len(calibration), COMPARED_COUNT)
        return Samples("calibration", tuple(calibration.pick(picked)))
    return Samples("generated", generate(specs, GENERATED_COUNT, token_limits=token_limits))


def generate(
    specs: Sequence[TensorSpec], count: int, seed: int = SEED, token_limits: Mapping[str, int] | None = None
) -> tuple[tuple[Array, ...], ...]:
    """Made-up inputs from a fixed seed, within what the signature allows.

    Floats: images (rank 4) from 0 to 1, others from -1 to 1. Integers: the whole range for 8 bits; valid row numbers
    for an input that picks from a table (`token_limits`); 0 or 1 for others, which every table has. Raises ModelError
    E_MODEL_INPUT for text inputs.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    limits = token_limits or {}
    return tuple(tuple(_one(spec, rng, limits.get(spec.name, 2)) for spec in specs) for _ in range(count))


def _one(spec: TensorSpec, rng: np.random.Generator, rows: int) -> Array:
    import numpy as np

    shape = spec.fixed_shape()
    if spec.dtype in ("float16", "float32", "float64"):
        values = np.asarray(rng.random(shape, dtype=np.float32))
        made: Array = np.asarray(values if len(shape) == 4 else 2 * values - 1).astype(spec.dtype)
        return made
    if spec.dtype in ("int8", "uint8"):
        limits = np.iinfo(spec.dtype)
        return np.asarray(rng.integers(limits.min, limits.max, size=shape, dtype=spec.dtype, endpoint=True))
    if spec.dtype in ("bool", "int16", "uint16", "int32", "uint32", "int64", "uint64"):
        high = min(rows, 2 if spec.dtype == "bool" else np.iinfo(spec.dtype).max)
        return np.asarray(rng.integers(0, max(1, high), size=shape)).astype(spec.dtype)
    raise ModelError(
        f"input '{spec.name}' is {spec.dtype}, for which no inputs can be made up",
        code="E_MODEL_INPUT",
        hint="a model with such an input cannot be verified",
    )


def raw(values: Sequence[Sequence[Array]]) -> bytes:
    """Samples as the runner reads and writes them: little-endian, in order, nothing between."""
    import numpy as np

    return b"".join(
        np.ascontiguousarray(value).astype(value.dtype.newbyteorder("<"), copy=False).tobytes()
        for sample in values
        for value in sample
    )
