"""What every target says where the quantizer reported success and the result is not what the recipe says."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.conversion.recipes.schema import Recipe
from edgekit.errors import VerificationError

SHOWN = 3


def require_met(recipe: Recipe, wrong: Sequence[str], what: str = "file") -> None:
    """Raises VerificationError E_RECIPE_NOT_MET, with the first of what is wrong, where anything is. `what` was read back."""
    if not wrong:
        return
    more = f"; and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
    raise VerificationError(
        f"the {what} is not what recipe {recipe.name} says: {'; '.join(wrong[:SHOWN])}{more}",
        code="E_RECIPE_NOT_MET",
        hint="the quantizer reported success; try another --recipe, and please report it",
    )
