"""Tracing a Keras or TensorFlow model, operator by operator."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgekit.conversion.extras import need, quiet
from edgekit.conversion.layers.trace import INPUT, Recorder, Trace
from edgekit.conversion.naming import short
from edgekit.errors import ModelError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_WHAT = "looking into a TensorFlow model"
_CALLS = re.compile(r"(Stateful)?PartitionedCall(_\d+)?|batch_of_one(_\d+)?")
_SILENT = frozenset({"Const", "NoOp", "Placeholder"})


class TensorflowTracer:
    """Runs a TensorFlow function with all its inner tensors as outputs, weights made constants first.

    What is seen are TensorFlow's own operators; their names hold the layers' ("model/conv1/convolution"). Loops,
    such as in recurrent layers that are not unrolled, are one operator.
    """

    def __init__(self, function: Any, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """`function`: a ConcreteFunction that takes tensors by name and gives a dict; the names in the order of a
        sample's arrays, and of the source's outputs. Raises MissingExtra, ModelError E_LAYERS."""
        tf = need("tensorflow", "tensorflow", _WHAT)
        convert = need("tensorflow.python.framework.convert_to_constants", "tensorflow", _WHAT)
        try:
            with quiet():
                frozen = convert.convert_variables_to_constants_v2(function, lower_control_flow=False)
                self._graph = tf.compat.v1.wrap_function(
                    lambda: tf.compat.v1.import_graph_def(frozen.graph.as_graph_def(), name=""), []
                )
                graph = self._graph.graph
                self._inputs = [graph.as_graph_element(name) for name in _named(function, frozen, inputs)]
                given = [graph.as_graph_element(one.name) for one in frozen.outputs]
                made = dict(zip(sorted(function.structured_outputs), given, strict=True))
                self._outputs = [_unwrapped(made[name]) for name in outputs]
                self._steps = _depending(graph, self._inputs)
                self._unseen = (tf.resource, tf.variant, tf.string)
                fetches = [tensor for _, tensor, _ in self._steps if tensor.dtype not in self._unseen]
                self._run = self._graph.prune(self._inputs, fetches)
        except Exception as error:  # TensorFlow raises whatever its passes raise
            raise ModelError(
                f"TensorFlow does not give this model's graph: {short(error)}", code="E_LAYERS"
            ) from error
        self._tf = tf

    def __call__(self, sample: Sequence[Array]) -> Trace:
        """Raises ModelError E_MODEL_RUN."""
        tf = self._tf
        given = [
            tf.constant(value, dtype=slot.dtype) for slot, value in zip(self._inputs, sample, strict=True)
        ]
        try:
            with quiet():
                values = self._run(*given)
        except Exception as error:
            raise ModelError(f"TensorFlow does not run it: {short(error)}", code="E_MODEL_RUN") from error
        recorder = Recorder()
        known: dict[str, str] = {}
        for slot, value in zip(self._inputs, given, strict=True):
            known[slot.name] = recorder.add(-1, INPUT, slot.op.name, value.numpy())
        rest = iter(values)
        for index, tensor, read in self._steps:
            value = None if tensor.dtype in self._unseen else next(rest).numpy()
            inputs = [known[name] for name in read if name in known]
            name = tensor.op.name
            known[tensor.name] = recorder.add(index, tensor.op.type, name, value, inputs, _layer(name))
        return recorder.trace([known.get(one.name, "") for one in self._outputs])


def _named(function: Any, frozen: Any, names: Sequence[str]) -> list[str]:
    """The graph's tensors for these inputs. A function of named tensors has them sorted by name."""
    order = sorted(function.structured_input_signature[1])
    tensors = [one.name for one in frozen.inputs if one.dtype.name != "resource"]
    by_name = dict(zip(order, tensors, strict=True))
    return [by_name[name] for name in names]


def _depending(graph: Any, inputs: Sequence[Any]) -> list[tuple[int, Any, tuple[str, ...]]]:
    """Tensors that depend on the inputs, in an order in which they can be computed."""
    known = {one.name for one in inputs}
    steps = []
    for index, operation in enumerate(graph.get_operations()):
        read = tuple(one.name for one in operation.inputs if one.name in known)
        if not read or operation.type in _SILENT:
            continue
        for tensor in operation.outputs:
            known.add(tensor.name)
            steps.append((index, tensor, read))
    return steps


def _unwrapped(tensor: Any) -> Any:
    """What a function gives back is a copy of what its last operator made."""
    while tensor.op.type == "Identity":
        tensor = tensor.op.inputs[0]
    return tensor


def _layer(name: str) -> str:
    """The layer's path: "functional_1/conv1" of "PartitionedCall/functional_1_1/conv1_1/convolution"."""
    parts = [part for part in name.split("/")[:-1] if not _CALLS.fullmatch(part)]
    return "/".join(part.removesuffix("_1") for part in parts)
