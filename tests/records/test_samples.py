"""Samples are kept exactly, and damaged ones are told. (A8: every sample kept)"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import InputError
from edgekit.records import Samples, TelemetryPoint, pack_floats, series_of, unpack_floats

pytestmark = pytest.mark.base


@settings(deadline=None)  # a busy machine is no failure; pytest-timeout holds
@given(st.lists(st.floats(allow_nan=True)))
def test_floats_survive_bit_by_bit(values: list[float]) -> None:
    array = np.array(values, dtype=np.float64)
    assert unpack_floats(pack_floats(array)).tobytes() == array.tobytes()


@pytest.mark.parametrize("cut", [0, 1, 10, -1])
def test_a_blob_cut_short_is_damaged(cut: int) -> None:
    blob = pack_floats(np.arange(100.0))
    with pytest.raises(InputError) as caught:
        unpack_floats(blob[:cut])
    assert caught.value.code == "E_SAMPLES"


def test_a_flipped_bit_is_noticed() -> None:
    blob = bytearray(pack_floats(np.random.default_rng(0).random(1000)))
    blob[len(blob) // 2] ^= 1
    with pytest.raises(InputError):
        unpack_floats(bytes(blob))


def test_points_become_series_by_name_path_and_unit_in_order_of_time() -> None:
    points = [
        TelemetryPoint(3.0, "cpu", 52_000, "mC", "/zone0"),
        TelemetryPoint(1.0, "cpu", 50_000, "mC", "/zone0"),
        TelemetryPoint(2.0, "cpu", 1_500_000, "kHz", "/policy0"),
        TelemetryPoint(2.0, "cpu", math.nan, "mC", "/zone0"),
    ]
    heat, clock = series_of(points)
    assert (heat.unit, clock.unit) == ("mC", "kHz")
    assert heat.t_us.tolist() == [1.0, 2.0, 3.0]
    assert heat.value[0] == 50_000
    assert math.isnan(heat.value[1])
    assert clock.points() == [points[2]]


def test_samples_of_lists() -> None:
    samples = Samples.of([[1, 2], [3.5]])
    assert [launch.dtype for launch in samples.launches] == [np.float64, np.float64]
    assert samples.telemetry == ()
