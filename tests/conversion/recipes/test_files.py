"""B2.1: recipes are data: a strict schema, every error with its line, one meaning for one content."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgekit.conversion.recipes import AS_IS, RECIPES, kind_of, load_recipe, with_method
from edgekit.conversion.recipes import load as loading
from edgekit.conversion.recipes.choose import not_made
from edgekit.conversion.recipes.listing import json_schema, list_recipes
from edgekit.conversion.recipes.load import locate, recipe_files, recipe_json, resolve, user_folder
from edgekit.conversion.recipes.schema import Activations, Scheme, Weights
from edgekit.errors import InputError, RecipeError

pytestmark = pytest.mark.base
HEAD = "schema: edgekit.recipe/1\nname: mine\n"
INT8 = "weights: {type: int, bits: 8}\n"


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_every_file_of_the_package_is_a_built_in_recipe() -> None:
    folder = Path(loading.__file__).parent
    assert {path.stem for path in folder.glob("*.yaml")} == set(RECIPES)
    for name in RECIPES:
        recipe = load_recipe(name)
        assert recipe.name == name
        assert recipe.description


@pytest.mark.parametrize(
    ("name", "kind", "calibrated", "precision"),
    [
        ("float32", "float32", False, "float32"),
        ("float16", "float16", False, "float16"),
        ("int8-dynamic", "int8-dynamic", False, "int8"),
        ("int8-weight-only", "int8-weight-only", False, "int8"),
        ("int8-static", "int8-static", True, "int8"),
        ("int16x8", "int16x8", True, "int16"),
        ("int4-weight-only", "int4-weight-only", False, "int4"),
        ("int4-blockwise", "int4-blockwise", False, "int4"),
        ("mixed", "float32", False, "int8"),
        (AS_IS, AS_IS, False, "float32"),
    ],
)
def test_what_a_built_in_recipe_is(name: str, kind: str, calibrated: bool, precision: str) -> None:
    recipe = load_recipe(name)
    assert (recipe.kind, recipe.calibrated("tflite"), recipe.precision) == (kind, calibrated, precision)


@pytest.mark.parametrize(
    ("scheme", "kind"),
    [
        (Scheme(), "float32"),
        (Scheme(weights=Weights(type="palette", bits=4)), "palette4"),
        (Scheme(weights=Weights(type="palette", bits=4, sparsity=0.5)), "sparse-palette4"),
        (Scheme(weights=Weights(type="int", bits=4, granularity="block-32")), "int4-weight-only-blockwise"),
        (Scheme(weights=Weights(type="int", bits=8, symmetric=False)), "int8-weight-only-asymmetric"),
        (Scheme(weights=Weights(type="int", bits=4), activations=Activations(mode="static", bits=8)), "int4-static"),
    ],
)  # fmt: skip
def test_kinds(scheme: Scheme, kind: str) -> None:
    assert kind_of(scheme) == kind


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (HEAD + "wieghts: {type: int, bits: 8}\n", 3, "unknown key 'wieghts'; did you mean 'weights'?"),
        (HEAD + "weights: {type: int, bits: 5}\n", 3, "must be one of 1, 2, 4, 6, 8, 16, 32, not '5'"),
        (HEAD + "weights: {type: int, bits: 6}\n", 3, "weights of type int have 2, 4, 8 bits, not 6"),
        (HEAD + "weights: {type: int}\n", 3, "weights of type int have 2, 4, 8 bits, not 32"),
        (HEAD + "weights: {type: in, bits: 8}\n", 3, "did you mean 'int'?"),
        (HEAD + "weights: {granularity: chanel}\n", 3, "did you mean 'channel'?"),
        (HEAD + INT8 + "activations: {mode: static}\n", 4, "static activations have 8 or 16 bits, not 32"),
        (HEAD + "activations: {mode: dynamic, bits: 8}\n", 3, "need weights of type int"),
        (HEAD + INT8 + "ranges: {method: percentile}\n", 4, "percentile goes with method: percentile"),
        (HEAD + INT8 + "ranges: {method: percentil, percentile: 99}\n", 4, "did you mean 'percentile'?"),
        (HEAD + INT8 + "rules:\n  - {scheme: float}\n", 5, "a rule needs op, layer or weights_below"),
        (
            HEAD + INT8 + "rules:\n  - {weights_below: 9, scheme: float}\n",
            5,
            "for target onnx or tflite only",
        ),
        (HEAD + INT8 + "rules:\n  - {op: ADD, scheme: flaot}\n", 5, "did you mean 'float'?"),
        (HEAD + INT8 + "rules:\n  - {layer: '(', scheme: float}\n", 5, "is no regular expression"),
        (HEAD + INT8 + "rules:\n  - {layer: '(a++)+', scheme: float}\n", 5, "has possessive repeats"),
        (HEAD + INT8 + "rules:\n  - {layer: '(?>a+)+', scheme: float}\n", 5, "has atomic groups"),
        (HEAD + INT8 + "rules:\n  - {layer: '(a)b\\1', scheme: float}\n", 5, "has back references"),
        (HEAD + INT8 + "rules:\n  - {layer: '((a{99}){99}){99}', scheme: float}\n", 5, "is too large"),
        (
            HEAD + INT8 + "rules:\n  - {layer: 'a{99999999999999999999}', scheme: float}\n",
            5,
            "no regular expression",
        ),
        (
            HEAD + INT8 + "rules:\n  - {op: ADD, target: tflight, scheme: float}\n",
            5,
            "did you mean 'tflite'?",
        ),
        (HEAD + INT8 + "rules:\n  - {op: ADD, scheme: mixed}\n", 5, "no scheme 'mixed'"),
        (HEAD + INT8 + "ranges: {method: entropy}\n", 4, "nothing here has such"),
        (HEAD + "weights: {bits: 16, ranges: octav}\n", 3, "no ranges and no zero points"),
        (
            HEAD + "schemes: {int8-static: {}}\nrules: [{op: ADD, scheme: int8-static}]\n",
            3,
            "meaning of its own",
        ),
        (HEAD + INT8 + "rules:\n  - {op: ADD, schema: float}\n", 5, "did you mean 'scheme'?"),
        (HEAD + "schemes: {small: {weights: {type: int, bits: 4}}}\n", 3, "no rule names the scheme 'small'"),
        (HEAD + "schemes: {float: {}}\nrules: [{op: ADD, scheme: float}]\n", 3, "has a meaning of its own"),
        (HEAD + "weights: &a {type: int}\n", 3, "anchors (&a) are not for recipes"),
        ("schema: edgekit.recipe/2\nname: mine\n", 1, "edgekit.recipe/1"),
        ("schema: edgekit.recipe/1\nname: as-is\n", 2, "'as-is' is not for files"),
        ("schema: edgekit.recipe/1\n", 1, "'name' is missing"),
        ("- a\n", 1, "a recipe is a map of keys to values, this is a list"),
        ("", 1, "the file is empty"),
    ],
)
def test_every_error_has_its_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    path = put(tmp_path / "mine.yaml", text)
    findings = resolve(path).findings
    assert [f for f in findings if f.line == line and said in f.message], findings
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert (caught.value.code, caught.value.exit_code) == ("E_RECIPE", 1)
    assert f"mine.yaml:{line}" in caught.value.message
    assert json.loads(json.dumps(caught.value.to_json()))["errors"][0]["line"] == line


@pytest.mark.parametrize(
    "layer",
    [
        "a+b*",
        "(conv|dense)_[0-9]+",
        "(block[0-9]{1,3}/)+conv",
        "^(a+)+$",
        "((x|y*)z)*",
        "(?=(a*)*b)",
        "^(?!.*attention).*conv",
        "(ab?)*",
        "^x(?P<n>.*)y$",
    ],
)
def test_regular_expressions_that_end(tmp_path: Path, layer: str) -> None:
    path = put(tmp_path / "mine.yaml", HEAD + INT8 + f"rules:\n  - {{layer: '{layer}', scheme: float}}\n")
    assert resolve(path).findings == ()


def test_all_errors_at_once(tmp_path: Path) -> None:
    path = put(tmp_path / "mine.yaml", HEAD + "a: 1\nb: 2\nweights: {bits: x}\n")
    assert [finding.line for finding in resolve(path).findings] == [3, 4, 5]


def test_a_file_by_name_and_by_path(tmp_path: Path) -> None:
    own = put(user_folder() / "mine.yaml", HEAD + INT8)
    assert load_recipe("mine") == load_recipe(own) == load_recipe(str(own))
    put(user_folder() / "other.yaml", HEAD)
    with pytest.raises(RecipeError, match=r"is 'mine', but the file is called 'other.yaml'"):
        load_recipe("other")
    for name, near in (("int8-statik", "did you mean 'int8-static'?"), ("x/absent.yaml", "no recipe file")):
        with pytest.raises(InputError) as caught:
            load_recipe(name)
        assert caught.value.code == "E_RECIPE"
        assert near in caught.value.message


def test_an_own_recipe_stands_before_the_built_in_one() -> None:
    path = put(user_folder() / "int8-dynamic.yaml", HEAD.replace("mine", "int8-dynamic") + INT8)
    assert locate("int8-dynamic") == recipe_files()["int8-dynamic"] == path
    assert load_recipe("int8-dynamic").kind == "int8-weight-only"
    listed = {entry.name: entry for entry in list_recipes()}
    assert (listed["int8-dynamic"].origin, listed["float32"].origin) == ("user", "built-in")


def test_the_hash_is_of_the_content(tmp_path: Path) -> None:
    plain = HEAD + INT8 + "rules: [{op: ADD, scheme: float}]\n"
    same = (
        HEAD
        + "description: x\nweights:\n  bits: 8 # eight\n  type: int\n"
        + ("rules:\n  - {scheme: float, op: ADD, why: because}\n")
    )
    other = plain.replace("ADD", "SUB")
    first, second, third = (
        load_recipe(put(tmp_path / f"{index}.yaml", text)) for index, text in enumerate((plain, same, other))
    )
    assert first.sha256 == second.sha256 != third.sha256
    assert len({load_recipe(name).sha256 for name in (*RECIPES, AS_IS)}) == len(RECIPES) + 1


def test_the_hash_holds_the_schemes_that_rules_name(tmp_path: Path) -> None:
    text = HEAD + "schemes: {small: {weights: {type: int, bits: 4}}}\nrules: [{op: ADD, scheme: small}]\n"
    four = load_recipe(put(tmp_path / "a.yaml", text))
    eight = load_recipe(put(tmp_path / "b.yaml", text.replace("4", "8")))
    assert four.sha256 != eight.sha256
    assert four.schemes["small"].weights.bits == 4


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("entropie", "did you mean 'entropy'?"),
        ("percentile", "percentile:99.9"),
        ("percentile:40", "not from 50 to 100"),
        ("percentile:x", "not from 50 to 100"),
        ("mse:3", "no calibration method"),
    ],
)
def test_a_wrong_method(method: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        with_method(load_recipe("int8-static"), method)
    assert caught.value.code == "E_CALIBRATION_METHOD"
    assert said in caught.value.message


def test_a_method_is_part_of_the_recipe() -> None:
    static = load_recipe("int8-static")
    changed = with_method(static, "percentile:99.5")
    assert (changed.ranges.method, changed.ranges.percentile) == ("percentile", 99.5)
    assert changed.sha256 != static.sha256
    assert with_method(static, None) == static == with_method(static, "min-max")
    with pytest.raises(InputError, match="finds no ranges from data"):
        with_method(load_recipe("int8-dynamic"), "mse")


def test_what_a_target_does_not_make(tmp_path: Path) -> None:
    palette = load_recipe(put(tmp_path / "mine.yaml", HEAD + "weights: {type: palette, bits: 4}\n"))
    error = not_made(palette, ("float32", "int8-static"), "tflite")
    assert error is not None
    assert error.code == "E_RECIPE"
    assert "recipe 'mine', which is palette4 (only float32, int8-static)" in error.message
    assert not_made(load_recipe("mixed"), ("float32", "int8-dynamic"), "tflite") is None
    nothing = not_made(load_recipe("mixed"), ("float32", "int8-dynamic"), "nowhere")
    assert nothing is not None
    assert "no rule for --to nowhere" in nothing.message


def test_the_schema_for_editors_knows_every_key() -> None:
    schema = json_schema()
    assert schema["title"] == "edgekit.recipe/1"
    assert set(schema["$defs"]["Document"]["properties"]) >= {
        "weights",
        "activations",
        "ranges",
        "rules",
        "schemes",
    }


def test_a_recipe_as_json_has_its_defaults() -> None:
    found = recipe_json(load_recipe("int8-static"))
    assert found["base"]["activations"] == {"mode": "static", "bits": 8, "symmetric": False}
    assert found["sha256"] == load_recipe("int8-static").sha256
