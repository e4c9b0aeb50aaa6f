"""`open_model` and `edgekit inspect` on every format, with nothing but the base install (B1.5)."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgekit.cli.commands.inspect import inspect
from edgekit.models import ModelInfo, detect_format, open_model
from tests.conversion.models import DIGITS
from tests.models import test_keras_file, test_mlpackage, test_pt2, test_pte, test_saved_model
from tests.models.hostile import SMALL_ONNX, onnx_model, onnx_tensor, zipped

pytestmark = pytest.mark.base


def _bytes(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def _external(path: Path) -> None:
    path.write_bytes(onnx_model((5, onnx_tensor("w", [2], external={"location": "w.bin"}))))
    (path.parent / "w.bin").write_bytes(bytes(8))


def _folder(make: Callable[[Path], object]) -> Callable[[Path], object]:
    def made(path: Path) -> None:
        path.mkdir()
        make(path)

    return made


FORMATS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "tflite": ("tflite", _bytes((DIGITS / "digits.tflite").read_bytes())),
    "onnx": ("onnx", _bytes(SMALL_ONNX)),
    "onnx with a data file": ("onnx", _external),
    "keras": ("keras", test_keras_file.made),
    "h5": ("h5", _bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))),
    "saved_model": ("saved_model", _folder(test_saved_model.made)),
    "pt2": ("pt2", test_pt2.made),
    "torchscript": ("torchscript", lambda path: zipped(path, {"m/data.pkl": b"x", "m/code/a.py": b"y"})),
    "torch_checkpoint": ("torch_checkpoint", lambda path: zipped(path, {"m/data.pkl": pickle.dumps(1)})),
    "pte": ("pte", _bytes(test_pte.SMALL)),
    "mlpackage": ("mlpackage", _folder(test_mlpackage.made)),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_told_and_shown(tmp_path: Path, name: str) -> None:
    kind, make = FORMATS[name]
    path = tmp_path / "model.of-no-known-name"
    make(path)
    first, second = open_model(path), open_model(path)
    assert first == second
    assert first.format == kind
    assert len(first.sha256) == 64
    assert first.size_bytes > 0
    for arguments in ([str(path)], [str(path), "--json"]):
        shown = CliRunner().invoke(inspect, arguments)
        assert shown.exit_code == 0, shown.output
        assert kind in shown.output
    document = json.loads(shown.output)
    assert document.get("result", document)


def test_what_cannot_be_trusted_is_shown(tmp_path: Path) -> None:
    config = {**test_keras_file.CONFIG, "config": {"layers": [test_keras_file.layer("Lambda", "[bold]f[/]")]}}
    path = test_keras_file.made(tmp_path / "m", config)
    shown = CliRunner().invoke(inspect, [str(path)])
    assert "--trust" in shown.output
    assert "[bold]f[/]" in shown.output


def test_no_framework_is_imported(tmp_path: Path) -> None:
    paths = []
    for number, (_, make) in enumerate(FORMATS.values()):
        folder = tmp_path / str(number)
        folder.mkdir()
        make(folder / "m")
        paths.append(str(folder / "m"))
    program = (
        "import sys; from edgekit.models import open_model\n"
        "for path in sys.argv[1:]: open_model(path, use_cache=False)\n"
        "print([m for m in ('torch', 'tensorflow', 'keras', 'onnx', 'coremltools', 'executorch', 'google.protobuf',"
        " 'pickle5', 'h5py') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *paths], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_cache_keeps_what_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(tmp_path / "cache"))
    path = test_pt2.made(tmp_path / "m")
    first = open_model(path)
    monkeypatch.setattr("edgekit.models.pt2.read_pt2", None)
    assert open_model(path) == first
    assert isinstance(first, ModelInfo)


def test_a_zipped_artifact(tmp_path: Path) -> None:
    manifest = b'{"schema": "edgekit.artifact/1", "name": "x"}'
    assert (
        detect_format(zipped(tmp_path / "a", {"manifest.json": manifest, "model.tflite": b"x"})) == "artifact"
    )
    from edgekit.errors import ModelError

    for entries in ({"manifest.json": b"{}"}, {"deeper/manifest.json": manifest}):
        path = zipped(tmp_path / "b", entries, zipfile.ZIP_DEFLATED)
        with pytest.raises(ModelError) as caught:
            detect_format(path)
        assert caught.value.code == "E_MODEL_FORMAT"


def test_an_archive_cut_inside_is_not_taken_for_what_it_holds(tmp_path: Path) -> None:
    """A .pt2 file holds archives of torch.save; cut right behind one, it ends like an archive."""
    from edgekit.errors import ModelError

    data = test_pt2.made(tmp_path / "m").read_bytes()
    inner = data.index(b"PK\x05\x06") + 22
    (tmp_path / "cut").write_bytes(data[:inner])
    with pytest.raises(ModelError) as caught:
        open_model(tmp_path / "cut")
    assert caught.value.code in ("E_MODEL_TRUNCATED", "E_MODEL_ARCHIVE")
