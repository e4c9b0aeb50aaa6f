"""A against B on one device, kept in the results store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.api.keeping import check_store
from edgekit.api.pipelines import check_options, release_of
from edgekit.api.showing import showing
from edgekit.deployment import PushResult, Release
from edgekit.devices import Device
from edgekit.events import Sink, ignore
from edgekit.models import Artifact

if TYPE_CHECKING:
    from edgekit.benchmarking import BenchOptions
    from edgekit.benchmarking.comparison import Compared
    from edgekit.profiles import Profile


def compare(
    a: str | Path | Artifact | PushResult | Release,
    b: str | Path | Artifact | PushResult | Release,
    device: Device,
    *,
    profile: Profile | None = None,
    options: BenchOptions | None = None,
    resolution: float | None = None,
    store: str | Path | bool | None = True,
    sink: Sink = ignore,
) -> Compared:
    """Measure `b` against `a` on the device, in interleaved pairs of launches.

    `a`, `b`: as `bench` takes them. `options.launches`: the number of pairs (default 5). `resolution`: the share that
    should be seen (0.02 is 2 %): a pilot then says how many pairs that takes. `store`: as for `bench`; both records are
    kept. Raises what `bench` raises, and InputError E_PLAN for what is told of one model only (a sustained load, operators, a
    score, energy, gates); slower is an answer, no error.
    """
    from edgekit.benchmarking import BenchOptions as Options
    from edgekit.benchmarking.compare import check_wishes, compare_releases
    from edgekit.benchmarking.comparison import check_resolution

    asked = options if options is not None else Options()
    check_options(profile, asked)
    check_resolution(resolution)
    check_wishes(asked)
    check_store(store)
    there_a = release_of(a, device, profile, asked, sink)
    there_b = release_of(b, device, profile, asked, sink)
    with showing(store, (there_a, there_b), device, profile, asked, sink) as shown:
        compared, samples = compare_releases(
            there_a, there_b, device, profile=profile, options=asked, resolution=resolution, sink=shown.sink
        )
        for record, raw in zip(compared.records, samples, strict=True):
            shown.keep(record, raw)
    return compared
