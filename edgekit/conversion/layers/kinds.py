"""What an operator does, whatever its format calls it. Pure; only used where values do not tell."""

from __future__ import annotations

import re
from functools import cache

SPATIAL = frozenset({"conv", "pool", "resize", "pad"})
"""Kinds that see rows and columns: they work in one order of axes, and give what they take."""

MOVES = frozenset({"shape", "transpose"})
"""Kinds that change no value."""

_WORDS: tuple[tuple[str, str], ...] = (
    ("conv", r"conv(?!ert)"),
    ("pool", r"pool"),
    ("norm", r"norm"),
    ("softmax", r"softmax"),
    ("attention", r"attention"),
    ("recurrent", r"lstm|gru|rnn"),
    ("embedding", r"embedding|gather(v2|nd)?$|^index(select)?$|^take$"),
    ("matmul", r"matmul|^mm$|^bmm$|addmm|addbmm|linear|gemm|fullyconnected|einsum|^dense|innerproduct"),
    ("resize", r"resize|upsample|interpolate"),
    ("pad", r"pad"),
    ("sigmoid", r"sigmoid|logistic"),
    ("tanh", r"^tanh"),
    ("gelu", r"gelu|^erf$"),
    ("silu", r"silu|swish"),
    ("relu", r"relu|clip|clamp|hardtanh|elu"),
    ("squareddifference", r"squareddifference"),
    ("rsqrt", r"rsqrt"),
    ("sqrt", r"sqrt"),
    ("square", r"square|^pow"),
    ("exp", r"^exp$"),
    ("cumsum", r"cumsum"),
    ("mean", r"mean"),
    ("sum", r"sum"),
    ("reduce", r"amax|amin|reducem(ax|in)|argm(ax|in)|^max$|^min$|^any$|^all$"),
    ("add", r"add"),
    ("sub", r"sub$|subtract"),
    ("div", r"div|reciprocal"),
    ("mul", r"mul|scale"),
    ("concat", r"concat|^cat$|^stack$|^pack$"),
    ("slice", r"slice|split|select|getitem|unpack|unbind|narrow|chunk"),
    ("transpose", r"transpose|permute|^t$"),
    (
        "shape",
        r"reshape|view|flatten|squeeze|expand|broadcast|identity|clone|contiguous|copy|dropout|cast|quantize|"
        r"^input$|detach|alias|liftfresh|readvariable",
    ),
)
_PATTERNS = tuple((kind, re.compile(pattern)) for kind, pattern in _WORDS)


@cache
def kind_of(op: str) -> str:
    """A common name for the operator: "conv", "matmul", "add", ...; its own plain name where there is none."""
    plain = plain_name(op).replace("_", "")
    for kind, pattern in _PATTERNS:
        if pattern.search(plain):
            return kind
    return plain


def plain_name(op: str) -> str:
    """`aten.conv2d.default`, `CONV_2D` and `Conv` without prefix and overload, in small letters."""
    name = op.rpartition("::")[2]
    if name.startswith(("aten.", "prims.", "torch.ops.aten.")):
        name = name.removeprefix("torch.ops.").split(".")[1]
    return name.lower().strip("_")
