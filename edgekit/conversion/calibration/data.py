"""Calibration data of any kind: checked once from its first to its last sample, then streamed as often as it is needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count as counted
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edgekit.conversion.calibration.npz import NpzFeed
from edgekit.conversion.datasets import cast, fitted
from edgekit.conversion.extras import is_function
from edgekit.errors import InputError
from edgekit.events import Event, Sink, ignore
from edgekit.models.info import TensorSpec

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

MAX_SAMPLES = 10_000_000
"""A function that gives more does not end, as far as one can tell."""
_EVERY = 100
_APART = 4.0
"""So many times as wide is no accident: pixels from 0 to 255 beside values from 0 to 1."""


class Feed(Protocol):
    """Where samples come from. Iterated anew it gives the same samples again: raw arrays in model order."""

    name: str
    where: str
    """For messages."""
    count: int | None
    """None where that is known at the end only."""

    @property
    def sha256(self) -> str: ...
    def __iter__(self) -> Iterator[tuple[Array, ...]]: ...


@dataclass(frozen=True)
class CalibrationData:
    """Samples for a model, each the model's inputs in order with their own shapes and dtypes. Only one is held at a
    time. `least`, `most`: of each input over all samples."""

    name: str
    sha256: str
    specs: tuple[TensorSpec, ...]
    feed: Feed
    count: int
    least: tuple[float, ...]
    most: tuple[float, ...]

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[Array, ...]]:
        """Raises InputError E_DATA_CHANGED where there are not as many as there were."""
        given = 0
        for index, sample in enumerate(self.feed):
            given += 1
            yield _fitted(sample, self.specs, self.feed.where, index)
        if given != self.count:
            raise InputError(
                f"{self.feed.where}: {given} samples now, {self.count} before",
                code="E_DATA_CHANGED",
                hint="it has to give the same samples each time",
            )

    def pick(self, indices: Sequence[int]) -> list[tuple[Array, ...]]:
        """The samples with these indices, which ascend."""
        wanted, last, picked = set(indices), max(indices, default=-1), []
        for index, sample in enumerate(self.feed):
            if index in wanted:
                picked.append(_fitted(sample, self.specs, self.feed.where, index))
            if index >= last:
                break
        return picked


def load_calibration(
    given: str | Path,
    inputs: Sequence[TensorSpec],
    *,
    preprocess: str | Path | None = None,
    trust: bool = False,
    sink: Sink = ignore,
) -> CalibrationData:
    """Open and check calibration data: an .npz file, a folder of images (`preprocess`: its specification), or
    `package.module:function`, which runs only with `trust`.

    Raises InputError: E_DATA_MISSING, E_DATA, E_DATA_NAMES, E_DATA_SHAPE, E_DATA_DTYPE, E_DATA_VALUES (NaN, infinite, all
    samples the same), E_DATA_PREPROCESS, E_UNTRUSTED, E_CALIBRATION (the function failed); MissingExtra.
    """
    return _checked(_feed(given, inputs, preprocess, trust), tuple(inputs), sink)


def far_apart(calibration: CalibrationData, arrays: Sequence[Array]) -> tuple[str, ...]:
    """A note for each float input that is several times as wide in other data (`arrays`, in model order) as in the
    calibration data, or the other way round: one of them is scaled, the other is not."""
    notes = []
    for index, (spec, array) in enumerate(zip(calibration.specs, arrays, strict=True)):
        if array.dtype.kind != "f" or not array.size:
            continue
        least, most = float(array.min()), float(array.max())
        here, there = calibration.most[index] - calibration.least[index], most - least
        if max(here, there) > _APART * min(here, there):
            notes.append(
                f"input '{spec.name}' goes from {calibration.least[index]:.4g} to {calibration.most[index]:.4g} in the"
                f" calibration data and from {least:.4g} to {most:.4g} in the evaluation data: are both scaled alike?"
            )
    return tuple(notes)


def _feed(
    given: str | Path, inputs: Sequence[TensorSpec], preprocess: str | Path | None, trust: bool
) -> Feed:
    from edgekit.conversion.calibration.function import FunctionFeed
    from edgekit.conversion.calibration.images import ImageFeed

    path = Path(given)
    if path.is_dir():
        return ImageFeed(path, inputs, preprocess)
    if preprocess is not None:
        raise InputError(
            f"{given} is no folder: --preprocess is for images",
            code="E_DATA_PREPROCESS",
            hint="leave it out, or give a folder of images with --calibration",
        )
    if is_function(str(given)) and not path.exists():
        return FunctionFeed(str(given), inputs, trust=trust)
    return NpzFeed(path, inputs, "calibration")


def _checked(feed: Feed, specs: tuple[TensorSpec, ...], sink: Sink) -> CalibrationData:
    """One pass over everything."""
    watches = [_Watch(spec.name) for spec in specs]
    samples = 0
    for index, raw in zip(counted(), feed, strict=False):
        if index >= MAX_SAMPLES:
            raise InputError(f"{feed.where} has more than {MAX_SAMPLES} samples", code="E_DATA")
        for watch, array in zip(watches, _fitted(raw, specs, feed.where, index), strict=True):
            watch.see(array, feed.where, index)
        samples = index + 1
        if index % _EVERY == 0:
            sink(Event("check data", done=samples, total=feed.count, unit="samples"))
    sink(Event("check data", done=samples, total=samples, unit="samples"))
    if samples == 0:
        raise InputError(f"{feed.where}: no samples", code="E_DATA_SHAPE")
    for watch in watches:
        watch.judge(feed.where, samples, setting_allowed=len(specs) > 1)
    return CalibrationData(
        name=feed.name,
        sha256=feed.sha256,
        specs=specs,
        feed=feed,
        count=samples,
        least=tuple(watch.least for watch in watches),
        most=tuple(watch.most for watch in watches),
    )


def _fitted(
    sample: tuple[Array, ...], specs: Sequence[TensorSpec], where: str, index: int
) -> tuple[Array, ...]:
    if len(sample) != len(specs):
        raise InputError(
            f"{where}: sample {index} has {len(sample)} arrays, the model has {len(specs)} inputs",
            code="E_DATA_NAMES",
        )
    fit = []
    for array, spec in zip(sample, specs, strict=True):
        place = f"{where}, '{spec.name}', sample {index}"
        fit.append(cast(fitted(array, spec, place), spec, place))
    return tuple(fit)


@dataclass
class _Watch:
    """What can be said of one input while its samples go by."""

    name: str
    first: Array | None = None
    one_value: bool = True
    one_sample: bool = True
    least: float = float("inf")
    most: float = float("-inf")

    def see(self, array: Array, where: str, index: int) -> None:
        import numpy as np

        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InputError(
                f"{where}, '{self.name}': sample {index} holds NaN or infinite values", code="E_DATA_VALUES"
            )
        if self.first is None:
            self.first = array.copy()
        if not array.size:
            return
        self.least, self.most = min(self.least, float(array.min())), max(self.most, float(array.max()))
        self.one_sample = self.one_sample and bool(np.array_equal(array, self.first))
        self.one_value = self.least == self.most

    def judge(self, where: str, samples: int, *, setting_allowed: bool) -> None:
        """A setting beside the data (a sampling rate) may well be the same in every sample."""
        size = 0 if self.first is None else self.first.size
        if setting_allowed and size == 1:
            return
        if samples * size > 1 and self.one_value:
            raise InputError(
                f"{where}, '{self.name}': every value is {self.least:g}: no data to judge by",
                code="E_DATA_VALUES",
            )
        if samples > 1 and self.one_sample:
            raise InputError(
                f"{where}, '{self.name}': all {samples} samples are the same", code="E_DATA_VALUES"
            )
