"""B2.1: which rule an operator falls under, and rules that fit nothing. Pure."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.conversion.recipes import kind_of, load_recipe
from edgekit.conversion.recipes.rules import Planner
from edgekit.conversion.recipes.schema import Recipe
from edgekit.errors import InputError

pytestmark = pytest.mark.base
TEXT = """schema: edgekit.recipe/1
name: mine
weights: {type: int, bits: 8}
schemes: {small: {weights: {type: int, bits: 4}}}
rules:
  - {op: ADD, scheme: float}
  - {layer: ^head/, op: [CONV, DENSE], scheme: small}
  - {layer: ^head/, scheme: int8-dynamic}
  - {target: onnx, op: Conv, scheme: float}
  - {op: LSTM, scheme: float, optional: true}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    path = tmp_path / "mine.yaml"
    path.write_text(TEXT)
    return load_recipe(path)


@pytest.mark.parametrize(
    ("op", "names", "kind", "place"),
    [
        ("ADD", ("head/a",), "float32", 1),
        ("CONV", ("head/a",), "int4-weight-only", 2),
        ("DENSE", ("x", "head/b"), "int4-weight-only", 2),
        ("MUL", ("head/a",), "int8-dynamic", 3),
        ("CONV", ("body/head/a",), "int8-weight-only", None),
        ("Conv", ("a",), "int8-weight-only", None),
    ],
)
def test_the_first_that_fits_decides(
    recipe: Recipe, op: str, names: tuple[str, ...], kind: str, place: int | None
) -> None:
    scheme, found = Planner(recipe, "tflite").scheme(op, names)
    assert (kind_of(scheme), found) == (kind, place)


def test_rules_of_another_target_are_not_asked(recipe: Recipe) -> None:
    assert Planner(recipe, "onnx").scheme("Conv", ("a",))[1] == 4


@pytest.mark.parametrize(
    ("weights", "kind"), [(99, "float32"), (100, "int8-weight-only"), (None, "int8-weight-only")]
)
def test_a_rule_can_go_by_the_number_of_weights(tmp_path: Path, weights: int | None, kind: str) -> None:
    """B2.1: small layers are worth no error. What has no weights is not small."""
    path = tmp_path / "mine.yaml"
    path.write_text(
        "schema: edgekit.recipe/1\nname: mine\nweights: {type: int, bits: 8}\n"
        "rules:\n  - {target: tflite, weights_below: 100, scheme: float, optional: true}\n"
    )
    scheme, _ = Planner(load_recipe(path), "tflite").scheme("CONV", ("a",), weights)
    assert kind_of(scheme) == kind


def test_a_rule_that_fits_nothing_is_an_error(recipe: Recipe) -> None:
    planner = Planner(recipe, "tflite")
    planner.scheme("ADDD", ("a",))
    planner.scheme("DENSE", ("head/x",))
    with pytest.raises(InputError) as caught:
        planner.require_all(["ADDD", "DENSE"])
    assert caught.value.code == "E_RECIPE_RULE"
    assert "rule 1 (op ADD); rule 3 (layer ^head/)" in caught.value.message
    assert "did you mean 'ADDD'?" in caught.value.message


def test_nothing_is_said_where_all_fit(recipe: Recipe) -> None:
    planner = Planner(recipe, "tflite")
    for op, name in (("ADD", "a"), ("CONV", "head/a"), ("MUL", "head/b")):
        planner.scheme(op, (name,))
    planner.require_all(["ADD", "CONV", "MUL"])


@pytest.mark.parametrize("inputs", [(), (-1,)])
def test_a_dequantize_that_reads_nothing_has_no_weights(inputs: tuple[int, ...]) -> None:
    """A file can say so: -1 is no tensor, and not the last one."""
    from edgekit.conversion.targets.tflite_graph import Graph, Operator, Tensor

    raw = object()
    constant = Tensor("last", "float32", (1,), raw, b"\0\0\0\0")
    tensors = (*(Tensor(name, "float32", (1,), raw, None) for name in ("x", "w", "y")), constant)
    moves = Operator("DEQUANTIZE", 6, 0, 0, inputs, (1,), raw)
    dense = Operator("FULLY_CONNECTED", 9, 0, 1, (0, 1, -1), (2,), raw)
    graph = Graph(0, tensors, (moves, dense), (0,), (2,))
    assert graph.weight(dense) is None
