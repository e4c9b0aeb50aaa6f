"""Between which layers of a float ONNX model a factor for each channel passes: what makes one stream of values, and what reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgekit.conversion.rescue.onnx_flow import FUSED, SIZES, Part, Place, View, along, attributes, passed
from edgekit.conversion.targets.onnx_plan import reads_of

_JOINING = ("Add", "Sub")
"""f(s x, s y) = s f(x, y)."""


@dataclass(frozen=True)
class OnnxLink:
    """`makers`: constants that are divided by a channel's factor, `readers`: those that are multiplied by it; `values`: the
    tensors in between that are stored where the model is quantized, and where they have their channels."""

    makers: tuple[Part, ...]
    readers: tuple[Part, ...]
    values: tuple[tuple[str, Place], ...]


def find_links(model: Any, shapes: Mapping[str, tuple[int, ...]]) -> tuple[OnnxLink, ...]:
    """Those of the main graph, whose layers (Conv, ConvTranspose, Gemm, MatMul) have float weights of their own. What is read by
    anything else, as it is an output of the model too or goes into an operator that is not known here, is in none.

    `model`: onnx.ModelProto whose constants are initializers; `shapes`: of what depends on its inputs, by name.
    """
    return _Finder(View(model, shapes)).links()


class _Finder:
    def __init__(self, view: View) -> None:
        self.view = view
        self.reader = {name: node for node in view.graph.node for name in node.input}
        self.maker = {name: node for node in view.graph.node for name in node.output}
        self.of: dict[str, str] = {}
        """The stream of each tensor that has channels, as a tree: another of its tensors, until one that is its own."""
        self.places: dict[str, Place] = {}
        self.channels: dict[str, int] = {}
        self.makers: list[tuple[str, Part]] = []
        self.readers: list[tuple[str, Part]] = []
        self.spoiled = {place.name for place in view.graph.output}

    def links(self) -> tuple[OnnxLink, ...]:
        for node in self.view.graph.node:
            for attribute in node.attribute:
                for inner in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
                    self.spoiled |= set(reads_of(inner)) | {place.name for place in inner.output}
            taken = [at for at, name in enumerate(node.input) if name in self.places]
            if not self._join(node, taken):
                self._read(node, taken)
            self._make(node)
        bad = {self._root(name) for name in self.spoiled if name in self.places}
        roots = dict.fromkeys(self._root(name) for name, _ in self.readers)
        return tuple(self._link(root) for root in roots if root not in bad)

    def _link(self, root: str) -> OnnxLink:
        makers, readers = (
            tuple(part for name, part in parts if self._root(name) == root)
            for parts in (self.makers, self.readers)
        )
        values = [(name, place) for name, place in self.places.items() if self._root(name) == root]
        return OnnxLink(makers, readers, tuple(one for one in values if not self._passes_into_one(one[0])))

    def _passes_into_one(self, name: str) -> bool:
        """Whether all that reads a tensor is made one operator with what makes it: then only what comes out is stored."""
        reader = self.reader.get(name)
        if self.view.reads[name] != 1 or reader is None:
            return False
        # a dense layer of more axes is a Gemm between two Reshapes (onnx_gemm.py): a Relu is no part of that
        apart = self._is_biased(self.maker[name]) and len(self.view.shapes[name]) > 2
        return (reader.op_type in FUSED and not apart) or self._is_biased(reader)

    def _is_biased(self, node: Any) -> bool:
        return node.op_type == "Add" and any(given in self.view.constants for given in node.input)

    def _root(self, name: str) -> str:
        while (above := self.of.get(name, name)) != name:
            name = above
        return name

    def _put(self, name: str, place: Place, channels: int) -> None:
        self.places[name], self.channels[name] = place, channels

    def _join(self, node: Any, taken: list[int]) -> bool:
        """Whether a factor passes this node; then what it reads and gives is one stream."""
        names, made = [node.input[at] for at in taken], node.output[0] if node.output else ""
        if node.op_type in _JOINING and len(taken) == 2:
            place = self.places[names[0]]
            shapes = [self.view.shapes.get(name) for name in (*names, made)]
            if self.places[names[1]] != place or None in shapes or len(set(shapes)) != 1:
                return False
            self.of[self._root(names[1])] = self._root(names[0])
        elif len(taken) == 1:
            before = self.places[names[0]]
            found = passed(node, taken[0], before, self.channels[names[0]], self.view)
            if found is None:
                return False
            place = found.place
            self.makers += [(names[0], part) for part in found.parts]
        else:
            return False
        self._put(made, place, self.channels[names[0]])
        self.of[made] = self._root(names[0])
        return True

    def _read(self, node: Any, taken: list[int]) -> None:
        for at in taken if node.op_type not in SIZES else ():
            name = node.input[at]
            part = self._reading(node, self.places[name]) if at == 0 else None
            if part is None:
                self.spoiled.add(name)
            else:
                self.readers.append((name, part))

    def _reading(self, node: Any, place: Place) -> Part | None:
        """The weights that read each channel by values of their own."""
        if not self._is_layer(node):
            return None
        given, weights = self.view.shapes.get(node.input[0], ()), node.input[1]
        sizes, found = self.view.sizes(weights), attributes(node)
        if node.op_type in ("Conv", "ConvTranspose"):
            groups = found.get("group", 1)
            if place != Place(1):
                return None
            if node.op_type == "ConvTranspose":
                return Part(weights, 0) if sizes[0] == given[1] else None
            if sizes[1] * groups != given[1]:
                return None
            return Part(weights, 1, groups, by_channel=groups > 1 and sizes[1] == 1)
        axis = 1 if node.op_type == "Gemm" and found.get("transB", 0) else 0
        last = place.axis == len(given) - 1
        return Part(weights, axis, repeat=place.repeat) if last and sizes[axis] == given[-1] else None

    def _make(self, node: Any) -> None:
        """A new stream, where a factor for each channel of what a layer gives goes into its constants."""
        made = self.view.shapes.get(node.output[0]) if node.output else None
        if made is None or not self._is_layer(node):
            return
        weights, found = node.input[1], attributes(node)
        sizes, groups = self.view.sizes(weights), found.get("group", 1)
        place = Place(1 if node.op_type != "MatMul" else len(made) - 1)
        if node.op_type == "ConvTranspose":
            part = Part(weights, 1, groups)
        elif node.op_type == "MatMul":
            part = Part(weights, 1)
        else:
            part = Part(weights, 1 if node.op_type == "Gemm" and not found.get("transB", 0) else 0)
        parts = [part]
        if len(node.input) > 2 and node.input[2]:
            bias = node.input[2]
            layout = made if node.op_type == "Gemm" else made[:2]
            given = along(bias, self.view.sizes(bias), layout, place) if self.view.own(bias) else None
            if given is None:
                return
            parts.append(given)
        if sizes[part.axis] * part.groups == made[place.axis]:
            self._put(node.output[0], place, made[place.axis])
            self.makers += [(node.output[0], one) for one in parts]

    def _is_layer(self, node: Any) -> bool:
        """Whether it has weights of its own, and reads one tensor that depends on the inputs."""
        ranks = {"Conv": range(3, 6), "ConvTranspose": range(3, 6), "Gemm": (2,), "MatMul": (2,)}
        if node.op_type not in ranks or len(node.input) < 2 or not self.view.own(node.input[1]):
            return False
        if node.op_type == "Gemm" and attributes(node).get("transA", 0):
            return False
        live = node.input[0] in self.view.shapes
        return live and len(self.view.sizes(node.input[1])) in ranks[node.op_type]
