"""A device made ready for a measurement, and put back after it: settings, priority, screen and battery, temperature."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from msgspec import structs

from edgekit.benchmarking.plan import BenchPlan
from edgekit.devices import Device
from edgekit.devices.charging import Means, charging_means, charging_off
from edgekit.devices.gates import Gate, Wanted, check_gates, wait_for_gates
from edgekit.devices.knobs import applied
from edgekit.devices.readiness import cool_down
from edgekit.errors import DeviceError, DeviceLost
from edgekit.records import Conditions

PROBE_SECONDS = 20.0


@dataclass(frozen=True)
class Ready:
    """`plan`: with the priority that is in force. `not_set`: what could not be set, or not be seen, in words; `unmet`: what
    the device was waited for to be, and was not."""

    plan: BenchPlan
    cooled: bool | None
    not_set: tuple[str, ...]
    unmet: tuple[str, ...]


def wanted_of(plan: BenchPlan) -> Wanted:
    return Wanted(
        screen_on=None if plan.screen is None else plan.screen == "on",
        charging=None if plan.charging is None else plan.charging == "yes",
        min_battery_percent=plan.min_battery_percent,
    )


@contextmanager
def made_ready(device: Device, plan: BenchPlan) -> Iterator[Ready]:
    """For the time of the block. What takes longest to change is waited for last: heat. Raises DeviceLost."""
    off = charging_means(device, plan.charging_off) if plan.charging == "off" else Means({})
    wanted = {**plan.knobs, **off.knobs}
    with ExitStack() as stack:
        knobs = stack.enter_context(
            applied(device, plan.governor, wanted, privileged=plan.privileged, frequency=plan.frequency)
        )
        charges = (
            stack.enter_context(charging_off(device, off, knobs.changed)) if plan.charging == "off" else ()
        )
        nice, refused = _priority(device, plan.priority)
        gates = wait_for_gates(device, wanted_of(plan), plan.ready_timeout_s)
        cooled = cool_down(device, plan.cool_to_mc, plan.cool_timeout_s)
        yield Ready(
            plan=structs.replace(plan, nice=nice),
            cooled=cooled,
            not_set=(*knobs.not_set, *charges, *refused, *_texts(gates, "unknown")),
            unmet=tuple(f"{text} (waited {plan.ready_timeout_s:g} s)" for text in _texts(gates, "not_met")),
        )


def _priority(device: Device, priority: int | None) -> tuple[int | None, tuple[str, ...]]:
    """What the launches get, tried on a program that does nothing: below 0 it needs root, or RLIMIT_NICE."""
    if priority is None:
        return None, ()
    try:
        device.agent.run(["true"], nice=priority, deadline_s=PROBE_SECONDS)
    except DeviceLost:
        raise
    except DeviceError as error:
        return None, (
            f"priority {priority} was not set: {error.message} (below 0 it needs an agent that runs as root)",
        )
    return priority, ()


def ready_unasked(plan: BenchPlan, before: Conditions, notes: tuple[str, ...]) -> Ready:
    """Of a device that nobody made ready or waited for: how it was when the measurement began. Pure."""
    gates = check_gates(wanted_of(plan), before)
    priority = (f"priority {plan.priority} was not set",) if plan.priority else ()
    return Ready(
        plan=plan,
        cooled=None,
        not_set=(*notes, *priority, *_texts(gates, "unknown")),
        unmet=tuple(f"before the run {text}" for text in _texts(gates, "not_met")),
    )


def changed_since(plan: BenchPlan, after: Conditions) -> tuple[str, ...]:
    """What was asked for and no longer was after the run; a battery may run down meanwhile. Pure."""
    wanted = replace(wanted_of(plan), min_battery_percent=None)
    return tuple(f"after the run {text}" for text in _texts(check_gates(wanted, after), "not_met"))


def _texts(gates: tuple[Gate, ...], state: str) -> list[str]:
    return [gate.text for gate in gates if gate.state == state]
