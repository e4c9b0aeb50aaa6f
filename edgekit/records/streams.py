"""Several processes at once: part of a record that was measured with `--streams`."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Stream(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One process of a launch. `count`: all its timed inferences; `counted`: those that ended while all streams ran, of
    which `median_us` is. `begin_us`: when the first of them began, on the device's clock; `wall_us`: until the last ended."""

    stream: int
    count: int
    counted: int
    begin_us: float
    wall_us: float
    median_us: float | None = None
    load_us: float | None = None
    first_inference_us: float | None = None
    peak_rss_bytes: int | None = None
    pss_bytes: int | None = None


class Group(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The streams of one launch, and the window in which all of them ran: from the latest begin to the earliest end.
    `overlap_share`: that window over the time from the first begin to the last end."""

    window_begin_us: float
    window_us: float
    overlap_share: float
    streams: tuple[Stream, ...]


class Throughput(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Inferences per second of all streams together, while all of them ran.

    `inferences_per_second`: geometric mean over the launches; `ci95`: Student's t on the logarithms of the launches',
    null with one launch. `overlap_share`: the smallest of any launch. `per_stream_median_us`: of the fastest stream of
    each launch, of the second fastest, ..., the median over the launches.
    """

    unit: Literal["1/s"] = "1/s"
    streams: int
    inferences_per_second: float | None = None
    ci95: tuple[float, float] | None = None
    overlap_share: float | None = None
    per_stream_median_us: tuple[float, ...] = ()
