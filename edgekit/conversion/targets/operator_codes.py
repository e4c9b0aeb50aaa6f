"""Old TFLite files, made readable for the quantizer.

Until 2020 the schema kept an operator's number in one byte, since then in four; readers take the larger of both.
ai-edge-quantizer 0.10 reads the new field only, where old files have 0, which is ADD: it then finds no operator
that has weights and reports success without doing anything (MediaPipe's models are such files).
"""

from __future__ import annotations

from edgekit.conversion.extras import need, quiet
from edgekit.models.flat import Flat


def has_old_codes(tflite: bytes) -> bool:
    """Whether any operator's number is in the old field only. Raises Damaged."""
    codes = Flat(tflite).root().children(1)
    return any(code.scalar(3, "i") < code.scalar(0, "b") for code in codes)


def with_new_codes(tflite: bytes) -> bytes:
    """The same model with every operator's number in both fields; a model that has them stays byte for byte."""
    if not has_old_codes(tflite):
        return tflite
    schema = need("ai_edge_litert.schema_py_generated", "litert", "quantizing a TFLite model")
    flatbuffers = need("flatbuffers", "litert", "quantizing a TFLite model")
    with quiet():
        model = schema.ModelT.InitFromPackedBuf(tflite)
        for code in model.operatorCodes:
            code.builtinCode = max(code.builtinCode, code.deprecatedBuiltinCode)
        builder = flatbuffers.Builder(len(tflite))
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())
