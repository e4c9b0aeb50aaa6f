"""D1.1: .onnx and .pte models pushed, tried and measured with the Python of the device; and where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.api.test_on_one_device import PYTHON_THERE
from tests.cli.running import QUICK, Ran, edgekit
from tests.models.test_pte import SMALL
from tests.runner import tiny_onnx


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "edgekit.yaml").write_text(
        f'devices: {{it: {{address: "local:", root: "{tmp_path}/device"}}}}\n'
    )
    return tmp_path


def run(project: Path, *arguments: str | Path, env: Any = None) -> Ran:
    return edgekit(*arguments, "-d", "it", env=env, cwd=project, timeout=280)


def test_d1_1_onnx_runtime_of_the_devices_python(project: Path) -> None:
    """The same outputs as the native runner's, every sample kept, the package's own version in the record."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    model = tiny_onnx.small(project / "net.onnx")
    artifact = project / "net.ekm"
    edgekit("convert", model, "--to", "onnx", "--recipe", "float32", "-o", artifact, cwd=project).ok()
    native = run(project, "bench", artifact, "--json", *QUICK).ok().json()
    asked = ("bench", artifact, "--runtime", "onnxruntime-python", "--json", *QUICK)
    python = run(project, *asked, env=PYTHON_THERE).ok().json()
    assert (native["runtime"]["name"], python["runtime"]["name"]) == ("onnxruntime", "onnxruntime-python")
    assert python["runtime"]["version"] == native["runtime"]["version"] == "1.32.0"
    assert python["accuracy"]["golden"] == "passed"
    assert python["latency"]["count"] == sum(launch["count"] for launch in python["launches"]) >= 3 * 20


@pytest.mark.heavy
@pytest.mark.timeout(900)
def test_d1_1_executorch_from_conversion_to_measurement(project: Path) -> None:
    """A PyTorch program made a .pte, tried on the device by the push and measured there, with its golden outputs."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("executorch")
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, 2), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(8 * 15 * 15, 4)
    ).eval()
    torch.export.save(torch.export.export(net, (torch.randn(1, 3, 32, 32),)), project / "net.pt2")
    artifact = project / "net.ekm"
    edgekit("convert", "net.pt2", "--to", "executorch", "-o", artifact, cwd=project, timeout=280).ok()
    pushed = run(project, "push", artifact, "--json", env=PYTHON_THERE).ok().json()
    assert (pushed["smoke"], pushed["activated"]) == ("passed", True)
    record = run(project, "bench", "net", "--json", *QUICK, env=PYTHON_THERE).ok().json()
    assert (record["runtime"]["name"], record["runtime"]["version"]) == ("executorch-python", "1.5.1")
    assert record["model"]["format"] == "pte"
    assert record["accuracy"]["golden"] == "passed"
    assert record["latency"]["count"] >= 3 * 20
    # the file alone, without an artifact around it
    alone = run(project, "push", artifact / "model.pte", "--name", "alone", "--json", env=PYTHON_THERE)
    assert alone.ok().json()["smoke"] == "passed"


def test_d1_1_a_device_without_python_has_not_tried_it(project: Path) -> None:
    """Nothing is wrong with the model: it is there, not active, and the note says what is missing."""
    (project / "net.pte").write_bytes(SMALL)
    tools = project / "bin"
    tools.mkdir()
    for program in (*Path("/usr/bin").iterdir(), *Path("/bin").iterdir()):
        if not program.name.startswith("python") and not (tools / program.name).is_symlink():
            (tools / program.name).symlink_to(program)
    nowhere = {"PATH": str(tools)}
    pushed = run(project, "push", "net.pte", "--json", env=nowhere).ok().json()
    assert (pushed["smoke"], pushed["activated"]) == ("unchecked", False)
    for streams in ((), ("--streams", "2")):
        refused = run(project, "bench", "net.pte", "--json", *QUICK, *streams, env=nowhere).error()
        assert refused["code"] == "E_RUNNER_LIBRARY"
        assert "there is no python3 on the device" in refused["message"]


def test_d1_1_a_python_without_the_package_says_what_to_install(project: Path) -> None:
    (project / "net.pte").write_bytes(SMALL)
    bare = {"PATH": "/usr/bin:/bin"}  # the system's python3 has no runtime
    assert run(project, "push", "net.pte", "--json", env=bare).ok().json()["smoke"] == "unchecked"
    refused = run(project, "bench", "net.pte", "--json", *QUICK, env=bare).error()
    assert refused["code"] == "E_RUNNER_LIBRARY"
    assert "pip install executorch torch" in refused["message"]
