"""What held the device back, or was changed there, as its own tools tell: evidence in words for the verdict. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.devices.sampling import COOLING
from edgekit.devices.telemetry import Snapshot
from edgekit.parse.jetson_clocks import ClockRange, JetsonClocks
from edgekit.records import Launch, TelemetryPoint


def doubts_of(
    before: Snapshot, after: Snapshot, telemetry: Sequence[TelemetryPoint], launches: Sequence[Launch]
) -> tuple[str, ...]:
    """Reasons for "suspect"."""
    return (*_slowed(telemetry, launches), *_changed(before, after))


def notes_of(after: Snapshot) -> tuple[str, ...]:
    """What is no reason, and good to know."""
    notes = []
    if after.status_overridden:
        notes.append(
            "Android's thermal status was set by hand (`cmd thermalservice reset` undoes it): it says nothing"
        )
    clocks = after.clocks
    if clocks is not None and not clocks.fixed:
        gpu = f", the GPU's from {_megahertz(clocks.gpu)}" if clocks.gpu and not clocks.gpu.fixed else ""
        notes.append(f"the clocks are not fixed{gpu} (`jetson_clocks` on the device fixes them)")
    return tuple(notes)


def mean_frequencies_khz(before: Snapshot, after: Snapshot) -> dict[str, int]:
    """Of each policy from one snapshot to the other, idle time in it, by how long it was at each frequency: what samples
    miss is in it. Not of a policy whose times went back or stood still."""
    found = {}
    for name, then in after.residencies.items():
        first = {one.frequency_khz: one.time_us for one in before.residencies.get(name, ())}
        spent = [(one.frequency_khz, one.time_us - first.get(one.frequency_khz, 0)) for one in then]
        total_us = sum(time_us for _, time_us in spent)
        if first and total_us > 0 and all(time_us >= 0 for _, time_us in spent):
            found[name] = round(sum(khz * time_us for khz, time_us in spent) / total_us)
    return found


def _slowed(telemetry: Sequence[TelemetryPoint], launches: Sequence[Launch]) -> list[str]:
    """Cooling devices that were at work while launches ran."""
    windows = [
        (launch.start_us, launch.start_us + launch.usage.wall_us)
        for launch in launches
        if launch.start_us is not None and launch.usage.wall_us is not None
    ]
    most: dict[str, float] = {}
    for point in telemetry:
        # NaN is above nothing
        if (
            point.unit == COOLING
            and point.value > 0
            and any(low <= point.t_us <= high for low, high in windows)
        ):
            most[point.name] = max(point.value, most.get(point.name, 0.0))
    return [
        f"the device was slowed down by heat or a power limit: {name} was at state {state:g} under load"
        for name, state in sorted(most.items())
    ]


def _changed(before: Snapshot, after: Snapshot) -> list[str]:
    found = []
    if _other_mode(before.power_mode, after.power_mode):
        found.append(
            f"the power mode changed from {before.power_mode} to {after.power_mode} while it was measured"
        )
    if before.clocks is not None and after.clocks is not None:
        for name, first, then in _ranges(before.clocks, after.clocks):
            if (first.min_khz, first.max_khz) != (then.min_khz, then.max_khz):
                found.append(
                    f"the limits of the {name} clock changed from {_megahertz(first)} to {_megahertz(then)}"
                )
        if before.clocks.cpus.keys() != after.clocks.cpus.keys():
            found.append(f"{len(before.clocks.cpus)} CPUs were online before, {len(after.clocks.cpus)} after")
    return found


def _other_mode(before: str | None, after: str | None) -> bool:
    """nvpmodel tells "MAXN (0)", jetson_clocks "MAXN": a number counts where both tell one."""
    if before is None or after is None:
        return False
    if before.endswith(")") and after.endswith(")"):
        return before != after
    return before.partition(" (")[0] != after.partition(" (")[0]


def _ranges(before: JetsonClocks, after: JetsonClocks) -> list[tuple[str, ClockRange, ClockRange]]:
    """Of the GPU and the memory; those of the CPUs are knobs that a measurement itself sets and puts back."""
    pairs = (("GPU", before.gpu, after.gpu), ("memory", before.emc, after.emc))
    return [(name, first, then) for name, first, then in pairs if first is not None and then is not None]


def _megahertz(one: ClockRange) -> str:
    return f"{one.min_khz / 1000:g} to {one.max_khz / 1000:g} MHz"
