"""B1-b3: nothing of a model runs as code unless the user says --trust. Each file here would leave a mark if it did."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edgekit.errors import EdgekitError, ModelError
from tests.conversion.convert import convert
from tests.conversion.models import DIGITS

pytest.importorskip("torch")
pytestmark = pytest.mark.heavy

MAKE_PT2 = """
import sys, torch
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.full = torch.nn.Linear(4, 3)
    def forward(self, x):
        return self.full(x)
size = torch.export.Dim("n", min=2, max=64)
program = torch.export.export(Net().eval(), (torch.rand(3, 4),), dynamic_shapes=({0: size},))
torch.export.save(program, sys.argv[1])
torch.jit.trace(Net(), torch.rand(1, 4)).save(sys.argv[2])
"""


@pytest.fixture(scope="module")
def torch_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("torch")
    command = [sys.executable, "-c", MAKE_PT2, str(folder / "good.pt2"), str(folder / "script.pt")]
    subprocess.run(command, check=True, timeout=240, capture_output=True)
    return folder


def _rewritten(good: Path, bad: Path, change: dict[str, bytes] | None = None, program: object = None) -> Path:
    """A copy of an archive with some members replaced; `program` edits the JSON of the graph."""
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(bad, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("models/model.json") and callable(program):
                document = json.loads(data)
                program(document)
                data = json.dumps(document).encode()
            for ending, content in (change or {}).items():
                if name.endswith(ending):
                    data = content
            new.writestr(name, data)
    return bad


def _pickle(mark: Path) -> bytes:
    import pickle

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {mark}",)

    return pickle.dumps(Evil())


def _torch_pickle(mark: Path) -> bytes:
    import torch

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {mark}",)

    buffer = io.BytesIO()
    torch.save({"args": Evil()}, buffer)
    return buffer.getvalue()


def _refused(path: Path, tmp_path: Path, mark: Path) -> None:
    with pytest.raises(ModelError) as caught:
        convert(path, output=tmp_path / "o.ekm")
    assert not mark.exists(), "the model ran code"
    assert (caught.value.code, caught.value.exit_code) == ("E_UNTRUSTED", 1), caught.value
    assert "--trust" in (caught.value.hint or "")


def test_the_harmless_archive_is_taken(torch_files: Path, tmp_path: Path) -> None:
    found = convert(torch_files / "good.pt2", recipe="float32", output=tmp_path / "o.ekm").manifest
    assert found.verification.state == "passed"
    assert found.signature.inputs[0].shape == (1, 4)


def test_pickled_example_inputs(torch_files: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    bad = _rewritten(
        torch_files / "good.pt2", tmp_path / "bad.pt2", {"sample_inputs/model.pt": _torch_pickle(mark)}
    )
    _refused(bad, tmp_path, mark)


def test_a_pickle_runs_in_pytorch_itself(torch_files: Path, tmp_path: Path) -> None:
    """The tool does run what is refused above: without this the test before could pass for no reason."""
    mark = tmp_path / "mark"
    bad = _rewritten(
        torch_files / "good.pt2", tmp_path / "bad.pt2", {"sample_inputs/model.pt": _torch_pickle(mark)}
    )
    program = "import sys, torch\ntry: torch.export.load(sys.argv[1])\nexcept Exception: pass"
    subprocess.run([sys.executable, "-c", program, str(bad)], timeout=120, capture_output=True, check=False)
    assert mark.exists()


@pytest.mark.parametrize("kind", ["operator", "expression", "guard"])
def test_a_program_that_calls_out(torch_files: Path, tmp_path: Path, kind: str) -> None:
    mark = tmp_path / "mark"

    def edit(document: dict[str, object]) -> None:
        text = json.dumps(document)
        if kind == "operator":
            text = text.replace("torch.ops.aten.linear.default", "torch.os.system")
        elif kind == "expression":
            before = '"expr_str": "'
            at = text.index(before) + len(before)
            end = text.index('"', at)
            text = text[:at] + f"__import__('os').system('touch {mark}')" + text[end:]
        else:
            document["guards_code"] = [f"__import__('os').system('touch {mark}') == 0"]
            return
        fresh = json.loads(text)
        document.clear()
        document.update(fresh)

    _refused(_rewritten(torch_files / "good.pt2", tmp_path / "bad.pt2", program=edit), tmp_path, mark)


def test_torchscript_with_trust_says_what_is_lost(torch_files: Path, tmp_path: Path) -> None:
    _refused(torch_files / "script.pt", tmp_path, tmp_path / "mark")
    with pytest.raises(ModelError) as caught:
        convert(torch_files / "script.pt", trust=True, output=tmp_path / "o.ekm")
    assert caught.value.code == "E_DYNAMIC_SHAPE"
    assert "--shape x=" in (caught.value.hint or "")
    found = convert(
        torch_files / "script.pt",
        trust=True,
        shapes={"x": (1, 4)},
        recipe="float32",
        output=tmp_path / "o.ekm",
    ).manifest
    assert found.verification.state == "passed"
    assert [spec.name for spec in found.signature.inputs] == ["x"]
    assert any("TorchScript does not keep" in note for note in found.notes)


MAKE_KERAS = """
import sys, os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
mark = sys.argv[2]
inputs = keras.Input((4,), name="x")
outputs = keras.layers.Lambda(lambda t: (__import__("os").system("touch " + "MARK"), t * 2)[1])(inputs)
model = keras.Model(inputs, keras.layers.Dense(3)(outputs))
os.remove("MARK") if os.path.exists("MARK") else None
model.save(sys.argv[1] + "/bad.keras"); model.save(sys.argv[1] + "/bad.h5")
"""


@pytest.mark.parametrize("name", ["bad.keras", "bad.h5"])
def test_a_keras_lambda(tmp_path: Path, name: str) -> None:
    mark = tmp_path / "mark"
    program = MAKE_KERAS.replace("MARK", str(mark))
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), str(mark)],
        check=True,
        timeout=240,
        capture_output=True,
    )
    mark.unlink(missing_ok=True)
    _refused(tmp_path / name, tmp_path, mark)


MAKE_SAVED_MODEL = """
import sys, os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf
class Module(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([1, 4], tf.float32, name="x")])
    def serve(self, x):
        tf.io.write_file(sys.argv[2], "gone")
        return {"y": x * 2.0}
module = Module()
tf.saved_model.save(module, sys.argv[1], signatures={"serving_default": module.serve})
"""


def test_a_saved_model_that_writes_files(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    command = [sys.executable, "-c", MAKE_SAVED_MODEL, str(tmp_path / "saved"), str(mark)]
    subprocess.run(command, check=True, timeout=240, capture_output=True)
    mark.unlink(missing_ok=True)
    _refused(tmp_path / "saved", tmp_path, mark)


def test_an_evaluation_function_needs_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """B1.3: the user's own metric; its figures are those that the function gave for source and result."""
    (tmp_path / "edgekit_metric.py").write_text(
        "import numpy as np\ncalls = []\n"
        "def score(run):\n"
        "    images = np.random.default_rng(5).random((3, 1, 28, 28, 1), dtype=np.float32)\n"
        "    total = sum(float(next(iter(run({'image': image}).values())).max()) for image in images)\n"
        "    calls.append(total)\n    return total\n"
        "def broken(run):\n    raise RuntimeError('no data')\n"
        "def infinite(run):\n    return float('inf')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    model = DIGITS / "digits.tflite"
    with pytest.raises(EdgekitError) as caught:
        convert(model, recipe="float16", evaluation="edgekit_metric:score", output=tmp_path / "o.ekm")
    assert caught.value.code == "E_UNTRUSTED"
    found = convert(
        model, recipe="float16", evaluation="edgekit_metric:score", trust=True, output=tmp_path / "o.ekm"
    ).manifest
    import edgekit_metric  # type: ignore[import-not-found]

    accuracy = found.verification.accuracy
    assert accuracy is not None
    assert accuracy.metric == "edgekit_metric:score"
    assert [accuracy.source_value, accuracy.value] == edgekit_metric.calls
    assert accuracy.source_value != accuracy.value
    assert found.evaluation is not None
    for name in ("broken", "infinite", "absent"):
        with pytest.raises(EdgekitError) as caught:
            convert(model, evaluation=f"edgekit_metric:{name}", trust=True, output=tmp_path / "o.ekm")
        assert (caught.value.code, caught.value.exit_code) == ("E_EVALUATION", 1)
