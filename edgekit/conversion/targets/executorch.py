"""ExecuTorch programs (.pte) of PyTorch models, lowered to XNNPACK where that takes an operator."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit.conversion.extras import need, quiet, versions
from edgekit.conversion.hosts.executorch import ExecutorchHost
from edgekit.conversion.naming import short
from edgekit.conversion.ranges import words
from edgekit.conversion.recipes import Recipe
from edgekit.conversion.recipes.load import method_of
from edgekit.conversion.routes import require
from edgekit.conversion.targets.base import Made, Prepared, Request, Stream
from edgekit.conversion.targets.executorch_plan import plan_for
from edgekit.conversion.targets.executorch_quantize import quantize
from edgekit.conversion.targets.torch_layout import for_layout, in_plain_order
from edgekit.errors import EdgekitError, ToolError, VerificationError
from edgekit.events import Event
from edgekit.models.info import Format, Signature, TensorSpec
from edgekit.models.inspect import open_model
from edgekit.models.manifest import RangesFound

if TYPE_CHECKING:
    pass

_WHAT = "converting to ExecuTorch"


class ExecutorchTarget:
    name = "executorch"
    format: Format = "pte"
    suffix = ".pte"
    recipes = ("float32", "float16", "int8-static", "int8-dynamic")

    def prepare(self, request: Request) -> Prepared:
        """Raises InputError (E_NO_PATH), MissingExtra."""
        require(request.source.framework, self.name)
        need("executorch.exir", "executorch", _WHAT)
        return Prepared(request, tools=versions("torch", "executorch"))

    def make(self, prepared: Prepared, recipe: Recipe, calibration: Stream) -> Made:
        """Float16 computes in float16 and keeps float32 at inputs and outputs. Raises InputError (E_RECIPE_RULE), ToolError
        (E_CONVERTER, E_QUANTIZER), VerificationError (E_NOTHING_QUANTIZED, E_RECIPE_NOT_MET)."""
        request, name = prepared.request, prepared.request.source.origin.name
        torch = need("torch", "torch", _WHAT)
        model, signature = for_layout(request)
        model, anew = in_plain_order(model, name)
        notes = ("a .pte file keeps no names: inputs and outputs go by their order", *anew)
        ranges: RangesFound | None = None
        if recipe.arithmetic == "integer":
            program, more, ranges = _integers(torch, request, model, recipe, calibration)
            notes = (*notes, *more)
        else:
            program = None
        request.sink(Event("convert", f"converting {name} with ExecuTorch"))
        try:
            with quiet(), torch.no_grad():
                if program is None:
                    program = model.program if recipe.arithmetic == "float32" else _half(torch, model)
                data = _lowered(program)
        except Exception as error:  # exir raises its own, torch's and plain assertions
            raise _failed(name, error) from error
        path = request.folder / f"{recipe.name}.pte"
        path.write_bytes(data)
        info = open_model(path, use_cache=False)
        return Made(
            path=path,
            signature=_named(info.signature, signature),
            info=info,
            tools=prepared.tools,
            notes=notes,
            ranges=ranges,
        )

    def open(self, path: Path, signature: Signature, name: str) -> ExecutorchHost:
        """Raises MissingExtra, ModelError E_MODEL_LOAD."""
        return ExecutorchHost(path, signature, name)


def _lowered(program: Any) -> bytes:
    """To XNNPACK: first what is quantized while it runs, each operator by itself, then all else."""
    exir = need("executorch.exir", "executorch", _WHAT)
    partition = need("executorch.backends.xnnpack.partition.xnnpack_partitioner", "executorch", _WHAT)
    parts = [partition.XnnpackPartitioner()]
    if any("choose_qparams" in str(node.target) for node in program.graph.nodes):
        parts.insert(0, partition.XnnpackDynamicallyQuantizedPartitioner())
    edge = exir.to_edge_transform_and_lower(program, partitioner=parts)
    return bytes(edge.to_executorch().buffer)


def _failed(name: str, error: Exception) -> ToolError:
    return ToolError(
        f"ExecuTorch does not convert {name}: {short(error)}",
        code="E_CONVERTER",
        hint="replace the operators it names, or convert it --to tflite",
    )


def _integers(
    torch: Any, request: Request, model: Any, recipe: Recipe, calibration: Stream
) -> tuple[Any, tuple[str, ...], RangesFound | None]:
    """The quantized program, notes, and how ranges were found. Raises InputError E_RECIPE_RULE, ToolError E_QUANTIZER,
    VerificationError (E_NOTHING_QUANTIZED, E_RECIPE_NOT_MET)."""
    request.sink(Event("convert", f"quantizing: {recipe.name}"))
    with quiet():
        module = copy.deepcopy(model.program.module(check_guards=False))
    plan = plan_for(recipe, list(module.graph.nodes))
    if not plan.schemes:
        raise VerificationError(
            f"the model has no operator that recipe {recipe.name} quantizes: nothing was quantized",
            code="E_NOTHING_QUANTIZED",
            hint="use --recipe float32",
        )
    try:
        with quiet():
            made = quantize(module, model.example, plan, calibration, request.sink)
            program = torch.export.export(made.module, model.example)
    except EdgekitError:
        raise
    except Exception as error:  # torchao's and torch's own
        raise ToolError(
            f"torchao's quantizer failed on {recipe.name}: {short(error)}",
            code="E_QUANTIZER",
            hint="try another --recipe; float32 always works",
        ) from error
    if not recipe.calibrated("executorch"):
        return program, plan.notes(), None
    found = RangesFound(
        method=method_of(recipe),
        samples=len(calibration),
        tensors=len(made.stored),
        clipped=made.gatherer.cost(made.stored),
    )
    return program, (*plan.notes(), *([words(found)] if found.clipped else [])), found


def _named(found: Signature | None, wanted: Signature) -> Signature:
    """What the program says of its inputs and outputs, under the source's names: a .pte has none.

    Raises ToolError E_CONVERTER_OUTPUT where they are not as many.
    """

    def named(mine: Sequence[TensorSpec], theirs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
        if len(mine) != len(theirs):
            raise ToolError(
                f"ExecuTorch gave {len(mine)} inputs or outputs for {[spec.name for spec in theirs]}",
                code="E_CONVERTER_OUTPUT",
                hint="convert it --to tflite",
            )
        return tuple(
            msgspec.structs.replace(spec, name=other.name, layout=other.layout)
            for spec, other in zip(mine, theirs, strict=True)
        )

    if found is None:
        raise ToolError("ExecuTorch gave a program without inputs and outputs", code="E_CONVERTER_OUTPUT")
    return Signature(
        key=None, inputs=named(found.inputs, wanted.inputs), outputs=named(found.outputs, wanted.outputs)
    )


def _half(torch: Any, model: Any) -> Any:
    """The program in float16 between casts."""
    inner = copy.deepcopy(model.program.module(check_guards=False)).half()
    _no_float32_constants(torch, inner)
    flatten = torch.utils._pytree.tree_leaves

    class Half(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, *given: Any) -> list[Any]:
            taken = [value.half() if value.is_floating_point() else value for value in given]
            return [v.float() if v.dtype == torch.float16 else v for v in flatten(self.inner(*taken))]

    return torch.export.export(Half(), model.example)


def _no_float32_constants(torch: Any, module: Any) -> None:
    """Casts and fills that an exported graph names by dtype would bring float32 back in."""
    for node in module.graph.nodes:
        if node.op == "call_function":
            kwargs = {k: torch.float16 if v is torch.float32 else v for k, v in node.kwargs.items()}
            args = tuple(torch.float16 if value is torch.float32 else value for value in node.args)
            node.kwargs, node.args = kwargs, args
    module.recompile()
