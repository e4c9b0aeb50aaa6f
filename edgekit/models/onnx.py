"""Reads an ONNX model: signature, operators, tensors, and which files its weights are in. Base install only.

Field numbers are those of the public schema (onnx/onnx.proto); the tests compare what is read here with the `onnx`
package. Weights are skipped over, never read, so that a file of gigabytes costs a few kilobytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edgekit.models.flat import Damaged
from edgekit.models.formats import unreadable
from edgekit.models.info import Signature, TensorSpec
from edgekit.models.limits import MAX_INPUTS, MAX_RANK, as_error, checked, count
from edgekit.models.onnx_tensor import DTYPES, ExternalFile, Tensor, dtype_name, read_tensor
from edgekit.models.wire import MAX_FIELDS, Message, Wire, number

STANDARD_DOMAINS = frozenset(
    {
        "", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training",
        "com.microsoft", "com.microsoft.nchwc", "com.microsoft.experimental", "com.ms.internal.nhwc",
    }
)  # fmt: skip
"""Operators of these domains come with onnxruntime. Those of other domains are custom, unless the model itself
defines them as a function."""
MAX_FILLED_ELEMENTS = 1 << 31
"""What ConstantOfShape and Expand may make out of a constant shape: 16 GiB of 8-byte numbers."""
_MAX_EXTERNAL = 1_000_000
_FILLERS = {"ConstantOfShape": 0, "Expand": 1}
"""Operators that make a tensor out of next to nothing, and which of their inputs is its shape."""

__all__ = ["DTYPES", "ExternalFile", "OnnxFacts", "read_onnx", "read_value"]


@dataclass(frozen=True)
class OnnxFacts:
    """What the file says; see ModelInfo for the meaning of the fields they share.

    `operators`: "Op", or "domain::Op" outside of the default domain, over the graph, its subgraphs and the model's
    functions. `opsets`: version by domain. `external`: pieces of other files that hold weights.
    """

    signature: Signature
    operators: dict[str, int]
    custom_operators: tuple[str, ...]
    parameters: int
    dtypes: dict[str, int]
    opsets: dict[str, int]
    ir_version: int
    producer: str
    subgraphs: int
    external: tuple[ExternalFile, ...]

    @property
    def description(self) -> str:
        return ", ".join(part for part in (f"IR {self.ir_version}", self.producer) if part)


def read_onnx(path: str | Path) -> OnnxFacts:
    """Read the structure of an ONNX file; external files are named, not opened.

    Raises ModelError: E_MODEL_MISSING; E_MODEL_TRUNCATED where the file ends too early; E_MODEL_CORRUPT where it
    contradicts itself or declares tensors of absurd sizes.
    """
    place = Path(path)
    size_bytes = 0
    try:
        size_bytes = place.stat().st_size
        with open(place, "rb") as file:
            return _read(Wire(file, size_bytes, MAX_FIELDS).root())
    except OSError as error:
        raise unreadable(place, error) from error
    except Damaged as damage:
        raise as_error(damage, size_bytes, str(place)) from damage


@dataclass
class _Walk:
    """What is gathered while the graphs are walked."""

    operators: dict[str, int] = field(default_factory=dict)
    domains: dict[str, str] = field(default_factory=dict)
    dtypes: dict[str, int] = field(default_factory=dict)
    external: list[ExternalFile] = field(default_factory=list)
    huge_shapes: dict[str, int] = field(default_factory=dict)
    filled_from: set[str] = field(default_factory=set)
    parameters: int = 0
    graphs: int = 0

    def tensor(self, tensor: Tensor, name: str = "") -> None:
        self.parameters += tensor.elements if tensor.is_weight else 0
        self.dtypes[tensor.dtype] = self.dtypes.get(tensor.dtype, 0) + 1
        if tensor.external is not None:
            self.external.append(tensor.external)
            if len(self.external) > _MAX_EXTERNAL:
                raise Damaged(f"more than {_MAX_EXTERNAL} tensors in other files")
        if tensor.values is not None:
            made = math.prod(max(1, value) for value in tensor.values)
            if made > MAX_FILLED_ELEMENTS:
                self.huge_shapes[name or tensor.name] = made


def _read(model: Message) -> OnnxFacts:
    ir_version, producer, opsets, functions, graph = 0, ["", ""], {}, set[str](), None
    walk = _Walk()
    for found in model.fields():
        if found.number == 1:
            ir_version = number(found)
        elif found.number in (2, 3):
            producer[found.number - 2] = model.text(found)
        elif found.number == 7:
            graph = model.message(found)
        elif found.number == 8:
            domain, version = _opset(model.message(found))
            opsets[domain or "ai.onnx"] = version
        elif found.number == 25:
            functions.add(_function(model.message(found), walk))
    if graph is None:
        raise Damaged("it holds no graph")
    _graph(graph, walk)
    for name in walk.filled_from & walk.huge_shapes.keys():
        raise Damaged(f"an operator would make {walk.huge_shapes[name]} numbers of the shape '{name[:200]}'")
    custom = sorted(
        name
        for name, domain in walk.domains.items()
        if domain not in STANDARD_DOMAINS and name not in functions
    )
    return OnnxFacts(
        signature=_signature(graph),
        operators=dict(sorted(walk.operators.items())),
        custom_operators=tuple(custom),
        parameters=walk.parameters,
        dtypes=dict(sorted(walk.dtypes.items())),
        opsets=dict(sorted(opsets.items())),
        ir_version=ir_version,
        producer=" ".join(part for part in producer if part),
        subgraphs=walk.graphs,
        external=tuple(walk.external),
    )


def _opset(message: Message) -> tuple[str, int]:
    domain, version = "", 0
    for found in message.fields():
        if found.number == 1:
            domain = message.text(found)
        elif found.number == 2:
            version = number(found)
    return domain, version


def _function(function: Message, walk: _Walk) -> str:
    """Walk the body of a function; gives the name under which nodes call it."""
    name = domain = ""
    for found in function.fields():
        if found.number == 1:
            name = function.text(found)
        elif found.number == 10:
            domain = function.text(found)
        elif found.number == 7:
            _node(function.message(found), walk)
    return f"{domain}::{name}" if domain not in ("", "ai.onnx") else name


def _graph(graph: Message, walk: _Walk) -> None:
    walk.graphs += 1
    for found in graph.fields():
        if found.number == 1:
            _node(graph.message(found), walk)
        elif found.number == 5:
            walk.tensor(read_tensor(graph.message(found)))
        elif found.number == 15:
            _sparse(graph.message(found), walk)


def _node(node: Message, walk: _Walk) -> None:
    kind = domain = first_output = ""
    inputs: list[str] = []
    has_attributes = False
    for found in node.fields():
        if found.number == 4:
            kind = node.text(found)
        elif found.number == 7:
            domain = node.text(found)
        elif found.number == 1 and len(inputs) < 2:
            inputs.append(node.text(found))
        elif found.number == 2 and not first_output:
            first_output = node.text(found)
        elif found.number == 5:
            has_attributes = True
    if not kind:
        raise Damaged(f"the node at byte {node.start} has no operator")
    name = kind if domain in ("", "ai.onnx") else f"{domain}::{kind}"
    count(walk.operators, name)
    walk.domains[name] = domain
    if name in _FILLERS and len(inputs) > _FILLERS[name]:
        walk.filled_from.add(inputs[_FILLERS[name]])
    for attribute in node.messages(5) if has_attributes else ():
        _attribute(attribute, walk, first_output if name == "Constant" else "")


def _attribute(attribute: Message, walk: _Walk, constant: str) -> None:
    """Graphs and tensors in an attribute; `constant` is what the tensor is called if this makes a constant."""
    for found in attribute.fields():
        if found.number in (6, 11):
            _graph(attribute.message(found), walk)
        elif found.number in (5, 10):
            walk.tensor(read_tensor(attribute.message(found)), constant)
        elif found.number in (22, 23):
            _sparse(attribute.message(found), walk)


def _sparse(sparse: Message, walk: _Walk) -> None:
    for found in sparse.fields():
        if found.number in (1, 2):
            walk.tensor(read_tensor(sparse.message(found)))


def _signature(graph: Message) -> Signature:
    """Inputs that are not initializers (old files list those too), and outputs."""
    inputs = [read_value(message) for message in _limited(graph, 11)]
    given = {spec.name for spec in inputs}
    for tensor in graph.messages(5):
        for found in tensor.fields():
            if found.number == 8:
                given.discard(tensor.text(found))
    outputs = tuple(checked(read_value(message)) for message in _limited(graph, 12))
    kept = tuple(checked(spec) for spec in inputs if spec.name in given)
    return Signature(key=None, inputs=kept, outputs=outputs)


def _limited(graph: Message, wanted: int) -> Iterator[Message]:
    for index, message in enumerate(graph.messages(wanted)):
        if index >= MAX_INPUTS:
            raise Damaged(f"more than {MAX_INPUTS} inputs or outputs")
        yield message


def read_value(message: Message) -> TensorSpec:
    """A ValueInfoProto. Raises Damaged for dimensions below -1 or too many of them."""
    name, dtype, shape = "", "unknown", tuple[int, ...]()
    for found in message.fields():
        if found.number == 1:
            name = message.text(found)
        elif found.number == 2:
            dtype, shape = _type(message.message(found))
    return TensorSpec(name=name, dtype=dtype, shape=shape, tensor=name)


def _type(message: Message) -> tuple[str, tuple[int, ...]]:
    """dtype and shape; for what is no tensor the kind of type, without a shape."""
    for found in message.fields():
        if found.number == 1:
            return _tensor_type(message.message(found))
        if found.number in _OTHER_TYPES:
            return _OTHER_TYPES[found.number], ()
    return "unknown", ()


_OTHER_TYPES = {4: "sequence", 5: "map", 7: "opaque", 8: "sparse_tensor", 9: "optional"}


def _tensor_type(message: Message) -> tuple[str, tuple[int, ...]]:
    dtype, dims = "unknown", list[int]()
    for found in message.fields():
        if found.number == 1:
            dtype = dtype_name(number(found))
        elif found.number == 2:
            for dim in message.message(found).messages(1):
                dims.append(_dim(dim))
                if len(dims) > MAX_RANK:
                    raise Damaged(f"a value has more than {MAX_RANK} dimensions")
    return dtype, tuple(dims)


def _dim(message: Message) -> int:
    """A fixed size, or -1 for a name or nothing."""
    value = -1
    for found in message.fields():
        if found.number == 1:
            value = number(found)
            if value < -1:
                raise Damaged(f"a dimension of {value}")
        elif found.number == 2:
            value = -1
    return value
