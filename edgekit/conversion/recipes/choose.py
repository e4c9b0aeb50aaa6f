"""Recipes, and which of them is possible for a model. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from edgekit.conversion.recipes.load import RECIPES, load_recipe
from edgekit.conversion.recipes.schema import AS_IS, Recipe, kind_of
from edgekit.errors import EdgekitError, InputError, ModelError
from edgekit.models.info import ModelInfo

DEFAULT_PREFER = ("int8-static", "int8-dynamic", "float32")
_FLOATS = ("float32", "float16")


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
    """Recipes to try, first first, and what to tell the user about those that are not among them. `loaded`: the same
    as they were read."""

    recipes: tuple[str, ...]
    notes: tuple[str, ...]
    loaded: tuple[Recipe, ...] = ()


def choose(
    info: ModelInfo | None,
    *,
    requested: str | Recipe | None,
    profile: ProfileLike | None,
    has_calibration: bool,
    possible: Sequence[str] = RECIPES,
    target: str = "tflite",
    came: ModelInfo | None = None,
    untaken: str = "",
) -> Choice:
    """Which recipes to try on a float model, None where its format tells nothing to judge by. `possible`: the kinds of
    schemes that the target makes (`kind_of`). `came`, `untaken`: as in Prepared.

    A requested recipe is taken or refused with the reason; without one the profile's preferences are gone
    through in order. Raises InputError (E_RECIPE, E_CALIBRATION_NEEDED), ModelError (E_ALREADY_QUANTIZED,
    E_NO_SIGNATURE, E_STATEFUL).
    """
    asked = load_recipe(requested) if isinstance(requested, str) else requested
    if asked is not None and asked.name == AS_IS:
        return _choice([asked], [])
    info = info if info is not None else _UNKNOWN
    if asked is not None:
        if (missing := not_made(asked, possible, target)) is not None:
            raise missing
        if (error := obstacle(info, asked, has_calibration, target, untaken)) is not None:
            raise error
        notes = [] if allowed(asked, profile) else [_not_allowed(asked, profile)]
        return _choice([asked], notes)
    if already := _quantized_already(_integers(came) or info):
        because = f" ({untaken})" if untaken else ""
        return _choice([load_recipe(AS_IS)], [f"{already}{because}; it is left as it is"])
    return _preferred(info, profile, has_calibration, possible, target, came, untaken)


def _integers(came: ModelInfo | None) -> ModelInfo | None:
    """A model that came with integers was quantized on purpose: it is expanded only where a recipe is asked for."""
    if came is None or came.quantization is None:
        return None
    return came if any("int" in dtype for dtype in came.quantization.weights) else None


def _choice(recipes: Sequence[Recipe], notes: Sequence[str]) -> Choice:
    return Choice(tuple(recipe.name for recipe in recipes), tuple(notes), tuple(recipes))


def not_made(recipe: Recipe, possible: Sequence[str], target: str) -> InputError | None:
    """Why a target that makes these kinds of schemes does not make this recipe, None where it does."""
    kinds = dict.fromkeys(kind_of(scheme) for scheme in recipe.all_schemes(target))
    missing = [kind for kind in kinds if kind not in possible and kind != "float32"]
    if set(kinds) == {"float32"} and recipe.arithmetic != "float32":
        return InputError(
            f"recipe '{recipe.name}' has no rule for --to {target}: nothing would be quantized",
            code="E_RECIPE",
            hint=f"add rules with `target: {target}`, or choose another --to",
        )
    if not missing:
        return None
    what = f"recipe '{recipe.name}'"
    if missing != [recipe.name]:
        what += f", which is {', '.join(missing)}"
    return InputError(
        f"--to {target} is not made with {what} (only {', '.join(possible)})",
        code="E_RECIPE",
        hint="choose one of these, or --to tflite",
    )


def _preferred(
    info: ModelInfo,
    profile: ProfileLike | None,
    has_calibration: bool,
    makes: Sequence[str],
    target: str,
    came: ModelInfo | None,
    untaken: str,
) -> Choice:
    wished = tuple(profile.recipe.prefer) if profile else ()
    possible: list[Recipe] = []
    notes: list[str] = []
    for recipe in map(load_recipe, wished or DEFAULT_PREFER):
        if not_made(recipe, makes, target) is not None:
            notes.append(f"not {recipe.name}: this format is made with {', '.join(makes)}")
        elif not allowed(recipe, profile):
            notes.append(_not_allowed(recipe, profile))
        elif (error := obstacle(info, recipe, has_calibration, target, untaken)) is not None:
            notes.append(f"not {recipe.name}: {error.message}")
        else:
            possible.append(recipe)
    if not possible:
        notes.append("float32: nothing else is possible")
        possible.append(load_recipe("float32"))
    if came is not None and is_quantized(came):
        # It computes in float as it came, and is half the size.
        kept = [AS_IS if recipe.name in _FLOATS else recipe.name for recipe in possible]
        possible = [load_recipe(name) for name in dict.fromkeys(kept)]
    source = f"preferred by profile {profile.name}" if profile and wished else "default preference"
    return _choice(possible, [*notes, f"recipe {possible[0].name}: {source}"])


def obstacle(
    info: ModelInfo, recipe: Recipe, has_calibration: bool, target: str = "tflite", untaken: str = ""
) -> EdgekitError | None:
    """Why this recipe cannot be used on this model, None where nothing known speaks against it."""
    if already := _quantized_already(info):
        return ModelError(
            f"{already}: {recipe.name} needs a float32 model" + (f", and {untaken}" if untaken else ""),
            code="E_ALREADY_QUANTIZED",
            hint="start from the float32 model, or use --recipe as-is",
        )
    return _static_obstacle(info, recipe, has_calibration, untaken) if recipe.calibrated(target) else None


def _static_obstacle(
    info: ModelInfo, recipe: Recipe, has_calibration: bool, untaken: str
) -> EdgekitError | None:
    tflite = info.format == "tflite" and info is not _UNKNOWN
    if tflite and (info.signature is None or info.signature.key is None):
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
            f"{recipe.name} needs calibration data",
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


def allowed(recipe: Recipe, profile: ProfileLike | None) -> bool:
    """Whether any runtime of the profile takes this recipe's precision; a profile that lists none takes all."""
    if profile is None or not profile.precisions:
        return True
    return any(recipe.precision in precisions for precisions in profile.precisions.values())


def _not_allowed(recipe: Recipe, profile: ProfileLike | None) -> str:
    name = profile.name if profile else ""
    return f"{recipe.name}: profile {name} lists no runtime that takes {recipe.precision}"
