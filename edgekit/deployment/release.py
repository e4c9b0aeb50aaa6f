"""A release's manifest, what a device has of it, and what follows from both. Pure.

A release is a folder on the device that never changes once it is complete:

    models/NAME/VERSION/manifest.json     schema edgekit.release/1: names, hashes, recipe, what the smoke run said
    models/NAME/VERSION/model.tflite      one file, or several: model.onnx and its external data, model.mlpackage/...
    models/NAME/VERSION/golden/...        inputs and expected outputs, where the artifact has them
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import msgspec

from edgekit.errors import DeviceError, InputError
from edgekit.models.info import ITEM_BYTES
from edgekit.names import is_name

SCHEMA = "edgekit.release/1"
MANIFEST = "manifest.json"
CONTENT_DIGITS = 12
GOLDEN_INPUTS = "golden/inputs.bin"
GOLDEN_OUTPUTS = "golden/outputs.bin"

Smoke = Literal["passed", "unchecked"]
_Share = Annotated[float, msgspec.Meta(ge=0)]
_Sha256 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_Bytes = Annotated[int, msgspec.Meta(ge=0)]


class ReleaseFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`file` is relative to the release's folder. Hash and size are checked where a device says them: the hash is a
    file's name in this host's cache."""

    file: str
    sha256: _Sha256
    size_bytes: _Bytes


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
    data_sha256: str | None = None
    """Of the evaluation data, where it was a file."""


class ReleaseManifest(msgspec.Struct, frozen=True, kw_only=True):
    """Unknown fields are read over: a newer edgekit may have written more."""

    schema: str = SCHEMA
    name: str
    version: str
    model: ReleaseFile
    files: tuple[ReleaseFile, ...]
    format: str
    recipe: str | None
    recipe_sha256: str | None = None
    golden: ReleaseGolden | None = None
    accuracy: ReleaseAccuracy | None = None
    smoke: Smoke = "unchecked"
    smoke_reason: str | None = None
    pushed_at: str = ""
    edgekit_version: str = ""

    def encode(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"

    @property
    def sha256(self) -> str:
        """Of the model: its file's, or, where it has several files, of their sorted list."""
        return content_sha256(self.files)


def content_sha256(files: Iterable[ReleaseFile]) -> str:
    """The golden samples are not part of the model. Of several files: of one line "sha256  name" each, sorted."""
    parts = sorted((e.file, e.sha256) for e in files if e.file not in (GOLDEN_INPUTS, GOLDEN_OUTPUTS))
    if len(parts) == 1:
        return parts[0][1]
    return hashlib.sha256("".join(f"{sha256}  {file}\n" for file, sha256 in parts).encode()).hexdigest()


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

    @property
    def content(self) -> str:
        """Names what is sent, golden samples included: a push that was cut off goes on only with the same bytes."""
        whole = "".join(f"{e.sha256} {e.file}\n" for e in self.manifest.files)
        return hashlib.sha256(whole.encode()).hexdigest()[:CONTENT_DIGITS]


@dataclass(frozen=True)
class OnDevice:
    """What was read from the device about this name and version."""

    current: str | None
    manifest: ReleaseManifest | None
    hashes: Mapping[str, str | None] = field(default_factory=dict)
    """Of the release's files, computed there from the bytes, now; None where a file is missing."""
    damaged: bool = False
    """There is a manifest that cannot be read, or a folder without one."""


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
    if not re.fullmatch(r"edgekit\.release/[0-9]+", manifest.schema):
        raise DeviceError(
            f"a release's manifest on the device is damaged: its schema is {manifest.schema[:40]!r}",
            code="E_RELEASE_DAMAGED",
            device=device,
            hint="push it again",
        )
    if manifest.schema != SCHEMA:
        raise DeviceError(
            f"the release has schema '{manifest.schema}'; this edgekit reads '{SCHEMA}'",
            code="E_RELEASE_SCHEMA",
            device=device,
            hint="use the edgekit that pushed it, or a newer one",
        )
    if (wrong := _what_cannot_be(manifest)) is not None:
        raise DeviceError(
            f"a release's manifest on the device is damaged: {wrong}",
            code="E_RELEASE_DAMAGED",
            device=device,
            hint="push it again",
        )
    return manifest


def _what_cannot_be(manifest: ReleaseManifest) -> str | None:
    """What no edgekit writes: names that are none, files outside of the release's folder, dtypes that nobody knows."""
    if not is_name(manifest.name) or not is_name(manifest.version):
        return f"no release is called {manifest.name[:90]!r}@{manifest.version[:90]!r}"
    for entry in (manifest.model, *manifest.files):
        parts = PurePosixPath(entry.file).parts
        if not parts or entry.file.startswith("/") or ".." in parts or not entry.file.isprintable():
            return f"no file of a release is called {entry.file[:90]!r}"
    outputs = manifest.golden.outputs if manifest.golden is not None else ()
    if unknown := {spec.dtype for spec in outputs} - set(ITEM_BYTES):
        return f"no dtype is called {sorted(unknown)}"
    return None


def decide(payload: Payload, there: OnDevice, *, activate: bool, smoke: bool = True) -> Action:
    """What a push has to do. Raises InputError E_RELEASE_EXISTS: a version is never given another model."""
    wanted = payload.manifest
    if there.damaged:
        return "repair"
    if there.manifest is None:
        return "send"
    if there.manifest.sha256 != wanted.sha256:
        raise InputError(
            f"{wanted.name}@{wanted.version} is on the device with other content",
            code="E_RELEASE_EXISTS",
            hint="releases never change: give another --version, or none, or remove that one first",
        )
    if _is_damaged(there):
        return "repair"
    if _says_more(wanted, there.manifest) and (smoke or not _was_told_otherwise(wanted, there.manifest)):
        return "repair"
    if activate and there.current != wanted.version:
        return "check" if smoke and there.manifest.smoke != "passed" else "activate"
    return "unchanged"


def _is_damaged(there: OnDevice) -> bool:
    assert there.manifest is not None
    return any(there.hashes.get(entry.file) != entry.sha256 for entry in there.manifest.files)


def _was_told_otherwise(wanted: ReleaseManifest, there: ReleaseManifest) -> bool:
    """A push that is not tried adds golden outputs or an accuracy where there are none, and takes nothing from a release
    that was tried."""
    pairs = ((wanted.golden, there.golden), (wanted.accuracy, there.accuracy), (wanted.recipe, there.recipe))
    return there.smoke == "passed" and any(old is not None and new != old for new, old in pairs)


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
