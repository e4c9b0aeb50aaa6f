"""B2-b3: quantizers that report success and are wrong. The real quantizer runs; its real file is damaged, or it is told
something else than the recipe says. The check of the file has to see each."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgekit.conversion.recipes.schema import FLOAT_SCHEME
from edgekit.conversion.targets.tflite_plan import Plan, Planned, plan_for
from edgekit.errors import VerificationError
from tests.conversion.convert import convert
from tests.conversion.recipes.data import net_and_data

pytest.importorskip("ai_edge_quantizer.quantizer")
pytestmark = pytest.mark.heavy
TARGET = import_module("edgekit.conversion.targets.tflite")
REAL = TARGET._quantize
Damage = Callable[[bytes, Plan, Any, Any], bytes]


def edited(edit: Callable[[Any], None]) -> Damage:
    """The real quantizer's file with an edit."""

    def change(tflite: bytes, plan: Plan, graphs: Any, ranges: Any) -> bytes:
        import flatbuffers
        from ai_edge_litert import schema_py_generated as schema

        data = REAL(tflite, plan, graphs, ranges)
        model = schema.ModelT.InitFromPackedBuf(data)
        edit(model)
        builder = flatbuffers.Builder(len(data))
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    return change


def tensors(model: Any, kind: int, *, constant: bool) -> list[Any]:
    """Quantized tensors of one type (9: int8, 2: int32), the largest first."""
    found = []
    for tensor in model.subgraphs[0].tensors:
        data = model.buffers[tensor.buffer].data
        scaled = tensor.quantization is not None and tensor.quantization.scale is not None
        if tensor.type == kind and scaled and (data is not None and len(data) > 0) == constant:
            found.append(tensor)
    return sorted(found, key=lambda tensor: -int(np.prod(tensor.shape)))


def wrong_weight_scale(model: Any) -> None:
    tensor = tensors(model, 9, constant=True)[0]
    tensor.quantization.scale = np.asarray(tensor.quantization.scale) * np.float32(1.1)


def one_wrong_channel(model: Any) -> None:
    tensor = tensors(model, 9, constant=True)[0]
    scales = np.array(tensor.quantization.scale)
    scales[3] *= 1.5
    tensor.quantization.scale = scales


def wrong_values(model: Any) -> None:
    tensor = tensors(model, 9, constant=True)[0]
    data = np.array(model.buffers[tensor.buffer].data)
    data[7] ^= 0x40
    model.buffers[tensor.buffer].data = data


def halved_activation_scale(model: Any) -> None:
    tensor = tensors(model, 9, constant=False)[-1]  # the last layer's: no bias is counted in its steps
    tensor.quantization.scale = np.asarray(tensor.quantization.scale) * np.float32(0.5)


def doubled_activation_scale(model: Any) -> None:
    tensor = tensors(model, 9, constant=False)[0]
    tensor.quantization.scale = np.asarray(tensor.quantization.scale) * np.float32(2)


def saturated_bias(model: Any) -> None:
    tensor = tensors(model, 2, constant=True)[0]
    values = np.array(model.buffers[tensor.buffer].data).view(np.int32)
    values[0] = np.iinfo(np.int32).max
    model.buffers[tensor.buffer].data = values.view(np.uint8)


def moved_zero_points(model: Any) -> None:
    tensor = tensors(model, 9, constant=True)[0]
    tensor.quantization.zeroPoint = [1] * len(tensor.quantization.scale)


def unchanged(tflite: bytes, plan: Plan, graphs: Any, ranges: Any) -> bytes:
    """A quantizer that does nothing and says that all is well."""
    return tflite


def by_moving_average(tflite: bytes, plan: Plan, graphs: Any, ranges: Any) -> bytes:
    """The quantizer's own calibration: what edgekit does not use."""
    from ai_edge_quantizer import quantizer

    from edgekit.conversion.targets.tflite_plan import quantizer_rules

    names = [tensor.name for tensor in graphs[0].tensors]
    rng = np.random.default_rng(4)
    values = rng.random((24, *graphs[0].tensors[graphs[0].inputs[0]].shape), dtype=np.float32)
    values[3].flat[5] = 9.0
    engine = quantizer.Quantizer(tflite, quantizer_rules(plan, graphs))
    found = engine.calibrate({"serving_default": [{_input(tflite): value} for value in values]})
    assert names
    return bytes(engine.quantize(found).quantized_model)


def _input(tflite: bytes) -> str:
    from ai_edge_litert.interpreter import Interpreter

    (inputs,) = Interpreter(model_content=tflite).get_signature_list().values()
    name: str = inputs["inputs"][0]
    return name


def with_scheme(**weights: Any) -> Damage:
    """The quantizer told another scheme than the plan's."""

    def change(tflite: bytes, plan: Plan, graphs: Any, ranges: Any) -> bytes:
        base = plan.recipe.base
        other = msgspec.structs.replace(base, weights=msgspec.structs.replace(base.weights, **weights))
        return REAL(
            tflite, plan_for(msgspec.structs.replace(plan.recipe, base=other), graphs), graphs, ranges
        )

    return change


def clipped_too_much(tflite: bytes, plan: Plan, graphs: Any, ranges: Any) -> bytes:
    """Scales a third of what they should be, the values rounded to them and clipped: each by itself looks right."""

    def change(model: Any) -> None:
        for tensor in tensors(model, 17, constant=True):
            name = tensor.name.decode()
            real = next(one for one in graphs[0].tensors if one.name == name).values().astype(np.float64)
            scales = np.asarray(tensor.quantization.scale) / np.float32(3)
            shape = [1] * real.ndim
            shape[tensor.quantization.quantizedDimension] = -1
            stored = np.clip(np.rint(real / scales.reshape(shape)), -7, 7).astype(np.int64).reshape(-1) & 15
            model.buffers[tensor.buffer].data = (stored[0::2] | (stored[1::2] << 4)).astype(np.uint8)
            tensor.quantization.scale = scales

    return edited(change)(tflite, plan, graphs, ranges)


def one_left_float(tflite: bytes, plan: Plan, graphs: Any, ranges: Any) -> bytes:
    at = next(i for i, p in enumerate(plan.planned) if p.operator.name == "FULLY_CONNECTED")
    planned = list(plan.planned)
    planned[at] = Planned(planned[at].operator, FLOAT_SCHEME)
    return REAL(tflite, Plan(plan.recipe, tuple(planned)), graphs, ranges)


def one_not_left_float(tflite: bytes, plan: Plan, graphs: Any, ranges: Any) -> bytes:
    planned = tuple(Planned(p.operator, plan.recipe.base) for p in plan.planned)
    return REAL(tflite, Plan(plan.recipe, planned), graphs, ranges)


CASES: list[tuple[str, Damage, str, str]] = [
    ("int8-static", unchanged, "E_NOTHING_QUANTIZED", "nothing was quantized"),
    ("int8-dynamic", unchanged, "E_NOTHING_QUANTIZED", "nothing was quantized"),
    ("int4-weight-only", unchanged, "E_NOTHING_QUANTIZED", "nothing was quantized"),
    ("float16", unchanged, "E_NOTHING_QUANTIZED", "nothing was quantized"),
    ("int8-static", by_moving_average, "E_RECIPE_NOT_MET", "calibration found"),
    ("int8-static", edited(halved_activation_scale), "E_RECIPE_NOT_MET", "calibration found"),
    ("int8-static", edited(doubled_activation_scale), "E_RECIPE_NOT_MET", "is enough for what calibration found"),
    ("int8-static", edited(saturated_bias), "E_RECIPE_NOT_MET", "the bias is off by"),
    ("int8-static", edited(wrong_weight_scale), "E_RECIPE_NOT_MET", "weights are off by"),
    ("int8-dynamic", edited(wrong_weight_scale), "E_RECIPE_NOT_MET", "weights are off by"),
    ("int8-dynamic", edited(one_wrong_channel), "E_RECIPE_NOT_MET", "weights are off by"),
    ("int8-weight-only", edited(wrong_values), "E_RECIPE_NOT_MET", "weights are off by"),
    ("int4-weight-only", clipped_too_much, "E_RECIPE_NOT_MET", "clipped more than is good"),
    ("int8-dynamic", edited(moved_zero_points), "E_RECIPE_NOT_MET", "zero points"),
    ("int8-static", with_scheme(granularity="tensor"), "E_RECIPE_NOT_MET", "one scale, the recipe says per channel"),
    ("int8-dynamic", with_scheme(granularity="tensor"), "E_RECIPE_NOT_MET", "one scale, the recipe says per channel"),
    ("int8-weight-only", with_scheme(bits=4), "E_RECIPE_NOT_MET", "weights are int4, not int8"),
    ("int8-static", one_left_float, "E_RECIPE_NOT_MET", "is float32, not int8"),
    ("int8-dynamic", one_left_float, "E_RECIPE_NOT_MET", "weights are float32, not int8"),
    ("int8-dynamic", one_not_left_float, "E_RECIPE_NOT_MET", "it was to stay float"),
]  # fmt: skip


@pytest.mark.parametrize(("recipe", "damage", "code", "says"), CASES)
def test_b2_b3_damage_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str, damage: Damage, code: str, says: str
) -> None:
    model, data = net_and_data("cnn", "tflite", tmp_path, outlier=9.0)
    monkeypatch.setattr(TARGET, "_quantize", damage)
    with pytest.raises(VerificationError) as caught:
        convert(model, recipe=recipe, calibration=data, output=tmp_path / "o.ekm")
    assert (caught.value.code, caught.value.exit_code) == (code, 7)
    assert says in caught.value.message
    assert not (tmp_path / "o.ekm").exists()


@pytest.mark.parametrize(
    "recipe", ["int8-static", "int8-dynamic", "int8-weight-only", "int4-weight-only", "float16"]
)
def test_the_same_without_damage_passes(tmp_path: Path, recipe: str) -> None:
    """An edit that changes nothing changes nothing: the cases above are seen for what they are."""
    model, data = net_and_data("cnn", "tflite", tmp_path, outlier=9.0)
    assert (
        convert(model, recipe=recipe, calibration=data, output=tmp_path / "o.ekm").manifest.recipe == recipe
    )


@pytest.mark.parametrize("method", ["percentile:99", "entropy", "mse"])
def test_moving_average_is_seen_beside_other_methods(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    model, data = net_and_data("cnn", "tflite", tmp_path, outlier=9.0)
    monkeypatch.setattr(TARGET, "_quantize", by_moving_average)
    with pytest.raises(VerificationError) as caught:
        convert(
            model,
            recipe="int8-static",
            calibration=data,
            calibration_method=method,
            output=tmp_path / "o.ekm",
        )
    assert caught.value.code == "E_RECIPE_NOT_MET"
