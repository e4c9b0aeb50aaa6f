"""`inspect --verify`: an artifact's model run here again on its golden inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from edgekit import registry
from edgekit.conversion.metrics import OutputGatherer
from edgekit.conversion.targets.base import Target
from edgekit.errors import InputError, VerificationError
from edgekit.models.artifact import Artifact
from edgekit.models.info import TensorSpec
from edgekit.models.manifest import OutputError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


class Reverified(msgspec.Struct, frozen=True, kw_only=True):
    """What running the model again gave, against what the artifact says."""

    samples: int
    tolerance: float
    outputs: tuple[OutputError, ...]


def verify_again(artifact: Artifact) -> Reverified:
    """Run the model on the artifact's golden inputs and compare with its golden outputs.

    Raises InputError E_NO_GOLDEN, E_NO_TARGET; MissingExtra; ModelError (E_MODEL_LOAD, E_MODEL_RUN);
    VerificationError E_GOLDEN where an output is off by more than the artifact allows.
    """
    manifest = artifact.manifest
    golden = manifest.golden
    if golden is None or artifact.golden_inputs_path is None or artifact.golden_outputs_path is None:
        raise InputError(
            f"{artifact.path} has no golden inputs to run", code="E_NO_GOLDEN", hint="convert it again"
        )
    host = _target(manifest.format).open(artifact.model_path, manifest.signature, manifest.name)
    inputs = _unpacked(artifact.golden_inputs_path.read_bytes(), manifest.signature.inputs, golden.samples)
    expected = _unpacked(
        artifact.golden_outputs_path.read_bytes(), manifest.signature.outputs, golden.samples
    )
    import numpy as np

    differ: set[str] = set()
    gatherers = [OutputGatherer(spec.name) for spec in manifest.signature.outputs]
    for sample, wanted in zip(inputs, expected, strict=True):
        for gatherer, before, after in zip(gatherers, wanted, host.run(sample), strict=True):
            if not np.array_equal(before, after, equal_nan=before.dtype.kind in "fc"):
                differ.add(gatherer.name)
            gatherer.add(before, after)
    found = tuple(gatherer.result() for gatherer in gatherers)
    for spec, output in zip(manifest.signature.outputs, found, strict=True):
        allowed = max(golden.tolerance * output.largest_output, spec.step or 0.0, 1.0 if spec.scale else 0.0)
        if spec.name in differ and (output.max_abs_error is None or output.max_abs_error > allowed):
            raise VerificationError(
                f"run again, output '{spec.name}' of {manifest.name} is off by {output.max_abs_error}"
                f" (allowed: {allowed:.3g}) {output.degenerate or ''}".rstrip(),
                code="E_GOLDEN",
                hint="another version of the runtime computes otherwise, or the artifact was not made by edgekit",
            )
    return Reverified(samples=golden.samples, tolerance=golden.tolerance, outputs=found)


def _target(wanted: str) -> Target:
    """The installed target of a format (its name may differ: coreml makes mlpackage)."""
    for name in sorted(registry.plugins("targets")):
        plugin = registry.load("targets", name)
        target: Target = plugin() if isinstance(plugin, type) else plugin
        if target.format == wanted:
            return target
    raise InputError(
        f"nothing installed here runs {wanted} models",
        code="E_NO_TARGET",
        hint="pip install edgekit-ios" if wanted == "mlpackage" else "`edgekit plugins` lists the targets",
    )


def _unpacked(data: bytes, specs: tuple[TensorSpec, ...], count: int) -> list[list[Array]]:
    """Samples from raw bytes. Raises VerificationError E_GOLDEN where sizes do not fit the signature."""
    import numpy as np

    size_bytes = sum(spec.size_bytes() for spec in specs)
    if len(data) != size_bytes * count:
        raise VerificationError(
            f"golden data has {len(data)} bytes, {count} samples of the signature have {size_bytes * count}",
            code="E_GOLDEN",
            hint="convert it again",
        )
    samples, at = [], 0
    for _ in range(count):
        sample = []
        for spec in specs:
            part = np.frombuffer(data, spec.dtype, spec.size_bytes() // np.dtype(spec.dtype).itemsize, at)
            sample.append(part.reshape(spec.fixed_shape()))
            at += spec.size_bytes()
        samples.append(sample)
    return samples
