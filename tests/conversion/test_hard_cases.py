"""B1-b2, B1.3: what a conversion could get wrong without anybody noticing, with the real tools."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.conversion import ConvertOptions
from edgekit.conversion import convert as work
from edgekit.conversion.layout import TO_NCHW
from edgekit.conversion.reverify import verify_again
from edgekit.errors import EdgekitError, ModelError, VerificationError
from edgekit.models import Artifact
from tests.conversion.convert import convert
from tests.conversion.models import DIGITS
from tests.conversion.nets import build

pytest.importorskip("onnx")
pytestmark = pytest.mark.heavy


EAGER = """
import torch

class Differs(torch.nn.Module):
    \"\"\"Another formula while it is exported: as code that asks torch.compiler may well have.\"\"\"

    def forward(self, x):
        return x.sin() if torch.compiler.is_compiling() else x.cos()

def make():
    return Differs(), (torch.rand(1, 16),)
"""


def test_the_model_itself_is_the_reference_not_its_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "edgekit_differs.py").write_text(EAGER)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(VerificationError) as caught:
        convert("edgekit_differs:make", to="onnx", recipe="float32", trust=True, output=tmp_path / "o.ekm")
    assert caught.value.code == "E_CONVERSION_MISMATCH"


def _external(folder: Path, location: str, scale: float = 1.0) -> Path:
    """y = x W with W in a file of its own."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.from_array(
        np.random.default_rng(1).normal(0, scale, (4, 3)).astype(np.float32), "w"
    )
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (folder / location).parent.mkdir(parents=True, exist_ok=True)  # the model's own folder too
    onnx.external_data_helper.convert_model_to_external_data(model, location=location, size_threshold=0)
    onnx.save(model, str(folder / "model.onnx"))
    return folder / "model.onnx"


@pytest.mark.parametrize("location", ["w.bin", "data/deep/w.bin"])
def test_external_data_keeps_its_place(tmp_path: Path, location: str) -> None:
    """The artifact alone is enough: the source is gone when it is run again."""
    path = _external(tmp_path / "source", location)
    artifact = convert(path, to="onnx", recipe="float32", output=tmp_path / "o.ekm")
    assert [entry.file for entry in artifact.manifest.files] == [location]
    for file in sorted((tmp_path / "source").rglob("*.*")):
        if file.is_file():
            file.unlink()
    found = verify_again(Artifact.load(tmp_path / "o.ekm"))
    assert found.outputs[0].max_abs_error == 0


def test_external_data_named_like_a_part_of_the_artifact(tmp_path: Path) -> None:
    path = _external(tmp_path, "manifest.json")
    with pytest.raises(ModelError) as caught:
        convert(path, to="onnx", recipe="float32", output=tmp_path / "out" / "o.ekm")
    assert caught.value.code == "E_MODEL_EXTERNAL_DATA"


def test_a_source_that_changes_meanwhile_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache must not answer for bytes that were never converted."""
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / "m.tflite"
    original = (DIGITS / "digits.tflite").read_bytes()
    path.write_bytes(original)
    module = import_module("edgekit.conversion.making")
    real = module.find_source

    def late(source: Any) -> Any:
        changed = bytearray(original)
        changed[len(changed) // 2] ^= 1
        path.write_bytes(bytes(changed))
        return real(source)

    options = ConvertOptions(recipe="float16")
    with monkeypatch.context() as patch:
        patch.setattr(module, "find_source", late)
        work(path, options=options, output=tmp_path / "a.ekm")
    path.write_bytes(original)
    assert not work(path, options=options, output=tmp_path / "b.ekm").cached
    assert work(path, options=options, output=tmp_path / "c.ekm").cached


def test_layout_reaches_into_branches(tmp_path: Path) -> None:
    """An image that is read inside an If has the other order of axes there too."""
    import onnx
    from onnx import TensorProto, helper

    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 2, 4, 5])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 4, 5])
    inner = helper.make_tensor_value_info("inner", TensorProto.FLOAT, [1, 2, 4, 5])
    yes = helper.make_graph([helper.make_node("CumSum", ["image", "axis"], ["inner"])], "yes", [], [inner])
    no = helper.make_graph([helper.make_node("Neg", ["image"], ["inner"])], "no", [], [inner])
    nodes = [
        helper.make_node("ReduceSum", ["image"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["y"], then_branch=yes, else_branch=no),
    ]
    constants = [
        helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]),
        helper.make_tensor("axis", TensorProto.INT64, [], [3]),
    ]
    graph = helper.make_graph(nodes, "g", [image], [y], constants)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9),
        str(tmp_path / "m.onnx"),
    )
    found = convert(
        tmp_path / "m.onnx", to="onnx", layout="nhwc", recipe="float32", output=tmp_path / "o.ekm"
    ).manifest
    assert found.verification.state == "passed"
    assert found.signature.inputs[0].shape == (1, 4, 5, 2)
    assert found.signature.inputs[0].layout == "NHWC"


KERAS = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
keras.utils.set_random_seed(3)
x = keras.Input((8, 8, 3), name="image")
h = keras.layers.Conv2D(6, 3, activation="relu")(x)
outputs = {"zeta": keras.layers.Dense(3)(keras.layers.Flatten()(h)), "alpha": keras.layers.Conv2D(4, 1)(h)}
keras.Model(x, outputs).save(sys.argv[1])
"""


@pytest.mark.parametrize("to", ["tflite", "coreml"])
def test_keras_outputs_by_their_own_names_in_the_layout_asked_for(tmp_path: Path, to: str) -> None:
    path = tmp_path / "named.keras"
    subprocess.run([sys.executable, "-c", KERAS, str(path)], check=True, timeout=240, capture_output=True)
    for layout, shape in (("keep", (1, 8, 8, 3)), ("nchw", (1, 3, 8, 8))):
        found = convert(path, to=to, layout=layout, recipe="float32", output=tmp_path / "o.ekm").manifest
        assert found.verification.state == "passed"
        assert {spec.name for spec in found.signature.outputs} == {"zeta", "alpha"}
        assert found.signature.inputs[0].shape == shape
        moved = {boundary.name: boundary.permutation for boundary in found.boundary}
        assert moved == ({} if layout == "keep" else {"image": TO_NCHW, "alpha": TO_NCHW})


def test_a_recurrent_net_from_onnx_keeps_no_state(tmp_path: Path) -> None:
    """onnx2tf's own choice, a fused operator, answers by what was asked before (B1-b2)."""
    artifact = convert(
        build("lstm", "onnx", tmp_path), to="tflite", recipe="float32", output=tmp_path / "o.ekm"
    )
    assert artifact.manifest.verification.state == "passed"
    assert any("unrolled" in note for note in artifact.manifest.notes)
    from ai_edge_litert.interpreter import Interpreter

    engine = Interpreter(str(artifact.model_path))
    engine.allocate_tensors()
    (given,), (wanted,) = engine.get_input_details(), engine.get_output_details()
    rng, seen = np.random.default_rng(2), []
    first = rng.normal(size=given["shape"]).astype(np.float32)
    for value in (first, rng.normal(size=given["shape"]).astype(np.float32), first):
        engine.set_tensor(given["index"], value)
        engine.invoke()
        seen.append(engine.get_tensor(wanted["index"]).copy())
    np.testing.assert_array_equal(seen[0], seen[2])


def test_a_full_disk_while_the_artifact_is_written(tmp_path: Path) -> None:
    """B1-b2: no disk. Nothing half-written is left, and the message says what to do."""
    encoder = build("encoder", "torch", tmp_path)
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True, timeout=20
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk takes root")
    try:
        with pytest.raises(EdgekitError) as caught:
            convert(DIGITS / "digits.tflite", recipe="float32", output=disk / "o.ekm")
        assert (caught.value.code, caught.value.exit_code) == ("E_HOST_DISK_FULL", 8)
        assert list(disk.iterdir()) == []
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("EDGEKIT_CACHE_DIR", str(disk / "cache"))
            with pytest.raises(EdgekitError) as caught:
                convert(DIGITS / "digits.tflite", recipe="float32", output=tmp_path / "o.ekm")
            assert caught.value.code == "E_HOST_DISK_FULL"
            with pytest.raises(EdgekitError) as caught:  # litert-torch would end the process there
                convert(encoder, to="tflite", output=tmp_path / "o.ekm")
            assert caught.value.code == "E_HOST_DISK_FULL"
        assert not (tmp_path / "o.ekm").exists()
    finally:
        subprocess.run(["umount", str(disk)], check=True, timeout=20)
