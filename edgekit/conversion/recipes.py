"""Recipes, and which of them is possible for a model. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from edgekit.errors import EdgekitError, InputError, ModelError
from edgekit.models.info import ModelInfo

RECIPES = ("float32", "float16", "int8-dynamic", "int8-static")
AS_IS = "as-is"
"""Recorded for a model that came quantized and was left alone."""

_PRECISION = {"float32": "float32", "float16": "float16", "int8-dynamic": "int8", "int8-static": "int8"}
_FLOATS = ("float32", "float16")
_DEFAULT_PREFER = ("int8-static", "int8-dynamic", "float32")


_UNKNOWN = ModelInfo(format="tflite", path="", sha256="", size_bytes=0)


class RecipeWish(Protocol):
    @property
    def prefer(self) -> Sequence[str]: ...
    @property
    def max_accuracy_drop(self) -> float | None: ...


class ProfileLike(Protocol):
    """What conversion needs of a profile."""

    @property
    def name(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def formats(self) -> Sequence[str]: ...
    @property
    def precisions(self) -> Mapping[str, Sequence[str]]: ...
    @property
    def recipe(self) -> RecipeWish: ...


@dataclass(frozen=True)
class Choice:
    """Recipes to try, first first, and what to tell the user about those that are not among them."""

    recipes: tuple[str, ...]
    notes: tuple[str, ...]


DEFINITIONS: Mapping[str, Mapping[str, object]] = {
    "as-is": {"weights": "as they are"},
    "float32": {"weights": "float32"},
    "float16": {"weights": "float16"},
    "int8-dynamic": {"weights": "int8", "activations": "dynamic int8", "float": ["DEPTHWISE_CONV_2D"]},
    "int8-static": {
        "weights": "int8",
        "activations": "int8",
        "ranges": "min-max",
        "float": ["INPUT", "OUTPUT"],
    },
}
"""What each recipe is, for its hash in a manifest."""


def recipe_sha256(recipe: str) -> str:
    """sha256 of the recipe's definition as JSON with sorted keys."""
    text = json.dumps({"name": recipe, **DEFINITIONS[recipe]}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def choose(
    info: ModelInfo | None,
    *,
    requested: str | None,
    profile: ProfileLike | None,
    has_calibration: bool,
    possible: Sequence[str] = RECIPES,
    came: ModelInfo | None = None,
    untaken: str = "",
) -> Choice:
    """Which recipes to try on a float model, None where its format tells nothing to judge by. `possible`: those that
    the target makes. `came`, `untaken`: as in Prepared.

    A requested recipe is taken or refused with the reason; without one the profile's preferences are gone
    through in order. Raises InputError (E_RECIPE, E_CALIBRATION_NEEDED), ModelError (E_ALREADY_QUANTIZED,
    E_NO_SIGNATURE, E_STATEFUL).
    """
    if requested == AS_IS:
        return Choice((AS_IS,), ())
    info = info if info is not None else _UNKNOWN
    if requested is not None:
        if requested not in RECIPES:
            raise InputError(f"no recipe '{requested}' (there are: {', '.join(RECIPES)})", code="E_RECIPE")
        if requested not in possible:
            raise InputError(
                f"this format is not made with recipe '{requested}' (only {', '.join(possible)})",
                code="E_RECIPE",
                hint="choose one of these, or --to tflite",
            )
        if (error := obstacle(info, requested, has_calibration, untaken)) is not None:
            raise error
        notes = () if allowed(requested, profile) else (_not_allowed(requested, profile),)
        return Choice((requested,), notes)
    if already := _quantized_already(_integers(came) or info):
        because = f" ({untaken})" if untaken else ""
        return Choice((AS_IS,), (f"{already}{because}; it is left as it is",))
    return _preferred(info, profile, has_calibration, possible, came, untaken)


def _integers(came: ModelInfo | None) -> ModelInfo | None:
    """A model that came with integers was quantized on purpose: it is expanded only where a recipe is asked for."""
    if came is None or came.quantization is None:
        return None
    return came if any("int" in dtype for dtype in came.quantization.weights) else None


def _preferred(
    info: ModelInfo,
    profile: ProfileLike | None,
    has_calibration: bool,
    makes: Sequence[str],
    came: ModelInfo | None,
    untaken: str,
) -> Choice:
    wished = tuple(profile.recipe.prefer) if profile else ()
    possible, notes = [], []
    for recipe in wished or _DEFAULT_PREFER:
        if recipe not in makes:
            notes.append(f"not {recipe}: this format is made with {', '.join(makes)}")
        elif not allowed(recipe, profile):
            notes.append(_not_allowed(recipe, profile))
        elif (error := obstacle(info, recipe, has_calibration, untaken)) is not None:
            notes.append(f"not {recipe}: {error.message}")
        else:
            possible.append(recipe)
    if not possible:
        notes.append("float32: nothing else is possible")
        possible.append("float32")
    if came is not None and is_quantized(came):
        # It computes in float as it came, and is half the size.
        possible = list(dict.fromkeys(AS_IS if recipe in _FLOATS else recipe for recipe in possible))
    source = f"preferred by profile {profile.name}" if profile and wished else "default preference"
    return Choice(tuple(possible), (*notes, f"recipe {possible[0]}: {source}"))


def obstacle(info: ModelInfo, recipe: str, has_calibration: bool, untaken: str = "") -> EdgekitError | None:
    """Why this recipe cannot be used on this model, None where nothing known speaks against it."""
    if already := _quantized_already(info):
        return ModelError(
            f"{already}: {recipe} needs a float32 model" + (f", and {untaken}" if untaken else ""),
            code="E_ALREADY_QUANTIZED",
            hint="start from the float32 model, or use --recipe as-is",
        )
    return _static_obstacle(info, has_calibration, untaken) if recipe == "int8-static" else None


def _static_obstacle(info: ModelInfo, has_calibration: bool, untaken: str) -> EdgekitError | None:
    if info.signature is None or info.signature.key is None:
        return ModelError(
            "the model has no SignatureDef, which calibration of the quantizer needs, and none could be added"
            + (f": {untaken}" if untaken else ""),
            code="E_NO_SIGNATURE",
            hint="export it with a signature, or use --recipe int8-dynamic",
        )
    if "VAR_HANDLE" in info.operators:
        return ModelError(
            "the model keeps variables between calls, which the quantizer's calibration does not support",
            code="E_STATEFUL",
            hint="freeze its weights when exporting, or use --recipe int8-dynamic",
        )
    if not has_calibration:
        return InputError(
            "int8-static needs calibration data",
            code="E_CALIBRATION_NEEDED",
            hint="give --calibration FILE.npz with some hundred typical inputs, or use --recipe int8-dynamic",
        )
    return None


def is_quantized(info: ModelInfo) -> bool:
    """Whether any weights are something else than float32."""
    return info.quantization is not None and info.quantization.kind != "float32"


def _quantized_already(info: ModelInfo) -> str:
    quantization = info.quantization
    if quantization is None or not is_quantized(info):
        return ""
    if info.operators.get("DEQUANTIZE") and quantization.kind in ("float16", "mixed"):
        return "the model keeps its weights as float16 behind DEQUANTIZE operators, which the quantizer skips"
    return f"the model is quantized already ({quantization.kind})"


def allowed(recipe: str, profile: ProfileLike | None) -> bool:
    """Whether any runtime of the profile takes this recipe's precision; a profile that lists none takes all."""
    if profile is None or not profile.precisions:
        return True
    precision = _PRECISION.get(recipe)
    return any(precision in precisions for precisions in profile.precisions.values())


def _not_allowed(recipe: str, profile: ProfileLike | None) -> str:
    name = profile.name if profile else ""
    return f"{recipe}: profile {name} lists no runtime that takes {_PRECISION.get(recipe, recipe)}"
