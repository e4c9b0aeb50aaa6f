"""TFLite files: read as they are, run by LiteRT."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgekit.conversion.extras import versions
from edgekit.conversion.hosts.base import run_real
from edgekit.conversion.hosts.tflite import TfliteHost
from edgekit.conversion.naming import NHWC, fixed, layout_of, unknown_shapes
from edgekit.conversion.sources.base import LoadedSource, LoadOptions
from edgekit.conversion.sources.handles import TfliteModel
from edgekit.errors import ModelError
from edgekit.models.info import TensorSpec
from edgekit.models.inspect import open_model
from edgekit.models.manifest import Origin


class TfliteSource:
    name = "tflite"
    formats = frozenset({"tflite"})

    def accepts(self, source: str) -> bool:
        return False

    def load(self, source: str, options: LoadOptions) -> LoadedSource:
        """Raises ModelError (E_MODEL_*), MissingExtra (litert)."""
        path = Path(source)
        info = open_model(path)
        data = path.read_bytes()
        if info.signature is None or not info.signature.inputs or not info.signature.outputs:
            raise ModelError(f"{path.name} has no inputs or no outputs", code="E_MODEL_INPUT")
        origin = Origin(name=path.name, format="tflite", sha256=info.sha256, size_bytes=info.size_bytes)
        unknown_shapes(list(options.shapes), info.signature.inputs)
        sizes = [fixed(spec, options.shapes.get(spec.name)) for spec in info.signature.inputs]
        inputs = tuple(map(_sized, info.signature.inputs, sizes))
        host = TfliteHost(data, msgspec.structs.replace(info.signature, inputs=inputs), path.name)
        outputs = tuple(map(_sized, info.signature.outputs, host.output_shapes()))
        signature = msgspec.structs.replace(info.signature, inputs=inputs, outputs=outputs)
        return LoadedSource(
            name=path.stem,
            origin=origin,
            framework="tflite",
            model=TfliteModel(data),
            signature=signature,
            run=lambda sample: run_real(host, sample),
            tools=versions("ai-edge-litert"),
        )


def _sized(spec: TensorSpec, shape: tuple[int, ...]) -> TensorSpec:
    layout = layout_of(spec.shape, NHWC) if spec.dtype in ("float32", "uint8", "int8") else None
    return msgspec.structs.replace(spec, shape=shape, layout=layout)
