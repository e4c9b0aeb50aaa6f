"""The shipped profiles: right, sourced, and described by the JSON Schema that editors are pointed at (A3)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgekit.profiles import check_profile, load_profile
from edgekit.profiles.jsonschema import json_schema, schema_text
from edgekit.profiles.search import shipped_folder
from tests.profiles.schema_check import problems

pytestmark = pytest.mark.base

NAMES = [
    "host-x86-64",
    "host-arm64",
    "generic-linux-arm64",
    "generic-linux-armv7",
    "raspberry-pi-3",
    "raspberry-pi-4",
    "raspberry-pi-5",
    "jetson-nano",
    "jetson-orin-nano",
    "jetson-agx-orin",
    "generic-android-arm64",
    "generic-android-x86-64",
    "pixel-6",
    "pixel-8",
    "galaxy-s21",
    "galaxy-s24",
    "coral-dev-board",
    "iphone-15",
]
FILES = sorted(shipped_folder().glob("*.yaml"))
OWN_WORDS = {"schema", "name", "extends", "description", "export_only", "abi"}


def test_exactly_these() -> None:
    assert {path.stem for path in FILES} == set(NAMES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_has_no_findings_and_its_own_name(path: Path) -> None:
    assert check_profile(path) == []
    assert load_profile(path.stem).name == path.stem


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_fits_the_json_schema(path: Path) -> None:
    schema = json_schema()
    assert problems(yaml.safe_load(path.read_text(encoding="utf-8")), schema, schema) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_points_editors_at_the_schema_beside_it(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    target = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert target is not None
    assert (path.parent / target.group(1)).is_file()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_section_has_a_source_in_a_comment(path: Path) -> None:
    """A section of hardware facts or choices has a comment in it or right above it that says where from."""
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        key = re.match(r"([a-z_]+):", line)
        if key is None or key.group(1) in OWN_WORDS:
            continue
        end = next((i for i in range(number + 1, len(lines)) if re.match(r"[a-z_]", lines[i])), len(lines))
        above = [text for text in lines[1:number] if text.startswith("#")]
        inside = [text for text in lines[number:end] if "#" in text]
        assert above or inside, f"{path.name}:{number + 1} {line}"


def test_the_file_beside_them_is_the_schema() -> None:
    text = (shipped_folder() / "profile.schema.json").read_text(encoding="utf-8")
    assert json.loads(text) == json_schema()
    assert json.loads(schema_text()) == json_schema()


def fits(document: Any) -> bool:
    schema = json_schema()
    return not problems({"schema": "edgekit.profile/1", "name": "x", **document}, schema, schema)


@pytest.mark.parametrize(
    ("document", "good"),
    [
        ({}, True),
        ({"limits": {"temperature": "80C", "peak_rss": "64MiB", "median_latency": "1.5 ms"}}, True),
        ({"limits": {"temperature": 80}}, False),
        ({"limits": {"temperature": "80"}}, False),
        ({"limits": {"peak_rss": "64mb"}}, False),
        ({"limits": {"peak_rss": "-64MB"}}, False),
        ({"limits": {"temperature": None}}, False),
        ({"limit": {}}, False),
        ({"recipe": {"max_accuracy_drop": 0.01}}, True),
        ({"recipe": {"max_accuracy_drop": "1%"}}, True),
        ({"recipe": {"prefer": ["int9"]}}, False),
        ({"bench": {"cpus": 4}}, True),
        ({"bench": {"cpus": "0-3"}}, True),
        ({"bench": {"cpus": "x"}}, False),
        ({"bench": {"knobs": {"/sys/a": 1}}}, True),
        ({"bench": {"knobs": {"/etc/a": 1}}}, False),
        ({"match": {"soc": ["a", "b"], "os": "linux"}}, True),
        ({"match": {"os": "plan9"}}, False),
        ({"power": {"discharge_sign": -1}}, True),
        ({"name": "Bad Name"}, False),
        ({"export_only": "yes"}, False),
    ],
)
def test_json_schema_says_what_the_checker_says(tmp_path: Path, document: dict[str, Any], good: bool) -> None:
    assert fits(document) is good
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump({"schema": "edgekit.profile/1", "name": "x", **document}))
    assert (check_profile(path) == []) is good
