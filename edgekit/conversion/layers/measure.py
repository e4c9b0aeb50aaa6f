"""How far paired tensors are apart, gathered inference by inference."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.conversion.layers.layout import Layout

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@dataclass
class Errors:
    """Of one pair, over the inferences so far; computed in float64 from the values that are finite in the source.

    SNR is 10 log10(sum of source^2 / sum of difference^2). `lost`: values that are finite in the source and not in
    the target. `unlike`: inferences in which a value is missing or has another number of elements.
    """

    layout: Layout
    elements: int = 0
    lost: int = 0
    unlike: int = 0
    max_abs_error: float = 0.0
    largest: float = 0.0
    least: float = math.inf
    most: float = -math.inf
    _error: float = 0.0
    _source: float = 0.0
    _target: float = 0.0
    _product: float = 0.0

    def add(self, source: Array | None, target: Array | None) -> None:
        import numpy as np

        if source is None or target is None or source.size != target.size:
            self.unlike += 1
            return
        a = self.layout.apply(source, target.shape).astype(np.float64).ravel()
        b = target.astype(np.float64).ravel()
        kept = np.isfinite(a)
        self.lost += int(np.count_nonzero(kept & ~np.isfinite(b)))
        kept &= np.isfinite(b)
        a, b = a[kept], b[kept]
        self.elements += a.size
        if not a.size:
            return
        apart = b - a
        self.max_abs_error = max(self.max_abs_error, float(np.abs(apart).max()))
        self.largest = max(self.largest, float(np.abs(a).max()))
        self.least, self.most = min(self.least, float(a.min())), max(self.most, float(a.max()))
        self._error += float(apart @ apart)
        self._source += float(a @ a)
        self._target += float(b @ b)
        self._product += float(a @ b)

    @property
    def rms_error(self) -> float | None:
        return math.sqrt(self._error / self.elements) if self.elements else None

    @property
    def relative_error(self) -> float | None:
        """Largest error over the source's largest magnitude; None where there is nothing to divide by."""
        if self.lost or not self.elements:
            return None
        if self.max_abs_error == 0:
            return 0.0
        return self.max_abs_error / self.largest if self.largest else None

    @property
    def snr_db(self) -> float | None:
        return 10 * math.log10(self._source / self._error) if self._error and self._source else None

    @property
    def cosine(self) -> float | None:
        norms = math.sqrt(self._source * self._target)
        return self._product / norms if norms else None

    def degenerate(self) -> str | None:
        """Why these figures tell little; None where they tell enough."""
        if self.unlike:
            return "not seen in every inference"
        if not self.elements:
            return "no finite values"
        return f"every value is {self.most:g}" if self.least == self.most else None

    def is_bad(self, tolerance: float) -> bool:
        """Further apart than this share of the source's largest magnitude, or no longer finite."""
        if self.lost:
            return True
        apart = self.relative_error
        return self.max_abs_error > tolerance if apart is None else apart > tolerance
