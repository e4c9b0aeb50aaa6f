"""B1-b2: converters that report success and are wrong. Each test runs the real converter and damages its real output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.conversion.convert import convert as work
from edgekit.conversion.options import ConvertOptions
from edgekit.conversion.recipes import Recipe
from edgekit.conversion.targets.base import Made, Prepared
from edgekit.conversion.targets.onnx import OnnxTarget
from edgekit.conversion.targets.tflite import TfliteTarget
from edgekit.errors import EdgekitError, InputError, ModelError, ToolError, VerificationError
from edgekit.models import open_model
from tests.conversion.convert import convert
from tests.conversion.nets import build

pytest.importorskip("ai_edge_litert.interpreter")
pytestmark = pytest.mark.heavy
MODULE = import_module("edgekit.conversion.convert")
Edit = Callable[[bytes], bytes]


def _edited_tflite(edit: Callable[[Any], None]) -> Edit:
    def change(data: bytes) -> bytes:
        import flatbuffers
        from ai_edge_litert import schema_py_generated as schema

        model = schema.ModelT.InitFromPackedBuf(data)
        edit(model)
        builder = flatbuffers.Builder(len(data))
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    return change


def _float_weights(model: Any, least: int) -> list[np.ndarray[Any, Any]]:
    """Views of the float constants with at least so many elements."""
    found = []
    for tensor in model.subgraphs[0].tensors:
        data = model.buffers[tensor.buffer].data
        if tensor.type == 0 and data is not None and len(data) // 4 >= least:
            fixed = np.array(data, dtype=np.uint8)
            model.buffers[tensor.buffer].data = fixed
            found.append(fixed.view(np.float32).reshape(tensor.shape))
    return found


def _nan(model: Any) -> None:
    _float_weights(model, 100)[0].flat[7] = np.nan


def _permuted(model: Any) -> None:
    """The last dense layer's inputs in channels-first order where channels-last is meant, as a converter that forgets
    to reorder the weights behind a Flatten would leave them."""
    weights = max(_float_weights(model, 1000), key=lambda array: array.size)
    rows, columns = weights.shape
    side = int(np.sqrt(columns // 16)) if columns % 16 == 0 else 0
    shape = (rows, 16, side, -1) if side and columns % (16 * side) == 0 else (rows, 2, -1, 1)
    weights[:] = weights.reshape(shape).transpose(0, 2, 3, 1).reshape(rows, columns)


def _swapped_outputs(model: Any) -> None:
    graph = model.subgraphs[0]
    graph.outputs = graph.outputs[::-1]
    first, second = model.signatureDefs[0].outputs[:2]
    first.tensorIndex, second.tensorIndex = second.tensorIndex, first.tensorIndex


class Damaging(TfliteTarget):
    """The real target, whose real file is damaged behind its back."""

    def __init__(self, edit: Edit) -> None:
        self._edit = edit

    def make(self, prepared: Prepared, recipe: Recipe, calibration: Sequence[Any]) -> Made:
        made = super().make(prepared, recipe, calibration)
        made.path.write_bytes(self._edit(made.path.read_bytes()))
        return made


def _convert_with(
    target: Any, monkeypatch: pytest.MonkeyPatch, source: Path, output: Path, recipe: str
) -> Any:
    monkeypatch.setattr(MODULE, "find_target", lambda profile, to: target)
    return work(source, options=ConvertOptions(recipe=recipe, cache=False), output=output)


@pytest.mark.parametrize("recipe", ["float32", "float16"])
@pytest.mark.parametrize(("edit", "says"), [(_nan, "NaN"), (_permuted, "is off by")])
def test_damaged_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edit: Callable[[Any], None], says: str, recipe: str
) -> None:
    if recipe == "float16":
        # The float model is damaged before it is made float16: that is where a converter goes wrong.
        class Early(TfliteTarget):
            def prepare(self, request: Any) -> Prepared:
                prepared = super().prepare(request)
                assert prepared.path is not None
                prepared.path.write_bytes(_edited_tflite(edit)(prepared.path.read_bytes()))
                return prepared

        target: TfliteTarget = Early()
    else:
        target = Damaging(_edited_tflite(edit))
    with pytest.raises(VerificationError) as caught:
        _convert_with(target, monkeypatch, build("cnn", "torch", tmp_path), tmp_path / "o.ekm", recipe)
    assert (caught.value.code, caught.value.exit_code) == ("E_CONVERSION_MISMATCH", 7)
    assert says in caught.value.message
    assert not (tmp_path / "o.ekm").exists()


TWO_OUTPUTS = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Linear(8, 4), torch.nn.Linear(8, 4)

    def forward(self, x):
        return {"first": self.first(x), "second": self.second(x)}

def make():
    torch.manual_seed(0)
    return Net(), (torch.rand(1, 8),)
"""


@pytest.fixture
def two_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "edgekit_two_outputs.py").write_text(TWO_OUTPUTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "edgekit_two_outputs:make"


def test_swapped_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two_outputs: str) -> None:
    """Same names, same shapes, the other one's values: only numbers tell."""
    monkeypatch.setattr(MODULE, "find_target", lambda profile, to: Damaging(_edited_tflite(_swapped_outputs)))
    with pytest.raises(VerificationError) as caught:
        work(two_outputs, options=ConvertOptions(recipe="float32", trust=True), output=tmp_path / "o.ekm")
    assert caught.value.code == "E_CONVERSION_MISMATCH"
    assert "'first'" in caught.value.message


def test_undamaged_they_pass(tmp_path: Path, two_outputs: str) -> None:
    found = convert(two_outputs, recipe="float32", trust=True, output=tmp_path / "o.ekm").manifest
    assert found.verification.state == "passed"
    assert [spec.name for spec in found.signature.outputs] == ["first", "second"]


def test_onnx_with_another_initializer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for another format: one weight of the real ONNX file changed by 5 %."""

    class DamagingOnnx(OnnxTarget):
        def make(self, prepared: Prepared, recipe: Recipe, calibration: Sequence[Any]) -> Made:
            import onnx

            made = super().make(prepared, recipe, calibration)
            proto = onnx.load(str(made.path))
            tensor = max(proto.graph.initializer, key=lambda t: len(t.raw_data))
            values = onnx.numpy_helper.to_array(tensor) * 1.05
            tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float32), tensor.name))
            onnx.save(proto, str(made.path))
            return made

    with pytest.raises(VerificationError) as caught:
        _convert_with(
            DamagingOnnx(), monkeypatch, build("lstm", "torch", tmp_path), tmp_path / "o.ekm", "float32"
        )
    assert caught.value.code == "E_CONVERSION_MISMATCH"


def test_an_input_that_lost_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rename(model: Any) -> None:
        model.signatureDefs[0].inputs[0].name = b"args_0"

    class Renaming(TfliteTarget):
        def prepare(self, request: Any) -> Prepared:
            prepared = super().prepare(request)
            assert prepared.path is not None
            prepared.path.write_bytes(_edited_tflite(rename)(prepared.path.read_bytes()))
            return replace(prepared, info=open_model(prepared.path, use_cache=False))

    with pytest.raises(VerificationError) as caught:
        _convert_with(Renaming(), monkeypatch, build("cnn", "torch", tmp_path), tmp_path / "o.ekm", "float32")
    assert caught.value.code == "E_SIGNATURE"


def _onnx_model(tmp_path: Path, nodes: list[Any], **kwargs: Any) -> Path:
    import onnx
    from onnx import TensorProto, helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, kwargs.pop("shape", [1, 4]))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, kwargs.pop("out", [1, 4]))
    graph = helper.make_graph(nodes, "g", [x], [y], **kwargs)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("org.example", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    path = tmp_path / "model.onnx"
    onnx.save(model, str(path))
    return path


def test_a_custom_operator(tmp_path: Path) -> None:
    from onnx import helper

    path = _onnx_model(tmp_path, [helper.make_node("FlyToTheMoon", ["x"], ["y"], domain="org.example")])
    for to in ("onnx", "tflite"):
        with pytest.raises(ModelError) as caught:
            convert(path, to=to, output=tmp_path / "o.ekm")
        assert caught.value.code == "E_CUSTOM_OPERATOR"
        assert "org.example::FlyToTheMoon" in caught.value.message


def test_axes_of_open_size_are_asked_for_or_given(tmp_path: Path) -> None:
    from onnx import helper

    path = _onnx_model(
        tmp_path, [helper.make_node("Sigmoid", ["x"], ["y"])], shape=["n", "w"], out=["n", "w"]
    )
    with pytest.raises(ModelError) as caught:
        convert(path, to="onnx", recipe="float32", output=tmp_path / "o.ekm")
    assert caught.value.code == "E_DYNAMIC_SHAPE"
    assert "--shape x=1xN" in (caught.value.hint or "")
    found = convert(
        path, to="onnx", recipe="float32", shapes={"x": (1, 6)}, output=tmp_path / "o.ekm"
    ).manifest
    assert found.verification.state == "passed"
    assert found.signature.outputs[0].shape == (1, 6)
    for wrong in ({"x": (1, 2, 3)}, {"z": (1, 6)}):
        with pytest.raises(InputError) as caught_shape:
            convert(path, to="onnx", shapes=wrong, output=tmp_path / "o.ekm")
        assert caught_shape.value.code == "E_SHAPE"


CONTROL_FLOW = """
import torch

class Branching(torch.nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x * 2
        return x - 1

class Cond(torch.nn.Module):
    def forward(self, x):
        return torch.cond(x.sum() > 0, lambda v: v * 2 + v.mean(), lambda v: v - 1, (x,))

def branching():
    return Branching(), (torch.rand(1, 8),)

def cond():
    return Cond(), (torch.rand(1, 8),)
"""


@pytest.mark.parametrize("to", ["tflite", "onnx", "executorch"])
def test_control_flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str) -> None:
    """A Python branch on data cannot be exported: said with torch's own words. torch.cond is converted right or
    refused with the tool's words, never wrong."""
    (tmp_path / "edgekit_control_flow.py").write_text(CONTROL_FLOW)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ToolError) as caught:
        convert("edgekit_control_flow:branching", to=to, trust=True, output=tmp_path / "o.ekm")
    assert caught.value.code == "E_CONVERTER"
    assert "torch.export does not take" in caught.value.message
    try:
        found = convert(
            "edgekit_control_flow:cond", to=to, recipe="float32", trust=True, output=tmp_path / "o.ekm"
        ).manifest
    except EdgekitError as error:
        assert error.code == "E_CONVERTER", error  # noqa: PT017
        assert to != "onnx"
    else:
        assert found.verification.state == "passed"


def test_a_2_gb_onnx_model_with_external_data(tmp_path: Path) -> None:
    """Its weights stay in a file of their own; TFLite, which cannot hold them, is refused before any work."""
    import onnx
    from onnx import TensorProto, helper

    rows, columns = 4, (2 << 30) // 16 + 4096
    weights = TensorProto(
        name="w", data_type=TensorProto.FLOAT, dims=[columns, rows], data_location=TensorProto.EXTERNAL
    )
    for key, value in (("location", "weights.bin"), ("offset", "0"), ("length", str(columns * rows * 4))):
        entry = weights.external_data.add()
        entry.key, entry.value = key, value
    with open(tmp_path / "weights.bin", "wb") as file:
        file.truncate(columns * rows * 4)  # a sparse file: zeros that take no disk
        for at in (0, columns * rows * 2, columns * rows * 4 - 4096):
            file.seek(at)
            file.write(np.random.default_rng(at).normal(size=1024).astype("<f4").tobytes())
    index = helper.make_tensor("i", TensorProto.INT64, [3], [0, columns // 2 + 3, columns - 7])
    nodes = [
        helper.make_node("Gather", ["w", "i"], ["g"], axis=0),
        helper.make_node("MatMul", ["x", "g"], ["y"]),
    ]
    path = _onnx_model(tmp_path, nodes, initializer=[weights, index], shape=[1, 3], out=[1, 4])
    assert onnx.load(str(path), load_external_data=False).ByteSize() < 10_000
    with pytest.raises(ModelError) as caught:
        convert(path, to="tflite", output=tmp_path / "o.ekm")
    assert caught.value.code == "E_MODEL_TOO_LARGE"
    artifact = convert(path, to="onnx", recipe="float32", output=tmp_path / "big.ekm")
    manifest = artifact.manifest
    assert manifest.verification.state == "passed"
    assert [entry.file for entry in manifest.files] == ["weights.bin"]
    assert manifest.files[0].size_bytes == columns * rows * 4
    assert (artifact.path / "weights.bin").stat().st_size == columns * rows * 4
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ModelError) as caught:
        convert(path, to="onnx", output=tmp_path / "o.ekm")
    assert caught.value.code == "E_MODEL_EXTERNAL_DATA"
