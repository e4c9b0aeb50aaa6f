"""The seam of a source plug-in: it reads one kind of model and gives a way to run it and what targets convert."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from edgekit import registry
from edgekit.errors import HostError, ModelError
from edgekit.events import Sink, ignore
from edgekit.models.formats import detect_format
from edgekit.models.info import Signature
from edgekit.models.inspect import open_model
from edgekit.models.manifest import Origin

if TYPE_CHECKING:
    import numpy as np

    Sample = Sequence[np.ndarray[Any, Any]]
    Outputs = list[np.ndarray[Any, Any]]
    Run = Callable[[Sample], Outputs]

Framework = Literal["torch", "keras", "onnx", "tflite"]


@dataclass(frozen=True)
class LoadOptions:
    """What a user allows and fixes. `trust`: code and pickles of the model may run. `shapes`: the sizes that dynamic
    axes of the named inputs get."""

    trust: bool = False
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    sink: Sink = ignore


@dataclass(frozen=True)
class LoadedSource:
    """A model in its own framework.

    `signature`: inputs and outputs under the names that the source gives them, in its own order, axes of open size
    fixed (an output's may stay -1). `run` computes one sample: arrays of the signature's dtypes and fixed shapes, in the signature's
    order. `model` is what the targets convert: a TorchModel, KerasModel, OnnxModel or TfliteModel (beside this
    file), by `framework`. `token_limits`: for integer inputs that index a table, how many rows it has.
    """

    name: str
    origin: Origin
    framework: Framework
    model: Any
    signature: Signature
    run: Run
    token_limits: Mapping[str, int] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@runtime_checkable
class Source(Protocol):
    """A plug-in. `formats` are those of `detect_format` it reads."""

    name: str
    formats: frozenset[str]

    def accepts(self, source: str) -> bool:
        """Whether this text, which is no path that exists, names a source of this kind."""

    def load(self, source: str, options: LoadOptions) -> LoadedSource:
        """Read it. Raises ModelError, MissingExtra, InputError, ToolError; E_UNTRUSTED where code would run."""


def find_source(source: str | Path) -> Source:
    """The plug-in for a file, a folder or a name.

    Raises ModelError (E_MODEL_*, E_NO_SOURCE; its hint names a plug-in that does not import).
    """
    text = str(source)
    broken: list[HostError] = []
    if not Path(text).exists() and ":" in text:
        for plugin in _sources(broken):
            if plugin.accepts(text):
                return plugin
    kind = detect_format(text)
    for plugin in _sources(broken, first=kind):
        if kind in plugin.formats:
            return plugin
    raise ModelError(
        f"{text} is a model in format {kind}, which nothing installed here converts",
        code="E_NO_SOURCE",
        hint=_no_source_hint(broken),
    )


def untrusted(what: str, why: str) -> ModelError:
    """What to say where a model would run code or unpickle objects."""
    return ModelError(
        f"{what} {why}",
        code="E_UNTRUSTED",
        hint="where you trust whoever made it, give --trust",
    )


def origin_of(path: Path, options: LoadOptions) -> Origin:
    """Where a model file or folder comes from, looked into without its framework.

    Raises ModelError: E_MODEL_*, E_UNTRUSTED where loading it would run code and the user did not allow that.
    """
    info = open_model(path)
    if info.trust and not options.trust:
        raise untrusted(str(path), f"would run code: {'; '.join(info.trust[:3])}")
    return Origin(name=path.name, format=info.format, sha256=info.sha256, size_bytes=info.size_bytes)


def _no_source_hint(broken: list[HostError]) -> str:
    if broken:
        return broken[0].message
    return "convert it to .tflite first; `edgekit plugins` lists what can be read"


def _sources(broken: list[HostError], first: str = "") -> Iterator[Source]:
    """The plug-ins, the one named like the format first. One that does not import must not stop the others."""
    for name in sorted(registry.plugins("sources"), key=lambda name: (name != first, name)):
        try:
            yield _checked(registry.load("sources", name), name)
        except HostError as error:
            broken.append(error)


def _checked(plugin: Any, name: str) -> Source:
    instance = plugin() if isinstance(plugin, type) else plugin
    if not isinstance(instance, Source):
        raise HostError(f"the plug-in '{name}' is no source: {plugin!r}", code="E_PLUGIN")
    return instance
