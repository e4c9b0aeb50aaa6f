"""What one measurement will do: the profile's wishes, overridden by flags, as one frozen value. Pure."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from edgekit.errors import InputError
from edgekit.units import parse_frequency_khz

if TYPE_CHECKING:
    from edgekit.config import MeterEntry, RuntimeEntry
    from edgekit.profiles import Profile
    from edgekit.profiles.schema import Bench

DEFAULT_LAUNCHES = 5
DEFAULT_ITERATIONS = 50
DEFAULT_WARMUP_ITERATIONS = 10
DEFAULT_MIN_SECONDS = 1.0
DEFAULT_COOL_TIMEOUT_US = 120e6
DEFAULT_READY_TIMEOUT_US = 120e6
MAX_LEASE_WAIT_SECONDS = 7 * 86_400
MAX_SUSTAINED_MINUTES = 1440.0
MAX_SPREAD_SECONDS = 86_400.0
MAX_STREAMS = 64
MAX_SECONDS_FACTOR = 20.0
"""A launch that needs longer than this times its wish (at least a minute) is cut and says so."""


class BenchOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller asks for; None leaves it to the profile, then to the default."""

    launches: int | None = None
    iterations: int | None = None
    warmup_iterations: int | None = None
    min_seconds: float | None = None
    threads: int | None = None
    cpus: str | None = None
    runtime: str | None = None
    seed: int | None = None
    privileged: bool = False
    strict: bool = False
    cool: bool = True
    labels: Mapping[str, str] = {}
    gates: tuple[str, ...] = ()
    baseline: str | None = None
    """A run in the results store, or the file of a record."""
    lease_wait_seconds: float = 60.0
    sustained_minutes: float = 0.0
    """One more launch of so many minutes, after the others."""
    spread_seconds: float = 0.0
    """Begin the launches evenly over at least this time, with pauses between them."""
    meter: str | None = None
    """What measures energy; "none": nothing; None: the profile's meter, else the best that is there."""
    evaluation: str | None = None
    """A data set (.npz with labels or targets) to score on the device."""
    priority: int | None = None
    """Nice value of what is measured, -20 (first) to 19 (last)."""
    frequency: str | None = None
    """`max`, `min`, or one with a unit: what the CPUs are held at."""
    screen: str | None = None
    """`on`, `off`, or `any`, which overrides the profile; `charging`: `yes`, `no`, `off`, `any`. Of Android devices; `off` of
    any that has a means for it."""
    charging: str | None = None
    min_battery_percent: float | None = None
    ready_timeout_seconds: float | None = None
    """How long such a state is waited for."""
    inputs: str | None = None
    """A data set (.npz): its first sample is what is timed."""
    streams: int | None = None
    """So many processes at once in each launch; None: one, and no throughput is told."""
    accelerator: str | None = None
    """What to run on; None: the CPU, or what the runtime has where that is none."""
    require_accelerator: bool = False
    """A launch that is not proven to have run there, all of it, is an error."""
    runtime_flags: tuple[str, ...] = ()
    """Flags of a tool that measures (docs/runtimes.md), as it knows them."""
    tools: Mapping[str, RuntimeEntry] | None = None
    """Settings of these tools by name; None: those of edgekit.yaml."""
    meters: Mapping[str, MeterEntry] | None = None
    """Meters beside the device by name; None: those of edgekit.yaml."""
    op_profile: bool = False
    """One more launch, that times each operator."""
    argv: tuple[str, ...] | None = None
    """The command line that asks, without secrets, as the record keeps it; None: a script's call."""
    rerun_of: str | None = None
    """The run that this one does again; kept in the record."""


class BenchPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The measurement as it will be run; kept in the record."""

    launches: int
    iterations: int
    warmup_iterations: int
    min_seconds: float
    max_seconds: float
    threads: int
    cpus: tuple[int, ...]
    governor: str | None
    knobs: Mapping[str, str]
    cool_to_mc: int | None
    cool_timeout_s: float
    seed: int
    privileged: bool
    sustained_minutes: float = 0.0
    spread_seconds: float = 0.0
    streams: int | None = None
    priority: int | None = None
    inputs: str | None = None
    """A file on the device with one sample of the user's own; None: the golden ones, else random ones."""
    inputs_sha256: str | None = None
    nice: int | None = None
    """The priority that is in force: None where it could not be set, or none was asked for."""
    frequency: str | None = None
    screen: str | None = None
    charging: str | None = None
    """`yes`, `no`: waited for; `off`: brought about, then waited for."""
    charging_off: Mapping[str, str] = {}
    """The profile's settings for it."""
    min_battery_percent: float | None = None
    ready_timeout_s: float = DEFAULT_READY_TIMEOUT_US / 1e6
    configurations: tuple[int, ...] = ()
    """Thread counts that are measured side by side, this one's with them; empty: this one alone."""


def refuse_wishes(asked: Mapping[str, object], where: str, hint: str) -> None:
    """Raises InputError E_PLAN where one of these was asked for and cannot be had there: nothing is passed over in
    silence."""
    if names := [name for name, value in asked.items() if value]:
        raise InputError(f"{' and '.join(names)} cannot be had with {where}", code="E_PLAN", hint=hint)


def parse_cpus(text: str) -> tuple[int, ...]:
    """`0-3,6` to (0, 1, 2, 3, 6). Raises InputError E_CPUS."""
    cpus: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,4})(?:-(\d{1,4}))?\s*", part)
        if match is None:
            raise InputError(f"'{text}' is not a set of CPUs", code="E_CPUS", hint="like 4-7 or 0,2,4")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise InputError(f"'{part}' runs backwards", code="E_CPUS", hint="like 4-7 or 0,2,4")
        cpus.extend(range(first, last + 1))
    return tuple(sorted(set(cpus)))


def _check_range(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:  # NaN too
        shown = f"{value:g}" if isinstance(value, float) else str(value)[:20]
        raise InputError(
            f"{name} must be from {least} to {most}, not {shown}",
            code="E_PLAN",
            hint=f"give {name} a value in that range, in the command or in the profile's bench section",
        )


def make_plan(profile: Profile | None, options: BenchOptions) -> BenchPlan:
    """Flag, else profile, else default. Raises InputError where a value cannot be."""
    bench = profile.bench if profile is not None else None

    def pick(flag: float | None, field: str, default: float) -> float:
        wished = getattr(bench, field, None) if bench is not None else None
        return flag if flag is not None else wished if wished is not None else default

    launches = int(pick(options.launches, "launches", DEFAULT_LAUNCHES))
    iterations = int(pick(options.iterations, "iterations", DEFAULT_ITERATIONS))
    min_seconds = float(pick(options.min_seconds, "min_seconds", DEFAULT_MIN_SECONDS))
    threads = int(pick(options.threads, "threads", 1))
    warmup = int(pick(options.warmup_iterations, "warmup_iterations", DEFAULT_WARMUP_ITERATIONS))
    _check_range("launches", launches, 1, 1000)
    _check_range("iterations", iterations, 1, 100_000_000)
    _check_range("warmup iterations", warmup, 0, 100_000_000)
    _check_range("threads", threads, 1, 256)
    _check_range("min-seconds", min_seconds, 0, 86_400)
    _check_range("lease-wait", options.lease_wait_seconds, 0, MAX_LEASE_WAIT_SECONDS)
    _check_range("sustained", options.sustained_minutes, 0, MAX_SUSTAINED_MINUTES)
    _check_range("spread", options.spread_seconds, 0, MAX_SPREAD_SECONDS)
    _check_range("streams", 1 if options.streams is None else options.streams, 1, MAX_STREAMS)
    if options.streams is not None and options.sustained_minutes:
        raise InputError(
            "a sustained load is of one stream",
            code="E_PLAN",
            hint="give --streams or --sustained; with --streams, --min-seconds makes launches longer",
        )
    _check_range("seed", options.seed or 0, 0, (1 << 63) - 1)
    cpus = options.cpus if options.cpus is not None else (bench.cpus if bench is not None else None)
    priority = options.priority if options.priority is not None else getattr(bench, "priority", None)
    _check_range("priority", priority or 0, -20, 19)
    cooling = bench if bench is not None and options.cool else None
    return BenchPlan(
        launches=launches,
        iterations=iterations,
        warmup_iterations=warmup,
        min_seconds=min_seconds,
        max_seconds=max(60.0, min_seconds * MAX_SECONDS_FACTOR),
        threads=threads,
        cpus=parse_cpus(cpus) if cpus is not None else (),
        governor=bench.governor if bench is not None else None,
        knobs=dict(bench.knobs or {}) if bench is not None else {},
        cool_to_mc=cooling.cool_to_mc if cooling is not None else None,
        cool_timeout_s=(cooling.cool_timeout_us or DEFAULT_COOL_TIMEOUT_US) / 1e6
        if cooling is not None
        else 0.0,
        seed=options.seed if options.seed is not None else secrets.randbits(31),
        privileged=options.privileged,
        sustained_minutes=options.sustained_minutes,
        spread_seconds=options.spread_seconds,
        streams=options.streams,
        priority=priority,
        frequency=checked_frequency(options.frequency or getattr(bench, "frequency", None)),
        screen=_wish("screen", options.screen or getattr(bench, "screen", None), ("on", "off")),
        charging=_wish(
            "charging", options.charging or getattr(bench, "charging", None), ("yes", "no", "off")
        ),
        charging_off=dict(profile.power.charging_off) if profile is not None else {},
        min_battery_percent=_battery(options, bench),
        ready_timeout_s=_ready_timeout_s(options, bench),
    )


def pause_seconds(plan: BenchPlan, index: int, launches: int, since_first_s: float) -> float:
    """How long to wait before launch `index` of `launches`, so that they begin evenly over the plan's spread; 0 where it is
    late already. `since_first_s`: since the first one began."""
    return max(0.0, plan.spread_seconds * index / launches - since_first_s)


def checked_frequency(text: str | None) -> str | None:
    """`max`, `min`, or a frequency as it was written. Raises InputError E_UNIT."""
    if text not in (None, "max", "min"):
        parse_frequency_khz(text)
    return text


def _wish(name: str, text: str | None, values: tuple[str, ...]) -> str | None:
    if text is None or text == "any":
        return None
    if text not in values:
        raise InputError(
            f"{name} is {', '.join(values)} or any, not '{text[:20]}'",
            code="E_PLAN",
            hint=f"like --{name} any",
        )
    return text


def _battery(options: BenchOptions, bench: Bench | None) -> float | None:
    percent = options.min_battery_percent
    if percent is None and bench is not None and bench.min_battery is not None:
        percent = 100 * bench.min_battery
    if percent is not None:
        _check_range("min-battery", percent, 0.0, 100.0)
    return percent


def _ready_timeout_s(options: BenchOptions, bench: Bench | None) -> float:
    seconds = options.ready_timeout_seconds
    if seconds is None:
        wished = bench.ready_timeout_us if bench is not None else None
        seconds = (wished if wished is not None else DEFAULT_READY_TIMEOUT_US) / 1e6
    _check_range("ready-timeout", seconds, 0.0, 86_400.0)
    return seconds
