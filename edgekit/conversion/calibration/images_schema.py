"""The schema edgekit.images/1: how an image becomes a tensor."""

# no postponed annotations: msgspec would have to compile each of them again at every start

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

SCHEMA: Final = "edgekit.images/1"


class Preprocessing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`resize`: stretch (the size is the model's, whatever becomes of the shape), crop (the shorter side fits, `margin`
    larger, and the middle is cut out), pad (the longer side fits, the rest is `fill`). `layout`: of the model's input;
    told from its shape where it is left out. `colour` L: grey. A value is (pixel * scale - mean) / std."""

    schema: Literal["edgekit.images/1"]
    resize: Literal["stretch", "crop", "pad"] = "stretch"
    margin: Annotated[float, Meta(ge=0, le=1)] = 0.0
    fill: Annotated[int, Meta(ge=0, le=255)] = 0
    interpolation: Literal["bilinear", "nearest", "bicubic", "lanczos", "box"] = "bilinear"
    layout: Literal["NHWC", "NCHW"] | None = None
    colour: Literal["RGB", "BGR", "L"] = "RGB"
    scale: Annotated[float, Meta(ge=0, le=1000)] = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
