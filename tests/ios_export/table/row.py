"""One row of the table of operators: a program of one operator, what goes in, and what has to come out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from edgekit_ios.mil import MilModel


@dataclass(frozen=True)
class Row:
    """`build` makes the operator with coremltools' builder from variables named like its parameters; `expect` gives
    its results from the arrays, by PyTorch or by the definition written out. `target`: the oldest iOS."""

    operator: str
    inputs: tuple[np.ndarray[Any, Any], ...]
    build: Callable[..., Any]
    expect: Callable[..., Any]
    target: str = "iOS17"
    tolerance: float = 1e-6
    name: str = ""

    @property
    def id(self) -> str:
        return f"{self.operator}-{self.name}" if self.name else self.operator


def compiled(row: Row) -> Any:
    """The model that coremltools makes of the row's program, no pass of its optimizer applied."""
    import coremltools as ct
    from coremltools.converters.mil import Builder as mb  # noqa: N813
    from coremltools.converters.mil.mil import types

    kinds = {"float32": types.fp32, "float16": types.fp16, "int32": types.int32, "bool": types.bool}
    target = getattr(ct.target, row.target)
    specs = [mb.TensorSpec(x.shape, kinds[str(x.dtype)]) for x in row.inputs]
    program = mb.program(input_specs=specs, opset_version=target)(row.build)
    return ct.convert(
        program,
        convert_to="mlprogram",
        minimum_deployment_target=target,
        compute_precision=ct.precision.FLOAT32,
        pass_pipeline=ct.PassPipeline.EMPTY,
        skip_model_load=True,
    )


def check(row: Row) -> None:
    """Evaluate the row's program from its package and compare."""
    model = compiled(row)
    blocks = [
        b for f in model.get_spec().mlProgram.functions.values() for b in f.block_specializations.values()
    ]
    assert row.operator in operators_of(blocks), "the program lost the operator that it is to test"
    given = MilModel(model.package_path).run(row.inputs)
    wanted = _arrays(row.expect(*row.inputs))
    assert len(given) == len(wanted)
    for ours, theirs in zip(given, wanted, strict=True):
        assert ours.shape == theirs.shape
        largest = float(np.max(np.abs(theirs[np.isfinite(theirs)]), initial=1e-3))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=row.tolerance * largest)


def operators_of(blocks: Sequence[Any]) -> set[str]:
    found: set[str] = set()
    for block in blocks:
        for operation in block.operations:
            found |= {operation.type, *operators_of(operation.blocks)}
    return found


def _arrays(results: Any) -> list[np.ndarray[Any, Any]]:
    many = results if isinstance(results, tuple | list) else (results,)
    return [np.asarray(result, np.float64) for result in many]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def normal(*shape: int, seed: int = 0, scale: float = 1.0) -> np.ndarray[Any, Any]:
    """float32, normally distributed."""
    return (scale * rng(seed).standard_normal(shape)).astype(np.float32)


def whole(*shape: int, low: int = 0, high: int = 10, seed: int = 0) -> np.ndarray[Any, Any]:
    """int32"""
    return rng(seed).integers(low, high, shape).astype(np.int32)
