"""A measurement that runs on the device alone, while its cable is out, and is fetched afterwards.

`start` puts the whole measurement there as one detached job of the agent (docs/agent-protocol.md, JOB_START): what a
link that is cut does not end. `unplugged_left.collect` reads what it left and makes the record that `measure` would.

What only a host can do is not done: knobs are not set (the agent puts them back when its link ends), the device is not
waited for to cool, the lease is not held, and what launches took of CPU time is not known.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import msgspec

from edgekit.benchmarking.abilities import chosen_for
from edgekit.benchmarking.launches import job_of
from edgekit.benchmarking.measure import check_cpus
from edgekit.benchmarking.plan import BenchOptions, BenchPlan, make_plan
from edgekit.benchmarking.unplugged_script import (
    MOST_BYTES,
    Script,
    meter_script,
    script_text,
    seconds_of,
)
from edgekit.clock import utc_now
from edgekit.config import load_config
from edgekit.deployment import Release
from edgekit.deployment.launching import START_SECONDS
from edgekit.deployment.runtime_there import Installed, install
from edgekit.devices import Device
from edgekit.errors import DeviceTimeout, InputError
from edgekit.events import Sink, ignore
from edgekit.meters.base import Offer
from edgekit.meters.taking import meter_for
from edgekit.profiles.schema import Power
from edgekit.records import Profile as ProfilePart
from edgekit.runtimes.tool import ToolRuntime
from edgekit.stats.traces import Refused

if TYPE_CHECKING:
    from edgekit.profiles import Profile

PREFIX = "unplugged-"
MOST_WAIT_S = 3600.0
SPARE_S = 600.0
"""Of the job's deadline, over what all launches may take at most."""
END_SECONDS = 20.0
LOOK_SECONDS = 0.05


class Saved(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """In the job's folder: what `collect` needs to read the rest."""

    schema: str = "edgekit.unplugged/1"
    release: str
    version: str
    started_at: str
    plan: BenchPlan
    runtime: str
    meter: str
    """Its name, or the reason why there is none."""
    metered: bool
    power: Power = Power()
    """What the profile said of it when it began: what it left is read by that, whatever profile it is fetched with."""
    labels: dict[str, str] = {}
    asked_meter: str | None = None
    profile: ProfilePart | None = None
    """That it was planned by."""
    source: str | None = None
    """As in Release: where the model lies on the host that began it."""
    argv: tuple[str, ...] | None = None
    """As in BenchOptions: of the command that began it."""


class Unplugged(msgspec.Struct, frozen=True, kw_only=True):
    """A job that was started. `seconds`: how long it should take, the wait included."""

    job: str
    wait_seconds: float
    seconds: float
    meter: str | None
    unavailable: str | None = None
    """Why no energy will be measured."""


def start(
    release: Release,
    device: Device,
    *,
    profile: Profile | None,
    options: BenchOptions,
    wait_s: float,
    sink: Sink = ignore,
) -> Unplugged:
    """Begin the measurement there; it waits for `wait_s` first, in which the cable is to be pulled.

    Raises as `measure`, and InputError E_UNPLUGGED for what cannot be measured in this way."""
    refuse_options(options, wait_s)
    plan = make_plan(profile, options)
    check_cpus(plan.cpus, device)
    chosen = chosen_for(release, device, profile, options)
    if isinstance(chosen.runtime, ToolRuntime) or device.simulated:
        what = "a simulated device" if device.simulated else f"the tool {chosen.runtime.name}"
        raise InputError(f"{what} cannot be left alone with a measurement", code="E_UNPLUGGED")
    power = profile.power if profile is not None else Power()
    meter = _meter(device, power, options)
    with device.leased(f"measure {release.manifest.name}", options.lease_wait_seconds):
        installed = install(device, chosen, sink)
        job = f"{PREFIX}{secrets.token_hex(6)}"
        folder = folder_of(device, job)
        saved = Saved(
            release=release.manifest.name,
            version=release.manifest.version,
            started_at=utc_now(),
            plan=plan,
            runtime=installed.runtime.name,
            meter=meter.meter if isinstance(meter, Offer) else meter.reason,
            metered=isinstance(meter, Offer),
            power=power,
            labels=dict(options.labels),
            asked_meter=options.meter,
            profile=ProfilePart(name=profile.name, sha256=profile.sha256) if profile is not None else None,
            source=release.source,
            argv=options.argv,
        )
        script = _script(release, saved, installed, device, folder, meter, wait_s)
        most_s = len(script.commands) * script.limit_s
        text = script_text(script)
        if (size := len(text.encode())) > MOST_BYTES:
            raise InputError(
                f"{plan.launches} launches are too many for a device alone: its script would have {size >> 10} KiB",
                code="E_UNPLUGGED",
                hint=f"up to {plan.launches * MOST_BYTES // size * 9 // 10} --launches fit",
            )
        argv = ["sh", "-c", text]
        device.agent.job_start(job, argv, deadline_s=seconds_of(script, 0) + most_s + SPARE_S)
    return Unplugged(
        job=job,
        wait_seconds=wait_s,
        seconds=seconds_of(script, plan.min_seconds + 1),
        meter=saved.meter if saved.metered else None,
        unavailable=None if saved.metered else saved.meter,
    )


def refuse_options(options: BenchOptions, wait_s: float) -> None:
    """Raises InputError E_UNPLUGGED for what needs the host meanwhile."""
    asked = {
        "--streams": options.streams,
        "--sustained": options.sustained_minutes,
        "--op-profile": options.op_profile,
        "--evaluation": options.evaluation,
        "--inputs": options.inputs,
        "--spread": options.spread_seconds,
        "--priority": options.priority,
    }
    if given := [name for name, value in asked.items() if value]:
        raise InputError(f"{', '.join(given)} cannot go with it: the host is away", code="E_UNPLUGGED")
    if not 0 <= wait_s <= MOST_WAIT_S:
        raise InputError(f"a wait of {wait_s:g} s cannot be (0 to {MOST_WAIT_S:g})", code="E_UNPLUGGED")


def _meter(device: Device, power: Power, options: BenchOptions) -> Offer | Refused:
    """What is read there. Raises InputError E_METER where the one that was asked for cannot be."""
    entries = options.meters if options.meters is not None else load_config().meters
    meter = meter_for(device, power, options.meter, entries, unplugged_later=True)
    if isinstance(meter, Refused) or meter.live:
        return meter
    how = "is read by" if meter.source is not None else "tells all when it is ended by"
    why = f"the meter {meter.meter} {how} the host, which is away"
    if options.meter is not None:
        raise InputError(why, code="E_METER", hint="bench measures with it; or leave out --meter")
    return Refused(why)


def jobs_there(device: Device) -> dict[str, str]:
    """Measurements that were left on the device, to their state: running, done, lost."""
    names = [name for name in device.agent.job_list() if name.startswith(PREFIX)]
    return {name: device.agent.job_status(name).state for name in names}


def forget(device: Device, job: str) -> None:
    """Remove what a measurement left on the device, and end it where it runs. Raises InputError E_UNPLUGGED, and
    DeviceTimeout where it does not end."""
    if state_of(device, job) == "running":
        device.agent.job_kill(job)
        for _ in range(round(END_SECONDS / LOOK_SECONDS)):  # until then it writes into what is to be removed
            if device.agent.job_status(job).state != "running":
                break
            device.wait(LOOK_SECONDS)
        else:
            raise DeviceTimeout(
                f"{job} has not ended {END_SECONDS:g} s after it was told to", device=device.address
            )
    device.agent.remove(folder_of(device, job), recursive=True)


def state_of(device: Device, job: str) -> str:
    there = jobs_there(device)
    if job not in there:
        known = ", ".join(there) or "none"
        raise InputError(
            f"there is no measurement {job} on the device (there are: {known})", code="E_UNPLUGGED"
        )
    return there[job]


def folder_of(device: Device, job: str) -> str:
    return f"{device.layout.root}/jobs/{job}"


def _script(
    release: Release,
    saved: Saved,
    installed: Installed,
    device: Device,
    folder: str,
    meter: Offer | Refused,
    wait_s: float,
) -> Script:
    runtime, plan = installed.runtime, saved.plan
    assert not isinstance(runtime, ToolRuntime)
    jobs = [job_of(release, plan, folder, number) for number in range(plan.launches)]
    return Script(
        folder=folder,
        wait_s=wait_s,
        idle_s=meter.idle_s if isinstance(meter, Offer) else 0.0,
        commands=[runtime.command(installed.bundle, installed.folder, job) for job in jobs],
        limit_s=plan.max_seconds + START_SECONDS,
        plan=msgspec.json.encode(saved).decode(),
        meter=meter_script(meter) if isinstance(meter, Offer) else None,
        sensors=device.sensors.sampled(),
        look_files=tuple(dict.fromkeys(device.sensors.snapshot())),
        look_commands=device.sensors.commands,
    )
