"""How a model is quantized, told from its tensors: a table."""

from __future__ import annotations

import pytest

from edgekit.models.quantization import OperatorFact, TensorFact, describe

pytestmark = pytest.mark.base


def constant(dtype: str, elements: int = 1000, quantized: bool | None = None) -> TensorFact:
    is_quantized = dtype.startswith(("int", "uint")) if quantized is None else quantized
    return TensorFact(dtype=dtype, elements=elements, constant=True, quantized=is_quantized)


def flowing(dtype: str) -> TensorFact:
    return TensorFact(dtype=dtype, elements=100, constant=False, quantized=dtype.startswith(("int", "uint")))


def layer(weights: TensorFact, activation: str, name: str = "FULLY_CONNECTED") -> OperatorFact:
    return name, [flowing(activation), weights], [flowing(activation)]


@pytest.mark.parametrize(
    ("operators", "kind"),
    [
        ([], "float32"),
        ([layer(constant("float32"), "float32")], "float32"),
        ([layer(constant("int8"), "float32")], "int8-dynamic"),
        ([layer(constant("uint8"), "uint8")], "int8-static"),
        ([layer(constant("int8"), "int8"), layer(constant("int8"), "int8", "CONV_2D")], "int8-static"),
        ([layer(constant("int8"), "int16")], "int16x8"),
        ([layer(constant("int8"), "int8"), layer(constant("int8"), "float32")], "mixed"),
        ([layer(constant("int8"), "float32"), layer(constant("float32"), "float32")], "mixed"),
        ([("DEQUANTIZE", [constant("float16", quantized=False)], [flowing("float32")])], "float16"),
        ([("DEQUANTIZE", [constant("int8")], [flowing("float32")])], "int8-weights"),
        (
            [layer(constant("int8", 990), "float32"), layer(constant("float32", 10), "float32")],
            "int8-dynamic",
        ),
        # a shape given as int32 without a scale is no weight
        (
            [("RESHAPE", [flowing("float32"), constant("int32", quantized=False)], [flowing("float32")])],
            "float32",
        ),
    ],
)
def test_kinds(operators: list[OperatorFact], kind: str) -> None:
    assert describe(operators).kind == kind


def test_a_tensor_that_two_operators_share_counts_once() -> None:
    shared = constant("float32", 500)
    found = describe([layer(shared, "float32"), layer(shared, "float32")])
    assert found.weights == {"float32": 500}
