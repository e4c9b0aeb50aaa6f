"""A5: who installs the wheel needs no compiler: agents, runners, C libraries and profiles are in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_WHEEL_BYTES = 30 << 20


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from this tree with the build backend that is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    code = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    return folder / done.stdout.strip().splitlines()[-1]


def test_a5_the_wheel_holds_what_devices_need(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for abi in ("x86_64", "arm64-v8a", "armeabi-v7a"):
        assert f"edgekit/agent/bin/{abi}/edgekit-agent" in names
    for abi, loader in (("x86_64", "ld-linux-x86-64.so.2"), ("arm64-v8a", "ld-linux-aarch64.so.1")):
        assert f"edgekit/agent/bin/{abi}/edgekit-runner-litert" in names
        assert f"edgekit/agent/bin/{abi}/edgekit-runner-onnxruntime" in names
        assert f"edgekit/agent/bin/{abi}/libc/{loader}" in names
        assert any(
            name.startswith(f"edgekit/agent/bin/{abi}/libc/") and "copyright" in name for name in names
        )
    assert "edgekit/profiles/shipped/raspberry-pi-5.yaml" in names
    assert "edgekit/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "scripts/"))]
    assert wheel.stat().st_size < MAX_WHEEL_BYTES


def test_a5_an_installed_wheel_pushes_and_measures_without_a_compiler(wheel: Path, tmp_path: Path) -> None:
    """Installed beside its dependencies, away from this tree, with no compiler on PATH."""
    site = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", site, wheel],
        timeout=240,
        check=True,
        capture_output=True,
    )
    model = tmp_path / "digits.tflite"
    model.write_bytes((ROOT / "examples/digits/digits.tflite").read_bytes())
    env = {
        **os.environ,
        "PYTHONPATH": str(site),
        "PATH": "/usr/bin:/bin",
        "EDGEKIT_DATA_DIR": str(tmp_path / "data"),
    }
    (tmp_path / "edgekit.yaml").write_text(
        f'devices: {{it: {{address: "local:", root: "{tmp_path}/device"}}}}\n'
    )

    def run(*arguments: str) -> dict[str, object]:
        code = "import edgekit; print(edgekit.__file__)"
        where = subprocess.run(
            [sys.executable, "-c", code],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert where.stdout.startswith(str(site))
        done = subprocess.run(
            [sys.executable, "-m", "edgekit", *arguments, "--json"],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return dict(json.loads(done.stdout))

    quick = ("--launches", "3", "--min-seconds", "0")
    record = run(
        "bench", str(model), "-d", "it", "-p", "raspberry-pi-5", "--threads", "1", "--cpus", "0", *quick
    )
    assert record["profile"]["name"] == "raspberry-pi-5"  # type: ignore[index]
    assert record["latency"]["count"] >= 150  # type: ignore[index]
