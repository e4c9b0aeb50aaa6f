"""B2: which recipe is taken where none is asked for: edgekit.yaml, the device's entry in it, the profile's own files."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

import edgekit
from edgekit.api.devices import default_recipe, with_recipe
from edgekit.api.models import converted
from edgekit.config import Config, load_config
from edgekit.errors import InputError, ProfileError
from edgekit.profiles import Profile, load_profile
from tests.cli.running import MODEL
from tests.cli.running import edgekit as command

pytest.importorskip("ai_edge_quantizer.quantizer")

OWN = "schema: edgekit.recipe/1\nname: own\nweights: {type: int, bits: 8}\nrules: [{op: CONV_2D, scheme: float}]\n"


def profile(folder: Path, prefer: str = "[recipes/own.yaml, float32]") -> Path:
    """A profile in `folder`, which prefers the recipe file beside it."""
    (folder / "recipes").mkdir()
    (folder / "recipes" / "own.yaml").write_text(OWN)
    file = folder / "board.yaml"
    file.write_text(
        f"schema: edgekit.profile/1\nname: board\nformats: [tflite]\nrecipe: {{prefer: {prefer}}}\n"
    )
    return file


def loaded(file: Path) -> Profile:
    return load_profile(file)


def test_a_profile_prefers_a_file_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From wherever it is used; where the profile lies does not change its hash."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    board = profile(tmp_path / "one")
    monkeypatch.chdir(tmp_path / "two")
    made = edgekit.convert(MODEL, profile=loaded(board), output=tmp_path / "a.ekm")
    assert made.manifest.recipe == "own"
    assert any(note == "recipe own: preferred by profile board" for note in made.manifest.notes)
    assert loaded(board).sha256 == loaded(profile(tmp_path / "two")).sha256


def test_auto_tries_it(tmp_path: Path) -> None:
    """B2.4: among the candidates, under its own name, and preferred where nothing is measured."""
    done = converted(MODEL, profile=loaded(profile(tmp_path)), recipe="auto", output=tmp_path / "a.ekm")
    assert done.auto is not None
    names = [one.recipe for one in done.auto.candidates]
    assert names[0] == "float32"
    assert names.count("own") == 1
    assert done.auto.picked.recipe == done.artifact.manifest.recipe == "own"


@pytest.mark.parametrize(
    ("prefer", "said"),
    [
        ("[recipes/none.yaml]", "there is no recipe file"),
        ("[int9]", "must be one of float32, float16"),
        ("[int8-statik]", "mean 'int8-static'"),
    ],
)
def test_what_is_no_recipe_is_told_with_its_line(tmp_path: Path, prefer: str, said: str) -> None:
    with pytest.raises(ProfileError) as caught:
        loaded(profile(tmp_path, prefer))
    (finding,) = caught.value.findings
    assert (finding.line, finding.path) == (4, "recipe.prefer[0]")
    assert said in finding.message


def test_the_settings_lead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EDGEKIT_RECIPE > the device's entry > edgekit.yaml; a file is meant from where edgekit.yaml lies."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "own.yaml").write_text(OWN)
    (tmp_path / "edgekit.yaml").write_text(
        "recipe: own.yaml\ndevices:\n  pi: {address: 'ssh://pi@rpi', recipe: int8-dynamic}\n"
    )
    config = load_config(tmp_path / "deep")
    entry = config.entry("pi")
    assert entry is not None
    assert config.recipe == str(tmp_path / "own.yaml")
    assert default_recipe(None, config) == config.recipe
    assert default_recipe(entry.recipe, config) == "int8-dynamic"
    monkeypatch.setenv("EDGEKIT_RECIPE", "float16")
    assert default_recipe(entry.recipe, load_config(tmp_path)) == "float16"
    assert default_recipe(None, Config()) == "float16"


def test_it_is_put_before_what_the_profile_prefers() -> None:
    board = load_profile("host-x86-64")
    assert with_recipe(board, None) is board
    led = with_recipe(board, "float16")
    assert led.recipe.prefer == ("float16", *(one for one in board.recipe.prefer if one != "float16"))
    assert msgspec.structs.replace(led, recipe=board.recipe) == board
    with pytest.raises(InputError) as caught:
        with_recipe(board, "int8-statik")
    assert caught.value.code == "E_RECIPE"


def test_convert_takes_it(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(OWN)
    (tmp_path / "edgekit.yaml").write_text("recipe: own.yaml\n")
    made = command("convert", MODEL, "--json", "-o", "a.ekm", cwd=tmp_path).ok().json()
    assert made["recipe"] == "own"
