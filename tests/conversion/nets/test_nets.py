"""The matrix's nets are what they claim: every file runs in its own framework, with outputs worth comparing (B1-b1)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conversion.nets import NETS, VOCABULARY, build

Array = np.ndarray[Any, Any]
Run = Callable[[Array], Array]
SHAPES = {"cnn": (1, 1, 28, 28), "mobilenet": (1, 3, 96, 96), "encoder": (1, 32), "lstm": (1, 20, 16)}
CLASSES = {"cnn": 10, "mobilenet": 10, "encoder": 10, "lstm": 8}
SAMPLES = 8
LEAST_SPREAD = 0.2
"""Standard deviation of the outputs. A verification calls an output degenerate below 1e-3."""

pytestmark = pytest.mark.heavy


def samples(net: str, dtype: str = "int64") -> list[Array]:
    random = np.random.default_rng(5)
    if net == "encoder":
        return [random.integers(0, VOCABULARY, SHAPES[net]).astype(dtype) for _ in range(SAMPLES)]
    if net == "lstm":
        return [random.standard_normal(SHAPES[net], np.float32) for _ in range(SAMPLES)]
    return [random.random(SHAPES[net], np.float32) for _ in range(SAMPLES)]


def check_healthy(outputs: Array, net: str) -> None:
    assert outputs.shape == (SAMPLES, 1, CLASSES[net])
    assert np.isfinite(outputs).all()
    assert LEAST_SPREAD < outputs.std() < 10, "the outputs of all samples together"
    assert outputs.std(axis=0).mean() > 0.05, "one output over the samples: it depends on the input"
    assert outputs.std(axis=-1).min() > 0.05, "the outputs of one sample"


def run_torch(path: Path) -> Run:
    torch = pytest.importorskip("torch")
    module = torch.export.load(path).module()

    def run(value: Array) -> Array:
        with torch.no_grad():
            return np.asarray(module(torch.from_numpy(value)))

    return run


def run_onnx(path: Path) -> Run:
    session = pytest.importorskip("onnxruntime").InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return lambda value: np.asarray(session.run(None, {given.name: value})[0])


def run_tflite(path: Path) -> Run:
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(str(path))
    interpreter.allocate_tensors()
    (given,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(value: Array) -> Array:
        interpreter.set_tensor(given["index"], value.astype(given["dtype"]))
        interpreter.invoke()
        return np.array(interpreter.get_tensor(result["index"]))

    return run


RUNNERS = {"torch": run_torch, "onnx": run_onnx, "tflite": run_tflite}


@pytest.mark.parametrize("source_format", sorted(RUNNERS))
@pytest.mark.parametrize("net", NETS)
def test_b1_b1_file_runs_like_the_module(net: str, source_format: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from tests.conversion.nets import torch_nets

    module, (example,) = getattr(torch_nets, net)()
    assert not module.training
    assert tuple(example.shape) == SHAPES[net]
    run = RUNNERS[source_format](build(net, source_format, tmp_path))
    given = samples(net)
    outputs = np.stack([run(value) for value in given])
    check_healthy(outputs, net)
    with torch.no_grad():
        wanted = np.stack([np.asarray(module(torch.from_numpy(value))) for value in given])
    assert np.abs(outputs - wanted).max() <= 1e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("net", NETS)
def test_b1_b1_keras_file_runs(net: str, tmp_path: Path) -> None:
    pytest.importorskip("keras")
    path = build(net, "keras", tmp_path)
    # in a process of its own: TensorFlow beside PyTorch takes more memory than the two alone
    given = samples(net, "int32")
    if net in ("cnn", "mobilenet"):
        given = [value.transpose(0, 2, 3, 1) for value in given]
    np.savez(tmp_path / "given.npz", *given)
    code = (
        "import sys, numpy, keras\n"
        "model = keras.models.load_model(sys.argv[1])\n"
        "given = numpy.load(sys.argv[2])\n"
        "numpy.save(sys.argv[3], numpy.stack([numpy.asarray(model(given[name])) for name in given.files]))\n"
    )
    argv = [sys.executable, "-c", code, str(path), str(tmp_path / "given.npz"), str(tmp_path / "outputs.npy")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    check_healthy(np.load(tmp_path / "outputs.npy"), net)


def test_mobilenet_has_statistics_of_its_own() -> None:
    """A converter that folds batch norms with wrong statistics must show."""
    torch = pytest.importorskip("torch")
    from tests.conversion.nets import torch_nets

    module, _ = torch_nets.mobilenet()
    norms = [part for part in module.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    assert len(norms) > 15
    for norm in norms:
        assert norm.running_mean.abs().max() > 0.01
        assert (norm.running_var - 1).abs().max() > 0.01


def test_factories_give_the_same_twice_and_leave_the_random_state() -> None:
    torch = pytest.importorskip("torch")
    from tests.conversion.nets import torch_nets

    before = torch.random.get_rng_state()
    for net in NETS:
        (one, given), (other, _) = getattr(torch_nets, net)(), getattr(torch_nets, net)()
        assert torch.equal(one(*given), other(*given))
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("source_format", ["torch", "onnx"])
def test_a_file_is_made_once(source_format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build("lstm", source_format, tmp_path / "first")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("made again"))
    assert build("lstm", source_format, tmp_path / "second").read_bytes() == first.read_bytes()
