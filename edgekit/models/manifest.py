"""What an artifact tells of itself: its manifest, schema edgekit.artifact/1. Frozen data; what is on disk is artifact.py's."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from edgekit.models.info import Format, Quantization, Signature

SUFFIX = ".ekm"


MANIFEST = "manifest.json"


VerificationState = Literal["passed", "failed", "inconclusive"]


class FileEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of the artifact; `file` is relative to its folder. Of a model that is a folder (.mlpackage) sha256 is
    that of `hash_folder`, size_bytes that of all files in it."""

    file: str
    sha256: str
    size_bytes: int


class Origin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was converted. `name` is a file or object name, never a whole path."""

    name: str
    format: str
    sha256: str
    size_bytes: int | None = None


class Named(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A profile or data set that took part, by name and hash. `samples` is for data sets."""

    name: str
    sha256: str
    samples: int | None = None


class OutputError(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far one output of the result is from the source's; units are those of the output."""

    name: str
    max_abs_error: float | None
    rms_error: float | None
    relative_error: float | None
    snr_db: float | None
    cosine: float | None
    flips: int | None
    samples: int
    largest_output: float
    degenerate: str | None = None


class Boundary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An input or output that is not as the source has it. `permutation`: the source's axes in the result's order."""

    name: str
    kind: Literal["input", "output"]
    source_dtype: str
    dtype: str
    source_shape: tuple[int, ...]
    shape: tuple[int, ...]
    permutation: tuple[int, ...] | None = None


class Accuracy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The task's metric on the evaluation data, before and after conversion; higher is better.

    `metric`: "top1" (share of right answers, 0 to 1; `classes` and `flips` are known), "r2" (coefficient of
    determination, at most 1), or the name of the user's own function.
    """

    metric: str
    classes: int | None = None
    source_value: float
    value: float
    drop: float
    max_drop: float | None
    samples: int
    flips: int | None = None


class Verification(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Source and result run on the same inputs.

    The figures at the top are of the worst output: largest errors, lowest SNR and cosine, all flips. None:
    cannot be told (SNR where there is no difference at all, flips where an output has one element).
    `relative_error` is max_abs_error over the largest absolute output of the source.
    """

    state: VerificationState
    reasons: tuple[str, ...]
    inputs: Literal["evaluation", "calibration", "generated"]
    samples: int
    max_abs_error: float | None
    rms_error: float | None
    relative_error: float | None
    snr_db: float | None
    cosine: float | None
    flips: int | None
    outputs: tuple[OutputError, ...]
    accuracy: Accuracy | None = None


class Golden(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Samples to be checked on the device. `tolerance` is a share of the largest absolute golden output; an output
    whose spec has a `step` is compared in steps."""

    samples: int
    inputs: FileEntry
    outputs: FileEntry
    tolerance: Annotated[float, msgspec.Meta(ge=0)]


class Clipped(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tensor that is stored with a range smaller than that of its values in calibration. `share`: of all values that
    lie beyond the stored range; `saturation`: how far the worst does, as a share of that range."""

    tensor: str
    low: float
    high: float
    least: float
    most: float
    share: float
    saturation: float


class RangesFound(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the ranges of static activations were found, and what they cost: read back from the model's file. `method`:
    min-max, percentile 99.9, entropy, mse. `clipped`: the worst first."""

    method: str
    samples: int
    tensors: int
    clipped: tuple[Clipped, ...] = ()


class RescueLatency(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a rescue costs in time, on one device: both models run there interleaved. Microseconds, geometric means of the
    launches' medians. `device`: its model."""

    device: str
    before_us: float
    after_us: float
    launches: int


class Rescue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What brought a model back that had failed its verification, and its price (docs/rescue.md). `steps`: in words.
    `latency`: None where no device was given, or not both models ran there."""

    steps: tuple[str, ...]
    size_bytes_before: int
    size_bytes: int
    latency: RescueLatency | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    schema: Literal["edgekit.artifact/1"] = "edgekit.artifact/1"
    name: str
    format: Format
    recipe: str
    model: FileEntry
    source: Origin
    profile: Named | None
    recipe_sha256: str = ""
    layout: Literal["keep", "nchw", "nhwc"] = "keep"
    boundary: tuple[Boundary, ...] = ()
    files: tuple[FileEntry, ...] = ()
    """Other files that belong to the model, beside it (an ONNX model's external data)."""
    calibration: Named | None
    evaluation: Named | None
    tools: dict[str, str]
    signature: Signature
    quantization: Quantization | None
    ranges: RangesFound | None = None
    rescue: Rescue | None = None
    verification: Verification
    golden: Golden | None
    notes: tuple[str, ...] = ()


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest's JSON, indented, one newline at the end."""
    return msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=2) + b"\n"
