"""The Core ML target with the real converter, its results evaluated from the package and compared with the source."""

from __future__ import annotations

import importlib.metadata
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("coremltools")
pytest.importorskip("torch")
pytest.importorskip("tensorflow")

import keras
import torch
from edgekit_ios.mil import MilModel
from edgekit_ios.target import CoreMlTarget

from edgekit.conversion.layout import pair
from edgekit.conversion.recipes import load_recipe
from edgekit.conversion.routes import ROUTES
from edgekit.conversion.sources.base import LoadedSource
from edgekit.conversion.targets.base import Made, Target
from edgekit.errors import InputError, ToolError
from edgekit.models.formats import detect_format
from edgekit.models.inspect import hash_folder
from tests.ios_export import nets

pytestmark = pytest.mark.heavy

TOLERANCE = {"float32": 1e-5, "float16": 2e-3}


def made(loaded: LoadedSource, recipe: str, folder: Path, layout: Any = "keep") -> Made:
    target = CoreMlTarget()
    return target.make(target.prepare(nets.request(loaded, folder, layout)), load_recipe(recipe), ())


def samples(loaded: LoadedSource) -> list[list[Any]]:
    rng = np.random.default_rng(0)
    return [
        [
            rng.integers(0, 50, s.shape)
            if s.dtype == "int64"
            else rng.standard_normal(s.shape).astype(np.float32)
            for s in loaded.signature.inputs
        ]
        for _ in range(2)
    ]


def worst_error(loaded: LoadedSource, result: Made) -> float:
    """Largest difference, over the largest output of the source."""
    model = CoreMlTarget().open(result.path, result.signature, "net")
    worst = 0.0
    for sample in samples(loaded):
        by_name = {s.name: v for s, v in zip(loaded.signature.inputs, sample, strict=True)}
        given = model.run([by_name[s.name].astype(s.dtype) for s in model.signature.inputs])
        ours = {s.name: v for s, v in zip(model.signature.outputs, given, strict=True)}
        for s, wanted in zip(loaded.signature.outputs, loaded.run(sample), strict=True):
            assert float(np.std(wanted)) > 1e-3
            worst = max(worst, float(np.max(np.abs(ours[s.name] - wanted)) / np.max(np.abs(wanted))))
    return worst


def test_it_is_a_target_and_registered_as_an_outsiders() -> None:
    """(B1.2)"""
    place = Path(__file__).parents[2] / "ios_export/pyproject.toml"
    points = tomllib.loads(place.read_text("utf-8"))["project"]["entry-points"]["edgekit.targets"]
    point = importlib.metadata.EntryPoint("coreml", points["coreml"], "edgekit.targets")
    assert point.load() is CoreMlTarget
    assert isinstance(CoreMlTarget(), Target)


@pytest.mark.parametrize("recipe", ["float32", "float16"])
@pytest.mark.parametrize("net", ["cnn", "lstm", "gru", "encoder"])
def test_torch_nets_agree_with_their_source(net: str, recipe: str, tmp_path: Path) -> None:
    """(B1-b1)"""
    loaded = nets.source(net)
    result = made(loaded, recipe, tmp_path / "work")
    assert detect_format(result.path) == "mlpackage"
    assert [s.name for s in result.signature.inputs] == [s.name for s in loaded.signature.inputs]
    assert {s.name for s in result.signature.outputs} == {s.name for s in loaded.signature.outputs}
    assert all(s.dtype == "float32" for s in result.signature.outputs)
    error = worst_error(loaded, result)
    assert error <= TOLERANCE[recipe]
    if recipe == "float16":
        assert error > 1e-6, "this was computed in float32"


def test_tokens_become_int32(tmp_path: Path) -> None:
    result = made(nets.source("encoder"), "float32", tmp_path / "work")
    assert result.signature.inputs[0].dtype == "int32"


def test_a_trace_is_told_with_the_reason(tmp_path: Path) -> None:
    notes = made(nets.source("lstm"), "float32", tmp_path / "work").notes
    assert any("trace" in note and "lstm" in note for note in notes)


@pytest.mark.parametrize("net", ["cnn", "encoder", "lstm"])
def test_same_inputs_give_the_same_bytes(net: str, tmp_path: Path) -> None:
    """(B1.5)"""
    packages = [made(nets.source(net), "float16", tmp_path / folder).path for folder in ("one", "two")]
    assert hash_folder(packages[0]) == hash_folder(packages[1])
    text = b"".join(file.read_bytes() for file in packages[0].rglob("*") if file.is_file())
    assert b"conversion_date" not in text
    assert str(tmp_path).encode() not in text


def test_names_that_are_no_identifiers_are_mapped_and_told(tmp_path: Path) -> None:
    loaded = nets.source("vector")
    result = made(loaded, "float32", tmp_path / "work")
    assert [(s.name, s.tensor) for s in result.signature.inputs] == [("in:0", "in_0"), ("in.0", "in_0_1")]
    assert [(s.name, s.tensor) for s in result.signature.outputs] == [("1st", "_1st"), ("out/2", "out_2")]
    assert "input 'in:0' is called 'in_0' in Core ML: names there are identifiers" in result.notes
    assert worst_error(loaded, result) <= 1e-6


def test_coremltools_itself_loads_what_was_written(tmp_path: Path) -> None:
    import coremltools as ct

    result = made(nets.source("cnn"), "float16", tmp_path / "work")
    spec = ct.models.MLModel(str(result.path), skip_model_load=True).get_spec()
    assert [feature.name for feature in spec.description.input] == ["image"]
    assert [feature.name for feature in spec.description.output] == ["scores"]
    from coremltools.converters.mil.frontend.milproto.load import load

    weights = result.path / "Data/com.apple.CoreML/weights"
    assert load(spec, spec.specificationVersion, str(weights)) is not None


def test_layout_nhwc(tmp_path: Path) -> None:
    loaded = nets.source("cnn")
    result = made(loaded, "float32", tmp_path / "work", "nhwc")
    assert result.signature.inputs[0].shape == (1, 28, 28, 3)
    sample = samples(loaded)[0]
    ours = MilModel(result.path).run([sample[0].transpose(0, 2, 3, 1)])
    np.testing.assert_allclose(ours[0], loaded.run(sample)[0], atol=1e-5)


def test_nothing_reaches_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made(nets.source("cnn"), "float32", tmp_path / "work")
    assert capfd.readouterr() == ("", "")


def keras_cnn() -> Any:
    keras.utils.set_random_seed(1)
    image = keras.Input((16, 12, 3), name="image")
    hidden = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(image)
    hidden = keras.layers.DepthwiseConv2D(3)(keras.layers.BatchNormalization()(hidden))
    hidden = keras.layers.GlobalAveragePooling2D()(keras.layers.MaxPooling2D(padding="same")(hidden))
    return keras.Model(image, keras.layers.Dense(5)(hidden))


@pytest.mark.parametrize(
    ("recipe", "layout"), [("float32", "keep"), ("float16", "keep"), ("float32", "nchw")]
)
def test_keras_convolutions_agree_with_their_source(recipe: str, layout: str, tmp_path: Path) -> None:
    loaded = nets.keras_source(keras_cnn())
    result = made(loaded, recipe, tmp_path / "work", layout)
    assert result.signature.inputs[0].name == "image"
    sample = samples(loaded)[0]
    given = [sample[0].transpose(0, 3, 1, 2)] if layout == "nchw" else sample
    ours, wanted = MilModel(result.path).run(given)[0], loaded.run(sample)[0]
    assert np.max(np.abs(ours - wanted)) <= TOLERANCE[recipe] * np.max(np.abs(wanted))


def test_keras_gelu_is_refused_in_the_words_of_coremltools(tmp_path: Path) -> None:
    """(B1-b1)"""
    x = keras.Input((8,), name="x")
    loaded = nets.keras_source(keras.Model(x, keras.layers.Dense(4, activation="gelu")(x)))
    with pytest.raises(
        ToolError, match="NotImplementedError: Conversion for TF op 'Erfc' not implemented"
    ) as caught:
        made(loaded, "float32", tmp_path / "work")
    assert caught.value.code == "E_CONVERTER"


@pytest.mark.parametrize("framework", ["onnx", "tflite"])
def test_no_path_quotes_what_coremltools_says(framework: Any, tmp_path: Path) -> None:
    """(B1-b1)"""
    import coremltools as ct

    loaded = nets.source("vector")
    other = LoadedSource(**{**vars(loaded), "framework": framework})
    with pytest.raises(InputError) as caught:
        CoreMlTarget().prepare(nets.request(other, tmp_path / "work"))
    assert caught.value.code == "E_NO_PATH"
    assert ROUTES["onnx", "coreml"].refusal in caught.value.message
    file = tmp_path / f"model.{framework}"
    file.write_bytes(b"model")
    with pytest.raises(ValueError) as said:
        ct.convert(str(file))
    assert str(said.value).startswith(ROUTES["onnx", "coreml"].refusal)


def test_a_trace_of_steps_names_every_operation(tmp_path: Path) -> None:
    """(B1.4)"""
    loaded = nets.source("cnn")
    model = MilModel(made(loaded, "float32", tmp_path / "work").path)
    sample = samples(loaded)[0]
    outputs, steps = model.run_traced(sample)
    np.testing.assert_array_equal(outputs[0], model.run(sample)[0])
    assert steps[-1].output == "scores"
    np.testing.assert_array_equal(steps[-1].value, outputs[0])
    assert [step.operator for step in steps].count("conv") == 3
    assert "const" not in {step.operator for step in steps}


class Twice(torch.nn.Module):
    """Gives the same value twice, or an input back."""

    def __init__(self, back: bool) -> None:
        super().__init__()
        self.back = back

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        doubled = x * 2
        return [doubled, x] if self.back else [doubled, doubled]


@pytest.mark.parametrize("back", [False, True])
def test_outputs_that_coremltools_does_not_keep_apart_are_refused(back: bool, tmp_path: Path) -> None:
    """(B1-b2) It merges them, or fails; neither becomes a model with other outputs than its source."""
    loaded = nets.torch_source(Twice(back), (torch.randn(2, 3),), ["x"], ["a", "b"])
    with pytest.raises(ToolError) as caught:
        made(loaded, "float32", tmp_path / "work")
    assert caught.value.code == "E_CONVERTER"


def test_dtypes_of_outputs_that_core_ml_lacks(tmp_path: Path) -> None:
    loaded = nets.torch_source(Sorted(), (torch.randn(2, 3),), ["x"], ["best", "positive"])
    result = made(loaded, "float16", tmp_path / "work")
    assert {(s.name, s.dtype) for s in result.signature.outputs} == {
        ("best", "int32"),
        ("positive", "float32"),
    }
    changed = pair(loaded.signature, result.signature, "keep").changed
    assert {(b.name, b.source_dtype, b.dtype) for b in changed} == {
        ("best", "int64", "int32"),
        ("positive", "bool", "float32"),
    }


class Sorted(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [x.argmax(-1), x > 0]
