"""The recipe schema edgekit.recipe/1: these Structs are its single definition.

A recipe says how the weights and activations of a model are stored, and which operators are an exception. It names no
tool: each target says which *kinds* of schemes it makes (`kind_of`), and what it cannot make is refused.
"""

# no postponed annotations: msgspec would have to compile each of them again at every start

import hashlib
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, json
from msgspec.structs import replace

from edgekit.profiles.schema import NAME_PATTERN, Name, Ratio, Text

SCHEMA: Final = "edgekit.recipe/1"
AS_IS: Final = "as-is"
"""Recorded for a model that came quantized and was left alone."""
FLOAT: Final = "float"
"""The scheme of an operator that a rule leaves alone."""

Method = Literal["min-max", "percentile", "entropy", "mse"]
Granularity = Literal["tensor", "channel", "block-32", "block-64", "block-128", "block-256"]
TargetName = Annotated[
    str, Meta(pattern=NAME_PATTERN, max_length=100, description="as `convert --to` names it")
]
Operator = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z_][A-Za-z0-9_.:*]*$",
        max_length=100,
        description="an operator's type as the target calls it: CONV_2D, MatMul, aten.linear.default",
    ),
]


class _Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of every part of a recipe: unknown keys are errors."""


class Weights(_Section, frozen=True, kw_only=True):
    """How constants are stored. `type`: int (bits 2, 4, 8), float (16, 32) or palette (1, 2, 4, 6, 8: indices into a
    table). `granularity`: what shares one scale. `ranges`: how a scale is found; "min-max" never clips. `sparsity`:
    the share of weights, the smallest ones, that is set to zero."""

    type: Literal["int", "float", "palette"] = "float"
    bits: Literal[1, 2, 4, 6, 8, 16, 32] = 32
    granularity: Granularity = "channel"
    symmetric: bool = True
    ranges: Literal["min-max", "mse", "octav"] = "min-max"
    sparsity: Ratio = 0.0


class Activations(_Section, frozen=True, kw_only=True):
    """What is computed on. `mode`: float; dynamic (the kernel finds each tensor's range while it runs); static (ranges
    are found once, with calibration data). `bits`: 32 for float, else 8 or 16."""

    mode: Literal["float", "dynamic", "static"] = "float"
    bits: Literal[8, 16, 32] = 32
    symmetric: bool = False


class Scheme(_Section, frozen=True, kw_only=True):
    """What is done to an operator: its weights and the activations that it reads and writes."""

    weights: Weights = Weights()
    activations: Activations = Activations()


class Ranges(_Section, frozen=True, kw_only=True):
    """How the ranges of static activations are found over all calibration samples. `percentile`: the share of a
    tensor's values, in %, that is not above the range; as many are not below it."""

    method: Method = "min-max"
    percentile: Annotated[float, Meta(ge=50, le=100)] | None = None


class Rule(_Section, frozen=True, kw_only=True):
    """An exception for the operators of some types (`op`), or whose name has a match of the regular expression
    `layer`, or whose weights have fewer elements than `weights_below`; what is given all has to fit. The first rule that
    fits decides.

    `scheme`: float, one of the recipe's own `schemes`, or the name of a built-in recipe. `target`: for which targets
    it is. A rule that fits nothing is an error unless it is `optional`.
    """

    op: Operator | tuple[Operator, ...] = ()
    layer: Annotated[str, Meta(min_length=1, max_length=500, description="a regular expression")] | None = (
        None
    )
    weights_below: (
        Annotated[int, Meta(gt=0, le=1 << 31, description="elements; for targets tflite and onnx")] | None
    ) = None
    target: TargetName | tuple[TargetName, ...] = ()
    scheme: Name
    optional: bool = False
    why: Text | None = None

    @property
    def operators(self) -> tuple[str, ...]:
        return (self.op,) if isinstance(self.op, str) else self.op

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.target,) if isinstance(self.target, str) else self.target


class Document(_Section, frozen=True, kw_only=True):
    """One recipe file."""

    schema: Literal["edgekit.recipe/1"]
    name: Name
    description: Text | None = None
    weights: Weights = Weights()
    activations: Activations = Activations()
    ranges: Ranges = Ranges()
    boundary: Literal["float", "quantized"] = "float"
    """Whether inputs and outputs keep their types where activations are static."""
    schemes: dict[Name, Scheme] = {}
    rules: tuple[Rule, ...] = ()


class Recipe(_Section, frozen=True, kw_only=True):
    """A recipe with its schemes looked up. `schemes`: those that the rules name, None for float."""

    name: str
    base: Scheme
    ranges: Ranges = Ranges()
    boundary: Literal["float", "quantized"] = "float"
    rules: tuple[Rule, ...] = ()
    schemes: dict[str, Scheme] = {}
    description: str | None = None

    @property
    def sha256(self) -> str:
        """Of the content in a fixed order: descriptions, reasons and the file's form do not change it."""
        content = replace(self, description=None, rules=tuple(replace(rule, why=None) for rule in self.rules))
        return hashlib.sha256(json.encode(content, order="deterministic")).hexdigest()

    @property
    def kind(self) -> str:
        """The base scheme's kind; "as-is" for a model that is left alone."""
        return AS_IS if self.name == AS_IS else kind_of(self.base)

    def rules_for(self, target: str) -> tuple[tuple[int, Rule], ...]:
        """The rules that are for this target, with their places in the file, from 1."""
        return tuple(
            (place, rule)
            for place, rule in enumerate(self.rules, 1)
            if not rule.targets or target in rule.targets
        )

    def scheme_of(self, rule: Rule) -> Scheme:
        return FLOAT_SCHEME if rule.scheme == FLOAT else self.schemes[rule.scheme]

    def all_schemes(self, target: str) -> tuple[Scheme, ...]:
        """The base scheme and those of the rules for this target."""
        return (self.base, *(self.scheme_of(rule) for _, rule in self.rules_for(target)))

    def calibrated(self, target: str) -> bool:
        """Whether ranges have to be found with data."""
        return any(scheme.activations.mode == "static" for scheme in self.all_schemes(target))

    @property
    def arithmetic(self) -> str:
        """What its results are judged as: "float32", "float16" (the name of the tolerance), "as-is" or "integer"."""
        if self.name == AS_IS:
            return AS_IS
        kinds = {kind_of(scheme) for scheme in (self.base, *self.schemes.values())}
        if kinds <= {"float32"}:
            return "float32"
        return "float16" if kinds <= {"float32", "float16"} else "integer"

    @property
    def precision(self) -> str:
        """What a runtime has to take, as profiles name it: the narrowest of what is computed with or stored."""
        schemes = (self.base, *self.schemes.values())
        found = {_precision(scheme) for scheme in schemes if scheme != FLOAT_SCHEME}
        return min(found, key=_PRECISIONS.index) if found else "float32"


FLOAT_SCHEME: Final = Scheme()
_PRECISIONS: Final = ("int4", "int8", "int16", "float16", "float32")


def _precision(scheme: Scheme) -> str:
    if scheme.activations.bits == 16:
        return "int16"
    if scheme.weights.type == "float":
        return f"float{scheme.weights.bits}"
    return "int4" if scheme.weights.type == "int" and scheme.weights.bits <= 4 else "int8"


def kind_of(scheme: Scheme) -> str:
    """A scheme in one word, as targets list what they make. Per tensor or per channel is the same kind.

    float32, float16; int8-dynamic, int8-weight-only, int8-static, int16x8, the same with other bits; -blockwise,
    -asymmetric; palette4; sparse-.
    """
    weights, activations = scheme.weights, scheme.activations
    sparse = "sparse-" if weights.sparsity > 0 else ""
    if weights.type == "float":
        return f"{sparse}float{weights.bits}"
    if weights.type == "palette":
        return f"{sparse}palette{weights.bits}"
    if activations.mode == "static" and activations.bits == 16:
        name = f"int16x{weights.bits}"
    else:
        name = f"int{weights.bits}-{'weight-only' if activations.mode == 'float' else activations.mode}"
    if weights.granularity.startswith("block"):
        # Blockwise int4 is computed with 8-bit activations by every kernel there is: that is the plain name.
        name = f"int{weights.bits}-blockwise" if activations.mode == "dynamic" else f"{name}-blockwise"
    return sparse + name + ("" if weights.symmetric else "-asymmetric")
