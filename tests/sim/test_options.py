"""D1.2: what an address of a simulated device can say."""

from __future__ import annotations

import pytest

from edgekit.addresses import parse
from edgekit.errors import InputError, ProfileError
from edgekit.transports import connect
from edgekit.transports.sim.latency import LatencyShape
from edgekit.transports.sim.options import KNOWN, SimOptions, sim_options


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
        ("median_us=-3", "no device has such latencies"),
        ("modes=1,x", "not a number"),
        ("seed=-1", "not a whole number"),
        ("seed=1.5", "not a whole number"),
        ("sensors=maybe", "sensors=maybe"),
        ("at=3", "belongs to fault=vanish"),
        ("temperature=1000", "temperature"),
        ("temperature_seconds=0", "above 0"),
        ("power_idle_mw=-1", "negative"),
        ("seed=1&seed=2", "given twice"),
    ],
)
def test_what_cannot_be_is_said(query: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        connect(f"sim:pixel-8?{query}", timeout=5)
    assert caught.value.code == "E_SIM_OPTION"
    assert says in caught.value.message
    assert caught.value.hint


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
