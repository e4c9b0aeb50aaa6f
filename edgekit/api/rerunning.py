"""A kept run done again on its device, and held against the first one."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from edgekit.api.devices import connect
from edgekit.api.gating import measured, require_baseline
from edgekit.api.keeping import check_store, open_store
from edgekit.api.pipelines import placed
from edgekit.api.pushing import push
from edgekit.api.showing import showing
from edgekit.cache import is_special, sha256_file
from edgekit.config import Config, load_config
from edgekit.deployment import Release, release_on_device, releases
from edgekit.deployment.payload import payload_of
from edgekit.devices import Device
from edgekit.errors import EdgekitError, InputError, ProfileError
from edgekit.events import Event, Sink, ignore
from edgekit.models import Artifact, ModelInfo, is_artifact, open_model
from edgekit.names import is_name

if TYPE_CHECKING:
    from edgekit.benchmarking.again import Again
    from edgekit.benchmarking.repeated import Rerun
    from edgekit.profiles import Profile
    from edgekit.records import Record


@dataclass(frozen=True)
class Here:
    """Where on this host is now what the run took. `model`: the file or artifact that was measured; `baseline`: what its gates
    are held against, a run or a record's file; `profile`: None for the one that the record names, as it is today."""

    model: str | Path | None = None
    inputs: str | Path | None = None
    evaluation: str | Path | None = None
    baseline: str | None = None
    profile: Profile | None = None


def rerun(
    run: str,
    *,
    device: str | None = None,
    profile: Profile | None = None,
    model: str | Path | None = None,
    inputs: str | Path | None = None,
    evaluation: str | Path | None = None,
    baseline: str | None = None,
    gates: bool = True,
    meter: str | None = None,
    trust: bool = False,
    lease_wait_seconds: float = 60.0,
    argv: tuple[str, ...] | None = None,
    store: str | Path | None = None,
    config: Config | None = None,
    sink: Sink = ignore,
) -> Rerun:
    """Measure what `run` measured once more, by the same plan, keep it, hold it against the gates of then, and compare the two by
    their launches.

    `run`: as `Store.resolve` takes it. `device`: an address, None for the record's. `profile`: None for the one that the
    record names, as it is today; what it says of measuring gives way to the record's plan. `model`: the file or artifact to put
    there (not activated) where the device does not have the bytes; None for the path that the record has, if the bytes there
    are still the same. `inputs`, `evaluation`: where these files are now. `baseline`: a run or a record's file for its gates;
    `gates` False: none is held. `meter`: another one than the run was asked to take, "none" for no energy. `trust`: the record
    is the user's own, or of someone who may use root, kernel settings and a tool's flags on the device.
    `store`: a path or URL, None for the user's results. What cannot be done again is told to `sink` before anything is measured.

    Raises InputError E_RERUN for a record that does not say what was measured or that no edgekit made, E_RERUN_TRUST for one that
    asks for more than measuring, E_RERUN_DEVICE where its device's address means nothing here, E_RERUN_MODEL where the model's
    bytes are not to be had, E_NO_RUN, and what `connect` and `bench` raise.
    """
    from edgekit.benchmarking.difference import difference
    from edgekit.benchmarking.repeated import Rerun, missing_after

    settings = config if config is not None else load_config()
    first = open_store(store).get(run)
    here = Here(model, inputs, evaluation, baseline, profile)
    found, told = _profile(first) if profile is None else (profile, ())
    done = _again(first, found, here)
    options = structs.replace(
        done.options,
        lease_wait_seconds=lease_wait_seconds,
        argv=argv,
        tools=settings.runtimes,
        meters=settings.meters,
        meter=meter if meter is not None else done.options.meter,
        baseline=baseline if baseline is not None else done.options.baseline,
        gates=done.options.gates if gates else (),
    )
    address = device if device is not None else _address(first, settings)
    if not trust:
        _require_trust(first, done, found, address if device is None else None, settings)
    require_baseline(found, options, first.model.name, lambda: open_store(store))
    check_store(store, writable=True)
    with _connected(first, address, device is None, options.privileged, settings, sink) as there:
        release = _release(first, there, here, found, lease_wait_seconds, sink)
        for text in (*told, *done.untold):
            sink(Event("rerun", f"not repeated: {text}", device=there.address, level="warning"))
        with showing(store, (release,), there, found, options, sink) as shown:
            outcome, _ = measured(
                release,
                there,
                found,
                options,
                lambda: open_store(store),
                shown.keep,
                shown.sink,
                done.plan,
                limits=gates,
            )
    record = outcome.record
    not_repeated = dict.fromkeys((*told, *done.untold, *missing_after(first, record)))
    return Rerun(first, record, difference(first, record), tuple(not_repeated), outcome.gates, outcome.second)


def _profile(record: Record) -> tuple[Profile | None, tuple[str, ...]]:
    """The profile of the record's name, and what to say where there is none any more or another one of that name."""
    from edgekit.benchmarking.trusting import profile_name
    from edgekit.profiles import load_profile

    if record.profile is None:
        return None, ()
    name = profile_name(record)
    if name is None:
        return None, ("without a profile: the record names one by what is no name (-p FILE names it)",)
    try:
        found = load_profile(name)
    except ProfileError as error:
        return None, (f"without the profile {name}: {error.message} (-p FILE names it)",)
    if record.profile.sha256 not in (None, found.sha256):
        return found, (f"the profile {name} has changed since: its limits and its meter are today's",)
    return found, ()


def _again(record: Record, profile: Profile | None, here: Here) -> Again:
    """Raises InputError E_RERUN for a file that the run did not have, E_DATA_MISSING for one that is not there."""
    from edgekit.benchmarking.again import again

    pairs = (("inputs", here.inputs), ("evaluation", here.evaluation))
    given = {name: str(path) for name, path in pairs if path is not None}
    had = {"inputs": record.plan.inputs == "own", "evaluation": record.accuracy.scored_on == "device"}
    for name, path in given.items():
        if not had[name]:
            raise InputError(
                f"{record.id} had no {name} of its own",
                code="E_RERUN",
                hint=f"leave out --{name}, or measure anew: edgekit bench MODEL --{name} {shlex.quote(path)}",
            )
        if not Path(path).is_file():
            raise InputError(f"there is no file {path}", code="E_DATA_MISSING", hint="check the path")
    return again(record, profile, sha256_of=_sha256_of, given=given)


def _sha256_of(path: str) -> str | None:
    """None of what is no file, or cannot be read."""
    from edgekit.conversion.datasets import MAX_BYTES

    file = Path(path)
    try:
        if is_special(file) or file.stat().st_size > MAX_BYTES:
            return None
        return sha256_file(file)
    except (OSError, ValueError):  # a null byte in a path is a ValueError
        return None


def _address(record: Record, settings: Config) -> str:
    """The name that the user gave it then, where it still means this address: its settings may be needed. Else the address."""
    from edgekit.devices.opening import resolve

    address = record.device.address
    named = record.environment.asked.device if record.environment is not None else None
    try:
        same = named is not None and str(resolve(named, settings).address) == address
    except InputError:
        same = False
    return named if same and named is not None else address


def _require_trust(
    record: Record, done: Again, profile: Profile | None, address: str | None, settings: Config
) -> None:
    """`address`: the record's, None where the user named the device. Raises InputError E_RERUN_TRUST."""
    from edgekit.addresses import parse
    from edgekit.benchmarking.trusting import beyond_measuring, reached_beyond

    asks = list(beyond_measuring(done.plan, done.options, profile))
    if address is not None and settings.entry(address) is None:
        try:
            asks += reached_beyond(parse(address), _is_state)
        except InputError:
            pass  # connecting says it better
    if asks:
        raise InputError(
            f"{record.id} asks for more than measuring: {'; '.join(asks)}",
            code="E_RERUN_TRUST",
            hint="if the run is your own, or of someone you trust: --trust; else measure anew with edgekit bench",
        )


def _is_state(folder: str) -> bool:
    try:
        return (Path(folder).expanduser() / "device.json").is_file()
    except (OSError, ValueError, RuntimeError):
        return False


def _connected(
    record: Record, address: str, from_record: bool, privileged: bool, settings: Config, sink: Sink
) -> Device:
    try:
        return connect(address, config=settings, privileged=privileged, sink=sink)
    except InputError as error:
        if not from_record:
            raise
        raise InputError(
            f"{address}, where {record.id} was measured, means no device here: {error.message}",
            code="E_RERUN_DEVICE",
            hint="name the device: edgekit rerun RUN -d DEVICE",
        ) from error


def _release(
    record: Record, device: Device, here: Here, profile: Profile | None, wait_s: float, sink: Sink
) -> Release:
    """The release with the record's bytes: one that is there, else one that is made of the model on this host (not activated)."""
    found = release_of(record, device)
    if found is not None:
        return structs.replace(found, source=_asked_model(record))
    model = _model(record, device, here)
    name = record.model.name if is_name(record.model.name) else None
    if payload_of(model, name, None).manifest.sha256 != record.model.sha256:
        raise _no_model(record, device, f"{model.path} is another model")
    sink(
        Event(
            "rerun", f"the device does not have the bytes: {model.path} is put there", device=device.address
        )
    )
    sent = push(
        model,
        device,
        profile=profile,
        name=name,
        activate=False,
        smoke=False,
        lease_wait_seconds=wait_s,
        sink=sink,
    )
    return placed(device, sent, model)


def release_of(record: Record, device: Device) -> Release | None:
    """The release there with the record's bytes: the one of its name and version, else any. Its bytes are checked there.

    Raises DeviceError E_RELEASE_DAMAGED, VerificationError E_HASH.
    """
    model = record.model
    same = [
        row for row in releases(device) if row.sha256 == model.sha256 and row.state in ("active", "complete")
    ]
    same.sort(
        key=lambda row: ((row.name, row.version) != (model.name, model.version), row.name != model.name)
    )
    return release_on_device(device, same[0].name, same[0].version) if same else None


def _asked_model(record: Record) -> str | None:
    return record.environment.asked.model if record.environment is not None else None


def _model(record: Record, device: Device, here: Here) -> Artifact | ModelInfo:
    """The model on this host that has the record's bytes. Raises InputError E_RERUN_MODEL.

    A path that only the record has is looked at as bytes, and opened where they are the model's."""
    path = here.model if here.model is not None else _asked_model(record)
    if path is None:
        raise _no_model(record, device, None)
    if is_artifact(path):
        try:
            artifact = Artifact.load(path)
        except EdgekitError as error:
            if here.model is not None:
                raise
            raise _no_model(record, device, f"{path}: {error.message}") from error
        return artifact
    if _sha256_of(str(path)) != record.model.sha256:
        why = "is another file by now" if Path(path).exists() else "is not there"
        raise _no_model(record, device, f"{path} {why}")
    return open_model(Path(path))


def _no_model(record: Record, device: Device, why: str | None) -> InputError:
    model = record.model
    where = shlex.quote(device.address)
    hint = f"name the file whose sha256 is {model.sha256}: --model FILE; or edgekit push FILE -d {where}"
    forgets = "; a simulated device without state=FOLDER lives as long as its process (docs/sim.md)"
    return InputError(
        f"no release on the device has the bytes that {record.id} measured ({model.name}@{model.version})"
        + (f", and {why}" if why else ""),
        code="E_RERUN_MODEL",
        device=device.address,
        hint=hint + (forgets if device.simulated else ""),
    )
