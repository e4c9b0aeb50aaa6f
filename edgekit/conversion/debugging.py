"""What `--debug-layers` does with one conversion."""

from __future__ import annotations

import msgspec

from edgekit.conversion.job import Job, Result
from edgekit.conversion.layers import (
    LayerReport,
    debug_layers,
    probes_for,
    quantized_layers,
    tracer_for_source,
    tracer_for_target,
)
from edgekit.conversion.layers.quantized import MAX_SAMPLES
from edgekit.conversion.packing import INTEGER_GOLDEN_TOLERANCE
from edgekit.conversion.samples import Samples
from edgekit.conversion.verify import TOLERANCES
from edgekit.errors import ModelError
from edgekit.events import Event


def layers_of(job: Job, result: Result, samples: Samples) -> LayerReport:
    """Both models traced on the first samples. Raises ModelError, MissingExtra."""
    job.sink(Event("verify", "tracing both models operator by operator"))
    report = debug_layers(
        tracer_for_source(job.source),
        tracer_for_target(job.target.format, result.made.path, result.host, result.pairing),
        samples.inputs,
        TOLERANCES.get(result.recipe.arithmetic, INTEGER_GOLDEN_TOLERANCE),
        source_name=job.source.origin.name,
        target_name=f"{job.target.name} {result.recipe.name}",
    )
    return _with_quantized(report, job, result, samples)


def _with_quantized(report: LayerReport, job: Job, result: Result, samples: Samples) -> LayerReport:
    """The report with what each quantized operator costs, where the target has the float model still."""
    before = result.made.unquantized
    if before is None:
        return report
    try:
        probes = probes_for(job.target.format, before, result.made.path)
        if probes is None:
            return report
        given = [result.pairing.to_result(sample) for sample in samples.inputs[:MAX_SAMPLES]]
        found = quantized_layers(*probes, given)
    except ModelError as error:  # the comparison with the source stands without it
        note = f"what each quantized operator costs cannot be told: {error.message}"
        return msgspec.structs.replace(report, notes=(*report.notes, note))
    return msgspec.structs.replace(report, quantized=found)
