"""The order of axes of image tensors, and how a result's inputs and outputs are paired with the source's. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit.errors import VerificationError
from edgekit.models.info import Signature, TensorSpec
from edgekit.models.manifest import Boundary

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

TO_NHWC, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)
_KEPT_APART = {
    "int64": ("int32",), "int16": ("int32",), "int8": ("int32",), "uint8": ("int32",), "uint16": ("int32",),
    "float64": ("float32",), "bool": ("float32", "int32"),
}  # fmt: skip
"""Dtypes that a target may lack, and what it may put in their place."""


def permutation(spec: TensorSpec, layout: str) -> tuple[int, ...] | None:
    """The axes of a source tensor in the order that the result has them; None where nothing moves."""
    if layout == "keep" or spec.layout is None or spec.layout == layout.upper():
        return None
    return TO_NHWC if layout == "nhwc" else TO_NCHW


def in_layout(signature: Signature, layout: str) -> Signature:
    """The signature that the result has: image inputs and outputs with their axes in the order asked for."""

    def moved(spec: TensorSpec) -> TensorSpec:
        perm = permutation(spec, layout)
        if perm is None:
            return spec
        shape = tuple(spec.shape[axis] for axis in perm)
        return msgspec.structs.replace(spec, shape=shape, layout=layout.upper())

    return msgspec.structs.replace(
        signature, inputs=tuple(map(moved, signature.inputs)), outputs=tuple(map(moved, signature.outputs))
    )


def with_sizes(result: Signature, source: Signature, layout: str) -> Signature:
    """A result's signature with the sizes that the source's inputs have, where it leaves them open."""
    known = {spec.name: spec.shape for spec in in_layout(source, layout).inputs}
    inputs = tuple(
        msgspec.structs.replace(spec, shape=known[spec.name]) if -1 in spec.shape else spec
        for spec in result.inputs
    )
    return msgspec.structs.replace(result, inputs=inputs)


def with_layouts(result: Signature, source: Signature, layout: str) -> Signature:
    """A result's signature with the order of axes of each image told: the source's, or the one asked for."""
    known = {spec.name: spec.layout for s in (in_layout(source, layout),) for spec in (*s.inputs, *s.outputs)}

    def told(spec: TensorSpec) -> TensorSpec:
        return msgspec.structs.replace(spec, layout=known.get(spec.name))

    return msgspec.structs.replace(
        result, inputs=tuple(map(told, result.inputs)), outputs=tuple(map(told, result.outputs))
    )


def permutations(specs: Sequence[TensorSpec], layout: str) -> dict[str, tuple[int, ...]]:
    """Those of the inputs or outputs that move, by name."""
    found = {spec.name: permutation(spec, layout) for spec in specs}
    return {name: perm for name, perm in found.items() if perm is not None}


@dataclass(frozen=True)
class Pairing:
    """How a sample for the source becomes one for the result, and the other way round for outputs.

    `inputs[i]`: (index in the source, permutation) of the result's i-th input; `outputs[i]`: (index in the result,
    permutation from the source) of the source's i-th output. `changed`: what differs, for the manifest.
    """

    inputs: tuple[tuple[int, tuple[int, ...] | None], ...]
    outputs: tuple[tuple[int, tuple[int, ...] | None], ...]
    changed: tuple[Boundary, ...]

    def to_result(self, sample: Sequence[Array]) -> list[Array]:
        """A source's sample, in the result's order and layout."""
        return [sample[at] if perm is None else sample[at].transpose(perm) for at, perm in self.inputs]

    def to_source(self, outputs: Sequence[Array]) -> list[Array]:
        """A result's outputs, in the source's order and layout."""
        return [
            outputs[at] if perm is None else outputs[at].transpose([perm.index(i) for i in range(len(perm))])
            for at, perm in self.outputs
        ]


def pair(source: Signature, result: Signature, layout: str) -> Pairing:
    """Pair inputs and outputs by name. Raises VerificationError E_SIGNATURE where names, shapes or dtypes differ by
    more than the layout asked for and a narrower dtype."""
    ins = [_find(spec, source.inputs, "input") for spec in result.inputs]
    outs = [_find(spec, result.outputs, "output") for spec in source.outputs]
    if sorted(ins) != list(range(len(source.inputs))) or sorted(outs) != list(range(len(result.outputs))):
        raise _differs(f"{_listed(source)} became {_listed(result)}")
    changed: list[Boundary] = []
    inputs = []
    for at, spec in zip(ins, result.inputs, strict=True):
        inputs.append((at, _checked("input", source.inputs[at], spec, layout, changed)))
    outputs = []
    for spec, at in zip(source.outputs, outs, strict=True):
        outputs.append((at, _checked("output", spec, result.outputs[at], layout, changed)))
    return Pairing(tuple(inputs), tuple(outputs), tuple(changed))


def _find(spec: TensorSpec, among: Sequence[TensorSpec], kind: str) -> int:
    for index, other in enumerate(among):
        if other.name == spec.name:
            return index
    raise _differs(
        f"{kind} '{spec.name}' is on one side only (the other has {', '.join(o.name for o in among)})"
    )


def _checked(
    kind: str, before: TensorSpec, after: TensorSpec, layout: str, changed: list[Boundary]
) -> tuple[int, ...] | None:
    perm = permutation(before, layout)
    expected = before.shape if perm is None else tuple(before.shape[axis] for axis in perm)
    same_rank = len(expected) == len(after.shape)
    if not same_rank or any(-1 not in (a, b) and a != b for a, b in zip(expected, after.shape, strict=True)):
        raise _differs(
            f"{kind} '{before.name}' is {list(before.shape)} and became {list(after.shape)}"
            + (f", with --layout {layout} {list(expected)} is expected" if perm else "")
        )
    if after.dtype != before.dtype and after.dtype not in _KEPT_APART.get(before.dtype, ()):
        raise _differs(f"{kind} '{before.name}' is {before.dtype} and became {after.dtype}")
    if perm is not None or after.dtype != before.dtype:
        changed.append(
            Boundary(
                name=before.name,
                kind="input" if kind == "input" else "output",
                source_dtype=before.dtype,
                dtype=after.dtype,
                source_shape=before.shape,
                shape=after.shape,
                permutation=perm,
            )
        )
    return perm


def _listed(signature: Signature) -> list[str]:
    return [spec.name for spec in (*signature.inputs, *signature.outputs)]


def _differs(what: str) -> VerificationError:
    return VerificationError(
        f"the conversion changed inputs or outputs: {what}",
        code="E_SIGNATURE",
        hint="try another --recipe or --to",
    )
