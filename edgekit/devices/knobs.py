"""Settings changed for a measurement (knobs) and put back after it, whatever happens.

The agent writes the old value to a journal on the device before it sets the new one; its guardian puts it back
when the agent ends in any way, and the next connect does where even that failed. What needs root is tried
through a second agent that runs as root, and only where the user said so (A6).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.devices.device import Device
from edgekit.devices.frequency import frequency_files, frequency_settings
from edgekit.devices.privilege import privileged_agent
from edgekit.errors import DeviceError, DeviceLost, EdgekitError
from edgekit.events import Event

if TYPE_CHECKING:
    from edgekit.agent.client import AgentClient


@dataclass(frozen=True)
class Knobs:
    """What was set, and what could not be, in words."""

    changed: Mapping[str, str]
    not_set: tuple[str, ...]


def wanted_settings(device: Device, governor: str | None, knobs: Mapping[str, str]) -> dict[str, str]:
    """Path to value: the governor for every cpufreq policy of the device, then the profile's own knobs."""
    root = device.target.sysroot.rstrip("/")
    settings = dict.fromkeys(device.sensors.governors.values(), governor) if governor else {}
    own = {f"{root}{path}": value for path, value in knobs.items()}
    return {**{path: value for path, value in settings.items() if value is not None}, **own}


@contextmanager
def applied(
    device: Device,
    governor: str | None,
    knobs: Mapping[str, str],
    *,
    privileged: bool,
    frequency: str | None = None,
) -> Iterator[Knobs]:
    """Set the knobs for the time of the block. `frequency`: as `frequency_settings` takes it."""
    held, out_of_range = _frequency(device, frequency)
    settings = {**wanted_settings(device, governor, {}), **held, **wanted_settings(device, None, knobs)}
    notes = [*out_of_range]
    if governor and not device.sensors.governors:
        notes.append(f"governor {governor} was not set: the device shows no cpufreq")
    with ExitStack() as stack:
        agent, how = device.agent, "--privileged tries sudo, su or adb root"
        if settings and privileged:
            # One agent sets all of them: the journal of what to restore has one owner.
            means = stack.enter_context(privileged_agent(device))
            agent = means.agent or device.agent
            how = f"as root by {means.means}" if means.agent else f"no way to root: {means.reason}"
        if settings:
            stack.callback(_restore, device, agent)
        changed, refused = _set(agent, settings)
        notes += [
            f"{path} was not set to {settings[path]}: {reason} ({how})" for path, reason in refused.items()
        ]
        yield Knobs(changed, tuple(notes))


def _frequency(device: Device, wanted: str | None) -> tuple[dict[str, str], tuple[str, ...]]:
    """What to write for it, and why what is not written cannot be."""
    if wanted is None:
        return {}, ()
    policies = device.description.policies
    if not policies:
        return {}, (f"frequency {wanted} was not set: the device shows no cpufreq",)
    return frequency_settings(wanted, policies, device.read_texts(frequency_files(policies)))


def _set(agent: AgentClient, settings: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """(path to value that is now in force, path to the reason it is not)."""
    changed, refused = {}, {}
    for path, value in settings.items():
        try:
            actual = agent.knob_set(path, f"{value}\n".encode()).actual.decode("utf-8", "replace").strip()
        except DeviceLost:
            raise
        except DeviceError as error:
            refused[path] = error.message
            continue
        if value not in (actual, _chosen(actual)):
            refused[path] = f"it says {actual!r} afterwards"
        changed[path] = actual
    return changed, refused


def _chosen(text: str) -> str:
    """Of `always [madvise] never`, the one in brackets."""
    return text.partition("[")[2].partition("]")[0]


def _restore(device: Device, agent: AgentClient) -> None:
    """A device that is lost meanwhile restores by itself (the guardian), so that is no second error."""
    try:
        for knob in agent.knob_restore():
            if knob.errno:
                device.sink(
                    Event(
                        "knobs",
                        message=f"{knob.path} was not restored",
                        device=device.address,
                        level="warning",
                    )
                )
    except EdgekitError as error:
        device.sink(Event("knobs", message=f"left to the device: {error.message}", level="debug"))
