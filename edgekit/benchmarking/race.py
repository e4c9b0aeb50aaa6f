"""Several releases on one device, measured side by side: in every round each has one launch, in a random order."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final, TypeVar

from edgekit.benchmarking.abilities import chosen_for
from edgekit.benchmarking.launches import LaunchSeries, Spread, tell
from edgekit.benchmarking.measure import check_cpus
from edgekit.benchmarking.own_inputs import load_inputs, with_inputs
from edgekit.benchmarking.plan import BenchOptions, BenchPlan, make_plan
from edgekit.benchmarking.ready import made_ready
from edgekit.deployment import Release
from edgekit.deployment.runtime_there import install
from edgekit.devices import Device
from edgekit.errors import (
    DeviceLost,
    EdgekitError,
    InputError,
    ModelError,
    RemoteError,
    ToolError,
    VerdictError,
)
from edgekit.events import Sink, ignore
from edgekit.parse import ParseError
from edgekit.profiles import Profile

T = TypeVar("T")

DOES_NOT_RUN: Final = (ModelError, RemoteError, ParseError, VerdictError)
"""What a launch is out of the race with; the others go on. DeviceLost ends it for all."""


@dataclass(frozen=True)
class Lap:
    """What one release did. `failed`: why it did not run; then there are no figures.

    `median_us`: geometric mean of the launches' medians; `peak_rss_bytes`: the largest.
    """

    failed: str | None = None
    median_us: float | None = None
    peak_rss_bytes: int | None = None
    launches: int = 0


def race(
    releases: Sequence[Release],
    device: Device,
    *,
    profile: Profile | None,
    options: BenchOptions,
    sink: Sink = ignore,
) -> tuple[Lap, ...]:
    """Launches of all of them, interleaved, under one lease and one setting of knobs; `options.launches` is the number
    of rounds. A release that does not run is out of the race and told so. Where none runs, the first one's error is
    raised, as what failed in the device itself always is.
    """
    plan = make_plan(profile, options)
    check_cpus(plan.cpus, device)
    with ExitStack() as stack:
        stack.enter_context(device.leased("choose a recipe", options.lease_wait_seconds))
        plan = stack.enter_context(made_ready(device, plan)).plan
        entrants = [_Entrant(release, plan, device, profile, options, stack, sink) for release in releases]
        spread, order = Spread(device, plan, plan.launches), 0
        for number in range(plan.launches):
            spread.wait_for(number)
            for entrant in shuffled(entrants, plan.seed, number):
                tell(sink, device, order, plan.launches * len(entrants))
                entrant.run_one(order)
                order += 1
        tell(sink, device, order, order)
        device.agent.lease_renew()
    errors = [entrant.error for entrant in entrants if entrant.error is not None]
    if errors and len(errors) == len(entrants):
        raise errors[0]
    return tuple(entrant.lap() for entrant in entrants)


class _Entrant:
    """One release's launches, until it fails."""

    def __init__(
        self,
        release: Release,
        plan: BenchPlan,
        device: Device,
        profile: Profile | None,
        options: BenchOptions,
        stack: ExitStack,
        sink: Sink,
    ) -> None:
        self.failed: str | None = None
        self.error: EdgekitError | None = None
        self.medians: list[float] = []
        self.peaks: list[int] = []
        self.series: LaunchSeries | None = None
        try:
            chosen = chosen_for(release, device, profile, options)
        except (InputError, ToolError) as error:
            self.failed, self.error = f"{error.code}: {error.message}", error
        else:
            there = install(device, chosen, sink)
            scratch = stack.enter_context(device.scratch())
            plan = with_inputs(plan, load_inputs(release, device, options), device, scratch)
            self.series = LaunchSeries(release, plan, there, device, scratch)

    def run_one(self, order: int) -> None:
        if self.failed is not None or self.series is None:
            return
        try:
            done = self.series.run_one(order)
        except DeviceLost:
            raise
        except DOES_NOT_RUN as error:
            self.failed, self.error = f"it does not run there: {error.code}: {error.message}", error
            return
        if not done.ok or not done.median_us:
            self.failed = f"a launch failed there: {done.error or 'no latency'}"
            return
        self.medians.append(done.median_us)
        if done.memory.peak_rss_bytes is not None:
            self.peaks.append(done.memory.peak_rss_bytes)

    def lap(self) -> Lap:
        if self.failed is not None or not self.medians:
            return Lap(failed=self.failed or "it was not run")
        return Lap(
            median_us=statistics.geometric_mean(self.medians),
            peak_rss_bytes=max(self.peaks, default=None),
            launches=len(self.medians),
        )


def shuffled(entrants: Sequence[T], seed: int, number: int) -> list[T]:
    """The order of round `number`: the same for the same seed."""
    return random.Random(f"{seed}/{number}").sample(entrants, len(entrants))  # noqa: S311 - an order, no secret
