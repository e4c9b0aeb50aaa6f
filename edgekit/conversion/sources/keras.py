"""Keras files (.keras, .h5) and SavedModel folders, their batch fixed to 1.

A batch that is not fixed leaves SHAPE and PACK operators in a TFLite file and splits it for delegates.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.conversion.extras import need, quiet, versions
from edgekit.conversion.naming import NCHW, NHWC, fixed, layout_of, short, unique, unknown_shapes
from edgekit.conversion.sources.base import LoadedSource, LoadOptions, origin_of, untrusted
from edgekit.conversion.sources.handles import KerasModel
from edgekit.errors import ModelError
from edgekit.events import Event
from edgekit.models.info import Signature, TensorSpec
from edgekit.models.keras_file import unsafe_reasons

if TYPE_CHECKING:
    from edgekit.conversion.sources.base import Outputs, Run, Sample

    ByName = Callable[[Mapping[str, Any]], Mapping[str, Any]]

DEFAULT_KEY = "serving_default"
WHAT = "converting a Keras model or SavedModel"


class KerasSource:
    name = "keras"
    formats = frozenset({"keras", "h5", "saved_model"})

    def accepts(self, source: str) -> bool:
        return False

    def load(self, source: str, options: LoadOptions) -> LoadedSource:
        """Raises ModelError (E_MODEL_LOAD, E_UNTRUSTED, E_NO_SIGNATURE, E_DYNAMIC_SHAPE), MissingExtra."""
        path = Path(source)
        origin = origin_of(path, options)
        tensorflow = need("tensorflow", "tensorflow", WHAT)
        keras = need("keras", "tensorflow", WHAT)
        options.sink(Event("convert", f"reading {path.name} with TensorFlow {tensorflow.__version__}"))
        notes: tuple[str, ...] = ()
        if origin.format == "saved_model":
            model, signature, run = _from_saved_model(tensorflow, path, options)
            limits: dict[str, int] = {}
            if signature.key != DEFAULT_KEY:
                notes = (f"the signature '{signature.key}' was taken: there is no '{DEFAULT_KEY}'",)
        else:
            if origin.format == "h5" and not options.trust:
                _refuse_code(path)
            model, signature, run = _from_keras(tensorflow, keras, path, options)
            limits = _token_limits(keras, model.model)
        return LoadedSource(
            name=path.stem,
            origin=origin,
            framework="keras",
            model=model,
            signature=signature,
            run=_positional(run, signature),
            token_limits=limits,
            tools=versions("tensorflow-cpu", "tensorflow", "keras"),
            notes=notes,
        )


def _refuse_code(path: Path) -> None:
    """Keras' safe mode does not hold for HDF5 files, so their config is judged here."""
    h5py = need("h5py", "tensorflow", WHAT)
    try:
        with h5py.File(path, "r") as file:
            text = file.attrs.get("model_config")
        config = json.loads(text) if text is not None else {}
    except (OSError, ValueError, RecursionError) as error:
        raise _not_loaded(path, error) from error
    if not config:
        raise ModelError(
            f"{path} has no model in it: weights only",
            code="E_MODEL_LOAD",
            hint="save the whole model: model.save(PATH)",
        )
    if reasons := unsafe_reasons(config):
        raise untrusted(str(path), f"would run code: {'; '.join(reasons[:3])}")


def _positional(run: ByName, signature: Signature) -> Run:
    """From names to the order of the signature."""
    import numpy as np

    def ordered(sample: Sample) -> Outputs:
        with quiet():
            found = run({spec.name: value for spec, value in zip(signature.inputs, sample, strict=True)})
        return [np.asarray(found[spec.name]) for spec in signature.outputs]

    return ordered


def _not_loaded(path: Path, error: Exception) -> ModelError:
    return ModelError(
        f"{path} does not load: {short(error)}",
        code="E_MODEL_LOAD",
        hint="a model with own layers: export it with model.export(folder) and convert that folder",
    )


def _spec(name: str, tensor: Any, layout: str) -> TensorSpec:
    shape = tuple(-1 if size is None else int(size) for size in tensor.shape)
    dtype = getattr(tensor.dtype, "name", str(tensor.dtype))
    return TensorSpec(
        name=name,
        dtype=dtype,
        shape=shape,
        layout=layout_of(shape, layout) if dtype.startswith("float") else None,
    )


def _fixed_inputs(specs: Sequence[TensorSpec], options: LoadOptions) -> list[tuple[int, ...]]:
    unknown_shapes(list(options.shapes), specs)
    return [fixed(spec, options.shapes.get(spec.name)) for spec in specs]


def _from_keras(
    tensorflow: Any, keras: Any, path: Path, options: LoadOptions
) -> tuple[KerasModel, Signature, ByName]:
    try:
        with quiet():
            model = keras.models.load_model(path, compile=False, safe_mode=not options.trust)
            if not model.inputs or not model.outputs:
                raise ModelError(
                    f"{path} was saved before it was built: it has no inputs", code="E_MODEL_LOAD"
                )
    except ModelError:
        raise
    except Exception as error:  # a damaged file raises whatever its parser (h5py, zipfile, json) raises
        raise _not_loaded(path, error) from error
    layout = NCHW if keras.config.image_data_format() == "channels_first" else NHWC
    outputs = tensorflow.nest.flatten(model.outputs)
    if len({id(o) for o in outputs}) < len(outputs) or any(o is i for o in outputs for i in model.inputs):
        raise ModelError(
            f"{path} gives a tensor twice, or an input as it is",
            code="E_MODEL_OUTPUT",
            hint="give every output once: keras.layers.Identity() makes one of its own",
        )
    shapes = _fixed_inputs([_spec(tensor.name, tensor, layout) for tensor in model.inputs], options)
    with quiet():
        given = [
            keras.Input(batch_shape=shape, dtype=tensor.dtype, name=tensor.name)
            for tensor, shape in zip(model.inputs, shapes, strict=True)
        ]
        results = model(given if len(given) > 1 else given[0], training=False)
        flat = tensorflow.nest.flatten(results)
        # A model that gives a dict names its outputs itself; TensorFlow flattens dicts by sorted keys.
        keys = sorted(results) if isinstance(results, dict) else list(getattr(model, "output_names", []))
        names = unique(keys, len(flat))
        # A name of our own: Keras would count the models of this process into it, and into the file.
        batch_of_one = keras.Model(given, dict(zip(names, flat, strict=True)), name="batch_of_one")
    signature = Signature(
        key=None,
        inputs=tuple(_spec(tensor.name, tensor, layout) for tensor in given),
        outputs=tuple(_spec(name, tensor, layout) for name, tensor in zip(names, flat, strict=True)),
    )

    def run(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        values = [tensorflow.constant(inputs[tensor.name]) for tensor in given]
        return dict(batch_of_one(values if len(values) > 1 else values[0], training=False))

    def concrete() -> Any:
        def call(**values: Any) -> Any:
            ordered = [values[tensor.name] for tensor in given]
            return dict(batch_of_one(ordered if len(ordered) > 1 else ordered[0], training=False))

        return _concrete(tensorflow, call, signature)

    return KerasModel(batch_of_one, None, concrete), signature, run


def _concrete(tensorflow: Any, function: Any, signature: Signature) -> Any:
    specs = {s.name: tensorflow.TensorSpec(s.shape, s.dtype, name=s.name) for s in signature.inputs}
    return tensorflow.function(function).get_concrete_function(**specs)


def _from_saved_model(
    tensorflow: Any, path: Path, options: LoadOptions
) -> tuple[KerasModel, Signature, ByName]:
    try:
        with quiet():
            loaded = tensorflow.saved_model.load(str(path))
            signatures = dict(loaded.signatures)
    except Exception as error:  # TensorFlow's loader raises its own and protobuf's errors
        raise _not_loaded(path, error) from error
    key = DEFAULT_KEY if DEFAULT_KEY in signatures else next(iter(signatures), None)
    if key is None:
        raise ModelError(
            f"{path} has no signature", code="E_NO_SIGNATURE", hint="save it with signatures=..."
        )
    function = signatures[key]
    open_specs = []
    for name, spec in function.structured_input_signature[1].items():
        if spec.shape.rank is None:
            raise ModelError(
                f"{path}: input '{name}' has no rank",
                code="E_DYNAMIC_SHAPE",
                hint="save it with an input_signature that has shapes",
            )
        open_specs.append(_spec(name, spec, NHWC))
    shapes = _fixed_inputs(open_specs, options)
    specs = {
        spec.name: tensorflow.TensorSpec(shape, spec.dtype, name=spec.name)
        for spec, shape in zip(open_specs, shapes, strict=True)
    }
    module = _frozen(tensorflow, function, specs)
    concrete = module.serve.get_concrete_function(**specs)
    signature = Signature(
        key=key,
        inputs=tuple(_spec(name, spec, NHWC) for name, spec in specs.items()),
        outputs=tuple(_spec(name, spec, NHWC) for name, spec in concrete.structured_outputs.items()),
    )

    def run(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        # The model as it was saved, not the frozen one that is converted.
        return dict(function(**{name: tensorflow.constant(value) for name, value in inputs.items()}))

    run.keep_alive = loaded  # type: ignore[attr-defined]  # its variables die with the loaded object
    return KerasModel(None, module, lambda: concrete), signature, run


def _frozen(tensorflow: Any, function: Any, specs: Mapping[str, Any]) -> Any:
    """The function with fixed sizes and its weights as constants: else the converter may leave them out."""
    freeze = need(
        "tensorflow.python.framework.convert_to_constants", "tensorflow", WHAT
    ).convert_variables_to_constants_v2
    outs = list(function.structured_outputs)
    with quiet():
        traced = tensorflow.function(lambda **given: [function(**given)[name] for name in outs])
        # Control flow stays: lowered, TensorFlow Lite finds no LSTM in it.
        constants = freeze(traced.get_concrete_function(**specs), lower_control_flow=False)
        order = [tensor.name.partition(":")[0] for tensor in constants.inputs]
        if not set(order) <= set(specs):
            raise ModelError(
                "the SavedModel holds resources that are no weights (lookup tables, datasets)",
                code="E_MODEL_LOAD",
                hint="export the part of it that computes on numbers",
            )
        module = tensorflow.Module()

        def serve(**given: Any) -> dict[str, Any]:
            results = constants(*[given[name] for name in order])
            return dict(zip(outs, tensorflow.nest.flatten(results), strict=True))

        module.serve = tensorflow.function(serve)
    return module


def _token_limits(keras: Any, model: Any) -> dict[str, int]:
    """How many rows the table has that an integer input picks from, where it goes there directly."""
    names = {tensor.name for tensor in model.inputs}
    limits: dict[str, int] = {}
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Embedding):
            for node in layer._inbound_nodes:
                for tensor in node.input_tensors:
                    if tensor.name in names:
                        limits[tensor.name] = min(layer.input_dim, limits.get(tensor.name, layer.input_dim))
    return limits
