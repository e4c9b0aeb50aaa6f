"""`profile check`: every error at once, each with its file and line, and a suggestion where one is near (A3)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import Finding, ProfileError
from edgekit.profiles import check_profile, load_profile
from edgekit.profiles.nodes import MAX_BYTES

pytestmark = pytest.mark.base

HEAD = "schema: edgekit.profile/1\nname: mine\n"


def write(folder: Path, text: str | bytes, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def found(folder: Path, text: str | bytes) -> list[tuple[int | None, str, str]]:
    path = write(folder, text)
    findings = check_profile(path)
    assert all(finding.file == str(path) for finding in findings)
    return [(one.line, one.path, one.message) for one in findings]


def test_all_errors_at_once_with_their_lines(tmp_path: Path) -> None:
    text = """schema: edgekit.profile/1
name: Mine
limits: {temprature: 80C, peak_rss: 64}
bench:
  threads: 0
  cpus: abc
  knobs: {/etc/passwd: 1, /sys/../etc/x: 1}
runtimes: [litrt]
formats: tflite
precisions: {litert: [int7, int8, int8]}
export_only: yes
power: {boundary: soc-rail, discharge_sign: 2}
device: {abi: aarch64, cores: [{cpus: 0-3}]}
"""
    errors = found(tmp_path, text)
    assert [(line, path) for line, path, _ in errors] == [
        (2, "name"),
        (3, "limits.temprature"),
        (3, "limits.peak_rss"),
        (5, "bench.threads"),
        (6, "bench.cpus"),
        (7, "bench.knobs./etc/passwd"),
        (7, "bench.knobs./sys/../etc/x"),
        (8, "runtimes[0]"),
        (9, "formats"),
        (10, "precisions.litert[0]"),
        (10, "precisions.litert[2]"),
        (11, "export_only"),
        (12, "power.boundary"),
        (12, "power.discharge_sign"),
        (13, "device.abi"),
        (13, "device.cores[0].cluster"),
    ]
    said = {path: message for _, path, message in errors}
    assert "did you mean 'temperature'" in said["limits.temprature"]
    assert "did you mean 'litert'" in said["runtimes[0]"]
    assert "did you mean 'soc-rails'" in said["power.boundary"]
    assert "has no unit" in said["limits.peak_rss"]
    assert "64MiB" in said["limits.peak_rss"]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("", 1, "the file is empty"),
        ("# only a comment\n", 1, "the file is empty"),
        ("- a\n- b\n", 1, "this is a list"),
        ("just text\n", 1, "this is plain text"),
        (HEAD + "limits:\n\ttemperature: 80C\n", 4, "spaces"),
        (HEAD + "name: again\n", 3, "is here twice (first on line 2)"),
        (HEAD + "limits: {a: [1\n", 4, "not YAML"),
        (HEAD + "description: &x hello\n", 3, "anchors"),
        (HEAD + "description: *x\n", 3, "aliases"),
        (HEAD + "<<: {a: b}\n", 3, "merge keys"),
        (HEAD + "description: !!python/object:os.system ls\n", 3, "tags"),
        (HEAD + "---\nname: two\n", 3, "second one"),
        (HEAD + "? [a, b]\n: c\n", 3, "a key must be a word"),
        (HEAD + "description:\n", 3, "has no value"),
        (HEAD + "limits: 80C\n", 3, "must be a map"),
        (HEAD + "description: [a]\n", 3, "single value"),
        (HEAD + "bench: {launches: 2.5}\n", 3, "whole number"),
        (HEAD + "bench: {min_seconds: 2s}\n", 3, "must be a number"),
        (HEAD + 'bench: {knobs: {/sys/x: "a\\nb"}}\n', 3, "control characters"),
        (HEAD.replace("profile/1", "profile/2"), 1, "must be edgekit.profile/1"),
        ("name: mine\n", 1, "'schema' is missing"),
        (b"schema: edgekit.profile/1\nname: \xff\xfe\n", 2, "not UTF-8"),
        ("schema: x\n".encode("utf-16"), 1, "UTF-16"),
        (HEAD.encode() + b"description: a\x00b\n", 3, "not YAML"),
        (HEAD + f"description: {'[' * 2000}\n", None, ""),
        (HEAD + "device: " + "{a: " * 40 + "1" + "}" * 40 + "\n", 3, "nested deeper"),
    ],
)
def test_what_is_no_profile(tmp_path: Path, text: str | bytes, line: int | None, said: str) -> None:
    errors = found(tmp_path, text)
    assert errors
    assert line is None or errors[0][0] == line
    assert said in errors[0][2]


def test_missing_file_folder_and_size(tmp_path: Path) -> None:
    assert check_profile(tmp_path / "none.yaml")[0].message == "there is no such file"
    assert "cannot be read" in check_profile(tmp_path)[0].message
    big = write(tmp_path, b"#" * (MAX_BYTES + 1))
    assert "larger than" in check_profile(big)[0].message


def test_bom_and_crlf_are_fine(tmp_path: Path) -> None:
    path = write(tmp_path, b"\xef\xbb\xbf" + HEAD.replace("\n", "\r\n").encode())
    assert check_profile(path) == []


def test_an_anchor_bomb_is_refused_at_once(tmp_path: Path) -> None:
    bomb = (
        HEAD
        + "a: &a [x, x]\n"
        + "".join(
            f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(20)
        )
    )
    errors = found(tmp_path, bomb)
    assert "anchors" in errors[0][2]


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        ("precisions: {litert: [int8]}\n", "precisions.litert", "not among"),
        ("device: {cores: [{cluster: a, cpus: 3-0}]}\n", "device.cores[0].cpus", "backwards"),
        (
            "device: {cores: [{cluster: a, cpus: 0-3}, {cluster: b, cpus: 3}]}\n",
            "device.cores[1].cpus",
            "CPU 3",
        ),
        ("device: {cores: [{cluster: a, cpus: 0-3}]}\nbench: {cpus: 2-5}\n", "bench.cpus", "CPU 4"),
        ("bench: {cpus: 0-1, threads: 4}\n", "bench.threads", "4 threads on 2 CPUs"),
        ("bench: {cool_to: 80C}\nlimits: {temperature: 80C}\n", "bench.cool_to", "cooler"),
        ("export_only: true\nmatch: {os: linux}\n", "match", "matches no device"),
        ("bench: {min_battery: 150%}\n", "bench.min_battery", "at most 100%"),
    ],
)
def test_values_against_each_other(tmp_path: Path, text: str, path: str, said: str) -> None:
    errors = found(tmp_path, HEAD + text)
    assert [(one[1], said in one[2]) for one in errors] == [(path, True)]
    assert errors[0][0] is not None
    assert errors[0][0] >= 3


def test_load_raises_with_every_finding(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + "limit: {}\nbench: {threads: x}\n")
    with pytest.raises(ProfileError) as caught:
        load_profile(path)
    error = caught.value
    assert len(error.findings) == 2
    assert (error.exit_code, error.code) == (1, "E_PROFILE")
    first = error.to_json()["errors"][0]
    assert first == {"file": str(path), "line": 3, "path": "limit", "message": error.findings[0].message}
    assert "profile check" in (error.hint or "")


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="ab:{}[]-,&*!|>'\"#\n \t0?%@`\x85é", max_size=80))
def test_any_text_gives_findings_and_never_raises(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    findings = check_profile(write(folder, text))
    assert findings
    assert all(isinstance(one, Finding) and one.message for one in findings)
