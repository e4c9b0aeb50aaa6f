"""Runs a program, operation by operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.errors import ModelError
from edgekit_ios.mil.args import Args
from edgekit_ios.mil.dtypes import Kind
from edgekit_ios.mil.errors import damaged, failed, unsupported
from edgekit_ios.mil.program import Block, Operation, Program, Ref
from edgekit_ios.mil.registry import operators
from edgekit_ios.mil.values import Declared

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]

Trace = Callable[[str, str, Any], None]
"""Is told of each result: operator, name of the output, value."""

MAX_ITERATIONS = 1_000_000
"""A loop that runs longer is taken to run for ever."""

_FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    IndexError,
    KeyError,
    MemoryError,
    TypeError,
    ValueError,
)


def run_program(program: Program, inputs: Sequence[Any], trace: Trace | None = None) -> list[Any]:
    """The outputs, in the program's own types. `inputs` are in the program's order and types.

    Raises ModelError: E_MIL_OPERATOR, E_MODEL_RUN, E_MODEL_LOAD.
    """
    known = {name: value for (name, _), value in zip(program.inputs, inputs, strict=True)}
    return _run_block(program.block, known, trace)


def fold(operation: Operation, known: Mapping[str, Any]) -> tuple[Any, ...]:
    """Compute an operation on constants."""
    return tuple(_compute(operation, known))


def check_operators(block: Block) -> None:
    """Raises ModelError E_MIL_OPERATOR for the first operation that the evaluator does not compute."""
    table = operators()
    for operation in block.operations:
        if operation.type not in table and operation.type not in ("cond", "while_loop"):
            raise unsupported(operation.type)
        for inner in operation.blocks:
            check_operators(inner)


def _run_block(block: Block, outer: Mapping[str, Any], trace: Trace | None) -> list[Any]:
    known = {**outer, **block.constants}
    for operation in block.operations:
        if operation.type == "cond":
            values = _cond(operation, known, trace)
        elif operation.type == "while_loop":
            values = _while_loop(operation, known, trace)
        else:
            values = _compute(operation, known)
        for (name, _), value in zip(operation.outputs, values, strict=True):
            known[name] = value
            if trace is not None:
                trace(operation.type, name, value)
    return [_look_up(Ref(name), known) for name in block.outputs]


def _cond(operation: Operation, known: Mapping[str, Any], trace: Trace | None) -> list[Any]:
    if len(operation.blocks) != 2:
        raise damaged(f"cond '{operation.name}' has {len(operation.blocks)} blocks")
    chosen = 0 if Args("cond", _resolved(operation, known)).flag("pred") else 1
    return _run_block(operation.blocks[chosen], known, trace)


def _while_loop(operation: Operation, known: Mapping[str, Any], trace: Trace | None) -> list[Any]:
    if len(operation.blocks) != 2:
        raise damaged(f"while_loop '{operation.name}' has {len(operation.blocks)} blocks")
    condition, body = operation.blocks
    carried = list(_resolved(operation, known)["loop_vars"])
    for _ in range(MAX_ITERATIONS):
        (again,) = _run_block(condition, {**known, **_bind(condition, carried)}, None)
        if not bool(np.asarray(again).reshape(-1)[0]):
            return carried
        carried = _run_block(body, {**known, **_bind(body, carried)}, trace)
    raise failed("while_loop", operation.name, f"it did not end after {MAX_ITERATIONS} rounds")


def _bind(block: Block, values: Sequence[Any]) -> dict[str, Any]:
    if len(block.inputs) != len(values):
        raise damaged(f"a block takes {len(block.inputs)} values and is given {len(values)}")
    return dict(zip(block.inputs, values, strict=True))


def _compute(operation: Operation, known: Mapping[str, Any]) -> list[Any]:
    compute = operators().get(operation.type)
    if compute is None:
        raise unsupported(operation.type)
    declared = tuple(kind for _, kind in operation.outputs)
    args = Args(operation.type, _resolved(operation, known), declared)
    try:
        with np.errstate(all="ignore"):
            made = compute(args)
            results = list(made) if isinstance(made, tuple) else [made]
            if len(results) != len(declared):
                raise ValueError(f"{len(results)} results for {len(declared)} outputs")
            return [_settled(value, kind) for value, kind in zip(results, declared, strict=True)]
    except ModelError as error:
        if error.code == "E_MIL_OPERATOR":
            raise
        raise failed(operation.type, operation.name, error.message) from error
    except _FAILURES as error:
        raise failed(operation.type, operation.name, error or type(error).__name__) from error


def _resolved(operation: Operation, known: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {
        name: [_look_up(item, known) if isinstance(item, Ref) else item for item in bound]
        for name, bound in operation.inputs.items()
    }


def _look_up(ref: Ref, known: Mapping[str, Any]) -> Any:
    if ref.name not in known:
        raise damaged(f"there is no value '{ref.name}'")
    return known[ref.name]


def _settled(value: Any, declared: Declared) -> Any:
    """The value in the type that the program declares, its shape compared with the declared one."""
    if declared.kind is None or not isinstance(value, np.ndarray | np.generic):
        return value
    array = np.asarray(value)
    if declared.shape is not None and not _fits(array.shape, declared.shape):
        raise ValueError(f"its shape is {list(array.shape)}, the program declares {list(declared.shape)}")
    return rounded(array, declared.kind)


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) == len(wanted) and all(w in (-1, s) for s, w in zip(shape, wanted, strict=True))


def rounded(array: Array, kind: Kind) -> Array:
    """Floats are rounded to nearest (too large ones become infinite), floats to integers towards zero."""
    if kind.numpy.kind == "O":
        return array
    return np.ascontiguousarray(array.astype(kind.numpy)).reshape(array.shape)
