"""The float TFLite model of a source, by the converter of its framework, with the source's names and the layout
that was asked for."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit.conversion.extras import need, quiet, versions
from edgekit.conversion.layout import permutations
from edgekit.conversion.naming import short
from edgekit.conversion.sources.handles import KerasModel, OnnxModel, TfliteModel
from edgekit.conversion.targets.base import Request
from edgekit.conversion.targets.onnx2tf import onnx_to_tflite
from edgekit.conversion.targets.tflite_edit import permuted, renamed
from edgekit.conversion.targets.torch_layout import for_layout
from edgekit.errors import BugError, HostDiskFull, ModelError, ToolError
from edgekit.events import Event
from edgekit.models.info import Signature, TensorSpec
from edgekit.models.inspect import inspect_tflite

MAX_FLATBUFFER_BYTES = 2 << 30
SPARE_BYTES = 1 << 20


@dataclass(frozen=True)
class FloatModel:
    data: bytes
    tools: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def made_from(request: Request) -> FloatModel:
    """Raises MissingExtra, ToolError (E_CONVERTER), ModelError (E_MODEL_TOO_LARGE)."""
    source = request.source
    if (source.origin.size_bytes or 0) >= MAX_FLATBUFFER_BYTES:
        raise ModelError(
            f"{source.origin.name} has {source.origin.size_bytes} bytes; a TFLite file ends at 2 GiB",
            code="E_MODEL_TOO_LARGE",
            hint="convert it --to onnx, which keeps weights in files of their own",
        )
    if source.framework == "torch":
        return _from_torch(request)
    if source.framework == "keras":
        made = _from_keras(request)
    elif source.framework == "onnx":
        return _from_onnx(request)
    elif isinstance(source.model, TfliteModel):
        made = FloatModel(source.model.data, versions("ai-edge-litert"))
    else:
        raise BugError(f"the TFLite target was given a {source.framework} model")
    return _in_layout(made, request)


def _in_layout(made: FloatModel, request: Request) -> FloatModel:
    """The file with TRANSPOSE operators where its images shall have another order of axes."""
    signature = request.source.signature
    ins = permutations(signature.inputs, request.layout)
    outs = permutations(signature.outputs, request.layout)
    if not ins and not outs:
        return made
    return FloatModel(permuted(made.data, ins, outs), made.tools, made.notes)


def _from_torch(request: Request) -> FloatModel:
    name = request.source.origin.name
    litert_torch = need("litert_torch", "torch", "converting a PyTorch model to TFLite")
    model, signature = for_layout(request)
    request.sink(Event("convert", f"converting {name} with litert-torch"))
    _need_room(request.folder, sum(t.numel() * t.element_size() for t in model.program.state_dict.values()))
    try:
        with quiet():
            path = request.folder / "litert.tflite"
            litert_torch.convert(model.program.module(check_guards=False), model.example).export(str(path))
            data = path.read_bytes()
            path.unlink()
    except Exception as error:  # torch.export, jax and the MLIR converter each raise their own
        raise ToolError(
            f"litert-torch does not convert {name}: {short(error)}",
            code="E_CONVERTER",
            hint="check that torch.export.export takes the model, and replace the operators it names",
        ) from error
    tools = versions("torch", "litert-torch", "litert-converter", "ai-edge-litert")
    return FloatModel(_named(data, signature, name), tools)


def _need_room(folder: Path, weight_bytes: int) -> None:
    """litert-torch's writer ends the whole process where the disk is full, without a word.

    Raises HostDiskFull where there is no room for the model and a little more.
    """
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < 2 * weight_bytes + SPARE_BYTES:
        raise HostDiskFull(
            f"{folder} has {free_bytes} bytes left, the conversion needs {2 * weight_bytes + SPARE_BYTES}",
            hint="free space there, or set EDGEKIT_CACHE_DIR",
        )


def _named(data: bytes, signature: Signature, name: str) -> bytes:
    """litert-torch calls inputs args_0, args_1 and outputs output_0, ...; these become the source's names."""
    found = inspect_tflite(data, name).signature
    if found is None:
        raise ToolError(f"litert-torch gave a file without inputs for {name}", code="E_CONVERTER_OUTPUT")
    return renamed(
        data,
        _by_position(found.inputs, signature.inputs, name),
        _own_names(found.outputs, signature.outputs) or _by_position(found.outputs, signature.outputs, name),
    )


def _own_names(found: Sequence[TensorSpec], wanted: Sequence[TensorSpec]) -> list[str] | None:
    """Outputs that a model names itself (it gives a dict) have their names already; one that is called like an input
    has another in the signature."""
    final = {spec.name.removesuffix("_out"): spec.name for spec in wanted} | {s.name: s.name for s in wanted}
    names = [final.get(spec.name, "") for spec in found]
    return names if sorted(names) == sorted(spec.name for spec in wanted) else None


def _by_position(found: Sequence[TensorSpec], wanted: Sequence[TensorSpec], name: str) -> list[str]:
    """The wanted names in the file's own order, by the number at the end of each name that the tool gave."""
    places = [int(m.group(1)) if (m := re.search(r"(\d+)$", spec.name)) else -1 for spec in found]
    if sorted(places) != list(range(len(wanted))):
        raise ToolError(
            f"litert-torch gave {[spec.name for spec in found]} for {[spec.name for spec in wanted]} of {name}",
            code="E_CONVERTER_OUTPUT",
            hint="an input that the model does not use, or an output that is one of its inputs? leave it out",
        )
    return [wanted[place].name for place in places]


def _from_keras(request: Request) -> FloatModel:
    source = request.source
    tensorflow = need("tensorflow", "tensorflow", "converting a Keras model or SavedModel")
    if not isinstance(source.model, KerasModel):
        raise BugError("a Keras source without a Keras model")
    name, model = source.origin.name, source.model
    request.sink(Event("convert", f"converting {name} with TensorFlow {tensorflow.__version__}"))
    tools = versions("tensorflow-cpu", "tensorflow", "keras", "ai-edge-litert")
    if model.model is not None:
        data = _lite(tensorflow.lite.TFLiteConverter.from_keras_model(model.model), name)
    else:
        with tempfile.TemporaryDirectory(dir=request.folder) as folder:
            with quiet():
                tensorflow.saved_model.save(
                    model.module, folder, signatures={"serving_default": model.concrete()}
                )
            data = _lite(tensorflow.lite.TFLiteConverter.from_saved_model(folder), name)
    if "READ_VARIABLE" in inspect_tflite(data, name).operators:
        raise ToolError(
            f"TensorFlow converted {name} without its weights (READ_VARIABLE operators)",
            code="E_CONVERTER",
            hint="export it with model.export(folder) and convert that folder",
        )
    return FloatModel(data, tools)


def _lite(converter: Any, name: str) -> bytes:
    try:
        with quiet():
            return bytes(converter.convert())
    except Exception as error:  # the converter raises its own and TensorFlow's many error classes
        raise ToolError(
            f"TensorFlow does not convert {name}: {short(error)}",
            code="E_CONVERTER",
            hint="replace the operators it names, or convert it to .tflite yourself",
        ) from error


def _from_onnx(request: Request) -> FloatModel:
    source = request.source
    if not isinstance(source.model, OnnxModel):
        raise BugError("an ONNX source without an ONNX model")
    request.sink(Event("convert", f"converting {source.origin.name} with onnx2tf"))
    shapes = {spec.name: spec.shape for spec in source.signature.inputs}
    folder = Path(tempfile.mkdtemp(prefix="onnx2tf-", dir=request.folder))
    made = onnx_to_tflite(source.model.path, source.signature, shapes, folder, request.sink, request.layout)
    return FloatModel(made.data, dict(made.tools), tuple(made.notes))
