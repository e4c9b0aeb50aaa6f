"""A Core ML model on this host, as verification runs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.errors import ModelError
from edgekit.models.info import Signature, TensorSpec
from edgekit_ios.mil.errors import damaged
from edgekit_ios.mil.evaluate import Trace, check_operators, fold, run_program
from edgekit_ios.mil.package import Package
from edgekit_ios.mil.program import Program, read_program
from edgekit_ios.signature import read_signature

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Traced:
    """The result of one operation: its operator, the name of its output, the value in the program's own type."""

    operator: str
    output: str
    value: Array


class MilModel:
    """A .mlpackage, evaluated by this package (see `edgekit_ios.mil` for what that shows).

    `signature`: names, dtypes and shapes of the model's own description, in its order; `tensor` of each is the name
    inside the program. Implements edgekit's HostModel.
    """

    def __init__(self, path: str | Path, signature: Signature | None = None, name: str = "") -> None:
        """`signature`: as in edgekit's manifest; its names are kept, its `tensor` tells the program's.

        Raises ModelError: E_MODEL_LOAD (missing, damaged), E_MIL_OPERATOR; MissingExtra.
        """
        package = Package(path)
        self.name = name or Path(path).name
        self.signature = signature or read_signature(package.model)
        self._program: Program = read_program(package.model, package.blob_file, fold)
        check_operators(self._program.block)
        self._check_names()

    def run(self, sample: Sequence[Array]) -> list[Array]:
        """One inference: arrays in the signature's order, of its dtypes and shapes. Raises ModelError E_MODEL_RUN,
        E_MIL_OPERATOR."""
        return self._run(sample, None)

    def run_traced(self, sample: Sequence[Array]) -> tuple[list[Array], list[Traced]]:
        """The same, and what every operation gave, in the order of the program; constants are left out."""
        steps: list[Traced] = []

        def note(operator: str, output: str, value: Any) -> None:
            if isinstance(value, np.ndarray):
                steps.append(Traced(operator, output, value))

        return self._run(sample, note), steps

    def run_watched(self, sample: Sequence[Array], watch: Trace) -> list[Array]:
        """The same, `watch` told of each result as it is made: none is kept."""
        return self._run(sample, watch)

    def _run(self, sample: Sequence[Array], trace: Trace | None) -> list[Array]:
        if len(sample) != len(self.signature.inputs):
            raise self._wrong(f"takes {len(self.signature.inputs)} inputs, not {len(sample)}")
        given = {_inner(spec): value for spec, value in zip(self.signature.inputs, sample, strict=True)}
        ordered = [self._taken(name, kind, given[name]) for name, kind in self._program.inputs]
        made = dict(zip(self._program.block.outputs, run_program(self._program, ordered, trace), strict=True))
        return [np.asarray(made[_inner(spec)]).astype(spec.dtype) for spec in self.signature.outputs]

    def _taken(self, name: str, declared: Any, value: Array) -> Array:
        if declared.kind is None or declared.shape is None:
            raise self._wrong(f"has an input '{name}' that is no tensor")
        fits = len(value.shape) == len(declared.shape) and all(
            wanted in (-1, size) for size, wanted in zip(value.shape, declared.shape, strict=True)
        )
        if not fits:
            raise self._wrong(f"takes '{name}' of shape {list(declared.shape)}, not {list(value.shape)}")
        if value.dtype.kind != declared.kind.numpy.kind:
            raise self._wrong(f"takes '{name}' of type {declared.kind.name}, not {value.dtype}")
        with np.errstate(over="ignore"):
            taken: Array = value.astype(declared.kind.numpy)
        return taken

    def _check_names(self) -> None:
        inputs = {name for name, _ in self._program.inputs}
        outputs = set(self._program.block.outputs)
        if {_inner(spec) for spec in self.signature.inputs} != inputs:
            raise damaged("the program's inputs are not those of its description")
        if not {_inner(spec) for spec in self.signature.outputs} <= outputs:
            raise damaged("the program's outputs are not those of its description")

    def _wrong(self, what: str) -> ModelError:
        return ModelError(f"{self.name} {what}", code="E_MODEL_RUN")


def _inner(spec: TensorSpec) -> str:
    return spec.tensor or spec.name
