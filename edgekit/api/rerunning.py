"""A kept run done again on its device, and held against the first one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from edgekit.api.devices import connect
from edgekit.api.pipelines import keep, open_store
from edgekit.config import Config
from edgekit.deployment import Release, release_on_device, releases
from edgekit.devices import Device
from edgekit.errors import InputError, ProfileError
from edgekit.events import Sink, ignore

if TYPE_CHECKING:
    from edgekit.benchmarking.again import Rerun
    from edgekit.profiles import Profile
    from edgekit.records import Record


def rerun(
    run: str,
    *,
    device: str | None = None,
    profile: Profile | None = None,
    inputs: str | Path | None = None,
    evaluation: str | Path | None = None,
    meter: str | None = None,
    lease_wait_seconds: float = 60.0,
    argv: tuple[str, ...] | None = None,
    store: str | Path | None = None,
    config: Config | None = None,
    sink: Sink = ignore,
) -> Rerun:
    """Measure what `run` measured once more, by the same plan, keep it, and compare the two by their launches.

    `run`: as `Store.resolve` takes it. `device`: an address, None for the record's. `profile`: None for the one that the
    record names, as it is today; what it says of measuring gives way to the record's plan. `inputs`, `evaluation`: where
    these files are now. `meter`: another one than the run was asked to take, "none" for no energy. `store`: a path or URL, None for the user's results. Gates are not held again.

    Raises InputError E_RERUN for a record that does not say what was measured, E_RERUN_DEVICE where its device's address means
    nothing here, E_RERUN_MODEL where the model's bytes are not on the device, E_NO_RUN, and what `connect` and `bench` raise.
    """
    from edgekit.benchmarking.again import Rerun, again, missing_after
    from edgekit.benchmarking.difference import difference
    from edgekit.benchmarking.measure import measure

    first = open_store(store).get(run)
    found, told = _profile(first) if profile is None else (profile, ())
    done = again(_with_files(first, inputs, evaluation), found, exists=lambda path: Path(path).is_file())
    options = structs.replace(done.options, lease_wait_seconds=lease_wait_seconds, argv=argv)
    if meter is not None:
        options = structs.replace(options, meter=meter)
    with _connected(first, device, options.privileged, config, sink) as there:
        release = release_of(first, there)
        record, samples = measure(release, there, profile=found, options=options, plan=done.plan, sink=sink)
    keep(record, samples, store)
    not_repeated = (*told, *done.untold, *missing_after(first, record))
    return Rerun(first, record, difference(first, record), not_repeated)


def _profile(record: Record) -> tuple[Profile | None, tuple[str, ...]]:
    """The profile of the record's name, and what to say where there is none any more."""
    from edgekit.profiles import load_profile

    if record.profile is None:
        return None, ()
    try:
        return load_profile(record.profile.name), ()
    except ProfileError as error:
        return None, (f"without the profile {record.profile.name}: {error.message} (-p FILE names it)",)


def _with_files(record: Record, inputs: str | Path | None, evaluation: str | Path | None) -> Record:
    """The record with the files where they are now. Raises InputError E_RERUN for one that the run did not have."""
    from edgekit.records import Environment

    given = {
        name: str(path) for name, path in (("inputs", inputs), ("evaluation", evaluation)) if path is not None
    }
    had = {"inputs": record.plan.inputs == "own", "evaluation": record.accuracy.scored_on == "device"}
    for name, path in given.items():
        if not had[name]:
            raise InputError(
                f"{record.id} had no {name} of its own",
                code="E_RERUN",
                hint=f"leave out --{name}, or measure anew: edgekit bench MODEL --{name} {path}",
            )
        if not Path(path).is_file():
            raise InputError(f"there is no file {path}", code="E_DATA_MISSING", hint="check the path")
    if not given:
        return record
    environment = record.environment if record.environment is not None else Environment()
    asked = structs.replace(environment.asked, **given)
    return structs.replace(record, environment=structs.replace(environment, asked=asked))


def _connected(
    record: Record, device: str | None, privileged: bool, config: Config | None, sink: Sink
) -> Device:
    """By the name that the user gave it then, where it still means this address: its settings may be needed."""
    if device is not None:
        return connect(device, config=config, privileged=privileged, sink=sink)
    from edgekit.devices.opening import resolve

    address = record.device.address
    named = record.environment.asked.device if record.environment is not None else None
    try:
        same = named is not None and str(resolve(named, config).address) == address
    except InputError:
        same = False
    try:
        return connect(
            named if same and named is not None else address, config=config, privileged=privileged, sink=sink
        )
    except InputError as error:
        raise InputError(
            f"{address}, where {record.id} was measured, means no device here: {error.message}",
            code="E_RERUN_DEVICE",
            hint="name the device: edgekit rerun RUN -d DEVICE",
        ) from error


def release_of(record: Record, device: Device) -> Release:
    """The release there with the record's bytes: the one of its name and version, else any. Its bytes are checked there.

    Raises InputError E_RERUN_MODEL where there is none, DeviceError E_RELEASE_DAMAGED, VerificationError E_HASH.
    """
    model = record.model
    same = [
        row for row in releases(device) if row.sha256 == model.sha256 and row.state in ("active", "complete")
    ]
    same.sort(
        key=lambda row: ((row.name, row.version) != (model.name, model.version), row.name != model.name)
    )
    if not same:
        push = f"push the file whose sha256 is {model.sha256}: edgekit push FILE -d '{device.address}' --name {model.name}"
        forgets = "; a simulated device without state=FOLDER lives as long as its process (docs/sim.md)"
        raise InputError(
            f"no release on the device has the bytes that {record.id} measured ({model.name}@{model.version})",
            code="E_RERUN_MODEL",
            device=device.address,
            hint=push + (forgets if device.simulated else ""),
        )
    return release_on_device(device, same[0].name, same[0].version)
