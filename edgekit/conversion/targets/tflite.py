"""TFLite: made by each framework's own converter, quantized with ai-edge-quantizer (docs/adr/0005-quantizer.md)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.conversion.extras import need, quiet, versions
from edgekit.conversion.hosts.tflite import TfliteHost
from edgekit.conversion.ranges import Range, words
from edgekit.conversion.recipes import AS_IS, Recipe, is_quantized
from edgekit.conversion.recipes.load import method_of
from edgekit.conversion.routes import require
from edgekit.conversion.samples import generate
from edgekit.conversion.sources.base import LoadedSource
from edgekit.conversion.targets.base import Came, Made, Prepared, Request, Stream
from edgekit.conversion.targets.operator_codes import with_new_codes
from edgekit.conversion.targets.takeable import Edited, NotTakeable, made_takeable
from edgekit.conversion.targets.takeable_proof import SAMPLES as PROOF_SAMPLES
from edgekit.conversion.targets.takeable_proof import prove
from edgekit.conversion.targets.tflite_bias import with_room_for_biases
from edgekit.conversion.targets.tflite_calibrate import as_qsvs, find_ranges
from edgekit.conversion.targets.tflite_check import check_file
from edgekit.conversion.targets.tflite_graph import Graph, read_graphs
from edgekit.conversion.targets.tflite_plan import Plan, plan_for, quantizer_rules
from edgekit.errors import BugError, EdgekitError, ToolError, VerificationError
from edgekit.events import Event
from edgekit.models.info import Format, ModelInfo, Signature
from edgekit.models.inspect import inspect_tflite
from edgekit.models.manifest import RangesFound

if TYPE_CHECKING:
    pass

_WHAT = "quantizing a TFLite model"


class TfliteTarget:
    name = "tflite"
    format: Format = "tflite"
    suffix = ".tflite"
    recipes = (
        "float32", "float16", "int8-dynamic", "int8-weight-only", "int8-static", "int16x8", "int4-dynamic",
        "int4-weight-only", "int4-static", "int16x4", "int4-blockwise", "int2-dynamic", "int2-blockwise",
    )  # fmt: skip

    def prepare(self, request: Request) -> Prepared:
        """The float model. Raises MissingExtra, ToolError (E_CONVERTER), InputError (E_NO_PATH)."""
        from edgekit.conversion.targets.tflite_sources import made_from  # not needed where a cache answers

        require(request.source.framework, self.name)
        made = made_from(request)
        info = inspect_tflite(made.data, f"the float model made from {request.source.origin.name}")
        path = request.folder / "float.tflite"
        path.write_bytes(made.data)
        prepared = Prepared(request, info, path, made.tools, made.notes)
        try:
            edited, words = _taken(made.data, info, request.source)
        except NotTakeable as why:
            return replace(prepared, untaken=str(why))
        if edited.data is made.data:
            return prepared
        changed = request.folder / "takeable.tflite"
        changed.write_bytes(edited.data)
        return replace(prepared, info=edited.info, path=changed, came=Came(info, path), edits=words)

    def make(self, prepared: Prepared, recipe: Recipe, calibration: Stream) -> Made:
        """The model in this recipe; float32 and as-is leave the bytes alone.

        Raises MissingExtra, InputError (E_RECIPE_RULE), ToolError (E_QUANTIZER: it failed), VerificationError: it
        reported success, yet nothing changed its type (E_NOTHING_QUANTIZED) or not as the recipe says
        (E_RECIPE_NOT_MET).
        """
        if prepared.path is None or prepared.info is None:
            raise BugError("the TFLite target was not prepared")
        came, plain = prepared.came, recipe.arithmetic
        if came is not None and (plain == AS_IS or (plain == "float32" and not is_quantized(came.info))):
            return _made(replace(prepared, edits=()), came.path, came.info, {}, ())
        if plain in ("float32", AS_IS):
            return _made(prepared, prepared.path, prepared.info, {}, ())
        sink = prepared.request.sink
        sink(Event("convert", f"quantizing: {recipe.name}"))
        need("ai_edge_quantizer.quantizer", "litert", _WHAT)
        tflite = with_new_codes(prepared.path.read_bytes())
        before = read_graphs(tflite)
        plan = plan_for(recipe, before)
        require_something(plan)
        gatherer, ranges = None, None
        if any(scheme.activations.mode == "static" for scheme in plan.schemes):
            gatherer, ranges = find_ranges(tflite, plan, before, calibration, sink)
        try:
            with quiet(), _silenced_logging():
                data = _quantize(tflite, plan, before, ranges)
        except EdgekitError:
            raise
        except (
            Exception
        ) as error:  # the quantizer has no errors of its own: KeyError, ValueError, AssertionError
            raise ToolError(
                f"ai-edge-quantizer failed on {recipe.name}: {error}",
                code="E_QUANTIZER",
                hint="try another --recipe; float32 always works",
            ) from error
        data, widened = with_room_for_biases(data, before)
        after = inspect_tflite(data, "the quantized model")
        stored = check_file(plan, before, read_graphs(data), ranges)
        found = None
        if gatherer is not None:
            found = RangesFound(
                method=method_of(recipe),
                samples=len(calibration),
                tensors=len(stored),
                clipped=gatherer.cost(stored),
            )
        cost = words(found) if found is not None else ""
        dead = f"{widened} channels with next to no weights were given a scale that their bias fits into"
        notes = (
            *plan.notes(),
            *share_notes(prepared.info, after),
            *([cost] if cost else []),
            *([dead] if widened else []),
        )
        path = prepared.request.folder / f"{recipe.name}.tflite"
        path.write_bytes(data)
        made = _made(prepared, path, after, versions("ai-edge-quantizer", "ai-edge-litert"), notes)
        return replace(made, ranges=found, unquantized=prepared.path)

    def open(self, path: Path, signature: Signature, name: str) -> TfliteHost:
        """Raises MissingExtra, ModelError E_MODEL_LOAD."""
        return TfliteHost(path.read_bytes(), signature, name)


def _taken(data: bytes, info: ModelInfo, source: LoadedSource) -> tuple[Edited, tuple[str, ...]]:
    """The file as the quantizer takes it, and what was done in words. Raises NotTakeable where that cannot be done or not
    be proven, MissingExtra."""
    edited = made_takeable(data, info)
    if edited.data is data or info.signature is None:
        return edited, ()
    samples = generate(info.signature.inputs, PROOF_SAMPLES, token_limits=source.token_limits)
    return edited, (*edited.done, prove(data, info, edited, samples).words())


def _made(
    prepared: Prepared, path: Path, info: ModelInfo, tools: dict[str, str], notes: tuple[str, ...]
) -> Made:
    if info.signature is None:
        raise BugError("a TFLite model without inputs and outputs")
    return Made(
        path=path,
        signature=info.signature,
        info=info,
        tools={**prepared.tools, **tools},
        notes=(*prepared.notes, *prepared.edits, *notes),
    )


class _silenced_logging:  # noqa: N801
    """absl and the quantizer log every step at WARNING; edgekit says what matters itself."""

    def __enter__(self) -> None:
        self._before = logging.root.manager.disable
        logging.disable(logging.WARNING)

    def __exit__(self, *_: object) -> None:
        logging.disable(self._before)


def _quantize(
    tflite: bytes, plan: Plan, graphs: Sequence[Graph], ranges: Mapping[str, Range] | None
) -> bytes:
    quantizer = need("ai_edge_quantizer.quantizer", "litert", _WHAT)
    engine = quantizer.Quantizer(tflite, quantizer_rules(plan, graphs))
    found = None if ranges is None else as_qsvs(ranges, graphs)
    result = engine.quantize(found, enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)


def require_something(plan: Plan) -> None:
    """Raises VerificationError E_NOTHING_QUANTIZED where no operator is to be changed: the quantizer would report success
    over a file that it left as it is."""
    if not plan.schemes:
        raise VerificationError(
            f"the model has no operator that recipe {plan.recipe.name} quantizes: nothing was quantized",
            code="E_NOTHING_QUANTIZED",
            hint="use --recipe float32",
        )


def share_notes(before: ModelInfo, after: ModelInfo) -> tuple[str, ...]:
    """A note where less than half of the weights changed their type. Pure."""
    old = before.quantization.weights if before.quantization else {}
    new = after.quantization.weights if after.quantization else {}
    gained = {dtype: count - old.get(dtype, 0) for dtype, count in new.items() if count > old.get(dtype, 0)}
    total = sum(new.values())
    share = sum(gained.values()) / total if total else 0.0
    if share >= 0.5:
        return ()
    return (f"only {100 * share:.0f} % of the weights are {' or '.join(sorted(gained)) or 'quantized'} now",)
