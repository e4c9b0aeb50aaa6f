"""A verified conversion as an artifact: manifest, golden samples, files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from edgekit._version import __version__
from edgekit.conversion.calibration import CalibrationData
from edgekit.conversion.datasets import DataSet
from edgekit.conversion.extras import versions
from edgekit.conversion.hosts.base import to_stored
from edgekit.conversion.job import Job, Result
from edgekit.conversion.layout import with_layouts
from edgekit.conversion.samples import GOLDEN_COUNT, Samples, raw, spread
from edgekit.conversion.task import UserMetric
from edgekit.errors import ModelError
from edgekit.models.artifact import Artifact, entry_for, write_artifact
from edgekit.models.info import Signature, TensorSpec
from edgekit.models.manifest import MANIFEST, Golden, Manifest, Named, Verification

_GOLDEN_INPUTS, _GOLDEN_OUTPUTS = "golden/inputs.bin", "golden/outputs.bin"
GOLDEN_TOLERANCES = {"float32": 1e-5, "float16": 2e-3}
"""Another processor picks other kernels, which add in another order; integer models round differently too."""
INTEGER_GOLDEN_TOLERANCE = 0.05


NO_GOLDEN = "the size of its outputs depends on the data: no golden outputs to check on the device"


def write(
    job: Job, result: Result, samples: Samples, verification: Verification, label: str, folder: Path
) -> Artifact:
    made, profile = result.made, job.profile
    signature, golden, files = _golden(result, samples, job.source.signature, job.options.layout)
    model = entry_for(f"model{job.target.suffix}", made.path)
    extra = tuple(entry_for(_beside(path, made.path), path) for path in made.extra)
    _refuse_clash([model.file, *(entry.file for entry in extra)])
    manifest = Manifest(
        name=label,
        format=job.target.format,
        recipe=result.recipe.name,
        recipe_sha256=result.recipe.sha256,
        model=model,
        files=extra,
        source=job.source.origin,
        layout=job.options.layout,
        boundary=result.pairing.changed,
        profile=Named(name=profile.name, sha256=profile.sha256) if profile else None,
        calibration=_named(job.calibration),
        evaluation=_named(job.evaluation if job.evaluation is not None else job.metric),
        tools={"edgekit": __version__, **versions("numpy"), **job.source.tools, **made.tools},
        signature=signature,
        quantization=made.info.quantization if made.info else None,
        ranges=made.ranges,
        rescue=result.rescue,
        verification=verification,
        golden=golden,
        notes=(
            *([NO_GOLDEN] if golden is None else []),
            *job.source.notes,
            *result.notes,
            *made.notes,
            *map(_changed, result.pairing.changed),
        ),
    )
    contents: dict[str, bytes | Path] = {model.file: made.path, **files}
    contents |= {entry.file: path for entry, path in zip(extra, made.extra, strict=True)}
    return write_artifact(folder, manifest, contents)


def _beside(path: Path, model: Path) -> str:
    """The name that a model has for a file of its own: from the model's folder."""
    return path.relative_to(model.parent).as_posix()


def _refuse_clash(names: list[str]) -> None:
    """Raises ModelError E_MODEL_EXTERNAL_DATA where the model's own files are named like an artifact's."""
    taken = [*names, MANIFEST]
    if len(set(taken)) < len(taken) or any(name.split("/")[0] == "golden" for name in names):
        raise ModelError(
            f"the model's files {', '.join(names)} clash with those of an artifact",
            code="E_MODEL_EXTERNAL_DATA",
            hint="save it with another name for its external data",
        )


def _changed(boundary: Any) -> str:
    """One line for an input or output that the caller of the model has to know about."""
    parts = []
    if boundary.permutation is not None:
        before, after = ("x".join(map(str, shape)) for shape in (boundary.source_shape, boundary.shape))
        parts.append(f"{before} became {after} (axes {', '.join(map(str, boundary.permutation))})")
    if boundary.dtype != boundary.source_dtype:
        parts.append(f"{boundary.source_dtype} became {boundary.dtype}")
    return f"{boundary.kind} '{boundary.name}': {'; '.join(parts)}"


def _golden(
    result: Result, samples: Samples, source: Signature, layout: str
) -> tuple[Signature, Golden | None, dict[str, bytes]]:
    """A few samples with what the converted model gives for them here, for the check on the device; and the signature
    with the sizes that they have, where the model leaves more than the batch open."""
    specs = result.made.signature.inputs
    picked = [samples.inputs[i] for i in spread(len(samples.inputs), GOLDEN_COUNT)]
    given = [
        [to_stored(v, s) for v, s in zip(result.pairing.to_result(sample), specs, strict=True)]
        for sample in picked
    ]
    results = [result.host.run(sample) for sample in given]
    if len({tuple(value.shape for value in outputs) for outputs in results}) > 1:
        # Outputs as long as the data make them: there is no one size to compare a device's with.
        return with_layouts(result.made.signature, source, layout), None, {}
    inputs, outputs = raw(given), raw(results)
    signature = msgspec.structs.replace(
        result.made.signature,
        inputs=tuple(map(_sized, specs, given[0])),
        outputs=tuple(map(_sized, result.made.signature.outputs, results[0])),
    )
    signature = with_layouts(signature, source, layout)
    golden = Golden(
        samples=len(picked),
        inputs=entry_for(_GOLDEN_INPUTS, inputs),
        outputs=entry_for(_GOLDEN_OUTPUTS, outputs),
        tolerance=GOLDEN_TOLERANCES.get(result.recipe.arithmetic, INTEGER_GOLDEN_TOLERANCE),
    )
    return signature, golden, {_GOLDEN_INPUTS: inputs, _GOLDEN_OUTPUTS: outputs}


def _sized(spec: TensorSpec, value: Any) -> TensorSpec:
    if spec.fixed_shape() == value.shape:
        return spec
    return msgspec.structs.replace(spec, shape=tuple(int(size) for size in value.shape))


def _named(data: DataSet | CalibrationData | UserMetric | None) -> Named | None:
    if data is None:
        return None
    return Named(
        name=data.name, sha256=data.sha256, samples=None if isinstance(data, UserMetric) else len(data)
    )
