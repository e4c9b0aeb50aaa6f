"""Ranges of a TFLite model's tensors over all calibration samples, one sample at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgekit.conversion.extras import need, quiet
from edgekit.conversion.naming import short
from edgekit.conversion.ranges import Gatherer, Range
from edgekit.conversion.targets.base import Stream
from edgekit.conversion.targets.tflite_graph import Graph
from edgekit.conversion.targets.tflite_plan import Plan
from edgekit.errors import ModelError
from edgekit.events import Event, Sink

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_WHAT = "calibrating a TFLite model"
_EVERY = 50


def find_ranges(
    data: bytes, plan: Plan, graphs: Sequence[Graph], samples: Stream, sink: Sink
) -> tuple[Gatherer, dict[str, Range]]:
    """The ranges of all float tensors that are no constants, by name, as the recipe says. Only one sample's tensors are
    held at a time. In a loop's body the last round counts: LiteRT keeps no other.

    Raises MissingExtra, InputError E_DATA_VALUES (a tensor became NaN), ModelError E_MODEL_RUN.
    """
    gatherer = Gatherer(plan.recipe.ranges.method, plan.recipe.ranges.percentile)
    total = len(samples)
    with quiet():
        interpreter = _interpreter(data)
    inputs = interpreter.get_input_details()
    wanted = [
        (graph.number, number, tensor.name)
        for graph in graphs
        for number, tensor in enumerate(graph.tensors)
        if tensor.kind == "float32" and not tensor.constant
    ]
    for index, sample in enumerate(samples):
        try:
            for detail, value in zip(inputs, sample, strict=True):
                interpreter.set_tensor(detail["index"], value)
            interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise ModelError(
                f"the model does not run on calibration sample {index}: {short(error)}", code="E_MODEL_RUN"
            ) from error
        for graph, number, name in wanted:
            values = _read(interpreter, number, graph)
            if values is not None:
                gatherer.add(name, values, index)
        if index % _EVERY == 0:
            sink(Event("calibrate", done=index + 1, total=total, unit="samples"))
    sink(Event("calibrate", done=total, total=total, unit="samples"))
    return gatherer, gatherer.ranges(_stored(plan, graphs))


def _interpreter(data: bytes) -> Any:
    """As the quantizer makes it: XNNPACK's arithmetic, every tensor kept."""
    module = need("ai_edge_litert.interpreter", "litert", _WHAT)
    interpreter = module.Interpreter(
        model_content=data,
        num_threads=1,
        experimental_op_resolver_type=module.OpResolverType.BUILTIN,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    return interpreter


def _read(interpreter: Any, number: int, graph: int) -> Array | None:
    import numpy as np

    try:
        value = interpreter.get_tensor(number, graph)
    except (ValueError, RuntimeError):  # a tensor that no kernel gave memory
        return None
    return value if isinstance(value, np.ndarray) and value.dtype == np.float32 else None


def _stored(plan: Plan, graphs: Sequence[Graph]) -> dict[str, tuple[int, bool]]:
    """Bits and symmetry by tensor; where two operators differ about one, the more bits and the asymmetric."""
    found: dict[str, tuple[int, bool]] = {}
    for planned in plan.planned:
        activations = planned.scheme.activations
        if activations.mode != "static":
            continue
        operator, tensors = planned.operator, graphs[planned.operator.subgraph].tensors
        for number in (*operator.inputs, *operator.outputs):
            if number >= 0:
                bits, symmetric = found.get(tensors[number].name, (0, True))
                found[tensors[number].name] = (
                    max(bits, activations.bits), symmetric and activations.symmetric,
                )  # fmt: skip
    return found


def as_qsvs(ranges: Mapping[str, Range], graphs: Sequence[Graph]) -> dict[str, dict[str, Array]]:
    """Ranges in the quantizer's own form: arrays of one element, of the tensor's rank."""
    import numpy as np

    ranks = {tensor.name: len(tensor.shape) for graph in graphs for tensor in graph.tensors}
    return {
        name: {
            "min": np.full((1,) * ranks[name], found.low, dtype=np.float32),
            "max": np.full((1,) * ranks[name], found.high, dtype=np.float32),
        }
        for name, found in ranges.items()
    }
