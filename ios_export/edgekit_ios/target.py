"""The Core ML target: models of PyTorch and Keras become .mlpackage folders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgekit.conversion.extras import versions
from edgekit.conversion.layout import Pairing, in_layout, pair
from edgekit.conversion.recipes import Recipe
from edgekit.conversion.routes import require
from edgekit.conversion.targets.base import Made, Prepared, Request, Stream
from edgekit.errors import ToolError
from edgekit.events import Event
from edgekit.models.info import Format, Signature, TensorSpec
from edgekit.models.inspect import open_model
from edgekit.models.manifest import RangesFound
from edgekit_ios.activating import activated
from edgekit_ios.compressing import COMPRESSED, KINDS, compressed, is_compressed, system_for
from edgekit_ios.converting import Converted, convert_keras, convert_torch, coremltools, parts
from edgekit_ios.mil.model import MilModel
from edgekit_ios.packaging import write_package
from edgekit_ios.renaming import identifiers, rename
from edgekit_ios.signature import read_signature

if TYPE_CHECKING:
    from edgekit.conversion.sources.base import Sample


class CoreMlTarget:
    """Makes ML programs for iOS 17 and later. On this host they run through `edgekit_ios.mil`."""

    name = "coreml"
    format: Format = "mlpackage"
    suffix = ".mlpackage"
    recipes: tuple[str, ...] = ("float32", "float16", *KINDS)

    def prepare(self, request: Request) -> Prepared:
        """Raises MissingExtra, InputError (E_NO_PATH)."""
        require(request.source.framework, self.name)
        request.sink(Event("convert", "loading coremltools"))
        coremltools()
        return Prepared(request, tools=versions("coremltools", *_PACKAGES[request.source.framework]))

    def make(self, prepared: Prepared, recipe: Recipe, calibration: Stream) -> Made:
        """Raises MissingExtra, InputError (E_RECIPE_RULE), ToolError (E_CONVERTER, E_QUANTIZER), VerificationError
        (E_NOTHING_QUANTIZED, E_RECIPE_NOT_MET), HostError (the disk)."""
        request, shrink = prepared.request, is_compressed(recipe)
        request.sink(Event("convert", f"coremltools: {recipe.name}"))
        converted, expected = _converted(
            request, _precision(recipe) if shrink else recipe.arithmetic, system_for(recipe)
        )
        ranges: RangesFound | None = None
        if shrink and converted.package is not None:
            made, notes = compressed(converted.made, converted.package, recipe, request.folder)
            model, weights = parts(made)
            if recipe.calibrated(self.name):
                samples = _Stored(calibration, pair(request.source.signature, expected, request.layout))
                more, ranges = activated(
                    model,
                    converted.package,
                    request.folder / COMPRESSED,
                    converted.inputs,
                    recipe,
                    samples,
                    request.sink,
                )
                notes = (*notes, *more)
            converted = replace(
                converted, model=model, weights=weights, notes=(*converted.notes, *notes), made=made
            )
        found = _named(converted, expected)
        path = request.folder / f"model{self.suffix}"
        write_package(converted.model, converted.weights, path)
        return Made(
            path=path,
            signature=found,
            info=open_model(path, use_cache=False),
            tools=prepared.tools,
            notes=(*prepared.notes, *converted.notes, *name_notes(found)),
            ranges=ranges,
        )

    def open(self, path: Path, signature: Signature, name: str) -> MilModel:
        """The evaluator. Raises MissingExtra, ModelError (E_MODEL_LOAD, E_MIL_OPERATOR)."""
        return MilModel(path, signature, name)


@dataclass(frozen=True)
class _Stored:
    """The source's samples in the layout of the result, one at a time."""

    data: Stream
    pairing: Pairing

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[Sample]:
        for sample in self.data:
            yield tuple(self.pairing.to_result(sample))


_PACKAGES = {"torch": ("torch",), "keras": ("tensorflow", "tensorflow-cpu", "keras")}


def _precision(recipe: Recipe) -> str:
    """What is computed in, where weights are compressed: float32 where that is the recipe's own scheme, else float16."""
    return "float32" if recipe.kind == "float32" else "float16"


def _converted(request: Request, recipe: str, system: str) -> tuple[Converted, Signature]:
    if request.source.framework == "torch":
        from edgekit.conversion.targets.torch_layout import for_layout, in_plain_order

        model, signature = for_layout(request)
        model, anew = in_plain_order(model, request.source.origin.name)
        found = convert_torch(model, signature, recipe, request.folder, system)
        return replace(found, notes=(*anew, *found.notes)), signature
    source = request.source
    made = convert_keras(source.model, source.signature, request.layout, recipe, request.folder, system)
    return made, in_layout(source.signature, request.layout)


def _named(converted: Converted, expected: Signature) -> Signature:
    """Give the model the source's names as far as they can be, and say what it has now: the source's names, with the
    model's own as `tensor`."""
    specs = (*expected.inputs, *expected.outputs)
    wanted = identifiers([spec.name for spec in specs])
    rename(converted.model, dict(zip((*converted.inputs, *converted.outputs), wanted, strict=True)))
    found = read_signature(converted.model)
    names = dict(zip(wanted, specs, strict=True))
    if {s.name for s in (*found.inputs, *found.outputs)} != set(names):
        raise ToolError(
            f"coremltools changed the inputs or outputs: {', '.join(s.name for s in (*found.inputs, *found.outputs))}"
            f" instead of {', '.join(names)}",
            code="E_CONVERTER",
            hint="give every output of the model once; coremltools merges outputs that are the same value",
        )

    def outer(spec: TensorSpec) -> TensorSpec:
        source = names[spec.name]
        return msgspec.structs.replace(spec, name=source.name, tensor=spec.name, layout=source.layout)

    return Signature(
        key=None, inputs=tuple(map(outer, found.inputs)), outputs=tuple(map(outer, found.outputs))
    )


def name_notes(found: Signature) -> tuple[str, ...]:
    """Names that Core ML cannot have. Pure."""
    return tuple(
        f"{kind} '{spec.name}' is called '{spec.tensor}' in Core ML: names there are identifiers"
        for kind, specs in (("input", found.inputs), ("output", found.outputs))
        for spec in specs
        if spec.tensor != spec.name
    )
