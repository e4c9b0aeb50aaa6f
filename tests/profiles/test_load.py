"""Names, paths and `extends`; what a resolved profile holds (A3)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from edgekit.config import user_config_dir
from edgekit.errors import ProfileError
from edgekit.profiles import check_profile, cpu_numbers, list_profiles, load_profile, profile_json
from edgekit.profiles.load import resolve
from edgekit.profiles.nodes import read_nodes
from edgekit.profiles.render import render_tree
from edgekit.profiles.search import shipped_folder, user_folder

pytestmark = pytest.mark.base

BASE = """schema: edgekit.profile/1
name: base
description: the base
match: {os: linux, abi: arm64-v8a}
runtimes: [litert, litert-python]
precisions: {litert: [int8]}
limits: {temperature: 80C, peak_rss: 64MiB}
bench: {threads: 4, knobs: {/sys/a: 1}}
"""
CHILD = """schema: edgekit.profile/1
name: child
extends: base
match: {device_tree_model: "Board *"}
runtimes: [litert]
limits: {temperature: 70C}
bench: {knobs: {/sys/b: "2"}}
"""


def put(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def test_extends_merges_maps_and_replaces_lists(tmp_path: Path) -> None:
    put(tmp_path, base=BASE, child=CHILD)
    profile = load_profile(tmp_path / "child.yaml")
    assert profile.name == "child"
    assert profile.description is None
    assert (profile.match.os, profile.match.device_tree_model) == ("linux", "Board *")
    assert profile.runtimes == ("litert",)
    assert profile.limits.temperature_mc == 70_000
    assert profile.limits.peak_rss_bytes == 64 << 20
    assert profile.bench.knobs == {"/sys/a": "1", "/sys/b": "2"}
    assert profile.bench.threads == 4
    assert [Path(source).name for source in profile.sources] == ["child.yaml", "base.yaml"]


def test_profile_is_frozen(tmp_path: Path) -> None:
    profile = load_profile(put(tmp_path, base=BASE) / "base.yaml")
    with pytest.raises(AttributeError):
        profile.name = "other"  # type: ignore[misc]


def test_sha256_is_of_the_content_not_of_the_spelling(tmp_path: Path) -> None:
    put(tmp_path, base=BASE)
    same = BASE.replace("64MiB", "65536 KiB").replace("the base", "other words").replace("80C", "80.0 °C")
    put(tmp_path / "two", base="# a comment\n" + same)
    put(tmp_path / "three", base=BASE.replace("80C", "81C"))
    one, two, three = (load_profile(tmp_path / where / "base.yaml") for where in ("", "two", "three"))
    assert one.sha256 == two.sha256
    assert one.sha256 != three.sha256
    assert len(one.sha256) == 64


def test_errors_of_a_parent_are_told_with_the_parents_file(tmp_path: Path) -> None:
    put(tmp_path, base=BASE.replace("80C", "80"), child=CHILD)
    findings = check_profile(tmp_path / "child.yaml")
    assert [(Path(one.file).name, one.line, one.path) for one in findings] == [
        ("base.yaml", 7, "limits.temperature")
    ]


def test_a_parent_that_is_not_there(tmp_path: Path) -> None:
    put(tmp_path, child=CHILD.replace("extends: base", "extends: raspbery-pi-5"))
    (finding,) = check_profile(tmp_path / "child.yaml")
    assert (finding.line, finding.path) == (3, "extends")
    assert "did you mean 'raspberry-pi-5'" in finding.message


def test_circles_and_too_long_chains(tmp_path: Path) -> None:
    head = "schema: edgekit.profile/1\nname: {0}\nextends: {1}\n"
    put(tmp_path, a=head.format("a", "b"), b=head.format("b", "c"), c=head.format("c", "a"))
    (finding,) = check_profile(tmp_path / "a.yaml")
    assert "in a circle: a -> b -> c -> a" in finding.message
    assert Path(finding.file).name == "c.yaml"
    put(tmp_path, **{f"l{i}": head.format(f"l{i}", f"l{i + 1}") for i in range(12)})
    assert "more than" in check_profile(tmp_path / "l0.yaml")[0].message


def test_parents_are_looked_for_beside_the_child_then_in_the_users_folder_then_shipped(
    tmp_path: Path,
) -> None:
    put(user_folder(), base=BASE.replace("threads: 4", "threads: 2"))
    put(tmp_path, child=CHILD)
    assert load_profile(tmp_path / "child.yaml").bench.threads == 2
    put(tmp_path, base=BASE)
    assert load_profile(tmp_path / "child.yaml").bench.threads == 4
    put(tmp_path / "sub", child=CHILD.replace("extends: base", "extends: ../base.yaml"))
    assert load_profile(tmp_path / "sub" / "child.yaml").bench.threads == 4


def test_users_own_profile_comes_first_and_may_extend_the_shipped_one_of_its_name() -> None:
    shipped = load_profile("raspberry-pi-5")
    own = "schema: edgekit.profile/1\nname: raspberry-pi-5\nextends: raspberry-pi-5\nlimits: {temperature: 75C}\n"
    put(user_folder(), **{"raspberry-pi-5": own})
    profile = load_profile("raspberry-pi-5")
    assert profile.limits.temperature_mc == 75_000
    assert profile.device == shipped.device
    assert [one.origin for one in list_profiles() if one.name == "raspberry-pi-5"] == ["user"]


def test_user_folder_is_beside_the_settings() -> None:
    assert user_folder() == user_config_dir() / "profiles"


def test_name_of_the_file_and_in_it_must_agree() -> None:
    put(user_folder(), other=BASE)
    with pytest.raises(ProfileError) as caught:
        load_profile("other")
    assert "is 'base'" in caught.value.message


@pytest.mark.parametrize("name", ["raspbery-pi-5", "Raspberry-Pi-5", "raspberry_pi_5"])
def test_unknown_name_suggests_the_near_one(name: str) -> None:
    with pytest.raises(ProfileError) as caught:
        load_profile(name)
    assert caught.value.code == "E_PROFILE_NOT_FOUND"
    assert "'raspberry-pi-5'" in caught.value.message


def test_missing_path() -> None:
    with pytest.raises(ProfileError) as caught:
        load_profile("./nowhere.yaml")
    assert caught.value.code == "E_PROFILE_NOT_FOUND"
    assert caught.value.exit_code == 1


def test_broken_profile_of_the_user_is_listed_with_its_findings() -> None:
    put(user_folder(), broken="schema: edgekit.profile/1\nname: broken\nlimit: {}\n")
    (broken,) = [one for one in list_profiles() if one.name == "broken"]
    assert broken.profile is None
    assert broken.findings[0].line == 3


def test_resolved_profile_as_yaml_means_the_same(tmp_path: Path) -> None:
    for name in ("raspberry-pi-5", "pixel-6", "iphone-15", "galaxy-s21"):
        profile = load_profile(name)
        tree = resolve(Path(profile.sources[0])).tree
        assert tree is not None
        text = render_tree(tree)
        copy = tmp_path / f"{name}.yaml"
        copy.write_text("\n".join(line for line in text.splitlines() if not line.startswith("extends:")))
        assert load_profile(copy).sha256 == profile.sha256
        assert f"{name}.yaml:" in text


def test_json_says_the_units_in_its_keys() -> None:
    plain = profile_json(load_profile("raspberry-pi-5"))
    assert plain["limits"]["temperature_mc"] == 80_000
    assert plain["device"]["cores"][0]["max_frequency_khz"] == 2_400_000
    assert len(plain["sha256"]) == 64
    assert msgspec.json.decode(msgspec.json.encode(plain)) == plain


@pytest.mark.parametrize(("text", "numbers"), [("0-3", (0, 1, 2, 3)), ("4", (4,)), ("0,2-3,9", (0, 2, 3, 9))])
def test_cpu_numbers(text: str, numbers: tuple[int, ...]) -> None:
    assert cpu_numbers(text) == numbers


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    root, findings = read_nodes(put(tmp_path, base=BASE) / "base.yaml")
    assert findings == []
    assert root is not None
    assert {name: key.line for name, (key, _) in root.items.items()}["limits"] == 7


def test_loading_imports_nothing_heavy_and_is_quick(tmp_path: Path) -> None:
    """A3: a profile is read at every command; numpy, matplotlib, SQLAlchemy, adb or ssh must not come with it."""
    code = (
        "import sys, time; from edgekit.profiles import load_profile; load_profile('raspberry-pi-5');"
        "heavy = {'numpy', 'paramiko', 'adbutils', 'sqlalchemy', 'matplotlib', 'rich', 'hashlib'} & set(sys.modules);"
        "assert not heavy, heavy; print(time.process_time())"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(tmp_path)  # an installed edgekit has its bytecode

    def cpu_seconds(program: str) -> float:
        argv = [sys.executable, "-c", program]
        done = subprocess.run(argv, env=environment, check=True, capture_output=True, timeout=60)
        return float(done.stdout)

    cpu_seconds(code)
    empty = "import time; print(time.process_time())"
    full, none = cpu_seconds(code), cpu_seconds(empty)
    for _ in range(20):
        if full - none < 0.12:
            break
        full, none = min(full, cpu_seconds(code)), min(none, cpu_seconds(empty))
    # 0.06 s is what it is meant to cost; a shared machine gets the threefold
    assert full - none < 0.18


def test_shipped_folder_is_there() -> None:
    assert len(list(shipped_folder().glob("*.yaml"))) == 18
