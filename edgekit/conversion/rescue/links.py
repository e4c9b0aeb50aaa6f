"""Between which layers of a float .tflite file a factor for each channel passes: makers and readers of one stream of values."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.conversion.targets.tflite_constants import FLOAT32
from edgekit.conversion.targets.tflite_file import code_of, constant_of, listed

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_ADD, _AVERAGE_POOL, _CONV, DEPTHWISE, _DENSE, _MAX_POOL, _RELU, _RESHAPE = 0, 1, 3, 4, 9, 17, 19, 22
_PAD, _MEAN, _LEAKY_RELU, _RESIZE_BILINEAR, _RESIZE_NEAREST, _SUB = 34, 40, 98, 23, 97, 41
OUT_AXIS = {_CONV: 0, DEPTHWISE: 3, _DENSE: 0}
IN_AXIS = {_CONV: 3, DEPTHWISE: 3, _DENSE: 1}
_BETWEEN = frozenset(
    {_AVERAGE_POOL, _MAX_POOL, _RELU, _LEAKY_RELU, _PAD, _MEAN, _RESHAPE, _RESIZE_BILINEAR, _RESIZE_NEAREST}
)
"""f(s x) = s f(x) for s > 0, channel by channel, as long as the last axis stays what it is."""
_JOINING = frozenset({_ADD, _SUB})
"""f(s x, s y) = s f(x, y)."""
_NO_ACTIVATION, _FUSED_RELU = 0, 1


@dataclass(frozen=True)
class Link:
    """Layers with nothing between them that a factor could not pass, as numbers of operators: all that make the values, also
    where these are added up, and all that read them. `values`: the tensors that the makers give, and their sums."""

    makers: tuple[int, ...]
    readers: tuple[int, ...]
    values: tuple[int, ...]


def find_links(model: Any) -> tuple[Link, ...]:
    """Those of the main graph, whose layers have float weights of their own. What is read by anything else, as it is an output of
    the model too or goes into an operator that is not known here, is in none."""
    return _Finder(model).links()


class _Finder:
    def __init__(self, model: Any) -> None:
        self.model, self.graph = model, model.subgraphs[0]
        self.operators = listed(self.graph.operators)
        self.reads = Counter(number for op in self.operators for number in listed(op.inputs))
        self.shared = Counter(tensor.buffer for one in model.subgraphs for tensor in one.tensors)
        self.ends = {*listed(self.graph.outputs), *listed(self.graph.inputs)}
        self.of: dict[int, int] = {}
        """The stream of each tensor, as a tree: another of its tensors, until one that is its own."""

    def links(self) -> tuple[Link, ...]:
        joins = {at for at, operator in enumerate(self.operators) if self._join(operator)}
        makers: dict[int, list[int]] = {}
        readers: dict[int, list[int]] = {}
        values: dict[int, list[int]] = {}
        spoiled = {self._root(number) for number in self.ends}
        for at, operator in enumerate(self.operators):
            ins, outs = listed(operator.inputs), listed(operator.outputs)
            if at in joins:
                if code_of(self.model, operator) in _JOINING:
                    values.setdefault(self._root(outs[0]), []).append(outs[0])
                continue
            layer = self._is_layer(operator)
            if layer and _passes(operator, layer=True):
                makers.setdefault(self._root(outs[0]), []).append(at)
                values.setdefault(self._root(outs[0]), []).append(outs[0])
            else:
                spoiled |= {self._root(number) for number in outs}
            if layer and self._reads_by_channel(operator):
                readers.setdefault(self._root(ins[0]), []).append(at)
                ins = ins[1:]
            spoiled |= {self._root(number) for number in ins if number >= 0}
        return tuple(
            Link(tuple(made), tuple(readers[root]), tuple(values[root]))
            for root, made in makers.items()
            if root in readers and root not in spoiled
        )

    def _root(self, number: int) -> int:
        while (above := self.of.get(number, number)) != number:
            number = above
        return number

    def _join(self, operator: Any) -> bool:
        """Whether a factor passes this operator; then what it reads and gives is one stream."""
        ins, outs = listed(operator.inputs), listed(operator.outputs)
        code = code_of(self.model, operator)
        if code in _JOINING and len(ins) == 2 and not any(map(self._is_constant, ins)):
            given = ins
        elif code in _BETWEEN and ins:
            given = ins[:1]
        else:
            return False
        channels = [listed(self.graph.tensors[number].shape)[-1:] for number in (*given, *outs)]
        if len(outs) != 1 or channels.count(channels[0]) != len(channels) or not channels[0]:
            return False
        if not _passes(operator, layer=False) or (code == _MEAN and not self._spatial(operator)):
            return False
        for number in given:
            self.of[self._root(number)] = self._root(outs[0])
        return True

    def _is_constant(self, number: int) -> bool:
        return number < 0 or constant_of(self.model, self.graph.tensors[number]) is not None

    def _is_layer(self, operator: Any) -> bool:
        ins = listed(operator.inputs)
        known = code_of(self.model, operator) in OUT_AXIS
        return known and len(ins) >= 2 and ins[1] >= 0 and all(map(self._is_own, ins[1:]))

    def _is_own(self, number: int) -> bool:
        """A float constant that nothing else reads."""
        if number < 0:
            return True
        tensor = self.graph.tensors[number]
        constant = self._is_constant(number) and tensor.type == FLOAT32 and tensor.sparsity is None
        return constant and self.reads[number] == 1 and self.shared[tensor.buffer] == 1

    def _reads_by_channel(self, operator: Any) -> bool:
        """Whether a layer reads each channel by weights of its own."""
        ins = listed(operator.inputs)
        channels = listed(self.graph.tensors[ins[0]].shape)[-1:]
        shape = listed(self.graph.tensors[ins[1]].shape)
        axis = IN_AXIS[code_of(self.model, operator)]
        return len(shape) > axis and shape[axis : axis + 1] == channels and len(channels) == 1

    def _spatial(self, operator: Any) -> bool:
        """Whether a MEAN leaves the channels apart."""
        import numpy as np

        ins = listed(operator.inputs)
        axes = constant_of(self.model, self.graph.tensors[ins[1]]) if len(ins) == 2 and ins[1] >= 0 else None
        if axes is None or len(axes) % 4:
            return False
        rank = len(listed(self.graph.tensors[ins[0]].shape))
        return rank > 0 and all(int(axis) % rank != rank - 1 for axis in np.frombuffer(bytes(axes), "<i4"))


def _passes(operator: Any, *, layer: bool) -> bool:
    """Whether what is fused into an operator lets a factor pass."""
    fused = getattr(operator.builtinOptions, "fusedActivationFunction", _NO_ACTIVATION if not layer else None)
    return fused in (_NO_ACTIVATION, _FUSED_RELU)
