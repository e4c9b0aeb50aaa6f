"""A .tflite file as the schema's own objects and back, for what edits one.

A file is read by the checked reader of edgekit.models first; only one that passes is given to the generated
classes, which trust every offset. The same objects give the same bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edgekit.conversion.extras import need, quiet
from edgekit.errors import ModelError
from edgekit.models.tflite import read_tflite

MAX_BYTES = (1 << 31) - (1 << 20)
"""A flatbuffer's offsets have 31 bits; what an edit adds fits into the rest."""
_ALIGNMENT_BYTES = 16
"""Of constants: schema.fbs has `force_align: 16` on Buffer.data, which the Python classes do not keep."""
_WHAT = "changing a TFLite model"


def schema() -> Any:
    """The generated classes. Raises MissingExtra."""
    return need("ai_edge_litert.schema_py_generated", "litert", _WHAT)


def unpacked(data: bytes) -> Any:
    """The file as a ModelT whose indices of tensors, buffers and operator codes are valid.

    Raises ModelError (damaged; E_MODEL_LARGE), MissingExtra.
    """
    read_tflite(data, "the model")
    require_room(len(data))
    classes = schema()
    with quiet(), damage():
        model = classes.ModelT.InitFromPackedBuf(data)
        _bring_inside(model, data)
    model.operatorCodes, model.buffers = listed(model.operatorCodes), listed(model.buffers)
    return model


def packed(model: Any, size_bytes: int) -> bytes:
    """The bytes of a ModelT; `size_bytes`: about how many. Raises ModelError E_MODEL_CORRUPT, E_MODEL_LARGE."""
    require_room(size_bytes)
    flatbuffers = need("flatbuffers", "litert", _WHAT)
    with quiet(), damage():
        builder = _aligned_builder(flatbuffers, size_bytes)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def require_room(size_bytes: int) -> None:
    """Raises ModelError E_MODEL_LARGE."""
    if size_bytes > MAX_BYTES:
        raise _too_large(f"has {size_bytes} bytes; a TFLite file that is changed has to stay below 2 GiB")


def _bring_inside(model: Any, data: bytes) -> None:
    """Constants and options may lie behind the tables (ai-edge-quantizer writes larger ones there); the generated classes
    would lose them. They are put into the tables, which have room for what is below 2 GiB.

    Raises ModelError: E_MODEL_LARGE; E_MODEL_CORRUPT where options lie outside of the file.
    """
    import numpy as np

    outside = [buffer for buffer in model.buffers or [] if buffer.offset > 1]
    options = [
        operator
        for graph in model.subgraphs
        for operator in graph.operators or []
        if operator.largeCustomOptionsOffset > 1
    ]
    # several may share one place in the file: inside, each has its own
    more_bytes = sum(buffer.size for buffer in outside) + sum(one.largeCustomOptionsSize for one in options)
    if len(data) + more_bytes > MAX_BYTES:
        raise _too_large(
            "keeps its constants behind its tables, and would have 2 GiB and more with them inside"
        )
    for buffer in outside:
        buffer.data = np.frombuffer(data, np.uint8, buffer.size, buffer.offset)
        buffer.offset = buffer.size = 0
    for operator in options:
        place, size = operator.largeCustomOptionsOffset, operator.largeCustomOptionsSize
        operator.customOptions = np.frombuffer(data, np.uint8, size, place)
        operator.largeCustomOptionsOffset = operator.largeCustomOptionsSize = 0


def _too_large(why: str) -> ModelError:
    return ModelError(f"the model {why}", code="E_MODEL_LARGE", hint="use a smaller model")


@contextmanager
def damage() -> Iterator[None]:
    """What the generated classes raise for parts that the checked reader does not follow: options, metadata."""
    try:
        yield
    except (struct.error, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ModelError(
            f"the model is damaged: {error}", code="E_MODEL_CORRUPT", hint="copy or export the model again"
        ) from error


def listed(values: Any) -> list[Any]:
    """A vector of the object API (an array, a list or None) as a list; numbers as Python's."""
    return [] if values is None else values.tolist() if hasattr(values, "tolist") else list(values)


def text(name: bytes | str | None) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name or ""


def code_of(model: Any, operator: Any) -> int:
    """An operator's number in the schema: files from before 2020 have it in the old field only."""
    code = model.operatorCodes[operator.opcodeIndex]
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))


def constant_of(model: Any, tensor: Any) -> Any:
    """A constant's bytes as an array of uint8; None for a tensor that is computed."""
    data = model.buffers[tensor.buffer].data
    return None if data is None or not len(data) or tensor.isVariable else data


def _aligned_builder(flatbuffers: Any, size_bytes: int) -> Any:
    """A builder that aligns byte vectors as the schema wants it: kernels read constants where they lie."""
    base = flatbuffers.Builder

    def start_vector(self: Any, item_bytes: int, count: int, alignment: int) -> Any:
        return base.StartVector(self, item_bytes, count, _ALIGNMENT_BYTES if item_bytes == 1 else alignment)

    return type("AlignedBuilder", (base,), {"__slots__": (), "StartVector": start_vector})(size_bytes + 4096)
