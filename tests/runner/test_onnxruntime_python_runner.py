"""The runner of the board's own onnxruntime, with this Python as the board's (D1.1)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.runtimes.base import RunnerJob
from edgekit.runtimes.onnxruntime_python import OnnxRuntimePythonRuntime
from tests.runner import tiny_onnx
from tests.runner.contract import RunnerContract
from tests.runner.launching import ONNX, Launcher, onnxruntime, onnxruntime_python
from tests.runner.models import REAL_ONNX, onnx_path

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Launcher:
    return onnxruntime_python(tmp_path_factory.mktemp("onnxruntime"))


class TestOnnxRuntimePythonRunner(RunnerContract):
    load_steps = ("dlopen_us", "compile_us")

    @pytest.fixture(params=sorted(REAL_ONNX))
    def real_model(self, request: pytest.FixtureRequest) -> Path:
        return onnx_path(request.param)


def test_the_same_outputs_and_nodes_as_the_native_runner(launcher: Launcher, tmp_path: Path) -> None:
    """Both set ONNX Runtime the same way: the bytes and the graph as it is optimized are the same."""
    native = onnxruntime(tmp_path / "native")
    model = tiny_onnx.small(tmp_path / "small.onnx")
    seen = []
    for runner in (native, launcher):
        out, ops = tmp_path / "out", tmp_path / "ops"
        runner.run(
            RunnerJob(
                model=str(model),
                samples=str(tmp_path / "s"),
                outputs=str(out),
                op_profile=str(ops),
                iterations=5,
            )
        )
        rows = runner.runtime.read_op_profile(ops.read_bytes()).rows
        seen.append((out.read_bytes(), [(row.op, row.node, row.index, row.unit) for row in rows]))
    assert seen[0] == seen[1]


def test_shapes_that_come_of_the_data(launcher: Launcher, tmp_path: Path) -> None:
    """One that stays is measured; one that another sample changes is an error, as with the native runner."""
    model = tiny_onnx.build(
        tmp_path / "model",
        [tiny_onnx.node("NonZero", ["x"], ["y"])],
        [tiny_onnx.value("x", "float32", (4,))],
        [tiny_onnx.value("y", "int64", (1, None))],
    )
    given, out = tmp_path / "in", tmp_path / "out"
    job = RunnerJob(model=str(model), samples=str(tmp_path / "s"), inputs=str(given), outputs=str(out))
    given.write_bytes(np.array([0, 1, 1, 0, 5, 0, 0, 5], "<f4").tobytes())
    assert launcher.run(job).outputs[0].shape == (1, 2)
    assert np.fromfile(out, "<i8").tolist() == [1, 2, 0, 3]
    given.write_bytes(np.array([0, 1, 1, 0, 5, 5, 5, 5], "<f4").tobytes())
    assert launcher.refuse(job)["code"] == "E_MODEL_RUN"


def test_its_telemetry_is_off(launcher: Launcher, tmp_path: Path) -> None:
    """No database in the user's home, whatever the environment says (docs/adr/0011)."""
    model = tiny_onnx.small(tmp_path / "small.onnx")
    home = tmp_path / "home"
    home.mkdir()
    argv, environment = launcher.command(
        RunnerJob(model=str(model), samples=str(tmp_path / "s"), min_seconds=1)
    )
    environment = {key: value for key, value in environment.items() if not key.startswith("ORT_")}
    outcome = launcher.start(argv, {**environment, "HOME": str(home), "XDG_CACHE_HOME": str(home)})
    assert outcome.exit_code == 0
    assert list(home.iterdir()) == []


def test_sequences_are_refused(launcher: Launcher, tmp_path: Path) -> None:
    import onnx

    kind = onnx.helper.make_sequence_type_proto(
        onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, [2])
    )
    model = tiny_onnx.build(
        tmp_path / "model",
        [tiny_onnx.node("SequenceConstruct", ["x"], ["y"])],
        [tiny_onnx.value("x", "float32", (2,))],
        [onnx.helper.make_value_info("y", kind)],
    )
    answer = launcher.refuse(RunnerJob(model=str(model), samples=str(tmp_path / "s")))
    assert answer["code"] == "E_MODEL_UNSUPPORTED"
    assert "'y' is not a tensor" in answer["message"]


def test_an_onnxruntime_too_old_says_so(tmp_path: Path) -> None:
    launcher = Launcher(OnnxRuntimePythonRuntime(), ONNX, tmp_path / "bundle")
    (tmp_path / "bundle" / "onnxruntime.py").write_text('__version__ = "1.4.0"\n')
    model = tmp_path / "model"
    model.write_bytes(b"\x08\x08\x3a\x00")
    answer = launcher.refuse(RunnerJob(model=str(model), samples=str(tmp_path / "s")))
    assert answer["code"] == "E_RUNNER_VERSION"
    assert "onnxruntime 1.4.0" in answer["message"]
    assert "pip install --upgrade onnxruntime" in answer["message"]
