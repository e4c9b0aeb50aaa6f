"""B2.1, B2-b3: weights of Core ML models compressed by recipes, read back by edgekit's own reader."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("coremltools")
pytest.importorskip("torch")

from edgekit.errors import InputError, VerificationError
from edgekit.models import Artifact
from tests.conversion.convert import convert
from tests.conversion.nets import build

pytestmark = pytest.mark.heavy
MODULE = import_module("edgekit_ios.compressing")
REAL = MODULE.shrunk
HEAD = "schema: edgekit.recipe/1\nname: mine\n"


def made(tmp_path: Path, recipe: str, net: str = "cnn") -> Artifact:
    if "\n" in recipe:
        (tmp_path / "mine.yaml").write_text(HEAD + recipe)
        recipe = str(tmp_path / "mine.yaml")
    model = build(net, "torch", tmp_path)
    return convert(model, recipe=recipe, to="coreml", output=tmp_path / "o.ekm")


@pytest.mark.parametrize(
    ("recipe", "most_bytes"),
    [
        ("int8-weight-only", 40_000),
        ("int4-weight-only", 27_000),
        ("mixed", 41_000),
        ("weights: {type: int, bits: 8, granularity: tensor}\n", 40_000),
        ("weights: {type: palette, bits: 8}\n", 45_000),
        ("weights: {type: palette, bits: 4}\n", 27_000),
        ("weights: {type: float, bits: 16, sparsity: 10%}\n", 65_000),
        ("weights: {type: palette, bits: 4, sparsity: 10%}\n", 31_000),
        ("weights: {type: int, bits: 8, sparsity: 10%}\n", 43_000),
        ("weights: {type: palette, bits: 6}\nrules: [{op: conv, scheme: float}]\n", 40_000),
    ],
)
def test_made_and_verified(tmp_path: Path, recipe: str, most_bytes: int) -> None:
    artifact = made(tmp_path, recipe)
    assert artifact.manifest.verification.state == "passed"
    assert 15_000 < artifact.manifest.model.size_bytes < most_bytes


def test_the_same_bytes_twice(tmp_path: Path) -> None:
    text = "weights: {type: palette, bits: 4}\n"
    one = made(tmp_path, text).manifest.model.sha256
    assert made(tmp_path, text).manifest.model.sha256 == one


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (
            "weights: {type: int, bits: 8}\nactivations: {mode: dynamic, bits: 8}\n",
            "E_RECIPE",
            "int8-dynamic",
        ),
        (
            "weights: {type: int, bits: 8}\nrules: [{op: convv, scheme: float}]\n",
            "E_RECIPE_RULE",
            "mean 'conv'",
        ),
    ],
)
def test_refused(tmp_path: Path, text: str, code: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        made(tmp_path, text)
    assert caught.value.code == code
    assert said in caught.value.message


def test_a_pruned_recipe_past_its_sense_fails_verification(tmp_path: Path) -> None:
    with pytest.raises(VerificationError) as caught:
        made(tmp_path, "weights: {type: float, bits: 16, sparsity: 90%}\n")
    assert caught.value.code == "E_CONVERSION_MISMATCH"


def nothing(model: Any, wanted: Any) -> Any:
    return model


def otherwise(**weights: Any) -> Any:
    """coremltools told another scheme than the recipe's."""

    def shrink(model: Any, wanted: Any) -> Any:
        from dataclasses import replace

        other = [
            replace(p, scheme=msgspec.structs.replace(p.scheme, weights=msgspec.structs.replace(p.scheme.weights, **weights)))
            for p in wanted
        ]  # fmt: skip
        return REAL(model, other)

    return shrink


def by_the_constants_old_name(model: Any, wanted: Any) -> Any:
    """How a pruned constant is missed by its name: coremltools changes nothing and reports success."""
    import coremltools.optimize.coreml as optimize

    pruned = REAL(model, list(map(_only_pruned, wanted)))
    configs = {
        p.constant: optimize.OpPalettizerConfig(mode="kmeans", nbits=4, weight_threshold=0) for p in wanted
    }
    return optimize.palettize_weights(
        pruned, optimize.OptimizationConfig(op_name_configs=configs), joint_compression=True
    )


def _only_pruned(planned: Any) -> Any:
    from dataclasses import replace

    weights = msgspec.structs.replace(planned.scheme.weights, type="float", bits=16)
    return replace(planned, scheme=msgspec.structs.replace(planned.scheme, weights=weights))


@pytest.mark.parametrize(
    ("recipe", "damage", "code", "says"),
    [
        ("int8-weight-only", nothing, "E_NOTHING_QUANTIZED", "nothing was quantized"),
        ("int8-weight-only", otherwise(granularity="tensor"), "E_RECIPE_NOT_MET", "weights have 1 scales"),
        ("weights: {type: palette, bits: 2}\n", otherwise(bits=4), "E_RECIPE_NOT_MET", "a palette of 2 bits has 4"),
        ("weights: {type: palette, bits: 4, sparsity: 10%}\n", by_the_constants_old_name, "E_RECIPE_NOT_MET", "a palette of 4 bits has 16"),
        ("weights: {type: float, bits: 16, sparsity: 30%}\n", otherwise(sparsity=0.1), "E_RECIPE_NOT_MET", "are zero"),
    ],
)  # fmt: skip
def test_b2_b3_damage_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str, damage: Any, code: str, says: str
) -> None:
    monkeypatch.setattr(MODULE, "shrunk", damage)
    with pytest.raises(VerificationError) as caught:
        made(tmp_path, recipe)
    assert (caught.value.code, caught.value.exit_code) == (code, 7)
    assert says in caught.value.message
