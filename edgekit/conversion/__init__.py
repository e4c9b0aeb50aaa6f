"""Models made ready for a device: converted, quantized, verified. Frameworks are imported only when used."""

from edgekit.conversion.convert import convert
from edgekit.conversion.recipes import RECIPES, ProfileLike

__all__ = ["RECIPES", "ProfileLike", "convert"]
