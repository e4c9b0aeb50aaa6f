"""What is asked of a measurement against what the runtime can tell. Before anything is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.benchmarking.plan import BenchOptions
from edgekit.benchmarking.streams import check_streams
from edgekit.config import load_config
from edgekit.deployment import Release
from edgekit.deployment.fits import check_fits_there
from edgekit.deployment.runtime_there import Chosen, RuntimeWish, choose
from edgekit.devices import Device
from edgekit.errors import InputError
from edgekit.meters.base import Offer
from edgekit.meters.choice import NO_METER
from edgekit.meters.taking import meter_for
from edgekit.runtimes.named import with_op_profile
from edgekit.runtimes.tool import ToolRuntime
from edgekit.stats.traces import Refused

if TYPE_CHECKING:
    from edgekit.profiles import Profile


def runtime_wish(options: BenchOptions) -> RuntimeWish:
    """The runtime's part of the options, with edgekit.yaml's settings of tools where they bring none."""
    return RuntimeWish(
        name=options.runtime,
        accelerator=options.accelerator,
        required=options.require_accelerator,
        flags=options.runtime_flags,
        settings=options.tools if options.tools is not None else load_config().runtimes,
    )


def check_abilities(
    model_format: str,
    device: Device,
    profile: Profile | None,
    options: BenchOptions,
    *,
    unplugged_later: bool = False,
) -> None:
    """What can be told before the model is sent: is there a runtime, and can it do all that is asked? A meter is looked for
    only where one was asked for: that none measures otherwise is no error.

    Raises InputError as `chosen_for`, but for whether the model fits.
    """
    chosen = choose(device, model_format, profile, runtime_wish(options))
    require_abilities(chosen, options, simulated=device.simulated)
    if options.meter not in (None, NO_METER):
        meter_of(chosen, device, profile, options, unplugged_later=unplugged_later)
    check_streams(chosen.runtime, chosen.runtime.name, options.streams)


def chosen_for(release: Release, device: Device, profile: Profile | None, options: BenchOptions) -> Chosen:
    """The runtime that measures this release there, one that can do all that is asked of it.

    Raises InputError as `choose`, E_TOOL_OPTION, E_METER and E_STREAMS; GateError and DeviceError for a model that cannot fit there.
    """
    chosen = choose(device, release.manifest.format, profile, runtime_wish(options))
    check_fits_there(release.manifest, profile, device)
    require_abilities(chosen, options, simulated=device.simulated)
    check_streams(chosen.runtime, chosen.runtime.name, options.streams)
    return chosen


def require_abilities(chosen: Chosen, options: BenchOptions, *, simulated: bool = False) -> None:
    """Raises InputError E_TOOL_OPTION or E_METER for what this runtime cannot do, with what can; and for what a simulated device
    cannot."""
    runtime = chosen.runtime
    if options.op_profile and simulated:
        raise InputError(
            "a simulated device runs no operators that could be timed",
            code="E_TOOL_OPTION",
            hint="try it with -d local:",
        )
    if options.op_profile and not runtime.op_profile:
        raise InputError(
            f"{runtime.name} cannot time the operators",
            code="E_TOOL_OPTION",
            hint=f"runtimes that can: {', '.join(with_op_profile())} (docs/runtimes.md)",
        )
    if options.sustained_minutes and not runtime.raw_samples:
        raise InputError(
            f"--sustained tells latency by the minute, and {runtime.name} keeps its samples",
            code="E_TOOL_OPTION",
            hint="choose a runtime with raw samples: docs/runtimes.md",
        )
    if options.inputs and not runtime.outputs:
        raise InputError(
            f"{runtime.name} makes its own inputs",
            code="E_TOOL_OPTION",
            hint="leave --inputs out, or choose a runtime with outputs: docs/runtimes.md",
        )
    if options.evaluation and not runtime.outputs:
        raise InputError(
            f"{runtime.name} makes its own inputs and shows no outputs: nothing can be scored",
            code="E_TOOL_OPTION",
            hint="choose a runtime with outputs: docs/runtimes.md",
        )
    if isinstance(runtime, ToolRuntime) and options.meter not in (None, NO_METER):
        raise InputError(
            _no_energy(runtime.name),
            code="E_METER",
            hint="leave out --meter, or choose one of edgekit's runners: docs/runtimes.md",
        )


def _no_energy(name: str) -> str:
    return f"{name} does not tell when its timed inferences began and ended, so there is no energy of one"


def meter_of(
    chosen: Chosen,
    device: Device,
    profile: Profile | None,
    options: BenchOptions,
    *,
    unplugged_later: bool = False,
) -> Offer | Refused:
    """What measures energy, or why nothing does. Raises InputError E_METER where the meter that was asked for cannot."""
    if isinstance(chosen.runtime, ToolRuntime) and options.meter is None:
        return Refused(_no_energy(chosen.runtime.name))
    entries = options.meters if options.meters is not None else load_config().meters
    power = profile.power if profile is not None else None
    return meter_for(device, power, options.meter, entries, unplugged_later=unplugged_later)


def require_comparable(a: Chosen, b: Chosen) -> None:
    """Runners measure alike, whatever library is in them; a tool has its own loop, clock and statistics.

    Raises InputError E_COMPARE where one of two is a tool and the other is not that tool: the ratio would be of two ways
    to measure."""
    names = {one.runtime.name for one in (a, b)}
    if len(names) > 1 and any(isinstance(one.runtime, ToolRuntime) for one in (a, b)):
        raise InputError(
            f"a would be measured by {a.runtime.name} and b by {b.runtime.name}, and what they call a latency differs",
            code="E_COMPARE",
            hint="name one for both with --runtime",
        )
