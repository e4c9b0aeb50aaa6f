"""B1.5: an artifact as a folder or as one file, the same bytes each time; read, verified again, pushed from either."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edgekit.errors import EdgekitError, ModelError
from edgekit.models import Artifact, is_artifact
from edgekit.models.inspect import hash_folder
from tests.conversion.convert import convert
from tests.conversion.models import DIGITS
from tests.conversion.nets import build

pytest.importorskip("ai_edge_litert.interpreter")
MODEL = DIGITS / "digits.tflite"


def _edgekit(folder: Path, *arguments: str, code: int = 0) -> dict[str, object]:
    command = [sys.executable, "-m", "edgekit", *arguments, "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    document: dict[str, object] = json.loads(done.stdout)
    return document


def test_one_file(tmp_path: Path) -> None:
    _edgekit(tmp_path, "convert", str(MODEL), "--recipe", "float16", "--zip", "-o", "one.ekm")
    _edgekit(tmp_path, "convert", str(MODEL), "--recipe", "float16", "--zip", "--no-cache", "-o", "two.ekm")
    _edgekit(tmp_path, "convert", str(MODEL), "--recipe", "float16", "-o", "folder.ekm")
    assert (tmp_path / "one.ekm").is_file()
    assert (tmp_path / "one.ekm").read_bytes() == (tmp_path / "two.ekm").read_bytes()
    assert is_artifact(tmp_path / "one.ekm")
    loaded, folder = Artifact.load(tmp_path / "one.ekm"), Artifact.load(tmp_path / "folder.ekm")
    assert loaded.manifest == folder.manifest
    assert hash_folder(loaded.path) == hash_folder(folder.path)
    with zipfile.ZipFile(tmp_path / "one.ekm") as archive:
        assert sorted(archive.namelist()) == archive.namelist()
    told = _edgekit(tmp_path, "inspect", "one.ekm", "--verify")
    assert told["verified"]["outputs"][0]["max_abs_error"] == 0  # type: ignore[index]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.ekm", "one.ekm", "two.ekm"]


def test_a_zip_replaces_only_its_like(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    told = _edgekit(
        tmp_path, "convert", str(MODEL), "--recipe", "float16", "--zip", "-o", "notes.txt", code=1
    )
    assert told["error"]["code"] == "E_OUTPUT_EXISTS"  # type: ignore[index]
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_damaged_zip(tmp_path: Path) -> None:
    _edgekit(tmp_path, "convert", str(MODEL), "--recipe", "float16", "--zip", "-o", "one.ekm")
    data = bytearray((tmp_path / "one.ekm").read_bytes())
    for at in range(40, len(data), len(data) // 25):
        changed = bytes(data[:at]) + bytes([data[at] ^ 0x55]) + bytes(data[at + 1 :])
        (tmp_path / "bad.ekm").write_bytes(changed)
        with pytest.raises(EdgekitError):
            Artifact.load(tmp_path / "bad.ekm")
    (tmp_path / "cut.ekm").write_bytes(bytes(data[: len(data) // 2]))
    with pytest.raises(ModelError):
        Artifact.load(tmp_path / "cut.ekm")


def test_verify_finds_another_model_under_right_hashes(tmp_path: Path) -> None:
    """Hashes only tell that nothing changed since; running it tells that the figures belong to the model."""
    artifact = convert(MODEL, recipe="float16", output=tmp_path / "a.ekm")
    other = convert(MODEL, recipe="float16", output=tmp_path / "b.ekm")
    text = (other.path / "manifest.json").read_text()
    golden = (artifact.path / "golden" / "outputs.bin").read_bytes()
    forged = (
        golden[:400] + b"\0\0\x80\x3f" * ((len(golden) - 400) // 4)
        if len(golden) > 400
        else b"\0\0\x80\x3f" * (len(golden) // 4)
    )
    (other.path / "golden" / "outputs.bin").write_bytes(forged)
    import hashlib

    old = other.manifest.golden
    assert old is not None
    text = text.replace(old.outputs.sha256, hashlib.sha256(forged).hexdigest())
    (other.path / "manifest.json").write_text(text)
    told = _edgekit(tmp_path, "inspect", "b.ekm", "--verify", code=7)
    assert told["error"]["code"] == "E_GOLDEN"  # type: ignore[index]
    told = _edgekit(tmp_path, "inspect", str(MODEL), "--verify", code=1)
    assert told["error"]["code"] == "E_NO_GOLDEN"  # type: ignore[index]


@pytest.mark.heavy
@pytest.mark.parametrize("to", ["onnx", "executorch", "coreml"])
def test_other_formats_are_artifacts_too(tmp_path: Path, to: str) -> None:
    first = convert(build("lstm", "torch", tmp_path), to=to, recipe="float32", output=tmp_path / "1.ekm")
    second = convert(build("lstm", "torch", tmp_path), to=to, recipe="float32", output=tmp_path / "2.ekm")
    assert hash_folder(first.path) == hash_folder(second.path)
    assert Artifact.load(first.path) == first
    told = _edgekit(tmp_path, "inspect", "1.ekm", "--verify")
    assert told["format"] == first.manifest.format
    assert told["verified"]["samples"] == 4  # type: ignore[index]
    assert told["operators"]
    assert str(tmp_path) not in (first.path / "manifest.json").read_text()
    for path in first.path.rglob("*"):
        assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes(), path
    (next(p for p in first.path.rglob("*") if p.is_file() and p.stat().st_size > 5000)).write_bytes(b"x")
    with pytest.raises(EdgekitError) as caught:
        Artifact.load(first.path)
    assert caught.value.code == "E_HASH"
