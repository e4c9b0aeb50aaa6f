"""B1.2: order of axes and dtypes at the boundary: kept unless asked for, reported, right by numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.conversion.layout import TO_NCHW, TO_NHWC, pair, permutation
from edgekit.errors import InputError, VerificationError
from edgekit.models.info import Signature, TensorSpec
from tests.conversion.convert import convert
from tests.conversion.models import DIGITS
from tests.conversion.nets import build


def _spec(name: str, shape: tuple[int, ...], dtype: str = "float32", layout: str | None = None) -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=shape, layout=layout)


def _signature(*specs: TensorSpec) -> Signature:
    return Signature(key=None, inputs=specs, outputs=(_spec("y", (1, 3)),))


@pytest.mark.base
def test_permutation() -> None:
    nchw, nhwc, other = (_spec("x", (1, 2, 3, 4), layout=layout) for layout in ("NCHW", "NHWC", None))
    assert [permutation(s, "keep") for s in (nchw, nhwc, other)] == [None, None, None]
    assert [permutation(s, "nhwc") for s in (nchw, nhwc, other)] == [TO_NHWC, None, None]
    assert [permutation(s, "nchw") for s in (nchw, nhwc, other)] == [None, TO_NCHW, None]


@pytest.mark.base
def test_pairs_by_name_in_any_order() -> None:
    source = _signature(
        _spec("a", (1, 2)), _spec("b", (1, 3, 4, 5), layout="NCHW"), _spec("t", (1, 7), "int64")
    )
    result = _signature(_spec("t", (1, 7), "int32"), _spec("b", (1, 4, 5, 3)), _spec("a", (-1, 2)))
    pairing = pair(source, result, "nhwc")
    rng = np.random.default_rng(3)
    sample = [rng.random(spec.shape) for spec in source.inputs]
    given = pairing.to_result(sample)
    np.testing.assert_array_equal(given[0], sample[2])
    np.testing.assert_array_equal(given[1], np.moveaxis(sample[1], 1, 3))
    np.testing.assert_array_equal(given[2], sample[0])
    assert [(b.name, b.dtype, b.permutation) for b in pairing.changed] == [
        ("t", "int32", None),
        ("b", "float32", TO_NHWC),
    ]


@pytest.mark.base
@pytest.mark.parametrize(
    "result",
    [
        _signature(_spec("z", (1, 2))),
        _signature(_spec("x", (1, 3))),
        _signature(_spec("x", (1, 2, 1))),
        _signature(_spec("x", (1, 2), "int8")),
        _signature(_spec("x", (1, 2)), _spec("more", (1,))),
        Signature(key=None, inputs=(_spec("x", (1, 2)),), outputs=(_spec("other", (1, 3)),)),
    ],
)
def test_what_changed_more_is_an_error(result: Signature) -> None:
    with pytest.raises(VerificationError) as caught:
        pair(_signature(_spec("x", (1, 2))), result, "keep")
    assert (caught.value.code, caught.value.exit_code) == ("E_SIGNATURE", 7)


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("source", "to", "layout", "shape"),
    [
        ("torch", "tflite", "nhwc", (1, 28, 28, 1)),
        ("torch", "tflite", "keep", (1, 1, 28, 28)),
        ("torch", "onnx", "nhwc", (1, 28, 28, 1)),
        ("torch", "executorch", "nhwc", (1, 28, 28, 1)),
        ("torch", "coreml", "nhwc", (1, 28, 28, 1)),
        ("keras", "tflite", "nchw", (1, 1, 28, 28)),
        ("keras", "tflite", "keep", (1, 28, 28, 1)),
        ("onnx", "tflite", "nhwc", (1, 28, 28, 1)),
        ("onnx", "tflite", "keep", (1, 1, 28, 28)),
        ("onnx", "onnx", "nhwc", (1, 28, 28, 1)),
    ],
)
def test_converted(tmp_path: Path, source: str, to: str, layout: str, shape: tuple[int, ...]) -> None:
    path = build("cnn", source, tmp_path)
    artifact = convert(path, to=to, layout=layout, recipe="float32", output=tmp_path / "o.ekm")
    manifest = artifact.manifest
    assert manifest.verification.state == "passed"
    assert [spec.shape for spec in manifest.signature.inputs] == [shape]
    moved = [boundary for boundary in manifest.boundary if boundary.permutation]
    assert bool(moved) == (layout != "keep")
    assert manifest.layout == layout
    for boundary in moved:
        assert any(f"'{boundary.name}'" in note and "became" in note for note in manifest.notes)


def test_a_tflite_file_gets_transpose_operators(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert.interpreter")
    artifact = convert(DIGITS / "digits.tflite", layout="nchw", recipe="float32", output=tmp_path / "o.ekm")
    assert artifact.manifest.verification.state == "passed"
    assert [spec.shape for spec in artifact.manifest.signature.inputs] == [(1, 1, 28, 28)]
    assert [spec.layout for spec in artifact.manifest.signature.inputs] == ["NCHW"]


@pytest.mark.heavy
def test_tokens_become_int32_in_tflite_and_it_is_said(tmp_path: Path) -> None:
    manifest = convert(
        build("encoder", "torch", tmp_path), to="tflite", recipe="float32", output=tmp_path / "o.ekm"
    ).manifest
    (boundary,) = manifest.boundary
    assert (boundary.kind, boundary.source_dtype, boundary.dtype) == ("input", "int64", "int32")
    assert any("int64 became int32" in note for note in manifest.notes)


@pytest.mark.heavy
def test_nothing_to_reorder_is_no_error(tmp_path: Path) -> None:
    manifest = convert(
        build("lstm", "onnx", tmp_path), to="onnx", layout="nhwc", recipe="float32", output=tmp_path / "o.ekm"
    ).manifest
    assert manifest.boundary == ()


@pytest.mark.heavy
def test_no_path_quotes_the_tool(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        convert(build("cnn", "tflite", tmp_path), to="onnx", output=tmp_path / "o.ekm")
    assert (caught.value.code, caught.value.exit_code) == ("E_NO_PATH", 1)
    assert "onnx.load says" in caught.value.message
