"""The seam of a host runtime, and how real numbers become what a model stores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from edgekit.models.info import Signature, TensorSpec

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@runtime_checkable
class HostModel(Protocol):
    """A loaded model. `signature`: its inputs and outputs in the order in which `run` takes and gives them."""

    @property
    def signature(self) -> Signature: ...

    def run(self, sample: Sequence[Array]) -> list[Array]:
        """One inference on stored values, own dtypes and shapes. Raises ModelError E_MODEL_RUN."""


def run_real(model: HostModel, sample: Sequence[Array]) -> list[Array]:
    """One inference on real numbers: integer inputs are quantized, integer outputs expanded, by their scales."""
    given = [to_stored(v, s) for v, s in zip(sample, model.signature.inputs, strict=True)]
    return [to_real(v, s) for v, s in zip(model.run(given), model.signature.outputs, strict=True)]


def to_stored(value: Array, spec: TensorSpec) -> Array:
    """A real-valued input as the model stores it; values of the model's own dtype pass unchanged."""
    import numpy as np

    dtype = np.dtype(spec.dtype)
    if value.dtype == dtype:
        return np.ascontiguousarray(value)
    if spec.scale and dtype.kind in "iu":
        limits = np.iinfo(dtype)
        stored = np.rint(value.astype(np.float64) / spec.scale) + (spec.zero_point or 0)
        clipped: Array = np.clip(stored, limits.min, limits.max).astype(dtype)
        return clipped
    return np.ascontiguousarray(value.astype(dtype))


def to_real(value: Array, spec: TensorSpec) -> Array:
    """A stored output as real numbers; an output without a scale passes unchanged."""
    import numpy as np

    if spec.scale and value.dtype.kind in "iu":
        real: Array = ((value.astype(np.float64) - (spec.zero_point or 0)) * spec.scale).astype(np.float32)
        return real
    return value
