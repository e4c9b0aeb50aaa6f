"""Bias correction: known answers, held-out samples, and a quantizer that shifts what it makes (B2.5, B2-b3)."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.conversion.hosts.tflite import TfliteHost
from edgekit.conversion.layers import probes_for
from edgekit.conversion.layers.quantized_measure import channel_shift
from edgekit.conversion.recipes import Recipe
from edgekit.conversion.rescue.bias import bias_corrected, corrected
from edgekit.conversion.targets.base import Made, Prepared, Stream
from edgekit.conversion.targets.tflite import TfliteTarget
from edgekit.conversion.targets.tflite_file import code_of, constant_of, listed, packed, unpacked
from edgekit.errors import VerificationError
from edgekit.models.inspect import inspect_tflite
from tests.conversion.convert import convert
from tests.conversion.models import DIGITS

pytest.importorskip("ai_edge_quantizer.quantizer")
MODULE = import_module("edgekit.conversion.convert")  # the package's attribute of that name is the function
FLOAT = DIGITS / "digits.tflite"
IMAGES = np.load(DIGITS / "calibration.npz")["image"].astype(np.float32)
Array = np.ndarray[Any, Any]


def test_known_answers() -> None:
    """Half a step more is rounded to even; what does not fit into 32 bits ends there."""
    bias = np.array([100, -100, 7, 2**31 - 5], np.int32)
    steps = np.array([0.5, 0.25, 1.0, 1.0])
    found = corrected(bias, steps, np.array([1.0, -1.0, 0.4, -1e6]))
    assert found.tolist() == [98, -96, 7, 2**31 - 1]
    assert found.dtype == np.int32


def test_a_mean_that_chance_gives_is_no_shift() -> None:
    """Behind a ReLU only what is above zero in both counts; too few values, and means within two standard errors, do not."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(100, 3))
    noise = rng.normal(size=(100, 3))
    noise -= noise.mean(axis=0)
    found = channel_shift([x], [x + noise + np.array([0.0, 1.0, -1.0])])
    assert found is not None
    assert found[0] == 0
    np.testing.assert_allclose(found[1:], [1.0, -1.0])
    active = channel_shift([np.maximum(x, 0)], [np.maximum(x - 0.1, 0)])
    np.testing.assert_allclose(active, -0.1)
    assert channel_shift([x[:4]], [x[:4] + 1]).tolist() == [0, 0, 0]  # type: ignore[union-attr]
    assert channel_shift([x], [x[:50]]) is None


def shifted(steps: int) -> Callable[[bytes], bytes]:
    """A quantized file whose biases are off: what a quantizer leaves that rounds to one side only."""

    def change(data: bytes) -> bytes:
        model = unpacked(data)
        graph = model.subgraphs[0]
        for operator in graph.operators:
            ins = listed(operator.inputs)
            if code_of(model, operator) not in (3, 9) or len(ins) < 3:
                continue
            tensor, made = graph.tensors[ins[2]], graph.tensors[listed(operator.outputs)[0]]
            bias = np.array(constant_of(model, tensor)).view("<i4")
            bias += np.rint(
                steps * made.quantization.scale[0] / np.array(listed(tensor.quantization.scale))
            ).astype("i4")
            model.buffers[tensor.buffer].data = bias.view(np.uint8)
        return packed(model, len(data))

    return change


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("bias")
    made = convert(
        FLOAT, recipe="int8-static", calibration=DIGITS / "calibration.npz", output=folder / "o.ekm"
    )
    return made.model_path.read_bytes()


def error(data: bytes) -> float:
    """Mean squared error of the logits on 32 samples that no correction has seen."""
    hosts = [
        TfliteHost(one, signature, "test")
        for one in (FLOAT.read_bytes(), data)
        if (signature := inspect_tflite(one, "test").signature) is not None
    ]
    pairs = [[host.run([image[None]])[0] for host in hosts] for image in IMAGES[100:132]]
    return float(np.mean([(a - b) ** 2 for a, b in pairs]))


def corrected_file(data: bytes, folder: Path) -> tuple[bytes, int]:
    (folder / "q.tflite").write_bytes(data)
    probes = probes_for("tflite", FLOAT, folder / "q.tflite")
    assert probes is not None
    return bias_corrected(data, *probes, [[image[None]] for image in IMAGES[:32]])


def test_it_helps_on_samples_that_it_has_not_seen(quantized: bytes, tmp_path: Path) -> None:
    found, count = corrected_file(quantized, tmp_path)
    assert count == 4
    assert error(found) < error(quantized)


def test_a_shift_is_taken_back(quantized: bytes, tmp_path: Path) -> None:
    damaged = shifted(12)(quantized)
    found, _ = corrected_file(damaged, tmp_path)
    assert error(damaged) > 20 * error(quantized)
    assert error(found) < 0.1 * error(damaged)


def test_a_shared_bias_is_left_alone(quantized: bytes, tmp_path: Path) -> None:
    model = unpacked(quantized)
    graph = model.subgraphs[0]
    copy = graph.tensors[listed(graph.operators[1].inputs)[2]]
    graph.tensors.append(copy)  # another tensor with the same bytes
    _, count = corrected_file(packed(model, len(quantized)), tmp_path)
    assert count == 3


class Shifting(TfliteTarget):
    """The real target, whose real file has its biases shifted behind its back, by the same steps each time."""

    def make(self, prepared: Prepared, recipe: Recipe, calibration: Stream) -> Made:
        made = super().make(prepared, recipe, calibration)
        made.path.write_bytes(shifted(60)(made.path.read_bytes()))
        return made


def test_the_rescue_uses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODULE, "find_target", lambda profile, to: Shifting())
    wishes: dict[str, Any] = {
        "recipe": "int8-static",
        "calibration": DIGITS / "calibration.npz",
        "evaluation": DIGITS / "evaluation.npz",
        "output": tmp_path / "o.ekm",
    }
    with pytest.raises(VerificationError):
        convert(FLOAT, **wishes)
    made = convert(FLOAT, rescue=True, **wishes).manifest
    assert made.verification.state == "passed"
    assert any("bias correction of 4 operators" in note for note in made.notes)
