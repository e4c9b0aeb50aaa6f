"""Reads a Keras 3 file (.keras: a zip with config.json) without Keras, and says what in a config would run code.

Format: https://keras.io/guides/serialization_and_saving/. The weights (HDF5) are not looked into.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.errors import ModelError
from edgekit.models.archives import open_zip, read_member
from edgekit.models.flat import Damaged
from edgekit.models.info import Signature, TensorSpec
from edgekit.models.json_tree import objects, read_json
from edgekit.models.limits import as_error, checked, count

MAX_CONFIG_BYTES = 64 << 20
MAX_CONFIG_PARTS = 2_000_000
_MAX_METADATA_BYTES = 1 << 20
_MAX_REASONS = 50

SAFE_MODULES = frozenset(
    {
        "keras", "keras.layers", "keras.models", "keras.activations", "keras.initializers", "keras.regularizers",
        "keras.constraints", "keras.losses", "keras.metrics", "keras.optimizers", "keras.optimizers.schedules",
        "keras.dtype_policies", "keras.quantizers", "keras.random", "keras.ops",
        "keras.src.ops.numpy", "keras.src.ops.nn", "keras.src.ops.math", "keras.src.ops.core",
        "keras.src.ops.image", "keras.src.ops.linalg",
        "keras.src.models.functional", "keras.src.models.sequential", "keras.src.models.model",
        "keras.src.quantizers.quantization_config",
    }
)  # fmt: skip
"""Where Keras may look a class up without reaching anything that reads files, fetches, or runs what it is given;
other parts of Keras (keras.utils, keras.saving, keras.export, ...) can. See `unsafe_reasons`."""
CODE_CLASSES = {
    "Lambda": "holds Python code",
    "TFSMLayer": "loads a SavedModel from a path in the config",
    "TorchModuleWrapper": "unpickles a PyTorch module",
    "JaxLayer": "holds Python code",
    "FlaxLayer": "holds Python code",
    "__lambda__": "is Python bytecode",
    "__typespec__": "names any class of TensorFlow",
}


@dataclass(frozen=True)
class KerasFacts:
    """`signature` is None where the config does not tell shapes; outputs are never known. `operators` counts layers
    by class, those inside of other layers too. `trust`: what `unsafe_reasons` says."""

    signature: Signature | None
    operators: dict[str, int]
    version: str
    trust: tuple[str, ...]


def keras_config(path: str | Path) -> dict[str, Any]:
    """config.json of a .keras file, parsed; at most MAX_CONFIG_BYTES of it.

    Raises ModelError: E_MODEL_TRUNCATED, E_MODEL_ARCHIVE, E_MODEL_CORRUPT.
    """
    return _document(Path(path), "config.json", MAX_CONFIG_BYTES)


def read_keras(path: str | Path) -> KerasFacts:
    """Read a .keras file. Raises as keras_config."""
    place = Path(path)
    config = keras_config(place)
    version = _document(place, "metadata.json", _MAX_METADATA_BYTES).get("keras_version")
    try:
        return facts_of_config(config, version if isinstance(version, str) else "")
    except Damaged as damage:
        raise as_error(damage, place.stat().st_size, str(place)) from damage


def facts_of_config(config: Mapping[str, Any], version: str = "") -> KerasFacts:
    """What a parsed config says: that of a .keras file or the `model_config` of an .h5 file. Raises Damaged."""
    operators: dict[str, int] = {}
    inputs: dict[str, TensorSpec] = {}
    for layer in _layers(config):
        count(operators, str(layer.get("class_name"))[:200])
        if (spec := _input(layer)) is not None:
            inputs[spec.name] = checked(spec)
    if not inputs and (spec := _built_input(config)) is not None:
        inputs[spec.name] = checked(spec)
    if not operators:  # a subclassed model: its layers are in the user's code
        count(operators, str(config.get("class_name"))[:200])
    signature = Signature(key=None, inputs=tuple(inputs.values()), outputs=()) if inputs else None
    return KerasFacts(signature, dict(sorted(operators.items())), version[:100], unsafe_reasons(config))


def unsafe_reasons(config: Any) -> tuple[str, ...]:
    """Why building a model from this config would run code that the file brings or chooses; empty: it would not.

    Keras imports any module that a config names and calls what it finds there, so everything outside of
    SAFE_MODULES counts, custom classes too (their code is not in the file). Raises Damaged for absurd nesting.
    """
    reasons: dict[str, None] = {}
    for item in objects(config, what="its config"):
        if (reason := _unsafe(item)) is not None:
            reasons[reason] = None
            if len(reasons) >= _MAX_REASONS:
                break
    return tuple(reasons)


def _unsafe(item: Mapping[str, Any]) -> str | None:
    kind = item.get("class_name")
    if kind is None:
        return None
    said, inner = str(kind)[:100], item.get("config")
    name = str(inner.get("name", ""))[:100] if isinstance(inner, Mapping) else str(inner)[:100]
    if said in CODE_CLASSES:
        return f"{said} {name!r} {CODE_CLASSES[said]}" if name else f"{said} {CODE_CLASSES[said]}"
    if isinstance(inner, Mapping) and isinstance(inner.get("vocabulary"), str):
        return f"{said} {name!r} reads the file {inner['vocabulary'][:100]!r}"
    module = item.get("module")
    what = f"{said} {name!r}" if said == "function" else f"the class {said}"
    if "." in (name if said == "function" else said):
        return f"{what} names more than one part of Keras"
    if module is not None and str(module) not in SAFE_MODULES:
        return f"{what} comes from the module {str(module)[:100]}"
    registered = item.get("registered_name")
    if isinstance(registered, str) and ">" in registered:
        return f"the custom class {registered[:100]} is not part of Keras"
    return None


def _layers(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The layers of a model, of models inside of it, and layers that others wrap."""
    for item in objects(config.get("config"), what="its config"):
        if "class_name" in item and _is_layer(item):
            yield item


def _is_layer(item: Mapping[str, Any]) -> bool:
    """A layer has a name and, unlike initializers and policies, comes from keras.layers, a model or a user. Keras 2
    wrote no modules: there whatever tells `trainable` or a batch shape is one."""
    inner, module = item.get("config"), item.get("module")
    if not isinstance(inner, Mapping) or "name" not in inner:
        return False
    if isinstance(module, str) and (module == "keras" or module.startswith("keras.")):
        return module == "keras.layers" or module.startswith("keras.src.ops.") or "layers" in inner
    return "trainable" in inner or any(key in inner for key in ("batch_input_shape", "batch_shape", "layers"))


def _input(layer: Mapping[str, Any]) -> TensorSpec | None:
    inner = layer["config"]
    if layer.get("class_name") != "InputLayer":
        return None
    return _spec(
        inner.get("name"), inner.get("batch_shape", inner.get("batch_input_shape")), inner.get("dtype")
    )


def _built_input(config: Mapping[str, Any]) -> TensorSpec | None:
    """The input of a Sequential model without an InputLayer, from the shape it was built with."""
    built = config.get("build_config")
    return _spec("input", built.get("input_shape"), "float32") if isinstance(built, Mapping) else None


def _spec(name: Any, shape: Any, dtype: Any) -> TensorSpec | None:
    if not isinstance(shape, list) or not all(d is None or type(d) is int for d in shape):
        return None
    dims = tuple(-1 if dim is None else dim for dim in shape)
    text = str(name)[:500]
    return TensorSpec(
        name=text, dtype=dtype[:50] if isinstance(dtype, str) else "float32", shape=dims, tensor=text
    )


def _document(path: Path, name: str, limit_bytes: int) -> dict[str, Any]:
    with open_zip(path) as archive:
        data = read_member(archive, name, limit_bytes)
    document = read_json(data, f"{path}: {name}", MAX_CONFIG_PARTS)
    if not isinstance(document, dict):
        raise ModelError(
            f"{path}: {name} is no object", code="E_MODEL_CORRUPT", hint="export the model again"
        )
    return document
