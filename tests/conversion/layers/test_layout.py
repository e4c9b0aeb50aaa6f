"""Orders of axes and kinds of operators. (B1.4)"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.conversion.layers.kinds import kind_of
from edgekit.conversion.layers.layout import layouts

pytestmark = pytest.mark.base


@pytest.mark.parametrize(
    ("source", "target", "axes"),
    [
        ((1, 16, 8, 8), (1, 16, 8, 8), (0, 1, 2, 3)),
        ((1, 16, 8, 9), (1, 8, 9, 16), (0, 2, 3, 1)),
        ((2, 8, 9, 16), (2, 16, 8, 9), (0, 3, 1, 2)),
        ((1, 12, 32), (1, 32, 12), (0, 2, 1)),
        ((3, 4), (4, 3), (1, 0)),
        ((2, 3, 4, 5, 6), (6, 5, 4, 3, 2), (4, 3, 2, 1, 0)),
    ],
)
def test_the_likeliest_order_comes_first(
    source: tuple[int, ...], target: tuple[int, ...], axes: tuple[int, ...]
) -> None:
    first = next(layouts(source, target))
    assert first.axes == axes


def test_other_numbers_of_elements_have_no_order() -> None:
    assert list(layouts((2, 3), (7,))) == []


def test_a_flattened_image_is_found_in_either_order() -> None:
    image = np.arange(24.0).reshape(1, 2, 3, 4)
    flat = image.transpose(0, 2, 3, 1).reshape(1, 24)
    assert any(np.array_equal(one.apply(image, flat.shape), flat) for one in layouts(image.shape, flat.shape))
    other = image.reshape(1, 24)
    moved = image.transpose(0, 2, 3, 1)
    assert any(
        np.array_equal(one.apply(other, moved.shape), moved) for one in layouts(other.shape, moved.shape)
    )


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.data())
def test_any_transposition_up_to_rank_5_is_found(shape: list[int], data: st.DataObject) -> None:
    axes = data.draw(st.permutations(range(len(shape))))
    source = np.arange(math.prod(shape)).reshape(shape)
    target = source.transpose(axes)
    assert any(
        np.array_equal(one.apply(source, target.shape), target) for one in layouts(source.shape, target.shape)
    )


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=4), st.lists(st.integers(1, 4), min_size=1, max_size=4)
)
def test_single_values_are_looked_up_where_the_whole_has_them(one: list[int], other: list[int]) -> None:
    """`places` and `apply` are the same mapping."""
    source = np.arange(math.prod(one)).reshape(one)
    flat = np.arange(source.size)
    for layout in layouts(one, other):
        whole = layout.apply(source, other).reshape(-1)
        assert np.array_equal(source.reshape(-1)[layout.places(flat, source.shape)], whole)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("conv", ["CONV_2D", "DEPTHWISE_CONV_2D", "Conv", "aten.conv2d.default", "Conv2D", "aten.convolution.default"]),
        ("matmul", ["FULLY_CONNECTED", "BATCH_MATMUL", "MatMul", "Gemm", "aten.mm.default", "aten.linear.default", "BatchMatMulV2"]),
        ("norm", ["LayerNormalization", "aten._native_batch_norm_legit_no_training.default", "FusedBatchNormV3"]),
        ("pool", ["MAX_POOL_2D", "AveragePool", "aten.max_pool2d.default"]),
        ("softmax", ["SOFTMAX", "Softmax", "aten._softmax.default"]),
        ("relu", ["RELU6", "Clip", "aten.hardtanh.default", "Relu"]),
        ("sigmoid", ["LOGISTIC", "Sigmoid", "aten.sigmoid.default"]),
        ("transpose", ["TRANSPOSE", "Transpose", "aten.permute.default", "aten.t.default"]),
        ("shape", ["RESHAPE", "Identity", "aten.view.default", "QUANTIZE", "Cast", "aten.expand.default"]),
        ("embedding", ["GATHER", "EMBEDDING_LOOKUP", "GatherV2", "aten.embedding.default"]),
        ("mul", ["MUL", "Mul", "aten.mul.Tensor"]),
        ("add", ["ADD", "AddV2", "BiasAdd", "aten.add.Tensor"]),
        ("slice", ["STRIDED_SLICE", "Split", "aten.select.int"]),
        ("myownop", ["MyOwnOp", "MY_OWN_OP"]),
    ],
)  # fmt: skip
def test_kinds(kind: str, names: list[str]) -> None:
    assert {name: kind_of(name) for name in names} == dict.fromkeys(names, kind)
