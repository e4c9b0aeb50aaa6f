"""Activations of a Core ML program stored as int8: ranges found by edgekit's own evaluator, on any host.

coremltools calibrates with `predict`, which only macOS has. Here the float program runs in `edgekit_ios.mil`, ranges are found as for
every other target (`edgekit.conversion.ranges`), and pairs of `quantize` and `dequantize` are written into the program where
coremltools writes them: before conv, linear, add and pooling, and behind them, after an activation function that can be fused.
What was written is read back with the program's own reader (`edgekit_ios.activating_check`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.conversion.extras import need, quiet
from edgekit.conversion.ranges import Gatherer, Range, words
from edgekit.conversion.recipes import Recipe, kind_of
from edgekit.conversion.recipes.load import method_of
from edgekit.conversion.recipes.rules import Planner
from edgekit.conversion.targets.base import Stream
from edgekit.errors import InputError, ToolError, VerificationError
from edgekit.events import Event, Sink
from edgekit.models.manifest import RangesFound
from edgekit_ios.activating_check import check, held_range
from edgekit_ios.activating_edit import Stored, insert
from edgekit_ios.converting import WHAT, first_line
from edgekit_ios.mil.evaluate import fold
from edgekit_ios.mil.model import MilModel
from edgekit_ios.mil.package import Package
from edgekit_ios.mil.program import Operation, Program, Ref, read_program

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]

COMPUTED = ("add", "avg_pool", "conv", "linear", "max_pool")
"""Operations that Core ML computes with int8 activations: those that coremltools' own quantizer puts pairs around."""
_FUSED = ("hard_sigmoid", "leaky_relu", "relu", "relu6", "scaled_tanh", "sigmoid", "tanh")
_SMALLEST_STEP = {"float16": 2.0**-14, "float32": 2.0**-40}
"""A tensor that is always zero has no range: its step is one that its type can hold."""
_EVERY = 50


@dataclass(frozen=True)
class Held:
    """One tensor that is stored as int8, and the operations, by the names of their outputs, that read it so."""

    name: str
    symmetric: bool
    readers: frozenset[str]


def activated(
    model: Any,
    float_package: Path,
    package: Path,
    inputs: Sequence[str],
    recipe: Recipe,
    samples: Stream,
    sink: Sink,
) -> tuple[tuple[str, ...], RangesFound]:
    """Write what a recipe says of activations into a program, in place; gives notes, and how ranges were found.

    `model`: CoreML.Specification.Model, its weights compressed, whose files of weights are in `package`. `float_package`:
    the same model before. `inputs`: names of the program's inputs in the order of `samples`. Raises InputError
    (E_RECIPE_RULE, E_DATA_VALUES), ModelError, MissingExtra, ToolError E_QUANTIZER, VerificationError
    (E_NOTHING_QUANTIZED, E_RECIPE_NOT_MET).
    """
    opened = Package(float_package)
    program = read_program(opened.model, opened.blob_file, fold)
    held, notes = plan(recipe, program)
    if not held:
        raise VerificationError(
            f"the model has no operation whose activations recipe {recipe.name} quantizes",
            code="E_NOTHING_QUANTIZED",
            hint="use --recipe int8-weight-only",
        )
    gatherer, ranges = find_ranges(float_package, held, inputs, recipe, samples, sink)
    kinds = _kinds(program)
    pairs = [
        Stored(
            one.name, one.readers, *steps(ranges[one.name], one.symmetric, kinds[one.name]), kinds[one.name]
        )
        for one in held
        if one.name in ranges
    ]
    insert(model, pairs)
    _require_valid(model, package, recipe)
    after = read_program(model, Package(package).blob_file, fold)
    check(recipe, {one.name: one.readers for one in held}, ranges, after)
    found = RangesFound(
        method=method_of(recipe),
        samples=len(samples),
        tensors=len(pairs),
        clipped=gatherer.cost({one.name: held_range(one.scale, one.zero_point, beyond=0.5) for one in pairs}),
    )
    return (*notes, *([words(found)] if found.clipped else [])), found


def plan(recipe: Recipe, program: Program) -> tuple[tuple[Held, ...], tuple[str, ...]]:
    """Which tensors are stored as int8, and notes on what stays float though the recipe says otherwise. Pure.

    Raises InputError E_RECIPE_RULE where a rule asks for int8 activations of an operation that has none in Core ML.
    """
    planner, block = Planner(recipe, "coreml"), program.block
    readers = _readers(block.operations)
    ends = set(block.outputs)
    found: dict[str, tuple[bool, set[str]]] = {}
    left: Counter[str] = Counter()

    def hold(name: str, symmetric: bool, read_by: Sequence[str]) -> None:
        before, known = found.get(name, (True, set()))
        found[name] = (before and symmetric, known | set(read_by))

    for operation in block.operations:
        scheme, place = planner.scheme(operation.type, (operation.name,))
        if scheme.activations.mode != "static":
            continue
        if operation.type not in COMPUTED:
            if place is not None and operation.type in recipe.rules[place - 1].operators:
                raise InputError(
                    f"recipe {recipe.name}, rule {place}: {operation.type} is not made {kind_of(scheme)}: Core ML computes"
                    f" with int8 activations in {', '.join(COMPUTED)}",
                    code="E_RECIPE_RULE",
                    hint="give it another scheme, or scheme: float",
                )
            left[operation.type] += operation.type in ("conv_transpose", "gather", "matmul")
            continue
        taken = [_only(operation, name) for name in (("x", "y") if operation.type == "add" else ("x",))]
        if any(name is None or name in block.constants for name in taken):
            continue
        symmetric = scheme.activations.symmetric
        for name in taken:
            hold(str(name), symmetric, [operation.name])
        last = operation.name
        after = readers.get(last, [])
        if last not in ends and len(after) == 1 and after[0].type in _FUSED:
            last = after[0].name
        # What the model gives keeps its type: nothing that computes reads it.
        inner = [one for one in readers.get(last, []) if not (one.type == "cast" and one.name in ends)]
        if inner and last not in ends:
            hold(last, symmetric, [one.name for one in inner])
    stays = [op if count == 1 else f"{op} ({count})" for op, count in sorted(left.items()) if count]
    notes = (
        (f"only weights are integers, Core ML has no int8 activations there: {', '.join(stays)}",)
        if stays
        else ()
    )
    return tuple(Held(n, s, frozenset(r)) for n, (s, r) in sorted(found.items())), notes


def find_ranges(
    package: Path, held: Sequence[Held], inputs: Sequence[str], recipe: Recipe, samples: Stream, sink: Sink
) -> tuple[Gatherer, dict[str, Range]]:
    """The ranges of the held tensors, by name; only one sample's tensors are in memory at a time.

    Raises InputError E_DATA_VALUES (a tensor became NaN), ModelError E_MODEL_RUN.
    """
    gatherer = Gatherer(recipe.ranges.method, recipe.ranges.percentile)
    stored = {one.name: (8, one.symmetric) for one in held}
    model = MilModel(package)
    total = len(samples)

    def watch(index: int) -> Callable[[str, str, Any], None]:
        def note(_: str, name: str, value: Any) -> None:
            if name in stored:
                gatherer.add(name, value.astype(np.float32), index)

        return note

    for index, sample in enumerate(samples):
        given = dict(zip(inputs, sample, strict=True))
        note = watch(index)
        for name, value in given.items():
            note("", name, value)
        model.run_watched([given[spec.tensor or spec.name] for spec in model.signature.inputs], note)
        if index % _EVERY == 0:
            sink(Event("calibrate", done=index + 1, total=total, unit="samples"))
    sink(Event("calibrate", done=total, total=total, unit="samples"))
    return gatherer, gatherer.ranges(stored)


def steps(found: Range, symmetric: bool, kind: str) -> tuple[float, int]:
    """Scale and zero point of int8 that hold a range; the scale is one that `kind` ("float16", "float32") can hold. Pure."""
    wide = 2 * max(-found.low, found.high) if symmetric else found.high - found.low
    wanted = max(wide / (254 if symmetric else 255), _SMALLEST_STEP[kind])
    scale = np.dtype(kind).type(wanted)
    if float(scale) < wanted:
        scale = np.nextafter(scale, np.dtype(kind).type(np.inf))
    zero = 0 if symmetric else int(np.clip(np.rint(-128 - found.low / float(scale)), -128, 127))
    return float(scale), zero


def _kinds(program: Program) -> dict[str, str]:
    """The float type of each tensor of the program, by name."""
    declared = [*program.inputs, *(output for one in program.block.operations for output in one.outputs)]
    return {name: kind.kind.numpy.name for name, kind in declared if kind.kind is not None}


def _readers(operations: Sequence[Operation]) -> Mapping[str, list[Operation]]:
    found: dict[str, list[Operation]] = {}
    for operation in operations:
        for name in {
            item.name for bound in operation.inputs.values() for item in bound if isinstance(item, Ref)
        }:
            found.setdefault(name, []).append(operation)
    return found


def _only(operation: Operation, name: str) -> str | None:
    bound = operation.inputs.get(name, ())
    return bound[0].name if len(bound) == 1 and isinstance(bound[0], Ref) else None


def _require_valid(model: Any, package: Path, recipe: Recipe) -> None:
    """coremltools' own reader infers every type again: it refuses a program that is none. Raises ToolError E_QUANTIZER."""
    loader = need("coremltools.converters.mil.frontend.milproto.load", "coreml", WHAT)
    weights = next(package.rglob("weights"), None)
    try:
        with quiet():
            loader.load(model, model.specificationVersion, str(weights) if weights is not None else "")
    except Exception as error:  # coremltools raises its own and plain assertions
        raise ToolError(
            f"coremltools does not read the program with int8 activations of {recipe.name}:"
            f" {type(error).__name__}: {first_line(error)}",
            code="E_QUANTIZER",
            hint="use --recipe int8-weight-only, and please report it",
        ) from error
