"""The seam of a target plug-in: a model in its own framework in, the device's file out, and a way to run that here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from edgekit.conversion.hosts.base import HostModel
from edgekit.conversion.options import Layout
from edgekit.conversion.recipes import Recipe
from edgekit.conversion.sources.base import LoadedSource
from edgekit.events import Sink, ignore
from edgekit.models.info import Format, ModelInfo, Signature
from edgekit.models.manifest import RangesFound

if TYPE_CHECKING:
    from edgekit.conversion.sources.base import Sample


@dataclass(frozen=True)
class Request:
    """One conversion. `folder` is an empty scratch folder of this conversion's own, removed afterwards.
    `layout`: what order image inputs and outputs (rank 4) shall have in the result; "keep": the source's."""

    source: LoadedSource
    layout: Layout
    folder: Path
    sink: Sink = ignore


@dataclass(frozen=True)
class Came:
    """A model before a target changed it for its quantizer."""

    info: ModelInfo
    path: Path


@dataclass(frozen=True)
class Prepared:
    """What a target needs before a recipe is chosen. `info`: the float model's, where the target has one by now;
    recipes are judged by it. `path`: that model's file, a target's own business.

    `came`: the model as it came, where `info` is of one that was made from it for the quantizer; `untaken`: why a
    quantizer cannot take the model, where it would have to be changed for that and cannot be. `edits`: notes for what is
    made from `path` and not from `came`.
    """

    request: Request
    info: ModelInfo | None = None
    path: Path | None = None
    tools: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    came: Came | None = None
    untaken: str = ""
    edits: tuple[str, ...] = ()


@dataclass(frozen=True)
class Made:
    """A converted model, in the request's folder, or the source's own file where nothing changed.

    `path`: its file, or its folder for a format that is one. `extra`: other files that belong to it (external
    data), below the folder that it lies in: the model names them from there. `signature`: inputs and outputs in the order and with the dtypes and shapes that the
    model itself has; their names are the source's, so that the two are paired by name. `tools`, `notes`: those of
    Prepared included. `ranges`: of static activations, and what they cost. `unquantized`: the float model that a quantizer
    made this one from, in the same format and with the same names of tensors.
    """

    path: Path
    signature: Signature
    info: ModelInfo | None = None
    extra: tuple[Path, ...] = ()
    tools: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    ranges: RangesFound | None = None
    unquantized: Path | None = None


class Stream(Protocol):
    """Samples that are read one at a time, as often as they are iterated over: a list of all would not fit."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Sample]: ...


@runtime_checkable
class Target(Protocol):
    """`suffix`: of the file or folder in an artifact (".tflite"). `recipes`: the kinds of schemes that it makes, as
    `kind_of` calls them ("float16", "int8-static"); a recipe with a scheme of another kind never gets here."""

    name: str
    format: Format
    suffix: str
    recipes: tuple[str, ...]

    def prepare(self, request: Request) -> Prepared:
        """Raises MissingExtra, ToolError (E_CONVERTER), InputError (E_NO_PATH: nothing converts this framework's
        models to this format)."""

    def make(self, prepared: Prepared, recipe: Recipe, calibration: Stream) -> Made:
        """Raises MissingExtra, InputError (E_RECIPE_RULE: a rule fits nothing), ToolError, VerificationError
        (E_NOTHING_QUANTIZED; E_RECIPE_NOT_MET: the file is not what the recipe says).

        `calibration`: samples, each with the inputs of `prepared` in order, or the source's where that has no signature
        yet; empty where there are none.
        """

    def open(self, path: Path, signature: Signature, name: str) -> HostModel:
        """Load a model of this format on this host, `signature` as in Made or in a manifest; `name` is for messages.
        Raises MissingExtra, ModelError E_MODEL_LOAD."""
