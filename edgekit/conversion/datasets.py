"""Calibration and evaluation data: .npz files, checked against the model's inputs before anything runs.

Arrays are named like the model's inputs (a model with one input may call it `inputs`); the first dimension counts
samples. Evaluation data may have `labels`, one class number for each sample, or `targets`, what a regression should
give (numbers, the shape of the first output). Values are those that the source model
takes; uint8 pixels for a float32 input are taken as 0.0 to 255.0, nothing is scaled.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.cache import is_special
from edgekit.errors import InputError
from edgekit.models.info import TensorSpec

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

MAX_BYTES = 4 << 30
LABELS = "labels"
TARGETS = "targets"
ONE_INPUT = "inputs"


@dataclass(frozen=True)
class DataSet:
    """Samples for a model. `arrays` has one array for each input, in model order, [samples, *input shape]."""

    name: str
    sha256: str
    arrays: tuple[Array, ...]
    labels: Array | None
    targets: Array | None = None

    def __len__(self) -> int:
        return len(self.arrays[0])

    def sample(self, index: int) -> tuple[Array, ...]:
        """Inputs of one sample, in model order, each with the input's own shape and dtype."""
        return tuple(array[index, ...] for array in self.arrays)


def load_dataset(path: Path, inputs: Sequence[TensorSpec], *, role: str) -> DataSet:
    """Read and check one .npz; `role` is "calibration" or "evaluation", for messages.

    Raises InputError: E_DATA_MISSING, E_DATA (not a .npz), E_DATA_NAMES, E_DATA_SHAPE, E_DATA_DTYPE,
    E_DATA_VALUES (NaN, infinite, all samples the same), E_DATA_LABELS.
    """
    raw = _read(path, role)
    arrays = _unpack(raw, path, role)
    given = {spec.name for spec in inputs}
    labels = arrays.pop(LABELS, None) if LABELS not in given else None
    targets = arrays.pop(TARGETS, None) if TARGETS not in given else None
    named = _by_input(arrays, inputs, path, role)
    count = len(named[0]) if named[0].ndim else 0
    fitted = []
    for array, spec in zip(named, inputs, strict=True):
        where = f"{role} data {path}, '{spec.name}'"
        if array.ndim and len(array) != count:
            raise InputError(
                f"{where}: {len(array)} samples, the other inputs have {count}", code="E_DATA_SHAPE"
            )
        # A setting beside the data (a sampling rate) may well be the same in every sample.
        setting = len(inputs) > 1 and array.ndim > 0 and array.size == len(array) > 0
        fitted.append(_checked_values(cast(reshaped(array, spec, where), spec, where), where, setting))
    checked = None if labels is None else _checked_labels(labels, count, f"{role} data {path}")
    wanted = None if targets is None else _checked_targets(targets, count, f"{role} data {path}")
    return DataSet(path.name, sha256(raw).hexdigest(), tuple(fitted), checked, wanted)


def _read(path: Path, role: str) -> bytes:
    try:
        if not path.is_dir():
            _refuse_endless(path, role)
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{role} data {path}: {error.strerror or error}", code="E_DATA_MISSING", hint="check the path"
        ) from error


def _refuse_endless(path: Path, role: str) -> None:
    why = None
    if is_special(path):
        why = "is a pipe or a device, no file"
    elif (size_bytes := path.stat().st_size) > MAX_BYTES:
        why = f"has {size_bytes} bytes, the limit is {MAX_BYTES}"
    if why is not None:
        raise InputError(
            f"{role} data {path} {why}",
            code="E_DATA",
            hint="give an .npz file; a few hundred samples are enough for calibration",
        )


def _unpack(raw: bytes, path: Path, role: str) -> dict[str, Array]:
    import numpy as np

    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            unpacked_bytes = sum(entry.file_size for entry in archive.infolist())
        if unpacked_bytes > MAX_BYTES:
            raise InputError(
                f"{role} data {path}: {unpacked_bytes} bytes unpacked, the limit is {MAX_BYTES}",
                code="E_DATA",
                hint="a few hundred samples are enough for calibration",
            )
        with np.load(io.BytesIO(raw), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
            if odd := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
                raise ValueError(f"{odd[0]} is no array")
            return arrays
    except InputError:
        raise
    except Exception as error:  # damaged bytes surface as zlib.error, TokenError, BadZipFile, ValueError, ...
        raise not_npz(path, role, error) from error


def not_npz(path: Path, role: str, error: BaseException) -> InputError:
    return InputError(
        f"{role} data {path} is no .npz of plain arrays: {error}",
        code="E_DATA",
        hint="write it with numpy.savez_compressed(path, NAME=array)",
    )


def _by_input(arrays: dict[str, Array], inputs: Sequence[TensorSpec], path: Path, role: str) -> list[Array]:
    if len(inputs) == 1 and ONE_INPUT in arrays and inputs[0].name not in arrays:
        arrays = {inputs[0].name if name == ONE_INPUT else name: array for name, array in arrays.items()}
    checked_names(arrays, inputs, path, role)
    return [arrays[spec.name] for spec in inputs]


def checked_names(arrays: Iterable[str], inputs: Sequence[TensorSpec], path: Path, role: str) -> None:
    """Raises InputError E_DATA_NAMES where the arrays are not named like the inputs."""
    arrays, names = set(arrays), [spec.name for spec in inputs]
    missing = [name for name in names if name not in arrays]
    extra = sorted(arrays - set(names))
    if missing or extra:
        found = ", ".join(sorted(arrays)) or "nothing"
        raise InputError(
            f"{role} data {path} has {found}; the model's inputs are {_wanted(inputs)}",
            code="E_DATA_NAMES",
            hint=f"name the arrays like the inputs ({', '.join(names)}), and `labels` for class numbers",
        )


def _wanted(inputs: Sequence[TensorSpec]) -> str:
    return ", ".join(f"{spec.name} {spec.dtype} {list(spec.shape)}" for spec in inputs)


def reshaped(array: Array, spec: TensorSpec, where: str) -> Array:
    """[N, *shape], from that or, where the model's batch is 1, from [N, *shape without the batch]. Raises InputError
    E_DATA_SHAPE."""
    shape = spec.fixed_shape()
    if array.ndim == len(shape) + 1 and array.shape[1:] == shape:
        return array
    if shape and shape[0] == 1 and array.ndim == len(shape) and array.shape[1:] == shape[1:]:
        return array[:, None]
    expected = ["N", *shape[1:]] if shape and shape[0] == 1 else ["N", *shape]
    raise InputError(
        f"{where}: shape {list(array.shape)}, expected [{', '.join(map(str, expected))}]", code="E_DATA_SHAPE"
    )


def fitted(array: Array, spec: TensorSpec, where: str) -> Array:
    """One sample, from the input's own shape or, where the model's batch is 1, from that without the batch. Raises
    InputError E_DATA_SHAPE."""
    shape = spec.fixed_shape()
    if array.shape == shape:
        return array
    if shape and shape[0] == 1 and array.shape == shape[1:]:
        return array[None]
    raise InputError(f"{where}: shape {list(array.shape)}, expected {list(shape)}", code="E_DATA_SHAPE")


def cast(array: Array, spec: TensorSpec, where: str) -> Array:
    """The values in the input's dtype. Raises InputError E_DATA_DTYPE, E_DATA_VALUES (they do not fit)."""
    import numpy as np

    if array.dtype.kind not in "biuf":
        raise InputError(f"{where}: dtype {array.dtype}, expected {spec.dtype}", code="E_DATA_DTYPE")
    wanted = np.dtype(spec.dtype)
    if not np.can_cast(array.dtype, wanted, "same_kind"):
        raise InputError(f"{where}: dtype {array.dtype}, expected {spec.dtype}", code="E_DATA_DTYPE")
    with np.errstate(over="ignore"):
        cast = array.astype(wanted)
    if wanted.kind in "iu" and not np.array_equal(cast, array):
        raise InputError(f"{where}: values do not fit into {spec.dtype}", code="E_DATA_VALUES")
    return np.asarray(cast, order="C")  # ascontiguousarray would make a scalar an array


def _checked_values(array: Array, where: str, setting: bool) -> Array:
    import numpy as np

    if len(array) == 0:
        raise InputError(f"{where}: no samples", code="E_DATA_SHAPE")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(f"{where}: holds NaN or infinite values", code="E_DATA_VALUES")
    if setting:
        return array
    if array.size > 1 and bool((array == array.flat[0]).all()):
        raise InputError(
            f"{where}: every value is {array.flat[0]}: no data to judge by", code="E_DATA_VALUES"
        )
    if len(array) > 1 and bool((array == array[:1]).all()):
        raise InputError(f"{where}: all {len(array)} samples are the same", code="E_DATA_VALUES")
    return array


def _checked_labels(labels: Array, count: int, where: str) -> Array:
    import numpy as np

    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) != count:
        raise InputError(
            f"{where}: labels {labels.dtype} {list(labels.shape)}, expected {count} class numbers",
            code="E_DATA_LABELS",
        )
    return labels.astype(np.int64)


def _checked_targets(targets: Array, count: int, where: str) -> Array:
    import numpy as np

    if (
        targets.dtype.kind not in "iuf"
        or targets.ndim < 1
        or len(targets) != count
        or not np.isfinite(targets).all()
    ):
        raise InputError(
            f"{where}: targets {targets.dtype} {list(targets.shape)}, expected {count} finite numbers or arrays of them",
            code="E_DATA_LABELS",
        )
    if bool((targets == targets.flat[0]).all()):
        raise InputError(
            f"{where}: every target is {targets.flat[0]}: no data to judge by", code="E_DATA_VALUES"
        )
    return targets.astype(np.float64)
