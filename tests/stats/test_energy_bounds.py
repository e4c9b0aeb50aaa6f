"""Energy, traces and markers exactly at their bounds, where a change of one comparison or one number would show
(D2.4, D2-b1)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgekit.stats import energy
from edgekit.stats.energy import Load, PerInference, Span, energy_per_inference
from edgekit.stats.markers import (
    COARSE,
    MOST_PLACES,
    clock_of_expected_marker,
    clock_of_marker,
    clock_of_offsets,
    height_of_marker,
)
from edgekit.stats.traces import (
    Refused,
    Trace,
    WindowEnergy,
    energy_in_window,
    trace_of_counter,
    trace_of_power,
)
from tests.stats.test_energy_exact import PULSES, T10, made, pulsed, reason

pytestmark = pytest.mark.base
S = 1e6


def test_integers_of_any_size_are_readings() -> None:
    """Two readings of 30 W do not fit into 16 bits."""
    trace = made(trace_of_power(T10.astype(np.int64), np.full(10, 30_000, np.int16)))
    assert (trace.t_us.dtype, trace.energy_uj.dtype) == (np.float64, np.float64)
    assert trace.energy_uj[-1] == 27e6


def test_counters_that_hardly_count() -> None:
    assert reason(trace_of_counter([], [])) == "the meter gave 0 readings"
    last = made(trace_of_counter(T10, [0.0] * 9 + [5.0]))
    assert last.energy_uj[-1] == 5.0
    # readings closer than a us are readings
    assert made(trace_of_power(np.arange(10) * 0.5, [1.0] * 10)).t_us.size == 10


def test_windows_as_short_and_as_sure_as_can_be() -> None:
    steady = made(trace_of_power(np.arange(40) * 1e5, [100.0] * 40))
    assert reason(energy_in_window(steady, 0.0, 1.0)) == (
        "a window of 1e-06 s has 1 readings of this meter: at least 0.8 s are needed"
    )
    exact = energy_in_window(steady, 0.0, 8e5, tolerance=0.0)
    assert isinstance(exact, WindowEnergy)
    assert exact.error_uj == 0.0


def test_a_window_in_which_as_much_came_back_as_went() -> None:
    """No energy at all, and what noise may have done is told as if it were of 1 uJ."""
    trace = made(trace_of_power(T10, [100.0, 100.0, -100.0, -100.0] * 2 + [100.0, 100.0]))
    found = energy_in_window(trace, 0.0, 9e5)
    assert isinstance(found, WindowEnergy)
    assert (found.readings, found.energy_uj) == (9, 0.0)
    # bends of 0 and 100 mW in turn: 2 sqrt(mean of squares) is 100 sqrt(2)
    assert found.error_uj == pytest.approx(3 * 100 * math.sqrt(2) / 3 * 900)
    assert reason(energy_in_window(trace, 0.0, 9e5, tolerance=0.5)) == (
        f"the energy of this window is sure to {found.error_uj:.1%} only"
    )


T = np.arange(0.0, 22.0, 0.125) * S
"""In binary fractions, so that energies and times are exact."""
BEFORE, AFTER = Span(0.0, 5 * S), Span(16 * S, 21 * S)


def steady(added_mw: float, busy: tuple[Load, ...]) -> Trace:
    power = np.full(T.size, 1024.0)
    for load in busy:
        power[(load.span.start_us - 0.5 * S <= T) & (load.span.end_us + 0.5 * S >= T)] += added_mw
    return made(trace_of_power(T, power))


def loads(*inferences: float) -> tuple[Load, ...]:
    return tuple(
        Load(Span((6 + 3 * n) * S, (8 + 3 * n) * S), many) for n, many in enumerate(inferences, start=0)
    )


def test_launches_of_one_inference_and_of_less() -> None:
    """Streams of several models count parts of one."""
    for many in (1, 0.5):
        found = energy_per_inference(steady(512.0, loads(many, many)), BEFORE, AFTER, loads(many, many))
        assert isinstance(found, PerInference)
        assert found.per_inference_uj == pytest.approx(512 * 2000 / many)


def test_a_load_that_adds_exactly_nothing_is_no_energy_of_zero() -> None:
    assert reason(energy_per_inference(steady(0.0, ()), BEFORE, AFTER, loads(10, 10))) == (
        "the load adds 0 mW to 1024 mW, which is within what this measurement can tell (0% of it); nothing shows that "
        "the load takes power at all"
    )


def test_a_load_of_less_than_a_uj_for_each_inference_has_its_share() -> None:
    """The interval is told as a share of what was found, however little that is."""
    noise = np.random.default_rng(4).normal(size=T.size) * 100
    trace = made(trace_of_power(T, 1024.0 + noise))
    many = tuple(Load(load.span, 1e9) for load in loads(1, 1, 1))
    few = tuple(Load(load.span, 1e3) for load in loads(1, 1, 1))
    assert reason(energy_per_inference(trace, BEFORE, AFTER, many)) == (
        reason(energy_per_inference(trace, BEFORE, AFTER, few))
    )


def test_when_longer_launches_would_help() -> None:
    """Missing readings of a launch of nine periods or more are no matter of its length."""
    gone = np.delete(np.arange(T.size), slice(48, 52))
    trace = made(trace_of_power(T[gone], np.full(gone.size, 1024.0)))
    period = 0.125 * S
    hint = "(a longer --min-seconds makes the windows longer)"
    for periods, short in ((8.75, True), (9.0, False), (9.5, False)):
        window = Load(Span(6 * S - period / 8, 6 * S - period / 8 + periods * period), 10)
        assert (hint in reason(energy_per_inference(trace, BEFORE, AFTER, (window, loads(1, 1)[1])))) is short


def test_launches_outside_of_the_idle_times_have_the_idle_power_of_the_nearer_one() -> None:
    """Idle power is on a line between the two middles, and level beyond them."""
    power = np.where(T < 10 * S, 1024.0, 1536.0)
    early = (Load(Span(0.0, 1 * S), 10), Load(Span(1 * S, 2 * S), 10))
    power = power + np.where(T < 2 * S, 4096.0, 0.0)
    found = energy_per_inference(made(trace_of_power(T, power)), Span(3 * S, 8 * S), AFTER, early)
    assert isinstance(found, PerInference)
    assert found.idle_power_mw == pytest.approx(1024.0)
    late = (Load(Span(19 * S, 20 * S), 10), Load(Span(20 * S, 21 * S), 10))
    power = np.where(T < 10 * S, 1024.0, 1536.0) + np.where(T >= 18.5 * S, 4096.0, 0.0)
    found = energy_per_inference(made(trace_of_power(T, power)), BEFORE, Span(12 * S, 18 * S), late)
    assert isinstance(found, PerInference)
    assert found.idle_power_mw == pytest.approx(1536.0)


def test_a_marker_where_nothing_else_was_looked_at() -> None:
    """Within one pulse there is nothing to compare it with, and three pulses are enough."""
    near = (-0.05 * S, 0.05 * S)
    assert clock_of_marker(pulsed(), PULSES, search_us=near) == pytest.approx(0.0, abs=1000.0)
    assert clock_of_marker(pulsed(), PULSES[1:], search_us=near) == pytest.approx(0.0, abs=1000.0)


@pytest.mark.parametrize("delay_us", [-50_000.0, 50_000.0])
def test_an_expected_marker_at_either_end_of_where_it_may_be(delay_us: float) -> None:
    found = clock_of_expected_marker(
        pulsed(-delay_us), PULSES, search_us=(-50_000.0, 50_000.0), height_mw=3000.0
    )
    assert found == pytest.approx(-delay_us, abs=1000.0)


def of_the_length_of(edges_us: tuple[float, float], pulses: list[Span]) -> Trace:
    t = np.linspace(*edges_us, 5000)
    power = np.full(t.size, 1000.0)
    for one in pulses:
        power[(t >= one.start_us) & (t < one.end_us)] += 3000.0
    return made(trace_of_power(t, power))


def test_a_trace_that_begins_and_ends_with_the_marker() -> None:
    edges = (PULSES[0].start_us, PULSES[-1].end_us)
    trace = of_the_length_of(edges, PULSES)
    assert height_of_marker(trace, PULSES, 0.0) == pytest.approx(3000.0, rel=0.02)
    assert math.isnan(height_of_marker(trace, PULSES, 1.0))
    assert math.isnan(height_of_marker(trace, PULSES, -1.0))
    # the last edge is at 0, and the finer steps of 1000 us and a little come by it at 1e-11
    end = edges[1]
    odd = [Span(one.start_us - end, one.end_us - end - (0.3 if one is PULSES[2] else 0)) for one in PULSES]
    trace = of_the_length_of((odd[0].start_us, 0.0), odd)
    assert reason(clock_of_expected_marker(trace, odd, search_us=(0.0, 1.0), height_mw=3000.0)) == (
        "the meter has no readings around the marker"
    )


def test_a_pulse_that_is_no_higher_than_a_pause() -> None:
    """High on the whole, as the other pulses are: but a part of the marker only."""
    t = np.arange(0.0, 60 * S, 1000.0)
    power = np.full(t.size, 1000.0)
    for one in PULSES[:-1]:
        power[(t >= one.start_us) & (t < one.end_us)] += 3000.0
    trace = made(trace_of_power(t, power))
    found = clock_of_expected_marker(trace, PULSES, search_us=(-20_000.0, 20_000.0), height_mw=3000.0)
    assert reason(found) == "what the meter saw looks like a part of the marker only"


def test_two_markers_between_which_the_clock_went_slower() -> None:
    """Each marker counts: the meter's seconds are 0.2 % short."""
    later = [Span(46 * S - one.end_us, 46 * S - one.start_us) for one in reversed(PULSES)]
    t = np.arange(0.0, 60 * S, 1000.0)
    high = [(t >= one.start_us) & (t < one.end_us) for one in (*PULSES, *later)]
    trace = made(trace_of_power(t * 1.002, np.where(np.any(high, axis=0), 4000.0, 1000.0)))
    offsets = [clock_of_marker(trace, pulses, search_us=(-60 * S, 60 * S)) for pulses in (PULSES, later)]
    first, second = (one for one in offsets if isinstance(one, float))
    clock = clock_of_offsets(PULSES, later, (first, second))
    assert not isinstance(clock, Refused)
    assert clock.drift == pytest.approx(1 / 1.002 - 1, abs=3e-4)


def test_times_to_look_in_that_begin_anywhere_but_last_no_longer_than_can_be_looked_at() -> None:
    """A clock that stood at 1970: how long the times are counts, not where they lie."""
    edges = sorted(edge for one in PULSES for edge in (one.start_us, one.end_us))
    most = MOST_PLACES * min(np.diff(edges)) / COARSE
    found = clock_of_marker(pulsed(), PULSES, search_us=(most, most + 5 * S))
    assert reason(found) == "the meter has no readings around the marker"
    found = clock_of_marker(pulsed(), PULSES, search_us=(most, 3 * most))
    assert reason(found) == (
        f"the times to look for the marker in are {2 * most / S:.3g} s long: the meter's clock was set meanwhile"
    )


@pytest.mark.parametrize(("change_mw", "other_work"), [(3.0, False), (3.5, True)])
def test_idle_power_has_changed_from_three_standard_errors_on(change_mw: float, other_work: bool) -> None:
    """Of both idle times: their variances are 1 and 0.25, so three are 3.35 mW."""
    idles = (energy._Idle(100.0, ((1.0, 5),)), energy._Idle(100.0 + change_mw, ((0.25, 5),)))
    assert isinstance(energy._other_work(idles, 1.0), Refused) is other_work
