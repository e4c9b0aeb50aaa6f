"""Which meter measures (D2.3): the one asked for, the profile's, or the best there; never another boundary in
silence."""

from __future__ import annotations

import pytest

from edgekit.errors import InputError
from edgekit.meters.base import Offer
from edgekit.meters.choice import choose, look_all
from edgekit.profiles.schema import Power
from edgekit.stats.traces import Refused
from tests.meters import trees
from tests.meters.trees import surveyed

pytestmark = pytest.mark.base
UA = Power(current_unit="uA")


def chosen(tree: dict[str, str], wanted: str | None = None, power: Power | None = None) -> str:
    """The meter's name, or why there is none."""
    seen = surveyed(tree, power)
    found = choose(wanted, look_all(seen), seen)
    return found.meter if isinstance(found, Offer) else found.reason


def test_counters_come_first_and_the_battery_last() -> None:
    everything = trees.PIXEL | trees.rapl() | trees.ORIN_NANO | trees.battery("-352000")
    assert chosen(everything, power=UA) == "odpm"
    assert chosen(trees.rapl() | trees.battery("-352000"), power=UA) == "rapl"
    assert chosen(trees.battery("-352000"), power=UA) == "battery"
    assert list(look_all(surveyed({})))[-3:] == ["battery", "battery-charge", "batterystats"]


def test_a_charge_counter_is_taken_on_request_only() -> None:
    assert "nothing on the device" in chosen(trees.battery("-352000"))
    assert chosen(trees.battery("-352000"), wanted="battery-charge") == "battery-charge"


def test_the_profile_s_meter_is_not_replaced_by_another() -> None:
    power = Power(meter="rpi-pmic")
    assert "the profile's meter rpi-pmic cannot measure" in chosen(trees.INA219, power=power)
    assert "there is: hwmon" in chosen(trees.INA219, power=power)
    assert chosen(trees.INA219, wanted="hwmon", power=power) == "hwmon"
    assert "no plug-in of that name" in chosen({}, power=Power(meter="no-such-meter"))


def test_on_a_simulated_device_the_profile_s_meter_is_one_in_name() -> None:
    seen = surveyed(trees.SIM, Power(meter="rpi-pmic"), simulated=True)
    found = choose(None, look_all(seen), seen)
    assert isinstance(found, Offer)
    assert found.meter == "sim"


def test_the_meter_that_edgekit_yaml_names_for_a_device_comes_before_the_profile_s() -> None:
    """Meters belong to a bench, profiles to a kind of device: `meter:` of the device's entry says what it is wired to."""
    seen = surveyed(trees.INA219 | trees.rapl(), Power(meter="rapl"))
    found = look_all(seen)
    for wanted, wired, name in ((None, "hwmon", "hwmon"), ("rapl", "hwmon", "rapl"), (None, None, "rapl")):
        offer = choose(wanted, found, seen, wired=wired)
        assert isinstance(offer, Offer)
        assert offer.meter == name
    gone = choose(None, found, seen, wired="bench-supply")
    assert isinstance(gone, Refused)
    assert gone.reason.startswith("the meter bench-supply, which edgekit.yaml names for this device, cannot")
    nothing = choose(None, found, seen, wired="none")
    assert isinstance(nothing, Refused)
    assert nothing.reason == "edgekit.yaml wants no meter for this device (meter: none)"


def test_none_and_what_is_not_there() -> None:
    assert "--meter none" in chosen(trees.INA219, wanted="none")
    silent = Power(meter="none")
    assert "the profile wants no meter" in chosen(trees.INA219, power=silent)
    assert chosen(trees.INA219, wanted="hwmon", power=silent) == "hwmon"
    with pytest.raises(InputError) as caught:
        chosen(trees.INA219, wanted="rapl")
    assert caught.value.code == "E_METER"
    assert "there is: hwmon" in caught.value.message
    assert caught.value.hint
    assert isinstance(choose(None, {}, surveyed({})), Refused)
