"""Inputs and outputs of a Core ML model, from its description."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from edgekit.models.info import Signature, TensorSpec
from edgekit_ios.mil.errors import damaged
from edgekit_ios.mil.values import check_size, declared

_DTYPES = {65568: "float32", 65600: "float64", 131104: "int32", 65552: "float16", 131080: "int8"}
"""ArrayFeatureType.ArrayDataType of coremltools' FeatureTypes.proto."""


def read_signature(model: Any) -> Signature:
    """Of a CoreML.Specification.Model; arrays only. Raises ModelError E_MODEL_LOAD.

    The description may leave out the shape of an output; the program has it.
    """
    made = _made_shapes(model)
    outputs = (_spec(feature) for feature in model.description.output)
    return Signature(
        key=None,
        inputs=tuple(_spec(feature) for feature in model.description.input),
        outputs=tuple(
            spec if spec.shape else replace(spec, shape=made.get(spec.name, spec.shape)) for spec in outputs
        ),
    )


def _made_shapes(model: Any) -> dict[str, tuple[int, ...]]:
    found = {}
    for function in model.mlProgram.functions.values():
        for block in function.block_specializations.values():
            for operation in block.operations:
                for output in operation.outputs:
                    found[output.name] = declared(output.type).shape or ()
    return found


def _spec(feature: Any) -> TensorSpec:
    kind = feature.type.WhichOneof("Type")
    if kind != "multiArrayType":
        raise damaged(f"'{feature.name}' is a {kind}; edgekit reads models of arrays")
    array = feature.type.multiArrayType
    if array.dataType not in _DTYPES:
        raise damaged(f"'{feature.name}' has the data type {array.dataType}, which is not known")
    shape = check_size(tuple(int(dim) for dim in array.shape))
    if any(dim < 0 for dim in shape):
        raise damaged(f"'{feature.name}' has the shape {list(shape)}")
    if array.WhichOneof("ShapeFlexibility") is not None:
        shape = _flexible(array, shape)
    return TensorSpec(name=feature.name, dtype=_DTYPES[array.dataType], shape=shape, tensor=feature.name)


def _flexible(array: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """-1 where the model takes more than one size."""
    if array.WhichOneof("ShapeFlexibility") == "shapeRange":
        ranges = array.shapeRange.sizeRanges
        fixed = [r.lowerBound if r.lowerBound == r.upperBound else -1 for r in ranges]
        return tuple(int(dim) for dim in fixed)
    shapes = [tuple(s.shape) for s in array.enumeratedShapes.shapes]
    return tuple(dim if all(s[i] == dim for s in shapes) else -1 for i, dim in enumerate(shape))
