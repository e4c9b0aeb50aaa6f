"""ONNX files, with or without external data, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgekit.conversion.extras import versions
from edgekit.conversion.hosts.onnx import OnnxHost
from edgekit.conversion.naming import NCHW, fixed, layout_of, unknown_shapes
from edgekit.conversion.sources.base import LoadedSource, LoadOptions, origin_of
from edgekit.conversion.sources.handles import OnnxModel
from edgekit.errors import ModelError
from edgekit.events import Event
from edgekit.models.info import ITEM_BYTES, Signature, TensorSpec
from edgekit.models.onnx import read_onnx
from edgekit.models.onnx_external import external_files


class OnnxSource:
    name = "onnx"
    formats = frozenset({"onnx"})

    def accepts(self, source: str) -> bool:
        return False

    def load(self, source: str, options: LoadOptions) -> LoadedSource:
        """Raises ModelError (E_MODEL_*, E_DYNAMIC_SHAPE, E_CUSTOM_OPERATOR), MissingExtra (onnx)."""
        path = Path(source)
        origin = origin_of(path, options)
        facts = read_onnx(path)
        external_files(path)  # refuses what is missing, cut short, or outside of the model's folder
        external = tuple(dict.fromkeys(path.parent / piece.location for piece in facts.external))
        if facts.custom_operators:
            raise ModelError(
                f"{path.name} has operators of other makers ({', '.join(facts.custom_operators)}), which nothing here runs",
                code="E_CUSTOM_OPERATOR",
                hint="export it with standard operators only: what cannot be run cannot be verified",
            )
        if not facts.signature.inputs or not facts.signature.outputs:
            raise ModelError(f"{path.name} has no inputs or no outputs", code="E_MODEL_INPUT")
        options.sink(Event("convert", f"reading {path.name} with ONNX Runtime"))
        signature, notes = _fixed(facts.signature, options)
        host = OnnxHost(path, signature, path.name)
        return LoadedSource(
            name=path.stem,
            origin=origin,
            framework="onnx",
            model=OnnxModel(path, external),
            signature=signature,
            run=host.run,
            token_limits=token_limits(path, signature),
            tools=versions("onnxruntime"),
            notes=notes,
        )


def _fixed(found: Signature, options: LoadOptions) -> tuple[Signature, tuple[str, ...]]:
    """Every input at one size. ONNX names no axis as the batch: what is open in front is taken as 1."""
    unknown_shapes(list(options.shapes), found.inputs)
    inputs, notes = [], []
    for spec in found.inputs:
        if spec.dtype not in ITEM_BYTES:
            raise ModelError(
                f"input '{spec.name}' is {spec.dtype}",
                code="E_MODEL_INPUT",
                hint="only inputs of numbers are converted",
            )
        shape = fixed(spec, options.shapes.get(spec.name))
        if shape != spec.shape:
            notes.append(
                f"input '{spec.name}' has axes of open size: taken as {'x'.join(map(str, shape)) or 'scalar'}"
            )
        inputs.append(msgspec.structs.replace(spec, shape=shape, layout=_layout(spec)))
    for spec in found.outputs:
        if spec.dtype not in ITEM_BYTES:
            raise ModelError(
                f"output '{spec.name}' is {spec.dtype}",
                code="E_MODEL_OUTPUT",
                hint="only outputs of numbers can be compared: cut the model before the operator that makes it",
            )
    outputs = tuple(msgspec.structs.replace(spec, layout=_layout(spec)) for spec in found.outputs)
    return Signature(key=None, inputs=tuple(inputs), outputs=outputs), tuple(notes)


def _layout(spec: TensorSpec) -> str | None:
    return layout_of(spec.shape, NCHW) if spec.dtype.startswith("float") else None


def token_limits(path: Path, signature: Signature) -> dict[str, int]:
    """How many rows the table has that an integer input picks from, where it goes there directly (or through Cast)."""
    from edgekit.conversion.extras import need

    onnx = need("onnx", "onnx", "reading an ONNX model")
    try:
        graph = onnx.load(str(path), load_external_data=False).graph
    except Exception:  # the limits only make better inputs; what is wrong with the file is said elsewhere
        return {}
    rows = {tensor.name: tensor.dims[0] for tensor in graph.initializer if tensor.dims}
    integers = {spec.name: spec.name for spec in signature.inputs if spec.dtype.startswith(("int", "uint"))}
    limits: dict[str, int] = {}
    for node in graph.node:
        if node.op_type in ("Cast", "Identity") and node.input[0] in integers:
            integers[node.output[0]] = integers[node.input[0]]
        if (
            node.op_type == "Gather"
            and _axis(node.attribute) == 0
            and node.input[0] in rows
            and node.input[1] in integers
        ):
            name, count = integers[node.input[1]], int(rows[node.input[0]])
            limits[name] = min(count, limits.get(name, count))
    return limits


def _axis(attributes: Sequence[object]) -> int:
    return next((int(a.i) for a in attributes if a.name == "axis"), 0)  # type: ignore[attr-defined]
