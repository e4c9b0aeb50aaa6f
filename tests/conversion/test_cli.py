"""`edgekit convert` and `edgekit inspect` as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conversion.models import DIGITS

MODEL = str(DIGITS / "digits.tflite")
DATA = ["--calibration", str(DIGITS / "calibration.npz"), "--evaluation", str(DIGITS / "evaluation.npz")]


def edgekit(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgekit", *args]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


def as_json(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)  # exactly one document, or this fails


def test_convert_json(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert.interpreter")
    done = edgekit("convert", MODEL, "-p", "host-x86-64", *DATA, "-o", "out.ekm", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = as_json(done)
    assert found["artifact"] == "out.ekm"
    assert (found["format"], found["recipe"], found["profile"]["name"]) == (
        "tflite",
        "int8-static",
        "host-x86-64",
    )
    assert found["size_bytes"] == (tmp_path / "out.ekm" / "model.tflite").stat().st_size
    assert len(found["sha256"]) == 64
    assert found["seconds"] > 0
    checked = found["verification"]
    assert {"state", "max_abs_error", "rms_error", "snr_db", "flips", "samples"} <= set(checked)
    assert (checked["state"], checked["samples"]) == ("passed", 2000)
    assert checked["accuracy"]["source_value"] >= 0.98
    assert (
        checked["accuracy"]["value"] >= checked["accuracy"]["source_value"] - checked["accuracy"]["max_drop"]
    )

    inspected = as_json(edgekit("inspect", "out.ekm", "--json", cwd=tmp_path))
    assert inspected["quantization"]["kind"] == "int8-static"
    assert inspected["artifact"]["model"]["sha256"] == found["sha256"] == inspected["sha256"]


def test_convert_text_says_accuracy_before_and_after(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert.interpreter")
    done = edgekit("convert", MODEL, "--recipe", "int8-dynamic", *DATA, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "98.40% before, " in done.stdout
    assert "passed on 2000 evaluation samples" in done.stdout
    assert (tmp_path / "digits.ekm" / "manifest.json").is_file()


def test_inspect(tmp_path: Path) -> None:
    text = edgekit("inspect", MODEL, cwd=tmp_path)
    assert text.returncode == 0
    for word in ("serving_default", "1x28x28x1", "108,618", "not quantized", "2 CONV_2D"):
        assert word in text.stdout
    found = as_json(edgekit("inspect", MODEL, "--json", cwd=tmp_path))
    assert found["signature"]["inputs"][0]["shape"] == [1, 28, 28, 1]
    assert found["operators"]["CONV_2D"] == 2


@pytest.mark.parametrize(
    ("args", "code", "exit_code"),
    [
        (["inspect", "absent.tflite"], "E_MODEL_MISSING", 1),
        (["inspect", "empty"], "E_MODEL_EMPTY", 1),
        (["inspect", "text"], "E_MODEL_FORMAT", 1),
        (["inspect", "cut"], "E_MODEL_TRUNCATED", 1),
        (["convert", "cut"], "E_MODEL_TRUNCATED", 1),
        (["convert", MODEL, "--recipe", "int3"], "E_RECIPE", 1),
        (["convert", MODEL, "--recipe", "int8-static"], "E_CALIBRATION_NEEDED", 1),
        (["convert", MODEL, "-o", "text"], "E_OUTPUT", 1),
        (["convert", MODEL, "--to", "stone"], "E_NO_TARGET", 1),
    ],
)
def test_errors(tmp_path: Path, args: list[str], code: str, exit_code: int) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("hello, this is not a model\n")
    (tmp_path / "cut").write_bytes(Path(MODEL).read_bytes()[:100_000])
    done = edgekit(*args, "--json", cwd=tmp_path)
    error = as_json(done)["error"]
    assert (error["code"], done.returncode) == (code, exit_code)
    assert "Traceback" not in done.stderr
    text = edgekit(*args, cwd=tmp_path)
    assert (text.returncode, text.stdout) == (exit_code, "")
    assert code in text.stderr
