"""Tells by numbers which outputs of onnx2tf's result have their dimensions in another order than their shape says.

onnx2tf may give an output channels-last. Where sizes are equal (1x4x4x4) the shape cannot tell, and nothing that
onnx2tf writes tells it either: then one random sample is run through both models.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.conversion.extras import need, quiet
from edgekit.conversion.layout import permutation
from edgekit.conversion.options import Layout
from edgekit.models.info import Signature

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_WHAT = "converting ONNX models"
_FAR = 1e-3
"""Of the largest output: two orders of dimensions are further apart, two runtimes nearer together."""


def differing_outputs(
    model: Path, tflite: bytes, signature: Signature, layout: Layout, names: Sequence[str]
) -> frozenset[str]:
    """Those of the named outputs whose values are not the ONNX model's. `signature`: the ONNX model's, all inputs
    fixed. Empty where either model does not run: whoever verifies the result says so better."""
    try:
        given = _sample(signature)
        expected, actual = _run_onnx(model, given), _run_tflite(tflite, signature, layout, given)
    except Exception:
        # runtimes raise anything; this is only a question about the order of dimensions
        return frozenset()
    perms = {spec.name: permutation(spec, layout) for spec in signature.outputs}
    return frozenset(name for name in names if _far(expected[name], actual[name], perms[name]))


def _sample(signature: Signature) -> dict[str, Array]:
    import numpy as np

    chance = np.random.default_rng(0)
    return {
        spec.name: chance.random(spec.shape).astype(spec.dtype)
        if spec.dtype.startswith("float")
        else chance.integers(0, 2, spec.shape).astype(spec.dtype)
        for spec in signature.inputs
    }


def _run_onnx(model: Path, given: dict[str, Array]) -> dict[str, Array]:
    runtime = need("onnxruntime", "onnx", _WHAT)
    with quiet():
        session = runtime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, given), strict=True))


def _run_tflite(
    tflite: bytes, signature: Signature, layout: Layout, given: dict[str, Array]
) -> dict[str, Array]:
    runtime = need("ai_edge_litert.interpreter", "litert", _WHAT)
    perms = {spec.name: permutation(spec, layout) for spec in signature.inputs}
    with quiet():
        interpreter = runtime.Interpreter(model_content=tflite)
        interpreter.allocate_tensors()
        run = interpreter.get_signature_runner("serving_default")
        found: dict[str, Array] = run(**{name: _moved(value, perms[name]) for name, value in given.items()})
    return found


def _moved(value: Array, perm: tuple[int, ...] | None) -> Array:
    return value if perm is None else value.transpose(perm)


def _far(expected: Array, actual: Array, perm: tuple[int, ...] | None) -> bool:
    import numpy as np

    wanted = _moved(expected, perm)
    if wanted.shape != actual.shape or not wanted.size:
        return False
    return bool(np.abs(wanted - actual).max() > _FAR * np.abs(wanted).max())
