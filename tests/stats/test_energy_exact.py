"""Energy to the digit: formulas at their bounds, and what is said where there is no number (D2.4, D2-b1). A mutation of the
code that changes a number or a word is seen here; whether the numbers are right, test_energy.py and test_energy_truth.py
say against known truths."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgekit.stats.energy import Load, PerInference, Span, energy_per_inference, smallest_window_us
from edgekit.stats.markers import (
    ExternalClock,
    clock_of_expected_marker,
    clock_of_marker,
    clock_of_offsets,
    height_of_marker,
    on_device_clock,
)
from edgekit.stats.traces import (
    Refused,
    Trace,
    WindowEnergy,
    energy_in_window,
    float32_step_uj,
    sum_of,
    trace_of_counter,
    trace_of_power,
    unwrapped,
)

pytestmark = pytest.mark.base
S = 1e6
T10 = np.arange(10) * 1e5
"""A second at 10 Hz."""


def made(trace: Trace | Refused) -> Trace:
    assert isinstance(trace, Trace), trace
    return trace


def reason(found: object) -> str:
    assert isinstance(found, Refused), found
    return found.reason


def test_trapezoids() -> None:
    trace = made(trace_of_power(T10, [100.0, 300.0, *[100.0] * 8]))
    assert trace.energy_uj.tolist() == pytest.approx(
        [0, 20_000, 40_000, *[40_000 + 10_000 * n for n in range(1, 8)]]
    )
    assert (trace.step_uj, trace.counts, trace.period_us) == (0.0, False, 1e5)


def test_readings_that_are_none_are_left_out() -> None:
    power = [math.nan, *[100.0] * 8, math.inf]
    assert made(trace_of_power(T10, power)).t_us.tolist() == T10[1:-1].tolist()
    t = T10.copy()
    t[0] = math.nan
    assert made(trace_of_power(t, [100.0] * 10)).t_us.size == 9
    assert reason(trace_of_power(T10, [math.nan] * 3 + [1.0] * 7)) == "the meter gave 7 readings"
    assert made(trace_of_power(T10, [math.nan] * 2 + [1.0] * 8)).t_us.size == 8


def test_times_have_to_grow() -> None:
    twice = np.sort(np.concatenate((T10, T10[:1])))
    assert reason(trace_of_power(twice, [1.0] * 11)) == "the times of the readings go back"
    assert made(trace_of_counter(twice, np.arange(11.0))).t_us.size == 10
    # the first of two readings of one moment counts
    assert made(trace_of_counter(twice, [0.0, 500.0, *range(1000, 10_000, 1000)])).energy_uj[1] == 1000.0


def test_more_than_any_device_takes() -> None:
    assert made(trace_of_power(T10, [2e6, *[1.0] * 9])).t_us.size == 10
    assert (
        reason(trace_of_power(T10, [-2.5e6, *[1.0] * 9]))
        == "a reading of 2.5e+03 W is more than any device takes"
    )
    most = np.arange(10) * 2e8
    assert made(trace_of_counter(T10, most)).energy_uj[-1] == 1.8e9
    jump = "the counter jumped by more than any device takes: it was reset"
    assert reason(trace_of_counter(T10, most * 1.001)) == jump
    assert reason(trace_of_counter(T10, [*range(9), 2e8 + 9])) == jump


def test_rails_that_are_silent() -> None:
    assert reason(trace_of_power(T10, np.zeros(10))) == "the rails are silent: every reading is 0"
    assert reason(trace_of_counter(T10, np.full(10, 7.0))) == "the rails are silent: the counter stands still"
    assert made(trace_of_power(T10, [0.0] * 9 + [1.0])).energy_uj[-1] == pytest.approx(50)


def test_a_counter_to_the_uj() -> None:
    trace = made(trace_of_counter(T10, 5.0 + np.arange(10)))
    assert (trace.energy_uj.tolist(), trace.step_uj, trace.counts) == (list(range(10)), 1.0, True)
    assert made(trace_of_counter(T10, np.arange(10), step_uj=61.0)).step_uj == 61.0
    wrapped = made(trace_of_counter(T10, [7, 8, 9, 0, 1, 2, 3, 4, 5, 6], range_uj=10))
    assert wrapped.energy_uj.tolist() == list(range(10))
    assert reason(trace_of_counter(T10, [7, 8, 9, 0, 1, 2, 3, 4, 5, 6])) == (
        "the counter went back: it was reset, or began at 0 again"
    )
    assert np.asarray(unwrapped(np.array([3.0, 3.0, 5.0]), None)).tolist() == [0, 0, 2]
    assert np.asarray(unwrapped(np.array([3.0, 3.0, 5.0]), 6.0)).tolist() == [0, 0, 2]
    assert "went back" in reason(unwrapped(np.array([9.0, 1.0]), 7.0))


def test_the_sum_of_two_rails_with_times_of_their_own() -> None:
    one = Trace(np.array([0.0, 1.0, 2.0, 3.0, 4.0]), np.array([0.0, 10.0, 20.0, 30.0, 40.0]), 3.0, True)
    other = Trace(np.array([1.0, 2.5, 3.0]), np.array([100.0, 103.0, 104.0]), 4.0, True)
    both = sum_of([one, other])
    assert both.t_us.tolist() == [1.0, 2.0, 3.0]
    assert both.energy_uj.tolist() == [0.0, 12.0, 24.0]
    assert (both.step_uj, both.counts) == (5.0, True)
    assert sum_of([one, Trace(other.t_us, other.energy_uj)]).counts is False
    apart = sum_of([one, Trace(np.array([7.0, 8.0]), np.array([0.0, 1.0]))])
    assert (apart.t_us.size, apart.energy_uj.size) == (0, 0)


def test_a_window_of_samples_to_the_digit() -> None:
    """Readings that swing by 20 mW about 100: the noise of one is 2 x 20 x sqrt(mean of bends), told three times over."""
    trace = made(trace_of_power(T10, 100.0 + 20 * (-1.0) ** np.arange(10) + np.arange(10) % 3))
    found = energy_in_window(trace, 0.0, 9e5 + 1)
    assert isinstance(found, WindowEnergy)
    power = float(trace.energy_uj[-1]) / 9e5 * 1000
    assert (found.readings, found.power_mw) == (10, pytest.approx(power))
    assert found.energy_uj == pytest.approx(power * (9e5 + 1) / 1000)
    powers = np.diff(trace.energy_uj) / 1e5 * 1000
    bends = powers[1:-1] - (powers[:-2] + powers[2:]) / 2
    noise = 2 * math.sqrt(float(np.mean(bends**2)))
    assert noise > 0.1
    assert found.error_uj == pytest.approx(3 * noise / math.sqrt(10) * (9e5 + 1) / 1000)


def test_a_window_of_a_counter_to_the_digit() -> None:
    trace = made(
        trace_of_counter(T10, np.cumsum([0, 10, 12, 10, 12, 10, 12, 10, 12, 10]) * 1000.0, step_uj=61.0)
    )
    found = energy_in_window(trace, 0.5e5, 8.5e5)
    assert isinstance(found, WindowEnergy)
    assert (found.readings, found.power_mw) == (8, pytest.approx(78e3 / 7e5 * 1000))
    assert found.energy_uj == pytest.approx(found.power_mw * 800)
    spread = float(np.std([120, 100, 120, 100, 120, 100, 120], ddof=1))
    assert found.error_uj == pytest.approx(61 + 3 * spread * 1e5 / 1000)
    sure = energy_in_window(trace, 0.5e5, 8.5e5, tolerance=found.error_uj / found.energy_uj * 1.0001)
    assert isinstance(sure, WindowEnergy)
    assert reason(energy_in_window(trace, 0.5e5, 8.5e5, tolerance=0.01)) == (
        f"the energy of this window is sure to {found.error_uj / found.energy_uj:.1%} only"
    )


def test_windows_at_their_bounds() -> None:
    trace = made(trace_of_power(np.arange(40) * 1e5, [100.0] * 40))
    assert isinstance(energy_in_window(trace, 0.0, 8e5), WindowEnergy), (
        "eight readings: the last is at its end, outside"
    )
    assert reason(energy_in_window(trace, 1.0, 8e5)) == (
        "a window of 0.8 s has 7 readings of this meter: at least 0.8 s are needed"
    )
    assert reason(energy_in_window(trace, 8e5, 8e5)) == "the window has no length"
    assert reason(energy_in_window(trace, 0.0, math.nan)) == "the window has no length"
    # 2.5 periods without a reading are allowed, or 1 % of the window
    assert isinstance(energy_in_window(trace, -2.5e5, 20e5), WindowEnergy)
    late = "readings are missing: none for 251 ms, one each 100 ms"
    assert reason(energy_in_window(trace, -2.51e5, 20e5)) == late
    assert reason(energy_in_window(trace, 20e5, 39e5 + 2.51e5)) == late
    long = made(trace_of_power(np.delete(np.arange(1000) * 1e5, slice(500, 509)), [100.0] * 991))
    assert isinstance(energy_in_window(long, 0.0, 1000e5), WindowEnergy)
    assert "none for 1000 ms" in reason(energy_in_window(long, 10e5, 999e5))
    counted = made(trace_of_counter(np.delete(np.arange(40) * 1e5, slice(10, 14)), np.arange(36.0)))
    assert isinstance(energy_in_window(counted, 0.0, 39e5), WindowEnergy), "a counter has what happened there"


def test_steps_of_float32() -> None:
    assert [float32_step_uj(at) for at in (-6.1e8, 1e9, 160e6, 2e8)] == [64.0, 64.0, 10.0 + 6, 16.0]


def test_the_smallest_window_to_the_digit() -> None:
    asked = {"period_us": 1e5, "noise_mw": 50.0, "step_uj": 5000.0, "added_mw": 1000.0, "wanted": 0.02}
    a, b, c = (0.02 * 1000 / 2) ** 2, 50.0**2 * 1e5, 5e6**2 / 6
    assert smallest_window_us(**asked) == pytest.approx((b + math.sqrt(b * b + 4 * a * c)) / (2 * a))
    assert smallest_window_us(period_us=1e5, noise_mw=0.01, step_uj=0.0, added_mw=0.5) == 8e5
    assert smallest_window_us(period_us=1e5, noise_mw=1.0, step_uj=0.0, added_mw=-1.0) == math.inf
    assert smallest_window_us(period_us=1e5, noise_mw=1.0, step_uj=0.0, added_mw=math.nan) == math.inf


T = np.arange(0.03, 21.5, 0.1) * S
BEFORE, AFTER = Span(0.0, 5 * S), Span(16 * S, 21 * S)
LOADS = tuple(
    Load(Span(a * S, (a + 1.5) * S), n)
    for a, n in ((6.0, 300), (8.0, 310), (10.0, 290), (12.0, 150), (14.0, 300))
)


LONG = (Load(Span(6 * S, 15.5 * S), 1350),)


def measured(
    *, added_mw: float = 3500.0, noise: float = 0.02, step_uj: float = 0.0, grows: float = 0.05
) -> Trace:
    random = np.random.default_rng(11)
    power = 2500.0 * (1 + grows * T / T[-1])
    for load in LOADS:
        inside = (load.span.start_us - 0.2 * S <= T) & (load.span.end_us > T)
        power = power + inside * added_mw * load.inferences / 300
    power = power * (1 + noise * random.normal(size=T.size))
    if step_uj:
        energy = np.concatenate(([0.0], np.cumsum((power[1:] + power[:-1]) / 2 * np.diff(T) / 1000)))
        return made(trace_of_counter(T, np.floor(energy / step_uj) * step_uj, step_uj=step_uj))
    return made(trace_of_power(T, power))


def told(found: PerInference | Refused) -> list[float]:
    assert isinstance(found, PerInference), found
    return [found.per_inference_uj, *found.ci95_uj, found.idle_power_mw, found.mean_power_mw, found.window_us]


EXACT: dict[str, list[float]] = {
    "a coarse counter": [
        17490.43083900226,
        17360.545108201717,
        17620.316569802802,
        2562.7167346938772,
        5710.994285714284,
        7500000.0,
    ],
    "a counter": [
        17516.444150368476,
        17327.872545930994,
        17705.015754805958,
        2558.8011957908157,
        5711.761142857142,
        7500000.0,
    ],
    "little above idle": [
        1508.2664882005265,
        1453.6541493902291,
        1562.878827010824,
        2498.1367228691174,
        2769.6246907452114,
        7500000.0,
    ],
    "noisy samples": [
        17664.26837615444,
        15803.785289580434,
        19524.751462728444,
        2524.676245286546,
        5704.244552994344,
        7500000.0,
    ],
    "one launch": [
        19736.302049440998,
        14025.994802857487,
        25446.609296024508,
        2558.796369279011,
        5363.428765778522,
        9500000.0,
    ],
    "samples": [
        17516.426837615407,
        17327.814043062648,
        17705.039632168166,
        2558.796369279011,
        5711.753200049784,
        7500000.0,
    ],
    "two launches": [
        17526.61274527363,
        16332.761215666527,
        18720.46427488073,
        2564.898061777565,
        5135.467931084364,
        3000000.0,
    ],
}


@pytest.mark.parametrize(
    ("name", "settings", "loads"),
    [
        ("samples", {}, LOADS),
        ("noisy samples", {"noise": 0.2}, LOADS),
        ("a counter", {"step_uj": 61.0}, LOADS),
        ("a coarse counter", {"step_uj": 65_536.0, "noise": 0.0}, LOADS),
        ("one launch", {}, LONG),
        ("two launches", {}, LOADS[2:4]),
        ("little above idle", {"added_mw": 300.0, "noise": 0.01, "grows": 0.0}, LOADS),
    ],
)
def test_energy_per_inference_to_the_digit(
    name: str, settings: dict[str, float], loads: tuple[Load, ...]
) -> None:
    """Worked out once, with the code that benchmarks/energy.py holds against known truths."""
    assert told(energy_per_inference(measured(**settings), BEFORE, AFTER, loads)) == pytest.approx(
        EXACT[name], rel=1e-9
    )


def test_no_energy_and_why() -> None:
    trace = measured()
    assert reason(energy_per_inference(trace, BEFORE, AFTER, ())) == "no launch gave inferences"
    assert reason(energy_per_inference(trace, BEFORE, AFTER, (LOADS[0], Load(LOADS[1].span, 0)))) == (
        "no launch gave inferences"
    )
    early, late = Span(-9 * S, -4 * S), Span(30 * S, 35 * S)
    none = "a window of 5 s has 0 readings of this meter: at least 0.8 s are needed"
    assert (
        reason(energy_per_inference(trace, early, AFTER, LOADS)) == f"idle power before the launches: {none}"
    )
    assert (
        reason(energy_per_inference(trace, BEFORE, late, LOADS)) == f"idle power after the launches: {none}"
    )
    short = (Load(Span(6 * S, 6.7 * S), 10), Load(Span(8 * S, 8.7 * S), 10))
    assert reason(energy_per_inference(trace, BEFORE, AFTER, short)) == (
        "a window of 0.7 s has 7 readings of this meter: at least 0.8 s are needed (a longer --min-seconds makes "
        "the windows longer)"
    )
    behind = (Load(Span(21 * S, 23 * S), 10), Load(Span(8 * S, 9 * S), 10))
    assert reason(energy_per_inference(trace, BEFORE, AFTER, behind)) == (
        "a window of 2 s has 5 readings of this meter: at least 0.8 s are needed"
    )


REASONS: dict[str, str] = {
    "less": "the load adds -33 mW to 2496 mW, which is within what this "
    "measurement can tell (56% of it); nothing shows that the load takes "
    "power at all",
    "nothing": "the load adds 2.98 mW to 2496 mW, which is within what this "
    "measurement can tell (629% of it); for 5% it would take 5e+03 s "
    "of load",
    "other work": "idle power went from 2638 to 3576 mW while the load adds 903 "
    "mW: something else is at work there",
}


def test_what_a_load_that_cannot_be_told_would_take() -> None:
    found = {
        "nothing": reason(energy_per_inference(measured(added_mw=0.0, grows=0.0), BEFORE, AFTER, LOADS)),
        "less": reason(energy_per_inference(measured(added_mw=-40.0, grows=0.0), BEFORE, AFTER, LOADS)),
        "other work": reason(
            energy_per_inference(measured(grows=0.5, added_mw=1000.0), BEFORE, AFTER, LOADS)
        ),
    }
    assert found == REASONS


def test_idle_power_may_change_by_a_quarter_of_what_the_load_adds() -> None:
    """Exactly known power: 2500 mW before, more after."""
    power = np.where(T < 15.5 * S, 2500.0, 2500.0 + 220.0)
    for load in LOADS:
        power = power + ((load.span.start_us - 0.2 * S <= T) & (load.span.end_us > T)) * 1100.0
    assert isinstance(
        energy_per_inference(made(trace_of_power(T, power)), BEFORE, AFTER, LOADS), PerInference
    )
    power = np.where(T < 15.5 * S, power, power + 80)
    assert "something else is at work there" in reason(
        energy_per_inference(made(trace_of_power(T, power)), BEFORE, AFTER, LOADS)
    )


PULSES = [Span(a * S, b * S) for a, b in ((1.0, 1.3), (1.8, 2.6), (3.0, 3.2), (4.1, 4.6))]


WIDE = (-3 * S, 50 * S)


def pulsed(
    offset_us: float = 0.0, *, until_s: float = 60.0, period_us: float = 1000.0, height: float = 3000.0
) -> Trace:
    grid = np.arange(0.0, until_s * S, period_us)
    power = np.full(grid.size, 1000.0)
    for one in PULSES:
        power[(grid >= one.start_us) & (grid < one.end_us)] += height
    return made(trace_of_power(grid - offset_us, power))


MARKS: dict[str, float] = {
    "beside": 1753.8045486111102,
    "early": -987000.0,
    "expected": 13000.0,
    "found": 124000.0,
    "height": 2992.8506944444443,
    "slow": 123500.0,
}


def test_offsets_to_the_us() -> None:
    near = (-0.05 * S, 0.05 * S)
    found = {
        "found": clock_of_marker(pulsed(123_456.0), PULSES, search_us=WIDE),
        "early": clock_of_marker(pulsed(-987_654.0), PULSES, search_us=WIDE),
        "slow": clock_of_marker(pulsed(123_456.0, period_us=70_000.0), PULSES, search_us=WIDE),
        "expected": clock_of_expected_marker(pulsed(12_345.0), PULSES, search_us=near, height_mw=3000.0),
        "height": height_of_marker(pulsed(12_345.0), PULSES, 12_345.0),
        "beside": height_of_marker(pulsed(12_345.0), PULSES, 100_000.0),
    }
    assert {name: float(value) for name, value in found.items()} == pytest.approx(MARKS, rel=1e-9)  # type: ignore[arg-type]
    assert math.isnan(height_of_marker(pulsed(), PULSES, 20 * S))


def test_markers_that_are_refused_and_why() -> None:
    assert reason(clock_of_marker(pulsed(), PULSES[:2], search_us=WIDE)) == "a marker has at least 3 pulses"
    shorter = "the marker's pulses are shorter than two periods of the meter"
    assert reason(clock_of_marker(pulsed(period_us=100_500.0), PULSES, search_us=WIDE)) == shorter
    assert not isinstance(clock_of_marker(pulsed(period_us=100_000.0), PULSES, search_us=WIDE), Refused)
    assert reason(clock_of_marker(pulsed(), PULSES, search_us=(0.0, 0.0))) == (
        "there is no time to look for the marker in"
    )
    nowhere = "the meter has no readings around the marker"
    far = (100 * S, 101 * S)
    assert reason(clock_of_marker(pulsed(), PULSES, search_us=far)) == nowhere
    assert reason(clock_of_expected_marker(pulsed(), PULSES, search_us=far, height_mw=1.0)) == nowhere
    assert reason(clock_of_marker(pulsed(height=0.0), PULSES, search_us=WIDE)) == (
        "the marker does not stand out in what the meter saw"
    )
    low = "what the meter saw is not as high as the marker before"
    near = (-0.05 * S, 0.05 * S)
    assert reason(clock_of_expected_marker(pulsed(), PULSES, search_us=near, height_mw=6100.0)) == low
    assert not isinstance(
        clock_of_expected_marker(pulsed(), PULSES, search_us=near, height_mw=5900.0), Refused
    )


def test_the_rate_of_a_clock() -> None:
    later = [Span(one.start_us + 100 * S, one.end_us + 100 * S) for one in PULSES]
    found = clock_of_offsets(PULSES, later, (5 * S, 5.5 * S))
    assert isinstance(found, ExternalClock)
    # 100 s of the device are 99.5 s of the meter; the middle of the first marker is 2.8 s
    assert found.drift == pytest.approx(100 / 99.5 - 1)
    assert found.offset_us == pytest.approx(2.8 * S - (100 / 99.5) * (2.8 - 5) * S)
    assert found.device_us(np.array([-2.2 * S, 97.3 * S])).tolist() == pytest.approx([2.8 * S, 102.8 * S])
    off = "the meter's clock and the device's differ by {}: one of them is no clock"
    assert reason(clock_of_offsets(PULSES, later, (0.0, 2 * S))) == off.format("2.0%")
    assert reason(clock_of_offsets(PULSES, later, (0.0, 100 * S))) == off.format("inf%")
    assert reason(clock_of_offsets(PULSES, later, (0.0, 101 * S))) == off.format("inf%")
    assert not isinstance(clock_of_offsets(PULSES, later, (0.0, 0.99 * S)), Refused)
    assert not isinstance(clock_of_offsets(PULSES, later, (0.0, -1.0 * S)), Refused)


def test_readings_on_the_clock_of_the_device() -> None:
    clock = ExternalClock(1000.0, 0.01)
    samples = on_device_clock(Trace(np.array([0.0, 100.0]), np.array([0.0, 50.0]), 2.0), clock)
    assert (samples.t_us.tolist(), samples.energy_uj.tolist()) == ([1000.0, 1101.0], [0.0, 50.5])
    assert (samples.step_uj, samples.counts) == (2.0, False)
    counted = on_device_clock(Trace(np.array([0.0, 100.0]), np.array([0.0, 50.0]), 2.0, True), clock)
    assert (counted.energy_uj.tolist(), counted.counts) == ([0.0, 50.0], True)
