"""A PyTorch model with its image inputs and outputs in another order of axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgekit.conversion.extras import need, quiet
from edgekit.conversion.layout import in_layout, permutation
from edgekit.conversion.naming import short
from edgekit.conversion.sources.handles import TorchModel
from edgekit.conversion.targets.base import Request
from edgekit.errors import ToolError
from edgekit.models.info import Signature


def for_layout(request: Request) -> tuple[TorchModel, Signature]:
    """The source's model and signature, wrapped and exported again where the layout asked for differs."""
    model, signature = request.source.model, request.source.signature
    ins = [permutation(spec, request.layout) for spec in signature.inputs]
    outs = [permutation(spec, request.layout) for spec in signature.outputs]
    if not any(ins) and not any(outs):
        return model, signature
    torch = need("torch", "torch", "converting a PyTorch model")
    example = tuple(
        _moved(torch, tensor, perm) if perm else tensor
        for tensor, perm in zip(model.example, ins, strict=True)
    )
    wrapper = _wrapper(torch, model.module, ins, outs)
    try:
        with quiet(), torch.no_grad():
            program = torch.export.export(wrapper, example)
    except Exception as error:
        raise ToolError(
            f"torch.export does not take the model with --layout {request.layout}: {short(error)}",
            code="E_CONVERTER",
            hint="convert it without --layout",
        ) from error
    return TorchModel(program.module(), example, program), in_layout(signature, request.layout)


def _wrapper(torch: Any, module: Any, ins: list[Any], outs: list[Any]) -> Any:
    def back(perm: tuple[int, ...]) -> list[int]:
        return [perm.index(axis) for axis in range(len(perm))]

    class InLayout(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, *given: Any) -> list[Any]:
            taken = [
                _moved(torch, value, back(perm)) if perm else value
                for value, perm in zip(given, ins, strict=True)
            ]
            results = torch.utils._pytree.tree_leaves(self.inner(*taken))
            return [
                _moved(torch, value, perm) if perm else value
                for value, perm in zip(results, outs, strict=True)
            ]

    return InLayout()


def _moved(torch: Any, value: Any, perm: Sequence[int]) -> Any:
    """A real copy in the new order. A view of an image of one channel passes for contiguous with strides that
    ExecuTorch takes for another order."""
    return value.permute(perm).clone(memory_format=torch.contiguous_format)
