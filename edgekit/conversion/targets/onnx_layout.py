"""An ONNX model with its image inputs and outputs in another order of axes: Transpose nodes at its ends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgekit.conversion.extras import need
from edgekit.conversion.layout import permutations
from edgekit.conversion.naming import short
from edgekit.conversion.sources.handles import OnnxModel
from edgekit.conversion.targets.base import Request
from edgekit.errors import InputError, ToolError


def permuted(request: Request, model: OnnxModel) -> Path:
    """The model's own file where nothing moves, else a new one in the request's folder."""
    ins = permutations(request.source.signature.inputs, request.layout)
    outs = permutations(request.source.signature.outputs, request.layout)
    if not ins and not outs:
        return model.path
    if model.external:
        raise InputError(
            f"{model.path.name} keeps its weights in other files: --layout {request.layout} is not possible",
            code="E_LAYOUT",
            hint="leave out --layout, or save the model in one file",
        )
    onnx = need("onnx", "onnx", "changing the layout of an ONNX model")
    proto = onnx.load(str(model.path))
    _inputs(onnx, proto.graph, ins)
    _outputs(onnx, proto.graph, outs)
    check(onnx, proto, request.source.origin.name)
    path = request.folder / "layout.onnx"
    path.write_bytes(proto.SerializeToString(deterministic=True))
    return path


def check(onnx: Any, proto: Any, name: str) -> None:
    """Raises ToolError E_CONVERTER_OUTPUT where a made model is no valid ONNX."""
    try:
        onnx.checker.check_model(proto)
    except Exception as error:  # the checker has a class of its own, and C++ ones below it
        raise ToolError(
            f"the ONNX model made from {name} is not valid: {short(error)}",
            code="E_CONVERTER_OUTPUT",
            hint="convert it without --layout, or --to tflite",
        ) from error


def _replace(node: Any, old: str, new: str) -> None:
    """Another name for a value that a node uses or makes, also in the graphs inside it."""
    for names in (node.input, node.output):
        for index, name in enumerate(names):
            if name == old:
                names[index] = new
    for attribute in node.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            for inner in graph.node:
                _replace(inner, old, new)
            for output in graph.output:
                if output.name == old:
                    output.name = new


def _reorder(value: Any, perm: Sequence[int]) -> None:
    dims = value.type.tensor_type.shape.dim
    kept = [type(dims[axis]).FromString(dims[axis].SerializeToString()) for axis in perm]
    del dims[:]
    dims.extend(kept)


def _inputs(onnx: Any, graph: Any, moved: dict[str, tuple[int, ...]]) -> None:
    """The graph's own name goes to the new input, inner nodes read what comes out of the Transpose."""
    for value in graph.input:
        perm = moved.get(value.name)
        if perm is None:
            continue
        inner = f"{value.name}__inner"
        for node in graph.node:
            _replace(node, value.name, inner)
        for output in graph.output:
            if output.name == value.name:
                graph.node.append(onnx.helper.make_node("Identity", [inner], [output.name]))
        back = [perm.index(axis) for axis in range(len(perm))]
        graph.node.insert(0, onnx.helper.make_node("Transpose", [value.name], [inner], perm=back))
        _reorder(value, perm)


def _outputs(onnx: Any, graph: Any, moved: dict[str, tuple[int, ...]]) -> None:
    for value in graph.output:
        perm = moved.get(value.name)
        if perm is None:
            continue
        inner = f"{value.name}__inner"
        for node in graph.node:
            _replace(node, value.name, inner)
        graph.node.append(onnx.helper.make_node("Transpose", [inner], [value.name], perm=list(perm)))
        _reorder(value, perm)
