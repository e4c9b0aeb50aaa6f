"""What every meter must do, an outsider's as well as ours (D2.3)."""

from __future__ import annotations

import importlib.util
import sys
import typing
from collections.abc import Mapping

import numpy as np
import pytest

from edgekit.clock import Deadline
from edgekit.meters.base import Meter, Missing, Offer, Reading, Survey
from edgekit.meters.choice import choose
from edgekit.meters.reading import points_of, trace_of
from edgekit.meters.stream import streaming
from edgekit.profiles.schema import Boundary, Power
from edgekit.registry import load
from edgekit.stats.traces import MIN_READINGS, Refused, Trace

COUNT = 40


class MeterContract:
    """Subclass it: name the plug-in, give a device on which it measures, and what it reads at a constant power."""

    name: str
    power_mw: float
    """What `texts` say."""

    def seen(self) -> Survey:
        raise AssertionError("a subclass gives the device")

    def texts(self, t_us: float) -> Mapping[str, str | None]:
        """What the files, or the command, say at that time."""
        raise AssertionError("a subclass gives the readings")

    def silent(self, t_us: float) -> Mapping[str, str | None]:
        """The same of a device whose rails say nothing: 0, or a counter that stands still."""
        raise AssertionError("a subclass gives the readings")

    @pytest.fixture
    def meter(self) -> Meter:
        made: Meter = load("meters", self.name)()
        return made

    @pytest.fixture
    def offer(self, meter: Meter) -> Offer:
        offer = meter.look(self.seen())
        assert isinstance(offer, Offer), offer
        return offer

    def readings(self, offer: Offer, texts: object = None) -> list[Reading]:
        say = texts or self.texts
        at = [5e6 + number * offer.period_ms * 1000.0 for number in range(COUNT)]
        return [Reading(t_us, say(t_us)) for t_us in at]  # type: ignore[operator]

    def test_is_registered_and_follows_the_protocol(self, meter: Meter) -> None:
        assert isinstance(meter, Meter)
        assert meter.name == self.name

    def test_a_device_that_shows_nothing_is_a_reason(self, meter: Meter) -> None:
        found = meter.look(Survey())
        assert isinstance(found, Missing)
        assert found.meter == self.name
        assert found.reason

    def test_files_that_cannot_be_read_are_a_reason(self, meter: Meter) -> None:
        seen = self.seen()
        blind = {folder: dict.fromkeys(files) for folder, files in seen.folders.items()}
        found = meter.look(Survey(folders=blind, simulated=seen.simulated, power=seen.power))
        assert isinstance(found, Missing)

    def test_says_what_it_measures(self, offer: Offer) -> None:
        assert offer.meter == self.name
        assert offer.boundary in (*typing.get_args(Boundary), "unknown")
        assert offer.unit in ("mW", "uJ")
        assert offer.rails
        assert offer.excluded
        assert offer.resolution
        assert bool(offer.paths) != bool(offer.argv)
        assert offer.idle_s * 1000 >= MIN_READINGS * offer.period_ms

    def test_constant_power_is_read_right(self, offer: Offer) -> None:
        rails = offer.read(self.readings(offer))
        assert not isinstance(rails, Refused), rails
        trace = trace_of(rails)
        assert isinstance(trace, Trace), trace
        length = trace.t_us[-1] - trace.t_us[0]
        assert trace.energy_uj[-1] / length * 1000 == pytest.approx(self.power_mw, rel=1e-3)
        assert {point.unit for point in points_of(self.name, rails)} == {offer.unit}

    def test_silent_rails_are_refused(self, offer: Offer) -> None:
        rails = offer.read(self.readings(offer, self.silent))
        found = rails if isinstance(rails, Refused) else trace_of(rails)
        assert isinstance(found, Refused)

    def test_a_reading_that_is_cut_is_no_reading(self, offer: Offer) -> None:
        """Texts cut anywhere: a number that is right, or none."""
        rng = np.random.default_rng(4)

        def cut(t_us: float) -> dict[str, str | None]:
            return {
                path: text if text is None else text[: rng.integers(0, len(text))]
                for path, text in self.texts(t_us).items()
            }

        rails = offer.read(self.readings(offer, cut))
        found = rails if isinstance(rails, Refused) else trace_of(rails)
        assert isinstance(found, Refused)

    def test_nothing_readable_is_refused(self, offer: Offer) -> None:
        rails = offer.read(self.readings(offer, lambda _: dict.fromkeys((*offer.paths, "x"))))
        found = rails if isinstance(rails, Refused) else trace_of(rails)
        assert isinstance(found, Refused)


class InstrumentContract:
    """What every meter beside the device must do that has a library of its own (D2.3). Subclass it, name the plug-in, its library
    and the extra, and what the real library says where there is no such instrument."""

    name: str
    library: str
    extra: str
    absent: str

    @pytest.fixture
    def offer(self) -> Offer:
        if importlib.util.find_spec(self.library) is None:
            pytest.skip(f"{self.library} is not installed")
        offer = load("meters", self.name)().look(Survey(power=Power(boundary="wall")))
        assert isinstance(offer, Offer), offer
        return offer

    def test_is_registered_and_follows_the_protocol(self) -> None:
        meter = load("meters", self.name)()
        assert isinstance(meter, Meter)
        assert meter.name == self.name

    def test_without_its_library_the_reason_is_the_command_that_brings_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, self.library, None)
        found = load("meters", self.name)().look(Survey())
        assert isinstance(found, Missing)
        assert self.library in found.reason
        assert found.needed == f"pip install 'edgekit-sdk[{self.extra}]'"

    def test_says_what_it_measures_and_the_profile_what_it_is_wired_to(self, offer: Offer) -> None:
        assert offer.meter == self.name
        assert offer.boundary == "wall"
        assert offer.excluded
        assert offer.resolution
        assert offer.source is not None
        assert not offer.paths
        assert not offer.argv

    def test_is_taken_on_request_only(self, offer: Offer) -> None:
        assert isinstance(choose(None, {self.name: offer}, Survey()), Refused)
        assert choose(self.name, {self.name: offer}, Survey()) is offer

    def test_a_simulated_device_has_nothing_for_it(self, offer: Offer) -> None:
        assert isinstance(load("meters", self.name)().look(Survey(simulated=True)), Missing)

    def test_the_real_library_finds_no_instrument_and_the_reason_says_so(self, offer: Offer) -> None:
        assert offer.source is not None
        with streaming(offer.source) as readings:
            found = readings.wait_for(1, Deadline.after(60))
        assert isinstance(found, Refused)
        assert self.absent in found.reason
