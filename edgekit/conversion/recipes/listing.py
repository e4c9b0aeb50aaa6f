"""What `edgekit recipe list` and `schema` tell."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from edgekit.conversion.recipes.load import RECIPES, recipe_files, resolve, user_folder
from edgekit.conversion.recipes.schema import SCHEMA, Document, Recipe
from edgekit.errors import Finding
from edgekit.profiles.jsonschema import adapted


class Listed(Struct, frozen=True, kw_only=True):
    """A recipe that has a name. `recipe` is None where the file has errors: they are in `findings`. `made_by`: the
    targets installed here that make it."""

    name: str
    path: str
    origin: str
    """"user" or "built-in"."""
    recipe: Recipe | None
    made_by: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


def list_recipes() -> list[Listed]:
    """Every recipe that a name can mean: the built-in ones in their order, then the user's."""
    own, makes = user_folder(), _makes()
    listed = []
    for name, path in recipe_files().items():
        resolved = resolve(path)
        listed.append(
            Listed(
                name=name,
                path=str(path),
                origin="user" if path.parent == own else "built-in",
                recipe=resolved.recipe,
                made_by=_made_by(resolved.recipe, makes) if resolved.recipe else (),
                findings=resolved.findings,
            )
        )
    return sorted(listed, key=lambda one: RECIPES.index(one.name) if one.name in RECIPES else len(RECIPES))


def _makes() -> dict[str, tuple[str, ...]]:
    """The kinds of schemes that each target makes. One that does not load makes nothing here."""
    from edgekit import registry
    from edgekit.errors import EdgekitError

    makes = {}
    for name in registry.plugins("targets"):
        try:
            makes[name] = tuple(registry.load("targets", name).recipes)
        except (EdgekitError, AttributeError):
            continue
    return makes


def _made_by(recipe: Recipe, makes: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    from edgekit.conversion.recipes.choose import not_made

    return tuple(target for target, kinds in sorted(makes.items()) if not_made(recipe, kinds, target) is None)


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of one recipe file. What one value says against another is for `recipe check`."""
    return adapted(msgspec.json.schema(Document), SCHEMA)


def schema_text() -> str:
    """The same as text, stable byte for byte."""
    return msgspec.json.format(msgspec.json.encode(json_schema()), indent=2).decode() + "\n"
