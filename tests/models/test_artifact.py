"""Artifacts: written whole, checked when read, the same bytes for the same inputs."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit.errors import EdgekitError, ModelError, VerificationError
from edgekit.models import Artifact, Manifest, is_artifact, open_model
from edgekit.models.artifact import entry_for, write_artifact
from edgekit.models.manifest import Golden, Origin, Verification, encode_manifest
from tests.conversion.models import DIGITS

pytestmark = pytest.mark.base
MODEL = (DIGITS / "digits.tflite").read_bytes()
FILES = {"model.tflite": MODEL, "golden/inputs.bin": bytes(3136), "golden/outputs.bin": bytes(40)}


def manifest(**changes: Any) -> Manifest:
    info = open_model(DIGITS / "digits.tflite")
    assert info.signature is not None
    fields: dict[str, Any] = {
        "name": "digits",
        "format": "tflite",
        "recipe": "float32",
        "model": entry_for("model.tflite", MODEL),
        "source": Origin(name="digits.tflite", format="tflite", sha256=info.sha256, size_bytes=info.size_bytes),
        "profile": None,
        "calibration": None,
        "evaluation": None,
        "tools": {"edgekit": "0.1.0"},
        "signature": info.signature,
        "quantization": info.quantization,
        "verification": Verification(
            state="inconclusive", reasons=("not run in this test",), inputs="generated", samples=0,
            max_abs_error=None, rms_error=None, relative_error=None, snr_db=None, cosine=None, flips=None, outputs=(),
        ),
        "golden": Golden(
            samples=1,
            inputs=entry_for("golden/inputs.bin", FILES["golden/inputs.bin"]),
            outputs=entry_for("golden/outputs.bin", FILES["golden/outputs.bin"]),
            tolerance=1e-4,
        ),
    }  # fmt: skip
    return Manifest(**{**fields, **changes})


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return write_artifact(tmp_path / "digits.ekm", manifest(), FILES)


def test_round_trip(artifact: Artifact) -> None:
    again = Artifact.load(artifact.path)
    assert again == artifact
    assert is_artifact(artifact.path)
    assert again.model_path.read_bytes() == MODEL
    assert again.golden_inputs_path is not None
    assert again.golden_inputs_path.stat().st_size == 3136
    assert open_model(again.model_path).sha256 == again.manifest.model.sha256


def test_same_inputs_same_bytes(tmp_path: Path) -> None:
    first = write_artifact(tmp_path / "a.ekm", manifest(), FILES)
    second = write_artifact(tmp_path / "deep" / "b.ekm", manifest(), FILES)
    for name in (*FILES, "manifest.json"):
        assert (first.path / name).read_bytes() == (second.path / name).read_bytes()


@pytest.mark.parametrize("name", list(FILES))
def test_one_bit_changed(artifact: Artifact, name: str) -> None:
    path = artifact.path / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(VerificationError) as caught:
        Artifact.load(artifact.path)
    assert (caught.value.code, caught.value.exit_code) == ("E_HASH", 7)


@pytest.mark.parametrize("name", list(FILES))
def test_a_file_is_missing(artifact: Artifact, name: str) -> None:
    (artifact.path / name).unlink()
    with pytest.raises(ModelError) as caught:
        Artifact.load(artifact.path)
    assert caught.value.code == "E_ARTIFACT_INCOMPLETE"
    assert name in caught.value.message


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "a/../../b", "", "."])
def test_a_manifest_that_names_files_elsewhere(artifact: Artifact, name: str) -> None:
    bad = msgspec.structs.replace(manifest().model, file=name)
    (artifact.path / "manifest.json").write_bytes(encode_manifest(manifest(model=bad)))
    with pytest.raises(ModelError) as caught:
        Artifact.load(artifact.path)
    assert caught.value.code in ("E_ARTIFACT", "E_ARTIFACT_INCOMPLETE")


def test_unknown_keys_and_schemas_are_refused(artifact: Artifact) -> None:
    path = artifact.path / "manifest.json"
    good = path.read_bytes()
    for bad in (
        good.replace(b"artifact/1", b"artifact/2"),
        good.replace(b'"recipe"', b'"recepie"', 1),
        b"[]",
        b"",
    ):
        path.write_bytes(bad)
        with pytest.raises(ModelError) as caught:
            Artifact.load(artifact.path)
        assert caught.value.code == "E_ARTIFACT"


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(at=st.integers(0, 4000), value=st.binary(min_size=1, max_size=4))
def test_a_damaged_manifest_is_an_error_or_the_same(artifact: Artifact, at: int, value: bytes) -> None:
    path, good = artifact.path / "manifest.json", encode_manifest(manifest())
    path.write_bytes(good[:at] + value + good[at + len(value) :])
    try:
        Artifact.load(artifact.path)
    except EdgekitError as error:
        assert error.exit_code in (1, 7)  # noqa: PT017
    finally:
        path.write_bytes(good)


def test_not_an_artifact(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent", DIGITS / "digits.tflite"):
        assert not is_artifact(path)
        with pytest.raises(ModelError) as caught:
            Artifact.load(path)
        assert caught.value.code == "E_ARTIFACT"


def test_an_artifact_is_replaced_and_nothing_is_left_behind(artifact: Artifact) -> None:
    (artifact.path / "model.tflite").write_bytes(b"damaged since")
    again = write_artifact(artifact.path, manifest(recipe="as-is"), FILES)
    assert Artifact.load(again.path).manifest.recipe == "as-is"
    assert [entry.name for entry in again.path.parent.iterdir()] == ["digits.ekm"]


def test_an_artifact_that_holds_other_files_too_is_not_replaced(artifact: Artifact) -> None:
    (artifact.path / "notes").write_text("the user's")
    with pytest.raises(ModelError) as caught:
        write_artifact(artifact.path, manifest(recipe="as-is"), FILES)
    assert caught.value.code == "E_OUTPUT_EXISTS"
    assert (artifact.path / "notes").read_text() == "the user's"


def test_a_folder_of_the_user_is_never_replaced(tmp_path: Path) -> None:
    mine = tmp_path / "photos"
    mine.mkdir()
    (mine / "cat.jpg").write_bytes(b"meow")
    with pytest.raises(ModelError) as caught:
        write_artifact(mine, manifest(), FILES)
    assert caught.value.code == "E_OUTPUT_EXISTS"
    assert (mine / "cat.jpg").read_bytes() == b"meow"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small tmpfs, which needs root")
def test_a_full_disk_leaves_the_old_artifact(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=700k", "edgekit-test", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True, timeout=20)
    if done.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {done.stderr.strip()}")
    try:
        old = write_artifact(disk / "digits.ekm", manifest(), FILES)
        with pytest.raises(EdgekitError) as caught:
            write_artifact(disk / "digits.ekm", manifest(recipe="as-is"), FILES)
        assert (caught.value.code, caught.value.exit_code) == ("E_HOST_DISK_FULL", 8)
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.__cause__.errno == errno.ENOSPC
        assert Artifact.load(old.path).manifest.recipe == "float32"
        assert [entry.name for entry in disk.iterdir()] == ["digits.ekm"]
    finally:
        subprocess.run(["umount", str(disk)], check=True, timeout=20)


def test_models_import_nothing_heavy() -> None:
    """A-b4: what push imports to read an artifact."""
    program = (
        "import sys; from edgekit.models import Artifact, open_model\n"
        "print([m for m in ('numpy', 'tflite', 'flatbuffers', 'ai_edge_litert', 'zipfile') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
