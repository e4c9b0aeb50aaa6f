"""The recorded and constructed outputs in tests/data/outputs: a header that says whose they are, then the text."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "data" / "outputs"
HEADER = ("# device: ", "# os: ", "# tool: ", "# source: ")


def output(name: str) -> str:
    """The text of one output as the device gave it; `\\0` stands for NUL in the device tree's files."""
    text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    body = text.partition("\n---\n")[2]
    return body.replace("\\0", "\0") if name.startswith("device_tree") else body
