"""Joulescope through its maker's library (D2.3). No instrument was at hand: that the library finds none is the real one's
answer; the values are constructed in the form that the library's own sources give them."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

from edgekit.meters.joulescope import LIBRARY, RATE_HZ, line_of, settings_of
from edgekit.parse.meter_stream import layout_of, read_line
from tests.meters.contract import InstrumentContract


class TestJoulescope(InstrumentContract):
    name = "joulescope"
    library = LIBRARY
    extra = "joulescope"
    absent = f"0 Joulescopes: {LIBRARY} finds none"


@pytest.mark.skipif(importlib.util.find_spec(LIBRARY) is None, reason=f"{LIBRARY} is not installed")
def test_the_library_has_what_the_program_calls() -> None:
    """Names and forms of the installed release, so that another one that lacks them is noticed here."""
    code = (
        "import inspect; from pyjoulescope_driver import Driver\n"
        "with Driver() as d: print([callable(getattr(d, n)) for n in ('device_paths', 'open', 'publish', 'subscribe', 'close')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[True, True, True, True, True]", done.stderr


def test_settings_of_the_known_models() -> None:
    settings, topic = settings_of("u/js220/000415")
    assert ("s/stats/scnt", 1_000_000 // RATE_HZ) in settings
    assert topic == "s/stats/value"
    assert ("s/stats/scnt", 2_000_000 // RATE_HZ) in settings_of("u/js110/000123")[0]
    with pytest.raises(ValueError, match="only js220 and js110"):
        settings_of("u/js999/1")


def test_statistics_become_a_line_that_is_read_right() -> None:
    value = {
        "time": {"range": {"value": [1.95, 2.0], "units": "s"}},
        "accumulators": {"energy": {"value": 12.5, "int_value": 0, "units": "J"}},
    }
    line = line_of(value)
    assert json.loads(line) == {"t_s": 2.0, "energy_j": 12.5}
    layout = layout_of(line, {})
    assert (read_line(line, layout), layout.unit) == ((2e6, 12.5e6), "uJ")
