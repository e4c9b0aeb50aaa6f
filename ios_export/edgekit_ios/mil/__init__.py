"""An evaluator of Core ML's ML programs (MIL) that runs wherever Python does.

What it shows: that the exported program, read from the .mlpackage as a device would get it, computes what its source
does. The weights are read and expanded by code of this package, every operator is computed from its documented
definition with numpy, in float64, and each result is rounded to the type that the program declares for it (float16
where it says so).

What it does not show: what Apple's runtime makes of the program. That one chooses an engine, fuses operators,
accumulates in types of its own, and refuses some programs that are valid here. Speed and memory say nothing either.
"""

from edgekit_ios.mil.model import MilModel, Traced
from edgekit_ios.mil.registry import supported_operators

SUPPORTED_OPERATORS: tuple[str, ...] = supported_operators()
"""Names of the operators of MIL that the evaluator claims to compute; each is tested in tests/ios_export."""

__all__ = ["SUPPORTED_OPERATORS", "MilModel", "Traced"]
