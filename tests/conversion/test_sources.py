"""Keras and PyTorch sources: converted, and compared with what their own framework computes (A7)."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import EdgekitError, ModelError
from edgekit.models import Artifact, detect_format
from tests.conversion.convert import convert

pytest.importorskip("ai_edge_litert.interpreter")

KERAS_NET = """
import os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras, numpy as np
keras.utils.set_random_seed(1)
image, extra = keras.Input((12, 12, 3), name="image"), keras.Input((4,), name="extra")
x = keras.layers.Conv2D(16, 3, activation="relu")(image)
x = keras.layers.BatchNormalization()(x)
x = keras.layers.Concatenate()([keras.layers.Flatten()(x), extra])
second, first = keras.layers.Dense(5, name="zz")(x), keras.layers.Dense(3, name="aa")(x)
net = keras.Model([image, extra], [second, first])
net.save("net.keras"); net.save("net.h5"); net.export("folder")
rng = np.random.default_rng(7)
given = {"image": rng.random((6, 12, 12, 3), dtype=np.float32), "extra": rng.random((6, 4), dtype=np.float32)}
second, first = net.predict([given["image"], given["extra"]], verbose=0)
np.savez("data.npz", **given); np.savez("expected.npz", zz=second, aa=first)
"""

TORCH_NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(50, 24)
        self.conv = torch.nn.Conv2d(3, 16, 3)
        self.full = torch.nn.Linear(16 * 6 * 6 + 24, 10)
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, image, token):
        h = torch.relu(self.conv(image)).flatten(1)
        return self.full(self.drop(torch.cat([h, self.embed(token)], 1))), h.mean(1, keepdim=True) * torch.ones(1, 4)

def make():
    torch.manual_seed(3)
    return Net(), (torch.rand(1, 3, 8, 8), torch.tensor([7]))

def wrong_type():
    return 3, ()

def broken():
    raise RuntimeError("the disk of the weights is not mounted")
"""


def _make(folder: Path, name: str, content: str, run: str) -> Path:
    (folder / name).write_text(content)
    program = [sys.executable, "-c", run]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    subprocess.run(program, cwd=folder, env=environment, check=True, timeout=240, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def keras_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("keras")
    return _make(tmp_path_factory.mktemp("keras"), "make.py", KERAS_NET, "import make")


@pytest.fixture(scope="module")
def torch_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("litert_torch")
    export = (
        "import torch, edgekit_test_nets as n; net, given = n.make()\n"
        "torch.export.save(torch.export.export(net.eval(), given), 'net.pt2')\n"
        "torch.jit.trace(net, given).save('script.pt'); torch.save(net.state_dict(), 'weights.pt')"
    )
    return _make(tmp_path_factory.mktemp("torch"), "edgekit_test_nets.py", TORCH_NET, export)


def _outputs(artifact: Artifact, samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(artifact.model_path)).get_signature_runner()
    return [runner(**sample) for sample in samples]


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("file", "kind"), [("net.keras", "keras"), ("net.h5", "h5"), ("folder", "saved_model")]
)
def test_keras(keras_files: Path, tmp_path: Path, file: str, kind: str) -> None:
    assert detect_format(keras_files / file) == kind
    artifact = convert(
        keras_files / file, recipe="float32", evaluation=keras_files / "data.npz", output=tmp_path / "o.ekm"
    )
    manifest = artifact.manifest
    assert manifest.source.format == kind
    assert {spec.name: spec.shape for spec in manifest.signature.inputs} == {
        "image": (1, 12, 12, 3),
        "extra": (1, 4),
    }
    assert manifest.verification.state == "passed"
    assert manifest.verification.samples == 6
    data, expected = np.load(keras_files / "data.npz"), np.load(keras_files / "expected.npz")
    found = _outputs(artifact, [{name: data[name][i : i + 1] for name in data.files} for i in range(6)])
    names = {"zz": 5, "aa": 3}
    for index, outputs in enumerate(found):
        by_size = {value.size: value for value in outputs.values()}
        for name, size in names.items():
            np.testing.assert_allclose(by_size[size][0], expected[name][index], atol=1e-5)


@pytest.mark.heavy
def test_keras_quantized(keras_files: Path, tmp_path: Path) -> None:
    data = keras_files / "data.npz"
    artifact = convert(
        keras_files / "net.keras", recipe="int8-static", calibration=data, output=tmp_path / "o.ekm"
    )
    assert artifact.manifest.verification.state == "passed"
    assert artifact.manifest.quantization is not None
    assert artifact.manifest.quantization.kind == "int8-static"
    assert artifact.manifest.tools["keras"]


TF_LITE_INT8 = """
import os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras, numpy as np, tensorflow as tf
net, data = keras.models.load_model("net.keras"), np.load("data.npz")
fixed_in = [keras.Input(batch_shape=(1, *t.shape[1:]), name=t.name) for t in net.inputs]
converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(fixed_in, net(fixed_in)))
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: (
    {"image": data["image"][i : i + 1], "extra": data["extra"][i : i + 1]} for i in range(6)
)
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
open("reference.tflite", "wb").write(converter.convert())
"""


@pytest.mark.heavy
def test_static_is_as_exact_as_tensorflows_own_quantizer(keras_files: Path, tmp_path: Path) -> None:
    """tf.lite's quantizer, which needs the Keras model, is the reference for the one that edgekit uses."""
    _make(keras_files, "reference.py", TF_LITE_INT8, "import reference")
    from ai_edge_litert.interpreter import Interpreter

    data, expected = np.load(keras_files / "data.npz"), np.load(keras_files / "expected.npz")
    ours = convert(
        keras_files / "net.keras",
        recipe="int8-static",
        calibration=keras_files / "data.npz",
        output=tmp_path / "o.ekm",
    ).model_path

    def rms_error(path: Path) -> float:
        runner = Interpreter(str(path)).get_signature_runner()
        squares = []
        for i in range(6):
            for value in runner(image=data["image"][i : i + 1], extra=data["extra"][i : i + 1]).values():
                name = {5: "zz", 3: "aa"}[value.size]
                squares.append(((value[0] - expected[name][i]) ** 2).sum())
        return float(np.sqrt(np.sum(squares) / (6 * 8)))

    reference = rms_error(keras_files / "reference.tflite")
    assert 0 < rms_error(ours) < 1.5 * reference


@pytest.mark.heavy
@pytest.mark.parametrize("content", [b"\x89HDF\r\n\x1a\n" + b"\0" * 500, b"\x89HDF\r\n\x1a\n"])
def test_a_damaged_h5(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("keras")
    path = tmp_path / "m.h5"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        convert(path, output=tmp_path / "o.ekm")
    assert caught.value.code == "E_MODEL_LOAD"


@pytest.mark.heavy
def test_damaged_keras_and_saved_model(keras_files: Path, tmp_path: Path) -> None:
    whole = (keras_files / "net.keras").read_bytes()
    cut = tmp_path / "cut.keras"
    cut.write_bytes(whole[: len(whole) // 2])
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"nothing of the kind")
    for path, code in ((cut, "E_MODEL_TRUNCATED"), (folder, "E_MODEL_CORRUPT")):
        with pytest.raises(ModelError) as caught:
            convert(path, output=tmp_path / "o.ekm")
        assert caught.value.code == code


@pytest.mark.heavy
@pytest.mark.parametrize("way", ["net.pt2", "edgekit_test_nets:make"])
def test_torch(torch_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.chdir(torch_files)
    artifact = convert(way, recipe="float32", trust=True, output=tmp_path / "o.ekm")
    manifest = artifact.manifest
    assert manifest.verification.state == "passed"
    assert manifest.verification.relative_error is not None
    assert manifest.verification.relative_error < 1e-5
    assert manifest.source.format == ("pt2" if way.endswith("pt2") else "torch")
    assert [spec.dtype for spec in manifest.signature.inputs] in (["float32", "int32"], ["float32", "int64"])
    quantized = convert(way, recipe="int8-dynamic", trust=True, output=tmp_path / "q.ekm")
    assert quantized.manifest.model.size_bytes < 0.5 * manifest.model.size_bytes
    assert quantized.manifest.source.sha256 == manifest.source.sha256


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("edgekit_test_nets:broken", "E_FACTORY"),
        ("edgekit_test_nets:wrong_type", "E_FACTORY"),
        ("edgekit_test_nets:absent", "E_FACTORY"),
        ("no_such_module:make", "E_FACTORY"),
        ("script.pt", "E_DYNAMIC_SHAPE"),
        ("weights.pt", "E_NO_SOURCE"),
    ],
)
def test_torch_refusals(
    torch_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, code: str
) -> None:
    monkeypatch.chdir(torch_files)
    with pytest.raises(EdgekitError) as caught:
        convert(source, trust=True, output=tmp_path / "o.ekm")
    assert (caught.value.code, caught.value.exit_code) == (code, 1)


@pytest.mark.heavy
@pytest.mark.parametrize("source", ["edgekit_test_nets:make", "script.pt"])
def test_code_does_not_run_without_trust(
    torch_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """(B1-b3) A factory and TorchScript are programs."""
    monkeypatch.chdir(torch_files)
    with pytest.raises(EdgekitError) as caught:
        convert(source, output=tmp_path / "o.ekm")
    assert (caught.value.code, caught.value.exit_code) == ("E_UNTRUSTED", 1)
    assert "--trust" in (caught.value.hint or "")


@pytest.mark.heavy
def test_a_damaged_pt2(torch_files: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.pt2"
    with zipfile.ZipFile(torch_files / "net.pt2") as good, zipfile.ZipFile(path, "w") as bad:
        for name in good.namelist():
            content = good.read(name)
            bad.writestr(name, content[: len(content) // 2] if name.endswith(".json") else content)
    with pytest.raises(ModelError) as caught:
        convert(path, output=tmp_path / "o.ekm")
    assert caught.value.code == "E_MODEL_CORRUPT"


def test_without_the_frameworks_it_is_a_missing_extra(tmp_path: Path) -> None:
    model = tmp_path / "m.keras"
    with zipfile.ZipFile(model, "w") as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.0.0"}')
        archive.writestr(
            "config.json",
            '{"module": "keras", "class_name": "Sequential", "config": {"layers": []}, "registered_name": null}',
        )
        archive.writestr("model.weights.h5", b"\x89HDF")
    program = (
        "import sys; sys.modules['tensorflow'] = sys.modules['torch'] = None\n"
        "from edgekit.api import convert\nfrom edgekit.errors import MissingExtra\n"
        "for source in sys.argv[1:]:\n"
        "    try: convert(source, trust=True, output='o.ekm')\n"
        "    except MissingExtra as error: print(error.exit_code, error.extra, error.message)"
    )
    command = [sys.executable, "-c", program, str(model), "package.module:factory"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [["8", "tensorflow"], ["8", "torch"]]
