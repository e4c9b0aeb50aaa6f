"""Attempts of a rescue: a model made again in another way, and verified."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edgekit.conversion.job import Job, Result
from edgekit.conversion.layers.quantized import MAX_SAMPLES
from edgekit.conversion.recipes import Recipe
from edgekit.conversion.samples import Samples
from edgekit.conversion.targets.base import Prepared
from edgekit.errors import VerificationError
from edgekit.events import Event
from edgekit.models.manifest import Verification

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Outcome:
    """A result, its verification, and what was done for it in words."""

    result: Result
    verification: Verification
    notes: tuple[str, ...] = ()


class Attempt(Protocol):
    def __call__(self, prepared: Prepared, recipe: Recipe, edit: Edit | None = None) -> Outcome:
        """Make a model of another float file, by another recipe, or with its file edited, and verify it. Raises
        VerificationError, ToolError."""


Edit = Callable[[bytes], bytes]


class Tries:
    """Attempts, each in a folder of its own: the file of an earlier one is still needed."""

    def __init__(self, job: Job, attempt: Attempt, folder: Path) -> None:
        self._job, self._attempt, self._folder, self._count = job, attempt, folder, 0

    def __call__(self, prepared: Prepared, recipe: Recipe, edit: Edit | None = None) -> Outcome | None:
        self._count += 1
        folder = self._folder / f"rescue-{self._count}"
        folder.mkdir()
        try:
            apart = replace(prepared, request=replace(prepared.request, folder=folder))
            made = self._attempt(apart, recipe, edit)
        except VerificationError as error:
            self._job.sink(Event("verify", f"rescue, attempt {self._count}: {error.message}"))
            return None
        self._job.sink(Event("verify", f"rescue, attempt {self._count}: {short(made.verification)}"))
        return made


def first_samples(job: Job, samples: Samples, result: Result, count: int = MAX_SAMPLES) -> list[list[Array]]:
    """The first samples as the result takes them, of the calibration data where there are some."""
    data = job.calibration if job.calibration is not None else samples.inputs
    return [result.pairing.to_result(sample) for sample in islice(data, count)]


def short(verification: Verification) -> str:
    found = verification.accuracy
    parts = [] if found is None else [f"{found.metric} {found.value:.4f} (source {found.source_value:.4f})"]
    parts += [] if verification.snr_db is None else [f"SNR {verification.snr_db:.1f} dB"]
    return ", ".join(parts) or "; ".join(verification.reasons)
