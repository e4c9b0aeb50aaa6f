"""Where test roots are kept. Decided once, before any test changes HOME: a root takes too long to make twice."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from edgekit.cache import cache_dir


@cache
def test_roots() -> Path:
    """<cache>/test-roots, made on demand; the first call decides."""
    return cache_dir("test-roots")


test_roots.__test__ = False  # type: ignore[attr-defined]  # the name is not that of a test
