"""B1.5: conversions are kept by content, and what is kept is believed only while its bytes are what they were."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.conversion import Conversion, ConvertOptions, store
from edgekit.conversion import convert as work
from edgekit.models.inspect import hash_folder
from tests.conversion.models import DIGITS

pytest.importorskip("ai_edge_litert.interpreter")
MODEL, CALIBRATION = DIGITS / "digits.tflite", DIGITS / "calibration.npz"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(tmp_path / "cache"))


def _convert(tmp_path: Path, source: Path = MODEL, output: str = "o.ekm", **wishes: object) -> Conversion:
    options = ConvertOptions(**{"recipe": "float16", **wishes})  # type: ignore[arg-type]
    return work(source, options=options, output=tmp_path / output)


def test_the_second_time_it_is_taken_from_the_cache(tmp_path: Path) -> None:
    first = _convert(tmp_path, output="first.ekm")
    second = _convert(tmp_path, output="second.ekm")
    assert (first.cached, second.cached) == (False, True)
    assert hash_folder(first.artifact.path) == hash_folder(second.artifact.path)
    assert first.artifact.manifest == second.artifact.manifest
    assert not list((tmp_path / "cache" / "scratch").iterdir())


def test_anything_that_matters_makes_another(tmp_path: Path) -> None:
    _convert(tmp_path)
    for wishes in (
        {"recipe": "int8-dynamic"},
        {"calibration": CALIBRATION},
        {"layout": "nchw"},
        {"cache": False},
    ):
        assert not _convert(tmp_path, **wishes).cached, wishes
    changed = tmp_path / "digits.tflite"
    data = bytearray(MODEL.read_bytes())
    data[len(data) // 2] ^= 1  # one bit of a weight
    changed.write_bytes(bytes(data))
    assert not _convert(tmp_path, changed).cached
    assert _convert(tmp_path).cached


def test_other_code_or_another_tool_makes_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edgekit before this one kept its conversions in the same place; images are read by Pillow."""
    _convert(tmp_path)
    version = store._version
    for tool in ("ai-edge-quantizer", "pillow"):
        with monkeypatch.context() as patch:
            patch.setattr(store, "_version", lambda name, tool=tool: "0" if name == tool else version(name))
            assert not _convert(tmp_path).cached, tool
    monkeypatch.setattr(store, "_code_digest", lambda: "of another edgekit")
    assert not _convert(tmp_path).cached


def test_a_damaged_entry_is_made_again(tmp_path: Path) -> None:
    whole = _convert(tmp_path).artifact.manifest.model.sha256
    (kept,) = (tmp_path / "cache" / "conversions").iterdir()
    model = kept / "model.tflite"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 0xFF
    model.write_bytes(bytes(data))
    again = _convert(tmp_path, output="again.ekm")
    assert not again.cached
    assert again.artifact.manifest.model.sha256 == whole
    assert _convert(tmp_path, output="third.ekm").cached


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    _convert(tmp_path)
    shutil.rmtree(tmp_path / "cache" / "conversions")
    (tmp_path / "cache" / "conversions").write_text("in the way")
    command = [
        sys.executable,
        "-m",
        "edgekit",
        "convert",
        str(MODEL),
        "--recipe",
        "float16",
        "-o",
        "x.ekm",
        "--json",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, 8)
    assert "Traceback" not in done.stderr


def test_from_the_cache_no_framework_is_imported(tmp_path: Path) -> None:
    """B1-b4: half a second leaves no time for any (benchmarks/conversion.py measures it)."""
    command = [
        sys.executable,
        "-X",
        "importtime",
        "-m",
        "edgekit",
        "convert",
        str(MODEL),
        "--recipe",
        "float16",
    ]
    for name in ("first.ekm", "second.ekm"):
        done = subprocess.run(
            [*command, "-o", name, "--json"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    assert json.loads(done.stdout)["cached"] is True
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "edgekit.conversion.store" in imported
    assert not {"numpy", "tflite", "ai_edge_litert", "torch", "rich"} & imported


def test_two_at_once_keep_one(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgekit", "convert", str(MODEL), "--recipe", "float16", "-q"]
    running = [subprocess.Popen([*command, "-o", f"{i}.ekm"], cwd=tmp_path) for i in range(3)]
    assert [process.wait(timeout=120) for process in running] == [0, 0, 0]
    assert len(list((tmp_path / "cache" / "conversions").iterdir())) == 1
    assert len({hash_folder(tmp_path / f"{i}.ekm") for i in range(3)}) == 1
