"""Models that lose their accuracy in int8 and get it back (B2.5)."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgekit.conversion import ConvertOptions
from edgekit.conversion import convert as work
from edgekit.conversion.recipes import load_recipe
from edgekit.conversion.rescue import why_not
from edgekit.conversion.rescue.equalize import equalized
from edgekit.conversion.rescue.layers import eased, wider_scheme
from edgekit.conversion.rescue.links import find_links
from edgekit.conversion.targets.tflite_file import listed, packed, unpacked
from edgekit.errors import VerificationError
from edgekit.models.inspect import inspect_tflite
from edgekit.models.manifest import Manifest, RescueLatency
from edgekit.profiles.schema import RecipeSection
from tests.conversion.convert import convert
from tests.conversion.models import DIGITS, real_models
from tests.conversion.rescue.outliers import with_outliers

pytest.importorskip("ai_edge_quantizer.quantizer")


def rescue(data: bytes, folder: Path, *, on: bool = True) -> Manifest:
    path = folder / "m.tflite"
    path.write_bytes(data)
    return convert(
        path, recipe="int8-static", calibration=DIGITS / "calibration.npz", evaluation=DIGITS / "evaluation.npz",
        output=folder / "o.ekm", rescue=on,
    ).manifest  # fmt: skip


@pytest.fixture(scope="module")
def plain_bytes(tmp_path_factory: pytest.TempPathFactory) -> int:
    made = rescue((DIGITS / "digits.tflite").read_bytes(), tmp_path_factory.mktemp("plain"), on=False)
    return made.model.size_bytes


def test_equalization_brings_it_back_for_nothing(tmp_path: Path, plain_bytes: int) -> None:
    """Outlier channels between two convolutions: 10 % without, as good as the float model with; not a byte more."""
    data = with_outliers(0)
    with pytest.raises(VerificationError) as caught:
        rescue(data, tmp_path, on=False)
    assert caught.value.code == "E_ACCURACY_DROP"
    made = rescue(data, tmp_path)
    found = made.verification.accuracy
    assert made.verification.state == "passed"
    assert found is not None
    assert found.drop <= 0.005
    assert made.model.size_bytes <= 1.01 * plain_bytes
    (note,) = [note for note in made.notes if note.startswith("rescued from top1 0.1")]
    assert "cross-layer equalization of" in note
    assert "bytes became" in note


def test_where_channels_cannot_be_followed_layers_stay_float(tmp_path: Path, plain_bytes: int) -> None:
    """Behind a RESHAPE: what lies between those layers is float then, their weights stay int8."""
    made = rescue(with_outliers(1), tmp_path)
    found = made.verification.accuracy
    assert found is not None
    assert found.drop <= 0.005
    assert made.quantization is not None
    assert made.quantization.weights["int8"] > 100_000
    assert made.model.size_bytes <= 1.05 * plain_bytes
    assert any("operators compute in float, with int8 weights" in note for note in made.notes)


def test_what_passes_is_left_alone(tmp_path: Path) -> None:
    """--rescue changes nothing where nothing failed: the same bytes."""
    data = (DIGITS / "digits.tflite").read_bytes()
    made = [rescue(data, tmp_path, on=on) for on in (False, True)]
    assert made[0].model.sha256 == made[1].model.sha256
    assert made[0].notes == made[1].notes


def outlier_onnx(folder: Path, between: str = "Abs") -> Path:
    """Four layers, with one channel of 1000 times the others' size between the last two, in ONNX. `between`: what lies there; past
    an Abs no channel is followed."""
    onnx = pytest.importorskip("onnx")
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((16, 32)), rng.standard_normal((32, 8))
    first[:, 0] *= 1000
    second[0] /= 1000
    weights = [
        onnx.numpy_helper.from_array(values.astype(np.float32), name)
        for name, values in (
            *((name, rng.standard_normal((16, 16)) / 4) for name in ("u1", "u2")),
            *(("w1", first), ("w2", second)),
        )
    ]
    value, node = onnx.helper.make_tensor_value_info, onnx.helper.make_node
    graph = onnx.helper.make_graph(
        [
            node("MatMul", ["x", "u1"], ["p"]), node("Relu", ["p"], ["q"]), node("MatMul", ["q", "u2"], ["r"]),
            node("MatMul", ["r", "w1"], ["a"]), node(between, ["a"], ["b"]), node("MatMul", ["b", "w2"], ["y"]),
        ],
        "g", [value("x", 1, [1, 16])], [value("y", 1, [1, 8])], weights,
    )  # fmt: skip
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), str(folder / "m.onnx"))
    np.savez(folder / "c.npz", x=rng.standard_normal((50, 1, 16)).astype(np.float32))
    return folder / "m.onnx"


def test_onnx_operators_that_became_one_stay_float_together(tmp_path: Path) -> None:
    """MatMul, Add and Relu are one where they are quantized, known by what the Relu gives. With that alone in float all is rounded in
    front of it as before; and once each of the three was chosen for itself, so was all of the model, which is no int8."""
    onnx = pytest.importorskip("onnx")
    rng, factor = np.random.default_rng(0), 3000
    nodes, arrays, given = [], {}, "x"
    for number in range(4):
        weights, bias = rng.standard_normal((16, 16)) / 4, rng.standard_normal(16)
        if number < 3:
            weights[:, 0] *= factor
            bias[0] *= factor
        if number > 0:
            weights[0] /= factor
        arrays |= {f"w{number}": weights, f"b{number}": bias}
        nodes += [
            onnx.helper.make_node("MatMul", [given, f"w{number}"], [f"m{number}"]),
            onnx.helper.make_node("Add", [f"m{number}", f"b{number}"], [f"a{number}"]),
            onnx.helper.make_node("Relu", [f"a{number}"], [f"r{number}"]),
            onnx.helper.make_node("Abs", [f"r{number}"], [f"s{number}"]),  # no channel is followed past it
        ]
        given = f"s{number}"
    values = [onnx.helper.make_tensor_value_info(name, 1, [1, 5, 16]) for name in ("x", "a3")]
    tensors = [onnx.numpy_helper.from_array(v.astype(np.float32), name) for name, v in arrays.items()]
    graph = onnx.helper.make_graph(nodes[:-2], "m", values[:1], values[1:], tensors)
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), str(tmp_path / "m.onnx"))
    np.savez(tmp_path / "c.npz", x=rng.standard_normal((20, 1, 5, 16)).astype(np.float32))
    wishes = {"to": "onnx", "recipe": "int8-static", "calibration": tmp_path / "c.npz"}
    with pytest.raises(VerificationError):
        convert(tmp_path / "m.onnx", output=tmp_path / "no.ekm", **wishes)
    found = convert(tmp_path / "m.onnx", output=tmp_path / "yes.ekm", rescue=True, **wishes).manifest
    assert found.rescue is not None
    assert any("r1, a1, m1" in step for step in found.rescue.steps)


def test_onnx_equalization_brings_it_back_for_nothing(tmp_path: Path) -> None:
    """B2.5: outlier channels between two layers of an ONNX model: 3 dB without, as good as its kind with; the same bytes each time."""
    wishes = {"to": "onnx", "recipe": "int8-static", "calibration": tmp_path / "c.npz"}
    model = outlier_onnx(tmp_path, "Relu")
    with pytest.raises(VerificationError) as caught:
        convert(model, output=tmp_path / "o.ekm", **wishes)
    assert caught.value.code == "E_CONVERSION_MISMATCH"
    made = [convert(model, output=tmp_path / f"{n}.ekm", rescue=True, **wishes).manifest for n in range(2)]
    assert made[0].model.sha256 == made[1].model.sha256
    found, rescue = made[0].verification, made[0].rescue
    assert found.state == "passed"
    assert (found.snr_db or 0) > 30
    assert rescue is not None
    assert rescue.steps == (
        "cross-layer equalization of 3 groups of layers (float outputs bit for bit equal)",
    )
    assert rescue.size_bytes <= 1.01 * rescue.size_bytes_before
    (note,) = [note for note in made[0].notes if note.startswith("rescued from SNR ")]
    assert "bytes became" in note


def test_onnx_layers_stay_float(tmp_path: Path) -> None:
    """B2.5: the same for ONNX, whose worst nodes are left out of the quantizer's hands."""
    wishes = {"to": "onnx", "recipe": "int8-static", "calibration": tmp_path / "c.npz"}
    model = outlier_onnx(tmp_path)
    with pytest.raises(VerificationError) as caught:
        convert(model, output=tmp_path / "o.ekm", **wishes)
    assert caught.value.code == "E_CONVERSION_MISMATCH"
    made = convert(model, output=tmp_path / "o.ekm", rescue=True, **wishes).manifest
    assert made.verification.state == "passed"
    assert made.rescue is not None
    assert "operators stay float: " in made.rescue.steps[-1]
    assert any("% of the weights are integers now" in note for note in made.notes)
    assert made.rescue.latency is None, "no device, no price in time"
    assert made.model.size_bytes == made.rescue.size_bytes


def test_what_cannot_be_rescued_says_so(tmp_path: Path) -> None:
    """B2.5: where nothing brings it back the conversion fails as it does without, and is not silent about the rescue."""
    model = outlier_onnx(tmp_path)
    for rescue, said in ((True, True), (False, False)):
        with pytest.raises(VerificationError) as caught:
            convert(
                model, to="onnx", recipe="int4-blockwise", evaluation=tmp_path / "c.npz",
                output=tmp_path / "o.ekm", rescue=rescue,
            )  # fmt: skip
        assert ("nothing that --rescue tries passes" in caught.value.message) is said


def test_a_price_in_time_is_measured_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of another device is not taken from the cache; what was not measured is."""
    # Nothing of a run before this one is in it.
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / "m.tflite"
    path.write_bytes(with_outliers(0))
    asked = ConvertOptions(
        recipe="int8-static", calibration=DIGITS / "calibration.npz", evaluation=DIGITS / "evaluation.npz", rescue=True
    )  # fmt: skip
    weighed: list[tuple[int, int]] = []

    def weigh(before: Path, after: Path) -> RescueLatency:
        weighed.append((before.stat().st_size, after.stat().st_size))
        return RescueLatency(device="board", before_us=20.0, after_us=25.0, launches=3)

    cached = []
    for one in (weigh, weigh, None, None, weigh):
        done = work(path, options=asked, output=tmp_path / "o.ekm", weigh=one)
        found = done.artifact.manifest.rescue
        assert found is not None
        assert (found.latency is None) == (one is None)
        cached.append(done.cached)
    assert cached == [False, False, False, True, False]
    assert weighed == [(found.size_bytes_before, found.size_bytes)] * 3
    assert any("on board: 20 us became 25 (+25.0 %)" in note for note in done.artifact.manifest.notes)


@pytest.mark.parametrize(
    ("target", "says"), [("coreml", "not for coreml"), ("executorch", "not for executorch")]
)
def test_other_formats_are_refused_with_the_reason(target: str, says: str) -> None:
    """B2.5: what cannot be looked into here is not rescued, and the failure says so."""
    job: Any = SimpleNamespace(
        target=SimpleNamespace(format={"executorch": "pte"}.get(target, "mlpackage"), name=target)
    )
    result: Any = SimpleNamespace(recipe=load_recipe("int8-static"))
    assert why_not(job, result) == f"--rescue is for tflite and onnx, {says}"


class IntegersOnly:
    """What conversion needs of a profile whose runtime computes in 8 and 16 bits and not in float."""

    name, sha256, formats = "npu", "0" * 64, ("tflite",)

    def __init__(self) -> None:
        self.precisions = {"npu": ["int8", "int16"]}
        self.recipe = RecipeSection(prefer=("int8-static",), max_accuracy_drop=0.01)


def test_in_16_bits_where_the_profile_takes_no_float(tmp_path: Path) -> None:
    """B2.5: int16 in place of float: the weights keep 8 bits, nothing computes in float."""
    path = tmp_path / "m.tflite"
    path.write_bytes(with_outliers(1))
    made = convert(
        path, recipe="int8-static", calibration=DIGITS / "calibration.npz", evaluation=DIGITS / "evaluation.npz",
        output=tmp_path / "o.ekm", rescue=True, profile=IntegersOnly(),
    ).manifest  # fmt: skip
    assert made.rescue is not None
    assert "compute in 16 bits" in made.rescue.steps[-1]
    assert made.quantization is not None
    assert set(made.quantization.weights) == {"int8"}


@pytest.mark.parametrize(
    ("precisions", "scheme"),
    [({}, "float"), ({"litert": ["int8", "float32"]}, "float"), ({"npu": ["int8", "int16"]}, "int16x8"), ({"npu": ["int8"]}, "float")],
)  # fmt: skip
def test_what_the_worst_layers_become(precisions: dict[str, list[str]], scheme: str) -> None:
    profile = IntegersOnly()
    profile.precisions = precisions
    assert wider_scheme(profile, ("int8-static", "int16x8")) == scheme
    assert wider_scheme(None, ("int16x8",)) == wider_scheme(profile, ("int8-static",)) == "float"


def test_what_is_inconclusive_is_left_alone(tmp_path: Path) -> None:
    """Labels that do not fit the source prove nothing: there is nothing to bring back."""
    data = np.load(DIGITS / "evaluation.npz")
    path = tmp_path / "m.tflite"
    path.write_bytes((DIGITS / "digits.tflite").read_bytes())
    np.savez(tmp_path / "e.npz", image=data["image"][:64], labels=(data["labels"][:64] + 1) % 10)
    made = convert(
        path, recipe="float16", evaluation=tmp_path / "e.npz", output=tmp_path / "o.ekm", rescue=True
    )
    assert made.manifest.verification.state == "inconclusive"


def pairs(model: Any) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    return [(link.makers, link.readers) for link in find_links(model)]


class TestEqualized:
    def given(self, data: bytes) -> tuple[Any, list[list[Any]]]:
        images = np.load(DIGITS / "calibration.npz")["image"][:4].astype(np.float32)
        return inspect_tflite(data, "test").signature, [[image[None]] for image in images]

    def test_outputs_are_the_same_bit_for_bit(self) -> None:
        data = with_outliers(0)
        signature, samples = self.given(data)
        found = equalized(data, signature, samples)
        assert found is not None
        assert found.links == 2
        assert found.data != data

    def test_links(self) -> None:
        """Through pooling; not through a flattening, nor where something else reads what lies between."""
        model = unpacked((DIGITS / "digits.tflite").read_bytes())
        assert pairs(model) == [((0,), (2,)), ((5,), (6,))]
        graph = model.subgraphs[0]
        graph.outputs = [*listed(graph.outputs), listed(graph.operators[5].outputs)[0]]
        assert pairs(model) == [((0,), (2,))]

    @pytest.mark.parametrize("fused", [2, 3, 4])
    def test_an_activation_with_a_limit_is_no_link(self, fused: int) -> None:
        model = unpacked((DIGITS / "digits.tflite").read_bytes())
        model.subgraphs[0].operators[0].builtinOptions.fusedActivationFunction = fused
        again = unpacked(packed(model, 500_000))
        assert pairs(again) == [((5,), (6,))]

    def test_shared_weights_are_no_link(self) -> None:
        model = unpacked((DIGITS / "digits.tflite").read_bytes())
        graph = model.subgraphs[0]
        weights = graph.tensors[listed(graph.operators[2].inputs)[1]]
        graph.tensors[listed(graph.operators[6].inputs)[1]].buffer = weights.buffer
        assert find_links(model) == ()

    def test_a_real_model(self) -> None:
        """Skip connections and PReLU: links are few, and what is changed gives the same."""
        data = real_models()["mediapipe/iris_landmark"].read_bytes()
        signature = inspect_tflite(data, "iris").signature
        rng = np.random.default_rng(0)
        assert signature is not None
        found = equalized(data, signature, [[rng.random((1, 64, 64, 3), np.float32)] for _ in range(2)])
        assert found is None or found.links >= 1


def test_rules_for_layers_come_first() -> None:
    recipe = eased(load_recipe("int8-static"), ["a.b[c]"], "tflite", "int8-weight-only")
    assert recipe.rules[0].layer == r"^a\.b\[c\]$"
    assert recipe.scheme_of(recipe.rules[0]).activations.mode == "float"
    assert recipe.sha256 != load_recipe("int8-static").sha256
