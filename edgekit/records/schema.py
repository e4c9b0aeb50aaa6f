"""The record of one benchmark run, schema edgekit.record/1. docs/record.md describes every field.

Frozen data, no behaviour. What is not known is None (null), never 0. Times are microseconds, sizes bytes,
temperatures thousandths of a degree Celsius, unless a name says otherwise.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from edgekit.records.environment import Environment
from edgekit.records.memory import LaunchMemory, Memory
from edgekit.records.streams import Group, Throughput
from edgekit.records.sustained import Sustained
from edgekit.records.told import Operators, Told
from edgekit.stats.types import Latency

SCHEMA = "edgekit.record/1"
Scalar: TypeAlias = str | int | float | bool | None


class Model(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    version: str | None = None
    sha256: str | None = None
    format: str | None = None
    recipe: str | None = None
    recipe_sha256: str | None = None
    size_bytes: int | None = None


class Profile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    sha256: str | None = None


class Device(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    address: str
    model: str | None = None
    soc: str | None = None
    abi: str | None = None
    os: str | None = None
    kernel: str | None = None
    fingerprint: str | None = None
    build_sha256: str | None = None
    """Over its model, its hashed serial number, its system with its build, and its kernel."""
    libc: str | None = None
    cpu_count: int | None = None
    memory_bytes: int | None = None


class Runtime(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    version: str | None = None
    sha256: str | None = None
    argv: tuple[str, ...] = ()
    env: dict[str, str] = {}
    requested_accelerator: str | None = None
    actual_accelerator: str | None = None
    fully_accelerated: bool | None = None
    measures: str | None = None


class Plan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    launches: int
    threads: int | None = None
    cpus: str | None = None
    seed: int | None = None
    warmup_iterations: int | None = None
    iterations: int | None = None
    min_seconds: float | None = None
    max_seconds: float | None = None
    governor: str | None = None
    cool_to_mc: int | None = None
    cool_timeout_seconds: float | None = None
    inputs: str | None = None
    streams: int | None = None
    priority: int | None = None
    frequency: str | None = None
    screen: str | None = None
    charging: str | None = None
    min_battery_percent: float | None = None
    ready_timeout_seconds: float | None = None
    other: dict[str, Scalar] = {}


class Conditions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The device at one moment. `frequencies_khz` and `temperatures_mc` are by CPU or policy and by zone."""

    governor: str | None = None
    frequency_khz: int | None = None
    temperature_mc: int | None = None
    battery_percent: float | None = None
    charging: bool | None = None
    screen_on: bool | None = None
    throttled: bool | None = None
    load_1min: float | None = None
    available_bytes: int | None = None
    frequencies_khz: dict[str, int] = {}
    temperatures_mc: dict[str, int] = {}
    other: dict[str, Scalar] = {}


class BeforeAfter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    before: Conditions = Conditions()
    after: Conditions = Conditions()


class Energy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Either measured (with `meter`), or `unavailable` with the reason; in JSON only one of the two shows."""

    meter: str | None = None
    boundary: str | None = None
    per_inference_uj: float | None = None
    ci95_uj: tuple[float, float] | None = None
    idle_power_mw: float | None = None
    mean_power_mw: float | None = None
    excluded: str | None = None
    """What the meter does not see, in words."""
    rails: tuple[str, ...] = ()
    window_us: float | None = None
    """Of all launches together."""
    period_us: float | None = None
    sample_cost_us: float | None = None
    """Time that one reading took on the device."""
    clock_drift: float | None = None
    """Of a meter beside the device: by which share its clock was found to be slower than the device's."""
    unavailable: str | None = None


class Accuracy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    metric: str | None = None
    value: float | None = None
    source_value: float | None = None
    flips: int | None = None
    samples: int | None = None
    scored_on: Literal["host", "device"] | None = None
    data_sha256: str | None = None
    golden: Literal["passed", "failed", "unchecked"] = "unchecked"
    max_abs_error: float | None = None
    rms_error: float | None = None
    snr_db: float | None = None


class Verdict(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    state: Literal["valid", "suspect", "invalid"]
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class LoadTimes(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    dlopen_us: float | None = None
    environment_us: float | None = None
    model_us: float | None = None
    compile_us: float | None = None


class Usage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the kernel counted for the process (getrusage), and its wall time."""

    user_us: int | None = None
    system_us: int | None = None
    wall_us: int | None = None
    max_rss_bytes: int | None = None
    minor_faults: int | None = None
    major_faults: int | None = None
    voluntary_switches: int | None = None
    involuntary_switches: int | None = None


class Launch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One process. `index` counts from 0 in the order of starting; `order` is its place in the plan.

    `start_us` is on the device's clock, the same one as the telemetry's `t_us`. `exit_code` and `signal`:
    one of them is null. `median_us`, `mean_us` and `count` are of its own samples; where a tool keeps these (`sampled`
    false), as it says in `told`. `begin_us`: when the first timed iteration
    began, on the same clock. With `--streams` a launch is `group`, several processes at once: its samples are those
    that count of all streams, `memory`, `usage` and `cpu_us` their sum, `load_us` and `first_inference_us` their median,
    `wall_us` the window's.
    """

    index: int
    order: int | None = None
    seed: int | None = None
    ok: bool = True
    error: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    start_us: float | None = None
    load: LoadTimes = LoadTimes()
    load_us: float | None = None
    first_inference_us: float | None = None
    median_us: float | None = None
    mean_us: float | None = None
    count: int = 0
    warmup_iterations: int | None = None
    begin_us: float | None = None
    wall_us: float | None = None
    cpu_us: float | None = None
    clock_resolution_ns: float | None = None
    threads: int | None = None
    actual_accelerator: str | None = None
    fully_accelerated: bool | None = None
    sampled: bool = True
    memory: LaunchMemory = LaunchMemory()
    usage: Usage = Usage()
    inferences_per_second: float | None = None
    group: Group | None = None
    told: Told | None = None


class RecordEvent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that happened during the run: a pause to cool, a lost link, a launch done again."""

    kind: str
    message: str
    t_us: float | None = None
    at: str | None = None


class Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: str
    started_at: str
    edgekit_version: str
    schema: Literal["edgekit.record/1"] = "edgekit.record/1"
    model: Model
    profile: Profile | None = None
    device: Device
    runtime: Runtime
    plan: Plan
    conditions: BeforeAfter = BeforeAfter()
    latency: Latency
    throughput: Throughput | None = None
    memory: Memory = Memory()
    energy: Energy = Energy(unavailable="no meter was used")
    accuracy: Accuracy = Accuracy()
    sustained: Sustained | None = None
    operators: Operators | None = None
    verdict: Verdict
    environment: Environment | None = None
    labels: dict[str, str] = {}
    launches: tuple[Launch, ...] = ()
    events: tuple[RecordEvent, ...] = ()
    notes: tuple[str, ...] = ()
