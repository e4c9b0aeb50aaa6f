"""A model file, made ready for a device."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from edgekit._version import __version__
from edgekit.cache import cache_dir, host_errors, sha256_file
from edgekit.errors import InputError, ModelError, VerificationError
from edgekit.events import Event, Sink, ignore
from edgekit.models import Artifact, ModelInfo, is_artifact, open_model

if TYPE_CHECKING:
    from edgekit.benchmarking import BenchOptions
    from edgekit.conversion import Conversion, ConvertOptions, ConvertWishes
    from edgekit.devices import Device
    from edgekit.profiles import Profile

RUN_AS_THEY_ARE = ("tflite", "onnx")
"""Formats of model files that a native runner takes: without wishes there is nothing to convert for."""
NOTHING_IS_MADE_OF = ("pte",)
"""What a conversion ends with and none begins with: it is sent as it is, to whatever device."""


def convert(
    source: str | Path,
    *,
    profile: Profile | str | None = None,
    output: str | Path | None = None,
    name: str | None = None,
    device: Device | None = None,
    sink: Sink = ignore,
    **wishes: Unpack[ConvertWishes],
) -> Artifact:
    """Quantize and convert `source`, and compare the result with it by numbers.

    `source`: a .tflite, .onnx, .pt2, TorchScript or Keras file, a SavedModel folder, or `package.module:factory`.
    `profile`: a loaded one, or a name or file. `wishes`: the fields of ConvertOptions (recipe, calibration, evaluation,
    to, layout, shapes, trust, cache). `output`: the artifact's folder (default: one in the cache). With recipe "auto" every
    recipe that is possible is made, and measured where there is a `device`; with `rescue` its price is measured there.

    Raises ModelError, ProfileError, InputError for what is given; MissingExtra where a framework is missing;
    VerificationError where the result is wrong or its accuracy dropped too far.
    """
    done = converted(source, profile=profile, output=output, name=name, device=device, sink=sink, **wishes)
    return done.artifact


def converted(
    source: str | Path,
    *,
    profile: Profile | str | None = None,
    output: str | Path | None = None,
    name: str | None = None,
    debug_layers: bool = False,
    device: Device | None = None,
    bench: BenchOptions | None = None,
    sink: Sink = ignore,
    **wishes: Unpack[ConvertWishes],
) -> Conversion:
    """`convert`, with the time that each phase took and, where asked for, the trace of both models.

    `device`, `bench`: where and how recipe "auto", and what a rescue costs, is measured."""
    from edgekit.api.auto import AUTO, convert_auto
    from edgekit.conversion import ConvertOptions
    from edgekit.conversion import convert as work

    resolved = _profile(profile)
    options = ConvertOptions(**wishes)
    target = Path(output) if output is not None else _cached_output(source, name, resolved, options)
    if options.recipe == AUTO:
        if debug_layers:
            raise InputError(
                "--debug-layers traces one recipe, auto makes several",
                code="E_RECIPE",
                hint="name the recipe that auto picked",
            )
        return convert_auto(
            source,
            profile=resolved,
            output=target,
            name=name,
            device=device,
            options=bench,
            sink=sink,
            **wishes,
        )
    weigh = None
    if device is not None and options.rescue:
        from edgekit.api.rescue_price import weigher

        weigh = weigher(device, resolved, bench, sink)
    return work(
        source,
        profile=resolved,
        options=options,
        output=target,
        name=name,
        debug_layers=debug_layers,
        weigh=weigh,
        sink=sink,
    )


@dataclass(frozen=True)
class ZipPlace:
    """Where a conversion writes its folder, and the archive that is made of it."""

    path: Path
    archive: Path | None

    def finished(self, artifact: Artifact) -> Artifact:
        """The artifact at its final place. Raises HostError."""
        if self.archive is None:
            return artifact
        from edgekit.models.artifact_zip import write_zip

        write_zip(artifact.path, self.archive)
        return Artifact(path=self.archive, manifest=artifact.manifest)


@contextmanager
def zipped(output: str | Path, as_zip: bool) -> Iterator[ZipPlace]:
    """A folder for a conversion: `output` itself, or one beside it for the time until it is one file.

    Raises ModelError E_OUTPUT_EXISTS where a zip archive would replace what is no artifact.
    """
    path = Path(output)
    if not as_zip:
        yield ZipPlace(path, None)
        return
    if path.exists() and not (path.is_file() and is_artifact(path)):
        raise ModelError(
            f"{path} exists and is not a zipped edgekit artifact",
            code="E_OUTPUT_EXISTS",
            hint="give another --output, or remove it yourself",
        )
    with host_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix=f".{path.name}.", suffix=".ek-tmp", dir=path.parent)
    with scratch as folder:
        yield ZipPlace(Path(folder) / "artifact.ekm", path)


def conversion_document(artifact: Artifact, seconds: float, done: Conversion | None = None) -> dict[str, Any]:
    """The JSON of a conversion, as docs/cli.md promises it."""
    manifest = artifact.manifest
    more: dict[str, Any] = {}
    if done is not None:
        more = {"cached": done.cached, "phase_seconds": done.seconds}
        if done.layers is not None:
            more["layers"] = done.layers
        if done.auto is not None:
            more["auto"] = {**asdict(done.auto.picked), "candidates": list(map(asdict, done.auto.candidates))}
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
        "boundary": manifest.boundary,
        "rescue": manifest.rescue,
        "notes": list(manifest.notes),
        "seconds": seconds,
        **more,
    }


def _profile(profile: Profile | str | None) -> Profile | None:
    if isinstance(profile, str):
        from edgekit.profiles import load_profile

        return load_profile(profile)
    return profile


def _cached_output(
    source: str | Path, name: str | None, profile: Profile | None, options: ConvertOptions
) -> Path:
    """A folder of the cache, named by what the artifact is made of: other data, another folder."""
    digest = hashlib.sha256(__version__.encode())
    wishes = [getattr(options, part.name) for part in fields(options)]
    for part in (source, profile.sha256 if profile is not None else None, *wishes):
        path = Path(part) if isinstance(part, str | Path) else None
        if path is not None and path.exists() and part is source:
            digest.update(open_model(path).sha256.encode())
        elif path is not None and path.is_file():
            with host_errors(path):
                digest.update(sha256_file(path).encode())
        digest.update(f"\0{part}\0".encode())
    return cache_dir("artifacts", digest.hexdigest()[:16]) / f"{name or Path(source).stem or 'model'}.ekm"


def prepare(
    source: str | Path | Artifact | ModelInfo,
    *,
    profile: Profile | None,
    name: str | None = None,
    sink: Sink = ignore,
    **wishes: Unpack[ConvertWishes],
) -> Artifact | ModelInfo:
    """What a push sends: an artifact as it is, a model file as it is or, where a recipe or data are given or
    no runtime of edgekit's or the profile takes its format, converted first."""
    from edgekit.conversion.options import ConvertOptions

    asked = ConvertOptions(**wishes).asked
    if isinstance(source, Artifact | ModelInfo) or is_artifact(source):
        refuse_options(source, asked=asked)
        return source if isinstance(source, Artifact | ModelInfo) else Artifact.load(source)
    is_code = not Path(source).exists() and ":" in str(source)
    model = None if is_code else open_model(Path(source))
    formats = profile.formats if profile is not None else ()
    if (
        model is not None
        and not asked
        and (
            model.format in NOTHING_IS_MADE_OF
            or (model.format in RUN_AS_THEY_ARE and (not formats or model.format in formats))
        )
    ):
        return model
    what = "code" if model is None else f"{model.format} file"
    sink(Event("convert", message=f"{what}; converting for {profile.name if profile else 'tflite'}"))
    return convert(source, profile=profile, name=name, sink=sink, **wishes)


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
