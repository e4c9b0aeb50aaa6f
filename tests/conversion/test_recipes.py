"""Which recipe is taken: a table."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import pytest

from edgekit.conversion.recipes import choose
from edgekit.errors import EdgekitError
from edgekit.models import ModelInfo, Quantization, Signature, TensorSpec

pytestmark = pytest.mark.base
PREFER = ("int8-static", "int8-dynamic", "float32")


@dataclass(frozen=True)
class Wish:
    prefer: tuple[str, ...] = PREFER
    max_accuracy_drop: float | None = 0.01


@dataclass(frozen=True)
class Profile:
    name: str = "board"
    sha256: str = "0" * 64
    formats: tuple[str, ...] = ("tflite",)
    precisions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    recipe: Wish = Wish()


def model(
    kind: str = "float32", *, key: str | None = "serving_default", operators: dict[str, int] | None = None,
    custom: tuple[str, ...] = (),
) -> ModelInfo:  # fmt: skip
    spec = TensorSpec(name="x", dtype="float32", shape=(1, 4))
    return ModelInfo(
        format="tflite",
        path="m.tflite",
        sha256="0" * 64,
        size_bytes=10,
        signature=Signature(key=key, inputs=(spec,), outputs=(spec,)),
        operators=operators or {"FULLY_CONNECTED": 1},
        custom_operators=custom,
        quantization=Quantization(kind=kind, summary="", weights={}),  # type: ignore[arg-type]
    )


def replace_weights(info: ModelInfo, weights: dict[str, int]) -> ModelInfo:
    assert info.quantization is not None
    return msgspec.structs.replace(
        info, quantization=msgspec.structs.replace(info.quantization, weights=weights)
    )


@pytest.mark.parametrize(
    ("info", "profile", "calibration", "expected"),
    [
        (model(), None, True, ("int8-static", "int8-dynamic", "float32")),
        (model(), None, False, ("int8-dynamic", "float32")),
        (model(), Profile(), True, PREFER),
        (model(), Profile(recipe=Wish(("float16", "float32"))), True, ("float16", "float32")),
        (model(), Profile(recipe=Wish(("int8-static",))), False, ("float32",)),
        (model(), Profile(precisions={"litert": ("float32",)}), True, ("float32",)),
        (model(), Profile(precisions={"a": ("float32",), "b": ("int8",)}), True, PREFER),
        (model(key=None), Profile(), True, ("int8-dynamic", "float32")),
        (model(operators={"VAR_HANDLE": 1}), Profile(), True, ("int8-dynamic", "float32")),
        (model(custom=("Fly",)), Profile(), True, PREFER),
        (model("int8-static"), Profile(), True, ("as-is",)),
        (model("float16", operators={"DEQUANTIZE": 3}), Profile(), True, ("as-is",)),
    ],
)
def test_without_a_wish(
    info: ModelInfo, profile: Profile | None, calibration: bool, expected: tuple[str, ...]
) -> None:
    choice = choose(info, requested=None, profile=profile, has_calibration=calibration)
    assert choice.recipes == expected
    assert choice.notes  # which and why is always said


@pytest.mark.parametrize(
    ("info", "recipe", "calibration", "code"),
    [
        (model(), "int9", True, "E_RECIPE"),
        (model(), "int8-static", False, "E_CALIBRATION_NEEDED"),
        (model(key=None), "int8-static", True, "E_NO_SIGNATURE"),
        (model(operators={"VAR_HANDLE": 1}), "int8-static", True, "E_STATEFUL"),
        (model("int8-dynamic"), "int8-static", True, "E_ALREADY_QUANTIZED"),
        (model("float16", operators={"DEQUANTIZE": 3}), "int8-dynamic", True, "E_ALREADY_QUANTIZED"),
    ],
)
def test_refused_with_the_reason(info: ModelInfo, recipe: str, calibration: bool, code: str) -> None:
    with pytest.raises(EdgekitError) as caught:
        choose(info, requested=recipe, profile=Profile(), has_calibration=calibration)
    assert (caught.value.code, caught.value.exit_code) == (code, 1)
    assert code == "E_RECIPE" or caught.value.hint


def test_float16_behind_dequantize_is_named() -> None:
    with pytest.raises(EdgekitError, match="float16 behind DEQUANTIZE"):
        choose(
            model("float16", operators={"DEQUANTIZE": 3}),
            requested="float16",
            profile=None,
            has_calibration=False,
        )


CAME_FLOAT16 = model("float16", operators={"DEQUANTIZE": 3})
CAME_INT8 = replace_weights(model("int8-weights", operators={"DEQUANTIZE": 3}), {"int8": 8})


@pytest.mark.parametrize(
    ("came", "prefer", "expected"),
    [
        (CAME_FLOAT16, PREFER, ("int8-static", "int8-dynamic", "as-is")),
        (CAME_FLOAT16, ("float32", "int8-dynamic"), ("as-is", "int8-dynamic")),
        (CAME_INT8, PREFER, ("as-is",)),
    ],
)
def test_without_a_wish_on_a_model_that_was_expanded(
    came: ModelInfo, prefer: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    """(B2.3) What came as float16 goes by the preferences; where these say float it stays as it came. Integers
    were somebody's wish."""
    profile = Profile(recipe=Wish(prefer))
    choice = choose(model(), requested=None, profile=profile, has_calibration=True, came=came)
    assert choice.recipes == expected
    asked = choose(model(), requested="float32", profile=profile, has_calibration=True, came=came)
    assert asked.recipes == ("float32",)


@pytest.mark.parametrize(
    ("info", "recipe"), [(model(key=None), "int8-static"), (model("int8-static"), "int8-dynamic")]
)
def test_why_it_could_not_be_made_takeable_is_told(info: ModelInfo, recipe: str) -> None:
    with pytest.raises(EdgekitError, match="because of the weather"):
        choose(info, requested=recipe, profile=None, has_calibration=True, untaken="because of the weather")


def test_a_wish_against_the_profile_is_taken_with_a_note() -> None:
    profile = Profile(precisions={"litert": ("float32",)})
    choice = choose(model(), requested="float16", profile=profile, has_calibration=False)
    assert choice.recipes == ("float16",)
    assert "lists no runtime that takes float16" in choice.notes[0]
