"""A folder of images as samples, made into tensors as a specification says (schema edgekit.images/1).

A value is (pixel * scale - mean) / std, pixel from 0 to 255, mean and std by colour. Images are taken in the order of
their paths.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import inspect as mi

from edgekit.cache import expanded, is_file, sha256_file
from edgekit.conversion.calibration.images_schema import Preprocessing
from edgekit.conversion.extras import need
from edgekit.conversion.naming import short
from edgekit.errors import FileError, InputError
from edgekit.models.info import TensorSpec
from edgekit.profiles.check import Walk
from edgekit.profiles.nodes import read_nodes

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
FORMATS = ("BMP", "JPEG", "PNG", "WEBP")
"""What Pillow may take a file for, whatever it is called: some of its other readers start programs (Ghostscript)."""
EIGHT_BITS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""Pillow's modes with 8 bits for a value. It makes these of 16 bits by clipping: nearly all would be white."""
MAX_PIXELS = 1 << 26
"""Of an image on its way to the model's size: one that is 1 x 65,000 would have gigabytes when its short side fits."""
SPECIFICATION = "preprocess.yaml"
"""Read where it lies among the images and --preprocess is not given."""


@dataclass(frozen=True)
class _Place:
    """What the model's input is, as far as images go."""

    height: int
    width: int
    channels: int
    channels_first: bool
    dtype: str


class ImageFeed:
    """The images below a folder."""

    def __init__(self, folder: Path, inputs: Sequence[TensorSpec], preprocess: str | Path | None) -> None:
        """Raises InputError: E_DATA_PREPROCESS (the specification, or a model that takes no images), E_DATA (no images);
        MissingExtra."""
        self.name, self.where = folder.name, f"calibration data {folder}"
        self._specification, self._spec_sha256 = _specification(folder, preprocess)
        self._place = _place(inputs, self._specification)
        self._pil = need("PIL.Image", "images", "reading images")
        self._folder = folder
        self._paths = sorted(
            path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and is_file(path)
        )
        if not self._paths:
            raise InputError(
                f"{self.where} has no images ({', '.join(SUFFIXES)})",
                code="E_DATA",
                hint="give a folder of images, or an .npz file",
            )
        self.count: int | None = len(self._paths)

    @cached_property
    def sha256(self) -> str:
        """Of the specification, and of the images' names and bytes."""
        digest = hashlib.sha256(self._spec_sha256.encode())
        for path in self._paths:
            name = os.fsencode(path.relative_to(self._folder))  # as it is on the disk, UTF-8 or not
            digest.update(name + f"\0{sha256_file(path)}\n".encode())
        return digest.hexdigest()

    def __iter__(self) -> Iterator[tuple[Array, ...]]:
        """Raises InputError E_DATA for an image that cannot be read, with its index."""
        for index, path in enumerate(self._paths):
            try:
                with self._pil.open(path, formats=FORMATS) as image:
                    tensor = self._tensor(image)
            except (OSError, ValueError, SyntaxError, self._pil.DecompressionBombError) as error:
                raise InputError(
                    f"{self.where}: sample {index}, {path.name}, cannot be read: {short(error)}",
                    code="E_DATA",
                    hint="remove it, or save it again",
                ) from error
            yield (tensor,)

    def _tensor(self, image: Any) -> Array:
        import numpy as np

        spec, place = self._specification, self._place
        if image.mode not in EIGHT_BITS:
            raise ValueError(f"its pixels are no 8-bit values (mode {image.mode})")
        sized = _sized(self._pil, image.convert("L" if place.channels == 1 else "RGB"), spec, place)
        pixels = np.asarray(sized, dtype=np.float32).reshape(place.height, place.width, place.channels)
        if spec.colour == "BGR":
            pixels = pixels[:, :, ::-1]
        mean, std = (
            np.asarray(v or d, dtype=np.float32) for v, d in ((spec.mean, (0.0,)), (spec.std, (1.0,)))
        )
        values = (pixels * np.float32(spec.scale) - mean) / std
        if np.dtype(place.dtype).kind in "iu":
            limits = np.iinfo(place.dtype)
            values = np.clip(np.rint(values), limits.min, limits.max)
        tensor: Array = values.transpose(2, 0, 1) if place.channels_first else values
        return np.ascontiguousarray(tensor[None].astype(place.dtype))


def _sized(pil: Any, image: Any, spec: Preprocessing, place: _Place) -> Any:
    method = getattr(pil.Resampling, spec.interpolation.upper())
    wanted = (place.width, place.height)
    if spec.resize == "stretch":
        return image.resize(wanted, method)
    width, height = image.size
    if spec.resize == "crop":
        # The shorter side to fit, `margin` larger where a border is to be cut off, then the middle.
        factor = max(place.width / width, place.height / height) * (1 + spec.margin)
        size = (max(place.width, round(width * factor)), max(place.height, round(height * factor)))
        if size[0] * size[1] > MAX_PIXELS:
            raise ValueError(f"{width} x {height} would become {size[0]} x {size[1]} to be cropped")
        image = image.resize(size, method)
        left, top = (size[0] - place.width) // 2, (size[1] - place.height) // 2
        return image.crop((left, top, left + place.width, top + place.height))
    factor = min(place.width / width, place.height / height)
    size = (
        min(place.width, max(1, round(width * factor))),
        min(place.height, max(1, round(height * factor))),
    )
    whole = pil.new(image.mode, wanted, color=spec.fill if image.mode == "L" else (spec.fill,) * 3)
    whole.paste(image.resize(size, method), ((place.width - size[0]) // 2, (place.height - size[1]) // 2))
    return whole


def _specification(folder: Path, preprocess: str | Path | None) -> tuple[Preprocessing, str]:
    path = folder / SPECIFICATION if preprocess is None else expanded(str(preprocess), "the specification")
    if preprocess is None and not is_file(path):
        raise InputError(
            f"calibration data {folder}: nothing says how images become tensors",
            code="E_DATA_PREPROCESS",
            hint=f"give --preprocess FILE.yaml, or put {SPECIFICATION} into the folder (docs/recipes.md)",
        )
    tree, findings = read_nodes(path, what="specification")
    walk = Walk()
    values = walk.value(mi.type_info(Preprocessing), tree, "") if tree is not None else None
    findings = [*findings, *walk.findings]
    if findings or values is None:
        more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
        raise FileError(f"{findings[0]}{more}", findings, code="E_DATA_PREPROCESS")
    return msgspec.convert(values, Preprocessing), sha256_file(path)


def _place(inputs: Sequence[TensorSpec], spec: Preprocessing) -> _Place:
    shape = inputs[0].fixed_shape() if inputs else ()
    if len(inputs) != 1 or len(shape) != 4 or shape[0] != 1:
        told = ", ".join(f"{i.name} {list(i.shape)}" for i in inputs)
        raise InputError(
            f"the model takes no single image, its inputs are {told}",
            code="E_DATA_PREPROCESS",
            hint="give an .npz file with --calibration",
        )
    first = spec.layout == "NCHW" if spec.layout else shape[1] in (1, 3) and shape[3] not in (1, 3)
    height, width, channels = (shape[2], shape[3], shape[1]) if first else shape[1:]
    if channels not in (1, 3) or (channels == 1) != (spec.colour == "L"):
        raise InputError(
            f"the model's input {inputs[0].name} {list(shape)} has {channels} channels, colour {spec.colour} has"
            f" {1 if spec.colour == 'L' else 3}",
            code="E_DATA_PREPROCESS",
            hint="set layout (NHWC, NCHW) and colour (RGB, BGR, L)",
        )
    for name, values in (("mean", spec.mean), ("std", spec.std)):
        if values and len(values) not in (1, channels):
            raise InputError(
                f"{name} has {len(values)} values, the model's input has {channels} channels",
                code="E_DATA_PREPROCESS",
            )
    if any(value == 0 for value in spec.std):
        raise InputError("std has a zero", code="E_DATA_PREPROCESS")
    return _Place(height, width, channels, first, inputs[0].dtype)
