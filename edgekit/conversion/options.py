"""What a user can ask of a conversion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypedDict

Layout = Literal["keep", "nchw", "nhwc"]


@dataclass(frozen=True)
class ConvertOptions:
    """`recipe`: the name of a recipe, a recipe's file, or as-is; None takes the first one of the profile's preferences
    that is possible. `calibration`: an .npz file, a folder of images with `preprocess` (the file that says how
    they become tensors), or `package.module:function`. `calibration_method`: how ranges are found instead of as the recipe
    says: min-max, percentile:99.9, entropy or mse. `evaluation`: an .npz file, or the user's
    `package.module:function`. `to`: tflite, onnx, executorch, coreml; None: the first of the profile's formats that can
    be made here. `layout`: of image inputs and outputs. `shapes`: sizes for axes that the model leaves open, by input.
    `trust`: code and pickled objects of the model may run. `rescue`: where a quantized model fails its verification, try to bring
    it back (docs/rescue.md)."""

    recipe: str | Path | None = None
    calibration: str | Path | None = None
    calibration_method: str | None = None
    preprocess: str | Path | None = None
    evaluation: str | Path | None = None
    to: str | None = None
    layout: Layout = "keep"
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    trust: bool = False
    cache: bool = True
    rescue: bool = False

    @property
    def asked(self) -> bool:
        """Whether any of it asks for a conversion that would not happen by itself."""
        plain = ConvertOptions(trust=self.trust, cache=self.cache)
        return self != plain


class ConvertWishes(TypedDict, total=False):
    """The same as keywords, for the SDK's functions that convert on the way."""

    recipe: str | Path | None
    calibration: str | Path | None
    calibration_method: str | None
    preprocess: str | Path | None
    evaluation: str | Path | None
    to: str | None
    layout: Layout
    shapes: Mapping[str, tuple[int, ...]]
    trust: bool
    cache: bool
    rescue: bool
