"""B2.4: what `--recipe auto` tries for the targets that no runner of this machine measures."""

from __future__ import annotations

import pytest

from edgekit.api.auto import possible_recipes
from edgekit.conversion.convert import find_target


@pytest.mark.parametrize(
    ("target", "recipes"),
    [
        ("executorch", {"float32", "float16", "int8-dynamic", "int8-static", "mixed"}),
        ("coreml", {"float32", "float16", "int8-weight-only", "int8-static", "int4-weight-only", "mixed"}),
    ],
)
def test_all_that_the_target_makes_are_candidates(target: str, recipes: set[str]) -> None:
    assert set(possible_recipes(find_target(None, target), None)) == recipes
