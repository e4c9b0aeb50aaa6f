"""For tests whose claim is about time, and which other work on the machine can make fail."""

from __future__ import annotations

import pytest

timed = pytest.mark.flaky(reruns=3, reruns_delay=3)
"""A promise in seconds is asserted, or something is done in the middle of something else: where other tests took the processor at
just that moment, it is tried again. What is wrong in edgekit is so each time."""
