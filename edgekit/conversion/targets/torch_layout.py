"""A PyTorch model with its image inputs and outputs in another order of axes, or with what it reads in the plain one in memory."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from edgekit.conversion.extras import need, quiet
from edgekit.conversion.layout import in_layout, permutation
from edgekit.conversion.naming import short
from edgekit.conversion.sources.handles import TorchModel
from edgekit.conversion.targets.base import Request
from edgekit.errors import ToolError
from edgekit.models.info import Signature

_KERNEL_RANK = 4
"""Of a convolution's weights, two spatial axes: what channels_last is about."""


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


def in_plain_order(model: TorchModel, name: str) -> tuple[TorchModel, tuple[str, ...]]:
    """The model exported anew where an example input, or a kernel, lies in memory in another order than that of its axes (channels_last; a
    transposed view), and a note; else the same one.

    An exported program keeps that order as the one that it is to be given, and converters to programs for devices do too, or refuse
    it: ExecuTorch's runtime then fails on the plain tensors that everybody gives, or reads them as others. Raises ToolError E_CONVERTER.
    """
    torch = need("torch", "torch", "converting a PyTorch model")
    kernels = [one for one in model.program.state_dict.values() if one.ndim >= _KERNEL_RANK]
    if all(map(_is_plain, (*model.example, *kernels))):
        return model, ()
    plain = torch.contiguous_format
    try:
        with quiet(), torch.no_grad():
            module = copy.deepcopy(model.program.module(check_guards=False))
            for tensor in (*module.parameters(), *module.buffers()):
                if tensor.ndim >= _KERNEL_RANK and not _is_plain(tensor):
                    tensor.data = tensor.data.clone(memory_format=plain)
            example = tuple(tensor.clone(memory_format=plain) for tensor in model.example)
            program = torch.export.export(module, example)
    except Exception as error:  # as for any export
        raise ToolError(
            f"torch.export does not take {name} with its tensors in the order of their axes: {short(error)}",
            code="E_CONVERTER",
            hint="export it without channels_last, with example inputs that were copied by .contiguous()",
        ) from error
    note = (
        "exported anew: an example input, or weights, lay in memory in another order than that of their axes"
    )
    return TorchModel(program.module(), example, program), (note,)


def _is_plain(tensor: Any) -> bool:
    """Whether its axes are in order by their strides. One of size 1 counts: torch calls a tensor contiguous whatever its stride is there,
    ExecuTorch goes by it."""
    strides = tensor.stride()
    return sorted(range(len(strides)), key=lambda axis: -strides[axis]) == list(range(len(strides)))


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
