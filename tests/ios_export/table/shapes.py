"""Rows of operators that make, move, pick and reduce elements, against PyTorch, numpy or the definition."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import torch
from coremltools.converters.mil import Builder as mb  # noqa: N813
from torch.nn import functional as F  # noqa: N812

from tests.ios_export.table.elementwise import by_torch
from tests.ios_export.table.row import Row, normal, rng, whole

X = normal(2, 3, 4, seed=30)
IMAGE = normal(4, 8, 6, 4, seed=31)


def reduction(operator: str, function: Callable[..., Any], x: Any = X) -> list[Row]:
    return [
        Row(operator, (x,), lambda x: getattr(mb, operator)(x=x, axes=[0, -1], keep_dims=True),
            lambda x: function(x.astype(float), axis=(0, 2), keepdims=True), name="axes"),
        Row(operator, (x,), lambda x: getattr(mb, operator)(x=x, axes=[1], keep_dims=False),
            lambda x: function(x.astype(float), axis=(1,), keepdims=False), name="drop"),
        Row(operator, (x,), lambda x: mb.expand_dims(x=getattr(mb, operator)(x=x), axes=[0]),
            lambda x: function(x.astype(float), axis=(0, 1, 2), keepdims=False)[None], name="all"),
    ]  # fmt: skip


def log_sum_exp(x: Any, **given: Any) -> Any:
    return np.log(np.sum(np.exp(x), **given))


REDUCE = [
    *reduction("reduce_l1_norm", lambda x, **given: np.sum(np.abs(x), **given)),
    *reduction("reduce_l2_norm", lambda x, **given: np.sqrt(np.sum(x * x, **given))),
    *reduction("reduce_log_sum", lambda x, **given: np.log(np.sum(x, **given)), np.abs(X)),
    *reduction("reduce_log_sum_exp", log_sum_exp),
    *reduction("reduce_max", np.max),
    *reduction("reduce_mean", np.mean),
    *reduction("reduce_min", np.min),
    *reduction("reduce_prod", np.prod),
    *reduction("reduce_sum", np.sum),
    *reduction("reduce_sum_square", lambda x, **given: np.sum(x * x, **given)),
    Row("reduce_argmax", (X,), lambda x: mb.reduce_argmax(x=x, axis=1), by_torch(lambda x: x.argmax(1))),
    Row("reduce_argmin", (X,), lambda x: mb.reduce_argmin(x=x, axis=-1, keep_dims=True),
        by_torch(lambda x: x.argmin(-1, keepdim=True))),
]  # fmt: skip

SHAPING = [
    Row("shape", (X,), lambda x: mb.shape(x=x), lambda x: np.array([2, 3, 4])),
    Row("reshape", (X,), lambda x: mb.reshape(x=x, shape=[4, -1]), lambda x: x.reshape(4, 6)),
    Row("reshape", (X,), lambda x: mb.reshape(x=x, shape=[1, 0, -1, 0]), lambda x: x.reshape(1, 2, 3, 4)[:, :, :],
        name="zeros"),
    Row("reshape_like", (X, normal(2, 3, 9), normal(1, 2, 2)),
        lambda x, a, b: mb.reshape_like(x=x, ref_tensors=(a, b), begins=(0, 1), ends=(2, 0), end_masks=(False, True)),
        lambda x, a, b: x.reshape(2, 3, 2, 2)),
    Row("expand_dims", (X,), lambda x: mb.expand_dims(x=x, axes=[0, -1]), lambda x: x[None, ..., None]),
    Row("squeeze", (normal(1, 3, 1, 2),), lambda x: mb.squeeze(x=x, axes=[0]), lambda x: x[0]),
    Row("squeeze", (normal(1, 3, 1, 2),), lambda x: mb.squeeze(x=x), lambda x: x[0, :, 0], name="all"),
    Row("flatten2d", (X,), lambda x: mb.flatten2d(x=x, axis=2), lambda x: x.reshape(6, 4)),
    Row("flatten2d", (X,), lambda x: mb.flatten2d(x=x, axis=-2), lambda x: x.reshape(2, 12), name="negative"),
    Row("transpose", (X,), lambda x: mb.transpose(x=x, perm=[2, 0, -2]), by_torch(lambda x: x.permute(2, 0, 1))),
    Row("reverse", (X,), lambda x: mb.reverse(x=x, axes=[0, 2]), by_torch(lambda x: x.flip(0, 2))),
    Row("reverse", (X,), lambda x: mb.reverse(x=x), by_torch(lambda x: x.flip(0, 1, 2)), name="all"),
    Row("reverse_sequence", (normal(3, 5, 2),),
        lambda x: mb.reverse_sequence(x=x, lengths=[2, 5, 0], seq_axis=1, batch_axis=0),
        lambda x: np.stack([np.concatenate([x[i, :n][::-1], x[i, n:]]) for i, n in enumerate((2, 5, 0))])),
    Row("pixel_shuffle", (IMAGE,), lambda x: mb.pixel_shuffle(x=x, upscale_factor=2), by_torch(lambda x: F.pixel_shuffle(x, 2))),
    Row("pixel_unshuffle", (IMAGE,), lambda x: mb.pixel_unshuffle(x=x, downscale_factor=np.uint32(2)),
        by_torch(lambda x: F.pixel_unshuffle(x, 2))),
    Row("depth_to_space", (IMAGE,), lambda x: mb.depth_to_space(x=x, block_size=2), lambda x: deep(x, 2)),
    Row("space_to_depth", (IMAGE,), lambda x: mb.space_to_depth(x=x, block_size=2), lambda x: shallow(x, 2)),
    Row("space_to_batch", (IMAGE,), lambda x: mb.space_to_batch(x=x, block_shape=[2, 3], paddings=[[1, 1], [2, 0]]),
        lambda x: batched(np.pad(x, ((0, 0), (0, 0), (1, 1), (2, 0))), 2, 3)),
    Row("batch_to_space", (normal(12, 2, 3, 4),),
        lambda x: mb.batch_to_space(x=x, block_shape=[2, 3], crops=[[1, 0], [2, 1]]),
        lambda x: unbatched(x, 2, 3)[:, :, 1:, 2:-1]),
]  # fmt: skip


def deep(x: Any, block: int) -> Any:
    """tf.nn.depth_to_space for NCHW, element by element."""
    n, channels, height, width = x.shape
    made = np.zeros((n, channels // block**2, height * block, width * block))
    for i, j, c in product(range(block), range(block), range(made.shape[1])):
        made[:, c, i::block, j::block] = x[:, (i * block + j) * made.shape[1] + c]
    return made


def shallow(x: Any, block: int) -> Any:
    return np.concatenate([x[:, :, i::block, j::block] for i, j in product(range(block), range(block))], 1)


def batched(x: Any, high: int, wide: int) -> Any:
    """tf.space_to_batch_nd, element by element."""
    return np.concatenate([x[:, :, i::high, j::wide] for i, j in product(range(high), range(wide))])


def unbatched(x: Any, high: int, wide: int) -> Any:
    n = len(x) // (high * wide)
    made = np.zeros((n, x.shape[1], x.shape[2] * high, x.shape[3] * wide))
    for k, (i, j) in enumerate(product(range(high), range(wide))):
        made[:, :, i::high, j::wide] = x[k * n : (k + 1) * n]
    return made


TRUE3, FALSE3 = [True, False, False], [False, False, True]

SLICING = [
    Row("slice_by_index", (X,), lambda x: mb.slice_by_index(x=x, begin=[0, 1, 3], end=[2, 3, 0], stride=[1, 1, -2]),
        lambda x: x[0:2, 1:3, 3:0:-2]),
    Row("slice_by_index", (X,),
        lambda x: mb.slice_by_index(x=x, begin=[9, -2, 1], end=[2, 9, 0], begin_mask=TRUE3, end_mask=FALSE3,
                                    squeeze_mask=[False, True, False]),
        lambda x: x[:2, -2, 1:], name="masks"),
    Row("slice_update", (X, normal(2, 2, 4)), lambda x, u: mb.slice_update(x=x, update=u, begin=[0, 0, 0], end=[2, 3, 4],
                                                                           stride=[1, 2, 1]),
        lambda x, u: np.stack([u[:, 0], x[:, 1], u[:, 1]], 1), target="iOS18"),
    Row("slice_by_size", (X,), lambda x: mb.slice_by_size(x=x, begin=[0, 1, 2], size=[1, -1, 2]), lambda x: x[:1, 1:, 2:4]),
    Row("concat", (X, normal(2, 1, 4)), lambda x, y: mb.concat(values=(x, y), axis=1), lambda x, y: np.concatenate([x, y], 1)),
    Row("concat", (X, X + 9), lambda x, y: mb.concat(values=(x, y), axis=-1, interleave=True),
        lambda x, y: np.stack([x, y], -1).reshape(2, 3, 8), name="interleave"),
    Row("split", (X,), lambda x: mb.split(x=x, num_splits=2, axis=2), lambda x: (x[..., :2], x[..., 2:])),
    Row("split", (X,), lambda x: mb.split(x=x, split_sizes=[1, 2], axis=1), lambda x: (x[:, :1], x[:, 1:]), name="sizes"),
    Row("stack", (X, X + 9), lambda x, y: mb.stack(values=(x, y), axis=-1), lambda x, y: np.stack([x, y], -1)),
    Row("sliding_windows", (X,), lambda x: mb.sliding_windows(x=x, axis=2, size=2, stride=2),
        by_torch(lambda x: x.unfold(2, 2, 2))),
    Row("sliding_windows", (X,), lambda x: mb.sliding_windows(x=x, axis=1, size=2),
        lambda x: np.stack([x[:, 0:2], x[:, 1:3]], 1), name="middle"),
    Row("crop", (IMAGE,), lambda x: mb.crop(x=x, crop_height=[1, 2], crop_width=[0, 1]), lambda x: x[:, :, 1:-2, :-1]),
]  # fmt: skip

TENSORS = [
    Row("fill", (X,), lambda x: mb.add(x=x, y=mb.fill(shape=mb.shape(x=x), value=2.5)), lambda x: x + 2.5),
    Row("fill_like", (X,), lambda x: mb.fill_like(ref_tensor=x, value=2.5), lambda x: np.full(x.shape, 2.5)),
    Row("range_1d", (np.array([7], np.int32),),
        lambda e: mb.range_1d(start=1, end=mb.squeeze(x=e), step=2), lambda e: np.arange(1, 7, 2)),
    Row("tile", (X,), lambda x: mb.tile(x=x, reps=[2, 1, 3]), by_torch(lambda x: x.repeat(2, 1, 3))),
    Row("pad", (X,), lambda x: mb.pad(x=x, pad=[1, 0, 2, 3], mode="constant", constant_val=1.5),
        by_torch(lambda x: F.pad(x, (2, 3, 1, 0), value=1.5))),
    Row("pad", (X,), lambda x: mb.pad(x=x, pad=[1, 2, 2, 3], mode="reflect"),
        by_torch(lambda x: F.pad(x[None], (2, 3, 1, 2), mode="reflect")[0]), name="reflect"),
    Row("pad", (X,), lambda x: mb.pad(x=x, pad=[1, 2, 2, 3], mode="replicate"),
        by_torch(lambda x: F.pad(x[None], (2, 3, 1, 2), mode="replicate")[0]), name="replicate"),
    *(Row("band_part", (normal(2, 4, 5),), build, by_torch(function), name=name) for name, build, function in (
        ("upper", lambda x: mb.band_part(x=x, lower=0, upper=-1), torch.triu),
        ("lower", lambda x: mb.band_part(x=x, lower=-1, upper=0), torch.tril),
        ("band", lambda x: mb.band_part(x=x, lower=1, upper=2), lambda x: x.tril(2).triu(-1)),
    )),
    Row("cumsum", (X,), lambda x: mb.cumsum(x=x, axis=1), by_torch(lambda x: x.cumsum(1))),
    Row("cumsum", (X,), lambda x: mb.cumsum(x=x, axis=2, exclusive=True, reverse=True),
        by_torch(lambda x: x.flip(2).cumsum(2).flip(2) - x), name="exclusive_reverse"),
    Row("non_zero", (np.array([[0, 3, 0], [1, 0, 2]], np.float32),), lambda x: mb.non_zero(x=x), by_torch(torch.nonzero)),
    Row("argsort", (X,), lambda x: mb.argsort(x=x, axis=1), by_torch(lambda x: x.argsort(1, descending=True))),
    Row("argsort", (X,), lambda x: mb.argsort(x=x, axis=-1, ascending=True), by_torch(lambda x: x.argsort(-1)),
        name="ascending"),
    Row("topk", (X,), lambda x: mb.topk(x=x, k=2, axis=2), lambda x: tuple(t.numpy() for t in torch.from_numpy(x).topk(2))),
    Row("topk", (X,), lambda x: mb.topk(x=x, k=2, axis=1, ascending=True),
        lambda x: tuple(t.numpy() for t in torch.from_numpy(x).topk(2, 1, largest=False)), name="ascending"),
    Row("topk", (X,), lambda x: mb.topk(x=x, k=2, axis=1, return_indices=False),
        by_torch(lambda x: x.topk(2, 1).values), name="values"),
    Row("one_hot", (whole(2, 3, high=4),), lambda x: mb.one_hot(indices=x, one_hot_vector_size=4, on_value=2.0, off_value=-1.0),
        by_torch(lambda x: F.one_hot(x.long(), 4) * 3 - 1)),
    Row("one_hot", (whole(2, 3, high=4),), lambda x: mb.one_hot(indices=x, one_hot_vector_size=4, axis=1),
        by_torch(lambda x: F.one_hot(x.long(), 4).movedim(-1, 1)), name="axis"),
]  # fmt: skip

TABLE = normal(7, 4, 3, seed=32)
ROWS_AT = whole(2, 5, high=7, seed=33)


def scattered(operator: str, mode: str) -> Row:
    """Each update by itself, in a loop: indices come twice."""
    data, indices, updates = (
        np.abs(normal(5, 3)) + 1,
        whole(4, high=5, seed=3),
        np.abs(normal(4, 3, seed=4)) + 1,
    )
    if operator == "scatter_along_axis":
        indices = whole(4, 3, high=5, seed=3)
    if operator == "scatter_nd":
        indices = indices[:, None]
    if mode == "update":  # which of two wins is not defined
        indices = (
            np.argsort(rng(1).random((5, 3)), 0)[:4]
            if operator == "scatter_along_axis"
            else np.array([3, 0, 4, 1]).reshape(indices.shape)
        ).astype(np.int32)
    combine = {
        "update": lambda old, new: new, "add": lambda old, new: old + new, "sub": lambda old, new: old - new,
        "mul": lambda old, new: old * new, "div": lambda old, new: old / new, "max": max, "min": min,
    }[mode]  # fmt: skip

    def expect(data: Any, indices: Any, updates: Any) -> Any:
        made = data.astype(float)
        for i, j in np.ndindex(*updates.shape):
            at = indices[i, j] if operator == "scatter_along_axis" else indices.reshape(-1)[i]
            made[at, j] = combine(made[at, j], updates[i, j])
        return made

    axis = {} if operator == "scatter_nd" else {"axis": 0}
    return Row(
        operator, (data, indices, updates),
        lambda d, i, u: getattr(mb, operator)(data=d, indices=i, updates=u, mode=mode, **axis), expect, name=mode,
    )  # fmt: skip


INDEXING = [
    Row("gather", (TABLE, ROWS_AT), lambda x, i: mb.gather(x=x, indices=i, axis=0),
        by_torch(lambda x, i: F.embedding(i.long(), x.flatten(1)).reshape(2, 5, 4, 3))),
    Row("gather", (TABLE,), lambda x: mb.gather(x=x, indices=np.int32(2), axis=1), lambda x: x[:, 2], name="scalar"),
    Row("gather", (normal(2, 6, 4), whole(2, 3, high=4)), lambda x, i: mb.gather(x=x, indices=i, axis=2, batch_dims=1),
        lambda x, i: np.stack([x[b][:, i[b]] for b in range(2)]), name="batch"),
    Row("gather_along_axis", (TABLE, whole(2, 4, 3, high=7)), lambda x, i: mb.gather_along_axis(x=x, indices=i, axis=0),
        by_torch(lambda x, i: x.gather(0, i.long()))),
    Row("gather_nd", (TABLE, np.array([[1, 2], [6, 0]], np.int32)), lambda x, i: mb.gather_nd(x=x, indices=i),
        lambda x, i: np.stack([x[1, 2], x[6, 0]])),
    Row("gather_nd", (TABLE[:2], np.array([[[1], [3]], [[0], [2]]], np.int32)),
        lambda x, i: mb.gather_nd(x=x, indices=i, batch_dims=1),
        lambda x, i: np.stack([x[0, [1, 3]], x[1, [0, 2]]]), name="batch"),
    *(scattered(operator, mode) for operator in ("scatter", "scatter_along_axis", "scatter_nd")
      for mode in ("update", "add", "sub", "mul", "div", "max", "min")),
]  # fmt: skip

ROWS = [*REDUCE, *SHAPING, *SLICING, *TENSORS, *INDEXING]
