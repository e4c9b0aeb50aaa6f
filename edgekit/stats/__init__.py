"""Statistics: pure functions on arrays. NumPy is loaded when one is called."""

from edgekit.stats.latency import median_interval, outlier_mask, summarize
from edgekit.stats.types import Latency, Stability

__all__ = ["Latency", "Stability", "median_interval", "outlier_mask", "summarize"]
