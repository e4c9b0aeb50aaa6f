"""D1.2: what an address of a simulated device can say."""

from __future__ import annotations

import time

import pytest

from edgekit.addresses import parse
from edgekit.errors import InputError, ProfileError, RemoteError
from edgekit.models import open_model
from edgekit.transports import connect
from edgekit.transports.sim.latency import LatencyShape
from edgekit.transports.sim.options import _BOUNDS, _PLAIN, _SHAPE, KNOWN, SimOptions, sim_options
from tests.sim.devices import MODEL, address, bench, opened, push

SIM = SimOptions(profile="pixel-8", shape=LatencyShape())


def test_nothing_said_is_the_usual_device() -> None:
    assert sim_options(parse("sim:pixel-8")) == SimOptions(profile="pixel-8", shape=LatencyShape())


def test_every_kind_of_option() -> None:
    text = (
        "sim:pixel-8?seed=7&median_us=1200.5&within_sd=0.02&throttle_at_s=3&modes=1,1.08&mode_shares=3,1"
        "&warmup_iterations=2&temperature=50&temperature_rise=30&power_idle_mw=900&disk=64MiB&sensors=no"
        "&fault=wrong-outputs&after=2&state=/tmp/x"
    )
    options = sim_options(parse(text))
    assert options.shape == LatencyShape(
        median_us=1200.5,
        within_sd=0.02,
        throttle_at_s=3.0,
        modes=(1.0, 1.08),
        mode_shares=(3.0, 1.0),
        warmup_iterations=2,
    )
    assert (options.seed, options.fault, options.after, options.sensors) == (7, "wrong-outputs", 2, False)
    assert (options.temperature_c, options.temperature_start_c, options.temperature_rise_c) == (50, 50, 30)
    assert (options.power_idle_mw, options.disk_bytes, str(options.state)) == (900, 64 << 20, "/tmp/x")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("driff=0.1", "did you mean 'drift'"),
        ("nothing=1", "no option 'nothing'"),
        ("fault=explode", "no fault 'explode'"),
        ("median_us=fast", "not a number"),
        ("median_us=nan", "not a number"),
        ("median_us=-3", "median_us=-3: no device has that"),
        ("autocorrelation=1", "no device has such latencies"),
        ("modes=1,x", "not a number"),
        ("seed=-1", "not a whole number"),
        ("seed=1.5", "not a whole number"),
        ("sensors=maybe", "sensors=maybe"),
        ("at=3", "belongs to fault=vanish"),
        ("temperature=1000", "temperature"),
        ("temperature_seconds=0", "temperature_seconds=0"),
        ("power_idle_mw=-1", "power_idle_mw=-1"),
        ("seed=1&seed=2", "given twice"),
        ("median_us=1e-300", "median_us"),
        ("median_us=0.001&clock_step_us=1", "median_us"),
        ("median_us=2&clock_step_us=2", "no less than a latency"),
        ("median_us=1e10", "median_us"),
        ("median_us=10&modes=0.01,1", "a latency of 0.1 us"),
        ("median_us=10&drift=-0.99", "a latency of 0.1 us"),
        ("outlier_factor=1e300", "outlier_factor"),
        ("modes=1,1e300", "modes"),
        ("modes=1,2&mode_shares=1e308,1e308", "mode_shares"),
        ("modes=1,2&mode_seconds=1e-9", "mode_seconds"),
        ("median_us=1e9&modes=1,2&mode_seconds=1", "mode_seconds=1: from 10 with"),
        ("launch_sd=1", "launch_sd"),
        ("within_sd=1000", "within_sd"),
        ("warmup_iterations=999999999999999999", "warmup_iterations"),
        ("power_active_mw=1e307", "power_active_mw"),
        ("temperature_rise=1e306", "temperature_rise"),
        ("temperature_rise=-1e306", "temperature_rise"),
        ("temperature_start=1e306", "temperature_start"),
        ("temperature_seconds=1e-320", "temperature_seconds"),
        ("disk=2000TiB", "no device has such a disk"),
        ("disk=0B", "no device has such a disk"),
    ],
)
def test_what_cannot_be_is_said(query: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        connect(f"sim:pixel-8?{query}", timeout=5)
    assert caught.value.code == "E_SIM_OPTION"
    assert says in caught.value.message
    assert caught.value.hint


def test_every_number_has_bounds_and_its_usual_value_is_inside() -> None:
    """Without them one option alone makes a bench that never ends."""
    assert set(_BOUNDS) == {*_PLAIN, *_SHAPE} - {
        "autocorrelation",
        "outlier_share",
    }  # LatencyShape has theirs
    usual = {key: _SHAPE[key] for key in _SHAPE} | {key: getattr(SIM, field) for key, field in _PLAIN.items()}
    for key, (low, high) in _BOUNDS.items():
        values = usual[key] if isinstance(usual[key], tuple) else (usual[key],)
        assert all(value is None or low <= value <= high for value in values)


@pytest.mark.parametrize(
    "extreme",
    [
        {"median_us": 1},
        {"median_us": 1e9, "first_factor": 100, "outlier_factor": 100, "outlier_share": 1, "drift": 99},
        {"within_sd": 1, "launch_sd": 0.5, "autocorrelation": 0.999},
        {"modes": "1,100", "mode_seconds": 0.01, "median_us": 1e6},
        {"modes": "1,100", "mode_seconds": 10, "median_us": 1e9},
        {
            "median_us": 1e8,
            "modes": "0.01,1",
            "launch_modes": "0.01,1",
            "throttle_factor": 0.01,
            "throttle_at_s": 0,
        },
        {"temperature": 200, "temperature_rise": 200, "temperature_seconds": 0.001, "power_active_mw": 1e7},
        {"clock_step_us": 4999},
    ],
)
def test_a_bench_at_the_bounds_ends(extreme: dict[str, object]) -> None:
    with opened(address(**extreme)) as device:
        push(open_model(MODEL), device, smoke=False)
        began = time.monotonic()
        try:
            bench(device, iterations=20, min_seconds=0.1, launches=3)
        except RemoteError as error:
            if error.code != "E_RUNNER_TIMEOUT":  # a latency of many minutes is past a launch's deadline
                raise
        assert time.monotonic() - began < 100


def test_an_unknown_option_names_the_known_ones() -> None:
    with pytest.raises(InputError) as caught:
        sim_options(parse("sim:pixel-8?x=1"))
    assert all(name in (caught.value.hint or "") for name in KNOWN)


def test_profiles_that_cannot_be_simulated() -> None:
    with pytest.raises(InputError) as caught:
        connect("sim:iphone-15", timeout=5)
    assert caught.value.code == "E_SIM_PROFILE"
    with pytest.raises(ProfileError):
        connect("sim:pixel-88", timeout=5)
