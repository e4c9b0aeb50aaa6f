"""Every cached tree that the tests use, each after what it needs."""

from __future__ import annotations

from tests.targets import android_tree, board_image
from tests.targets.armhf import armhf_root
from tests.targets.roots import Recipe


def all_recipes() -> list[Recipe]:
    """Without repetition."""
    found: dict[str, Recipe] = {}
    for recipe in (android_tree.recipe(android_tree.AMD64), board_image.recipe(), armhf_root()):
        _add(recipe, found)
    return list(found.values())


def _add(recipe: Recipe, found: dict[str, Recipe]) -> None:
    for needed in recipe.needs:
        _add(needed, found)
    found.setdefault(recipe.key, recipe)
