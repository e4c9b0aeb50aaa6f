"""The profile schema edgekit.profile/1: these Structs are its single definition.

A field's type says everything that the checker, the JSON Schema and the docs need. A quantity is a number
in its base unit here (the attribute's name carries the unit) and a text with a unit in the file (the key
does not): `limits.temperature_mc` is `limits: {temperature: 80C}`.
"""

# no postponed annotations: msgspec would have to compile each of them again at every start

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct, field, json
from msgspec.structs import replace

from edgekit.units import Kind

SCHEMA: Final = "edgekit.profile/1"


def _quantity(kind: Kind, what: str) -> Any:
    return Meta(description=what, extra={"quantity": kind}, extra_json_schema={"x-quantity": kind})


def _open_enum(group: str, known: tuple[str, ...], what: str, elsewhere: str = "") -> Any:
    """Names that plug-ins may add to: built-in ones, and those of an entry-point group. `elsewhere`: where other names go."""
    return Meta(
        description=what,
        extra={"known": known, "group": group, "elsewhere": elsewhere},
        extra_json_schema={"examples": list(known)},
    )


CPU_LIST_PATTERN: Final = r"^\d{1,4}(-\d{1,4})?(,\d{1,4}(-\d{1,4})?)*$"
NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9._-]*$"
KNOB_PATTERN: Final = r"^/(sys|proc/sys)(/[A-Za-z0-9_:@,+=-][A-Za-z0-9_:@,.+=-]*)+$"

SizeBytes = Annotated[int, _quantity("size", "bytes with a unit: 64MiB, 4GB")]
TimeUs = Annotated[float, _quantity("time", "a time with a unit: 12ms, 2s")]
TemperatureMc = Annotated[int, _quantity("temperature", "degrees Celsius: 80C")]
FrequencyKhz = Annotated[int, _quantity("frequency", "a frequency with a unit: 1.8GHz")]
EnergyUj = Annotated[float, _quantity("energy", "an energy with a unit: 3mJ")]
PowerMw = Annotated[float, _quantity("power", "a power with a unit: 5W")]
FREQUENCY_PATTERN: Final = r"^(max|min|[0-9]+(\.[0-9]+)? ?(Hz|kHz|MHz|GHz))$"
Frequency = Annotated[
    str, Meta(pattern=FREQUENCY_PATTERN, description="a frequency with a unit, or max, or min: 1.8GHz")
]
Ratio = Annotated[float, _quantity("ratio", "a share of one: 0.01 or 1%")]
CpuList = Annotated[
    str,
    Meta(pattern=CPU_LIST_PATTERN, description="CPU numbers: 0-3, 4,6-7", extra_json_schema={"x-cpus": True}),
]
KnobPath = Annotated[str, Meta(pattern=KNOB_PATTERN, description="a path under /sys or /proc/sys")]
KnobValue = Annotated[
    str,
    Meta(
        min_length=1, max_length=200, description="what to write there", extra_json_schema={"x-number": True}
    ),
]
Text = Annotated[str, Meta(min_length=1, max_length=2000)]
Name = Annotated[
    str, Meta(pattern=NAME_PATTERN, max_length=100, description="lower-case letters, digits, . _ -")
]
Glob = Annotated[str, Meta(min_length=1, max_length=300, description="a glob: * ? [abc]")]
Globs = Glob | tuple[Glob, ...]
"""One glob, or several of which one has to fit."""

Abi = Literal["arm64-v8a", "armeabi-v7a", "x86_64", "x86", "riscv64"]
Os = Literal["linux", "android", "ios"]
DeviceKind = Literal["local", "board", "phone"]
Precision = Literal["int4", "int8", "int16", "float16", "bfloat16", "float32"]
RECIPES: Final = (
    "float32", "float16", "int8-dynamic", "int8-weight-only", "int8-static", "int16x8", "int4-weight-only",
    "int4-blockwise", "mixed",
)  # fmt: skip
Recipe = Annotated[
    str,
    Meta(
        pattern=rf"^({'|'.join(RECIPES)}|.*\.ya?ml)$",
        description="a built-in recipe, or a recipe's file, named from where the profile lies",
        extra={"recipes": RECIPES},
    ),
]
Boundary = Literal["soc-rails", "cpu-package", "module-input", "board-input", "battery", "wall"]
Runtime = Annotated[
    str,
    _open_enum(
        "runtimes",
        (
            "litert",
            "litert-python",
            "onnxruntime",
            "onnxruntime-python",
            "executorch",
            "executorch-python",
            "coreml",
        ),
        "what runs the model there",
    ),
]
Format = Annotated[
    str,
    _open_enum(
        "targets", ("tflite", "onnx", "coreml", "executorch"), "a model format, as `convert --to` names it"
    ),
]

Meter = Annotated[
    str,
    _open_enum(
        "meters",
        (
            *("odpm", "rapl", "power-stats", "perfetto", "hwmon", "ina3221-iio", "tegrastats", "rpi-pmic"),
            *("battery", "battery-charge", "batterystats", "joulescope"),
            "none",
        ),
        "what tells power there, as `bench --meter` names it; none: nothing is to",
        "; profiles are shared, so a meter beside a device is named on its bench: meter: NAME of the device in edgekit.yaml, or "
        "--meter NAME",
    ),
]


Rail = Annotated[str, Meta(min_length=1, max_length=64, description="a rail, as `edgekit meters` names it")]


class _Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of every part of a profile: unknown keys are errors, unset keys are None or empty."""


class Match(_Section, frozen=True, kw_only=True):
    """Facts that tell this device; all that are given must fit. Without any, a profile never matches by itself."""

    kind: DeviceKind | tuple[DeviceKind, ...] | None = None
    os: Os | tuple[Os, ...] | None = None
    abi: Abi | tuple[Abi, ...] | None = None
    machine: Globs | None = None
    soc: Globs | None = None
    cpu_part: Globs | None = None
    device_tree_model: Globs | None = None
    device_tree_compatible: Globs | None = None
    android_manufacturer: Globs | None = None
    android_model: Globs | None = None
    android_device: Globs | None = None


class Core(_Section, frozen=True, kw_only=True):
    """One cluster of equal CPUs."""

    cluster: Text
    cpus: CpuList | None = None
    kind: Text | None = None
    max_frequency_khz: FrequencyKhz | None = field(default=None, name="max_frequency")


class DeviceSection(_Section, frozen=True, kw_only=True):
    """What the hardware is."""

    vendor: Text | None = None
    model: Text | None = None
    soc: Text | None = None
    abi: Abi | None = None
    cores: tuple[Core, ...] = ()
    memory_bytes: SizeBytes | None = field(default=None, name="memory")
    gpu: Text | None = None
    npu: Text | None = None


class RecipeSection(_Section, frozen=True, kw_only=True):
    """How models are made ready for it."""

    prefer: tuple[Recipe, ...] = ()
    max_accuracy_drop: Ratio | None = None


class Limits(_Section, frozen=True, kw_only=True):
    """A push or bench past one of these fails (exit 5)."""

    model_size_bytes: SizeBytes | None = field(default=None, name="model_size")
    peak_rss_bytes: SizeBytes | None = field(default=None, name="peak_rss")
    model_delta_bytes: SizeBytes | None = field(default=None, name="model_delta")
    median_latency_us: TimeUs | None = field(default=None, name="median_latency")
    mean_latency_us: TimeUs | None = field(default=None, name="mean_latency")
    p90_latency_us: TimeUs | None = field(default=None, name="p90_latency")
    p95_latency_us: TimeUs | None = field(default=None, name="p95_latency")
    p99_latency_us: TimeUs | None = field(default=None, name="p99_latency")
    p999_latency_us: TimeUs | None = field(default=None, name="p999_latency")
    first_inference_us: TimeUs | None = field(default=None, name="first_inference")
    load_us: TimeUs | None = field(default=None, name="load")
    temperature_mc: TemperatureMc | None = field(default=None, name="temperature")
    energy_per_inference_uj: EnergyUj | None = field(default=None, name="energy_per_inference")
    mean_power_mw: PowerMw | None = field(default=None, name="mean_power")


class Bench(_Section, frozen=True, kw_only=True):
    """How it is measured where the command line does not say."""

    threads: Annotated[int, Meta(ge=1, le=256)] | None = None
    cpus: CpuList | None = None
    governor: Name | None = None
    launches: Annotated[int, Meta(ge=1, le=1000)] | None = None
    min_seconds: Annotated[float, Meta(ge=0, le=86400)] | None = None
    iterations: Annotated[int, Meta(ge=1, le=100_000_000)] | None = None
    cool_to_mc: TemperatureMc | None = field(default=None, name="cool_to")
    cool_timeout_us: TimeUs | None = field(default=None, name="cool_timeout")
    screen: Literal["on", "off"] | None = None
    charging: Literal["yes", "no", "off"] | None = None
    min_battery: Ratio | None = None
    """With `screen` and `charging`: what an Android device is waited for to be, for `ready_timeout` each time."""
    ready_timeout_us: TimeUs | None = field(default=None, name="ready_timeout")
    priority: Annotated[int, Meta(ge=-20, le=19)] | None = None
    frequency: Frequency | None = None
    knobs: dict[KnobPath, KnobValue] = {}
    """Kernel settings for the time of a measurement: a path under /sys or /proc/sys to its value."""


class Power(_Section, frozen=True, kw_only=True):
    """What tells power there, and what its number includes."""

    meter: Meter | None = None
    boundary: Boundary | None = None
    rails: tuple[Rail, ...] = ()
    """Which of the meter's rails to add up, where its own choice will not do (docs/measuring.md)."""
    current_unit: Literal["uA", "mA"] | None = None
    discharge_sign: Literal[-1, 1] | None = None
    charging_off: dict[KnobPath, KnobValue] = {}
    """Kernel settings that keep it from charging, for `charging: off`; the first that edgekit knows, where there are none."""


class Document(_Section, frozen=True, kw_only=True):
    """One profile file, or several merged through `extends`."""

    schema: Literal["edgekit.profile/1"]
    name: Name
    extends: Text | None = None
    description: Text | None = None
    match: Match = Match()
    device: DeviceSection = DeviceSection()
    runtimes: tuple[Runtime, ...] = ()
    formats: tuple[Format, ...] = ()
    precisions: dict[Runtime, tuple[Precision, ...]] = {}
    recipe: RecipeSection = RecipeSection()
    limits: Limits = Limits()
    bench: Bench = Bench()
    power: Power = Power()
    export_only: bool = False
    """True where edgekit converts for this device but cannot reach it."""


class Profile(Document, frozen=True, kw_only=True):
    """A resolved profile; `sources` are the files it came from, itself first."""

    sources: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """Of the resolved content in a fixed order: comments, description, the spelling of units and the
        way it is split over files do not change it."""
        import hashlib  # loads OpenSSL, which most uses of a profile can do without

        content = {n: getattr(self, n) for n in Document.__struct_fields__ if n not in _NOT_CONTENT}
        # where a recipe's file lies is no content; what it says has a hash of its own in every manifest
        prefer = tuple(one.rpartition("/")[2] for one in self.recipe.prefer)
        content["recipe"] = replace(self.recipe, prefer=prefer)
        return hashlib.sha256(json.encode(content, order="deterministic")).hexdigest()


_NOT_CONTENT: Final = ("description", "extends")
