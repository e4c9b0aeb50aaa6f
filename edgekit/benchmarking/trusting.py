"""What the record of a kept run asks for, where it may come from elsewhere: a record is read as hostile. Pure.

A run that is done again does what its record says, and records are imported, pushed and shared. So what no `edgekit bench`
would have kept is refused; and what reaches beyond measuring (root, kernel settings that no profile here has, a tool's flags,
which may name libraries to load) is not done before the user has said that the record may be trusted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from edgekit.addresses import Address
from edgekit.errors import InputError
from edgekit.profiles.schema import KNOB_PATTERN, NAME_PATTERN
from edgekit.records import Record

if TYPE_CHECKING:
    from edgekit.benchmarking.plan import BenchOptions, BenchPlan
    from edgekit.profiles import Profile

KNOB = "knob "
"""Before a path, of kernel settings in a record's `plan.other`."""
MAX_CPUS_LENGTH = 1000
_ANEW = "measure the model anew: edgekit bench MODEL -d DEVICE"
_MAX_KNOBS = 64
_MAX_VALUE = 200
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(NAME_PATTERN.strip("^$"))
_KNOB_PATH = re.compile(KNOB_PATTERN.strip("^$"))
_RUN = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,99}")
_REACH = ("local", "adb", "ssh", "adb+ssh")
"""Addresses whose parts edgekit checks: what a plug-in makes of the rest of one, it does not know."""


def refuse_impossible(record: Record) -> None:
    """Raises InputError E_RERUN for a record that does not say which model ran, or asks for what no measurement does."""
    if record.model.sha256 is None:
        raise InputError(
            f"{record.id} does not say which bytes were measured: it was imported, or is of another tool",
            code="E_RERUN",
            hint=_ANEW,
        )
    for why in _impossible(record):
        raise InputError(
            f"{record.id} is damaged, or was not made by edgekit: {why}", code="E_RERUN", hint=_ANEW
        )


def knobs_of(record: Record) -> dict[str, str]:
    """The kernel settings that were made for the run, by path."""
    return {
        name.removeprefix(KNOB): str(value)
        for name, value in record.plan.other.items()
        if name.startswith(KNOB)
    }


def profile_name(record: Record) -> str | None:
    """The profile's, where it is a name: a path would be one that the record chose. None where there is none."""
    name = record.profile.name if record.profile is not None else None
    return name if name is not None and is_profile_name(name) else None


def is_profile_name(text: str) -> bool:
    """Whether it names a profile, and no file."""
    return _NAME.fullmatch(text) is not None and not text.endswith((".yaml", ".yml")) and len(text) <= 100


def is_run(text: str) -> bool:
    """Whether it is a run's id, and no path."""
    return _RUN.fullmatch(text) is not None


def beyond_measuring(plan: BenchPlan, options: BenchOptions, profile: Profile | None) -> Iterator[str]:
    """What takes the user's word, in words. The profile is the user's own: what it says too takes none."""
    own: Mapping[str, str] = profile.bench.knobs if profile is not None else {}
    if options.privileged:
        yield "root on the device (privileged)"
    for path, value in plan.knobs.items():
        if own.get(path) != value:
            yield f"{value!r} is written to {path}, which no profile of yours says"
    if options.runtime_flags:
        yield f"flags are handed to {options.runtime}: {' '.join(options.runtime_flags)}"


def reached_beyond(address: Address, is_state: Callable[[str], bool]) -> Iterator[str]:
    """The same of where it is measured. `is_state`: whether a folder of this host holds a simulated device already."""
    if address.kind == "sim":
        state = address.option("state")
        if state and not is_state(state):
            yield f"a simulated device is kept in the folder {state}"
    elif address.kind not in _REACH:
        yield f"the transport {address.kind} is given '{address.name}'"


def _impossible(record: Record) -> Iterator[str]:
    plan = record.plan
    if _SHA256.fullmatch(record.model.sha256 or "") is None:
        yield "the model's sha256 is none"
    knobs = knobs_of(record)
    if len(knobs) > _MAX_KNOBS:
        yield f"{len(knobs)} kernel settings"
    for path, value in knobs.items():
        if _KNOB_PATH.fullmatch(path) is None:
            yield f"it would write to '{path[:_MAX_VALUE]}', which is no kernel setting"
        if not 1 <= len(value) <= _MAX_VALUE or not value.isprintable():
            yield f"what it would write to {path} is no value"
    if plan.governor is not None and _NAME.fullmatch(plan.governor) is None:
        yield "its governor is no name"
    if plan.cpus is not None and len(plan.cpus) > MAX_CPUS_LENGTH:
        yield "its set of CPUs is too long"
