"""Values and types as the program's protobuf holds them, turned into numpy arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit_ios.mil.blobs import BlobFile
from edgekit_ios.mil.dtypes import Kind, decode, kind_of
from edgekit_ios.mil.errors import damaged

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]

MAX_ELEMENTS = 1 << 28
"""No value of a program may have more elements: a size that nothing but damage or malice asks for here."""

_FIELDS = {"floats": "f", "doubles": "f", "ints": "iu", "longInts": "iu", "bools": "b"}


@dataclass(frozen=True)
class Declared:
    """What the program says about a value. `shape`: -1 where not fixed; None: of any rank. `kind` is None for lists
    and other things that are no tensors."""

    kind: Kind | None
    shape: tuple[int, ...] | None


def declared(value_type: Any) -> Declared:
    """Of a MILSpec.ValueType. Raises ModelError E_MODEL_LOAD."""
    if value_type.WhichOneof("type") != "tensorType":
        return Declared(None, None)
    tensor = value_type.tensorType
    if tensor.rank < 0:
        return Declared(kind_of(tensor.dataType), None)
    shape = tuple(
        int(d.constant.size) if d.WhichOneof("dimension") == "constant" else -1 for d in tensor.dimensions
    )
    if tensor.rank != len(shape):
        raise damaged(f"a tensor of rank {tensor.rank} with {len(shape)} dimensions")
    check_size(shape)
    return Declared(kind_of(tensor.dataType), shape)


def check_size(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape, if its size is one that can be meant. Raises ModelError E_MODEL_LOAD."""
    if math.prod(max(1, dim) for dim in shape) > MAX_ELEMENTS:
        raise damaged(f"a tensor of shape {list(shape)}: more than {MAX_ELEMENTS} elements")
    return shape


def read_value(value: Any, blob_file: Callable[[str], BlobFile]) -> Any:
    """A MILSpec.Value: an array (of rank 0 for a scalar), a str, or a list of values.

    Raises ModelError E_MODEL_LOAD. The number of elements is checked against what the file holds first.
    """
    place = value.WhichOneof("value")
    if place == "immediateValue" and value.immediateValue.WhichOneof("value") in ("list", "tuple"):
        inner = getattr(value.immediateValue, value.immediateValue.WhichOneof("value"))
        return [read_value(item, blob_file) for item in inner.values]
    if value.type.WhichOneof("type") != "tensorType":
        raise damaged("a constant that is no tensor")
    wanted = declared(value.type)
    if wanted.kind is None or wanted.shape is None or any(dim < 0 for dim in wanted.shape):
        raise damaged("a constant without a fixed shape")
    count = math.prod(wanted.shape)
    if place == "blobFileValue":
        blob = blob_file(value.blobFileValue.fileName)
        return blob.read(value.blobFileValue.offset, wanted.kind, count).reshape(wanted.shape)
    if place != "immediateValue":
        raise damaged("a constant without a value")
    return _immediate(value.immediateValue.tensor, wanted.kind, wanted.shape, count)


def _immediate(tensor: Any, kind: Kind, shape: tuple[int, ...], count: int) -> Any:
    field = tensor.WhichOneof("value")
    if field is None:
        if count == 0:
            return np.zeros(shape, kind.numpy)
        raise damaged("a constant without a value")
    held = getattr(tensor, field).values
    if field == "bytes":
        return decode(bytes(held), kind, count).reshape(shape)
    if len(held) != count:
        raise damaged(f"a constant of shape {list(shape)} with {len(held)} elements")
    if field == "strings":
        return str(held[0]) if shape == () else [str(item) for item in held]
    if kind.numpy.kind not in _FIELDS.get(field, ""):
        raise damaged(f"a constant of type {kind.name} stored as {field}")
    return np.array(held, kind.numpy).reshape(shape)
