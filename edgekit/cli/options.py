"""Options that several commands share: conversion, measurement."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from edgekit.config import Config
    from edgekit.conversion.options import ConvertWishes
    from edgekit.units import Kind

Decorator = Callable[[Any], Any]
MAX_WAIT_SECONDS = 7 * 86_400


def _all(*options: Decorator) -> Decorator:
    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


class Quantity(click.ParamType[float]):
    """A value with its unit, like 2MB/s or 30min, in the kind's base unit (edgekit.units)."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.name = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from edgekit.errors import InputError
        from edgekit.units import parse_quantity

        try:
            found = parse_quantity(self.kind, value)
        except InputError as error:
            self.fail(error.message, param, ctx)
        if found <= 0:
            self.fail(f"{value} is not more than nothing", param, ctx)
        return found


class Seconds(click.FloatRange):
    """A number, mostly a span of time. Unlike click's own range it has no room for nan."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if number != number:
            self.fail(f"{value} is no number.", param, ctx)
        return number


class Counts(click.ParamType[tuple[int, ...]]):
    """One whole number, or several with commas between them."""

    name = "counts"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        try:
            return tuple(int(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a valid integer, nor several like 1,2,4.", param, ctx)


def _shapes(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """NAME=1x3x224x224 (or with commas), as often as there are inputs; a name may itself have an equals sign."""
    shapes = {}
    for text in values:
        name, sep, sizes = text.rpartition("=")
        parts = sizes.lower().replace(",", "x").split("x") if sizes not in ("", "scalar") else []
        if not sep or not name or not all(part.isdecimal() and 0 < int(part) < 1 << 31 for part in parts):
            raise click.BadParameter(f"'{text}' is not NAME=1x3x224x224")
        shapes[name] = tuple(int(part) for part in parts)
    return shapes


convert_options = _all(
    click.option(
        "--recipe",
        metavar="R",
        help="auto (try all, take the best), as-is, a recipe's name (`edgekit recipe list`) or FILE.yaml (default: the profile's).",
    ),
    click.option(
        "--calibration",
        metavar="DATA",
        help="Samples to find static ranges with: an .npz file, a folder of images, or package.module:function.",
    ),
    click.option(
        "--preprocess",
        metavar="FILE",
        help="How images become tensors (YAML; default: FOLDER/preprocess.yaml).",
    ),
    click.option(
        "--calibration-method",
        metavar="M",
        help="min-max, percentile:99.9, entropy or mse (default: what the recipe says).",
    ),
    click.option(
        "--evaluation",
        metavar="FILE|FUNCTION",
        help="Samples with labels or targets (.npz), or package.module:function, to compare the task's metric on.",
    ),
    click.option(
        "--to", metavar="FORMAT", help="tflite, onnx, executorch or coreml (default: the profile's)."
    ),
    click.option(
        "--layout",
        type=click.Choice(["keep", "nchw", "nhwc"]),
        default="keep",
        show_default=True,
        help="Order of axes of image inputs and outputs.",
    ),
    click.option(
        "--shape",
        "shapes",
        multiple=True,
        metavar="INPUT=1x3x224x224",
        callback=_shapes,
        help="Size of an input that leaves it open.",
    ),
    click.option(
        "--rescue",
        is_flag=True,
        help="Where a quantized TFLite or ONNX model fails its verification: equalize layers, correct biases, keep the worst layers float.",
    ),
    click.option("--trust", is_flag=True, help="Code and pickled objects in the model may run on this host."),
    click.option(
        "--no-cache",
        "cache",
        is_flag=True,
        flag_value=False,
        default=True,
        help="Convert anew, whatever is kept.",
    ),
)


def convert_wishes(values: dict[str, Any]) -> ConvertWishes:
    """The conversion's part of a command's keyword arguments, which are taken out of `values`."""
    from edgekit.conversion.options import ConvertWishes

    wishes: Any = {key: values.pop(key) for key in ConvertWishes.__annotations__}
    taken: ConvertWishes = wishes
    return taken


release_options = _all(
    click.option("--name", metavar="N", help="Name of the release (default: the model file's)."),
    click.option("--version", metavar="V", help="Version (default: from the model's content)."),
    click.option("--no-activate", is_flag=True, help="Put it there, but leave the active version as it is."),
    click.option("--no-smoke", is_flag=True, help="Do not run it on the device before it becomes active."),
    click.option(
        "--accept-inconclusive", is_flag=True, help="Also where the verification could prove nothing."
    ),
)

measure_options = _all(
    click.option(
        "--launches", type=int, metavar="K", help="Processes to start (default: the profile's, else 5)."
    ),
    click.option("--iterations", type=int, metavar="N", help="At least so many inferences a launch."),
    click.option("--warmup-iterations", type=int, metavar="N", help="Inferences before the timed ones."),
    click.option("--min-seconds", type=float, metavar="S", help="At least so long a launch."),
    click.option(
        "--spread",
        type=float,
        default=0.0,
        metavar="S",
        help="Begin the launches evenly over so many seconds, with pauses.",
    ),
    click.option(
        "--threads",
        type=Counts(),
        metavar="T",
        help="Threads of the runtime; of `bench` also several, like 1,2,4, side by side.",
    ),
    click.option("--cpus", metavar="LIST", help="CPUs to run on, like 4-7."),
    click.option(
        "--priority",
        type=click.IntRange(-20, 19),
        metavar="N",
        help="Nice value of what is measured, -20 to 19; below 0 it takes an agent that runs as root.",
    ),
    click.option(
        "--frequency",
        metavar="F",
        help="Hold the CPUs at max, min or a frequency like 1.8GHz; needs root (--privileged).",
    ),
    click.option(
        "--screen",
        type=click.Choice(["on", "off", "any"]),
        help="Android: wait until the screen is so (default: the profile's, else any).",
    ),
    click.option(
        "--charging",
        type=click.Choice(["yes", "no", "off", "any"]),
        help="Android: wait until it charges, or does not; off: see to it, by its charger's setting or its USB port's power.",
    ),
    click.option(
        "--min-battery",
        type=Seconds(0, 100),
        metavar="PERCENT",
        help="Android: wait until the battery has at least so much.",
    ),
    click.option(
        "--ready-timeout",
        type=Seconds(0, 86_400),
        metavar="S",
        help="Wait so long for screen, charging and battery (default: the profile's, else 120).",
    ),
    click.option(
        "--runtime", metavar="R", help="Runtime (default: the profile's first that can run the model)."
    ),
    click.option(
        "--accelerator",
        metavar="NAME",
        help="What to run on, like cpu, gpu or npu (default: cpu, where the runtime has it).",
    ),
    click.option(
        "--require-accelerator",
        is_flag=True,
        help="Fail (4) unless every launch proves to have run there, all of it.",
    ),
    click.option(
        "--runtime-flag",
        "runtime_flags",
        multiple=True,
        metavar="FLAG",
        help="A flag of the tool that --runtime names, like --use_xnnpack=false; unknown ones are refused.",
    ),
    click.option(
        "--inputs",
        metavar="FILE",
        help="Time the first sample of these (.npz), not the golden or random inputs.",
    ),
    click.option(
        "--seed", type=int, metavar="N", help="Of generated inputs and random orders; kept in the record."
    ),
    click.option("--strict", is_flag=True, help="A suspect verdict fails (4) too."),
    click.option("--privileged", is_flag=True, help="Try sudo -n, su or adb root for what needs root."),
    click.option("--no-cool", is_flag=True, help="Do not wait for the profile's temperature."),
    click.option("--label", "labels", multiple=True, metavar="K=V", help="Kept with the record."),
    click.option(
        "--lease-wait",
        type=Seconds(0, MAX_WAIT_SECONDS),
        default=60.0,
        show_default=True,
        metavar="S",
        help="Wait so long for another host's work there to end.",
    ),
)


gate_options = _all(
    click.option(
        "--gate",
        "gates",
        multiple=True,
        metavar="EXPR",
        help="Fail (5) unless like median_latency<=12ms, or median_latency<=baseline*1.03.",
    ),
    click.option(
        "--baseline",
        metavar="RUN|FILE",
        help="Run of the results store, or a record's file, that gates with `baseline` compare with.",
    ),
    click.option("--junit", metavar="FILE", help="Write the gates and the verdict as JUnit XML."),
)

sustained_option = click.option(
    "--sustained",
    type=float,
    default=0.0,
    metavar="MINUTES",
    help="One more launch, so long: latency, frequency and temperature by the minute.",
)

streams_option = click.option(
    "--streams",
    type=int,
    metavar="N",
    help="So many processes at once in each launch (up to 64): throughput, and latency under it.",
)

op_profile_option = click.option(
    "--op-profile",
    is_flag=True,
    help="One more launch that times each operator, of a runtime that can.",
)

meter_option = click.option(
    "--meter",
    metavar="M",
    help="What measures energy, or none (default: the profile's, else the best there; see edgekit meters).",
)

bench_options = _all(
    measure_options, sustained_option, streams_option, op_profile_option, meter_option, gate_options
)


def bench_options_of(values: dict[str, Any], config: Config) -> Any:
    """The BenchOptions of a command's keyword arguments, which are taken out of `values`."""
    from edgekit.benchmarking import BenchOptions
    from edgekit.cli.argv import command_line
    from edgekit.cli.common import parse_labels

    return BenchOptions(
        launches=values.pop("launches"),
        iterations=values.pop("iterations"),
        warmup_iterations=values.pop("warmup_iterations"),
        min_seconds=values.pop("min_seconds"),
        spread_seconds=values.pop("spread"),
        sustained_minutes=values.pop("sustained", 0.0),
        streams=values.pop("streams", None),
        meter=values.pop("meter", None),
        evaluation=values.pop("device_evaluation", None),
        threads=_one_count(values.pop("threads")),
        cpus=values.pop("cpus"),
        runtime=values.pop("runtime"),
        accelerator=values.pop("accelerator"),
        require_accelerator=values.pop("require_accelerator"),
        runtime_flags=tuple(values.pop("runtime_flags")),
        tools=config.runtimes,
        meters=config.meters,
        op_profile=values.pop("op_profile", False),
        priority=values.pop("priority"),
        frequency=values.pop("frequency"),
        screen=values.pop("screen"),
        charging=values.pop("charging"),
        min_battery_percent=values.pop("min_battery"),
        ready_timeout_seconds=values.pop("ready_timeout"),
        inputs=values.pop("inputs"),
        seed=values.pop("seed"),
        gates=tuple(values.pop("gates", ())),
        baseline=values.pop("baseline", None),
        strict=values.pop("strict"),
        privileged=values.pop("privileged"),
        cool=not values.pop("no_cool"),
        labels=parse_labels(values.pop("labels")),
        lease_wait_seconds=values.pop("lease_wait"),
        argv=command_line(),
    )


def _one_count(threads: tuple[int, ...] | None) -> int | None:
    if threads is None:
        return None
    if len(threads) > 1:
        raise click.UsageError(
            "--threads takes one count here; several side by side are measured by edgekit bench"
        )
    return threads[0]
