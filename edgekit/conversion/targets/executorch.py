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
from edgekit.conversion.recipes import Recipe
from edgekit.conversion.routes import require
from edgekit.conversion.targets.base import Made, Prepared, Request, Stream
from edgekit.conversion.targets.torch_layout import for_layout
from edgekit.errors import BugError, ToolError
from edgekit.events import Event
from edgekit.models.info import Format, Signature, TensorSpec
from edgekit.models.inspect import open_model

if TYPE_CHECKING:
    pass

_WHAT = "converting to ExecuTorch"


class ExecutorchTarget:
    name = "executorch"
    format: Format = "pte"
    suffix = ".pte"
    recipes = ("float32", "float16")

    def prepare(self, request: Request) -> Prepared:
        """Raises InputError (E_NO_PATH), MissingExtra."""
        require(request.source.framework, self.name)
        need("executorch.exir", "executorch", _WHAT)
        return Prepared(request, tools=versions("torch", "executorch"))

    def make(self, prepared: Prepared, recipe: Recipe, calibration: Stream) -> Made:
        """Float16 computes in float16 and keeps float32 at inputs and outputs. Raises ToolError (E_CONVERTER)."""
        if recipe.kind not in self.recipes:
            raise BugError(f"the ExecuTorch target has no recipe '{recipe.name}'")
        request, name = prepared.request, prepared.request.source.origin.name
        torch = need("torch", "torch", _WHAT)
        exir = need("executorch.exir", "executorch", _WHAT)
        partition = need("executorch.backends.xnnpack.partition.xnnpack_partitioner", "executorch", _WHAT)
        model, signature = for_layout(request)
        request.sink(Event("convert", f"converting {name} with ExecuTorch"))
        try:
            with quiet(), torch.no_grad():
                program = model.program if recipe.kind == "float32" else _half(torch, model)
                edge = exir.to_edge_transform_and_lower(program, partitioner=[partition.XnnpackPartitioner()])
                data = bytes(edge.to_executorch().buffer)
        except Exception as error:  # exir raises its own, torch's and plain assertions
            raise ToolError(
                f"ExecuTorch does not convert {name}: {short(error)}",
                code="E_CONVERTER",
                hint="replace the operators it names, or convert it --to tflite",
            ) from error
        path = request.folder / f"{recipe.name}.pte"
        path.write_bytes(data)
        info = open_model(path, use_cache=False)
        return Made(
            path=path,
            signature=_named(info.signature, signature),
            info=info,
            tools=prepared.tools,
            notes=("a .pte file keeps no names: inputs and outputs go by their order",),
        )

    def open(self, path: Path, signature: Signature, name: str) -> ExecutorchHost:
        """Raises MissingExtra, ModelError E_MODEL_LOAD."""
        return ExecutorchHost(path, signature, name)


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
