"""The time of each operator: a launch of its own, after those that the latency is of, and never one of these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.benchmarking.launches import BESIDE_FAILED, job_of
from edgekit.benchmarking.model_file import model_here
from edgekit.benchmarking.plan import BenchPlan
from edgekit.deployment import Release
from edgekit.deployment.launching import launch, read_op_profile
from edgekit.deployment.runtime_there import Installed
from edgekit.devices import Device
from edgekit.errors import DeviceLost
from edgekit.events import Event, Sink
from edgekit.models.op_costs import read_costs, with_costs
from edgekit.parse.op_profile import row_times_us
from edgekit.records import Operators
from edgekit.runtimes.base import profiled as profiling

if TYPE_CHECKING:
    from edgekit.parse.op_profile import OpProfile


@dataclass(frozen=True)
class Profiled:
    """`found`: None where it was left out or failed; `notes` then say why."""

    found: Operators | None = None
    notes: tuple[str, ...] = ()


def profiled(
    release: Release, plan: BenchPlan, installed: Installed, device: Device, scratch: str, sink: Sink
) -> Profiled:
    """One more launch that times the operators. Where it fails, what was measured before is worth no less:
    that is a note.

    Raises DeviceLost; VerdictError E_ACCELERATOR as a launch does.
    """
    sink(Event("operators", device=device.address))
    job = profiling(job_of(release, plan, scratch, plan.launches), f"{scratch}/operators")
    try:
        done = launch(device, installed, job, cwd=scratch, nice=plan.nice)
        told = read_op_profile(device, installed, done, job)
    except DeviceLost:
        raise
    except BESIDE_FAILED as error:
        return Profiled(notes=(f"no operator profile: {error.code}: {error.message}",))
    if told is None:
        return Profiled(notes=(f"no operator profile: {installed.runtime.name} told none",))
    try:
        with model_here(release, device) as path:
            told = with_costs(told, read_costs(path))
    except DeviceLost:
        raise
    except BESIDE_FAILED as error:
        note = f"operators without MACs and bytes: {error.code}: {error.message}"
        return Profiled(operators_part(told, installed.runtime.name, done.argv), (note,))
    return Profiled(operators_part(told, installed.runtime.name, done.argv))


def operators_part(told: OpProfile, runtime: str, argv: tuple[str, ...]) -> Operators:
    """The table as the record keeps it. Pure."""
    times_us = [time_us for time_us in row_times_us(told.rows) if time_us is not None]
    return Operators(
        runtime=runtime,
        rows=told.rows,
        inner=told.inner,
        runs=told.runs,
        total_us=sum(times_us) if times_us else None,
        argv=argv,
    )
