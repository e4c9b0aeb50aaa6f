"""ONNX: PyTorch models by torch.onnx (dynamo), ONNX models as they are; float16 by onnxruntime's own converter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.conversion.extras import need, quiet, versions
from edgekit.conversion.hosts.onnx import OnnxHost
from edgekit.conversion.naming import short
from edgekit.conversion.ranges import words
from edgekit.conversion.recipes import AS_IS, Recipe
from edgekit.conversion.recipes.load import method_of
from edgekit.conversion.routes import require
from edgekit.conversion.sources.handles import OnnxModel
from edgekit.conversion.targets.base import Made, Prepared, Request, Stream
from edgekit.conversion.targets.onnx_calibrate import find_ranges
from edgekit.conversion.targets.onnx_check import check_file
from edgekit.conversion.targets.onnx_gemm import with_gemms
from edgekit.conversion.targets.onnx_layout import check, permuted
from edgekit.conversion.targets.onnx_norm import fold_norms
from edgekit.conversion.targets.onnx_plan import lift_constants, named, plan_for
from edgekit.conversion.targets.onnx_quantize import quantize, raised
from edgekit.conversion.targets.torch_layout import for_layout
from edgekit.errors import BugError, ModelError, ToolError, VerificationError
from edgekit.events import Event
from edgekit.models.info import Format, Signature
from edgekit.models.inspect import open_model
from edgekit.models.manifest import RangesFound

if TYPE_CHECKING:
    pass

MAX_PROTOBUF_BYTES = 2 << 30
_WHAT = "converting to ONNX"
_HALF = 10  # onnx.TensorProto.FLOAT16


class OnnxTarget:
    name = "onnx"
    format: Format = "onnx"
    suffix = ".onnx"
    recipes = (
        "float32", "float16", "int8-dynamic", "int8-weight-only", "int8-static", "int16x8", "int4-blockwise",
    )  # fmt: skip

    def prepare(self, request: Request) -> Prepared:
        """Raises MissingExtra, ToolError (E_CONVERTER), InputError (E_NO_PATH)."""
        source = request.source
        require(source.framework, self.name)
        if isinstance(source.model, OnnxModel):
            path, tools = permuted(request, source.model), versions("onnx", "onnxruntime")
        else:
            path, tools = _from_torch(request), versions("torch", "onnx", "onnxscript", "onnxruntime")
        return Prepared(request, open_model(path, use_cache=False), path, tools)

    def make(self, prepared: Prepared, recipe: Recipe, calibration: Stream) -> Made:
        """Raises MissingExtra, InputError (E_RECIPE_RULE), ToolError (E_CONVERTER, E_QUANTIZER), VerificationError
        (E_NOTHING_QUANTIZED, E_RECIPE_NOT_MET)."""
        path, extra = prepared.path, _external(prepared)
        if path is None:
            raise BugError("the ONNX target was not prepared")
        notes: tuple[str, ...] = ()
        ranges: RangesFound | None = None
        unquantized: Path | None = None
        if recipe.arithmetic == "float16":
            path, extra = _half(prepared, path, extra), ()
        elif recipe.arithmetic not in ("float32", AS_IS):
            _require_room(prepared, path, extra, recipe.name)
            unquantized = path
            path, notes, ranges = _integers(prepared, path, recipe, calibration)
            extra = ()
        info = open_model(path, use_cache=False)
        if info.signature is None:
            raise BugError("an ONNX model without inputs and outputs")
        return Made(
            path=path,
            signature=info.signature,
            info=info,
            extra=extra,
            tools=prepared.tools,
            notes=(*prepared.notes, *notes),
            ranges=ranges,
            unquantized=unquantized,
        )

    def open(self, path: Path, signature: Signature, name: str) -> OnnxHost:
        """Raises MissingExtra, ModelError E_MODEL_LOAD."""
        return OnnxHost(path, signature, name)


def _external(prepared: Prepared) -> tuple[Path, ...]:
    model = prepared.request.source.model
    return model.external if isinstance(model, OnnxModel) and prepared.path == model.path else ()


def _from_torch(request: Request) -> Path:
    """One file; weights past protobuf's 2 GiB are refused."""
    torch = need("torch", "torch", _WHAT)
    onnx = need("onnx", "onnx", _WHAT)
    need("onnxscript", "onnx", _WHAT)
    model, signature = for_layout(request)
    request.sink(Event("convert", f"converting {request.source.origin.name} with torch.onnx"))
    inputs = [spec.name for spec in signature.inputs]
    outputs = [spec.name for spec in signature.outputs]
    try:
        with quiet(), torch.no_grad():
            made = torch.onnx.export(
                model.program, dynamo=True, verbose=False, input_names=inputs, output_names=outputs
            )
            proto = made.model_proto
    except Exception as error:  # torch.onnx wraps whatever its steps raise
        raise ToolError(
            f"torch.onnx does not convert {request.source.origin.name}: {_cause(error)}",
            code="E_CONVERTER",
            hint="replace the operators it names; a newer PyTorch may know them",
        ) from error
    for place, name in zip((*proto.graph.input, *proto.graph.output), (*inputs, *outputs), strict=True):
        if place.name != name:
            raise ToolError(f"torch.onnx called '{name}' '{place.name}'", code="E_CONVERTER_OUTPUT")
    _forget_where(proto)
    if proto.ByteSize() >= MAX_PROTOBUF_BYTES:
        raise ModelError(
            f"{request.source.origin.name} is larger than the 2 GiB of an ONNX file",
            code="E_MODEL_TOO_LARGE",
            hint="export it yourself with torch.onnx.export(..., external_data=True) and convert that file",
        )
    check(onnx, proto, request.source.origin.name)
    path = request.folder / "float32.onnx"
    path.write_bytes(proto.SerializeToString(deterministic=True))
    return path


def _cause(error: BaseException) -> str:
    """The innermost reason: torch.onnx reports a step and links what happened in it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return short(error)


def _forget_where(proto: Any) -> None:
    """The exporter writes stack traces with the paths of this machine into every node: they would make other bytes
    in another folder, and tell others where it was made."""
    proto.doc_string = ""
    del proto.metadata_props[:]
    for graph in (proto.graph, *proto.functions):
        for part in (
            graph,
            *graph.node,
            *getattr(graph, "input", ()),
            *getattr(graph, "output", ()),
            *getattr(graph, "value_info", ()),
            *getattr(graph, "initializer", ()),
        ):
            if hasattr(part, "metadata_props"):
                del part.metadata_props[:]
            if hasattr(part, "doc_string"):
                part.doc_string = ""


def _half(prepared: Prepared, path: Path, extra: tuple[Path, ...]) -> Path:
    """Weights and computation in float16, inputs and outputs as they were."""
    onnx = need("onnx", "onnx", _WHAT)
    float16 = need("onnxruntime.transformers.float16", "onnx", _WHAT)
    name = prepared.request.source.origin.name
    _require_room(prepared, path, extra, "float16")
    prepared.request.sink(Event("convert", "float16 by onnxruntime.transformers"))
    try:
        with quiet():
            proto = onnx.load(str(path))
            before = _count_half(proto)
            proto = float16.convert_float_to_float16(proto, keep_io_types=True)
            data = proto.SerializeToString(deterministic=True)
    except Exception as error:
        raise ToolError(
            f"onnxruntime does not make {name} float16: {short(error)}",
            code="E_CONVERTER",
            hint="use --recipe float32",
        ) from error
    if _count_half(proto) <= before:
        raise VerificationError(
            "onnxruntime reported success, but no weight became float16",
            code="E_NOTHING_QUANTIZED",
            hint="the model has no float32 weights; use --recipe float32",
        )
    made = prepared.request.folder / "float16.onnx"
    made.write_bytes(data)
    return made


def _require_room(prepared: Prepared, path: Path, extra: tuple[Path, ...], recipe: str) -> None:
    """Raises ModelError E_MODEL_TOO_LARGE for what does not fit into one file even at half the size."""
    if sum(file.stat().st_size for file in (path, *extra)) >= 2 * MAX_PROTOBUF_BYTES:
        raise ModelError(
            f"{prepared.request.source.origin.name} is too large for {recipe} in one ONNX file",
            code="E_MODEL_TOO_LARGE",
            hint="use --recipe float32",
        )


def _integers(
    prepared: Prepared, path: Path, recipe: Recipe, calibration: Stream
) -> tuple[Path, tuple[str, ...], RangesFound | None]:
    """The quantized file, notes, and how ranges were found. Raises InputError E_RECIPE_RULE, ToolError E_QUANTIZER,
    VerificationError (E_NOTHING_QUANTIZED, E_RECIPE_NOT_MET)."""
    onnx = need("onnx", "onnx", _WHAT)
    need("onnxruntime.quantization", "onnx", _WHAT)
    sink = prepared.request.sink
    sink(Event("convert", f"quantizing: {recipe.name}"))
    with quiet():
        model = onnx.shape_inference.infer_shapes(onnx.load(str(path)))
    model, raising = raised(model, recipe.name)
    lift_constants(model)
    norms = fold_norms(model)
    named(model)
    plan = plan_for(recipe, model)
    if not plan.schemes:
        raise VerificationError(
            f"the model has no node that recipe {recipe.name} quantizes: nothing was quantized",
            code="E_NOTHING_QUANTIZED",
            hint="use --recipe float32",
        )
    gatherer, ranges = None, None
    model, plan = with_gemms(model, plan)
    if any(scheme.activations.mode == "static" for scheme in plan.schemes):
        gatherer, ranges = find_ranges(model, plan, calibration, sink)
    before = onnx.ModelProto()
    before.CopyFrom(model)
    after = quantize(model, plan, ranges)
    stored = check_file(plan, before, after, ranges)
    folding = (f"{norms} BatchNormalization put into the weights of the Conv before",) if norms else ()
    found, notes = None, (*raising, *folding, *plan.notes())
    if (share := plan.share(before)) < 0.5:
        notes = (*notes, f"only {100 * share:.0f} % of the weights are integers now")
    if gatherer is not None:
        found = RangesFound(
            method=method_of(recipe),
            samples=len(calibration),
            tensors=len(stored),
            clipped=gatherer.cost(stored),
        )
        notes = (*notes, *([words(found)] if found.clipped else []))
    _forget_where(after)
    made = prepared.request.folder / f"{recipe.name}.onnx"
    made.write_bytes(after.SerializeToString(deterministic=True))
    return made, notes, found


def _count_half(proto: Any) -> int:
    count: int = sum(tensor.data_type == _HALF for tensor in proto.graph.initializer) + sum(
        attribute.t.data_type == _HALF
        for node in proto.graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
    )
    return count
