"""Model files and artifacts: pure data. Importing this costs neither numpy nor tflite."""

from edgekit.models.artifact import Artifact, is_artifact
from edgekit.models.formats import detect_format
from edgekit.models.info import Format, ModelInfo, Quantization, Signature, TensorSpec
from edgekit.models.inspect import open_model
from edgekit.models.manifest import Manifest, Verification

__all__ = [
    "Artifact",
    "Format",
    "Manifest",
    "ModelInfo",
    "Quantization",
    "Signature",
    "TensorSpec",
    "Verification",
    "detect_format",
    "is_artifact",
    "open_model",
]
