"""Measurements that run on a device alone, while its cable is out (docs/measuring.md)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.api.keeping import check_store, keep
from edgekit.api.pipelines import check_options, release_of
from edgekit.benchmarking.unplugged import Unplugged, forget, jobs_there, start
from edgekit.benchmarking.unplugged_left import collect as collected
from edgekit.devices import Device
from edgekit.events import Sink, ignore

if TYPE_CHECKING:
    from edgekit.benchmarking import BenchOptions
    from edgekit.models import Artifact
    from edgekit.profiles import Profile
    from edgekit.records import Record

__all__ = ["Unplugged", "begin", "collect", "forget", "jobs_there"]


def begin(
    target: str | Path | Artifact,
    device: Device,
    *,
    profile: Profile | None = None,
    options: BenchOptions | None = None,
    wait_s: float = 60.0,
    sink: Sink = ignore,
) -> Unplugged:
    """Start a measurement of a release, or of a model file or artifact, which is put there (not activated) first. The
    device begins after `wait_s`, and needs no link from then on. Raises as `bench`, and InputError E_UNPLUGGED."""
    from edgekit.benchmarking import BenchOptions as Options

    asked = options if options is not None else Options()
    check_options(profile, asked)
    release = release_of(target, device, profile, asked, sink, unplugged_later=True)
    return start(release, device, profile=profile, options=asked, wait_s=wait_s, sink=sink)


def collect(
    device: Device,
    job: str,
    *,
    profile: Profile | None = None,
    store: str | Path | bool | None = True,
    sink: Sink = ignore,
) -> Record:
    """Fetch what a measurement found, keep the run and remove it from the device. `store` as for `bench`. Raises
    InputError E_UNPLUGGED, DeviceBusy where it still runs, RemoteError where it broke off."""
    check_store(store)
    record, samples = collected(device, job, profile=profile, sink=sink)
    keep(record, samples, store)
    forget(device, job)
    return record
