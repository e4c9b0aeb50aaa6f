"""The conversion matrix's nets as files: small, the same at every call, made once per version of the tools and cached."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from importlib import metadata
from pathlib import Path

from edgekit.cache import cache_dir

NETS = ("cnn", "mobilenet", "encoder", "lstm")
SUFFIXES = {"torch": ".pt2", "keras": ".keras", "onnx": ".onnx", "tflite": ".tflite"}
VOCABULARY = 100
"""Tokens of the encoder are below this."""

MAKE_SECONDS = 280
_ROOT = Path(__file__).parents[3]
_SOURCES = ("torch_nets.py", "keras_nets.py", "make.py")
_TOOLS = (
    "torch", "litert-torch", "litert-converter", "ai-edge-litert", "tensorflow-cpu", "tensorflow", "keras", "onnx",
    "onnxscript", "numpy",
)  # fmt: skip


def build(net: str, source_format: str, folder: Path) -> Path:
    """A file of one net in `folder`: torch (.pt2), keras (.keras), onnx or tflite.

    Raises RuntimeError with the tool's last words where it cannot be made.
    """
    made = _cached(net, source_format)
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(made, folder / made.name))


def _cached(net: str, source_format: str) -> Path:
    if net not in NETS:
        raise ValueError(f"no net '{net}'")
    kept = cache_dir("test-models", f"nets-{_key()}") / f"{net}{SUFFIXES[source_format]}"
    if kept.is_file():
        return kept
    with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
        path = Path(scratch) / kept.name
        argv = [sys.executable, "-m", "tests.conversion.nets.make", net, source_format, str(path)]
        environment = {
            **os.environ,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "",
            "PYTHONPATH": str(_ROOT),
        }
        done = subprocess.run(
            argv, cwd=_ROOT, env=environment, capture_output=True, text=True, timeout=MAKE_SECONDS
        )
        if done.returncode or not path.is_file():
            raise RuntimeError(f"{net} as {source_format} cannot be made: {done.stderr.strip()[-2000:]}")
        path.replace(kept)
    return kept


@cache
def _key() -> str:
    """Of the nets' sources and the tools that make the files."""
    digest = hashlib.sha256()
    for name in _SOURCES:
        digest.update((Path(__file__).parent / name).read_bytes())
    for package in _TOOLS:
        try:
            digest.update(f"{package}={metadata.version(package)}\n".encode())
        except metadata.PackageNotFoundError:
            continue
    digest.update(sys.version.encode())
    return digest.hexdigest()[:16]
