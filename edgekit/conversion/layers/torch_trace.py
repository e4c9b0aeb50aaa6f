"""Tracing a PyTorch program, operator by operator."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgekit.conversion.extras import need, quiet
from edgekit.conversion.layers.trace import INPUT, Recorder, Trace
from edgekit.conversion.naming import short
from edgekit.errors import ModelError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_WHAT = "looking into a PyTorch model"
_MORE = ("native_layer_norm", "native_group_norm")
"""Taken apart too: converters write them as several operators."""


class TorchTracer:
    """Runs an ExportedProgram node by node, taken apart into small operators as converters do it.

    Steps are called by the fx node's name; `where` is the module's path.
    """

    def __init__(self, program: Any) -> None:
        """Raises ModelError E_LAYERS where the program has no graph."""
        torch = need("torch", "torch", _WHAT)
        self._torch = torch
        try:
            with quiet():
                self._module = _taken_apart(torch, program).module(check_guards=False)
        except Exception as error:  # torch raises whatever its passes raise
            raise ModelError(
                f"PyTorch does not give this program's graph: {short(error)}", code="E_LAYERS"
            ) from error
        self._interpreter = _interpreter(torch, self._module)

    def __call__(self, sample: Sequence[Array]) -> Trace:
        """Raises ModelError E_MODEL_RUN."""
        torch = self._torch
        slots = [node for node in self._module.graph.nodes if node.op == "placeholder"]
        given = [
            torch.from_numpy(value.copy()).to(_dtype(slot, torch, value))
            for slot, value in zip(slots, sample, strict=True)
        ]
        try:
            with torch.no_grad(), quiet():
                self._interpreter.run(*given)
        except Exception as error:
            raise ModelError(f"PyTorch does not run it: {short(error)}", code="E_MODEL_RUN") from error
        return self._record(self._interpreter.taken())

    def _record(self, values: Mapping[Any, Any]) -> Trace:
        recorder = Recorder()
        depends: dict[Any, tuple[str, ...]] = {}
        index = 0
        outputs: list[str] = []
        for node in self._module.graph.nodes:
            if node.op == "output":
                flat = self._torch.utils._pytree.tree_leaves(node.args)
                outputs = [name for one in flat if hasattr(one, "op") for name in depends.get(one, ())[:1]]
                continue
            if node.op not in ("placeholder", "call_function"):
                depends[node] = ()
                continue
            read = tuple(name for source in node.all_input_nodes for name in depends.get(source, ()))
            value = values.get(node)
            if node.op == "call_function" and not read:
                depends[node] = ()  # made from weights alone
                index += 1
                continue
            if isinstance(value, tuple | list):
                # its parts come out of it by getitem
                depends[node] = read
            else:
                array = _array(self._torch, value)
                part = node.op == "call_function" and node.target is operator.getitem
                op, where = _origin(node.args[0] if part else node)
                number = -1 if node.op == "placeholder" else index
                depends[node] = (recorder.add(number, op, node.name, array, read, where),)
            index += node.op == "call_function"
        return recorder.trace(outputs)


def _taken_apart(torch: Any, program: Any) -> Any:
    """As small as can be: where a program's pieces have no decomposition that works, it stays as it is."""
    table = torch.export.default_decompositions()
    wanted = [getattr(torch.ops.aten, name) for name in _MORE if hasattr(torch.ops.aten, name)]
    own = {torch.ops.aten.addmm.default: _addmm(torch)}
    more: dict[Any, Any]
    for more in (torch._decomp.get_decompositions(wanted) | own, {}):
        try:
            return program.run_decompositions({**table, **more})
        except Exception:  # noqa: S112 -- each of torch's passes raises its own
            continue
    return program


def _addmm(torch: Any) -> Any:
    """A product and a sum: ONNX exporters keep them apart."""

    def addmm(bias: Any, left: Any, right: Any, *, beta: float = 1, alpha: float = 1) -> Any:
        if beta != 1 or alpha != 1:
            return NotImplemented
        return torch.ops.aten.add.Tensor(torch.ops.aten.mm.default(left, right), bias)

    return addmm


def _interpreter(torch: Any, module: Any) -> Any:
    class Keeping(torch.fx.Interpreter):  # type: ignore[misc]
        """Keeps what every node gave."""

        def __init__(self) -> None:
            super().__init__(module, garbage_collect_values=False)
            self._kept: dict[Any, Any] = {}

        def run_node(self, n: Any) -> Any:
            result = super().run_node(n)
            if n.op in ("placeholder", "call_function"):
                self._kept[n] = result
            return result

        def taken(self) -> dict[Any, Any]:
            kept, self._kept = self._kept, {}
            self.env: dict[Any, Any] = {}
            return kept

    return Keeping()


def _origin(node: Any) -> tuple[str, str]:
    """The operator, and the module it was written in: "layers.0.self_attn"."""
    if node.op == "placeholder":
        return INPUT, ""
    stack = node.meta.get("nn_module_stack") or {}
    path = next((str(entry[0]) for entry in reversed(list(stack.values())) if entry and entry[0]), "")
    target = node.target
    op = str(target) if not callable(target) or hasattr(target, "_schema") else target.__name__
    return op, path


def _dtype(slot: Any, torch: Any, value: Array) -> Any:
    fake = slot.meta.get("val")
    return fake.dtype if isinstance(fake, torch.Tensor) else torch.from_numpy(value[:0].copy()).dtype


def _array(torch: Any, value: Any) -> Array | None:
    if not isinstance(value, torch.Tensor) or value.is_sparse or value.is_quantized or value.is_complex():
        return None
    plain = value.detach().cpu()
    if plain.dtype in (torch.float16, torch.bfloat16):
        plain = plain.float()
    array: Array = plain.numpy()
    return array
