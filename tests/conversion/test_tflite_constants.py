"""Sparse constants made dense: known answers, LiteRT's own answers, and what does not fit (B2.3)."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgekit.conversion.targets.tflite_constants import NotFolded, dense, real
from edgekit.conversion.targets.tflite_file import packed, unpacked
from edgekit.models.flat import Damaged
from tests.conversion.build import Graph

schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
DENSIFY = 124


def level(size: int) -> Any:
    return SimpleNamespace(format=0, denseSize=size, arraySegments=None, arrayIndices=None)


def rows(segments: list[int], indices: list[int]) -> Any:
    return SimpleNamespace(
        format=1, denseSize=0,
        arraySegments=SimpleNamespace(values=segments), arrayIndices=SimpleNamespace(values=indices),
    )  # fmt: skip


def sparsity(order: list[int], levels: list[Any], blocks: list[int] | None = None) -> Any:
    return SimpleNamespace(traversalOrder=order, blockMap=blocks, dimMetadata=levels)


def test_compressed_rows() -> None:
    """The 3 x 4 example of https://en.wikipedia.org/wiki/Sparse_matrix, in the schema's words."""
    found = dense(
        np.array([5, 8, 3, 6], np.float16),
        [4, 4],
        sparsity([0, 1], [level(4), rows([0, 1, 2, 3, 4], [0, 1, 2, 1])]),
    )
    assert found.tolist() == [[5, 0, 0, 0], [0, 8, 0, 0], [0, 0, 3, 0], [0, 6, 0, 0]]


def test_columns_first() -> None:
    found = dense(
        np.array([1, 2, 3], np.int8), [2, 3], sparsity([1, 0], [level(3), rows([0, 1, 1, 3], [1, 0, 1])])
    )
    assert found.tolist() == [[0, 0, 2], [1, 0, 3]]


def test_blocks() -> None:
    """Two 2 x 2 blocks of a 4 x 4 matrix: upper right and lower left."""
    found = dense(
        np.arange(1, 9, dtype=np.int8), [4, 4],
        sparsity([0, 1, 2, 3], [level(2), rows([0, 1, 2], [1, 0]), level(2), level(2)], [0, 1]),
    )  # fmt: skip
    assert found.tolist() == [[0, 0, 1, 2], [0, 0, 3, 4], [5, 6, 0, 0], [7, 8, 0, 0]]


def encoded(
    values: np.ndarray[Any, Any], order: list[int], sparse: list[bool], block: tuple[int, ...]
) -> Any:
    """A dense array as the schema's tree: (values, levels). `block`: size of the blocks of each dimension, 0 for none.
    Written from the schema's comments, independent of the decoder: it walks the array element by element."""
    cut = [dim for dim, size in enumerate(block) if size]
    shape = [n // (block[dim] or 1) for dim, n in enumerate(values.shape)] + [block[dim] for dim in cut]

    def at(index: dict[int, int]) -> Any:
        place = []
        for dim in range(values.ndim):
            inner = index[values.ndim + cut.index(dim)] if dim in cut else 0
            place.append(index[dim] * (block[dim] or 1) + inner)
        return values[tuple(place)]

    def filled(prefix: list[int]) -> bool:
        rest = [range(shape[dim]) for dim in order[len(prefix) :]]
        return any(at(dict(zip(order, [*prefix, *tail], strict=True))) for tail in itertools.product(*rest))

    nodes: list[list[int]] = [[]]
    levels = []
    for depth, dim in enumerate(order):
        children: list[list[int]] = []
        segments, indices = [0], []
        for node in nodes:
            for index in range(shape[dim]):
                if not sparse[depth] or filled([*node, index]):
                    children.append([*node, index])
                    indices.append(index)
            segments.append(len(indices))
        levels.append(rows(segments, indices) if sparse[depth] else level(shape[dim]))
        nodes = children
    return [at(dict(zip(order, node, strict=True))) for node in nodes], levels, cut


CASES = [
    ((6, 8), [0, 1], [False, True], (0, 0)),
    ((6, 8), [1, 0], [False, True], (0, 0)),
    ((6, 8), [0, 1, 2, 3], [False, True, False, False], (2, 4)),
    ((8, 12), [0, 1, 2], [False, True, False], (0, 4)),
    ((4, 3, 3, 8), [0, 1, 2, 3], [False, False, False, True], (0, 0, 0, 0)),
    ((4, 2, 3, 8), [3, 0, 1, 2], [False, False, False, True], (0, 0, 0, 0)),
]


@pytest.mark.parametrize(("shape", "order", "sparse", "block"), CASES)
def test_as_litert(
    shape: tuple[int, ...], order: list[int], sparse: list[bool], block: tuple[int, ...]
) -> None:
    """What was encoded comes out, and LiteRT's DENSIFY makes the same of the same file."""
    rng = np.random.default_rng(1)
    full = np.where(rng.random(shape) < 0.2, rng.normal(size=shape), 0).astype(np.float32)
    stored, levels, cut = encoded(full, order, sparse, block)
    given = np.array(stored, np.float32)
    np.testing.assert_array_equal(dense(given, list(shape), sparsity(order, levels, cut)), full)
    np.testing.assert_array_equal(_by_litert(given, shape, order, levels, cut), full)


def _by_litert(
    values: np.ndarray[Any, Any],
    shape: tuple[int, ...],
    order: list[int],
    levels: list[Any],
    blocks: list[int],
) -> np.ndarray[Any, Any]:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    graph = Graph()
    stored, made = graph.constant("stored", values), graph.tensor("made", shape)
    graph.operator(DENSIFY, [stored], [made], schema.DensifyOptionsT())
    model = schema.ModelT.InitFromPackedBuf(graph.build([], [made], signature=False))
    tensor = model.subgraphs[0].tensors[stored]
    tensor.shape = list(shape)
    tensor.sparsity = schema.SparsityParametersT()
    tensor.sparsity.traversalOrder, tensor.sparsity.blockMap = order, blocks or None
    tensor.sparsity.dimMetadata = []
    for one in levels:
        kept = schema.DimensionMetadataT()
        kept.format, kept.denseSize = one.format, one.denseSize
        if one.format:
            kept.arraySegmentsType = kept.arrayIndicesType = schema.SparseIndexVector.Int32Vector
            kept.arraySegments, kept.arrayIndices = schema.Int32VectorT(), schema.Int32VectorT()
            kept.arraySegments.values, kept.arrayIndices.values = (
                one.arraySegments.values,
                one.arrayIndices.values,
            )
        tensor.sparsity.dimMetadata.append(kept)
    interpreter = Interpreter(
        model_content=packed(unpacked(packed(model, 1000)), 1000),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    interpreter.invoke()
    found: np.ndarray[Any, Any] = interpreter.get_tensor(made)
    return found


@pytest.mark.parametrize(
    "damaged",
    [
        sparsity([0, 1], [level(2), rows([0, 1], [0, 1])]),  # a row without a segment
        sparsity([0, 1], [level(2), rows([0, 1, 5], [0, 1])]),  # past the indices
        sparsity([0, 1], [level(2), rows([2, 1, 0], [0, 1])]),  # backwards
        sparsity([0, 1], [level(2), rows([0, 1, 2], [0, 7])]),  # outside of the dimension
        sparsity([0, 1], [level(2), rows([0, 1, 2], [0, -1])]),
        sparsity([0, 1], [level(3), rows([0, 1, 2, 2], [0, 1])]),  # more rows than there are
        sparsity([0, 0], [level(2), rows([0, 1, 2], [0, 1])]),
        sparsity([0], [level(2)]),
        sparsity([0, 1], [level(2)]),
        sparsity([0, 1, 2], [level(2), level(2), level(3)], [1]),  # blocks that do not divide
        sparsity([0, 1, 2], [level(2), level(2), level(2)], [5]),
        sparsity([0, 1], [level(2), rows([0, 2, 4], [0, 0, 0, 0])]),  # more values than are stored
        sparsity(None, None),  # type: ignore[arg-type]
    ],
)
def test_what_does_not_fit_is_damaged(damaged: Any) -> None:
    with pytest.raises(Damaged):
        dense(np.array([1, 2], np.int8), [2, 2], damaged)


def test_scales_that_do_not_fit() -> None:
    values = np.ones((2, 3), np.int8)
    bad = SimpleNamespace(scale=[1.0, 2.0, 3.0], zeroPoint=[0], quantizedDimension=0, detailsType=0)
    with pytest.raises(Damaged):
        real(values, bad)
    for quantization in (
        None,
        SimpleNamespace(scale=[], zeroPoint=[]),
        SimpleNamespace(scale=[1.0], zeroPoint=[0], detailsType=2),
    ):
        with pytest.raises(NotFolded):
            real(values, quantization)
    good = SimpleNamespace(scale=[1.0, 2.0, 4.0], zeroPoint=[1, 0, -1], quantizedDimension=1, detailsType=0)
    assert real(values, good).tolist() == [[0, 2, 8]] * 2
