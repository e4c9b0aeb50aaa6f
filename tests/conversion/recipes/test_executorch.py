"""B2.1, B2-b3: recipes for ExecuTorch by torchao's pt2e and XNNPACK's quantizer, the quantized program read back."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from edgekit.errors import InputError, VerificationError
from edgekit.models import Artifact
from tests.conversion.convert import convert
from tests.conversion.recipes.data import net_and_data

torch = pytest.importorskip("torch")
pytest.importorskip("executorch.exir")
pytestmark = pytest.mark.heavy
MODULE = import_module("edgekit.conversion.targets.executorch_quantize")
REAL = MODULE.convert
HEAD = "schema: edgekit.recipe/1\nname: mine\n"
STATIC = "weights: {type: int, bits: 8}\nactivations: {mode: static, bits: 8}\n"


def made(tmp_path: Path, recipe: str, **wishes: Any) -> Artifact:
    model, data = net_and_data("cnn", "torch", tmp_path, outlier=9.0)
    if "\n" in recipe:
        (tmp_path / "mine.yaml").write_text(HEAD + recipe)
        recipe = str(tmp_path / "mine.yaml")
    return convert(
        model, recipe=recipe, to="executorch", calibration=data, output=tmp_path / "o.ekm", **wishes
    )


def test_static_is_made_and_verified(tmp_path: Path) -> None:
    """Same inputs, same bytes; all samples; and the file has a quarter of the weights' size."""
    first = made(tmp_path, "int8-static")
    one = first.model_path.read_bytes()
    assert made(tmp_path, "int8-static").model_path.read_bytes() == one
    found = first.manifest.ranges
    assert found is not None
    assert (found.method, found.samples, found.clipped) == ("min-max", 24, ())
    assert len(one) < 45_000  # 108 kB of float weights


def test_dynamic_leaves_convolutions_in_float(tmp_path: Path) -> None:
    artifact = made(tmp_path, "int8-dynamic")
    assert any("aten.conv2d.default (2)" in note for note in artifact.manifest.notes)
    assert artifact.manifest.ranges is None
    assert len(artifact.model_path.read_bytes()) < 50_000


def test_rules_and_another_method(tmp_path: Path) -> None:
    text = STATIC + "rules:\n  - {layer: ^conv1$, scheme: float}\n  - {layer: head, scheme: int8-dynamic}\n"
    artifact = made(tmp_path, text, calibration_method="percentile:99")
    found = artifact.manifest.ranges
    assert found is not None
    assert found.method == "percentile 99"
    assert found.clipped


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (STATIC + "rules: [{op: aten.conv3d.default, scheme: float}]\n", "E_RECIPE_RULE", "fits no operator"),
        (
            STATIC + "rules: [{op: aten.conv2d.default, scheme: int8-dynamic}]\n",
            "E_RECIPE_RULE",
            "is not made",
        ),
        ("weights: {type: int, bits: 8}\n", "E_RECIPE", "int8-weight-only"),
    ],
)
def test_refused(tmp_path: Path, text: str, code: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        made(tmp_path, text)
    assert caught.value.code == code
    assert said in caught.value.message


def nothing(prepared: Any) -> Any:
    """Observers stay what they are: nothing is quantized."""
    return prepared


def scaled(prepared: Any) -> Any:
    converted = REAL(prepared)
    for name, buffer in converted.named_buffers():
        if name.startswith("_scale_"):
            buffer.mul_(1.1)
    return converted


def halved(prepared: Any) -> Any:
    """One activation's range is half of what calibration found: in the program, and where it is read back to float."""
    converted = REAL(prepared)
    nodes = [n for n in converted.graph.nodes if "quantize_per_tensor" in str(n.target) and n.args[1] > 0.005]
    for node in nodes:
        node.args = (node.args[0], node.args[1] / 2, *node.args[2:])
    return converted


@pytest.mark.parametrize(
    ("recipe", "damage", "code", "says"),
    [
        ("int8-static", nothing, "E_NOTHING_QUANTIZED", "nothing was quantized"),
        ("int8-dynamic", nothing, "E_NOTHING_QUANTIZED", "nothing was quantized"),
        ("int8-static", scaled, "E_RECIPE_NOT_MET", "weights are off by"),
        ("int8-static", halved, "E_RECIPE_NOT_MET", "calibration found"),
    ],
)
def test_b2_b3_damage_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str, damage: Any, code: str, says: str
) -> None:
    monkeypatch.setattr(MODULE, "convert", damage)
    with pytest.raises(VerificationError) as caught:
        made(tmp_path, recipe)
    assert (caught.value.code, caught.value.exit_code) == (code, 7)
    assert says in caught.value.message


def test_b2_b3_weights_that_no_observer_saw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pt2e does by itself when the prepared model is never run: one made-up scale, and success."""
    from torchao.quantization.pt2e import quantize_pt2e

    real = quantize_pt2e.prepare_pt2e

    def deaf(module: Any, quantizer: Any) -> Any:
        prepared = real(module, quantizer)
        prepared.forward = lambda *given: None
        return prepared

    monkeypatch.setattr(quantize_pt2e, "prepare_pt2e", deaf)
    with pytest.raises(VerificationError) as caught:
        made(tmp_path, "int8-dynamic")
    assert caught.value.code == "E_RECIPE_NOT_MET"
    assert "1 scales for 32 channels" in caught.value.message


def test_b2_b3_per_tensor_for_per_channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import msgspec

    real = MODULE._config

    def per_tensor(scheme: Any, watch: Any) -> Any:
        weights = msgspec.structs.replace(scheme.weights, granularity="tensor")
        return real(msgspec.structs.replace(scheme, weights=weights), watch)

    monkeypatch.setattr(MODULE, "_config", per_tensor)
    with pytest.raises(VerificationError) as caught:
        made(tmp_path, "int8-static")
    assert caught.value.code == "E_RECIPE_NOT_MET"
    assert "weights have one scale, the recipe says per channel" in caught.value.message
