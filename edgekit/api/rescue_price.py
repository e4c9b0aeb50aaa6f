"""What a rescue costs in time: the model that failed and the one that replaces it, run on the device side by side."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.api.auto import put_candidate, take_away
from edgekit.errors import GateError, InputError, ModelError
from edgekit.events import Event, Sink, ignore
from edgekit.models import open_model
from edgekit.models.manifest import RescueLatency

if TYPE_CHECKING:
    from edgekit.benchmarking import BenchOptions
    from edgekit.conversion.job import Weigh
    from edgekit.devices import Device
    from edgekit.profiles import Profile


def weigher(
    device: Device, profile: Profile | None, options: BenchOptions | None, sink: Sink = ignore
) -> Weigh:
    """A function for `convert`: it puts both files on the device, runs them interleaved and takes them away.

    It gives None where one is not taken or does not run there, and says so. It raises what the device raises.
    """
    from edgekit.benchmarking import BenchOptions as Options
    from edgekit.benchmarking.race import race
    from edgekit.devices.layout import candidates_name

    asked = options if options is not None else Options()

    def weigh(before: Path, after: Path) -> RescueLatency | None:
        name = candidates_name(secrets.token_hex(4))
        sink(Event("convert", "measuring what the rescue costs", device=device.address))
        try:
            placed = [
                put_candidate(open_model(file), device, name, profile, asked, sink)
                for file in (before, after)
            ]
            first, second = race(placed, device, profile=profile, options=asked, sink=sink)
        except (GateError, InputError, ModelError) as error:
            return unknown(error.message)
        finally:
            take_away(device, name, sink)
        if first.median_us is None or second.median_us is None:
            return unknown(first.failed or second.failed or "no latency")
        return RescueLatency(
            device=device.facts.model or device.address,
            before_us=first.median_us,
            after_us=second.median_us,
            launches=min(first.launches, second.launches),
        )

    def unknown(why: str) -> RescueLatency | None:
        sink(Event("convert", f"what the rescue costs in time is not known: {why}", level="warning"))
        return None

    return weigh
