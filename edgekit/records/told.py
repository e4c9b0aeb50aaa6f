"""What a runtime told of itself, in a record: a tool's own summary of a launch, and the table of operators."""

from __future__ import annotations

from msgspec import Struct

from edgekit.parse.benchmark_run import LatencySummary
from edgekit.parse.op_profile import OpRow


class Told(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The summary that a tool gave of its own launch, as it is: where it keeps its samples, nobody can compute it
    again.

    `footprint`: growth of its process since its start, as it says.
    """

    latency: LatencySummary
    warmup: LatencySummary | None = None
    init_footprint_bytes: int | None = None
    overall_footprint_bytes: int | None = None


class Operators(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Operators of one launch of its own, whose latency is not the model's: timing each of them slows the run.

    `rows` in the order in which they ran, their shares add up to 1; `inner`: those inside of a row. Times are per
    inference. `total_us`: sum of the rows' medians where all have one, else of their averages: what the shares are of; null where
    none is told. `runs`: inferences profiled. `argv`: of that launch.
    """

    runtime: str
    rows: tuple[OpRow, ...]
    inner: tuple[OpRow, ...] = ()
    runs: int | None = None
    total_us: float | None = None
    argv: tuple[str, ...] = ()
