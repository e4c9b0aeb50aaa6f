"""B1-b3 and clumsy users: each of these once passed wrongly, ran code, lost a file, broke the answer or crashed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit import events
from edgekit.conversion.metrics import OutputGatherer
from edgekit.conversion.samples import Samples, generate
from edgekit.conversion.verify import compare, judge
from edgekit.errors import EdgekitError
from edgekit.models import Artifact, is_artifact
from edgekit.models.info import TensorSpec
from tests.conversion import build
from tests.conversion.convert import convert
from tests.conversion.models import DIGITS

pytest.importorskip("ai_edge_litert.interpreter")
MODEL = DIGITS / "digits.tflite"
RNG = np.random.default_rng(21)


def _edgekit(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgekit", *arguments, "--json"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)


def _samples(count: int, labels: tuple[int, ...] | None) -> Samples:
    return Samples(
        "evaluation", tuple((RNG.normal(size=(1, 4)).astype(np.float32),) for _ in range(count)), labels
    )


def test_a_few_wrong_labels_do_not_switch_judgement_off() -> None:
    samples = _samples(8, (1,) * 8)
    garbage = lambda s: [np.roll(s[0], 1) * 3]  # noqa: E731
    found = judge(
        compare(lambda s: [s[0]], garbage, samples, ["y"], 1.0, events.ignore), "int8-static", samples
    )
    assert found.state == "failed"
    assert "SNR" in found.reasons[0]


def test_labels_judge_the_first_output_only() -> None:
    inputs = tuple((RNG.normal(size=(1, 4)).astype(np.float32),) for _ in range(30))
    samples = Samples("evaluation", inputs, tuple(int(x.argmax()) for (x,) in inputs))
    found = judge(
        compare(
            lambda s: [s[0], s[0]], lambda s: [s[0], -s[0]], samples, ["scores", "boxes"], 0.0, events.ignore
        ),
        "int8-static",
        samples,
    )
    assert found.state == "failed"
    assert "'boxes'" in found.reasons[0]


def test_a_gatherer_counts_what_it_can() -> None:
    gatherer = OutputGatherer("y")
    gatherer.add(np.array([np.nan, 1.0]), np.array([np.nan, 1.0]))
    gatherer.add(np.array([2.0, 1.0]), np.array([2.0, 5.0]))
    assert gatherer.max_abs_error == 4


def test_shapes_of_a_tflite_model(tmp_path: Path) -> None:
    (tmp_path / "open.tflite").write_bytes(build.dense(RNG.normal(size=(3, 5)), batch=None))
    found = convert(
        tmp_path / "open.tflite", recipe="float32", shapes={"x": (7, 5)}, output=tmp_path / "o.ekm"
    ).manifest
    assert [spec.shape for spec in (*found.signature.inputs, *found.signature.outputs)] == [(7, 5), (7, 3)]
    for wrong in ({"x": (7, 6)}, {"nothere": (1, 1)}, {"x": (2_000_000_000, 5)}):
        with pytest.raises(EdgekitError) as caught:
            convert(tmp_path / "open.tflite", shapes=wrong, output=tmp_path / "o.ekm")
        assert caught.value.code == "E_SHAPE"


def test_an_empty_option_is_not_an_absent_one(tmp_path: Path) -> None:
    for option, code in (("--evaluation", "E_DATA_MISSING"), ("--to", "E_NO_TARGET")):
        done = _edgekit(tmp_path, "convert", str(MODEL), "--recipe", "float32", option, "")
        assert done.returncode == 1, done.stdout
        assert json.loads(done.stdout)["error"]["code"] in (code, "E_DATA")


def test_other_files_in_an_artifacts_folder_are_kept(tmp_path: Path) -> None:
    convert(MODEL, recipe="float16", output=tmp_path / "o.ekm")
    (tmp_path / "o.ekm" / "MYNOTES").write_text("mine")
    with pytest.raises(EdgekitError) as caught:
        convert(MODEL, recipe="float32", output=tmp_path / "o.ekm")
    assert caught.value.code == "E_OUTPUT_EXISTS"
    assert (tmp_path / "o.ekm" / "MYNOTES").read_text() == "mine"
    (tmp_path / "o.ekm" / "MYNOTES").unlink()
    assert convert(MODEL, recipe="float32", output=tmp_path / "o.ekm").manifest.recipe == "float32"


@pytest.mark.parametrize("file", ["manifest.json", "model.tflite", "golden/inputs.bin"])
def test_a_pipe_in_an_artifact_is_refused_not_waited_for(tmp_path: Path, file: str) -> None:
    artifact = convert(MODEL, recipe="float16", output=tmp_path / "o.ekm")
    (artifact.path / file).unlink()
    os.mkfifo(artifact.path / file)
    with pytest.raises(EdgekitError):
        Artifact.load(artifact.path)
    assert is_artifact(artifact.path) == (file != "manifest.json")


def test_a_signal_between_the_two_renames_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert(MODEL, recipe="float16", output=tmp_path / "o.ekm")
    real = Path.rename

    def interrupted(self: Path, target: Any) -> Path:
        if Path(target) == tmp_path / "o.ekm" and self.name != "old":
            raise KeyboardInterrupt
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", interrupted)
        with pytest.raises(KeyboardInterrupt):
            convert(MODEL, recipe="float32", output=tmp_path / "o.ekm")
    assert Artifact.load(tmp_path / "o.ekm").manifest.recipe == "float16"
    assert [path.name for path in tmp_path.iterdir()] == ["o.ekm"]


def test_an_artifact_damaged_in_the_cache_is_unpacked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(tmp_path / "cache"))
    assert (
        _edgekit(tmp_path, "convert", str(MODEL), "--recipe", "float16", "--zip", "-o", "z.ekm").returncode
        == 0
    )
    first = Artifact.load(tmp_path / "z.ekm")
    first.model_path.write_bytes(b"not what it was")
    assert Artifact.load(tmp_path / "z.ekm").manifest == first.manifest


@pytest.mark.parametrize("kind", ["text", "scalar", "empty"])
def test_odd_data_files(tmp_path: Path, kind: str) -> None:
    import zipfile

    path = tmp_path / "data.npz"
    if kind == "text":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("image", b"not an array")
    else:
        np.savez(path, image=np.float32(3) if kind == "scalar" else np.zeros((0, 28, 28, 1), np.float32))
    with pytest.raises(EdgekitError) as caught:
        convert(MODEL, evaluation=path, output=tmp_path / "o.ekm")
    assert caught.value.exit_code == 1
    assert caught.value.code.startswith("E_DATA")


@pytest.mark.base
def test_inputs_of_rank_0_are_arrays() -> None:
    (sample,) = generate([TensorSpec(name=d, dtype=d, shape=()) for d in ("float32", "int64", "int8")], 1)
    assert [type(value) for value in sample] == [np.ndarray] * 3


FACTORIES = """
import os, sys, torch

class Net(torch.nn.Module):
    def forward(self, x):
        return x * 2

class Nothing(torch.nn.Module):
    def forward(self, x):
        return None

class Named(torch.nn.Module):
    def forward(self, x1):
        return {"x1": x1 * 2, "x0": x1 - 1}

def prints():
    print("hello from the factory"); os.write(1, b"and from below\\n")
    return Net(), (torch.rand(1, 4),)

def exits():
    sys.exit(0)

def nothing():
    return Nothing(), (torch.rand(1, 4),)

def named():
    return Named(), (torch.rand(1, 4),)
"""


@pytest.fixture
def factories(tmp_path: Path) -> Path:
    (tmp_path / "edgekit_odd.py").write_text(FACTORIES)
    return tmp_path


@pytest.mark.heavy
def test_what_a_factory_prints_is_no_part_of_the_answer(factories: Path) -> None:
    done = _edgekit(
        factories, "convert", "edgekit_odd:prints", "--trust", "--to", "onnx", "--recipe", "float32"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verification"]["state"] == "passed"
    assert "hello from the factory" in done.stderr


@pytest.mark.heavy
@pytest.mark.parametrize(("name", "code"), [("exits", "E_FACTORY"), ("nothing", "E_MODEL_OUTPUT")])
def test_a_factory_that_gives_no_model(factories: Path, name: str, code: str) -> None:
    done = _edgekit(factories, "convert", f"edgekit_odd:{name}", "--trust", "--to", "onnx")
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["error"]["code"] == code


@pytest.mark.heavy
def test_outputs_whose_names_look_like_places(factories: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(factories))
    found = convert(
        "edgekit_odd:named", trust=True, to="tflite", recipe="float32", output=factories / "o.ekm"
    ).manifest
    assert found.verification.state == "passed"
    assert {spec.name for spec in found.signature.outputs} == {"x1_out", "x0"}


def _onnx(path: Path, node: Any, out: Any, dtype: int, shape: list[Any]) -> Path:
    import onnx
    from onnx import TensorProto, helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])
    y = helper.make_tensor_value_info("y", dtype, shape)
    graph = helper.make_graph([node], "g", [x], [y], out)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))
    return path


@pytest.mark.heavy
def test_outputs_of_text_and_of_a_size_that_the_data_make(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    text = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.STRING)
    path = _onnx(tmp_path / "text.onnx", text, [], TensorProto.STRING, [1, 4])
    with pytest.raises(EdgekitError) as caught:
        convert(path, to="onnx", output=tmp_path / "o.ekm")
    assert caught.value.code == "E_MODEL_OUTPUT"
    nonzero = [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("NonZero", ["r"], ["y"])]
    import onnx

    model = onnx.load(str(_onnx(tmp_path / "n.onnx", nonzero[1], [], TensorProto.INT64, [2, "n"])))
    del model.graph.node[:]
    model.graph.node.extend(nonzero)
    onnx.save(model, str(tmp_path / "n.onnx"))
    manifest = convert(tmp_path / "n.onnx", to="onnx", recipe="float32", output=tmp_path / "o.ekm").manifest
    assert manifest.golden is None
    assert any("no golden outputs" in note for note in manifest.notes)


@pytest.mark.heavy
def test_a_python_module_in_the_current_folder_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(B1-b3) Looking for a Python for onnx2tf must not import what lies around."""
    from edgekit.conversion.isolated import _probe

    mark = tmp_path / "mark"
    for name in ("venv", "ensurepip", "pip"):
        (tmp_path / f"{name}.py").write_text(f"open({str(mark)!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    _probe(Path(sys.executable))
    assert not mark.exists()


SAVED_MODEL = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf
class Module(tf.Module):
    def __init__(self):
        keys = tf.constant([1, 2], tf.int64)
        self.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, tf.constant([3.0, 4.0])), -1.0)
    @tf.function(input_signature=[tf.TensorSpec([1, 4], tf.int64, name="x")])
    def serve(self, x):
        return {"y": self.table.lookup(x)}
module = Module()
tf.saved_model.save(module, sys.argv[1], signatures={"serving_default": module.serve})
import keras
x = keras.Input((4,)); keras.Model(x, [x, keras.layers.Dense(2)(x)]).save(sys.argv[2])
"""


@pytest.mark.heavy
def test_keras_models_that_cannot_be_taken_are_said_to_be(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SAVED_MODEL, str(tmp_path / "saved"), str(tmp_path / "through.keras")]
    subprocess.run(command, check=True, timeout=240, capture_output=True)
    for name, code in (("saved", "E_MODEL_LOAD"), ("through.keras", "E_MODEL_OUTPUT")):
        with pytest.raises(EdgekitError) as caught:
            convert(tmp_path / name, output=tmp_path / "o.ekm")
        assert (caught.value.code, caught.value.exit_code) == (code, 1)
