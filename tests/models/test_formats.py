"""Formats are told from bytes, never from names."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from edgekit.errors import ModelError
from edgekit.models import detect_format
from edgekit.models.formats import format_of_names
from tests.conversion.models import DIGITS

pytestmark = pytest.mark.base


def test_tflite_under_any_name(tmp_path: Path) -> None:
    misnamed = tmp_path / "model.onnx"
    misnamed.write_bytes((DIGITS / "digits.tflite").read_bytes())
    assert detect_format(misnamed) == "tflite"


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def _onnx(graph: bytes = b"\x0a\x02hi" * 50) -> bytes:
    """A ModelProto: ir_version 8, producer "pytest", a graph, one opset import."""
    opset = b"\x10\x12"
    return (
        b"\x08\x08"
        + b"\x12\x06pytest"
        + b"\x3a" + _varint(len(graph)) + graph
        + b"\x42" + _varint(len(opset)) + opset
    )  # fmt: skip


def test_onnx_has_no_magic_and_is_found_by_its_fields(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(_onnx())
    assert detect_format(path) == "onnx"


def test_onnx_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    body = _onnx()
    path.write_bytes(b"\x08\x08" + b"\x3a\x04abcd" + b"\x42\x7f" + body[:20])
    with pytest.raises(ModelError) as caught:
        detect_format(path)
    assert caught.value.code == "E_MODEL_TRUNCATED"


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"\x1c\x00\x00\x00TFL3" + bytes(64), "tflite"),
        (b"\x30\x00\x00\x00ET12eh00" + bytes(64), "pte"),
        (b"\x89HDF\r\n\x1a\n" + bytes(64), "h5"),
    ],
)
def test_magic_bytes(tmp_path: Path, head: bytes, expected: str) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(head)
    assert detect_format(path) == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["metadata.json", "config.json", "model.weights.h5"], "keras"),
        (["net/archive_format", "net/models/model.json", "net/data/weights/x"], "pt2"),
        (["serialized_exported_program.json", "version"], "pt2"),
        (["net/data.pkl", "net/code/__torch__.py", "net/constants.pkl"], "torchscript"),
        (["net/data.pkl", "net/data/0", "net/version"], "torch_checkpoint"),
        (["word/document.xml", "[Content_Types].xml"], None),
    ],
)
def test_zip_archives(names: list[str], expected: str | None) -> None:
    assert format_of_names(names) == expected


def test_a_zip_that_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "a.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ModelError) as caught:
        detect_format(path)
    assert caught.value.code == "E_MODEL_FORMAT"
    assert caught.value.hint


def test_a_zip_without_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}" * 500)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ModelError) as caught:
        detect_format(path)
    assert caught.value.code == "E_MODEL_TRUNCATED"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "E_MODEL_MISSING"),
        (b"", "E_MODEL_EMPTY"),
        (b"TFL", "E_MODEL_TRUNCATED"),
        (b"#!/bin/sh\necho this is no model\n", "E_MODEL_FORMAT"),
        (bytes(4096), "E_MODEL_FORMAT"),
        (b"\xff" * 4096, "E_MODEL_FORMAT"),
    ],
)
def test_what_is_no_model(tmp_path: Path, content: bytes | None, code: str) -> None:
    path = tmp_path / "m.tflite"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        detect_format(path)
    assert (caught.value.code, caught.value.exit_code) == (code, 1)
    assert caught.value.hint


def test_folders(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"x")
    assert detect_format(tmp_path) == "saved_model"
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ModelError) as caught:
        detect_format(empty)
    assert caught.value.code == "E_MODEL_FORMAT"
