"""Every built-in meter on constructed data (D2.3, D2-b2): the right rails, units and boundary, or an honest reason."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from edgekit.meters.base import Meter, Missing, Offer, Reading, Survey
from edgekit.meters.battery import BatteryChargeMeter, BatteryMeter
from edgekit.meters.hwmon import HwmonMeter
from edgekit.meters.iio import IioRailsMeter, OdpmMeter
from edgekit.meters.pmic import OUTPUT, PmicMeter
from edgekit.meters.rapl import RaplMeter
from edgekit.meters.reading import trace_of
from edgekit.parse.odpm import parse_odpm
from edgekit.profiles.schema import Power
from edgekit.registry import plugins
from edgekit.stats.traces import Refused, Trace
from tests.meters import trees
from tests.meters.contract import InstrumentContract, MeterContract
from tests.meters.trees import surveyed
from tests.parse.outputs import output

pytestmark = pytest.mark.base
Texts = Mapping[str, str | None]
UA = Power(current_unit="uA", discharge_sign=-1)


def offered(found: Offer | Missing) -> Offer:
    assert isinstance(found, Offer), found
    return found


def missing(found: Offer | Missing) -> Missing:
    assert isinstance(found, Missing), found
    return found


class TestHwmonOrinNano(MeterContract):
    """VDD_IN has the other rails in it: taken alone."""

    name = "hwmon"
    power_mw = 4825.0

    def seen(self) -> Survey:
        return surveyed(trees.ORIN_NANO)

    def texts(self, t_us: float) -> Texts:
        return trees.ORIN_NANO

    def silent(self, t_us: float) -> Texts:
        return trees.ina3221(1, {1: ("VDD_IN", 5000, 0)})


class TestHwmonAgxOrin(MeterContract):
    """No total, two chips: the sum of what is connected and no part of another."""

    name = "hwmon"
    power_mw = 2390.0 + 800 + 3520

    def seen(self) -> Survey:
        return surveyed(trees.AGX_ORIN)

    def texts(self, t_us: float) -> Texts:
        return trees.AGX_ORIN

    def silent(self, t_us: float) -> Texts:
        return dict.fromkeys(trees.AGX_ORIN, "0\n")


class TestHwmonIna219(MeterContract):
    name = "hwmon"
    power_mw = 4660.0

    def seen(self) -> Survey:
        return surveyed(trees.INA219)

    def texts(self, t_us: float) -> Texts:
        return trees.INA219

    def silent(self, t_us: float) -> Texts:
        return dict.fromkeys(trees.INA219, "0\n")


class TestIioXavier(MeterContract):
    name = "ina3221-iio"
    power_mw = 1155.0 + 385 + 2504 + 0 + 192 + 2692

    def seen(self) -> Survey:
        return surveyed(trees.XAVIER)

    def texts(self, t_us: float) -> Texts:
        return trees.XAVIER

    def silent(self, t_us: float) -> Texts:
        return dict.fromkeys(trees.XAVIER, "0\n")


class TestOdpm(MeterContract):
    """Four rails at 250 mW each, read from the chip every 50 ms."""

    name = "odpm"
    power_mw = 1000.0

    def seen(self) -> Survey:
        return surveyed(trees.PIXEL)

    def texts(self, t_us: float) -> Texts:
        ms = int(t_us / 50_000) * 50
        names = ("PPVAR_VSYS_PWR_DISP", "S2M_VDD_CPUCL2", "S3M_VDD_CPUCL1", "S4M_VDD_CPUCL0")
        lines = [f"t={ms}"]
        lines += [f"CH{n}(T={ms})[{name}], {10**9 + ms * 250}" for n, name in enumerate(names)]
        return {"/sys/bus/iio/devices/iio:device0/energy_value": "\n".join(lines) + "\n"}

    def silent(self, t_us: float) -> Texts:
        text = self.texts(t_us)["/sys/bus/iio/devices/iio:device0/energy_value"] or ""
        lines = [
            line.rpartition(" ")[0] + " 7" if line.startswith("CH") else line for line in text.splitlines()
        ]
        return {"/sys/bus/iio/devices/iio:device0/energy_value": "\n".join(lines) + "\n"}


class TestRapl(MeterContract):
    """Two packages and a dram at 15 W each; the core inside and the mmio twin do not count again."""

    name = "rapl"
    power_mw = 45_000.0

    def seen(self) -> Survey:
        return surveyed(trees.rapl())

    def texts(self, t_us: float) -> Texts:
        # begins at 0 again in the middle
        return trees.rapl((262_143_328_850 - 90_000_000 + int(t_us * 15)) % 262_143_328_850)

    def silent(self, t_us: float) -> Texts:
        return trees.rapl()


class TestPmic(MeterContract):
    name = "rpi-pmic"
    power_mw = 7239.82

    def seen(self) -> Survey:
        return Survey(outputs={OUTPUT: output("pmic_pi5")})

    def texts(self, t_us: float) -> Texts:
        return {OUTPUT: output("pmic_pi5")}

    def silent(self, t_us: float) -> Texts:
        lines = [
            line.partition("=")[0] + "=0.00000000" + line[-1] for line in output("pmic_pi5").splitlines()
        ]
        return {OUTPUT: "\n".join(lines) + "\n"}


class TestBattery(MeterContract):
    """352 mA at 3906 mV."""

    name = "battery"
    power_mw = 352 * 3.906

    def seen(self) -> Survey:
        return surveyed(trees.battery("-352000"), UA)

    def texts(self, t_us: float) -> Texts:
        return trees.battery("-352000")

    def silent(self, t_us: float) -> Texts:
        return trees.battery("0")


class TestBatteryCharge(MeterContract):
    """100 uAh a second at 3906 mV: 1.406 W."""

    name = "battery-charge"
    power_mw = 100 * 3600 * 3.906 / 1000

    def seen(self) -> Survey:
        return surveyed(trees.battery("-352000"))

    def texts(self, t_us: float) -> Texts:
        charge = 2_848_000 - int(t_us / 1e6) * 100
        return {
            path: f"{charge}\n" if path.endswith("/charge_counter") else text
            for path, text in trees.battery("-352000").items()
        }

    def silent(self, t_us: float) -> Texts:
        return trees.battery("-352000")


class TestLaptopPower(MeterContract):
    """power_now, in uW by ACPI: no unit has to be asked for."""

    name = "battery"
    power_mw = 12_500.0

    def seen(self) -> Survey:
        return surveyed(trees.laptop())

    def texts(self, t_us: float) -> Texts:
        return trees.laptop()

    def silent(self, t_us: float) -> Texts:
        return trees.laptop("0")


class TestLaptopEnergy(MeterContract):
    """energy_now, which falls by 4 mWh a second: 14.4 W."""

    name = "battery-charge"
    power_mw = 14_400.0

    def seen(self) -> Survey:
        return surveyed(trees.laptop())

    def texts(self, t_us: float) -> Texts:
        return trees.laptop(energy=str(41_230_000 - int(t_us / 1e6) * 4000))

    def silent(self, t_us: float) -> Texts:
        return trees.laptop()


class TestSim(MeterContract):
    name = "sim"
    power_mw = 2500.0

    def seen(self) -> Survey:
        return surveyed(trees.SIM, simulated=True)

    def texts(self, t_us: float) -> Texts:
        return trees.SIM

    def silent(self, t_us: float) -> Texts:
        return dict.fromkeys(trees.SIM, "0\n")


def test_every_built_in_meter_has_its_contract() -> None:
    from tests.meters import test_command_meters, test_joulescope, test_perfetto

    assert test_command_meters
    assert test_joulescope
    assert test_perfetto
    contracts = (*MeterContract.__subclasses__(), *InstrumentContract.__subclasses__())
    tested = {one.name for one in contracts}
    assert tested == set(plugins("meters"))


def test_jetson_boundaries() -> None:
    nano = offered(HwmonMeter().look(surveyed(trees.ORIN_NANO)))
    assert (nano.rails, nano.boundary) == (("VDD_IN",), "module-input")
    assert len(nano.paths) == 2
    agx = offered(HwmonMeter().look(surveyed(trees.AGX_ORIN)))
    assert agx.boundary == "soc-rails"
    assert agx.rails == ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")
    assert "VDDQ_VDD2_1V8AO is in VIN_SYS_5V0" in agx.excluded
    old = offered(IioRailsMeter().look(surveyed(trees.NANO)))
    assert (old.rails, old.boundary) == (("POM_5V_IN",), "module-input")


def test_two_sensors_of_which_nothing_says_what_they_feed() -> None:
    second = {path.replace("hwmon0", "hwmon1"): text for path, text in trees.INA219.items()}
    assert "2 sensors" in missing(HwmonMeter().look(surveyed(trees.INA219 | second))).reason


def test_a_board_with_thermal_sensors_only_is_told_what_it_would_take() -> None:
    found = missing(HwmonMeter().look(surveyed(trees.THERMAL_ONLY)))
    assert found.needed is not None
    assert "INA219" in found.needed


def test_the_profile_says_where_a_user_put_the_sensor() -> None:
    assert offered(HwmonMeter().look(surveyed(trees.INA219, Power(boundary="wall")))).boundary == "wall"


def test_rails_that_only_root_may_read() -> None:
    path = "/sys/bus/iio/devices/iio:device0/energy_value"
    odpm = missing(OdpmMeter().look(surveyed({path: None}, denied=(path,))))
    assert "root" in (odpm.needed or "")
    zone = "/sys/class/powercap/intel-rapl:0/energy_uj"
    rapl = missing(RaplMeter().look(surveyed({**trees.rapl(), zone: None}, denied=(zone,))))
    assert "root" in (rapl.needed or "")


@pytest.mark.parametrize(
    ("meter", "folder"),
    [
        (BatteryMeter(), "/sys/class/power_supply"),
        (HwmonMeter(), "/sys/class/hwmon"),
        (OdpmMeter(), "/sys/bus/iio/devices"),
        (IioRailsMeter(), "/sys/bus/iio/devices/iio:device0"),
        (RaplMeter(), "/sys/class/powercap"),
    ],
)
def test_a_folder_that_may_not_be_listed_is_not_an_empty_one(meter: Meter, folder: str) -> None:
    found = missing(meter.look(surveyed({}, denied=(folder,))))
    assert f"{folder} may not be looked into" in found.reason
    assert "root" in (found.needed or "")


def test_odpm_channels_that_were_set_to_other_rails_meanwhile() -> None:
    offer = offered(OdpmMeter().look(surveyed(trees.PIXEL)))
    path = offer.paths[0]
    texts = [output("odpm_pixel"), output("odpm_pixel").replace("S2M_VDD_CPUCL2", "S8M_VDD_TPU")]
    found = offer.read([Reading(n * 1e5, {path: text}) for n, text in enumerate(texts)])
    assert isinstance(found, Refused)
    since_the_survey = offer.read([Reading(n * 1e5, {path: texts[1]}) for n in range(9)])
    assert isinstance(since_the_survey, Refused)
    assert "S2M_VDD_CPUCL2 is gone" in since_the_survey.reason


def test_odpm_looks_that_fell_into_the_chips_own_reading_are_left_out() -> None:
    """Counters go on: nothing is lost but a look. Where most are so, something else is wrong."""
    offer = offered(OdpmMeter().look(surveyed(trees.PIXEL)))
    path = offer.paths[0]
    whole = output("odpm_pixel")
    odpm = parse_odpm(whole)
    torn = whole.replace(f"(T={odpm.rails[0].time_ms})", f"(T={odpm.rails[0].time_ms + 50})", 1)
    assert parse_odpm(torn).rails[0].time_ms != parse_odpm(torn).rails[1].time_ms
    found = offer.read([Reading(n * 1e5, {path: text}) for n, text in enumerate([whole, torn, whole])])
    assert not isinstance(found, Refused)
    assert len(found[0].t_us) == 2
    found = offer.read([Reading(n * 1e5, {path: text}) for n, text in enumerate([whole, torn, torn])])
    assert isinstance(found, Refused)
    assert "different times" in found.reason


@pytest.mark.parametrize(
    ("current", "unit", "sign", "milliwatts"),
    [
        ("-352000", "uA", -1, 352 * 3.906),
        ("352000", "uA", 1, 352 * 3.906),
        ("-352", "mA", -1, 352 * 3.906),
        ("352", "mA", None, 352 * 3.906),
        ("-352000", "uA", None, 352 * 3.906),
    ],
)
def test_units_and_signs_of_phones(current: str, unit: str, sign: int | None, milliwatts: float) -> None:
    """perfetto #1441, home-assistant/android #2846, community-code/amps #1: mA or uA, either sign."""
    power = Power(current_unit=unit, discharge_sign=sign)  # type: ignore[arg-type]
    tree = trees.battery(current)
    offer = offered(BatteryMeter().look(surveyed(tree, power)))
    rails = offer.read([Reading(n * 1e6, tree) for n in range(20)])
    assert not isinstance(rails, Refused)
    trace = trace_of(rails)
    assert isinstance(trace, Trace)
    assert trace.energy_uj[-1] / 19e6 * 1000 == pytest.approx(milliwatts)


@pytest.mark.parametrize(
    ("tree", "power", "words"),
    [
        (trees.battery("-352000"), Power(), "differs between makers"),
        (trees.battery("-352000", status="Charging"), UA, "is charging"),
        (trees.battery("-352000", status="Full"), UA, "is full"),
        (trees.battery("-352000", status="Not charging"), UA, "not charging"),
        (trees.battery("-352000", usb="1"), UA, "plugged in"),
    ],
)
def test_a_battery_that_cannot_tell(tree: dict[str, str], power: Power, words: str) -> None:
    assert words in missing(BatteryMeter().look(surveyed(tree, power))).reason


@pytest.mark.parametrize(
    ("meanwhile", "words"),
    [
        (trees.battery("-352000", status="Charging"), "is charging"),
        (trees.battery("-352000", usb="1"), "plugged in"),
        (trees.battery("352000"), "changed its direction"),
        (trees.battery("-35200000000"), "larger than any device"),
    ],
)
def test_a_battery_that_changes_while_it_is_read(meanwhile: dict[str, str], words: str) -> None:
    offer = offered(BatteryMeter().look(surveyed(trees.battery("-352000"), UA)))
    before = trees.battery("-352000")
    rails = offer.read([Reading(n * 1e6, meanwhile if n == 10 else before) for n in range(20)])
    assert isinstance(rails, Refused)
    assert words in rails.reason


@pytest.mark.parametrize(
    ("charges", "words"),
    [
        ([2_848_000 - 1000 * (n // 5) for n in range(20)], None),
        ([2848 - n for n in range(20)], "not in uAh"),
        ([2_848_000 + 1000 * n for n in range(20)], "grew"),
    ],
)
def test_the_charge_counter_and_its_step(charges: list[int], words: str | None) -> None:
    """A step of 1 mAh at 3.906 V is 14 J."""
    tree = trees.battery("-352000")
    offer = offered(BatteryChargeMeter().look(surveyed(tree)))
    path = "/sys/class/power_supply/battery/charge_counter"
    rails = offer.read([Reading(n * 1e6, {**tree, path: f"{one}\n"}) for n, one in enumerate(charges)])
    if words is not None:
        assert isinstance(rails, Refused)
        assert words in rails.reason
        return
    assert not isinstance(rails, Refused)
    assert rails[0].step_uj == pytest.approx(1000 * 3600 * 3.906)
    assert rails[0].values["battery"][-1] == pytest.approx(3 * 1000 * 3600 * 3.906)


def test_a_laptop_that_counts_charge() -> None:
    """D2.3: charge_now in uAh at 11.55 V, 1 mAh a second."""
    looks: list[Texts] = [trees.laptop(charge=str(4_000_000 - 1000 * n)) for n in range(20)]
    trace = read(BatteryChargeMeter().look(surveyed(looks[0])), looks[:1] * 2)
    assert "did not change" in refused(trace)
    offer = offered(BatteryChargeMeter().look(surveyed(looks[0])))
    rails = offer.read([Reading(n * 1e6, look) for n, look in enumerate(looks)])
    assert not isinstance(rails, Refused)
    assert rails[0].values["battery"][-1] == pytest.approx(19 * 1000 * 3600 * 11.55)
    assert "uA or mA" not in missing(BatteryMeter().look(surveyed(looks[0]))).reason


@pytest.mark.parametrize("power", ["12500", "12500000000"])
def test_a_laptops_power_in_another_unit_is_refused(power: str) -> None:
    tree = trees.laptop(power)
    assert "another unit" in refused(read(BatteryMeter().look(surveyed(tree)), [tree]))


def test_a_profile_that_names_the_unit_is_asked_before_power_now() -> None:
    tree = trees.laptop() | {"/sys/class/power_supply/BAT0/current_now": "1082000\n"}
    offer = offered(BatteryMeter().look(surveyed(tree, Power(current_unit="uA"))))
    assert offer.paths[0].endswith("/current_now")


def test_a_sensor_of_which_nobody_says_what_it_feeds_has_no_boundary() -> None:
    """D2.3: a shunt may sit anywhere; a number needs to be told what it includes."""
    offer = offered(HwmonMeter().look(surveyed(trees.INA219)))
    assert offer.boundary == "unknown"
    assert "power: boundary" in offer.excluded


def test_rails_that_the_profile_names() -> None:
    """D2.3: whoever knows the board chooses; a name that is not there is a reason, not another sum."""
    gpu = Power(rails=("VDD_CPU_GPU_CV",))
    offer = offered(HwmonMeter().look(surveyed(trees.ORIN_NANO, gpu)))
    assert (offer.rails, offer.boundary) == (("VDD_CPU_GPU_CV",), "soc-rails")
    assert "VDD_IN" in offer.excluded
    assert len(offer.paths) == 2
    two = Power(rails=("S2M_VDD_CPUCL2", "S3M_VDD_CPUCL1"), boundary="cpu-package")
    odpm = offered(OdpmMeter().look(surveyed(trees.PIXEL, two)))
    assert (odpm.rails, odpm.boundary) == (two.rails, "cpu-package")
    readings = [Reading(n * 1e5, trees.PIXEL) for n in range(2)]
    rails = odpm.read(readings)
    assert not isinstance(rails, Refused)
    assert tuple(rails[0].values) == two.rails
    for meter, tree in (
        (HwmonMeter(), trees.ORIN_NANO),
        (IioRailsMeter(), trees.NANO),
        (OdpmMeter(), trees.PIXEL),
    ):
        found = missing(meter.look(surveyed(tree, Power(rails=("S1M", "VDD_X")))))
        assert "S1M, VDD_X" in found.reason
        assert "rails" in (found.needed or "")


def test_an_input_that_the_profile_names_is_the_input_still() -> None:
    """A sum of rails and the input of the module are not to be compared."""
    for power, boundary in (
        (Power(rails=("VDD_IN",)), "module-input"),
        (Power(rails=("VDD_IN",), boundary="board-input"), "board-input"),
        (Power(rails=("VDD_SOC",)), "soc-rails"),
    ):
        offer = offered(HwmonMeter().look(surveyed(trees.ORIN_NANO, power)))
        assert (offer.rails, offer.boundary) == (power.rails, boundary)
        assert ("no sensor" in offer.excluded) is (boundary == "soc-rails")


def test_thors_input_has_all_others_in_it() -> None:
    """jetson_stats #900: the carrier's INA238 is the total."""
    tree = trees.ina3221(
        1, {1: ("VDD_GPU", 12_000, 500), 2: ("VIN_SYS_5V0", 5000, 900), 3: ("VIN", 19_000, 2000)}
    )
    offer = offered(HwmonMeter().look(surveyed(tree)))
    assert (offer.rails, offer.boundary) == (("VIN",), "board-input")


def test_a_sign_of_charging() -> None:
    offer = offered(BatteryMeter().look(surveyed(trees.battery("352000"), UA)))
    rails = offer.read([Reading(n * 1e6, trees.battery("352000")) for n in range(20)])
    assert isinstance(rails, Refused)
    assert "sign of charging" in rails.reason


def test_older_pis_have_no_meter() -> None:
    found = missing(PmicMeter().look(Survey(outputs={OUTPUT: output("vcgencmd_failed")})))
    assert "Raspberry Pi 5" in found.reason
    assert "external meter" in (found.needed or "")


def read(found: Offer | Missing, trees_: list[Texts]) -> Trace | Refused:
    """Twenty looks at the device, at these trees in turn."""
    offer = offered(found)
    looks = [
        Reading(5e6 + n * offer.period_ms * 1000.0, trees_[n % len(trees_)]) for n in range(20 * len(trees_))
    ]
    rails = offer.read(looks)
    return rails if isinstance(rails, Refused) else trace_of(rails)


def refused(found: Trace | Refused) -> str:
    assert isinstance(found, Refused), found
    return found.reason


def test_a_battery_in_other_units_than_its_profile_says_is_refused() -> None:
    """D2.4: a factor of 1000 is no number. Units as phones have them (device trees that lie)."""
    thousandth = read(BatteryMeter().look(surveyed(trees.battery("-352"), UA)), [trees.battery("-352")])
    assert "smaller than any device's" in refused(thousandth)
    thousand = Power(current_unit="mA")
    larger = read(
        BatteryMeter().look(surveyed(trees.battery("-352000"), thousand)), [trees.battery("-352000")]
    )
    assert "larger than any device's" in refused(larger)
    in_mv = {
        path: "3906\n" if path.endswith("/voltage_now") else text
        for path, text in trees.battery("-352000").items()
    }
    for meter in (BatteryMeter(), BatteryChargeMeter()):
        assert "no battery's voltage in uV" in missing(meter.look(surveyed(in_mv, UA))).reason


def test_an_input_rail_in_another_unit_is_refused() -> None:
    tree = trees.ina3221(1, {1: ("VDD_IN", 5, 965)})
    assert "another unit" in refused(read(HwmonMeter().look(surveyed(tree)), [tree]))


@pytest.mark.parametrize("microwatts", ["4294967295", "100000000000000000", "-4294967295"])
def test_a_reading_that_no_device_takes_is_refused(microwatts: str) -> None:
    """What a register of ones looks like: every tenth look would be a thousandfold mean."""
    path = "/sys/class/hwmon/hwmon0/power1_input"
    glitch = {**trees.INA219, path: f"{microwatts}\n"}
    found = read(HwmonMeter().look(surveyed(trees.INA219)), [*[trees.INA219] * 9, glitch])
    assert "more than any device takes" in refused(found)


@pytest.mark.parametrize("still", ["intel-rapl:1", "intel-rapl:0:1"])
def test_rapl_with_one_package_silent_is_refused(still: str) -> None:
    """The sum of the others would be a number, and wrong."""
    looks: list[Texts] = [
        {
            path: "777\n" if still + "/energy_uj" in path else text
            for path, text in trees.rapl(1_000_000 + n * 1_000_000).items()
        }
        for n in range(20)
    ]
    assert "stands still" in refused(read(RaplMeter().look(surveyed(trees.rapl())), looks))
