"""The seam of a source plug-in: it reads one kind of model and gives a float TFLite model and a way to run it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from edgekit import registry
from edgekit.errors import HostError, ModelError
from edgekit.events import Sink
from edgekit.models.artifact import Origin
from edgekit.models.formats import detect_format

if TYPE_CHECKING:
    import numpy as np

    Sample = Sequence[np.ndarray[Any, Any]]
    Outputs = list[np.ndarray[Any, Any]]


@dataclass(frozen=True)
class LoadedSource:
    """A source made into TFLite.

    `run` computes one sample in the source's own framework: real-valued inputs in the order of the TFLite
    model's inputs, outputs in the order of its outputs. `unchanged`: the bytes are the source file's own.
    """

    name: str
    origin: Origin
    tflite: bytes
    run: Callable[[Sample], Outputs]
    unchanged: bool = False
    tools: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@runtime_checkable
class Source(Protocol):
    """A plug-in. `formats` are those of `detect_format` it reads."""

    name: str
    formats: frozenset[str]

    def accepts(self, source: str) -> bool:
        """Whether this text, which is no path that exists, names a source of this kind."""

    def load(self, source: str, sink: Sink) -> LoadedSource:
        """Read and convert. Raises ModelError, MissingExtra, InputError, ToolError."""


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
