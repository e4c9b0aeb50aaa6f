"""An ONNX model whose operators can be looked at one by one, with ONNX Runtime.

A quantizer writes several nodes for one: QuantizeLinear and DequantizeLinear around it, or its integer form with casts and
scales. What lies between two tensors of the float model, known by their names, counts as one operator here.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.conversion.extras import need, quiet
from edgekit.conversion.layers.onnx_constants import OnnxConstants
from edgekit.conversion.layers.quantized import ProbedOp, ProbedTensor
from edgekit.conversion.layers.quantized_measure import Grid
from edgekit.conversion.naming import short
from edgekit.errors import ModelError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_WHAT = "looking into an ONNX model"
_SPATIAL = frozenset(
    {
        "Conv",
        "ConvTranspose",
        "MaxPool",
        "AveragePool",
        "GlobalMaxPool",
        "GlobalAveragePool",
        "BatchNormalization",
    }
)
"""What has its channels along axis 1, by ONNX's definition."""
_KEEPING = frozenset(
    {"Relu", "LeakyRelu", "PRelu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Add", "Sub", "Mul", "Div", "Pad",
     "Resize", "Concat", "QuantizeLinear", "DequantizeLinear"}
)  # fmt: skip
"""What has its channels where the first tensor that it reads has them."""
_INTEGER_DTYPES = ("int8", "uint8", "int16", "uint16", "int4", "uint4")


@dataclass(frozen=True)
class _Region:
    """The nodes that make one tensor from others of the float model; `inputs` are such tensors."""

    nodes: tuple[int, ...]
    inputs: tuple[str, ...]
    output: str


class OnnxProbe:
    """The main graph of a model. `before`: for a quantized one the float model that it was made from."""

    def __init__(self, path: Path, before: OnnxProbe | None = None) -> None:
        """Raises MissingExtra, ModelError E_MODEL_LOAD."""
        self._onnx = need("onnx", "onnx", _WHAT)
        self._runtime = need("onnxruntime", "onnx", _WHAT)
        self._path = path
        try:
            with quiet():
                self._model = self._onnx.load(str(path))
                self._graph = self._model.graph
                self._constants = OnnxConstants(self._onnx, self._graph)
                self._inputs = [one.name for one in self._graph.input if one.name not in self._constants]
                self._makers = {n: i for i, node in enumerate(self._graph.node) for n in node.output if n}
                self._live = self._reachable()
                self._session = self._opened()
        except Exception as error:  # protobuf, onnx and onnxruntime each raise their own
            raise ModelError(
                f"onnxruntime does not load {path.name} with its inner tensors as outputs: {short(error)}",
                code="E_MODEL_LOAD",
            ) from error
        self._numbers: dict[str, int] = {}
        self._tensors: dict[int, ProbedTensor] = {}
        self._regions: dict[int, _Region] = {}
        self._channel_axes: dict[str, int] = {}
        self.ops: Sequence[ProbedOp] = tuple(
            self._each_node() if before is None else self._each_region(before)
        )

    @property
    def tensors(self) -> Mapping[int, ProbedTensor]:
        return self._tensors

    def _reachable(self) -> dict[str, int]:
        """What depends on the inputs, and the node that makes it."""
        live = dict.fromkeys(self._inputs, -1)
        for index, node in enumerate(self._graph.node):
            if any(name in live for name in node.input):
                live.update((name, index) for name in node.output if name)
        return live

    def _opened(self) -> Any:
        """A session that gives every tensor, constants made by nodes included."""
        model = self._onnx.ModelProto()
        model.CopyFrom(self._model)
        there = {one.name for one in model.graph.output}
        made = [name for node in model.graph.node for name in node.output if name and name not in there]
        model.graph.output.extend(self._onnx.ValueInfoProto(name=name) for name in made)
        return self._session_of(model)

    def _session_of(self, model: Any) -> Any:
        options = self._runtime.SessionOptions()
        options.graph_optimization_level = self._runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads, options.log_severity_level = 1, 4
        data = model.SerializeToString()
        return self._runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])

    def _number(self, key: str, tensor: ProbedTensor) -> int:
        if key not in self._numbers:
            self._numbers[key] = len(self._numbers)
            self._tensors[self._numbers[key]] = tensor
        return self._numbers[key]

    def _plain(self, name: str) -> int:
        return self._number(name, ProbedTensor(name, "float32", 0, None))

    def _each_node(self) -> Iterator[ProbedOp]:
        for index, node in enumerate(self._graph.node):
            read = [name for name in dict.fromkeys(node.input) if name]
            inputs = tuple(self._plain(name) for name in read if name in self._live)
            if not inputs:
                continue
            weights = tuple(self._plain(name) for name in read if name not in self._live)
            outputs = tuple(self._plain(name) for name in node.output if name)
            self._regions[index] = _Region(
                (index,), tuple(n for n in read if n in self._live), node.output[0]
            )
            yield ProbedOp(
                index, node.op_type, inputs, weights, outputs, self._channel_axis(self._regions[index])
            )

    def _each_region(self, before: OnnxProbe) -> Iterator[ProbedOp]:
        ends = self._ends({tensor.name for tensor in before.tensors.values()})
        for name, tensor in ends.items():
            if name in self._inputs:
                continue
            region = self._region(name, ends)
            plain = [ends[one].name for one in region.inputs]
            # where it makes a tensor of itself, it only rounds it
            other = None if tensor.name in plain else before.between(plain, tensor.name)
            index = region.nodes[-1]
            self._regions[index] = region
            yield ProbedOp(
                index,
                other.op
                if other
                else "QuantizeLinear"
                if tensor.name in plain
                else self._graph.node[index].op_type,
                tuple(self._number(one, ends[one]) for one in region.inputs),
                tuple(self._number(*one) for one in self._constants.weights(self._nodes(region))),
                (self._number(name, tensor),),
                self._channel_axis(region),
            )

    def _channel_axis(self, region: _Region) -> int:
        """Along which axis what a region gives has its channels; the last where that is not known."""
        types = {node.op_type for node in self._nodes(region)}
        axis = 1 if types & _SPATIAL else -1
        if types <= _KEEPING:
            axis = next((self._channel_axes[one] for one in region.inputs if one in self._channel_axes), -1)
        self._channel_axes[region.output] = axis
        return axis

    def nodes_of(self, op: ProbedOp) -> list[Any]:
        """The nodes (onnx.NodeProto) that an operator stands for."""
        return self._nodes(self._regions[op.index])

    def between(self, inputs: Sequence[str], output: str) -> ProbedOp | None:
        if output not in self._makers or len(set(inputs)) < len(inputs):
            return None
        region = self._region(output, dict.fromkeys(inputs))
        read = {name for at in region.nodes for name in self._graph.node[at].input if name in self._live}
        made = {name for at in region.nodes for name in self._graph.node[at].output}
        if set(region.inputs) != set(inputs) or read - made - set(inputs):
            return None
        index = len(self._graph.node) + len(self._regions)
        self._regions[index] = _Region(region.nodes, tuple(inputs), output)
        label = " + ".join(node.op_type for node in self._nodes(region))
        return ProbedOp(index, label, tuple(map(self._plain, inputs)), (), (self._plain(output),))

    def _ends(self, known: set[str]) -> dict[str, ProbedTensor]:
        """Tensors that stand for one of the float model, in the order in which they are made: what a DequantizeLinear behind
        a QuantizeLinear gives, and what has the name of one and is not quantized behind that."""
        found: dict[str, ProbedTensor] = {}
        quantized: set[str] = set()
        for node in self._graph.node:
            if node.op_type != "DequantizeLinear" or node.input[0] not in self._live:
                continue
            maker = self._graph.node[self._live[node.input[0]]]
            given = maker.input[0] if maker.op_type == "QuantizeLinear" else ""
            plain = given if given in known else node.output[0]
            if plain not in known:
                continue
            quantized.add(given)
            scale, zero = (
                self._constants.array(node.input[1]),
                self._constants.array(node.input[2] if len(node.input) > 2 else ""),
            )
            dtype = "int8" if zero is None else zero.dtype.name
            grid = None
            if scale is not None and scale.size == 1 and dtype in _INTEGER_DTYPES:
                grid = Grid(
                    dtype, float(scale.reshape(-1)[0]), 0 if zero is None else int(zero.reshape(-1)[0])
                )
            found[node.output[0]] = ProbedTensor(plain, dtype, 0 if scale is None else int(scale.size), grid)
        for name in self._live:
            if name in known and name not in found and (name in self._inputs or name not in quantized):
                found[name] = ProbedTensor(name, "float32", 0, None)
        return {name: found[name] for name in self._live if name in found}

    def _region(self, name: str, ends: Container[str]) -> _Region:
        nodes: set[int] = set()
        inputs: dict[str, None] = {}
        waiting = [name]
        while waiting:
            index = self._makers[waiting.pop()]
            if index in nodes:
                continue
            nodes.add(index)
            for given in self._graph.node[index].input:
                if given in ends and given != name:
                    inputs[given] = None
                elif given in self._makers:
                    waiting.append(given)
        return _Region(tuple(sorted(nodes)), tuple(inputs), name)

    def _nodes(self, region: _Region) -> list[Any]:
        return [self._graph.node[index] for index in region.nodes]

    def run(self, sample: Sequence[Array]) -> Mapping[int, Array]:
        names = [one.name for one in self._session.get_outputs()]
        feeds = dict(zip(self._inputs, sample, strict=True))
        values = {
            **feeds,
            **dict(zip(names, _run(self._session, names, feeds, self._path.name), strict=True)),
        }
        found = {}
        for key, number in self._numbers.items():
            value = values[key] if key in values else self._constants.expanded(key)
            if value is not None and value.dtype.kind in "fiub":
                found[number] = value
        return found

    def elements(self, number: int) -> int:
        name = next(key for key, one in self._numbers.items() if one == number)
        return math.prod(self._constants.tensors[name].dims) if name in self._constants else 0

    def alone(self, op: ProbedOp, given: Sequence[Sequence[Array]]) -> list[list[Array]] | None:
        region = self._regions[op.index]
        nodes = self._nodes(region)
        if any(attribute.HasField("g") or attribute.graphs for node in nodes for attribute in node.attribute):
            return None
        try:
            session = self._session_of(self._one(region, nodes, given[0]))
            feeds = [dict(zip(region.inputs, values, strict=True)) for values in given]
            return [list(_run(session, [region.output], one, op.op)) for one in feeds]
        except Exception:  # onnxruntime raises its own: this operator cannot be told apart, no more than that
            return None

    def _one(self, region: _Region, nodes: Sequence[Any], given: Sequence[Array]) -> Any:
        helper = self._onnx.helper
        used = {name for node in nodes for name in node.input}
        inputs = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in zip(region.inputs, given, strict=True)
        ]
        # what constants alone were made of by other nodes comes with them
        own = [
            node
            for i, node in enumerate(self._graph.node)
            if i not in region.nodes and self._is_constant(node, used)
        ]
        used |= {name for node in own for name in node.input}
        kept = [tensor for name, tensor in self._constants.tensors.items() if name in used]
        graph = helper.make_graph(
            [*own, *nodes], "one", inputs, [self._onnx.ValueInfoProto(name=region.output)], kept
        )
        model = helper.make_model(graph, opset_imports=self._model.opset_import)
        model.ir_version = self._model.ir_version
        return model

    def _is_constant(self, node: Any, used: set[str]) -> bool:
        return any(name in used for name in node.output) and not any(
            name in self._live for name in node.input
        )


def _run(session: Any, names: Sequence[str], feeds: Mapping[str, Array], name: str) -> Any:
    try:
        with quiet():
            return session.run(list(names), dict(feeds))
    except Exception as error:
        raise ModelError(f"onnxruntime does not run {name}: {short(error)}", code="E_MODEL_RUN") from error
