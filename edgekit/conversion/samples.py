"""Which samples a conversion is judged on, and what is kept of them for the check on the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from edgekit.conversion.datasets import DataSet
from edgekit.errors import ModelError
from edgekit.models.info import TensorSpec

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

GENERATED_COUNT = 8
COMPARED_COUNT = 64
CALIBRATION_COUNT = 500
GOLDEN_COUNT = 4
SEED = 20


@dataclass(frozen=True)
class Samples:
    """Inputs of several inferences, each in model order; labels where every sample has one."""

    origin: Literal["evaluation", "calibration", "generated"]
    inputs: tuple[tuple[Array, ...], ...]
    labels: tuple[int, ...] | None = None


def spread(count: int, wanted: int) -> list[int]:
    """Up to `wanted` indices of `count`, evenly spaced, the first always among them."""
    if count <= wanted:
        return list(range(count))
    return [index * count // wanted for index in range(wanted)]


def samples_for_verification(
    specs: Sequence[TensorSpec], evaluation: DataSet | None, calibration: DataSet | None
) -> Samples:
    """All of the evaluation data, else some of the calibration data, else inputs made up within the signature."""
    if evaluation is not None:
        inputs = tuple(evaluation.sample(i) for i in range(len(evaluation)))
        labels = None if evaluation.labels is None else tuple(int(label) for label in evaluation.labels)
        return Samples("evaluation", inputs, labels)
    if calibration is not None:
        picked = spread(len(calibration), COMPARED_COUNT)
        return Samples("calibration", tuple(calibration.sample(i) for i in picked))
    return Samples("generated", generate(specs, GENERATED_COUNT))


def samples_for_calibration(calibration: DataSet | None) -> tuple[tuple[Array, ...], ...]:
    if calibration is None:
        return ()
    return tuple(calibration.sample(i) for i in spread(len(calibration), CALIBRATION_COUNT))


def generate(specs: Sequence[TensorSpec], count: int, seed: int = SEED) -> tuple[tuple[Array, ...], ...]:
    """Made-up inputs from a fixed seed: floats from 0 to 1, integers of the whole range for 8 bits, small ones
    (0 or 1: they may be token numbers) for wider types. Raises ModelError E_MODEL_INPUT for text inputs."""
    import numpy as np

    rng = np.random.default_rng(seed)
    return tuple(tuple(_one(spec, rng) for spec in specs) for _ in range(count))


def _one(spec: TensorSpec, rng: np.random.Generator) -> Array:
    import numpy as np

    shape = spec.fixed_shape()
    if spec.dtype.startswith("float"):
        return rng.random(shape, dtype=np.float32).astype(spec.dtype)
    if spec.dtype in ("int8", "uint8"):
        limits = np.iinfo(spec.dtype)
        return rng.integers(limits.min, limits.max, size=shape, dtype=spec.dtype, endpoint=True)
    if spec.dtype in ("bool", "int16", "uint16", "int32", "uint32", "int64", "uint64"):
        return rng.integers(0, 2, size=shape).astype(spec.dtype)
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
