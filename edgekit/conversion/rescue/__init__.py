"""Accuracy rescue: what is tried where a quantized model falls short of its limit (docs/rescue.md)."""

from edgekit.conversion.rescue.attempts import Edit, Outcome
from edgekit.conversion.rescue.rescue import rescued, weighed, why_not

__all__ = ["Edit", "Outcome", "rescued", "weighed", "why_not"]
