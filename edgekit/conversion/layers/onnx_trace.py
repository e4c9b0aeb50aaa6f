"""Tracing an ONNX model with onnxruntime."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.conversion.extras import need, quiet
from edgekit.conversion.layers.trace import INPUT, Recorder, Trace, ends_of
from edgekit.conversion.layout import Pairing
from edgekit.conversion.naming import short
from edgekit.errors import ModelError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_WHAT = "looking into an ONNX model"
_FOLDER = "session.model_external_initializers_file_folder_path"
_CONSTANT = "Constant"
_SMALL = 1024
"""Elements."""


class OnnxTracer:
    """Runs a model with every tensor of its main graph made an output and without graph optimizations, so that every
    node runs as it is written. What is inside branches and loops is not seen.

    Weights in external files stay where they are: only the graph is changed, in memory.
    """

    def __init__(self, path: Path, pairing: Pairing | None = None) -> None:
        """Raises MissingExtra, ModelError E_MODEL_LOAD."""
        onnx = need("onnx", "onnx", _WHAT)
        runtime = need("onnxruntime", "onnx", _WHAT)
        self._name, self._pairing = path.name, pairing
        try:
            with quiet():
                model = onnx.load(str(path), load_external_data=False)
                _load_small(onnx, model.graph, path.resolve().parent)
                self._read(model.graph)
                for name in self._names[len(self._declared) :]:
                    model.graph.output.append(onnx.ValueInfoProto(name=name))
                options = runtime.SessionOptions()
                options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
                options.intra_op_num_threads = 1
                options.log_severity_level = 4
                options.add_session_config_entry(_FOLDER, str(path.resolve().parent))
                data = model.SerializeToString()
                del model
                self._session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # protobuf, onnx and onnxruntime each raise their own
            raise ModelError(
                f"onnxruntime does not load {path.name} with its inner tensors as outputs: {short(error)}",
                code="E_MODEL_LOAD",
            ) from error

    def _read(self, graph: Any) -> None:
        weights = {one.name for one in graph.initializer} | {
            one.values.name for one in graph.sparse_initializer
        }
        self._inputs = [one.name for one in graph.input if one.name not in weights]
        self._declared = [one.name for one in graph.output]
        self._nodes: list[tuple[int, str, str, list[str], list[str]]] = []
        known = set(self._inputs)
        for index, node in enumerate(graph.node):
            inner = [name for one in node.attribute for name in _captured(one)]
            read = [name for name in (*node.input, *inner) if name in known]
            made = [name for name in node.output if name]
            if node.op_type == _CONSTANT or not read:
                continue  # made from constants alone
            known.update(made)
            self._nodes.append((index, node.op_type, node.name, list(dict.fromkeys(read)), made))
        inside = [name for *_, made in self._nodes for name in made]
        self._names = list(dict.fromkeys([*self._declared, *inside]))

    def __call__(self, sample: Sequence[Array]) -> Trace:
        """Raises ModelError E_MODEL_RUN."""
        given = self._pairing.to_result(sample) if self._pairing else list(sample)
        feeds = {}
        for slot, value in zip(self._session.get_inputs(), given, strict=True):
            feeds[slot.name] = value.astype(_DTYPES.get(slot.type, value.dtype), copy=False)
        try:
            with quiet():
                values = dict(zip(self._names, self._session.run(self._names, feeds), strict=True))
        except Exception as error:
            raise ModelError(
                f"onnxruntime does not run {self._name}: {short(error)}", code="E_MODEL_RUN"
            ) from error
        recorder = Recorder()
        known = {name: recorder.add(-1, INPUT, name, value) for name, value in feeds.items()}
        for index, op, where, read, made in self._nodes:
            inputs = [known[name] for name in read]
            for name in made:
                known[name] = recorder.add(index, op, name, values.get(name), inputs, where)
        order, axes = ends_of(self._pairing, len(self._declared))
        return recorder.trace([known.get(self._declared[place], "") for place in order], axes)


def _load_small(onnx: Any, graph: Any, folder: Path) -> None:
    """Shapes and the like are needed to check a graph: they are taken out of the external files."""
    helper = onnx.external_data_helper
    for tensor in graph.initializer:
        if helper.uses_external_data(tensor) and math.prod(tensor.dims) <= _SMALL:
            helper.load_external_data_for_tensor(tensor, str(folder))
            tensor.data_location = onnx.TensorProto.DEFAULT
            del tensor.external_data[:]


def _captured(attribute: Any) -> list[str]:
    """Names that the bodies of branches and loops read; some are their own, which does no harm."""
    bodies = [attribute.g, *attribute.graphs] if attribute.HasField("g") else list(attribute.graphs)
    names: list[str] = []
    for body in bodies:
        names += [one.name for one in body.output]
        for node in body.node:
            names += [*node.input, *(name for one in node.attribute for name in _captured(one))]
    return names


_DTYPES = {
    "tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64", "tensor(int8)": "int8",
    "tensor(uint8)": "uint8", "tensor(int16)": "int16", "tensor(uint16)": "uint16", "tensor(int32)": "int32",
    "tensor(uint32)": "uint32", "tensor(int64)": "int64", "tensor(uint64)": "uint64", "tensor(bool)": "bool",
}  # fmt: skip
