"""Push, bench and the main job, with what they share put together."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from msgspec import structs

from edgekit.api.gating import gates_of, measured, require_baseline
from edgekit.api.keeping import check_store, open_store
from edgekit.api.models import conversion_document, converted, prepare, refuse_options
from edgekit.api.pushing import push
from edgekit.api.showing import showing
from edgekit.cache import check_writable, data_dir
from edgekit.deployment import PushResult, Release, release_on_device
from edgekit.devices import Device
from edgekit.devices.layout import name_from_file, split_release
from edgekit.errors import InputError
from edgekit.events import Event, Sink, ignore
from edgekit.models import Artifact, ModelInfo, is_artifact

FILE_ENDINGS = (".tflite", ".onnx", ".pte", ".mlpackage", ".keras", ".h5", ".pt2", ".pt", ".ekm")

if TYPE_CHECKING:
    from edgekit.benchmarking import BenchOptions, Outcome
    from edgekit.conversion import Conversion
    from edgekit.conversion.options import ConvertWishes
    from edgekit.profiles import Profile
    from edgekit.records import Record


def bench(
    target: str | Path | Artifact | PushResult | Release,
    device: Device,
    *,
    profile: Profile | None = None,
    options: BenchOptions | None = None,
    store: str | Path | bool | None = True,
    sink: Sink = ignore,
) -> Record:
    """Measure and keep the run: `bench_outcome` without its gates. Returns the record."""
    return bench_outcome(target, device, profile=profile, options=options, store=store, sink=sink).record


def bench_outcome(
    target: str | Path | Artifact | PushResult | Release,
    device: Device,
    *,
    profile: Profile | None = None,
    options: BenchOptions | None = None,
    store: str | Path | bool | None = True,
    sink: Sink = ignore,
) -> Outcome:
    """Measure a release on the device, or a model file or artifact, which is put there (not activated) first.

    `store`: True or None for the user's results, a path for another file, False to keep nothing. Returns the
    record and what the gates said; a failed gate or a bad verdict is no exception here.
    """
    from edgekit.benchmarking import BenchOptions as Options

    asked = options if options is not None else Options()
    check_options(profile, asked)
    check_store(store)
    if isinstance(target, str | Path) and is_artifact(target):
        target = Artifact.load(target)
    require_baseline(profile, asked, name_there(target, None), lambda: open_store(store))
    release = release_of(target, device, profile, asked, sink)

    with showing(store, (release,), device, profile, asked, sink) as shown:
        outcome, _ = measured(
            release, device, profile, asked, lambda: open_store(store), shown.keep, shown.sink
        )
    return outcome


def _looks_like_a_file(text: str) -> bool:
    """What no one would call a release: a missing file is then said to be missing."""
    return "/" in text or text.lower().endswith(FILE_ENDINGS)


def release_of(
    target: str | Path | Artifact | PushResult | Release,
    device: Device,
    profile: Profile | None,
    options: BenchOptions,
    sink: Sink,
    *,
    unplugged_later: bool = False,
) -> Release:
    """The release on the device that is meant: found there, or put there (not activated), if it can be measured as asked."""
    from edgekit.benchmarking.abilities import check_abilities

    if isinstance(target, Release):
        return target
    if isinstance(target, PushResult):
        return release_on_device(device, target.name, target.version)
    if isinstance(target, str) and not Path(target).exists() and not _looks_like_a_file(target):
        try:
            name, version = split_release(target)
        except InputError:
            name = ""
        if name:
            return release_on_device(device, name, version)
    ready = prepare(target, profile=profile, sink=sink)
    model_format = ready.manifest.format if isinstance(ready, Artifact) else ready.format
    check_abilities(model_format, device, profile, options, unplugged_later=unplugged_later)
    sent = push(
        ready,
        device,
        profile=profile,
        activate=False,
        smoke=False,
        lease_wait_seconds=options.lease_wait_seconds,
        sink=sink,
    )
    return placed(device, sent, ready)


def placed(device: Device, sent: PushResult, ready: Artifact | ModelInfo) -> Release:
    """The release that a push made, with where its model lies on this host."""
    return structs.replace(release_on_device(device, sent.name, sent.version), source=str(ready.path))


def name_there(target: str | Path | Artifact | PushResult | Release, name: str | None) -> str | None:
    """What the release is, or will be, called; None where only a conversion or the device can tell."""
    if isinstance(target, PushResult):
        return target.name
    if isinstance(target, Release):
        return target.manifest.name
    if name is not None:
        return name
    if isinstance(target, Artifact):
        return name_from_file(target.manifest.name)
    return name_from_file(Path(target).stem) if Path(target).is_file() else None


def check_options(profile: Profile | None, options: BenchOptions) -> None:
    """Before anything is sent or measured. Raises InputError for a plan or a gate that cannot be."""
    from edgekit.benchmarking import make_plan

    make_plan(profile, options)
    gates_of(profile, options)


def _report_path(report: str | Path | None, run_id: str) -> Path:
    """The file that was asked for; a folder, or nothing, gets a file named after the run."""
    if report is None:
        return data_dir("reports") / f"{run_id}.html"
    path = Path(report)
    return path / f"{run_id}.html" if path.is_dir() else path


@dataclass(frozen=True)
class RunOutcome:
    """All that the main job made."""

    artifact: Artifact
    push: PushResult
    bench: Outcome
    report: Path
    convert_seconds: float
    conversion: Conversion | None = None
    """None where the model was an artifact already."""

    def document(self) -> dict[str, Any]:
        return {
            "convert": conversion_document(self.artifact, self.convert_seconds, self.conversion),
            "push": self.push,
            "record": self.bench.document(),
            "report": str(self.report),
        }


def run(
    model: str | Path,
    device: Device,
    *,
    profile: Profile | None = None,
    name: str | None = None,
    version: str | None = None,
    activate: bool = True,
    smoke: bool = True,
    accept_inconclusive: bool = False,
    options: BenchOptions | None = None,
    report: str | Path | None = None,
    store: str | Path | None = None,
    sink: Sink = ignore,
    **wishes: Unpack[ConvertWishes],
) -> RunOutcome:
    """Convert (`wishes` say how), verify, push, measure, keep and report, in one go."""
    from edgekit.benchmarking import BenchOptions as Options
    from edgekit.benchmarking.abilities import check_abilities
    from edgekit.conversion.options import ConvertOptions
    from edgekit.results.report import write_report

    asked = options if options is not None else Options()
    check_options(profile, asked)
    check_store(store)
    check_writable(_report_path(report, "edgekit"))
    started = time.monotonic()
    if is_artifact(model):
        refuse_options(model, asked=ConvertOptions(**wishes).asked)
        done, artifact = None, Artifact.load(model)
        require_baseline(profile, asked, name_there(artifact, name), lambda: open_store(store))
    else:
        require_baseline(profile, asked, name_there(model, name), lambda: open_store(store))
        done = converted(model, profile=profile, name=name, device=device, bench=asked, sink=sink, **wishes)
        artifact = done.artifact
    convert_seconds = time.monotonic() - started
    check_abilities(artifact.manifest.format, device, profile, asked)
    pushed = push(
        artifact,
        device,
        profile=profile,
        name=name,
        version=version,
        activate=activate,
        smoke=smoke,
        accept_inconclusive=accept_inconclusive,
        lease_wait_seconds=asked.lease_wait_seconds,
        sink=sink,
    )
    release = placed(device, pushed, artifact)
    with showing(store, (release,), device, profile, asked, sink) as shown:
        outcome, samples = measured(
            release, device, profile, asked, lambda: open_store(store), shown.keep, shown.sink
        )
    target = _report_path(report, outcome.record.id)
    sink(Event("report", message=f"writing {target}", level="debug"))
    write_report([(outcome.record, samples)], target)
    return RunOutcome(artifact, pushed, outcome, target, convert_seconds, done)
