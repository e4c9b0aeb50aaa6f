"""The real models are there, whole, and of the format that their names say (B1-b1)."""

from __future__ import annotations

import pytest

from edgekit.models.formats import detect_format
from tests.conversion.nets.real import NAMES, SHIPPED, real_model

FORMATS = {"onnx": "onnx", "tflite": "tflite", "jit": "torchscript"}


@pytest.mark.parametrize("name", NAMES)
def test_b1_b1_real_model_is_there(name: str) -> None:
    path = real_model(name)
    assert path.stat().st_size > 10_000
    assert detect_format(path) == FORMATS[name.rpartition(".")[2]]


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda shipped: shipped.package)
def test_every_model_of_a_package_is_listed(shipped: object) -> None:
    one = next(one for one in SHIPPED if one is shipped)
    folder = real_model(f"{one.package}/{one.files[0]}").parent
    assert {path.name for path in folder.iterdir()} == set(one.files)
