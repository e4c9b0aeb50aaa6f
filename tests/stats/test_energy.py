"""Energy from traces whose truth is known (D2.4, D2-b3). benchmarks/energy.py has the coverage of the intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.stats.energy import Load, PerInference, Span, energy_per_inference, smallest_window_us
from edgekit.stats.markers import ExternalClock, clock_of_marker, clock_of_offsets, on_device_clock
from edgekit.stats.traces import (
    MIN_READINGS,
    Refused,
    Trace,
    WindowEnergy,
    energy_in_window,
    float32_step_uj,
    trace_of_counter,
    trace_of_power,
)

pytestmark = pytest.mark.base
S = 1e6
BEFORE, AFTER = Span(0.0, 5 * S), Span(16 * S, 21 * S)
LOADS = tuple(Load(Span(a * S, (a + 1.5) * S), 300) for a in (6.0, 8.0, 10.0, 12.0, 14.0))
IDLE_MW, ACTIVE_MW = 2500.0, 6000.0


def power_at(t_us: np.ndarray, active_mw: float = ACTIVE_MW) -> np.ndarray:
    busy = np.zeros(t_us.shape, dtype=bool)
    for load in LOADS:
        # warm-up before, so the load begins earlier than what is timed
        busy |= (t_us >= load.span.start_us - 0.2 * S) & (t_us < load.span.end_us)
    return np.where(busy, active_mw, IDLE_MW)


def made(trace: Trace | Refused) -> Trace:
    assert isinstance(trace, Trace), trace
    return trace


def window(
    trace: Trace | Refused, start_s: float, end_s: float, tolerance: float | None = None
) -> WindowEnergy:
    found = energy_in_window(made(trace), start_s * S, end_s * S, tolerance=tolerance)
    assert isinstance(found, WindowEnergy), found
    return found


def refused(found: object) -> str:
    assert isinstance(found, Refused), found
    return found.reason


T = np.arange(0.03, 21.5, 0.1) * S


def test_constant_power_is_exact_whatever_the_times() -> None:
    """1000 mW for 10 s are 10 J, on times that jitter."""
    t = np.sort(T + np.random.default_rng(1).normal(size=T.size) * 2e4)
    found = window(trace_of_power(t, np.full(t.size, 1000.0)), 5, 15)
    assert found.energy_uj == pytest.approx(10e6)
    assert found.power_mw == pytest.approx(1000.0)


def test_what_lies_beyond_an_edge_is_not_brought_in() -> None:
    """A reading each 100 ms, a load whose edges fall between readings."""
    found = window(trace_of_power(T, np.where((T > 5 * S) & (T < 6 * S), 6000.0, 0.0)), 5, 6)
    assert found.energy_uj == pytest.approx(6e6)


def test_too_few_readings_and_gaps_are_refused() -> None:
    trace = made(trace_of_power(T, power_at(T)))
    assert "at least 0.8 s" in refused(energy_in_window(trace, 5 * S, 5.5 * S))
    assert refused(energy_in_window(trace, 5 * S, 5 * S))
    gap = T[(T < 8 * S) | (T > 8.4 * S)]
    assert "missing" in refused(energy_in_window(made(trace_of_power(gap, power_at(gap))), 5 * S, 15 * S))
    unreadable = np.where((T > 8 * S) & (T < 8.4 * S), np.nan, power_at(T))
    assert "missing" in refused(energy_in_window(made(trace_of_power(T, unreadable)), 5 * S, 15 * S))
    assert "missing" in refused(energy_in_window(trace, 20 * S, 23 * S)), "the trace ends inside"


def test_a_counter_has_what_happened_in_a_gap() -> None:
    t = T[(T < 8 * S) | (T > 8.4 * S)]
    found = window(trace_of_counter(t, np.floor(t / 1000) * 1000), 5, 15, tolerance=0.01)
    assert found.energy_uj == pytest.approx(10e6, rel=0.001)


def test_a_counter_that_wraps() -> None:
    """262 J is RAPL's range with units of 61 uJ."""
    counter = np.mod(T * 40.0 / 1000 * 1000, 262_143_328_850 / 1e3)
    assert np.any(np.diff(counter) < 0)
    found = window(trace_of_counter(T, counter, range_uj=262_143_328_850 / 1e3), 5, 15)
    assert found.power_mw == pytest.approx(40_000)
    assert "went back" in refused(trace_of_counter(T, counter))


def test_a_counter_that_was_reset_is_not_one_that_wrapped() -> None:
    counter = np.where(T < 10 * S, T + 1e7, T - 10 * S)
    assert "reset" in refused(trace_of_counter(T, counter, range_uj=1e12))


def test_silent_rails_are_no_energy_of_zero() -> None:
    assert "silent" in refused(trace_of_power(T, np.zeros(T.size)))
    assert "silent" in refused(trace_of_counter(T, np.full(T.size, 5e9)))


def test_times_that_go_back_are_refused() -> None:
    t = T.copy()
    t[50:] -= 3 * S
    assert "go back" in refused(trace_of_power(t, power_at(t)))


def test_a_driver_that_repeats_its_last_reading() -> None:
    """ODPM gives the same T and energy until it reads the chip again."""
    t, counter = np.repeat(T, 2), np.repeat(T * 3, 2)
    assert window(trace_of_counter(t, counter), 5, 15).power_mw == pytest.approx(3000)


def test_the_step_of_a_float32_counter() -> None:
    """device_outputs: 0.064 mJ at 6.1e8 uWs, 16.4 mJ at 1.9e11, 65.5 mJ at 1e12."""
    assert float32_step_uj(6.1e8) == 64
    assert float32_step_uj(1.9e11) == 16_384
    assert float32_step_uj(1e12) == 65_536
    assert float32_step_uj(100.0) == 10, "two decimals of a mWs"


def test_a_coarse_counter_is_refused_where_it_cannot_tell() -> None:
    counter = np.floor(T * 6 / 1e6) * 1e6
    trace = made(trace_of_counter(T, counter, step_uj=1e6))
    assert "sure to" in refused(energy_in_window(trace, 5 * S, 7 * S, tolerance=0.01))


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1e6)), max_size=60),
    st.floats(allow_nan=True),
    st.floats(allow_nan=True),
)
def test_any_readings_give_a_number_or_a_reason(
    readings: list[tuple[float, float]], start: float, end: float
) -> None:
    t = np.cumsum([step for step, _ in readings])
    values = [value for _, value in readings]
    for trace in (trace_of_power(t, values), trace_of_counter(t, np.cumsum(values))):
        if isinstance(trace, Trace):
            found = energy_in_window(trace, start, end)
            assert isinstance(found, Refused) or math.isfinite(found.energy_uj)


def test_energy_per_inference_is_what_the_load_adds() -> None:
    """(6000 - 2500) mW over 1.5 s and 300 inferences: 17500 uJ each."""
    found = energy_per_inference(made(trace_of_power(T, power_at(T))), BEFORE, AFTER, LOADS)
    assert isinstance(found, PerInference)
    assert found.per_inference_uj == pytest.approx(17_500, rel=1e-6)
    assert found.idle_power_mw == pytest.approx(IDLE_MW)
    assert found.mean_power_mw == pytest.approx(ACTIVE_MW)
    assert found.window_us == pytest.approx(7.5 * S)
    low, high = found.ci95_uj
    assert low <= found.per_inference_uj <= high


def test_idle_power_that_grows_lies_on_a_line() -> None:
    power = power_at(T) + 300 * T / T[-1]
    found = energy_per_inference(made(trace_of_power(T, power)), BEFORE, AFTER, LOADS)
    assert isinstance(found, PerInference)
    assert found.per_inference_uj == pytest.approx(17_500, rel=0.002)


def test_one_launch_has_an_interval_of_its_parts() -> None:
    one = (Load(Span(6 * S, 14 * S), 1601),)
    power = np.where((T > 5.5 * S) & (T < 14 * S), ACTIVE_MW, IDLE_MW)
    found = energy_per_inference(made(trace_of_power(T, power)), BEFORE, AFTER, one)
    assert isinstance(found, PerInference)
    assert found.per_inference_uj == pytest.approx(3500 * 8e6 / 1000 / 1601, rel=0.01)


def test_a_load_that_adds_nothing_is_refused_with_what_it_would_take() -> None:
    noise = np.random.default_rng(5).normal(size=T.size) * 100
    trace = made(trace_of_power(T, power_at(T, IDLE_MW + 5) + noise))
    reason = refused(energy_per_inference(trace, BEFORE, AFTER, LOADS))
    assert "within what this measurement can tell" in reason


def test_idle_power_that_is_another_after_is_refused() -> None:
    power = np.where(T > 15.5 * S, power_at(T) + 2000, power_at(T))
    power += np.random.default_rng(5).normal(size=T.size) * 10
    assert "something else is at work" in refused(
        energy_per_inference(made(trace_of_power(T, power)), BEFORE, AFTER, LOADS)
    )


def test_short_launches_are_refused_with_what_would_help() -> None:
    short = tuple(Load(Span(load.span.start_us, load.span.start_us + 0.3 * S), 60) for load in LOADS)
    trace = made(trace_of_power(T, power_at(T)))
    assert "--min-seconds" in refused(energy_per_inference(trace, BEFORE, AFTER, short))
    assert "no launch" in refused(energy_per_inference(trace, BEFORE, AFTER, ()))
    nothing = tuple(Load(load.span, 0) for load in LOADS)
    assert "no launch gave inferences" in refused(energy_per_inference(trace, BEFORE, AFTER, nothing))


def test_the_smallest_window() -> None:
    """Noise alone: (wanted added / 2)^2 T = noise^2 period."""
    asked = {"period_us": 1e5, "step_uj": 0.0, "added_mw": 1000.0}
    assert smallest_window_us(**asked, noise_mw=500.0, wanted=0.05) == pytest.approx(500**2 * 1e5 / 25**2)
    assert smallest_window_us(**asked, noise_mw=0.0) == MIN_READINGS * 1e5
    step = smallest_window_us(period_us=1e4, noise_mw=0.0, step_uj=65_536.0, added_mw=1000.0, wanted=0.05)
    assert step == pytest.approx(65_536e3 / math.sqrt(6) / 25)
    assert smallest_window_us(period_us=1e5, noise_mw=1.0, step_uj=0.0, added_mw=0.0) == math.inf


PULSES = tuple(Span(a * S, b * S) for a, b in ((1.0, 1.3), (1.8, 2.6), (3.0, 3.2), (4.1, 4.6)))
LATER = tuple(Span(28 * S - one.end_us, 28 * S - one.start_us) for one in reversed(PULSES))


def external(offset_s: float, drift: float) -> Trace:
    grid = np.arange(0.0, 30 * S, 1000.0)
    power = np.full(grid.size, 1000.0)
    for one in (*PULSES, *LATER, Span(8 * S, 18 * S)):
        power[(grid >= one.start_us) & (grid < one.end_us)] += 3000.0
    power += np.random.default_rng(3).normal(size=grid.size) * 100
    return made(trace_of_power((grid - offset_s * S) / (1 + drift), power))


def test_a_late_external_clock_is_found_by_its_markers() -> None:
    trace = external(37.5, 5e-5)
    offsets = [clock_of_marker(trace, pulses, search_us=(-60 * S, 60 * S)) for pulses in (PULSES, LATER)]
    first, second = (one for one in offsets if isinstance(one, float))
    clock = clock_of_offsets(PULSES, LATER, (first, second))
    assert isinstance(clock, ExternalClock)
    assert clock.device_us(np.array([(10 - 37.5) * S / (1 + 5e-5)]))[0] == pytest.approx(10 * S, abs=3000)
    assert window(on_device_clock(trace, clock), 8, 18).energy_uj == pytest.approx(40e6, rel=0.01)


def test_a_marker_that_cannot_be_told_is_refused() -> None:
    trace = external(0.0, 0.0)
    same = [Span(a * S, (a + 0.3) * S) for a in (1.0, 1.6, 2.2)]
    even = np.full(30_000, 1000.0)
    for one in [Span(a * S, (a + 0.3) * S) for a in np.arange(1.0, 20.0, 0.6)]:
        even[int(one.start_us / 1000) : int(one.end_us / 1000)] += 3000
    pulsed = made(trace_of_power(np.arange(30_000) * 1000.0, even))
    assert refused(clock_of_marker(pulsed, same, search_us=(-10 * S, 10 * S)))
    flat = made(trace_of_power(np.arange(30_000) * 1000.0, np.full(30_000, 1000.0)))
    assert refused(clock_of_marker(flat, PULSES, search_us=(-S, S)))
    assert "at least 3" in refused(clock_of_marker(trace, PULSES[:2], search_us=(-S, S)))
    assert "no readings" in refused(clock_of_marker(trace, PULSES, search_us=(100 * S, 101 * S)))
    slow = made(trace_of_power(T, power_at(T)))
    coarse = [Span(a * S, (a + 0.1) * S) for a in (1.0, 1.3, 1.7)]
    assert "shorter than two periods" in refused(clock_of_marker(slow, coarse, search_us=(-S, S)))


def test_a_meter_s_clock_that_is_set_meanwhile_is_refused() -> None:
    """A board without a battery for its clock begins in 1970 until it has a network: no memory holds all the places between."""
    t = np.concatenate((np.arange(100) * 5e4, 1.7e9 * S + np.arange(400) * 5e4))
    jumped = made(trace_of_power(t, np.full(t.size, 5000.0)))
    everywhere = (float(t[0]) - PULSES[0].start_us, float(t[-1]) - PULSES[-1].end_us)
    assert "clock was set meanwhile" in refused(clock_of_marker(jumped, PULSES, search_us=everywhere))
