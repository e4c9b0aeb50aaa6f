"""Error entering and leaving each quantized operator, and what it adds itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from edgekit.conversion.layers.quantized_measure import (
    Grid,
    channel_error,
    channel_shift,
    error_share,
    tensor_range,
)
from edgekit.conversion.layers.quantized_report import QuantizedOp, QuantizedReport, Weight, percent

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

MAX_SAMPLES = 4
HELD_BYTES = 1 << 30
"""Of all tensors of both models over the samples; one sample at least is taken."""
_SUFFIXES = ("_quantized", "_dequant")
"""What ai-edge-quantizer puts behind the name of a tensor that it adds beside one of the float model."""


@dataclass(frozen=True)
class ProbedTensor:
    """`grid`: what it can hold, where it is stored as integers with one scale; `dtype`, `scales`: how it is stored."""

    name: str
    dtype: str
    scales: int
    grid: Grid | None


@dataclass(frozen=True)
class ProbedOp:
    """`inputs`: tensors that depend on the model's inputs; `weights`: those made of constants alone. `channel_axis`: along which axis
    what it gives has its channels."""

    index: int
    op: str
    inputs: tuple[int, ...]
    weights: tuple[int, ...]
    outputs: tuple[int, ...]
    channel_axis: int = -1

    @property
    def moves_only(self) -> bool:
        """Whether it only expands integers: its error is that of what it reads."""
        return self.op in ("DEQUANTIZE", "DequantizeLinear")


class Probe(Protocol):
    """A model whose inner tensors can be seen, known by number, and whose operators can be run one by one."""

    @property
    def ops(self) -> Sequence[ProbedOp]: ...
    @property
    def tensors(self) -> Mapping[int, ProbedTensor]: ...

    def run(self, sample: Sequence[Array]) -> Mapping[int, Array]:
        """Real values of every tensor of the operators, constants included. Raises ModelError E_MODEL_RUN."""

    def between(self, inputs: Sequence[str], output: str) -> ProbedOp | None:
        """What makes the tensor of this name from those of these names and constants alone; its inputs in their order."""

    def elements(self, number: int) -> int:
        """How many values a tensor has."""

    def alone(self, op: ProbedOp, given: Sequence[Sequence[Array]]) -> list[list[Array]] | None:
        """An operator's outputs, real values, for real values of its inputs, for each sample. None: it cannot be run so."""


def quantized_layers(before: Probe, after: Probe, samples: Sequence[Sequence[Array]]) -> QuantizedReport:
    """Compare a quantized model with the float one that it was made from: tensors are paired by name.

    `samples`: inputs of both models, real values; the first MAX_SAMPLES are used. Raises ModelError E_MODEL_RUN.
    """
    compared = _Compared(before, after, samples)
    ops = tuple(compared.row(op) for op in after.ops if compared.is_quantized(op) and not op.moves_only)
    order = sorted(range(len(ops)), key=lambda place: -(ops[place].own or 0.0))
    worst = tuple(place for place in order if ops[place].own)
    return QuantizedReport(
        samples=len(compared.floats),
        operators=len(after.ops),
        ops=ops,
        worst=worst,
        summary=_summary(ops, worst),
    )


def shifts(before: Probe, after: Probe, samples: Sequence[Sequence[Array]]) -> dict[int, Array]:
    """By which each channel of a quantized operator's output is too high on average, both operators run alone on the same
    values; by the operator's number. All samples are used, as far as they fit into memory. Raises ModelError E_MODEL_RUN."""
    compared = _Compared(before, after, samples, len(samples))
    found = {}
    for op in after.ops:
        pair = compared.alone(op) if compared.is_quantized(op) and not op.moves_only else None
        if pair is not None and (shift := channel_shift(*_channels_last(pair, op))) is not None:
            found[op.index] = shift
    return found


class _Compared:
    """Both models' tensors over the samples."""

    def __init__(
        self, before: Probe, after: Probe, samples: Sequence[Sequence[Array]], count: int = MAX_SAMPLES
    ) -> None:
        self.before, self.after = before, after
        self.floats: list[Mapping[int, Array]] = []
        self.ints: list[Mapping[int, Array]] = []
        held_bytes = 0
        for sample in samples[:count]:
            if self.floats and held_bytes * (1 + 1 / len(self.floats)) > HELD_BYTES:
                break
            self.floats.append(before.run(sample))
            self.ints.append(after.run(sample))
            held_bytes += sum(v.nbytes for one in (self.floats[-1], self.ints[-1]) for v in one.values())
        used = {number for op in before.ops for number in (*op.inputs, *op.weights, *op.outputs)}
        self._by_name = {before.tensors[number].name: number for number in sorted(used)}

    def is_quantized(self, op: ProbedOp) -> bool:
        return any(self.after.tensors[number].scales for number in (*op.inputs, *op.weights, *op.outputs))

    def row(self, op: ProbedOp) -> QuantizedOp:
        tensors = self.after.tensors
        made = op.outputs[0] if op.outputs else None
        ins = [(self._float(number), self._ints(number)) for number in op.inputs]
        known = [pair for pair in ins if pair[0] is not None]
        before = None if made is None else self._float(made)
        after = None if made is None else self._ints(made)
        leaving = None if before is None or after is None else error_share(before, after)
        pair = self.alone(op)
        return QuantizedOp(
            index=op.index,
            op=op.op,
            name=tensors[made].name if made is not None else "",
            dtypes=tuple(tensors[number].dtype for number in op.inputs),
            entering=self._entering(known),
            leaving=leaving,
            own=None if pair is None else error_share(*pair),
            own_by_channel=None if pair is None else channel_error(*_channels_last(pair, op)),
            weights=tuple(self._weight(number) for number in op.weights if self._stored_as_integers(number)),
            range=None
            if made is None or before is None or after is None
            else tensor_range(before, after, tensors[made].grid),
        )

    def _entering(self, pairs: Sequence[tuple[list[Array] | None, list[Array]]]) -> float | None:
        """The worst of the inputs: one that is small beside another may matter as much."""
        shares = [error_share(before, after) for before, after in pairs if before is not None]
        return max((share for share in shares if share is not None), default=None)

    def alone(self, op: ProbedOp) -> tuple[list[Array], list[Array]] | None:
        """What both operators give alone, on the float model's values as the quantized one can hold them: that rounding is the
        error of whatever made these values. Without a counterpart (QUANTIZE) the float model's tensor itself is the measure."""
        given = [self._float(number) for number in op.inputs]
        made = self._float(op.outputs[0]) if op.outputs else None
        known = [one for one in given if one is not None]
        if made is None or not known or len(known) < len(given):
            return None
        other = self._counterpart(op)
        grids = [self.after.tensors[number].grid if other else None for number in op.inputs]
        held = [
            [
                values[at] if grid is None else grid.rounded(values[at])
                for values, grid in zip(known, grids, strict=True)
            ]
            for at in range(len(self.floats))
        ]
        after = self.after.alone(op, held)
        before = self.before.alone(other, held) if other else [[value] for value in made]
        if after is None or before is None:
            return None
        return [one[0] for one in before], [one[0] for one in after]

    def _counterpart(self, op: ProbedOp) -> ProbedOp | None:
        """What in the float model makes the same tensor from the same ones."""
        *names, made = (self._plain(number) for number in (*op.inputs, op.outputs[0]))
        return None if made in names else self.before.between(names, made)

    def _plain(self, number: int) -> str:
        return plain_name(self.after.tensors[number].name, self._by_name)

    def _float(self, number: int) -> list[Array] | None:
        """The float model's values of the tensor of the same name."""
        found = self._by_name.get(self._plain(number))
        if found is None or any(found not in one for one in self.floats):
            return None
        values = [one[found] for one in self.floats]
        alike = all(a.shape == b.shape for a, b in zip(values, self._ints(number), strict=False))
        return values if alike else None

    def _ints(self, number: int) -> list[Array]:
        return [one[number] for one in self.ints if number in one]

    def _stored_as_integers(self, number: int) -> bool:
        """A bias is rounded so finely that it is left out."""
        tensor = self.after.tensors[number]
        return tensor.scales > 0 and tensor.dtype not in ("int32", "int64")

    def _weight(self, number: int) -> Weight:
        tensor, before = self.after.tensors[number], self._float(number)
        stored = self._ints(number)
        error = error_share(before[:1], stored[:1]) if before and stored else None
        return Weight(name=tensor.name, dtype=tensor.dtype, scales=tensor.scales, error=error)


def _channels_last(pair: tuple[list[Array], list[Array]], op: ProbedOp) -> tuple[list[Array], list[Array]]:
    import numpy as np

    first, second = (
        [np.moveaxis(one, op.channel_axis, -1) if op.channel_axis < one.ndim else one for one in part]
        for part in pair
    )
    return first, second


def plain_name(name: str, known: Mapping[str, int]) -> str:
    """The float model's name of a tensor: its own, or without what a quantizer put behind it."""
    while name not in known:
        suffix = next((one for one in _SUFFIXES if name.endswith(one)), None)
        if suffix is None:
            break
        name = name.removesuffix(suffix)
    return name


def _summary(ops: Sequence[QuantizedOp], worst: Sequence[int]) -> str:
    if not ops:
        return "no operator of the model is quantized"
    saturated = max(ops, key=lambda op: (op.range.saturated if op.range else None) or 0.0)
    share = saturated.range.saturated if saturated.range else None
    clipped = (
        f"; {saturated.op} number {saturated.index} saturates most, {percent(share)} of its values"
        if share
        else ""
    )
    if not worst:
        return f"no quantized operator adds an error of its own that could be told{clipped}"
    first = ops[worst[0]]
    return (
        f"{first.op} number {first.index} adds the largest error of its own, {percent(first.own)} of the rms of what it"
        f" gives ({percent(first.entering)} enters, {percent(first.leaving)} leaves){clipped}"
    )
