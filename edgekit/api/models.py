"""A model file, made ready for a device."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit._version import __version__
from edgekit.cache import cache_dir, host_errors, sha256_file
from edgekit.errors import InputError, VerificationError
from edgekit.events import Event, Sink, ignore
from edgekit.models import Artifact, ModelInfo, is_artifact, open_model

if TYPE_CHECKING:
    from edgekit.profiles import Profile


def convert(
    source: str | Path,
    *,
    profile: Profile | str | None = None,
    recipe: str | None = None,
    calibration: str | Path | None = None,
    evaluation: str | Path | None = None,
    output: str | Path | None = None,
    name: str | None = None,
    to: str | None = None,
    sink: Sink = ignore,
) -> Artifact:
    """Quantize and convert `source`, and compare the result with it by numbers.

    `profile`: a loaded one, or a name or file. `calibration`, `evaluation`: .npz files with the model's
    inputs (and `labels`). `output`: the artifact's folder (default: one in the cache).

    Raises ModelError, ProfileError, InputError for what is given; MissingExtra where a framework is missing;
    VerificationError where the result is wrong or its accuracy dropped too far.
    """
    from edgekit.conversion import convert as work

    resolved = _profile(profile)
    made_of = (source, recipe, calibration, evaluation, resolved.sha256 if resolved is not None else None, to)
    target = Path(output) if output is not None else _cached_output(source, name, made_of)
    return work(
        source,
        profile=resolved,
        recipe=recipe,
        calibration=Path(calibration) if calibration is not None else None,
        evaluation=Path(evaluation) if evaluation is not None else None,
        output=target,
        name=name,
        to=to,
        sink=sink,
    )


def conversion_document(artifact: Artifact, seconds: float) -> dict[str, Any]:
    """The JSON of a conversion, as docs/cli.md promises it."""
    manifest = artifact.manifest
    return {
        "artifact": str(artifact.path),
        "name": manifest.name,
        "format": manifest.format,
        "recipe": manifest.recipe,
        "sha256": manifest.model.sha256,
        "size_bytes": manifest.model.size_bytes,
        "source": manifest.source,
        "profile": manifest.profile,
        "verification": manifest.verification,
        "notes": list(manifest.notes),
        "seconds": seconds,
    }


def _profile(profile: Profile | str | None) -> Profile | None:
    if isinstance(profile, str):
        from edgekit.profiles import load_profile

        return load_profile(profile)
    return profile


def _cached_output(source: str | Path, name: str | None, made_of: Sequence[object]) -> Path:
    """A folder of the cache, named by what the artifact is made of: other data, another folder."""
    digest = hashlib.sha256(__version__.encode())
    for part in made_of:
        path = Path(part) if isinstance(part, str | Path) else None
        if path is not None and path.is_file():
            with host_errors(path):
                digest.update(sha256_file(path).encode())
        digest.update(f"\0{part}\0".encode())
    return cache_dir("artifacts", digest.hexdigest()[:16]) / f"{name or Path(source).stem or 'model'}.ekm"


def prepare(
    source: str | Path | Artifact | ModelInfo,
    *,
    profile: Profile | None,
    recipe: str | None = None,
    calibration: str | Path | None = None,
    evaluation: str | Path | None = None,
    name: str | None = None,
    sink: Sink = ignore,
) -> Artifact | ModelInfo:
    """What a push sends: an artifact as it is, a model file as it is or, where a recipe or data are given or
    the profile does not take its format, converted first."""
    asked = recipe is not None or calibration is not None or evaluation is not None
    if isinstance(source, Artifact | ModelInfo) or is_artifact(source):
        refuse_options(source, asked=asked)
        return source if isinstance(source, Artifact | ModelInfo) else Artifact.load(source)
    model = open_model(Path(source))
    formats = profile.formats if profile is not None else ()
    if not asked and model.format == "tflite" and (not formats or model.format in formats):
        return model
    sink(
        Event(
            "convert", message=f"{model.format} file; converting for {profile.name if profile else 'tflite'}"
        )
    )
    return convert(
        source,
        profile=profile,
        recipe=recipe,
        calibration=calibration,
        evaluation=evaluation,
        name=name,
        sink=sink,
    )


def refuse_options(source: str | Path | Artifact | ModelInfo, *, asked: bool) -> None:
    """Raises InputError E_ALREADY_CONVERTED: what is converted already is not converted again."""
    if asked:
        name = source if isinstance(source, str | Path) else source.path
        raise InputError(
            f"{name} is converted already: a recipe or data would change nothing",
            code="E_ALREADY_CONVERTED",
            hint="give the source model, or leave out --recipe, --calibration and --evaluation",
        )


def require_conclusive(model: Artifact | ModelInfo, *, accept_inconclusive: bool) -> None:
    """Raises VerificationError E_INCONCLUSIVE where an artifact's verification proved nothing."""
    if isinstance(model, ModelInfo):
        return
    found = model.manifest.verification
    if found.state == "failed":
        raise VerificationError(
            f"the artifact's verification failed: {'; '.join(found.reasons)}", hint="convert it again"
        )
    if found.state == "inconclusive" and not accept_inconclusive:
        raise VerificationError(
            f"the artifact's verification was inconclusive: {'; '.join(found.reasons)}",
            code="E_INCONCLUSIVE",
            hint="give --evaluation data that the model tells apart, or --accept-inconclusive",
        )
