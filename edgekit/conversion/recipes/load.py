"""Recipes from files: found by name, checked with every error and its line, their schemes looked up."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import inspect as mi

from edgekit.cache import expanded, is_file
from edgekit.config import user_config_dir
from edgekit.conversion.recipes.rules import check_rules
from edgekit.conversion.recipes.schema import AS_IS, FLOAT, FLOAT_SCHEME, Document, Ranges, Recipe, Scheme
from edgekit.errors import Finding, InputError, RecipeError
from edgekit.profiles.check import Walk, suggestion
from edgekit.profiles.nodes import Node, read_nodes

SUFFIX: Final = ".yaml"
RECIPES: Final = (
    "float32", "float16", "int8-dynamic", "int8-weight-only", "int8-static", "int16x8", "int4-weight-only",
    "int4-blockwise", "mixed",
)  # fmt: skip
"""The built-in ones; each is a file beside this module."""
RESERVED: Final = (AS_IS, FLOAT, "auto")
_METHODS: Final = ("min-max", "percentile", "entropy", "mse")


class Resolved(msgspec.Struct, frozen=True):
    """One file. `recipe` is None exactly where there are findings."""

    recipe: Recipe | None
    tree: Node | None
    findings: tuple[Finding, ...]


def user_folder() -> Path:
    """`$XDG_CONFIG_HOME/edgekit/recipes`, else `~/.config/edgekit/recipes`."""
    return user_config_dir() / "recipes"


def recipe_files() -> dict[str, Path]:
    """Every recipe that a name can mean; the user's own comes before a built-in one of the same name."""
    found = {name: _built_in(name) for name in RECIPES}
    try:
        own = sorted(path for path in user_folder().iterdir() if path.suffix == SUFFIX)
    except OSError:  # no such folder, or not ours to read: there are no recipes in it
        own = []
    return {**found, **{path.stem: path for path in own if not path.name.startswith(".")}}


def looks_like_path(text: str) -> bool:
    return "/" in text or text.endswith((".yaml", ".yml"))


def load_recipe(name_or_path: str | Path) -> Recipe:
    """The recipe of a name (user's folder, then the built-in ones) or of a file.

    A text with a slash or ending in .yaml or .yml is a file. Raises InputError E_RECIPE where there is none of that
    name, RecipeError with every finding where the file has errors.
    """
    if str(name_or_path) == AS_IS:
        return as_is()
    path = locate(name_or_path)
    resolved = resolve(path)
    if resolved.recipe is None:
        raise recipe_error(resolved.findings)
    by_name = not isinstance(name_or_path, Path) and not looks_like_path(name_or_path)
    if by_name and resolved.recipe.name != name_or_path:
        said = f"is '{resolved.recipe.name}', but the file is called '{path.name}'"
        raise recipe_error((Finding(str(path), 1, "name", said),))
    return resolved.recipe


@cache
def as_is() -> Recipe:
    """The recipe of a model that is left alone."""
    return Recipe(name=AS_IS, base=FLOAT_SCHEME)


def locate(name_or_path: str | Path) -> Path:
    """The file meant. Raises InputError E_RECIPE, with the nearest name that exists."""
    if isinstance(name_or_path, Path) or looks_like_path(name_or_path):
        path = expanded(str(name_or_path), "the recipe")
        if not is_file(path):
            raise InputError(
                f"there is no recipe file {path}",
                code="E_RECIPE",
                hint="edgekit recipe list shows the recipes that have a name",
            )
        return path
    files = recipe_files()
    if name_or_path not in files:
        near = suggestion(name_or_path, files)
        raise InputError(
            f"no recipe '{name_or_path}'{near} (there are: {', '.join(files)})",
            code="E_RECIPE",
            hint="edgekit recipe list shows them; a file is given with its path",
        )
    return files[name_or_path]


def recipe_error(findings: tuple[Finding, ...]) -> RecipeError:
    """One error for all findings."""
    first = findings[0]
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return RecipeError(
        f"{first}{more}", findings, hint=f"edgekit recipe check {first.file} shows every error with its line"
    )


def resolve(path: Path) -> Resolved:
    """Read and check a file, and look up the schemes that its rules name."""
    tree, findings = read_nodes(path, what="recipe")
    if tree is None:
        return Resolved(None, None, tuple(findings))
    walk = Walk()
    values = walk.value(_document_type(), tree, "")
    findings = sorted([*findings, *walk.findings], key=lambda one: one.line or 0)
    if findings:
        return Resolved(None, tree, tuple(findings))
    document = msgspec.convert(values, Document)
    if broken := check_rules(document, tree, _built_in_schemes(), RESERVED):
        return Resolved(None, tree, tuple(broken))
    return Resolved(_recipe(document), tree, ())


def _recipe(document: Document) -> Recipe:
    wanted = sorted({rule.scheme for rule in document.rules} - {FLOAT})
    return Recipe(
        name=document.name,
        description=document.description,
        base=Scheme(weights=document.weights, activations=document.activations),
        ranges=document.ranges,
        boundary=document.boundary,
        rules=document.rules,
        schemes={name: document.schemes.get(name) or _built_in_schemes()[name] for name in wanted},
    )


@cache
def _built_in_schemes() -> dict[str, Scheme]:
    """What a rule means by a built-in recipe's name: its base scheme, without its rules. A recipe that is all rules has
    nothing to mean."""
    found = {}
    for name in RECIPES:
        tree, _ = read_nodes(_built_in(name), what="recipe")
        if tree is None:
            raise recipe_error((Finding(str(_built_in(name)), None, "", "there is no such file"),))
        document = msgspec.convert(Walk().value(_document_type(), tree, ""), Document)
        scheme = Scheme(weights=document.weights, activations=document.activations)
        if scheme != FLOAT_SCHEME or not document.rules:
            found[name] = scheme
    return found


def _built_in(name: str) -> Path:
    return Path(__file__).parent / f"{name}{SUFFIX}"


def with_method(recipe: Recipe, method: str | None) -> Recipe:
    """The recipe with another way to find ranges: "min-max", "entropy", "mse" or "percentile:99.9".

    Raises InputError E_CALIBRATION_METHOD where it is none of these, or where the recipe finds no ranges.
    """
    if method is None:
        return recipe
    name, colon, share = method.partition(":")
    near = suggestion(name, _METHODS)
    known = f"{', '.join(_METHODS[:1] + _METHODS[2:])} or percentile:99.9"
    if name not in _METHODS or bool(colon) != (name == "percentile"):
        raise InputError(
            f"no calibration method '{method}'{near} (there are: {known})", code="E_CALIBRATION_METHOD"
        )
    percentile = None
    if colon:
        try:
            percentile = float(share)
        except ValueError:
            percentile = 0.0
        if not 50 <= percentile <= 100:
            raise InputError(f"percentile:{share} is not from 50 to 100", code="E_CALIBRATION_METHOD")
    if not any(s.activations.mode == "static" for s in (recipe.base, *recipe.schemes.values())):
        raise InputError(
            f"recipe {recipe.name} finds no ranges from data: --calibration-method would change nothing",
            code="E_CALIBRATION_METHOD",
            hint="it is for recipes like int8-static",
        )
    ranges = msgspec.convert({"method": name, "percentile": percentile}, Ranges)
    return msgspec.structs.replace(recipe, ranges=ranges)


def method_of(recipe: Recipe) -> str:
    """How ranges are found, in words."""
    ranges = recipe.ranges
    return ranges.method if ranges.percentile is None else f"{ranges.method} {ranges.percentile:g}"


@cache
def _document_type() -> mi.Type:
    return mi.type_info(Document)


def recipe_json(recipe: Recipe) -> dict[str, Any]:
    """A recipe for machines, everything that the file leaves to defaults written out."""
    plain = {name: _plain(getattr(recipe, name)) for name in recipe.__struct_fields__}
    return {**plain, "kind": recipe.kind, "sha256": recipe.sha256}


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return value
