"""Keras files (.keras, .h5) and SavedModel folders, converted by TensorFlow's own converter, the batch fixed to 1.

A batch that is not fixed leaves SHAPE and PACK operators in the file and splits it for delegates.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.cache import sha256_file
from edgekit.conversion.extras import need, quiet, versions
from edgekit.conversion.sources.base import LoadedSource
from edgekit.errors import ModelError, ToolError
from edgekit.events import Event, Sink
from edgekit.models.artifact import Origin
from edgekit.models.formats import detect_format
from edgekit.models.inspect import hash_folder, inspect_tflite

if TYPE_CHECKING:
    from edgekit.conversion.sources.base import Outputs, Sample

    ByName = Callable[[Mapping[str, Any]], Mapping[str, Any]]

_WHAT = "converting a Keras model or SavedModel"


class KerasSource:
    name = "keras"
    formats = frozenset({"keras", "h5", "saved_model"})

    def accepts(self, source: str) -> bool:
        return False

    def load(self, source: str, sink: Sink) -> LoadedSource:
        """Raises ModelError (E_MODEL_LOAD), ToolError (E_CONVERTER), MissingExtra (tensorflow)."""
        path = Path(source)
        tensorflow = need("tensorflow", "tensorflow", _WHAT)
        keras = need("keras", "tensorflow", _WHAT)
        kind = detect_format(path)
        sink(Event("convert", f"converting {path.name} with TensorFlow {tensorflow.__version__}"))
        if kind == "saved_model":
            tflite, run = _from_saved_model(tensorflow, path)
        else:
            tflite, run = _from_keras(tensorflow, keras, path)
        info = inspect_tflite(tflite, path.name)
        if "READ_VARIABLE" in info.operators:
            raise ToolError(
                f"TensorFlow converted {path.name} without its weights (READ_VARIABLE operators)",
                code="E_CONVERTER",
                hint="export it with model.export(folder) and convert that folder",
            )
        signature = info.signature
        ins = [spec.name for spec in signature.inputs] if signature else []
        outs = [spec.name for spec in signature.outputs] if signature else []
        return LoadedSource(
            name=path.stem,
            origin=_origin(path, kind),
            tflite=tflite,
            run=_positional(run, ins, outs),
            tools=versions("tensorflow-cpu", "tensorflow", "keras", "ai-edge-litert"),
        )


def _origin(path: Path, kind: str) -> Origin:
    sha256, size = hash_folder(path) if path.is_dir() else (sha256_file(path), path.stat().st_size)
    return Origin(name=path.name, format=kind, sha256=sha256, size_bytes=size)


def _positional(run: ByName, ins: Sequence[str], outs: Sequence[str]) -> Callable[[Sample], Outputs]:
    """From names to the order of the TFLite model."""
    import numpy as np

    def ordered(sample: Sample) -> Outputs:
        with quiet():
            found = run(dict(zip(ins, sample, strict=True)))
        return [np.asarray(found[name]) for name in outs]

    return ordered


def _converted(converter: Any, path: Path) -> bytes:
    try:
        with quiet():
            return bytes(converter.convert())
    except Exception as error:  # the converter raises its own and TensorFlow's many error classes
        raise ToolError(
            f"TensorFlow does not convert {path.name}: {_short(error)}",
            code="E_CONVERTER",
            hint="replace the operators it names, or convert it to .tflite yourself",
        ) from error


def _short(error: BaseException) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__


def _not_loaded(path: Path, error: Exception) -> ModelError:
    return ModelError(
        f"{path} does not load: {_short(error)}",
        code="E_MODEL_LOAD",
        hint="a model with own layers: export it with model.export(folder) and convert that folder",
    )


def _from_keras(tensorflow: Any, keras: Any, path: Path) -> tuple[bytes, ByName]:
    try:
        with quiet():
            model = keras.models.load_model(path, compile=False)
    except Exception as error:  # a damaged file raises whatever its parser (h5py, zipfile, json) raises
        raise _not_loaded(path, error) from error
    with quiet():
        given = [
            keras.Input(batch_shape=(1, *tensor.shape[1:]), dtype=tensor.dtype, name=tensor.name)
            for tensor in model.inputs
        ]
        results = model(given if len(given) > 1 else given[0], training=False)
        flat = tensorflow.nest.flatten(results)
        names = _unique(list(getattr(model, "output_names", [])), len(flat))
        # A name of our own: Keras would count the models of this process into it, and into the file.
        fixed = keras.Model(given, dict(zip(names, flat, strict=True)), name="batch_of_one")
    input_names = [tensor.name for tensor in given]

    def run(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        values = [tensorflow.constant(inputs[name]) for name in input_names]
        return dict(fixed(values if len(values) > 1 else values[0], training=False))

    return _converted(tensorflow.lite.TFLiteConverter.from_keras_model(fixed), path), run


def _unique(names: list[str], count: int) -> list[str]:
    """Names for outputs: the model's own where they are all there and different."""
    if len(names) == count and len(set(names)) == count:
        return names
    return [f"output_{index}" for index in range(count)]


def _from_saved_model(tensorflow: Any, path: Path) -> tuple[bytes, ByName]:
    try:
        with quiet():
            loaded = tensorflow.saved_model.load(str(path))
            signatures = dict(loaded.signatures)
    except Exception as error:  # TensorFlow's loader raises its own and protobuf's errors
        raise _not_loaded(path, error) from error
    key = "serving_default" if "serving_default" in signatures else next(iter(signatures), None)
    if key is None:
        raise ModelError(
            f"{path} has no signature", code="E_NO_SIGNATURE", hint="save it with signatures=..."
        )
    function = signatures[key]
    module, specs = _frozen(tensorflow, function)
    with tempfile.TemporaryDirectory() as folder:
        with quiet():
            tensorflow.saved_model.save(
                module, folder, signatures={"serving_default": module.serve.get_concrete_function(**specs)}
            )
        tflite = _converted(tensorflow.lite.TFLiteConverter.from_saved_model(folder), path)

    def run(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        return dict(function(**{name: tensorflow.constant(value) for name, value in inputs.items()}))

    return tflite, run


def _frozen(tensorflow: Any, function: Any) -> tuple[Any, dict[str, Any]]:
    """The function with batch 1 and its weights as constants: else the converter may leave them out."""
    freeze = need(
        "tensorflow.python.framework.convert_to_constants", "tensorflow", _WHAT
    ).convert_variables_to_constants_v2
    specs = {}
    for name, spec in function.structured_input_signature[1].items():
        shape = list(spec.shape) if spec.shape.rank else []
        fixed = [1, *shape[1:]] if shape and shape[0] is None else shape
        specs[name] = tensorflow.TensorSpec(fixed, spec.dtype, name=name)
    outs = list(function.structured_outputs)
    with quiet():
        traced = tensorflow.function(lambda **given: [function(**given)[name] for name in outs])
        constants = freeze(traced.get_concrete_function(**specs))
        order = [tensor.name.partition(":")[0] for tensor in constants.inputs]
        module = tensorflow.Module()

        def serve(**given: Any) -> dict[str, Any]:
            results = constants(*[given[name] for name in order])
            return dict(zip(outs, tensorflow.nest.flatten(results), strict=True))

        module.serve = tensorflow.function(serve)
    return module, specs
