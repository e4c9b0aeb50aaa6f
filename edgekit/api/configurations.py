"""Thread counts of one model measured side by side, kept in the results store, each held against its gates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.api.gating import gates_of
from edgekit.api.keeping import check_store
from edgekit.api.pipelines import check_options, release_of
from edgekit.api.showing import showing
from edgekit.deployment import PushResult, Release
from edgekit.devices import Device
from edgekit.errors import EdgekitError
from edgekit.events import Sink, ignore
from edgekit.models import Artifact

if TYPE_CHECKING:
    from edgekit.benchmarking import BenchOptions, Outcome
    from edgekit.benchmarking.outcome import Configured
    from edgekit.profiles import Profile


def bench_threads(
    target: str | Path | Artifact | PushResult | Release,
    device: Device,
    threads: Sequence[int],
    *,
    profile: Profile | None = None,
    options: BenchOptions | None = None,
    store: str | Path | bool | None = True,
    sink: Sink = ignore,
) -> Configured:
    """Measure a model with each count of `threads`: in every round each has one launch, in a random order of the seed that
    the records keep.

    `target`, `store`: as for `bench`. `options.launches`: the number of rounds; `options.threads` has no say. A count that
    the model does not run with has its error in the result; where none runs, the first one's is raised. Raises InputError
    E_PLAN for counts that cannot be and for what is of one configuration (a sustained load, operators, a score on the
    device, streams, gates against a baseline), and what `bench` raises.
    """
    from edgekit.benchmarking import BenchOptions as Options
    from edgekit.benchmarking import Outcome
    from edgekit.benchmarking.configurations import check_configurations, measure_configurations
    from edgekit.benchmarking.gates import check_gate
    from edgekit.benchmarking.outcome import Configured

    asked = options if options is not None else Options()
    check_options(profile, asked)
    check_configurations(threads, profile, asked)
    gates = gates_of(profile, asked)
    check_store(store)
    release = release_of(target, device, profile, asked, sink)
    results: list[tuple[int, Outcome | EdgekitError]] = []
    with showing(store, (release,), device, profile, asked, sink) as shown:
        found = measure_configurations(
            release, device, threads, profile=profile, options=asked, sink=shown.sink
        )
        for count, one in zip(threads, found, strict=True):
            if isinstance(one, EdgekitError):
                results.append((count, one))
                continue
            record, samples = one
            shown.keep(record, samples)
            results.append((count, Outcome(record, tuple(check_gate(gate, record, None) for gate in gates))))
    return Configured(tuple(results))
