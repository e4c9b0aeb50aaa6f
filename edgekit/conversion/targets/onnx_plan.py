"""Which node of an ONNX model gets which scheme. The recipe's rules are applied here, node by node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

from edgekit.conversion.extras import need
from edgekit.conversion.recipes.rules import Planner
from edgekit.conversion.recipes.schema import FLOAT_SCHEME, Recipe, Scheme, kind_of
from edgekit.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_WHAT = "quantizing an ONNX model"
_FLOAT = 1  # onnx.TensorProto.FLOAT
WEIGHT_AT = {
    "Conv": 1, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1, "Gather": 0, "LSTM": 1,
}  # fmt: skip
"""Where a node has its weights among its inputs."""
_MADE = {
    "int8-dynamic": ("Conv", "Gemm", "MatMul", "LSTM"),
    "int8-weight-only": ("Conv", "ConvTranspose", "Gemm", "MatMul", "Gather"),
    "int4-blockwise": ("Gemm", "MatMul"),
}
"""Node types of schemes that are about weights; static ones are onnxruntime's own list."""


@dataclass(frozen=True)
class Planned:
    """One node, by name, and what is done to it. `weight`: the initializer that holds its weights, if one does. `axis`:
    the axis of its output channels."""

    name: str
    op: str
    scheme: Scheme
    weight: str | None
    axis: int
    outputs: tuple[str, ...]
    why: str = ""


@dataclass(frozen=True)
class Plan:
    recipe: Recipe
    planned: tuple[Planned, ...]

    @property
    def schemes(self) -> tuple[Scheme, ...]:
        return tuple({p.scheme: None for p in self.planned if p.scheme != FLOAT_SCHEME})

    @cached_property
    def by_scheme(self) -> Mapping[Scheme, tuple[Planned, ...]]:
        return {s: tuple(p for p in self.planned if p.scheme == s) for s in self.schemes}

    def share(self, model: Any) -> float:
        """Of all float weights (constants of two axes or more) that are stored as integers."""
        sizes = {name: prod(t.dims) for name, t in float_constants(model).items() if len(t.dims) >= 2}
        made = {p.name for p in self.planned if p.scheme != FLOAT_SCHEME and p.weight is not None}
        stored = {name for node in model.graph.node if node.name in made for name in node.input} & set(sizes)
        total = sum(sizes.values())
        return sum(sizes[name] for name in stored) / total if total else 0.0

    def notes(self) -> tuple[str, ...]:
        """What stays float though the recipe says otherwise, by reason."""
        left = Counter((p.why, p.op) for p in self.planned if p.why)
        by_reason: dict[str, list[str]] = {}
        for (why, op), count in sorted(left.items()):
            by_reason.setdefault(why, []).append(op if count == 1 else f"{op} ({count})")
        return tuple(f"stays float, {why}: {', '.join(names)}" for why, names in by_reason.items())


def plan_for(recipe: Recipe, model: Any) -> Plan:
    """`model`: onnx.ModelProto whose nodes have names of their own (`named`). Nodes in branches and loops stay float.

    Raises InputError E_RECIPE_RULE where a rule fits nothing, or names a node type that is not made so.
    """
    planner, constants = Planner(recipe, "onnx"), float_constants(model)
    planned = []
    for node in model.graph.node:
        weight = _weight(node, constants)
        count = prod(constants[weight].dims) if weight is not None else None
        scheme, place = planner.scheme(node.op_type, (node.name, *node.output), count)
        problem = "" if scheme == FLOAT_SCHEME else _problem(scheme, node, weight, constants)
        named = place is not None and node.op_type in recipe.rules[place - 1].operators
        if named and problem.startswith("onnxruntime makes no"):
            raise InputError(
                f"recipe {recipe.name}, rule {place}: {node.op_type} is not made {kind_of(scheme)}, {problem}",
                code="E_RECIPE_RULE",
                hint="give it another scheme, or scheme: float",
            )
        static = scheme.activations.mode == "static"
        news = problem and (weight is not None or (static and problem.startswith("onnxruntime makes no")))
        planned.append(
            Planned(
                name=node.name,
                op=node.op_type,
                scheme=FLOAT_SCHEME if problem else scheme,
                weight=weight,
                axis=_axis(node, constants[weight].dims) if weight is not None else 0,
                outputs=tuple(node.output),
                why=problem if news else "",
            )
        )
    planner.require_all([node.op_type for node in model.graph.node])
    return Plan(recipe, tuple(planned))


def float_constants(model: Any) -> dict[str, Any]:
    """Initializers of float32 by name."""
    return {t.name: t for t in model.graph.initializer if t.data_type == _FLOAT}


def new_names(graph: Any) -> Callable[[str], str]:
    """Gives for a name one that no node and no tensor of the graph has: that name, where it is free."""
    taken = set(_names(graph))

    def free(name: str) -> str:
        while name in taken:
            name += "_"
        taken.add(name)
        return name

    return free


def _names(graph: Any) -> Iterator[str]:
    yield from (one.name for one in (*graph.initializer, *graph.input, *graph.output))
    for node in graph.node:
        yield from (node.name, *node.input, *node.output)
        for inner in _inner(node):
            yield from _names(inner)


def _inner(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        yield from (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs)


def reads_of(graph: Any) -> Iterator[str]:
    """Every name that a node reads, also what branches and loops take from outside of them."""
    for node in graph.node:
        yield from node.input
        for inner in _inner(node):
            yield from reads_of(inner)
            yield from (place.name for place in inner.output)


def _weight(node: Any, constants: Mapping[str, Any]) -> str | None:
    at = WEIGHT_AT.get(node.op_type)
    if at is None or at >= len(node.input):
        return None
    name = str(node.input[at])
    return name if name in constants and len(constants[name].dims) >= 2 else None


def _problem(scheme: Scheme, node: Any, weight: str | None, constants: Mapping[str, Any]) -> str:
    kind = kind_of(scheme)
    if scheme.activations.mode == "static":
        if node.op_type == "Gather" and weight is not None:
            return "onnxruntime would store its table per tensor"
        return "" if node.op_type in _static_types() else f"onnxruntime makes no {kind} of it"
    if node.op_type not in _MADE.get(kind, ()):
        return f"onnxruntime makes no {kind} of it"
    if weight is None:
        return "it has no weights"
    if kind == "int8-dynamic" and node.op_type == "Conv" and scheme.weights.granularity == "channel":
        return "onnxruntime's dynamic convolution has one scale for all channels"
    if scheme.weights.granularity.startswith("block") and len(constants[weight].dims) != 2:
        return "its weights are no matrix"
    if scheme.weights.granularity.startswith("block") and _attribute(node, "transA", 0):
        return "its input is transposed"
    return ""


def _static_types() -> frozenset[str]:
    registry = need("onnxruntime.quantization.registry", "onnx", _WHAT)
    return frozenset({*registry.QDQRegistry, *registry.QLinearOpsRegistry})


def _axis(node: Any, shape: Sequence[int]) -> int:
    """Of the output channels: one scale for each where the recipe says per channel."""
    if node.op_type == "ConvTranspose":
        return 1
    if node.op_type == "MatMul":
        return len(shape) - 1
    if node.op_type == "Gemm":
        return 0 if _attribute(node, "transB", 0) else 1
    return 0


def _attribute(node: Any, name: str, default: Any) -> Any:
    for attribute in node.attribute:
        if attribute.name == name:
            return attribute.i
    return default


def lift_constants(model: Any) -> None:
    """Constant nodes become initializers, as whose weights alone the quantizers see: models of PaddlePaddle have all of
    theirs in such nodes."""
    for node in [node for node in model.graph.node if node.op_type == "Constant"]:
        tensors = [a.t for a in node.attribute if a.name == "value" and a.HasField("t")]
        if len(tensors) == 1 and not tensors[0].external_data:
            lifted = model.graph.initializer.add()
            lifted.CopyFrom(tensors[0])
            lifted.name = node.output[0]
            model.graph.node.remove(node)


def named(model: Any) -> None:
    """Give nodes without a name, or with one that another has, a name of their own: rules and the quantizer go by it."""
    seen: set[str] = set()
    for number, node in enumerate(model.graph.node):
        if not node.name or node.name in seen:
            node.name = f"{node.op_type}_{number}"
            while node.name in seen:
                node.name += "_"
        seen.add(node.name)
