"""What sources hand to targets: a model in its framework's own form, one class for each framework."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class TorchModel:
    """`module` takes the tensors of `example`, positionally, and gives tensors (or a tree of them); `program` is its
    torch.export.ExportedProgram with fixed shapes. Inputs and flattened outputs are in the signature's order."""

    module: Any
    example: tuple[Any, ...]
    program: Any


@dataclass(frozen=True)
class KerasModel:
    """`model`: a functional Keras model whose batch is 1; None for a SavedModel. `module`: for a SavedModel a
    tf.Module with its weights as constants. `concrete`: gives a tf ConcreteFunction that takes tensors named like
    the signature's inputs and gives a dict by output name."""

    model: Any
    module: Any
    concrete: Callable[[], Any]


@dataclass(frozen=True)
class OnnxModel:
    """`path`: the file; `external`: files of its weights, below the folder that it lies in."""

    path: Path
    external: tuple[Path, ...] = ()


@dataclass(frozen=True)
class TfliteModel:
    data: bytes
