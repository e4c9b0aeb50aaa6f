"""Telling the results store of a measurement while it is under way, so that listings and pages show it.

It is written when the measurement begins and between launches, never while one runs. Nothing here ends a measurement: a store
that is locked, full or gone is tried again a little later, a few times, and then left alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from edgekit.api.keeping import keep
from edgekit.deployment import Release
from edgekit.deployment.launching import START_SECONDS
from edgekit.devices import Device
from edgekit.errors import EdgekitError
from edgekit.events import Event, LaunchesDone, Sink

if TYPE_CHECKING:
    from edgekit.benchmarking.plan import BenchOptions, BenchPlan
    from edgekit.profiles import Profile
    from edgekit.records import Record, Samples
    from edgekit.results.store import Store
    from edgekit.results.under_way import Beat

PAUSE_FACTOR = 20.0
"""A write that took 5 ms is followed by none for 100: no more than 5 % of the time goes into this, however short launches are."""
AFTER_FAILURE_S = 30.0
MAX_FAILURES = 3
LOCK_WAIT_S = 0.5
ANSWER_S = 3.0
"""For a database elsewhere: as long a write may hold a measurement between two launches, twice that where its server says nothing."""
MAX_LEASE_WAIT_S = 3600.0
GET_READY_S = 900.0
"""For what has no limit of its own: a runtime that is put there, a checksum of a large model, a slow meter's marker and the quiet
around it (ten minutes)."""
AFTERWARDS_S = 900.0
"""Operators and a score on the device, after the launches."""


class Shown:
    """`sink` is the measurement's; `keep` adds its runs to the store."""

    def __init__(self, begun: _Begun | None, store: str | Path | bool | None, sink: Sink) -> None:
        self._begun, self._store, self._inner = begun, store, sink
        self._said = begun.said if begun is not None else None
        self._medians: list[float] = []
        self._written = False
        self._failures, self._not_before = 0, 0.0

    @property
    def key(self) -> str | None:
        """None where there is no row to end: a run is kept also by one who may write runs only."""
        return self._said.key if self._said is not None and self._written else None

    def keep(self, record: Record, samples: Samples) -> None:
        """Add a run, which ends what is shown. Raises as `edgekit.api.keeping.keep`."""
        keep(record, samples, self._store, ends=self.key)

    def sink(self, event: Event) -> None:
        """Write what tells of launches into the store, and pass everything on."""
        if isinstance(event, LaunchesDone) and self._said is not None:
            if event.done == 0:
                self._medians = []  # measured once more, for a gate
            if event.median_us is not None:
                self._medians.append(event.median_us)
            self._said = replace(
                self._said,
                done=int(event.done or 0),
                total=int(event.total or 0),
                runtime=event.runtime,
                median_us=median(self._medians) if self._medians else None,
            )
            self.write(last=event.done == event.total)
        self._inner(event)

    def write(self, *, last: bool = False) -> None:
        """Write the row, unless that was a moment ago; `last`: in any case."""
        now = time.monotonic()
        if self._begun is None or self._said is None or self._failures >= MAX_FAILURES:
            return
        if now < self._not_before and (self._failures or not last):
            return
        begun, said = self._begun, self._said
        try:
            begun.store.beat(said, silence_s(begun.plan, said.done, said.total, begun.lease_wait_s))
        except (EdgekitError, UnicodeError) as error:
            self._failures += 1
            self._not_before = time.monotonic() + AFTER_FAILURE_S
            self._inner(Event("measure", f"not shown as under way: {error}", level="debug"))
            return
        self._written, self._failures = True, 0
        self._not_before = now + (time.monotonic() - now) * (1 + PAUSE_FACTOR)

    def end(self) -> None:
        """Take the row away, where a run did not."""
        if self._written and self._begun is not None:
            try:
                self._begun.store.end(self._begun.said.key)
            except EdgekitError as error:
                self._inner(Event("measure", f"shown as under way still: {error.message}", level="debug"))


@contextmanager
def showing(
    store: str | Path | bool | None,
    releases: tuple[Release, ...],
    device: Device,
    profile: Profile | None,
    options: BenchOptions,
    sink: Sink,
) -> Iterator[Shown]:
    """While a measurement of `releases` (one, or two against each other) goes on. `store`: as `bench` takes it."""
    shown = Shown(_begin(store, releases, device, profile, options), store, sink)
    shown.write()
    try:
        yield shown
    finally:
        shown.end()


def silence_s(plan: BenchPlan, done: int | None, total: int, lease_wait_s: float = 0.0) -> float:
    """The longest that is between two launches, or before the first one, or after the last. Pure."""
    launch_s = plan.max_seconds + START_SECONDS
    if done is None:
        waits_s = min(lease_wait_s, MAX_LEASE_WAIT_S) + plan.ready_timeout_s + plan.cool_timeout_s
        return GET_READY_S + waits_s + launch_s
    if done >= total:
        return AFTERWARDS_S + plan.sustained_minutes * 60 + launch_s
    # rounds are spread: of one launch each, of one of each configuration, or of two against each other
    return launch_s + plan.spread_seconds / max(1.0, min(plan.launches, total / 2))


@dataclass(frozen=True)
class _Begun:
    """What is told, and where."""

    store: Store
    said: Beat
    plan: BenchPlan
    lease_wait_s: float


def _begin(
    store: str | Path | bool | None,
    releases: tuple[Release, ...],
    device: Device,
    profile: Profile | None,
    options: BenchOptions,
) -> _Begun | None:
    from edgekit.benchmarking.assemble import told_model
    from edgekit.benchmarking.plan import make_plan
    from edgekit.records.codec import new_id
    from edgekit.results.store import Store
    from edgekit.results.under_way import Beat

    if store is False:
        return None
    try:
        plan = make_plan(profile, options)
        place = None if store is True else store
        opened = Store(place, busy_timeout_s=LOCK_WAIT_S, statement_timeout_s=ANSWER_S)
    except EdgekitError:  # whatever it is, the measurement meets it too, and says so
        return None
    first, facts = releases[0].manifest, device.facts
    alone = len(releases) == 1
    named = [f"{one.manifest.name}@{one.manifest.version}" for one in releases]
    said = Beat(
        key=new_id(),
        model=first.name if alone else " against ".join(named),
        version=first.version if alone else None,
        recipe=first.recipe if alone else None,
        project=options.labels.get("project"),
        profile=profile.name if profile is not None else None,
        device=device.address,
        device_model=told_model(device.address, facts),
        soc=facts.soc,
        abi=facts.abi,
        total=plan.launches,
    )
    return _Begun(opened, said, plan, options.lease_wait_seconds)
