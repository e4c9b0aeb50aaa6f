"""What a summary of latencies holds. It is the `latency` of a record; `edgekit.records` re-exports it."""

from __future__ import annotations

from typing import Literal

import msgspec


class Stability(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether latency kept still during a run. Shares are fractions: 0.03 is 3 %. Null: could not be told, or (for
    `step` and `modes`) none was seen. Formulas: `edgekit.stats.stability`.

    - `effective_count`: independent samples that all samples are worth, autocorrelation taken off.
    - `run_drift`: growth of latency over the run's time under load, with its 98.5 % interval; or over the whole time,
      pauses between launches included, where that is certain and larger.
      `run_drift_certain`: 0 lies outside a 99.8 % interval.
    - `step`: change of level within launch `step_launch`, at iteration `step_iteration`.
    - `modes_apart`: distance of two modes within launches, `modes_share` of the samples in the smaller one;
      `modes_switches`: changes between them, in the launch that shows them best.
    - `launch_spread`: slowest launch over fastest, minus 1. `launch_gap`: the largest jump between neighbours when
      launches are sorted by their medians; it parts `launches_fast` from `launches_slow`.
    - `never_steady`: launches, of the `judged_launches` that were long enough to tell, without a steady end.
    """

    effective_count: float | None = None
    run_drift: float | None = None
    run_drift_low: float | None = None
    run_drift_high: float | None = None
    run_drift_certain: bool | None = None
    step: float | None = None
    step_launch: int | None = None
    step_iteration: int | None = None
    modes_apart: float | None = None
    modes_share: float | None = None
    modes_switches: int | None = None
    launch_spread: float | None = None
    launch_gap: float | None = None
    launches_fast: int | None = None
    launches_slow: int | None = None
    launches_disagree: bool | None = None
    judged_launches: int = 0
    never_steady: int = 0


class Latency(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Latency of one inference, in microseconds, over all launches of a run.

    Every sample counts: nothing is trimmed. A value that cannot be known is null and, where that is not
    plain, `unavailable` says why, by field name. Formulas: `edgekit.stats.summarize`.

    `source`: "samples", or "summaries" where the tool that measured keeps its samples and only told a summary of each
    launch (`edgekit.benchmarking.summaries`); `resolution_us` is then the last digit that it prints. `ci95_of`: whether
    the interval and `between_launch_cv` are of the launches' medians or, of a tool that tells averages only, of their
    means.
    """

    unit: Literal["us"] = "us"
    source: Literal["samples", "summaries"] = "samples"
    resolution_us: float | None = None
    ci95_of: Literal["median", "mean"] = "median"
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
    outliers: int | None = 0
    drift: float | None = None
    autocorrelation: float | None = None
    stability: Stability = Stability()
    unavailable: dict[str, str] = {}
