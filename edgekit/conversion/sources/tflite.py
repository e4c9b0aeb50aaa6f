"""TFLite files: read as they are, run by LiteRT."""

from __future__ import annotations

from pathlib import Path

from edgekit.conversion.extras import versions
from edgekit.conversion.interpreter import HostModel
from edgekit.conversion.sources.base import LoadedSource
from edgekit.events import Sink
from edgekit.models.artifact import Origin
from edgekit.models.inspect import open_model


class TfliteSource:
    name = "tflite"
    formats = frozenset({"tflite"})

    def accepts(self, source: str) -> bool:
        return False

    def load(self, source: str, sink: Sink) -> LoadedSource:
        """Raises ModelError (E_MODEL_*), MissingExtra (litert)."""
        path = Path(source)
        info = open_model(path)
        data = path.read_bytes()
        origin = Origin(name=path.name, format="tflite", sha256=info.sha256, size_bytes=info.size_bytes)
        model = HostModel(data, path.name)
        return LoadedSource(
            name=path.stem,
            origin=origin,
            tflite=data,
            run=model.run_real,
            unchanged=True,
            tools=versions("ai-edge-litert"),
        )
