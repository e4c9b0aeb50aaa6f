"""What minutes of load do to a device; part of a record that was measured with `--sustained`."""

from __future__ import annotations

from msgspec import Struct


class Minute(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`minute` counts from 0 at the first timed iteration. `frequency_khz`: median of the fastest CPU's;
    `temperature_mc`: highest reading of any sensor; null where nothing could be read."""

    minute: int
    count: int
    median_us: float | None = None
    p95_us: float | None = None
    inferences_per_s: float | None = None
    frequency_khz: float | None = None
    temperature_mc: float | None = None


class Sustained(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`last_over_first`: median latency of the last whole minute over that of the first; above 1 is slower. Null
    with fewer than two whole minutes."""

    minutes: tuple[Minute, ...]
    last_over_first: float | None = None
    worst_over_first: float | None = None
