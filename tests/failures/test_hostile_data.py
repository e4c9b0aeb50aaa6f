"""Data files that are none: they need the quantizer's extra, so these are no base tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.running import MODEL, edgekit


@pytest.mark.parametrize("option", ["--calibration", "--evaluation"])
@pytest.mark.parametrize("kind", ["fifo", "endless"])
def test_pipes_and_devices_are_not_waited_for(tmp_path: Path, option: str, kind: str) -> None:
    path = Path("/dev/zero")
    if kind == "fifo":
        path = tmp_path / "fifo"
        os.mkfifo(path)
    recipe = "int8-static" if option == "--calibration" else "float32"
    done = edgekit("convert", MODEL, "--recipe", recipe, option, path, "--json", cwd=tmp_path, timeout=60)
    assert (done.code, done.error()["code"]) == (1, "E_DATA")
