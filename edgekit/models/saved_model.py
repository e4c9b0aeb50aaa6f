"""Reads a TensorFlow SavedModel without TensorFlow: signature, operators, and which of them touch files.

Format: a folder with saved_model.pb, a protobuf message tensorflow.SavedModel. Field numbers are those of the public
schema (tensorflow/core/protobuf/saved_model.proto and what it imports); the tests compare what is read here with
TensorFlow's own classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from edgekit.models.flat import Damaged
from edgekit.models.formats import unreadable
from edgekit.models.info import Signature, TensorSpec
from edgekit.models.limits import MAX_INPUTS, MAX_RANK, as_error, checked, count
from edgekit.models.saved_model_ops import SAVER_OPS, touches_outside
from edgekit.models.wire import Message, Wire, number

SERVING = "serving_default"
_HIDDEN_SIGNATURES = frozenset({"__saved_model_init_op", "__saved_model_train_op"})
_MAX_NODES = 300_000
_DTYPES = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "string", 8: "complex64", 9: "int64",
    10: "bool", 11: "qint8", 12: "quint8", 13: "qint32", 14: "bfloat16", 15: "qint16", 16: "quint16", 17: "uint16",
    18: "complex128", 19: "float16", 20: "resource", 21: "variant", 22: "uint32", 23: "uint64", 24: "float8_e5m2",
    25: "float8_e4m3fn", 26: "float8_e4m3fnuz", 27: "float8_e4m3b11fnuz", 28: "float8_e5m2fnuz", 29: "int4",
    30: "uint4", 31: "int2", 32: "uint2", 33: "float4_e2m1",
}  # fmt: skip
_REFERENCE = 100
"""Added to a type's number where it is a reference to a variable."""


@dataclass(frozen=True)
class SavedModelFacts:
    """What the folder says; see ModelInfo for the meaning of the fields they share.

    The signature is "serving_default", else the first. `operators` counts nodes of the graph and of all functions in
    its library, those of the saver too. `file_operators`: see the function of that name.
    """

    signature: Signature | None
    operators: dict[str, int]
    file_operators: tuple[str, ...]
    tensorflow_version: str
    subgraphs: int

    @property
    def description(self) -> str:
        return f"TensorFlow {self.tensorflow_version}" if self.tensorflow_version else ""


def read_saved_model(folder: str | Path) -> SavedModelFacts:
    """Read a SavedModel's folder. Raises ModelError: E_MODEL_MISSING, E_MODEL_TRUNCATED, E_MODEL_CORRUPT."""
    path, size_bytes = Path(folder) / "saved_model.pb", 0
    try:
        size_bytes = path.stat().st_size
        with open(path, "rb") as file:
            return _read(Wire(file, size_bytes).root())
    except OSError as error:
        raise unreadable(path, error) from error
    except Damaged as damage:
        raise as_error(damage, size_bytes, str(path)) from damage


def file_operators(folder: str | Path) -> tuple[str, ...]:
    """Operators in a SavedModel that read or write files, open connections, or run Python, sorted.

    A SavedModel is a program: loading it may run some of its functions, and which cannot be told from the graph. So
    such an operator counts wherever it is. The exceptions are the operators of the saver (SaveV2, RestoreV2, ...),
    which every SavedModel holds: they count only where a signature can reach them, which no exporter makes.
    Raises as read_saved_model.
    """
    return read_saved_model(folder).file_operators


@dataclass
class _Code:
    """A function: what it calls, its operators that touch the outside, and those of SAVER_OPS."""

    touching: set[str] = field(default_factory=set)
    savers: set[str] = field(default_factory=set)
    calls: set[str] = field(default_factory=set)

    def add(self, node: _Node) -> None:
        self.calls.update(node.calls)
        if node.touches:
            self.touching.add(node.kind)
        elif node.kind in SAVER_OPS:
            self.savers.add(node.kind)


class _Node(NamedTuple):
    """A node of a graph. `inputs`: the names of nodes; `calls`: functions, its kind among them, as a function may be
    called by its name as if it were an operator."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    calls: tuple[str, ...]
    touches: bool


def _read(saved: Message) -> SavedModelFacts:
    meta = next(saved.messages(2), None)
    if meta is None:
        raise Damaged("it holds no graph")
    version, signatures, starts = "", dict[str, Signature](), set[str]()
    operators: dict[str, int] = {}
    nodes: dict[str, _Node] = {}
    functions: dict[str, _Code] = {}
    for found in meta.fields():
        if found.number == 1:
            version = _version(meta.message(found))
        elif found.number == 2:
            _graph(meta.message(found), operators, nodes, functions)
        elif found.number == 5:
            key, definition = meta.message(found).pair()
            if definition is not None and key not in _HIDDEN_SIGNATURES:
                signatures[key] = _signature(key, definition)
                starts |= {s.tensor.partition(":")[0] for s in signatures[key].outputs}
            if len(signatures) > MAX_INPUTS:
                raise Damaged(f"more than {MAX_INPUTS} signatures")
    touching = {node.kind for node in nodes.values() if node.touches}
    touching |= {op for code in functions.values() for op in code.touching}
    return SavedModelFacts(
        signature=signatures.get(SERVING) or next(iter(signatures.values()), None),
        operators=dict(sorted(operators.items())),
        file_operators=tuple(sorted(touching | _reached_savers(starts, nodes, functions))),
        tensorflow_version=version[:100],
        subgraphs=1 + len(functions),
    )


def _version(message: Message) -> str:
    version = ""
    for found in message.fields():
        if found.number == 5:
            version = message.text(found)
    return version


def _graph(
    graph: Message, operators: dict[str, int], nodes: dict[str, _Node], functions: dict[str, _Code]
) -> None:
    for found in graph.fields():
        if found.number == 1:
            node = _node(graph.message(found), operators)
            nodes[node.name] = node
        elif found.number == 2:
            for function in graph.message(found).messages(1):
                name, code = _function(function, operators)
                functions[name] = code
        if len(nodes) + len(functions) > _MAX_NODES:
            raise Damaged(f"more than {_MAX_NODES} nodes")


def _function(function: Message, operators: dict[str, int]) -> tuple[str, _Code]:
    name, whole = "", _Code()
    for found in function.fields():
        if found.number == 1:
            signature = function.message(found)
            for part in signature.fields():
                if part.number == 1:
                    name = signature.text(part)
        elif found.number == 3:
            whole.add(_node(function.message(found), operators))
    return name, whole


def _node(node: Message, operators: dict[str, int]) -> _Node:
    name, kind, inputs, calls = "", "", list[str](), list[str]()
    streams: list[bytes] = []
    for found in node.fields():
        if found.number == 1:
            name = node.text(found)
        elif found.number == 2:
            kind = node.text(found)
        elif found.number == 3:
            inputs.append(node.text(found).lstrip("^").partition(":")[0])
        elif found.number == 5:
            key, value = node.message(found).pair()
            if value is not None:
                calls += _called_by(value)
                if key == "output_stream":
                    streams += [value.bytes(f, 1 << 12) for f in value.fields() if f.number == 2]
    count(operators, kind)
    return _Node(name, kind, tuple(inputs), (kind, *calls), touches_outside(kind, streams))


def _called_by(value: Message) -> Iterator[str]:
    """Functions that an attribute names, alone or in a list."""
    for found in value.fields():
        if found.number == 10:
            yield _name(value.message(found))
        elif found.number == 1:
            for item in value.message(found).messages(9):
                yield _name(item)


def _name(message: Message) -> str:
    name = ""
    for found in message.fields():
        if found.number == 1:
            name = message.text(found)
    return name


def _reached_savers(starts: set[str], nodes: dict[str, _Node], functions: dict[str, _Code]) -> set[str]:
    """Saver operators that computing the signatures' outputs can reach."""
    reached, calls = set[str](), set[str]()
    seen, todo = set(starts), list(starts)
    while todo:
        if (node := nodes.get(todo.pop())) is not None:
            reached |= {node.kind} & SAVER_OPS
            calls.update(node.calls)
            todo += [name for name in node.inputs if name not in seen]
            seen.update(node.inputs)
    done, ahead = set(calls), list(calls)
    while ahead:
        if (code := functions.get(ahead.pop())) is not None:
            reached |= code.savers
            ahead += [name for name in code.calls if name not in done]
            done |= code.calls
    return reached


def _signature(key: str, definition: Message) -> Signature:
    return Signature(key=key[:500], inputs=_infos(definition, 1), outputs=_infos(definition, 2))


def _infos(definition: Message, wanted: int) -> tuple[TensorSpec, ...]:
    specs = []
    for entry in definition.messages(wanted):
        name, info = entry.pair()
        specs.append(_info(name, info))
        if len(specs) > MAX_INPUTS:
            raise Damaged(f"more than {MAX_INPUTS} inputs or outputs")
    return tuple(sorted(specs, key=lambda spec: spec.name))  # a map has no order


def _info(name: str, info: Message | None) -> TensorSpec:
    tensor, dtype, shape = "", "unknown", tuple[int, ...]()
    for found in info.fields() if info is not None else ():
        assert info is not None
        if found.number == 1:
            tensor = info.text(found)
        elif found.number == 2:
            value = number(found)
            dtype = _DTYPES.get(value - _REFERENCE if value > _REFERENCE else value, "unknown")
        elif found.number == 3:
            shape = _shape(info.message(found))
    return checked(TensorSpec(name=name, dtype=dtype, shape=shape, tensor=tensor))


def _shape(message: Message) -> tuple[int, ...]:
    """The dimensions. A shape of unknown rank is given like a scalar's: there is no other way to write it."""
    dims: list[int] = []
    for dim in message.messages(2):
        size = 0
        for found in dim.fields():
            if found.number == 1:
                size = number(found)
        if size < -1 or len(dims) >= MAX_RANK:
            raise Damaged(f"a shape begins with {[*dims[:8], size]}")
        dims.append(size)
    return tuple(dims)
