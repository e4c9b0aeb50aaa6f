"""Accuracy rescue: what is tried where a quantized model falls short of its limit (docs/rescue.md)."""

from edgekit.conversion.rescue.rescue import Edit, Outcome, rescued

__all__ = ["Edit", "Outcome", "rescued"]
