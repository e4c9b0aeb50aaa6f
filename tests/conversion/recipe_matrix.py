"""Every net by every recipe for every target (B2-b1): what was made, how far it is from its source, how large it is.

`expected()` reads what scripts/recipe_matrix wrote when it ran the whole of it; docs/formats.md is made from the same file,
and recipes/test_matrix.py runs cells again and compares.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from edgekit.conversion import RECIPES
from edgekit.errors import EdgekitError
from tests.conversion.convert import convert
from tests.conversion.nets import NETS
from tests.conversion.recipes.data import net_and_data

SOURCES = {"tflite": "tflite", "onnx": "onnx", "executorch": "torch", "coreml": "torch"}
"""What each target's models are made from here: its own format where it takes that, else PyTorch."""
FURTHER = (
    ("cnn", "torch", "tflite", "int8-static"), ("mobilenet", "keras", "tflite", "int8-static"),
    ("encoder", "keras", "tflite", "int8-dynamic"), ("lstm", "torch", "tflite", "int8-weight-only"),
    ("mobilenet", "onnx", "tflite", "int8-static"), ("cnn", "torch", "onnx", "int8-static"),
    ("encoder", "torch", "onnx", "int8-dynamic"), ("cnn", "keras", "coreml", "int8-static"),
)  # fmt: skip
"""Each other way from a source to a target, with nets and recipes in turn: what a recipe does is seen above, that it does it to
what this way makes is seen here. The full product would take an hour."""
TABLE = Path(__file__).with_name("recipe_matrix.json")


@dataclass(frozen=True)
class Cell:
    net: str
    target: str
    recipe: str
    source: str = ""
    """Empty: the one of SOURCES."""

    @property
    def key(self) -> str:
        way = f"{self.source}-{self.target}" if self.source else self.target
        return f"{self.net}-{way}-{self.recipe}"


@dataclass(frozen=True)
class Outcome:
    """`state`: passed, inconclusive or refused; `code` says why."""

    state: str
    snr_db: float | None = None
    size_bytes: int | None = None
    code: str | None = None


def cells() -> list[Cell]:
    found = [Cell(net, target, recipe) for net in NETS for target in SOURCES for recipe in RECIPES]
    return [*found, *(Cell(net, target, recipe, source) for net, source, target, recipe in FURTHER)]


def run_cell(cell: Cell) -> Outcome:
    """Really convert, with the real tools, 24 samples from a fixed seed for calibration."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, data = net_and_data(cell.net, cell.source or SOURCES[cell.target], folder)
        try:
            made = convert(
                model, recipe=cell.recipe, to=cell.target, calibration=data, output=folder / "o.ekm"
            ).manifest
        except EdgekitError as error:
            return Outcome("refused", code=error.code)
        found = made.verification
        snr = None if found.snr_db is None else round(found.snr_db, 1)
        return Outcome(found.state, snr, made.model.size_bytes)


def expected() -> dict[str, Outcome]:
    """What the table says, by the cell's key."""
    rows = json.loads(TABLE.read_text(encoding="utf-8"))["cells"]
    return {key: Outcome(**row) for key, row in rows.items()}


def write(outcomes: dict[str, Outcome], made: dict[str, str]) -> None:
    """`made`: date, machine, versions."""
    rows = {key: {k: v for k, v in asdict(o).items() if v is not None} for key, o in outcomes.items()}
    TABLE.write_text(
        json.dumps({"made": made, "cells": rows}, indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )
