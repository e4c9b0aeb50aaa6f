"""Which tracer a loaded source and a converted file get."""

from __future__ import annotations

from pathlib import Path

from edgekit.conversion.hosts.base import HostModel, run_real
from edgekit.conversion.layers.keras_trace import TensorflowTracer
from edgekit.conversion.layers.mil_trace import OutputsOnly, Traced, TracedModel
from edgekit.conversion.layers.onnx_probe import OnnxProbe
from edgekit.conversion.layers.onnx_trace import OnnxTracer
from edgekit.conversion.layers.quantized import Probe
from edgekit.conversion.layers.tflite_probe import TfliteProbe
from edgekit.conversion.layers.tflite_trace import TfliteTracer
from edgekit.conversion.layers.torch_trace import TorchTracer
from edgekit.conversion.layers.trace import Tracer
from edgekit.conversion.layout import Pairing
from edgekit.conversion.sources.base import LoadedSource
from edgekit.models.info import Format


def tracer_for_source(loaded: LoadedSource) -> Tracer:
    """A tracer for a source as it was loaded. Raises MissingExtra, ModelError (E_LAYERS, E_MODEL_LOAD)."""
    model = loaded.model
    if loaded.framework == "torch":
        if model.program is not None:
            return TorchTracer(model.program)
        return OutputsOnly(loaded.run, "the source has no graph: only its outputs could be compared")
    if loaded.framework == "keras":
        ins = [spec.name for spec in loaded.signature.inputs]
        outs = [spec.name for spec in loaded.signature.outputs]
        return TensorflowTracer(model.concrete(), ins, outs)
    if loaded.framework == "onnx":
        return OnnxTracer(model.path)
    return TfliteTracer(model.data, loaded.name)


def tracer_for_target(format: Format, path: Path, host: HostModel, pairing: Pairing | None) -> Tracer:  # noqa: A002
    """A tracer for a converted model.

    `path`: its file; `host`: the model as its target plug-in opened it, which is asked for what is inside where it
    has `run_traced`; `pairing`: how the source's inputs and outputs are the model's. Raises MissingExtra, ModelError.
    """
    if format == "tflite":
        return TfliteTracer(path.read_bytes(), path.name, pairing)
    if format == "onnx":
        return OnnxTracer(path, pairing)
    if isinstance(host, Traced):
        return TracedModel(host, pairing)
    why = f"the {format} runtime does not show what is inside a model: only its outputs could be compared"
    return OutputsOnly(lambda sample: run_real(host, sample), why, pairing)


def probes_for(format: Format, before: Path, after: Path) -> tuple[Probe, Probe] | None:  # noqa: A002
    """A float model and the one that was quantized from it, whose operators can be run one by one; None for a format of
    which that is not known here. Raises MissingExtra, ModelError (E_MODEL_LOAD, E_MODEL_LARGE)."""
    if format == "tflite":
        return TfliteProbe(before.read_bytes(), before.name), TfliteProbe(after.read_bytes(), after.name)
    if format == "onnx":
        source = OnnxProbe(before)
        return source, OnnxProbe(after, source)
    return None
