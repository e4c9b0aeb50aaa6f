"""convert() end to end on the demo model: every recipe, its proof, every refusal (A7, A10)."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.conversion.convert import output_folder, safe_name
from edgekit.conversion.targets.operator_codes import has_old_codes, with_new_codes
from edgekit.errors import EdgekitError, InputError, ModelError, VerificationError
from edgekit.events import Event
from edgekit.models import Artifact, open_model
from tests.conversion import build
from tests.conversion.convert import convert
from tests.conversion.models import DIGITS

MODEL, CALIBRATION, EVALUATION = (DIGITS / n for n in ("digits.tflite", "calibration.npz", "evaluation.npz"))
interpreter = pytest.importorskip("ai_edge_litert.interpreter")


@dataclass(frozen=True)
class Wish:
    prefer: tuple[str, ...] = ("int8-static", "int8-dynamic", "float32")
    max_accuracy_drop: float | None = 0.01


@dataclass(frozen=True)
class Profile:
    name: str = "board"
    sha256: str = "ab" * 32
    formats: tuple[str, ...] = ("tflite",)
    precisions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    recipe: Wish = Wish()


def logits_of(path: Path) -> np.ndarray[Any, Any]:
    """All evaluation digits through a model, with nothing of edgekit: [2000, 10]."""
    engine = interpreter.Interpreter(str(path), num_threads=1)
    engine.allocate_tensors()
    (given,), (wanted,) = engine.get_input_details(), engine.get_output_details()
    found = []
    for image in np.load(EVALUATION)["image"]:
        engine.set_tensor(given["index"], image[None].astype(np.float32))
        engine.invoke()
        found.append(engine.get_tensor(wanted["index"])[0])
    return np.array(found)


RECIPES = [
    ("float32", "float32", "float32", 1.0, 1.0),
    ("float16", "float16", "float16", 0.49, 0.53),
    ("int8-dynamic", "int8-dynamic", "int8", 0.24, 0.29),
    ("int8-static", "int8-static", "int8", 0.24, 0.29),
]


@pytest.mark.parametrize(("recipe", "kind", "dtype", "least", "most"), RECIPES)
def test_every_recipe(tmp_path: Path, recipe: str, kind: str, dtype: str, least: float, most: float) -> None:
    heard: list[Event] = []
    artifact = convert(
        MODEL,
        profile=Profile(),
        recipe=recipe,
        calibration=CALIBRATION,
        evaluation=EVALUATION,
        output=tmp_path / "out.ekm",
        sink=heard.append,
    )
    assert Artifact.load(artifact.path) == artifact
    info, manifest = open_model(artifact.model_path), artifact.manifest
    assert info.quantization is not None
    assert info.quantization.kind == kind
    assert info.quantization.weights[dtype] > 100_000
    assert least <= info.size_bytes / MODEL.stat().st_size <= most
    assert (manifest.recipe, manifest.name, manifest.format) == (recipe, "digits", "tflite")
    assert manifest.model.sha256 == info.sha256
    assert manifest.source.sha256 == open_model(MODEL).sha256
    assert manifest.tools["ai-edge-litert"]
    found = manifest.verification
    assert (found.state, found.inputs, found.samples) == ("passed", "evaluation", 2000)

    # What the manifest claims, worked out again without edgekit.
    before, after = logits_of(MODEL).astype(np.float64), logits_of(artifact.model_path).astype(np.float64)
    labels = np.load(EVALUATION)["labels"]
    assert found.accuracy is not None
    assert found.accuracy.source_value == (before.argmax(1) == labels).mean() >= 0.98
    assert found.accuracy.value == (after.argmax(1) == labels).mean() >= 0.975
    assert found.accuracy.flips == found.flips == (before.argmax(1) != after.argmax(1)).sum()
    assert found.max_abs_error == pytest.approx(np.abs(after - before).max(), rel=1e-6)
    assert found.rms_error == pytest.approx(np.sqrt(((after - before) ** 2).mean()), rel=1e-6)
    if recipe == "float32":
        assert artifact.model_path.read_bytes() == MODEL.read_bytes()
        assert found.snr_db is None
    else:
        assert found.snr_db == pytest.approx(
            10 * np.log10((before**2).sum() / ((after - before) ** 2).sum()), abs=1e-6
        )
    assert {event.task for event in heard} >= {"convert", "verify"}


def test_static_calibration_does_not_clip(tmp_path: Path) -> None:
    """The quantizer's default moving average loses the largest activations; true min/max keeps the SNR high."""
    artifact = convert(
        MODEL, recipe="int8-static", calibration=CALIBRATION, evaluation=EVALUATION, output=tmp_path / "a.ekm"
    )
    snr_db = artifact.manifest.verification.snr_db
    assert snr_db is not None
    assert snr_db > 30


def test_golden_samples_are_what_the_converted_model_gives(tmp_path: Path) -> None:
    artifact = convert(MODEL, recipe="int8-dynamic", evaluation=EVALUATION, output=tmp_path / "a.ekm")
    golden = artifact.manifest.golden
    assert golden is not None
    assert golden.samples == 4
    assert artifact.golden_inputs_path is not None
    assert artifact.golden_outputs_path is not None
    inputs = np.fromfile(artifact.golden_inputs_path, dtype="<f4").reshape(4, 1, 28, 28, 1)
    outputs = np.fromfile(artifact.golden_outputs_path, dtype="<f4").reshape(4, 1, 10)
    images = np.load(EVALUATION)["image"]
    assert np.array_equal(inputs[:, 0], images[[0, 500, 1000, 1500]].astype(np.float32))
    engine = interpreter.Interpreter(str(artifact.model_path), num_threads=1)
    engine.allocate_tensors()
    for given, expected in zip(inputs, outputs, strict=True):
        engine.set_tensor(engine.get_input_details()[0]["index"], given)
        engine.invoke()
        assert np.array_equal(engine.get_tensor(engine.get_output_details()[0]["index"]), expected)


@pytest.mark.parametrize("recipe", ["float16", "int8-static"])
def test_same_inputs_same_bytes(tmp_path: Path, recipe: str) -> None:
    made = [
        convert(MODEL, recipe=recipe, calibration=CALIBRATION, output=tmp_path / folder / "m.ekm")
        for folder in ("one", "two")
    ]
    names = sorted(str(p.relative_to(made[0].path)) for p in made[0].path.rglob("*") if p.is_file())
    assert names == ["golden/inputs.bin", "golden/outputs.bin", "manifest.json", "model.tflite"]
    for name in names:
        assert (made[0].path / name).read_bytes() == (made[1].path / name).read_bytes()
    assert str(tmp_path).encode() not in (made[0].path / "manifest.json").read_bytes()


def test_the_profile_chooses_and_says_why(tmp_path: Path) -> None:
    with_data = convert(MODEL, profile=Profile(), calibration=CALIBRATION, output=tmp_path / "a.ekm")
    without = convert(MODEL, profile=Profile(), output=tmp_path / "b.ekm")
    assert (with_data.manifest.recipe, without.manifest.recipe) == ("int8-static", "int8-dynamic")
    assert any(
        "not int8-static: int8-static needs calibration data" in note for note in without.manifest.notes
    )
    assert with_data.manifest.profile is not None
    assert with_data.manifest.profile.sha256 == "ab" * 32
    assert with_data.manifest.calibration is not None
    assert with_data.manifest.calibration.samples == 200
    assert without.manifest.verification.inputs == "generated"
    assert with_data.manifest.verification.inputs == "calibration"


def test_accuracy_that_falls_too_far_is_refused(tmp_path: Path) -> None:
    """Calibrated on almost black images, the static model clips real digits: the profile's limit stops it (A7)."""
    dark = tmp_path / "dark.npz"
    np.savez_compressed(dark, image=np.load(CALIBRATION)["image"] // 64)
    output = tmp_path / "out.ekm"
    with pytest.raises(VerificationError) as caught:
        convert(
            MODEL,
            profile=Profile(),
            recipe="int8-static",
            calibration=dark,
            evaluation=EVALUATION,
            output=output,
        )
    assert (caught.value.code, caught.value.exit_code) == ("E_ACCURACY_DROP", 7)
    assert "accuracy fell from 0.98" in caught.value.message
    assert not output.exists()
    tolerant = Profile(recipe=Wish(max_accuracy_drop=1.0))
    taken = convert(
        MODEL, profile=tolerant, recipe="int8-static", calibration=dark, evaluation=EVALUATION, output=output
    )
    accuracy = taken.manifest.verification.accuracy
    assert accuracy is not None
    assert accuracy.drop > 0.01
    assert accuracy.max_drop == 1.0


@pytest.mark.parametrize(
    ("make", "recipe"),
    [(build.adder, "float16"), (build.adder, "int8-dynamic"), (build.depthwise_only, "int8-dynamic")],
)
def test_nothing_was_quantized_is_an_error(tmp_path: Path, make: Any, recipe: str) -> None:
    """The quantizer reports success on these; the tensor types say otherwise. Depthwise is left out on purpose."""
    path = tmp_path / "m.tflite"
    path.write_bytes(make())
    with pytest.raises(VerificationError) as caught:
        convert(path, recipe=recipe, output=tmp_path / "o.ekm")
    assert (caught.value.code, caught.value.exit_code) == ("E_NOTHING_QUANTIZED", 7)
    automatic = convert(path, output=tmp_path / "auto.ekm")
    assert automatic.manifest.recipe == "float32"
    assert any("nothing was quantized" in note for note in automatic.manifest.notes)


def test_outputs_that_prove_nothing_are_inconclusive(tmp_path: Path) -> None:
    path = tmp_path / "zero.tflite"
    path.write_bytes(build.dense(np.zeros((16, 64)), bias=2.0))
    found = convert(path, recipe="float32", output=tmp_path / "o.ekm").manifest.verification
    assert found.state == "inconclusive"
    assert found.reasons == ("output 'y': every value is 2",)


def test_a_batch_that_is_not_fixed_becomes_one(tmp_path: Path) -> None:
    path = tmp_path / "dyn.tflite"
    path.write_bytes(build.dense(np.random.default_rng(1).normal(size=(32, 64)), batch=None))
    signature = open_model(path).signature
    assert signature is not None
    assert signature.inputs[0].shape == (-1, 64)
    artifact = convert(path, recipe="int8-dynamic", output=tmp_path / "o.ekm")
    assert artifact.manifest.verification.state == "passed"
    assert artifact.manifest.golden is not None
    assert artifact.manifest.golden.inputs.size_bytes == 4 * 64 * 4


def test_static_without_a_signature(tmp_path: Path) -> None:
    """(B2.3) One is added to what is quantized; float32 keeps the file's bytes."""
    path = tmp_path / "m.tflite"
    weights = np.random.default_rng(1).normal(size=(32, 64))
    path.write_bytes(build.dense(weights, signature=False))
    data = tmp_path / "c.npz"
    np.savez(data, x=np.random.default_rng(2).normal(size=(20, 64)).astype(np.float32))
    made = convert(path, recipe="int8-static", calibration=data, output=tmp_path / "o.ekm").manifest
    assert made.signature.key == "serving_default"
    assert made.verification.state == "passed"
    assert convert(path, calibration=data, output=tmp_path / "o.ekm").manifest.recipe == "int8-static"
    plain = convert(path, recipe="float32", output=tmp_path / "o.ekm")
    assert plain.model_path.read_bytes() == path.read_bytes()


def test_an_int8_model_is_left_alone_and_not_quantized_again(tmp_path: Path) -> None:
    first = convert(MODEL, recipe="int8-static", calibration=CALIBRATION, output=tmp_path / "a.ekm")
    second = convert(first.model_path, output=tmp_path / "b.ekm")
    assert second.manifest.recipe == "as-is"
    assert second.model_path.read_bytes() == first.model_path.read_bytes()
    for recipe in ("float32", "float16", "int8-dynamic"):
        with pytest.raises(ModelError) as caught:
            convert(first.model_path, recipe=recipe, output=tmp_path / "c.ekm")
        assert caught.value.code == "E_ALREADY_QUANTIZED"


def test_an_operator_that_litert_lacks(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(build.with_custom_operator())
    assert open_model(path).custom_operators == ("FlyToTheMoon",)
    with pytest.raises(ModelError) as caught:
        convert(path, output=tmp_path / "o.ekm")
    assert caught.value.code == "E_MODEL_LOAD"
    assert "FlyToTheMoon" in caught.value.message


def test_a_tensor_name_that_is_not_text(tmp_path: Path) -> None:
    """Found by flipping bytes: edgekit reads the model, LiteRT's Python side does not."""
    path = tmp_path / "m.tflite"
    path.write_bytes(
        MODEL.read_bytes().replace(b"StatefulPartitionedCall_1:0", b"StatefulPart\xeetionedCall_1:0")
    )
    assert open_model(path).parameters == 108_618
    with pytest.raises(ModelError) as caught:
        convert(path, recipe="float32", output=tmp_path / "o.ekm")
    assert caught.value.code == "E_MODEL_LOAD"


def test_old_operator_codes_are_renewed_before_quantizing() -> None:
    """A file written before 2020 keeps operator numbers in one byte; the quantizer would read them all as ADD."""
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    import flatbuffers

    modern = build.dense(np.random.default_rng(1).normal(size=(32, 64)))
    assert not has_old_codes(modern)
    assert with_new_codes(modern) is modern
    model = schema.ModelT.InitFromPackedBuf(modern)
    for code in model.operatorCodes:
        code.builtinCode = 0
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    old = bytes(builder.Output())
    assert has_old_codes(old)
    renewed = with_new_codes(old)
    assert not has_old_codes(renewed)


@pytest.mark.parametrize(
    ("changes", "code", "exit_code"),
    [
        ({"recipe": "int8"}, "E_RECIPE", 1),
        ({"recipe": "int8-static"}, "E_CALIBRATION_NEEDED", 1),
        ({"calibration": "absent.npz"}, "E_DATA_MISSING", 1),
        ({"evaluation": str(MODEL)}, "E_DATA", 1),
        ({"to": "coreml-nobody-has"}, "E_NO_TARGET", 1),
        ({"output": "model.tflite"}, "E_OUTPUT", 1),
    ],
)
def test_wrong_input(tmp_path: Path, changes: dict[str, Any], code: str, exit_code: int) -> None:
    with pytest.raises(EdgekitError) as caught:
        convert(MODEL, **{"output": tmp_path / "o.ekm", **changes})
    assert (caught.value.code, caught.value.exit_code) == (code, exit_code)
    assert not (tmp_path / "o.ekm").exists()


@pytest.mark.parametrize("name", ["absent.tflite", "no.such:factory.tflite", "module_that_is_not_there"])
def test_a_source_that_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError) as caught:
        convert(name, output=tmp_path / "o.ekm")
    assert caught.value.code == "E_MODEL_MISSING"


def test_where_the_artifact_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert output_folder(None, "m") == Path("m.ekm")
    assert output_folder(tmp_path, "m") == tmp_path / "m.ekm"
    assert output_folder(tmp_path / "new", "m") == tmp_path / "new"
    with pytest.raises(InputError):
        output_folder(tmp_path / "m.tflite", "m")
    assert [safe_name(n) for n in ("a b/c", "..", "é", "ok-1.2_x")] == ["a-b-c", "model", "model", "ok-1.2_x"]


@pytest.mark.parametrize("missing", ["ai_edge_litert", "ai_edge_quantizer"])
def test_a_missing_extra_is_one_line_and_exit_8(tmp_path: Path, missing: str) -> None:
    program = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from edgekit.api import convert\nfrom edgekit.errors import MissingExtra\n"
        "try: convert(sys.argv[1], recipe='float16', output=sys.argv[2], cache=False)\n"
        "except MissingExtra as error: print(error.exit_code, error.code, error.message)"
    )
    command = [sys.executable, "-c", program, str(MODEL), str(tmp_path / "o.ekm")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.count("\n") == 1
    assert done.stdout.startswith("8 E_MISSING_EXTRA ")
    assert "pip install 'edgekit-sdk[litert]'" in done.stdout


def test_importing_conversion_is_cheap() -> None:
    program = (
        "import sys; import edgekit.conversion\n"
        "print([m for m in ('numpy','tflite','ai_edge_litert','ai_edge_quantizer','torch','tensorflow') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
