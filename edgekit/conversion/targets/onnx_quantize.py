"""An ONNX model quantized as planned: QDQ and dynamic by onnxruntime's quantizers, blockwise int4 by its MatMulNBits, weights
alone by DequantizeLinear nodes that are put in here."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from edgekit.conversion.extras import need, quiet
from edgekit.conversion.naming import short
from edgekit.conversion.ranges import Range
from edgekit.conversion.recipes.schema import Scheme
from edgekit.conversion.targets.onnx_plan import Plan, Planned
from edgekit.errors import ToolError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_WHAT = "quantizing an ONNX model"
_DEQUANTIZE_PER_AXIS = 13
"""The first opset whose DequantizeLinear has an axis."""


def opset_of(model: Any) -> int:
    """Of the operators that ONNX itself defines."""
    return next((int(one.version) for one in model.opset_import if one.domain in ("", "ai.onnx")), 1)


def raised(model: Any, recipe: str) -> tuple[Any, tuple[str, ...]]:
    """The model in an opset that can say a scale for each channel, and a note where that is another one. Raises ToolError
    E_QUANTIZER where onnx cannot convert it."""
    before = opset_of(model)
    if before >= _DEQUANTIZE_PER_AXIS:
        return model, ()
    onnx = need("onnx", "onnx", _WHAT)
    converter = need("onnx.version_converter", "onnx", _WHAT)
    try:
        with quiet():
            model = onnx.shape_inference.infer_shapes(converter.convert_version(model, _DEQUANTIZE_PER_AXIS))
    except Exception as error:  # its own errors, of C++
        raise ToolError(
            f"opset {before} has no scale for each channel, and onnx does not raise it: {short(error)}",
            code="E_QUANTIZER",
            hint=f"export the model with opset {_DEQUANTIZE_PER_AXIS} or newer; for {recipe} it is needed",
        ) from error
    return model, (
        f"opset {before} became {_DEQUANTIZE_PER_AXIS}: the older one has no scale for each channel",
    )


def quantize(model: Any, plan: Plan, ranges: Mapping[str, Range] | None) -> Any:
    """The quantized onnx.ModelProto; `model` is changed on the way. Raises MissingExtra, ToolError E_QUANTIZER."""
    try:
        with quiet(), _silenced():
            # Weights first: they leave node names as they are. Static before dynamic, whose nodes get new names.
            for scheme, planned in sorted(plan.by_scheme.items(), key=lambda item: _ORDER[_way(item[0])]):
                model = _PASSES[_way(scheme)](model, scheme, planned, ranges)
            tidy = need("onnxruntime.quantization.onnx_model", "onnx", _WHAT).ONNXModel(model)
            tidy.topological_sort()  # the quantizers leave their nodes at the end, which ONNX does not allow
            return tidy.model
    except Exception as error:  # onnxruntime's quantizer has no errors of its own
        raise ToolError(
            f"onnxruntime's quantizer failed on {plan.recipe.name}: {short(error)}",
            code="E_QUANTIZER",
            hint="try another --recipe; float32 always works",
        ) from error


def _way(scheme: Scheme) -> str:
    if scheme.weights.granularity.startswith("block"):
        return "blocks"
    return scheme.activations.mode


@contextmanager
def _silenced() -> Iterator[None]:
    """The quantizer logs advice at WARNING and INFO; edgekit says what matters itself."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _weights_only(
    model: Any, scheme: Scheme, planned: Sequence[Planned], ranges: Mapping[str, Range] | None
) -> Any:
    """Each weight becomes an int8 constant and a DequantizeLinear; it is computed in float."""
    import numpy as np

    onnx = need("onnx", "onnx", _WHAT)
    wanted = {p.weight: p for p in planned if p.weight is not None}
    nodes = []
    for name, one in wanted.items():
        tensor = next(t for t in model.graph.initializer if t.name == name)
        real = onnx.numpy_helper.to_array(tensor)
        axis = one.axis if scheme.weights.granularity == "channel" else None
        stored, scale = _symmetric(real, axis)
        zero = np.zeros(scale.shape, dtype=np.int8)
        parts = {"quantized": stored, "scale": scale, "zero_point": zero}
        model.graph.initializer.extend(
            onnx.numpy_helper.from_array(array, f"{name}_{part}") for part, array in parts.items()
        )
        model.graph.initializer.remove(tensor)
        given = [f"{name}_{part}" for part in parts]
        axes = {} if axis is None else {"axis": axis}
        nodes.append(
            onnx.helper.make_node("DequantizeLinear", given, [name], name=f"{name}_DequantizeLinear", **axes)
        )
    for at, node in enumerate(nodes):
        model.graph.node.insert(at, node)
    return model


def _symmetric(real: Array, axis: int | None) -> tuple[Array, Array]:
    """int8 from -127 to 127, so that a weight and its negative are stored alike; the scale by channel or one."""
    import numpy as np

    axes = tuple(i for i in range(real.ndim) if i != axis) if axis is not None else None
    largest = np.abs(real).max(axis=axes).astype(np.float32)
    scale = np.where(largest > 0, largest / np.float32(127), np.float32(1)).astype(np.float32)
    spread = scale if axis is None else scale.reshape([-1 if i == axis else 1 for i in range(real.ndim)])
    return np.clip(np.rint(real / spread), -127, 127).astype(np.int8), scale


def _static(
    model: Any, scheme: Scheme, planned: Sequence[Planned], ranges: Mapping[str, Range] | None
) -> Any:
    import numpy as np

    calibrate = need("onnxruntime.quantization.calibrate", "onnx", _WHAT)
    quantizer = need("onnxruntime.quantization.qdq_quantizer", "onnx", _WHAT)
    types = need("onnxruntime.quantization.quant_utils", "onnx", _WHAT).QuantType
    found = {
        name: calibrate.TensorData(lowest=np.float32(r.low), highest=np.float32(r.high))
        for name, r in (ranges or {}).items()
    }
    engine = quantizer.QDQQuantizer(
        model,
        scheme.weights.granularity == "channel",
        False,
        types.QInt8,
        types.QInt16 if scheme.activations.bits == 16 else types.QInt8,
        calibrate.TensorsData(calibrate.CalibrationMethod.MinMax, found),
        [p.name for p in planned],
        [],
        sorted({p.op for p in planned}),
        {
            "ActivationSymmetric": scheme.activations.symmetric,
            "WeightSymmetric": True,
            "ForceQuantizeNoInputCheck": False,
        },
    )
    engine.quantize_model()
    return engine.model.model


def _dynamic(
    model: Any, scheme: Scheme, planned: Sequence[Planned], ranges: Mapping[str, Range] | None
) -> Any:
    quantizer = need("onnxruntime.quantization.onnx_quantizer", "onnx", _WHAT)
    utils = need("onnxruntime.quantization.quant_utils", "onnx", _WHAT)
    _split_gemm(model, {p.name for p in planned if p.op == "Gemm"})
    engine = quantizer.ONNXQuantizer(
        model,
        scheme.weights.granularity == "channel",
        False,
        utils.QuantizationMode.IntegerOps,
        False,
        utils.QuantType.QInt8,
        utils.QuantType.QUInt8,
        None,
        [p.name for p in planned],
        [],
        sorted({"MatMul" if p.op == "Gemm" else p.op for p in planned}),
        {"MatMulConstBOnly": True, "WeightSymmetric": True},
    )
    engine.quantize_model()
    return engine.model.model


def _blocks(
    model: Any, scheme: Scheme, planned: Sequence[Planned], ranges: Mapping[str, Range] | None
) -> Any:
    """`accuracy_level` 4: activations are quantized to int8 while it runs."""
    quantizer = need("onnxruntime.quantization.matmul_nbits_quantizer", "onnx", _WHAT)
    _split_gemm(model, {p.name for p in planned if p.op == "Gemm"})
    engine = quantizer.MatMulNBitsQuantizer(
        model,
        bits=scheme.weights.bits,
        block_size=int(scheme.weights.granularity.partition("-")[2]),
        is_symmetric=True,
        accuracy_level=4,
        nodes_to_include=[p.name for p in planned],
    )
    engine.process()
    return engine.model.model


def _split_gemm(model: Any, names: set[str]) -> None:
    """A Gemm becomes MatMul (under its name) and Add: the kernels that quantize while they run are of MatMul."""
    onnx = need("onnx", "onnx", _WHAT)
    constants = {t.name: t for t in model.graph.initializer}
    uses = [name for node in model.graph.node for name in node.input]
    for at, node in reversed(list(enumerate(model.graph.node))):
        if node.name not in names:
            continue
        given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        tensor = constants[node.input[1]]
        matrix = onnx.numpy_helper.to_array(tensor) * given.get("alpha", 1.0)
        turned = matrix.T if given.get("transB", 0) else matrix
        weight = tensor.name
        if uses.count(weight) > 1:
            weight = f"{weight}_of_{node.name}"
            model.graph.initializer.append(onnx.numpy_helper.from_array(_float(turned), weight))
        else:
            tensor.CopyFrom(onnx.numpy_helper.from_array(_float(turned), weight))
            for value in [v for v in model.graph.value_info if v.name == weight]:
                model.graph.value_info.remove(value)  # it tells the old shape
        bias = node.input[2] if len(node.input) > 2 and node.input[2] else ""
        output = f"{node.output[0]}_without_bias" if bias else node.output[0]
        parts = [onnx.helper.make_node("MatMul", [node.input[0], weight], [output], name=node.name)]
        if bias:
            if given.get("beta", 1.0) != 1.0:
                scaled = _float(onnx.numpy_helper.to_array(constants[bias]) * given["beta"])
                bias = f"{bias}_of_{node.name}"
                model.graph.initializer.append(onnx.numpy_helper.from_array(scaled, bias))
            parts.append(
                onnx.helper.make_node("Add", [output, bias], [node.output[0]], name=f"{node.name}_bias")
            )
        model.graph.node.remove(node)
        for place, part in enumerate(parts):
            model.graph.node.insert(at + place, part)


def _float(values: Array) -> Array:
    import numpy as np

    return np.ascontiguousarray(values, dtype=np.float32)


_PASSES = {"float": _weights_only, "blocks": _blocks, "static": _static, "dynamic": _dynamic}
_ORDER = {way: place for place, way in enumerate(_PASSES)}
