"""Models made ready for a device: converted, quantized, verified. Frameworks are imported only when used."""

from edgekit.conversion.convert import Conversion, convert
from edgekit.conversion.options import ConvertOptions, ConvertWishes
from edgekit.conversion.recipes import RECIPES, ProfileLike

__all__ = ["RECIPES", "Conversion", "ConvertOptions", "ConvertWishes", "ProfileLike", "convert"]
