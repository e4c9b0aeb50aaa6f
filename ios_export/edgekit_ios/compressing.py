"""Weights of a Core ML model compressed as a recipe says, by coremltools, and the model read back with edgekit's own reader.

The recipe's rules are applied here, operation by operation; coremltools gets the outcome by the names of the constants.
It is computed in float16, which Apple's processors do, unless the recipe's own scheme is float32. What is done to activations is in `edgekit_ios.activating`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.conversion.extras import need, quiet
from edgekit.conversion.recipes import Recipe, Scheme, kind_of
from edgekit.conversion.recipes.met import require_met
from edgekit.conversion.recipes.rules import Planner
from edgekit.conversion.recipes.schema import FLOAT_SCHEME
from edgekit.errors import InputError, ToolError, VerificationError
from edgekit_ios.converting import WHAT, first_line
from edgekit_ios.mil.evaluate import fold
from edgekit_ios.mil.package import Package
from edgekit_ios.mil.program import Operation, Program, Ref, read_program

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]

KINDS = (
    "int8-static", "int4-static", "int8-weight-only", "int4-weight-only", "int8-weight-only-blockwise", "int4-weight-only-blockwise",
    "palette1", "palette2", "palette4", "palette6", "palette8", "sparse-float16", "sparse-float32",
    "sparse-int8-weight-only", "sparse-palette1", "sparse-palette2", "sparse-palette4", "sparse-palette6",
    "sparse-palette8",
)  # fmt: skip
"""What coremltools makes of weights; static activations are `edgekit_ios.activating`'s."""
COMPRESSED = "compressed.mlpackage"
"""The package in the request's folder with the weights compressed."""
_WEIGHT_OF = {"conv": "weight", "conv_transpose": "weight", "linear": "weight", "matmul": "y", "gather": "x"}
_RECURRENT = ("gru", "lstm", "rnn")
_HALF_STEP = 0.52
"""Rounding to the nearest; scales are float16 themselves."""


@dataclass(frozen=True)
class Planned:
    """One operation with weights: `constant` is the name of the constant that holds them, `channels` how many of the
    input or the output there are."""

    name: str
    op: str
    constant: str
    scheme: Scheme
    channels: int


def is_compressed(recipe: Recipe) -> bool:
    return any(
        scheme.weights.type != "float" or scheme.weights.sparsity for scheme in recipe.all_schemes("coreml")
    )


def system_for(recipe: Recipe) -> str:
    """int4, blocks, and two ways at once came with iOS 18."""
    for scheme in recipe.all_schemes("coreml"):
        weights = scheme.weights
        both = weights.sparsity > 0 and weights.type != "float"
        if both or weights.granularity.startswith("block") or (weights.type == "int" and weights.bits == 4):
            return "iOS18"
    return "iOS17"


def compressed(made: Any, package: Path, recipe: Recipe, folder: Path) -> tuple[Any, tuple[str, ...]]:
    """A coremltools model with its weights compressed, and notes. `package`: the float model on disk.

    Raises MissingExtra, InputError E_RECIPE_RULE, ToolError E_QUANTIZER, VerificationError (E_NOTHING_QUANTIZED,
    E_RECIPE_NOT_MET).
    """
    before, _ = _read(package)
    planned = _plan(recipe, before)
    wanted = [p for p in planned if p.scheme != FLOAT_SCHEME]
    if not wanted:
        raise VerificationError(
            f"the model has no operation that recipe {recipe.name} changes: nothing was quantized",
            code="E_NOTHING_QUANTIZED",
            hint="use --recipe float16",
        )
    try:
        with quiet():
            result = shrunk(made, wanted)
            result.save(str(folder / COMPRESSED))
    except Exception as error:  # coremltools raises its own, numpy's and plain assertions
        raise ToolError(
            f"coremltools failed on {recipe.name}: {type(error).__name__}: {first_line(error)}",
            code="E_QUANTIZER",
            hint="try another --recipe; float16 always works",
        ) from error
    after, folded = _read(folder / COMPRESSED)
    _check(recipe, planned, before, after, folded)
    notes = [f"for {system_for(recipe)} and later"] if system_for(recipe) != "iOS17" else []
    left = sorted({o.type for o in before.block.operations} & set(_RECURRENT))
    notes += [f"stays float, coremltools leaves its weights alone: {', '.join(left)}"] if left else []
    return result, tuple(notes)


def shrunk(made: Any, wanted: list[Planned]) -> Any:
    """Pruned first, then quantized or given a palette: together they make one joint form."""
    optimize = need("coremltools.optimize.coreml", "coreml", WHAT)
    prune = {p.constant: p.scheme.weights for p in wanted if p.scheme.weights.sparsity > 0}
    joint = bool(prune)
    if prune:
        configs = {
            name: optimize.OpMagnitudePrunerConfig(target_sparsity=weights.sparsity, weight_threshold=0)
            for name, weights in prune.items()
        }
        made = optimize.prune_weights(made, optimize.OptimizationConfig(op_name_configs=configs))
    names = _names(made) if joint else {}
    palettes, linear = {}, {}
    for one in wanted:
        # What was pruned is no constant of that name any more: it is found by the operation that takes it, whose bias
        # is no larger than its channels.
        pruned = one.constant in prune
        name, threshold = (names[one.name], one.channels) if pruned else (one.constant, 0)
        weights = one.scheme.weights
        if weights.type == "palette":
            palettes[name] = optimize.OpPalettizerConfig(
                mode="kmeans", nbits=weights.bits, weight_threshold=threshold
            )
        elif weights.type == "int":
            linear[name] = _linear(optimize, one.scheme, threshold)
    if palettes:
        config = optimize.OptimizationConfig(op_name_configs=palettes)
        made = optimize.palettize_weights(made, config, joint_compression=joint)
    if linear:
        config = optimize.OptimizationConfig(op_name_configs=linear)
        made = optimize.linear_quantize_weights(made, config, joint_compression=joint)
    return made


def _names(made: Any) -> dict[str, str]:
    """coremltools' names of operations, by those of their outputs."""
    return {
        operation.outputs[0].name: operation.attributes["name"].immediateValue.tensor.strings.values[0]
        for function in made.get_spec().mlProgram.functions.values()
        for block in function.block_specializations.values()
        for operation in block.operations
        if operation.outputs and "name" in operation.attributes
    }


def _linear(optimize: Any, scheme: Scheme, threshold: int) -> Any:
    weights = scheme.weights
    known = {"tensor": "per_tensor", "channel": "per_channel"}
    given: dict[str, Any] = {"granularity": known.get(weights.granularity, "per_block")}
    if weights.granularity.startswith("block"):
        given["block_size"] = int(weights.granularity.partition("-")[2])
    return optimize.OpLinearQuantizerConfig(
        mode="linear_symmetric", dtype=f"int{weights.bits}", weight_threshold=threshold, **given
    )


def _read(package: Path) -> tuple[Program, dict[str, Operation]]:
    """The program of a package, and the operations that expand compressed constants, by what they make."""
    folded: dict[str, Operation] = {}

    def watch(operation: Operation, known: Mapping[str, Any]) -> tuple[Any, ...]:
        folded[operation.name] = operation
        return fold(operation, known)

    opened = Package(package)
    return read_program(opened.model, opened.blob_file, watch), folded


def _plan(recipe: Recipe, program: Program) -> list[Planned]:
    """Raises InputError E_RECIPE_RULE where a rule fits nothing, or asks for what fits no weights."""
    planner, planned = Planner(recipe, "coreml"), []
    for operation in program.block.operations:
        scheme, place = planner.scheme(operation.type, (operation.name,))
        constant = _constant(operation, program)
        if constant is None:
            continue
        kind = kind_of(scheme)
        if scheme.weights.granularity.startswith("block"):
            size, shape = (
                int(scheme.weights.granularity.partition("-")[2]),
                program.block.constants[constant].shape,
            )
            if len(shape) < 2 or shape[1] % size:
                if place is not None:
                    raise InputError(
                        f"recipe {recipe.name}, rule {place}: {operation.type} {operation.name} is not made {kind}, its"
                        f" {shape[1:2]} columns are no multiple of {size}",
                        code="E_RECIPE_RULE",
                        hint="give it another scheme, or scheme: float",
                    )
                scheme = FLOAT_SCHEME
        channels = max(program.block.constants[constant].shape[:2])
        planned.append(Planned(operation.name, operation.type, constant, scheme, channels))
    planner.require_all([operation.type for operation in program.block.operations])
    return planned


def _constant(operation: Operation, program: Program) -> str | None:
    bound = operation.inputs.get(_WEIGHT_OF.get(operation.type, ""), ())
    if len(bound) != 1 or not isinstance(bound[0], Ref):
        return None
    value = program.block.constants.get(bound[0].name)
    floats = isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.ndim >= 2
    return bound[0].name if floats else None


def _check(
    recipe: Recipe, planned: list[Planned], before: Program, after: Program, folded: Mapping[str, Operation]
) -> None:
    operations = {operation.name: operation for operation in after.block.operations}
    wrong, changed = [], 0
    for one in planned:
        operation = operations.get(one.name)
        bound = operation.inputs[_WEIGHT_OF[one.op]][0] if operation is not None else None
        maker = folded.get(bound.name) if isinstance(bound, Ref) else None
        changed += maker is not None
        real = np.asarray(before.block.constants[one.constant], dtype=np.float64)
        if one.scheme == FLOAT_SCHEME:
            wrong += [f"{one.op} {one.name}: {maker.type}, it was to stay float"] if maker is not None else []
        elif maker is None or not isinstance(bound, Ref):
            wrong.append(f"{one.op} {one.name}: its weights stayed as they were")
        else:
            stored = np.asarray(after.block.constants[bound.name], dtype=np.float64)
            wrong += [
                f"{one.op} {one.name}: {what}" for what in _weight(one.scheme, real, stored, maker, folded)
            ]
    if not changed:
        raise VerificationError(
            f"no weights became what recipe {recipe.name} says: nothing was quantized",
            code="E_NOTHING_QUANTIZED",
            hint="use --recipe float16",
        )
    require_met(recipe, wrong, "model")


def _weight(
    scheme: Scheme, real: Array, stored: Array, maker: Operation, folded: Mapping[str, Operation]
) -> Iterator[str]:
    weights = scheme.weights
    if weights.sparsity > 0:
        zeros = float((stored == 0).mean())
        if zeros + 1 / stored.size < weights.sparsity:
            yield f"{100 * zeros:.1f} % of the weights are zero, the recipe says {100 * weights.sparsity:.1f} %"
        kept, real = stored[stored != 0], real[stored != 0]
    else:
        kept = stored.reshape(-1)
        real = real.reshape(-1) if weights.type != "int" else real
    if weights.type == "palette":
        palette = np.unique(kept)
        if len(palette) > 2**weights.bits:
            yield f"weights have {len(palette)} values, a palette of {weights.bits} bits has {2**weights.bits}"
        nearest = np.abs(palette[np.abs(np.searchsorted(palette, real)[:, None] + np.array([-1, 0])).clip(0, len(palette) - 1)] - real[:, None]).min(axis=1)  # fmt: skip
        if (np.abs(kept - real) > nearest + 2e-3 * np.abs(real).max()).any():
            yield "weights are not the nearest values of their palette"
    elif weights.type == "float":
        if (np.abs(kept - real) > 2**-10 * np.abs(real) + 2**-24).any():
            yield "weights that are left are not what they were"
    elif weights.sparsity == 0:
        yield from _integers(scheme, real, stored, maker)
    elif (
        np.abs(kept - real)
        > _HALF_STEP * np.abs(real).max() / (2 ** (weights.bits - 1) - 1) + 1e-3 * np.abs(real)
    ).any():
        # Which scale is whose is not told from the joint form: none is larger than that of the largest weight.
        yield "weights that are left are off by more than half a step"


def _integers(scheme: Scheme, real: Array, stored: Array, maker: Operation) -> Iterator[str]:
    scale = np.asarray(maker.inputs["scale"][0], dtype=np.float64)
    granularity = scheme.weights.granularity
    if granularity == "tensor":
        expected = 1
    elif granularity == "channel":
        expected = max(real.shape[:2]) if scale.size not in real.shape[:2] else scale.size
    else:
        expected = real.shape[0] * (real.shape[1] // int(granularity.partition("-")[2]))
    if scale.size != expected:
        yield f"weights have {scale.size} scales, the recipe says per {granularity} ({expected})"
        return
    steps = _spread(scale, real.shape)
    if steps is None:
        yield f"scales of shape {list(scale.shape)} do not fit weights of {list(real.shape)}"
        return
    error = np.abs(stored - real)
    if (error > _HALF_STEP * steps + 1e-3 * np.abs(real)).any():
        yield f"weights are off by up to {error.max():.3g}"


def _spread(scale: Array, shape: tuple[int, ...]) -> Array | None:
    """The scale of each element: one for all, one for each channel of an axis, or one for each block."""
    if scale.size == 1:
        return np.broadcast_to(np.abs(scale).reshape(()), shape)
    if scale.ndim == len(shape) and all(
        whole % part == 0 for whole, part in zip(shape, scale.shape, strict=True)
    ):
        spread = np.abs(scale)
        for axis, (whole, part) in enumerate(zip(shape, scale.shape, strict=True)):
            spread = np.repeat(spread, whole // part, axis=axis)
        return spread
    for axis in (0, 1):
        if math.prod(scale.shape) == shape[axis]:
            return np.broadcast_to(
                np.abs(scale).reshape([-1 if i == axis else 1 for i in range(len(shape))]), shape
            )
    return None
