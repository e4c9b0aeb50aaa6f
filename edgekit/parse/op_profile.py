"""One table of operators and their times, for every runtime that has one. Pure data; records may keep it as it is.

A profile slows what it measures (each operator is timed), so its sum is not the model's latency: take shares from
it, and latency from a run without it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from statistics import median
from typing import Final, Literal, TypeVar

from msgspec import Struct, structs

Unit = Literal["cpu", "gpu", "npu", "dsp"]
Key = TypeVar("Key", bound=Hashable)

_DELEGATE_UNITS: Final[dict[str, Unit]] = {
    "tflitexnnpackdelegate": "cpu",
    "tflitegpudelegatev2": "gpu",
    "tflitegpudelegate": "gpu",
    "tflitehexagondelegate": "dsp",
    "tfliteedgetpudelegate": "npu",
}


class OpRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One operator of the graph as it ran. None is unknown.

    `op` is the kind of operator as the runtime calls it (CONV_2D, a delegate, a TensorRT layer); `node` its name in
    the graph, mostly that of its output; `index` its number there. `unit`: what it ran on, None where the tool does
    not tell (NNAPI may be anything). `calls`: per inference. Times are per inference, all calls together. `share` is
    of the sum of all rows, 0 to 1. `macs`: multiplications with addition of one inference; `bytes`: inputs, weights
    and outputs, each counted once.
    """

    op: str
    node: str | None = None
    index: int | None = None
    unit: Unit | None = None
    calls: float | None = None
    avg_us: float | None = None
    median_us: float | None = None
    share: float | None = None
    macs: int | None = None
    bytes: int | None = None


class OpProfile(Struct, frozen=True, kw_only=True):
    """`rows` are the graph's operators in the order in which they ran; their shares add up to 1.

    `inner`: operators inside of a delegate or of a subgraph (a loop's body), whose time is in one of the `rows`
    already. `runs`: inferences profiled.
    """

    rows: tuple[OpRow, ...]
    inner: tuple[OpRow, ...] = ()
    runs: int | None = None


def op_profile(rows: Iterable[OpRow], inner: Iterable[OpRow] = (), runs: int | None = None) -> OpProfile:
    """A profile whose shares are of the sum of the rows' medians where all have one (one slow inference does not rule
    these), else of their averages, whatever the tool's own percentages are of."""
    return OpProfile(rows=_shared(tuple(rows)), inner=_shared(tuple(inner)), runs=runs)


def timed_rows(runs: Sequence[Sequence[tuple[Key, float]]], row: Callable[[Key], OpRow]) -> list[OpRow]:
    """One row for each operator, in the order in which they come, with its times over all inferences.

    `runs`: for each inference, in order, which operator ran and how many microseconds it took; an operator may come
    several times. An inference that passed an operator over took 0 in it. `row` makes a row without times.
    """
    totals: dict[Key, list[float]] = {}
    calls: Counter[Key] = Counter()
    for place, run in enumerate(runs):
        for key, took_us in run:
            totals.setdefault(key, [0.0] * len(runs))[place] += took_us
            calls[key] += 1
    return [
        structs.replace(
            row(key),
            calls=calls[key] / len(runs),
            avg_us=round(sum(took) / len(runs), 6),
            median_us=round(median(took), 6),
        )
        for key, took in totals.items()
    ]


def _shared(rows: tuple[OpRow, ...]) -> tuple[OpRow, ...]:
    times_us = row_times_us(rows)
    total_us = sum(time_us for time_us in times_us if time_us is not None)
    return tuple(
        structs.replace(row, share=None if time_us is None or total_us <= 0 else time_us / total_us)
        for row, time_us in zip(rows, times_us, strict=True)
    )


def row_times_us(rows: Sequence[OpRow]) -> list[float | None]:
    """What stands for each row: its median where all rows have one, else its average. None where that is not told."""
    if rows and all(row.median_us is not None for row in rows):
        return [row.median_us for row in rows]
    return [row.avg_us for row in rows]


def unit_of_tflite(op: str) -> Unit | None:
    """What an operator of a TFLite graph ran on: delegates are rows of their own, all else is the CPU's."""
    name = op.lower()
    if name in _DELEGATE_UNITS:
        return _DELEGATE_UNITS[name]
    return None if "delegate" in name else "cpu"
