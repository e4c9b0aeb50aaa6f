"""What power a device takes. Meters are plug-ins (entry-point group edgekit.meters); docs/measuring.md explains
each."""

from edgekit.meters.base import Meter, Missing, Offer, Rails, Reading, Survey

__all__ = ["Meter", "Missing", "Offer", "Rails", "Reading", "Survey"]
