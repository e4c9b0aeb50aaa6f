"""Ranges of an ONNX model's tensors over all calibration samples, one sample at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekit.conversion.extras import need, quiet
from edgekit.conversion.naming import short
from edgekit.conversion.ranges import Gatherer, Range
from edgekit.conversion.targets.base import Stream
from edgekit.conversion.targets.onnx_plan import Plan
from edgekit.errors import ModelError
from edgekit.events import Event, Sink

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_WHAT = "calibrating an ONNX model"
_FLOAT = 1  # onnx.TensorProto.FLOAT
_EVERY = 50


def find_ranges(model: Any, plan: Plan, samples: Stream, sink: Sink) -> tuple[Gatherer, dict[str, Range]]:
    """The ranges of the float tensors that static nodes read and write, by name. Only one sample's tensors are held at a
    time.

    `model`: onnx.ModelProto with the types of its tensors inferred. Raises MissingExtra, InputError E_DATA_VALUES (a
    tensor became NaN), ModelError E_MODEL_RUN.
    """
    onnx = need("onnx", "onnx", _WHAT)
    runtime = need("onnxruntime", "onnx", _WHAT)
    gatherer = Gatherer(plan.recipe.ranges.method, plan.recipe.ranges.percentile)
    stored = _stored(model, plan)
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    inputs = [place.name for place in model.graph.input if place.name not in _initializers(model)]
    known = {place.name for place in watched.graph.output}
    typed = {value.name: value for value in model.graph.value_info}
    watched.graph.output.extend(typed[name] for name in stored if name in typed and name not in known)
    names = [place.name for place in watched.graph.output if place.name in stored]
    options = runtime.SessionOptions()
    # What fusions hide is wanted here: every tensor between nodes.
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    try:
        with quiet():
            session = runtime.InferenceSession(
                watched.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
    except Exception as error:
        raise ModelError(
            f"ONNX Runtime does not load the model with its inner tensors as outputs: {short(error)}",
            code="E_MODEL_LOAD",
        ) from error
    total = len(samples)
    for index, sample in enumerate(samples):
        given = dict(zip(inputs, sample, strict=True))
        try:
            values = session.run(names, given)
        except Exception as error:  # onnxruntime's errors have no base of their own
            raise ModelError(
                f"the model does not run on calibration sample {index}: {short(error)}", code="E_MODEL_RUN"
            ) from error
        for name, value in (*zip(names, values, strict=True), *given.items()):
            if name in stored and value.dtype.kind == "f":
                gatherer.add(name, value, index)
        if index % _EVERY == 0:
            sink(Event("calibrate", done=index + 1, total=total, unit="samples"))
    sink(Event("calibrate", done=total, total=total, unit="samples"))
    return gatherer, _fixed(model, plan, gatherer.ranges(stored))


def _fixed(model: Any, plan: Plan, ranges: dict[str, Range]) -> dict[str, Range]:
    """Ranges that onnxruntime's quantizer does not ask for: what goes into nothing but a Relu or Clip needs to be held as
    far as what comes out, and a Softmax is stored from 0 to 1."""
    static = {p.name for p in plan.planned if p.scheme.activations.mode == "static"}
    uses = [name for node in model.graph.node for name in node.input]
    uses += [place.name for place in model.graph.output]
    fixed = dict(ranges)
    for node in model.graph.node:
        if node.name not in static:
            continue
        source, result = node.input[0], node.output[0]
        if node.op_type in ("Relu", "Clip") and uses.count(source) == 1 and {source, result} <= set(fixed):
            fixed[source] = fixed[result]
        elif node.op_type == "Softmax" and result in fixed:
            fixed[result] = Range(0.0, 1.0, fixed[result].least, fixed[result].most)
    return fixed


def _stored(model: Any, plan: Plan) -> dict[str, tuple[int, bool]]:
    """Bits and symmetry of each float tensor that a static node reads or writes."""
    constants = _initializers(model)
    floats = {
        value.name
        for value in (*model.graph.value_info, *model.graph.input, *model.graph.output)
        if value.type.tensor_type.elem_type == _FLOAT
    } - constants
    nodes = {node.name: node for node in model.graph.node}
    found: dict[str, tuple[int, bool]] = {}
    for planned in plan.planned:
        activations = planned.scheme.activations
        if activations.mode != "static":
            continue
        for name in (*nodes[planned.name].input, *nodes[planned.name].output):
            if name in floats:
                bits, symmetric = found.get(name, (0, True))
                found[name] = max(bits, activations.bits), symmetric and activations.symmetric
    return found


def _initializers(model: Any) -> set[str]:
    return {tensor.name for tensor in model.graph.initializer}
