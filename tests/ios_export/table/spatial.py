"""Rows of convolution, pooling, normalization, products, resizing and recurrent layers, against PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from coremltools.converters.mil import Builder as mb  # noqa: N813
from torch import nn
from torch.nn import functional as F  # noqa: N812

from tests.ios_export.table.elementwise import by_torch
from tests.ios_export.table.row import Row, normal

IMAGE = normal(2, 4, 9, 7, seed=5)
LINE = normal(2, 4, 11, seed=6)
VOLUME = normal(1, 2, 5, 6, 4, seed=7)
BIAS = normal(6, seed=8)


def double(array: Any) -> torch.Tensor:
    return torch.from_numpy(np.asarray(array, np.float64))


def conv(name: str, x: Any, weight: Any, reference: dict[str, Any], /, **given: Any) -> Row:
    function = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}[x.ndim]
    pad = reference.pop("pad", None)

    def expect(x: Any) -> Any:
        padded = F.pad(double(x), pad) if pad else double(x)
        bias = double(given["bias"]) if "bias" in given else None
        return function(padded, double(weight), bias, **reference).numpy()

    return Row("conv", (x,), lambda x: mb.conv(x=x, weight=weight, **given), expect, name=name)


CONV = [
    conv("plain", IMAGE, normal(6, 4, 3, 2), {}, pad_type="valid", bias=BIAS),
    conv("strides", IMAGE, normal(6, 4, 3, 3), {"stride": (2, 3)}, pad_type="valid", strides=[2, 3]),
    conv("dilations", IMAGE, normal(6, 4, 3, 2), {"dilation": (2, 3)}, pad_type="valid", dilations=[2, 3]),
    conv("custom", IMAGE, normal(6, 4, 3, 3), {"pad": (0, 3, 1, 2)}, pad_type="custom", pad=[1, 2, 0, 3]),
    conv("same", IMAGE, normal(6, 4, 4, 2), {"pad": (0, 1, 1, 2)}, pad_type="same"),
    conv("same_lower", IMAGE, normal(6, 4, 4, 2), {"pad": (1, 0, 2, 1)}, pad_type="same_lower"),
    conv("same_strides", IMAGE, normal(6, 4, 3, 4), {"stride": 2, "pad": (1, 2, 1, 1)}, pad_type="same", strides=[2, 2]),
    conv("groups", IMAGE, normal(6, 2, 3, 3), {"groups": 2}, pad_type="valid", groups=2, bias=BIAS),
    conv("depthwise", IMAGE, normal(8, 1, 3, 3), {"groups": 4}, pad_type="valid", groups=4),
    conv("line", LINE, normal(6, 4, 3), {"stride": 2, "pad": (1, 1)}, pad_type="custom", pad=[1, 1], strides=[2]),
    conv("volume", VOLUME, normal(3, 2, 2, 3, 2), {}, pad_type="valid"),
]  # fmt: skip


def transposed(name: str, x: Any, weight: Any, reference: dict[str, Any], /, **given: Any) -> Row:
    function = {3: F.conv_transpose1d, 4: F.conv_transpose2d, 5: F.conv_transpose3d}[x.ndim]
    bias = double(given["bias"]) if "bias" in given else None
    return Row(
        "conv_transpose",
        (x,),
        lambda x: mb.conv_transpose(x=x, weight=weight, **given),
        lambda x: function(double(x), double(weight), bias, **reference).numpy(),
        name=name,
    )


TRANSPOSED = [
    transposed("plain", IMAGE, normal(4, 6, 3, 2), {}, pad_type="valid", bias=BIAS),
    transposed("strides", IMAGE, normal(4, 6, 3, 3), {"stride": (2, 3)}, pad_type="valid", strides=[2, 3]),
    transposed("gaps", IMAGE, normal(4, 6, 1, 2), {"stride": (2, 3)}, pad_type="valid", strides=[2, 3]),
    transposed(
        "custom", IMAGE, normal(4, 6, 3, 4), {"stride": 2, "padding": (1, 2)}, pad_type="custom", pad=[1, 1, 2, 2],
        strides=[2, 2],
    ),
    transposed("dilations", IMAGE, normal(4, 6, 3, 2), {"dilation": 2}, pad_type="valid", dilations=[2, 2]),
    transposed("groups", IMAGE, normal(4, 3, 3, 3), {"groups": 2, "stride": 2}, pad_type="valid", groups=2,
               strides=[2, 2], bias=BIAS),
    transposed(
        "output_shape", IMAGE, normal(4, 6, 3, 3), {"stride": 2, "padding": 1, "output_padding": 1},
        pad_type="custom", pad=[1, 1, 1, 1], strides=[2, 2], output_shape=[2, 6, 18, 14],
    ),
    transposed("line", LINE, normal(4, 6, 3), {"stride": 2}, pad_type="valid", strides=[2]),
    transposed("volume", VOLUME, normal(2, 3, 2, 3, 2), {"stride": 2}, pad_type="valid", strides=[2, 2, 2]),
    Row(
        "conv_transpose", (LINE,),
        lambda x: mb.conv_transpose(x=x, weight=normal(4, 6, 3), pad_type="same", strides=[2]),
        lambda x: F.conv_transpose1d(double(x), double(normal(4, 6, 3)), stride=2).numpy()[:, :, :22], name="same",
    ),
]  # fmt: skip


def pool(operator: str, name: str, x: Any, expect: Callable[..., Any], **given: Any) -> Row:
    return Row(operator, (x,), lambda x: getattr(mb, operator)(x=x, **given), by_torch(expect), name=name)


POOL = [
    pool("max_pool", "plain", IMAGE, lambda x: F.max_pool2d(x, 2), kernel_sizes=[2, 2], strides=[2, 2], pad_type="valid"),
    pool("max_pool", "pad", -np.abs(IMAGE), lambda x: F.max_pool2d(x, 3, 2, 1), kernel_sizes=[3, 3], strides=[2, 2],
         pad_type="custom", pad=[1, 1, 1, 1]),
    pool("max_pool", "ceil", IMAGE, lambda x: F.max_pool2d(x, 2, 2, ceil_mode=True), kernel_sizes=[2, 2], strides=[2, 2],
         pad_type="valid", ceil_mode=True),
    pool("max_pool", "ceil_pad", IMAGE, lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True), kernel_sizes=[3, 3],
         strides=[2, 2], pad_type="custom", pad=[1, 1, 1, 1], ceil_mode=True),
    pool("max_pool", "same", IMAGE, lambda x: F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-1e9), 2, 2),
         kernel_sizes=[2, 2], strides=[2, 2], pad_type="same"),
    pool("max_pool", "line", LINE, lambda x: F.max_pool1d(x, 3, 2), kernel_sizes=[3], strides=[2], pad_type="valid"),
    pool("max_pool", "volume", VOLUME, lambda x: F.max_pool3d(x, 2, 2), kernel_sizes=[2, 2, 2], strides=[2, 2, 2],
         pad_type="valid"),
    pool("avg_pool", "plain", IMAGE, lambda x: F.avg_pool2d(x, 2), kernel_sizes=[2, 2], strides=[2, 2], pad_type="valid"),
    pool("avg_pool", "pad", IMAGE, lambda x: F.avg_pool2d(x, 3, 2, 1), kernel_sizes=[3, 3], strides=[2, 2],
         pad_type="custom", pad=[1, 1, 1, 1]),
    pool("avg_pool", "exclude", IMAGE, lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), kernel_sizes=[3, 3],
         strides=[2, 2], pad_type="custom", pad=[1, 1, 1, 1], exclude_padding_from_average=True),
    pool("avg_pool", "ceil", IMAGE, lambda x: F.avg_pool2d(x, 2, 2, ceil_mode=True), kernel_sizes=[2, 2],
         strides=[2, 2], pad_type="valid", ceil_mode=True),
    pool("avg_pool", "ceil_pad", IMAGE, lambda x: F.avg_pool2d(x, 4, 3, 1, ceil_mode=True), kernel_sizes=[4, 4],
         strides=[3, 3], pad_type="custom", pad=[1, 1, 1, 1], ceil_mode=True),
    pool("l2_pool", "plain", IMAGE, lambda x: F.lp_pool2d(x, 2, 2), kernel_sizes=[2, 2], strides=[2, 2], pad_type="valid"),
]  # fmt: skip

MEAN, VARIANCE = normal(4, seed=9), np.abs(normal(4, seed=10)) + 0.3
GAMMA, BETA = normal(4, seed=11), normal(4, seed=12)
GAMMA2, BETA2 = normal(9, 7, seed=13), normal(9, 7, seed=14)

NORM = [
    Row(
        "batch_norm", (IMAGE,),
        lambda x: mb.batch_norm(x=x, mean=MEAN, variance=VARIANCE, gamma=GAMMA, beta=BETA, epsilon=1e-3),
        by_torch(lambda x: F.batch_norm(x, double(MEAN), double(VARIANCE), double(GAMMA), double(BETA), eps=1e-3)),
    ),
    Row(
        "batch_norm", (LINE,), lambda x: mb.batch_norm(x=x, mean=MEAN, variance=VARIANCE),
        by_torch(lambda x: F.batch_norm(x, double(MEAN), double(VARIANCE))), name="default",
    ),
    Row(
        "instance_norm", (IMAGE,), lambda x: mb.instance_norm(x=x, gamma=GAMMA, beta=BETA, epsilon=1e-2),
        by_torch(lambda x: F.instance_norm(x, weight=double(GAMMA), bias=double(BETA), eps=1e-2)),
    ),
    Row(
        "layer_norm", (IMAGE,), lambda x: mb.layer_norm(x=x, axes=[2, 3], gamma=GAMMA2, beta=BETA2, epsilon=1e-3),
        by_torch(lambda x: F.layer_norm(x, (9, 7), double(GAMMA2), double(BETA2), 1e-3)),
    ),
    Row(
        "layer_norm", (IMAGE,), lambda x: mb.layer_norm(x=x, axes=[1], gamma=GAMMA, beta=BETA),
        by_torch(lambda x: F.layer_norm(x.movedim(1, -1), (4,), double(GAMMA), double(BETA)).movedim(-1, 1)),
        name="channels",
    ),
    Row(
        "l2_norm", (IMAGE,), lambda x: mb.l2_norm(x=x, epsilon=0.1),
        by_torch(lambda x: x / torch.sqrt((x * x).sum((1, 2, 3), keepdim=True) + 0.1)),
    ),
    Row(
        "local_response_norm", (IMAGE,), lambda x: mb.local_response_norm(x=x, size=3, alpha=0.5, beta=0.6, k=1.5),
        by_torch(lambda x: F.local_response_norm(x, 3, 0.5, 0.6, 1.5)),
    ),
]  # fmt: skip

WEIGHT = normal(6, 7, seed=15)
QUERY, KEY, VALUE = normal(2, 3, 5, 8, seed=16), normal(2, 3, 6, 8, seed=17), normal(2, 3, 6, 4, seed=18)
MASK = normal(5, 6, seed=19)

PRODUCTS = [
    Row("linear", (IMAGE[0],), lambda x: mb.linear(x=x, weight=WEIGHT, bias=BIAS),
        by_torch(lambda x: F.linear(x, double(WEIGHT), double(BIAS)))),
    Row("linear", (IMAGE[0, 0],), lambda x: mb.linear(x=x, weight=WEIGHT), by_torch(lambda x: x @ double(WEIGHT).T),
        name="no_bias"),
    Row("matmul", (normal(2, 1, 3, 4), normal(3, 4, 5)), lambda x, y: mb.matmul(x=x, y=y), by_torch(torch.matmul)),
    Row("matmul", (normal(2, 4, 3), normal(2, 5, 4)), lambda x, y: mb.matmul(x=x, y=y, transpose_x=True, transpose_y=True),
        by_torch(lambda x, y: x.mT @ y.mT), name="transpose"),
    Row("matmul", (normal(4), normal(4, 5)), lambda x, y: mb.matmul(x=x, y=y), by_torch(torch.matmul), name="vector"),
    Row("einsum", (normal(2, 3, 4, 5), normal(2, 5, 4, 6)),
        lambda x, y: mb.einsum(values=(x, y), equation="nchw,nwhu->nchu"),
        by_torch(lambda x, y: torch.einsum("nchw,nwhu->nchu", x, y))),
    Row("einsum", (normal(3, 4, 5), normal(5, 4, 6)), lambda x, y: mb.einsum(values=(x, y), equation="chw,whr->chr"),
        by_torch(lambda x, y: torch.einsum("chw,whr->chr", x, y)), name="rank3"),
    Row("scaled_dot_product_attention", (QUERY, KEY, VALUE),
        lambda q, k, v: mb.scaled_dot_product_attention(query=q, key=k, value=v),
        by_torch(F.scaled_dot_product_attention), target="iOS18"),
    Row("scaled_dot_product_attention", (QUERY, KEY, VALUE, MASK),
        lambda q, k, v, m: mb.scaled_dot_product_attention(query=q, key=k, value=v, attn_mask=m),
        by_torch(F.scaled_dot_product_attention), target="iOS18", name="mask"),
    Row("scaled_dot_product_attention", (QUERY, KEY, VALUE),
        lambda q, k, v: mb.scaled_dot_product_attention(query=q, key=k, value=v, attn_mask=np.tril(np.ones((5, 6), bool))),
        by_torch(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, torch.ones(5, 6, dtype=torch.bool).tril())),
        target="iOS18", name="bools"),
]  # fmt: skip


def axis_weights(places: list[float], size: int) -> np.ndarray[Any, Any]:
    """For each sample the share that each element has in it."""
    shares = np.zeros((len(places), size))
    for row, place in enumerate(places):
        for column in range(size):
            shares[row, column] = max(0.0, 1 - abs(min(max(place, 0), size - 1) - column))
    return shares


def sampled(mode: str, size: int, wanted: int) -> np.ndarray[Any, Any]:
    """The grid as the documentation of resize_bilinear writes it."""
    spacing = {
        "STRICT_ALIGN_CORNERS": (size - 1) / (wanted - 1),
        "ALIGN_CORNERS": (size - 1) / (wanted - 1),
        "DEFAULT": (size - size / wanted) / (wanted - 1),
        "OFFSET_CORNERS": max(1, size - 1) / wanted,
        "UNALIGN_CORNERS": size / wanted,
    }[mode]
    first = {"OFFSET_CORNERS": 0.5 * spacing, "UNALIGN_CORNERS": 0.5 * spacing - 0.5}.get(mode, 0.0)
    return axis_weights([first + i * spacing for i in range(wanted)], size)


def resized(mode: str) -> list[Row]:
    def expect(x: Any) -> Any:
        return np.einsum("nchw,ih,jw->ncij", x.astype(float), sampled(mode, 9, 13), sampled(mode, 7, 5))

    return [
        Row("resize_bilinear", (IMAGE,),
            lambda x: mb.resize_bilinear(x=x, target_size_height=13, target_size_width=5, sampling_mode=mode),
            expect, name=mode),
        Row("resize", (IMAGE,),
            lambda x: mb.resize(x=x, shape=[13, 5], resized_dims=np.uint32(2), interpolation_mode="LINEAR",
                                sampling_mode=mode), expect, name=mode),
    ]  # fmt: skip


RESIZE = [
    *(row for mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS", "DEFAULT", "OFFSET_CORNERS", "UNALIGN_CORNERS")
      for row in resized(mode)),
    Row("resize_bilinear", (IMAGE,),
        lambda x: mb.resize_bilinear(x=x, target_size_height=1, target_size_width=1, sampling_mode="ALIGN_CORNERS"),
        lambda x: x.astype(float)[:, :, 4:5, 3:4], name="one"),
    Row("resize", (IMAGE,),
        lambda x: mb.resize(x=x, shape=[1, 18, 0], resized_dims=np.uint32(2), interpolation_mode="NEAREST_NEIGHBOR",
                            sampling_mode="DEFAULT"), lambda x: np.repeat(x, 2, 2), name="nearest"),
    Row("resize_nearest_neighbor", (IMAGE,),
        lambda x: mb.resize_nearest_neighbor(x=x, target_size_height=13, target_size_width=5),
        by_torch(lambda x: F.interpolate(x, (13, 5), mode="nearest"))),
    Row("upsample_nearest_neighbor", (IMAGE,),
        lambda x: mb.upsample_nearest_neighbor(x=x, scale_factor_height=2, scale_factor_width=3),
        by_torch(lambda x: F.interpolate(x, scale_factor=(2, 3), mode="nearest"))),
    Row("upsample_bilinear", (IMAGE,),
        lambda x: mb.upsample_bilinear(x=x, scale_factor_height=2, scale_factor_width=3, align_corners=True),
        by_torch(lambda x: F.interpolate(x, scale_factor=(2, 3), mode="bilinear", align_corners=True))),
    Row("upsample_bilinear", (IMAGE,),
        lambda x: mb.upsample_bilinear(x=x, scale_factor_height=2, scale_factor_width=3, align_corners=False),
        by_torch(lambda x: F.interpolate(x, scale_factor=(2, 3), mode="bilinear")), name="half_pixel"),
    Row("upsample_bilinear", (IMAGE,),
        lambda x: mb.upsample_bilinear(x=x, scale_factor_height=2, scale_factor_width=2, align_corners=False,
                                       half_pixel_centers=False),
        lambda x: np.einsum("nchw,ih,jw->ncij", x.astype(float), sampled("DEFAULT", 9, 18), sampled("DEFAULT", 7, 14)),
        name="corner"),
]  # fmt: skip

STEPS = normal(6, 2, 5, seed=20)
HIDDEN, CELL = normal(2, 6, seed=21), normal(2, 6, seed=22)


def gates(weight: Any) -> Any:
    """PyTorch's order of gates (input, forget, cell, output) in MIL's (input, forget, output, cell)."""
    i, f, z, o = np.split(weight, 4)
    return np.concatenate([i, f, o, z])


def lstm(direction: str, output_sequence: bool) -> Row:
    torch.manual_seed(0)
    size = 3 if direction == "bidirectional" else 6
    net = nn.LSTM(5, size, bidirectional=direction == "bidirectional").double()
    weights = {key: value.detach().numpy().astype(np.float32) for key, value in net.named_parameters()}
    net.load_state_dict({key: double(value) for key, value in weights.items()})
    given: dict[str, Any] = {}
    for ours, theirs in (("", ""), ("_back", "_reverse")):
        if f"weight_ih_l0{theirs}" in weights:
            given[f"weight_ih{ours}"] = gates(weights[f"weight_ih_l0{theirs}"])
            given[f"weight_hh{ours}"] = gates(weights[f"weight_hh_l0{theirs}"])
            given[f"bias{ours}"] = gates(weights[f"bias_ih_l0{theirs}"] + weights[f"bias_hh_l0{theirs}"])

    def expect(x: Any, h: Any, c: Any) -> Any:
        x = x[::-1].copy() if direction == "reverse" else x
        states = (double(h), double(c))
        if direction == "bidirectional":
            states = (states[0].reshape(2, 2, 3).transpose(0, 1), states[1].reshape(2, 2, 3).transpose(0, 1))
            y, (hn, cn) = net(double(x), (states[0].contiguous(), states[1].contiguous()))
        else:
            y, (hn, cn) = net(double(x), (states[0][None], states[1][None]))
        hn, cn = (s.transpose(0, 1).reshape(2, 6).detach().numpy() for s in (hn, cn))
        return (y.detach().numpy() if output_sequence else hn[None]), hn, cn

    return Row(
        "lstm", (STEPS, HIDDEN, CELL),
        lambda x, h, c: mb.lstm(x=x, initial_h=h, initial_c=c, direction=direction, output_sequence=output_sequence, **given),
        expect, name=f"{direction}{'-sequence' * output_sequence}",
    )  # fmt: skip


def lstm_by_definition() -> Row:
    """Peepholes and other activations, which PyTorch has not: the formulas of the documentation, step by step."""
    weight, recurrent, bias, peephole = normal(24, 5), normal(24, 6, scale=0.3), normal(24), normal(18)

    def expect(x: Any, h: Any, c: Any) -> Any:
        states = []
        for step in x.astype(float):
            i, f, o, z = np.split(step @ weight.T + h @ recurrent.T + bias, 4, axis=1)
            p_i, p_f, p_o = np.split(peephole, 3)
            c_next = np.maximum(f + p_f * c, 0) * c + np.maximum(i + p_i * c, 0) * (1 / (1 + np.exp(-z)))
            h = np.maximum(o + p_o * c_next, 0) * c_next
            c = c_next
            states.append(h)
        return np.stack(states), h, c

    return Row(
        "lstm", (STEPS[:3], HIDDEN, CELL),
        lambda x, h, c: mb.lstm(
            x=x, initial_h=h, initial_c=c, weight_ih=weight, weight_hh=recurrent, bias=bias, peephole=peephole,
            recurrent_activation="relu", cell_activation="sigmoid", activation="linear", output_sequence=True,
        ),
        expect, name="definition",
    )  # fmt: skip


def rnn(direction: str, activation: str) -> Row:
    torch.manual_seed(0)
    net = nn.RNN(5, 6, nonlinearity=activation).double()
    weights = {key: value.detach().numpy().astype(np.float32) for key, value in net.named_parameters()}
    net.load_state_dict({key: double(value) for key, value in weights.items()})
    sequence = direction == "forward"

    def expect(x: Any, h: Any) -> Any:
        y, hn = net(double(x if sequence else x[::-1].copy()), double(h)[None])
        return (y.detach().numpy() if sequence else hn.detach().numpy()), hn[0].detach().numpy()

    return Row(
        "rnn", (STEPS, HIDDEN),
        lambda x, h: mb.rnn(
            x=x, initial_h=h, weight_ih=weights["weight_ih_l0"], weight_hh=weights["weight_hh_l0"],
            bias=weights["bias_ih_l0"] + weights["bias_hh_l0"], direction=direction, activation=activation,
            output_sequence=sequence,
        ),
        expect, name=f"{direction}-{activation}",
    )  # fmt: skip


RECURRENT = [
    *(lstm(direction, True) for direction in ("forward", "bidirectional")),
    *(lstm(direction, False) for direction in ("forward", "reverse")),
    lstm_by_definition(),
    rnn("forward", "tanh"),
    rnn("reverse", "relu"),
]

ROWS = [*CONV, *TRANSPOSED, *POOL, *NORM, *PRODUCTS, *RESIZE, *RECURRENT]
