"""Recipes: how a model's weights and activations are stored, as data (docs/recipes.md). Pure but for reading files."""

from edgekit.conversion.recipes.choose import (
    Choice,
    ProfileLike,
    RecipeWish,
    allowed,
    choose,
    is_quantized,
    obstacle,
)
from edgekit.conversion.recipes.load import RECIPES, load_recipe, with_method
from edgekit.conversion.recipes.schema import AS_IS, SCHEMA, Recipe, Scheme, kind_of

__all__ = [
    "AS_IS",
    "RECIPES",
    "SCHEMA",
    "Choice",
    "ProfileLike",
    "Recipe",
    "RecipeWish",
    "Scheme",
    "allowed",
    "choose",
    "is_quantized",
    "kind_of",
    "load_recipe",
    "obstacle",
    "with_method",
]
