"""How far two sets of outputs are apart: sums gathered sample by sample, so memory does not grow. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgekit.models.manifest import OutputError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

LEAST_STD = 1e-3
"""Outputs that vary less than this over all samples and elements tell nothing about a conversion."""


@dataclass
class OutputGatherer:
    """Source and result of one output. Computed in float64.

    SNR is 10 log10(sum of source^2 / sum of difference^2). A flip is a sample whose argmax over the last axis
    differs anywhere.
    """

    name: str
    samples: int = 0
    flips: int = 0
    elements: int = 0
    max_abs_error: float = 0.0
    largest: float = 0.0
    _squared_error: float = 0.0
    _squared_source: float = 0.0
    _squared_result: float = 0.0
    _product: float = 0.0
    _mean: float = 0.0
    _spread: float = 0.0
    _has_classes: bool = True
    _first: Array | None = None
    _varies: bool = False
    problems: set[str] = field(default_factory=set)

    def add(self, source: Array, result: Array) -> None:
        """One sample's output before and after. A shape that differs is a problem, not an exception."""
        import numpy as np

        self.samples += 1
        if source.shape != result.shape:
            self.problems.add(f"shape {list(source.shape)} became {list(result.shape)}")
            return
        a, b = source.astype(np.float64).ravel(), result.astype(np.float64).ravel()
        if not a.size:
            return
        if not np.isfinite(a).all():
            self.problems.add("the source gives NaN or infinite values")
            return
        if not np.isfinite(b).all():
            self.problems.add("the result gives NaN or infinite values")
            return
        if self._first is None:
            self._first = a
        else:
            self._varies = self._varies or not np.array_equal(a, self._first)
        self._gather(a, b)
        if source.ndim and source.shape[-1] > 1:
            self.flips += bool((source.argmax(axis=-1) != result.argmax(axis=-1)).any())
        else:
            self._has_classes = False

    def _gather(self, a: Array, b: Array) -> None:
        import numpy as np

        difference = b - a
        self.max_abs_error = max(self.max_abs_error, float(np.abs(difference).max()))
        self.largest = max(self.largest, float(np.abs(a).max()))
        self._squared_error += float(difference @ difference)
        self._squared_source += float(a @ a)
        self._squared_result += float(b @ b)
        self._product += float(a @ b)
        # Chan's update of mean and sum of squared deviations, one block at a time
        mean, total = float(a.mean()), self.elements + a.size
        delta = mean - self._mean
        self._spread += float(((a - mean) ** 2).sum()) + delta**2 * self.elements * a.size / total
        self._mean += delta * a.size / total
        self.elements = total

    def degenerate(self) -> str | None:
        """Why the source's output is too poor to judge by; None where it is not."""
        if not self.elements:
            return "no values"
        std = math.sqrt(self._spread / self.elements)
        if std == 0:
            return f"every value is {self._mean:g}"
        if std < LEAST_STD:
            return f"standard deviation {std:.2g} is below {LEAST_STD:g}"
        if self.samples > 1 and not self._varies:
            return "the same for every input"
        return None

    def result(self) -> OutputError:
        if self.problems or not self.elements:
            return OutputError(
                name=self.name,
                max_abs_error=None,
                rms_error=None,
                relative_error=None,
                snr_db=None,
                cosine=None,
                flips=None,
                samples=self.samples,
                largest_output=self.largest,
                degenerate="; ".join(sorted(self.problems)) or "no values",
            )
        norms = math.sqrt(self._squared_source * self._squared_result)
        noisy = self._squared_error > 0 and self._squared_source > 0
        return OutputError(
            name=self.name,
            max_abs_error=self.max_abs_error,
            rms_error=math.sqrt(self._squared_error / self.elements),
            relative_error=self.max_abs_error / self.largest if self.largest else None,
            snr_db=10 * math.log10(self._squared_source / self._squared_error) if noisy else None,
            cosine=self._product / norms if norms else None,
            flips=self.flips if self._has_classes else None,
            samples=self.samples,
            largest_output=self.largest,
            degenerate=self.degenerate(),
        )
