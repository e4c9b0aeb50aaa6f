"""A model on this host as a release to be: names of its own, hashes known, nothing copied."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from edgekit.cache import host_errors, sha256_file
from edgekit.deployment.release import (
    CONTENT_DIGITS,
    GOLDEN_INPUTS,
    GOLDEN_OUTPUTS,
    MANIFEST,
    OutputSpec,
    Payload,
    ReleaseAccuracy,
    ReleaseFile,
    ReleaseGolden,
    ReleaseManifest,
    content_sha256,
)
from edgekit.devices.layout import name_from_file
from edgekit.errors import GateError, InputError
from edgekit.models import Artifact, ModelInfo
from edgekit.models.manifest import FileEntry, Manifest
from edgekit.names import checked_name

if TYPE_CHECKING:
    from edgekit.profiles import Profile

MAX_FILES = 900
"""Of one release: an answer about all of them still fits a frame of the agent's protocol."""


def payload_of(model: Artifact | ModelInfo, name: str | None, version: str | None) -> Payload:
    """Raises InputError E_NAME, E_SEVERAL_FILES."""
    if isinstance(model, Artifact):
        return payload_of_artifact(model, name, version)
    return payload_of_model(model, name, version)


def payload_of_artifact(artifact: Artifact, name: str | None, version: str | None) -> Payload:
    """The artifact's model and golden files under the release's own names."""
    source = artifact.manifest
    model_file = "model" + Path(source.model.file).suffix
    golden_files = _golden_files(artifact)
    _check_apart((entry.file for entry in source.files), (model_file, *(file for file, _, _ in golden_files)))
    sources = _model_files(artifact, model_file)
    files = [_entry(artifact, file, path) for file, path in sources.items()]
    golden = _golden(source)
    for file, entry, path in golden_files:
        files.append(ReleaseFile(file=file, sha256=entry.sha256, size_bytes=entry.size_bytes))
        sources[file] = path
    _check_names(sources)
    model = ReleaseFile(file=model_file, sha256=source.model.sha256, size_bytes=source.model.size_bytes)
    manifest = ReleaseManifest(
        name=_name(name, source.name),
        version=_version(version, content_sha256(files)),
        model=model,
        files=tuple(files),
        format=source.format,
        recipe=source.recipe,
        recipe_sha256=source.recipe_sha256 or None,
        golden=golden,
        accuracy=_accuracy(source),
    )
    return Payload(manifest, sources)


def payload_of_model(model: ModelInfo, name: str | None, version: str | None) -> Payload:
    """A bare model file, with the files that its weights are in, as a release without golden outputs."""
    path = Path(model.path)
    if path.is_dir():
        raise InputError(
            f"{path.name} is a folder: it is pushed as an artifact",
            code="E_SEVERAL_FILES",
            hint="convert its source with edgekit convert, and push the artifact",
        )
    model_file = f"model.{model.format}"
    _check_apart(model.external_files, (model_file,))
    # by the names that are in the model
    sources = {model_file: path} | {file: path.parent / file for file in model.external_files}
    _check_names(sources)
    if model.external_files:
        files = tuple(_hashed(file, place) for file, place in sources.items())
    else:
        files = (ReleaseFile(file=next(iter(sources)), sha256=model.sha256, size_bytes=model.size_bytes),)
    manifest = ReleaseManifest(
        name=_name(name, path.stem),
        version=_version(version, content_sha256(files)),
        model=files[0],
        files=files,
        format=model.format,
        recipe=None,
    )
    return Payload(manifest, sources)


def check_size(payload: Payload, profile: Profile | None, device: str) -> None:
    """Raises GateError E_LIMIT where the profile allows no model as large as this."""
    limit = profile.limits.model_size_bytes if profile is not None else None
    size = payload.manifest.model.size_bytes
    if limit is not None and profile is not None and size > limit:
        raise GateError(
            f"the model has {size} bytes; the profile {profile.name} allows {limit}",
            code="E_LIMIT",
            device=device,
            hint="a smaller recipe (edgekit convert --recipe int8-static), or another limit in the profile",
        )


def _model_files(artifact: Artifact, model_file: str) -> dict[str, Path]:
    """Release name to file: the model, or all files of a model that is a folder, and what lies beside it."""
    path = artifact.model_path
    if not path.is_dir():
        found = {model_file: path}
    else:
        with host_errors(path):
            inside = sorted(Path(root) / name for root, _, names in os.walk(path) for name in names)
        found = {f"{model_file}/{file.relative_to(path).as_posix()}": file for file in inside}
    return found | {entry.file: artifact.path / entry.file for entry in artifact.manifest.files}


def _entry(artifact: Artifact, file: str, path: Path) -> ReleaseFile:
    """Hashes that the artifact's manifest tells were checked when it was loaded; files of a folder have none there."""
    known = {artifact.model_path: artifact.manifest.model} if not artifact.model_path.is_dir() else {}
    known |= {artifact.path / entry.file: entry for entry in artifact.manifest.files}
    if (entry := known.get(path)) is not None:
        return ReleaseFile(file=file, sha256=entry.sha256, size_bytes=entry.size_bytes)
    return _hashed(file, path)


def _hashed(file: str, path: Path) -> ReleaseFile:
    with host_errors(path):
        return ReleaseFile(file=file, sha256=sha256_file(path), size_bytes=path.stat().st_size)


def _golden_files(artifact: Artifact) -> list[tuple[str, FileEntry, Path]]:
    golden, inputs, outputs = (
        artifact.manifest.golden,
        artifact.golden_inputs_path,
        artifact.golden_outputs_path,
    )
    if golden is None or inputs is None or outputs is None:
        return []
    return [(GOLDEN_INPUTS, golden.inputs, inputs), (GOLDEN_OUTPUTS, golden.outputs, outputs)]


def _golden(source: Manifest) -> ReleaseGolden | None:
    if source.golden is None:
        return None
    return ReleaseGolden(
        samples=source.golden.samples,
        tolerance=source.golden.tolerance,
        outputs=tuple(
            OutputSpec(name=spec.name, dtype=spec.dtype, shape=spec.fixed_shape(), step=spec.step)
            for spec in source.signature.outputs
        ),
    )


def _accuracy(source: Manifest) -> ReleaseAccuracy | None:
    found = source.verification.accuracy
    if found is None:
        return None
    return ReleaseAccuracy(
        metric=found.metric,
        value=found.value,
        source_value=found.source_value,
        flips=found.flips,
        samples=found.samples,
        data_sha256=source.evaluation.sha256 if source.evaluation is not None else None,
    )


def _check_apart(beside: Iterable[str], own: Sequence[str]) -> None:
    """Raises InputError E_NAME where a file beside the model has, or lies in, a name that the release gives itself."""
    for file in beside:
        for name in own:
            first, second = file.lower(), name.lower()  # as in _check_names
            if first == second or first.startswith(f"{second}/") or second.startswith(f"{first}/"):
                raise InputError(
                    f"the model's file {file!r} cannot lie beside the release's own {name!r}",
                    code="E_NAME",
                    hint="save the model with its weights under another name: onnx.save_model(model, path, "
                    "save_as_external_data=True, location='weights.bin')",
                )


def _check_names(sources: dict[str, Path]) -> None:
    """What an artifact calls its files becomes paths on a device: every part is a plain name of its own."""
    lower = [file.lower() for file in sources]  # Android's shared storage does not tell cases apart
    for file in sources:
        parts = PurePosixPath(file).parts
        hidden = any(part.startswith(".") or not part.isprintable() or len(part) > 200 for part in parts)
        if (
            file.startswith("/")
            or "\\" in file
            or hidden
            or file == MANIFEST
            or lower.count(file.lower()) > 1
        ):
            raise InputError(
                f"a file of the model cannot be called {file!r} in a release",
                code="E_NAME",
                hint="rename it, and convert again",
            )
    if len(sources) > MAX_FILES:
        raise InputError(
            f"the model has {len(sources)} files; a release may have {MAX_FILES}", code="E_SEVERAL_FILES"
        )


def _name(given: str | None, stem: str) -> str:
    return checked_name(given, "release name") if given is not None else name_from_file(stem)


def _version(given: str | None, sha256: str) -> str:
    return checked_name(given, "version") if given is not None else sha256[:CONTENT_DIGITS]
