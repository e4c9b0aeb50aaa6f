"""Memory of a run: from what each launch told to the record's account, and what it does not contain. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence

from edgekit.records import Launch
from edgekit.records.memory import FaultCount, LaunchMemory, Memory, PhaseFaults
from edgekit.runtimes.result import Faults, RunnerResult

NO_ARENA = "the runtime does not tell the size of its arena: model_delta has it, with packed weights and the mapped pages of the file"
PHASES = ("load", "first", "steady")


def launch_memory(result: RunnerResult) -> LaunchMemory:
    """As the runner told it."""
    memory, faults = result.memory, result.faults
    return LaunchMemory(
        rss_start_bytes=memory.rss_start_bytes,
        rss_loaded_bytes=memory.rss_loaded_bytes,
        rss_first_bytes=memory.rss_first_bytes,
        rss_end_bytes=memory.rss_end_bytes,
        model_delta_bytes=memory.model_delta_bytes,
        peak_rss_bytes=memory.peak_rss_bytes,
        pss_start_bytes=memory.pss_start_bytes,
        pss_loaded_bytes=memory.pss_loaded_bytes,
        pss_first_bytes=memory.pss_first_bytes,
        pss_bytes=memory.pss_bytes,
        faults=PhaseFaults(
            load=_counted(faults.load), first=_counted(faults.first), steady=_counted(faults.steady)
        ),
    )


def _counted(faults: Faults | None) -> FaultCount:
    return FaultCount() if faults is None else FaultCount(minor=faults.minor, major=faults.major)


def memory_sum(parts: Sequence[LaunchMemory]) -> LaunchMemory:
    """Of processes that ran together; what one does not tell is not known of all: a sum without it would be too small."""
    return _put_together(parts, _sum)


def memory_part(launches: Iterable[Launch], requested_accelerator: str | None = None) -> Memory:
    """The largest peak over the launches, the median of what changes from launch to launch."""
    parts = [launch.memory for launch in launches if launch.ok]
    middle, largest = _put_together(parts, _middle), _put_together(parts, _largest)
    return Memory(
        model_delta=middle.model_delta_bytes,
        peak_rss=largest.peak_rss_bytes,
        peak_pss=largest.pss_bytes,
        rss_start=middle.rss_start_bytes,
        rss_loaded=middle.rss_loaded_bytes,
        rss_first=middle.rss_first_bytes,
        rss_steady=middle.rss_end_bytes,
        pss_start=middle.pss_start_bytes,
        pss_loaded=middle.pss_loaded_bytes,
        pss_first=middle.pss_first_bytes,
        faults=middle.faults,
        unavailable={"arena": NO_ARENA},
        excludes=excludes(requested_accelerator),
    )


def excludes(requested_accelerator: str | None) -> tuple[str, ...]:
    """What resident memory of a process cannot show, where an accelerator was asked for."""
    if requested_accelerator in (None, "cpu"):
        return ()
    return (
        f"memory that the driver of the {requested_accelerator} holds for the model: it may be on the device itself, or in "
        "buffers of the kernel, and is no part of the process",
    )


Together = Callable[[Sequence[int | None]], int | None]


def _put_together(parts: Sequence[LaunchMemory], how: Together) -> LaunchMemory:
    sizes = {
        name: how([getattr(part, name) for part in parts])
        for name in LaunchMemory.__struct_fields__
        if name != "faults"
    }
    counts = {
        phase: FaultCount(
            minor=how([getattr(part.faults, phase).minor for part in parts]),
            major=how([getattr(part.faults, phase).major for part in parts]),
        )
        for phase in PHASES
    }
    return LaunchMemory(**sizes, faults=PhaseFaults(**counts))


def _sum(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _middle(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return int(statistics.median(known)) if known else None


def _largest(values: Sequence[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)
