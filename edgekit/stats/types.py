"""What a summary of latencies holds. It is the `latency` of a record; `edgekit.records` re-exports it."""

from __future__ import annotations

from typing import Literal

import msgspec


class Latency(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Latency of one inference, in microseconds, over all launches of a run.

    Every sample counts: nothing is trimmed. A value that cannot be known is null and, where that is not
    plain, `unavailable` says why, by field name. Formulas: `edgekit.stats.summarize`.
    """

    unit: Literal["us"] = "us"
    count: int = 0
    median: float | None = None
    mean: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    p999: float | None = None
    min: float | None = None
    max: float | None = None
    stddev: float | None = None
    mad: float | None = None
    ci95_low: float | None = None
    ci95_high: float | None = None
    between_launch_cv: float | None = None
    first_inference: float | None = None
    load: float | None = None
    launches: int = 0
    outliers: int = 0
    drift: float | None = None
    autocorrelation: float | None = None
    unavailable: dict[str, str] = {}
