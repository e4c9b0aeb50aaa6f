"""What is pushed, what a device has, and what follows from both. Pure: no I/O but reading the payload's files.

A release is a folder on the device that never changes once it is complete:

    models/NAME/VERSION/manifest.json     schema edgekit.release/1: names, hashes, recipe, what the smoke run said
    models/NAME/VERSION/model.tflite
    models/NAME/VERSION/golden/...        inputs and expected outputs, where the artifact has them
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from edgekit.devices.layout import checked_name, name_from_file
from edgekit.errors import DeviceError, InputError
from edgekit.models import Artifact, ModelInfo
from edgekit.models.info import ITEM_BYTES

SCHEMA = "edgekit.release/1"
MANIFEST = "manifest.json"
VERSION_DIGITS = 12
GOLDEN_INPUTS = "golden/inputs.bin"
GOLDEN_OUTPUTS = "golden/outputs.bin"

Smoke = Literal["passed", "unchecked"]
_Share = Annotated[float, msgspec.Meta(ge=0)]


class ReleaseFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`file` is relative to the release's folder."""

    file: str
    sha256: str
    size_bytes: int


class OutputSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One output tensor, as it lies in the golden file. `step`: what its values are multiples of, where the model
    is quantized inside and this output is made by dequantizing."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    step: _Share | None = None


class ReleaseGolden(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`tolerance`: largest difference allowed, as a share of the largest expected output (floats only)."""

    samples: int
    tolerance: _Share
    outputs: tuple[OutputSpec, ...]


class ReleaseAccuracy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the conversion found on evaluation data, so that a benchmark of the release can report it."""

    metric: str
    value: float
    source_value: float
    flips: int | None
    samples: int


class ReleaseManifest(msgspec.Struct, frozen=True, kw_only=True):
    """Unknown fields are read over: a newer edgekit may have written more."""

    schema: str = SCHEMA
    name: str
    version: str
    model: ReleaseFile
    files: tuple[ReleaseFile, ...]
    format: str
    recipe: str | None
    golden: ReleaseGolden | None = None
    accuracy: ReleaseAccuracy | None = None
    smoke: Smoke = "unchecked"
    smoke_reason: str | None = None
    pushed_at: str = ""
    edgekit_version: str = ""

    def encode(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


@dataclass(frozen=True)
class Payload:
    """A release that is on this host: the manifest to be, and where each file's bytes are."""

    manifest: ReleaseManifest
    sources: dict[str, Path]

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def version(self) -> str:
        return self.manifest.version

    @property
    def size_bytes(self) -> int:
        return sum(entry.size_bytes for entry in self.manifest.files)


@dataclass(frozen=True)
class OnDevice:
    """What was read from the device about this name and version."""

    current: str | None
    manifest: ReleaseManifest | None
    hashes: Mapping[str, str | None] = field(default_factory=dict)
    """Of the release's files, computed there from the bytes, now; None where a file is missing."""
    damaged: bool = False
    """There is a manifest, and it cannot be read."""


Action = Literal["unchanged", "activate", "check", "send", "repair"]
"""check: it is there whole, was never tried, and has to be before it becomes active."""


def decode_manifest(data: bytes, device: str) -> ReleaseManifest:
    """Raises DeviceError E_RELEASE_DAMAGED where the device's file is not a manifest."""
    try:
        manifest = msgspec.json.decode(data, type=ReleaseManifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DeviceError(
            f"a release's manifest on the device is damaged: {error}",
            code="E_RELEASE_DAMAGED",
            device=device,
            hint="push it again",
        ) from error
    if manifest.schema != SCHEMA:
        raise DeviceError(
            f"the release has schema '{manifest.schema}'; this edgekit reads '{SCHEMA}'",
            code="E_RELEASE_SCHEMA",
            device=device,
            hint="use the edgekit that pushed it, or a newer one",
        )
    unknown = {spec.dtype for spec in manifest.golden.outputs} - set(ITEM_BYTES) if manifest.golden else None
    if unknown:
        raise DeviceError(
            f"a release's manifest on the device is damaged: no dtype is called {sorted(unknown)}",
            code="E_RELEASE_DAMAGED",
            device=device,
            hint="push it again",
        )
    return manifest


def payload_of_artifact(artifact: Artifact, name: str | None, version: str | None) -> Payload:
    """The artifact's model and golden files under the release's own names."""
    source = artifact.manifest
    if source.files or artifact.model_path.is_dir():
        raise InputError(
            f"{source.name} is a model of several files, which a push does not send yet",
            code="E_SEVERAL_FILES",
            hint="convert it to a format of one file: --to tflite, --to executorch",
        )
    model_file = "model" + Path(source.model.file).suffix
    sources = {model_file: artifact.model_path}
    files = [ReleaseFile(file=model_file, sha256=source.model.sha256, size_bytes=source.model.size_bytes)]
    golden = None
    inputs, outputs = artifact.golden_inputs_path, artifact.golden_outputs_path
    if source.golden is not None and inputs is not None and outputs is not None:
        for file, entry, path in (
            (GOLDEN_INPUTS, source.golden.inputs, inputs),
            (GOLDEN_OUTPUTS, source.golden.outputs, outputs),
        ):
            files.append(ReleaseFile(file=file, sha256=entry.sha256, size_bytes=entry.size_bytes))
            sources[file] = path
        golden = ReleaseGolden(
            samples=source.golden.samples,
            tolerance=source.golden.tolerance,
            outputs=tuple(
                OutputSpec(name=spec.name, dtype=spec.dtype, shape=spec.fixed_shape(), step=spec.step)
                for spec in source.signature.outputs
            ),
        )
    found = source.verification.accuracy
    accuracy = None
    if found is not None:
        accuracy = ReleaseAccuracy(
            metric=found.metric,
            value=found.value,
            source_value=found.source_value,
            flips=found.flips,
            samples=found.samples,
        )
    manifest = ReleaseManifest(
        name=_name(name, source.name),
        version=_version(version, source.model.sha256),
        model=files[0],
        files=tuple(files),
        format=source.format,
        recipe=source.recipe,
        golden=golden,
        accuracy=accuracy,
    )
    return Payload(manifest, sources)


def payload_of_model(model: ModelInfo, name: str | None, version: str | None) -> Payload:
    """A bare model file as a release without golden outputs."""
    path = Path(model.path)
    entry = ReleaseFile(file=f"model.{model.format}", sha256=model.sha256, size_bytes=model.size_bytes)
    manifest = ReleaseManifest(
        name=_name(name, path.stem),
        version=_version(version, model.sha256),
        model=entry,
        files=(entry,),
        format=model.format,
        recipe=None,
    )
    return Payload(manifest, {entry.file: path})


def _name(given: str | None, stem: str) -> str:
    return checked_name(given, "release name") if given is not None else name_from_file(stem)


def _version(given: str | None, sha256: str) -> str:
    return checked_name(given, "version") if given is not None else sha256[:VERSION_DIGITS]


def decide(payload: Payload, there: OnDevice, *, activate: bool, smoke: bool = True) -> Action:
    """What a push has to do. Raises InputError E_RELEASE_EXISTS: a version is never given another model."""
    wanted = payload.manifest
    if there.damaged:
        return "repair"
    if there.manifest is None:
        return "send"
    if there.manifest.model.sha256 != wanted.model.sha256:
        raise InputError(
            f"{wanted.name}@{wanted.version} is on the device with other content",
            code="E_RELEASE_EXISTS",
            hint="releases never change: give another --version, or none, or remove that one first",
        )
    if _is_damaged(there) or _says_more(wanted, there.manifest):
        return "repair"
    if activate and there.current != wanted.version:
        return "check" if smoke and there.manifest.smoke != "passed" else "activate"
    return "unchanged"


def _is_damaged(there: OnDevice) -> bool:
    assert there.manifest is not None
    return any(there.hashes.get(entry.file) != entry.sha256 for entry in there.manifest.files)


def _says_more(wanted: ReleaseManifest, there: ReleaseManifest) -> bool:
    """Whether the new push brings golden outputs, an accuracy or a recipe that the release there lacks or has
    otherwise. A bare model file brings none of them, and takes none away."""
    pairs = (
        (wanted.golden, there.golden),
        (wanted.accuracy, there.accuracy),
        (wanted.recipe, there.recipe),
        (wanted.golden and wanted.files, there.golden and there.files),
    )
    return any(new is not None and new != old for new, old in pairs)
