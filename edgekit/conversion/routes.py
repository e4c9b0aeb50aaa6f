"""Which framework's models are made into which format, by what, and why not where they are not. One table: the code
refuses by it, docs/formats.md is made from it, and the tests reproduce every quote with the tool itself."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.errors import InputError


@dataclass(frozen=True)
class Route:
    """`tool`: what converts. Where nothing does, `asked` names the tool that was asked and `refusal` is a part of its
    own error message."""

    tool: str | None = None
    asked: str = ""
    refusal: str = ""


NAMES = {
    "torch": "PyTorch",
    "keras": "Keras",
    "onnx": "ONNX",
    "tflite": "TFLite",
    "executorch": "ExecuTorch",
    "coreml": "Core ML",
}

ROUTES: dict[tuple[str, str], Route] = {
    ("torch", "tflite"): Route("litert-torch"),
    ("torch", "onnx"): Route("torch.onnx (dynamo)"),
    ("torch", "executorch"): Route("executorch (XNNPACK)"),
    ("torch", "coreml"): Route("coremltools"),
    ("keras", "tflite"): Route("tf.lite"),
    ("keras", "onnx"): Route(
        asked="keras.Model.export(format='onnx')", refusal="This requires the tf2onnx module"
    ),
    ("keras", "executorch"): Route(
        asked="torch.export", refusal="Expected `mod` to be an instance of `torch.nn.Module`"
    ),
    ("keras", "coreml"): Route("coremltools (through a concrete function)"),
    ("onnx", "tflite"): Route("onnx2tf"),
    ("onnx", "onnx"): Route("as it is; float16 by onnxruntime.transformers"),
    ("onnx", "executorch"): Route(
        asked="torch.export", refusal="Expected `mod` to be an instance of `torch.nn.Module`"
    ),
    ("onnx", "coreml"): Route(
        asked="coremltools.convert", refusal="Unable to determine the type of the model"
    ),
    ("tflite", "tflite"): Route("as it is; float16 by ai-edge-quantizer"),
    ("tflite", "onnx"): Route(asked="onnx.load", refusal="Error parsing message with type 'onnx.ModelProto'"),
    ("tflite", "executorch"): Route(
        asked="torch.export", refusal="Expected `mod` to be an instance of `torch.nn.Module`"
    ),
    ("tflite", "coreml"): Route(
        asked="coremltools.convert", refusal="Unable to determine the type of the model"
    ),
}


def require(framework: str, target: str) -> None:
    """Raises InputError E_NO_PATH where nothing converts this; the message quotes the tool that was asked."""
    route = ROUTES.get((framework, target))
    if route is None or route.tool is not None:
        return  # an outsider's target says itself what it takes
    possible = sorted(to for (source, to), other in ROUTES.items() if source == framework and other.tool)
    raise InputError(
        f"nothing converts {NAMES[framework]} models to {NAMES[target]}; {route.asked} says: {route.refusal}",
        code="E_NO_PATH",
        hint=f"from {NAMES[framework]}: --to {' or '.join(possible)}; from PyTorch all formats are made",
    )
