"""The copy of an ONNX model that onnx2tf is given: one file, sizes fixed, names that it does not change."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekit.cache import atomic_write
from edgekit.conversion.extras import need, quiet
from edgekit.errors import ModelError

MAX_WEIGHT_BYTES = 1 << 30
"""Above it onnx2tf cuts a model into parts (its --tflite_split_max_bytes)."""
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


def prepare(
    model: Path, shapes: Mapping[str, tuple[int, ...]], target: Path
) -> tuple[dict[str, str], dict[str, tuple[int, ...]]]:
    """Write the copy that the tool may change: one file, sizes fixed, plain names.

    Gives the stand-ins by the names they replace, and the shapes of outputs that ONNX's own inference finds, -1
    where it does not know. Raises MissingExtra, ModelError E_MODEL_LARGE, E_MODEL_CORRUPT.
    """
    onnx = need("onnx", "onnx", "converting ONNX models")
    with quiet():
        graph_only = onnx.load(str(model), load_external_data=False)
    _check_size(model, graph_only)
    try:
        with quiet():
            proto = onnx.load(str(model))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise ModelError(
            f"{model.name} cannot be read with its external data: {error}",
            code="E_MODEL_CORRUPT",
            hint="keep the model's data files beside it",
        ) from error
    initializers = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in initializers]
    changed = [_fix(value, shapes[value.name]) for value in inputs if value.name in shapes]
    if any(changed):
        # sizes that were recorded for the dynamic model may contradict the fixed ones; they are found again
        del proto.graph.value_info[:]
        for value in proto.graph.output:
            for dim in value.type.tensor_type.shape.dim:
                dim.ClearField("dim_param")
    inferred = _output_shapes(onnx, proto)
    for value in proto.graph.output:
        # onnxsim refuses an output without a shape
        if -1 not in (shape := inferred.get(value.name, (-1,))):
            _fix(value, shape)
    stand_ins = _stand_ins([value.name for value in (*inputs, *proto.graph.output)])
    if stand_ins:
        _rename(proto.graph, stand_ins)
    atomic_write(target, proto.SerializeToString(deterministic=True))
    return stand_ins, inferred


def _check_size(model: Path, proto: Any) -> None:
    """Refuse before memory is taken. Data files count whole, wherever in them a tensor lies."""
    places = {
        entry.value
        for tensor in _tensors(proto.graph)
        for entry in tensor.external_data
        if entry.key == "location"
    }
    files = [model, *(model.parent / place for place in places)]
    size = sum(path.stat().st_size for path in files if path.is_file())
    if size > MAX_WEIGHT_BYTES:
        raise ModelError(
            f"{model.name} has {size / 2**30:.1f} GiB of weights; onnx2tf makes one TFLite file of at most 1 GiB",
            code="E_MODEL_LARGE",
            hint="keep it as ONNX (--to onnx), or split the model",
        )


def _tensors(graph: Any) -> Iterator[Any]:
    """Constants of a graph and of the graphs inside its operators."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            for inner in _graphs(attribute):
                yield from _tensors(inner)


def _graphs(attribute: Any) -> Iterator[Any]:
    if attribute.HasField("g"):
        yield attribute.g
    yield from attribute.graphs


def _fix(value: Any, shape: tuple[int, ...]) -> bool:
    """Give an input its fixed shape; whether it had another."""
    tensor = value.type.tensor_type
    if tensor.HasField("shape") and [dim.dim_value for dim in tensor.shape.dim] == list(shape):
        return False
    tensor.shape.ClearField("dim")
    for size in shape:
        tensor.shape.dim.add().dim_value = size
    # a scalar's shape has no dimensions, which is not the same as no shape
    tensor.shape.SetInParent()
    return True


def _output_shapes(onnx: Any, proto: Any) -> dict[str, tuple[int, ...]]:
    """Shapes of the outputs as far as ONNX's inference knows them: what it cannot tell is left out."""
    try:
        with quiet():
            graph = onnx.shape_inference.infer_shapes(proto, data_prop=True).graph
    except Exception:
        # onnx has no common base class for the errors of inference; a missing shape is only checked less
        return {}
    shapes = {}
    for value in graph.output:
        tensor = value.type.tensor_type
        if tensor.HasField("shape"):
            dims = tensor.shape.dim
            shapes[value.name] = tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in dims)
    return shapes


def _stand_ins(names: Sequence[str]) -> dict[str, str]:
    """Other names for those that onnx2tf changes (a ':', a '/' in front) or its command line takes for options."""
    prefix = "edgekit"
    while any(name.startswith(prefix) for name in names):
        prefix += "_"
    odd = dict.fromkeys(name for name in names if not _PLAIN.fullmatch(name))
    return {name: f"{prefix}_{index}" for index, name in enumerate(odd)}


def _rename(graph: Any, names: Mapping[str, str]) -> None:
    """Rename values, also where graphs inside operators use them (ONNX allows no second meaning of a name there)."""
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for attribute in node.attribute:
            for inner in _graphs(attribute):
                _rename(inner, names)
