"""TFLite: made by each framework's own converter, quantized with ai-edge-quantizer (docs/adr/0005-quantizer.md)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.conversion.extras import need, quiet, versions
from edgekit.conversion.hosts.tflite import TfliteHost
from edgekit.conversion.recipes import AS_IS, RECIPES, is_quantized
from edgekit.conversion.routes import require
from edgekit.conversion.samples import generate
from edgekit.conversion.sources.base import LoadedSource
from edgekit.conversion.targets.base import Came, Made, Prepared, Request
from edgekit.conversion.targets.operator_codes import with_new_codes
from edgekit.conversion.targets.takeable import Edited, NotTakeable, made_takeable
from edgekit.conversion.targets.takeable_proof import SAMPLES as PROOF_SAMPLES
from edgekit.conversion.targets.takeable_proof import prove
from edgekit.errors import BugError, EdgekitError, ToolError, VerificationError
from edgekit.events import Event
from edgekit.models.info import Format, ModelInfo, Signature
from edgekit.models.inspect import inspect_tflite

if TYPE_CHECKING:
    import numpy as np

_WHAT = "quantizing a TFLite model"
_STORED_AS = {"float16": ("float16",), "int8-dynamic": ("int8",), "int8-static": ("int8",)}


class TfliteTarget:
    name = "tflite"
    format: Format = "tflite"
    suffix = ".tflite"
    recipes = RECIPES

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

    def make(
        self, prepared: Prepared, recipe: str, calibration: Sequence[Sequence[np.ndarray[Any, Any]]]
    ) -> Made:
        """The model in this recipe; float32 and as-is leave the bytes alone.

        Raises MissingExtra, ToolError (E_QUANTIZER: it failed), VerificationError (E_NOTHING_QUANTIZED:
        it reported success, yet no weight changed its type).
        """
        if prepared.path is None or prepared.info is None:
            raise BugError("the TFLite target was not prepared")
        came = prepared.came
        if came is not None and (recipe == AS_IS or (recipe == "float32" and not is_quantized(came.info))):
            return _made(replace(prepared, edits=()), came.path, came.info, {}, ())
        if recipe in ("float32", AS_IS):
            return _made(prepared, prepared.path, prepared.info, {}, ())
        prepared.request.sink(Event("convert", f"quantizing: {recipe}"))
        need("ai_edge_quantizer.quantizer", "litert", _WHAT)
        try:
            with quiet(), _silenced_logging():
                tflite = with_new_codes(prepared.path.read_bytes())
                data = _quantize(tflite, prepared.info, recipe, calibration)
        except EdgekitError:
            raise
        except (
            Exception
        ) as error:  # the quantizer has no errors of its own: KeyError, ValueError, AssertionError
            raise ToolError(
                f"ai-edge-quantizer failed on {recipe}: {error}",
                code="E_QUANTIZER",
                hint="try another --recipe; float32 always works",
            ) from error
        after = inspect_tflite(data, "the quantized model")
        notes = check_changed(prepared.info, after, recipe)
        path = prepared.request.folder / f"{recipe}.tflite"
        path.write_bytes(data)
        made = _made(prepared, path, after, versions("ai-edge-quantizer", "ai-edge-litert"), notes)
        return replace(made, unquantized=prepared.path)

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
    tflite: bytes, info: ModelInfo, recipe: str, calibration: Sequence[Sequence[np.ndarray[Any, Any]]]
) -> bytes:
    rules = _rules(recipe)
    quantizer = need("ai_edge_quantizer.quantizer", "litert", _WHAT)
    engine = quantizer.Quantizer(tflite, rules)
    ranges = _ranges(tflite, info, rules, calibration) if recipe == "int8-static" else None
    result = engine.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)


def _rules(recipe: str) -> Any:
    """The quantizer's own form of a recipe."""
    manager = need("ai_edge_quantizer.recipe_manager", "litert", _WHAT).RecipeManager()
    operators = need("ai_edge_quantizer.qtyping", "litert", _WHAT).TFLOperationName
    algorithms = need("ai_edge_quantizer.algorithm_manager", "litert", _WHAT).AlgorithmName
    everything = {"regex": ".*", "operation_name": operators.ALL_SUPPORTED}
    if recipe == "float16":
        manager.add_weight_only_config(**everything, num_bits=16, algorithm_key=algorithms.FLOAT_CASTING)
    elif recipe == "int8-dynamic":
        manager.add_dynamic_config(**everything, num_bits=8)
        # LiteRT's dynamic int8 DEPTHWISE_CONV_2D is several times slower than its float one.
        manager.add_quantization_config(
            ".*", operators.DEPTHWISE_CONV_2D, algorithm_key=algorithms.NO_QUANTIZE
        )
    elif recipe == "int8-static":
        manager.add_static_config(**everything, activation_num_bits=8, weight_num_bits=8)
        # Inputs and outputs keep their types: the application around the model does not have to change.
        for end in (operators.INPUT, operators.OUTPUT):
            manager.add_quantization_config(".*", end, algorithm_key=algorithms.NO_QUANTIZE)
    else:
        raise BugError(f"the TFLite target has no recipe '{recipe}'")
    return manager.get_quantization_recipe()


def _ranges(
    tflite: bytes, info: ModelInfo, rules: Any, calibration: Sequence[Sequence[np.ndarray[Any, Any]]]
) -> Any:
    """True minimum and maximum of every tensor over the samples. The quantizer's default, a moving average,
    clips the largest activations."""
    if info.signature is None or info.signature.key is None:
        raise BugError("calibration without a SignatureDef")
    calibrator = need("ai_edge_quantizer.calibrator", "litert", _WHAT)
    update = need("ai_edge_quantizer.utils.qsv_utils", "litert", _WHAT).min_max_update
    manager = need("ai_edge_quantizer.recipe_manager", "litert", _WHAT).RecipeManager()
    manager.load_quantization_recipe(rules)
    names = [spec.name for spec in info.signature.inputs]
    samples = [dict(zip(names, sample, strict=True)) for sample in calibration]
    engine = calibrator.Calibrator(tflite, num_threads=1, qsv_update_func=update)
    engine.calibrate({info.signature.key: samples}, manager)
    return engine.get_model_qsvs()


def check_changed(before: ModelInfo, after: ModelInfo, recipe: str) -> tuple[str, ...]:
    """Compare the types of the weights before and after. Pure.

    Raises VerificationError E_NOTHING_QUANTIZED; gives a note where less than half of the weights changed.
    """
    wanted = _STORED_AS[recipe]
    old = before.quantization.weights if before.quantization else {}
    new = after.quantization.weights if after.quantization else {}
    changed = sum(new.get(dtype, 0) - old.get(dtype, 0) for dtype in wanted)
    if changed <= 0:
        raise VerificationError(
            f"the quantizer reported success, but no weight became {' or '.join(wanted)}: nothing was quantized",
            code="E_NOTHING_QUANTIZED",
            hint="the model has no operators that this recipe quantizes; use --recipe float32",
        )
    share = changed / sum(new.values())
    return (f"only {100 * share:.0f} % of the weights are {wanted[0]} now",) if share < 0.5 else ()
