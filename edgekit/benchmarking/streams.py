"""Several processes at once as one launch: what counts is what happened while all of them ran. Pure.

Processes begin and end a little apart. Between the latest begin and the earliest end all of them load the device; before
and after it is less loaded, and an inference there says nothing about so many streams. Those are kept (as series beside
the record) and not counted. The launch of all streams stays the unit of repetition: streams of one launch share its
moment, the caches and the heat, so they are no repetitions of each other.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import structs

from edgekit.benchmarking.memory import memory_sum
from edgekit.errors import InputError, RemoteError
from edgekit.records import Launch, LoadTimes, Series, Usage
from edgekit.records.streams import Group, Stream, Throughput
from edgekit.runtimes.base import Runtime
from edgekit.stats.latency import median_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Together:
    """The streams of one launch. `latencies`: of the inferences that ended while all ran, in the order of their ends.

    `pace`: what steadiness is judged on: each latency over its stream's median, so that streams which differ (another
    core) are no unsteadiness, scaled so that all add up to the window, as the latencies of one process would. Its mean is
    the time per inference of the whole group. `ends_us`: of all inferences of each stream, on the device's clock.
    """

    window_begin_us: float
    window_us: float
    overlap_share: float
    inferences_per_second: float
    latencies: Floats
    pace: Floats
    ends_us: tuple[Floats, ...]
    counted: tuple[int, ...]
    medians_us: tuple[float | None, ...]


def together(begins_us: Sequence[float], walls_us: Sequence[float], samples: Sequence[Floats]) -> Together:
    """Put streams on one clock. `begins_us`, `walls_us`: when the first timed inference of each began, and the time until
    its last ended; `samples`: latencies of each, in order, microseconds.

    Throughput is the inferences done in the window over its length; one that lies in it only in part counts with that
    part, so that a few slow inferences are not rounded. Raises RemoteError E_RUNNER_STREAMS where the streams never ran all
    at once.
    """
    import numpy as np

    ends = [_ends(*one) for one in zip(begins_us, walls_us, samples, strict=True)]
    begin, end = max(begins_us), min(float(one[-1]) for one in ends)
    span = max(float(one[-1]) for one in ends) - min(begins_us)
    if end <= begin:
        raise RemoteError(
            f"the {len(samples)} streams never ran all at once",
            code="E_RUNNER_STREAMS",
            hint="raise --min-seconds, or ask for fewer --streams",
        )
    inside = [(one > begin) & (one <= end) for one in ends]
    medians = [
        float(np.median(own[mask])) if mask.any() else None for own, mask in zip(samples, inside, strict=True)
    ]
    counted = [own[mask] for own, mask in zip(samples, inside, strict=True)]
    latencies = np.concatenate(counted)
    order = np.argsort(
        np.concatenate([one[mask] for one, mask in zip(ends, inside, strict=True)]), kind="stable"
    )
    relative = np.concatenate([own / (median or 1.0) for own, median in zip(counted, medians, strict=True)])[
        order
    ]
    share = (end - begin) / float(relative.sum()) if relative.any() else 0.0
    done = math.fsum(_inside(own, one, begin, end) for own, one in zip(samples, ends, strict=True))
    return Together(
        window_begin_us=begin,
        window_us=end - begin,
        overlap_share=min(1.0, (end - begin) / span),
        inferences_per_second=done / (end - begin) * 1e6,
        latencies=latencies[order],
        pace=relative * share,
        ends_us=tuple(ends),
        counted=tuple(one.size for one in counted),
        medians_us=tuple(medians),
    )


def _ends(begin_us: float, wall_us: float, samples: Floats) -> Floats:
    """When each inference ended; what passed between inferences is spread evenly."""
    import numpy as np

    ends: Floats = begin_us + np.cumsum(samples)
    gaps_us = max(0.0, begin_us + wall_us - float(ends[-1]))
    return ends + gaps_us * np.arange(1, samples.size + 1) / samples.size


def _inside(samples: Floats, ends: Floats, begin_us: float, end_us: float) -> float:
    """Inferences of one stream that were done in the window, parts of them included."""
    import numpy as np

    within = np.minimum(ends, end_us) - np.maximum(ends - samples, begin_us)
    whole = np.maximum(samples, np.finfo(np.float64).tiny)
    return float(np.clip(within / whole, 0.0, 1.0).sum())


def group_launch(parts: Sequence[Launch], found: Together) -> Launch:
    """One launch of what its streams are; `parts`: each stream as a launch of its own."""
    import numpy as np

    first = parts[0]
    accelerators = {part.actual_accelerator for part in parts}
    walls = [part.usage.wall_us for part in parts if part.usage.wall_us is not None]
    usage = {name: _sum([getattr(part.usage, name) for part in parts]) for name in Usage.__struct_fields__}
    return structs.replace(
        first,
        load=LoadTimes(),
        load_us=_middle([part.load_us for part in parts]),
        first_inference_us=_middle([part.first_inference_us for part in parts]),
        median_us=float(np.median(found.latencies)) if found.latencies.size else None,
        mean_us=float(np.mean(found.latencies)) if found.latencies.size else None,
        count=int(found.latencies.size),
        warmup_iterations=min((part.warmup_iterations or 0 for part in parts), default=None),
        begin_us=found.window_begin_us,
        wall_us=found.window_us,
        cpu_us=math.fsum(part.cpu_us or 0.0 for part in parts),
        clock_resolution_ns=max((part.clock_resolution_ns or 0 for part in parts), default=0) or None,
        actual_accelerator=accelerators.pop() if len(accelerators) == 1 else None,
        fully_accelerated=_all([part.fully_accelerated for part in parts]),
        memory=memory_sum([part.memory for part in parts]),
        usage=Usage(**{**usage, "wall_us": max(walls, default=None)}),
        inferences_per_second=found.inferences_per_second,
        group=Group(
            window_begin_us=found.window_begin_us,
            window_us=found.window_us,
            overlap_share=found.overlap_share,
            streams=tuple(_stream(number, part, found) for number, part in enumerate(parts)),
        ),
    )


def _stream(number: int, part: Launch, found: Together) -> Stream:
    return Stream(
        stream=number,
        count=part.count,
        counted=found.counted[number],
        begin_us=part.begin_us or 0.0,
        wall_us=part.wall_us or 0.0,
        median_us=found.medians_us[number],
        load_us=part.load_us,
        first_inference_us=part.first_inference_us,
        peak_rss_bytes=part.memory.peak_rss_bytes,
        pss_bytes=part.memory.pss_bytes,
    )


def stream_series(launch: int, samples: Sequence[Floats], found: Together) -> tuple[Series, ...]:
    """Every latency of every stream of a launch, counted or not, at the moment of its end."""
    import numpy as np

    return tuple(
        Series(
            name=f"launch {launch + 1}, stream {number + 1}: latency",
            unit="us",
            path="",
            t_us=ends,
            value=own.astype(np.float64),
        )
        for number, (own, ends) in enumerate(zip(samples, found.ends_us, strict=True))
    )


def throughput_part(launches: Sequence[Launch], streams: int | None) -> Throughput | None:
    """Over the launches that ended well; None where no streams were asked for."""
    if streams is None:
        return None
    groups = [launch for launch in launches if launch.ok and launch.group is not None]
    rates = [one.inferences_per_second for one in groups if one.inferences_per_second]
    low, high = median_interval(rates)
    ranked = [
        sorted(stream.median_us for stream in one.group.streams if stream.median_us is not None)
        for one in groups
        if one.group is not None
    ]
    whole = [row for row in ranked if len(row) == streams]
    return Throughput(
        streams=streams,
        inferences_per_second=math.exp(statistics.fmean(map(math.log, rates))) if rates else None,
        ci95=(low, high) if low is not None and high is not None else None,
        overlap_share=min((one.group.overlap_share for one in groups if one.group is not None), default=None),
        per_stream_median_us=tuple(statistics.median(place) for place in zip(*whole, strict=True)),
    )


def check_streams(runtime: object, name: str, streams: int | None) -> None:
    """Raises InputError E_STREAMS where the runtime is a tool: it has its own loop, and cannot wait for others."""
    if streams is not None and not isinstance(runtime, Runtime):
        raise InputError(
            f"{name} is a tool with a loop of its own: several of it cannot be made to begin together",
            code="E_STREAMS",
            hint="leave out --streams, or choose one of edgekit's runners: litert, onnxruntime, litert-python",
        )


def _sum(values: Sequence[int | None]) -> int | None:
    """None where one is not known: a sum without it would be too small."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _middle(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _all(values: Sequence[bool | None]) -> bool | None:
    return False if False in values else None if None in values else True
