"""Models of several files as one release (C1.4), and names that become paths on a device (C1.2)."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.deployment.payload import _check_names, payload_of_artifact, payload_of_model
from edgekit.deployment.release import ReleaseFile, content_sha256
from edgekit.errors import InputError
from edgekit.models.artifact import write_artifact
from edgekit.models.info import ModelInfo, Signature
from edgekit.models.inspect import hash_folder
from edgekit.models.manifest import FileEntry, Manifest, Named, Origin, Verification

pytestmark = pytest.mark.base


def manifest(model: FileEntry, kind: str, *files: FileEntry) -> Manifest:
    return Manifest(
        name="several",
        format=kind,  # type: ignore[arg-type]
        recipe="float32",
        model=model,
        source=Origin(name="s.onnx", format="onnx", sha256="0" * 64),
        profile=Named(name="p", sha256="0" * 64),
        files=files,
        calibration=None,
        evaluation=None,
        tools={},
        signature=Signature(key=None, inputs=(), outputs=()),
        quantization=None,
        verification=Verification(
            state="passed",
            reasons=(),
            inputs="generated",
            samples=1,
            max_abs_error=0.0,
            rms_error=0.0,
            relative_error=0.0,
            snr_db=None,
            cosine=None,
            flips=None,
            outputs=(),
        ),
        golden=None,
    )


def entry(path: Path, name: str) -> FileEntry:
    import hashlib

    data = path.read_bytes()
    return FileEntry(file=name, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))


def test_external_data_is_part_of_the_release(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"graph")
    (tmp_path / "w").write_bytes(b"weights" * 1000)
    model, data = entry(tmp_path / "m", "model.onnx"), entry(tmp_path / "w", "weights.bin")
    artifact = write_artifact(
        tmp_path / "a.ekm",
        manifest(model, "onnx", data),
        {"model.onnx": tmp_path / "m", "weights.bin": tmp_path / "w"},
    )
    payload = payload_of_artifact(artifact, None, None)
    assert [e.file for e in payload.manifest.files] == ["model.onnx", "weights.bin"]
    assert payload.manifest.sha256 not in (model.sha256, data.sha256)
    assert payload.version == payload.manifest.sha256[:12]


def test_a_folder_is_a_release_with_all_its_files(tmp_path: Path) -> None:
    package = tmp_path / "x.mlpackage"
    (package / "Data" / "weights").mkdir(parents=True)
    (package / "Manifest.json").write_bytes(b"{}")
    (package / "Data" / "weights" / "weight.bin").write_bytes(b"w" * 99)
    model = FileEntry(file="model.mlpackage", sha256=hash_folder(package), size_bytes=101)
    artifact = write_artifact(tmp_path / "a.ekm", manifest(model, "coreml"), {"model.mlpackage": package})
    payload = payload_of_artifact(artifact, "seg", None)
    assert [e.file for e in payload.manifest.files] == [
        "model.mlpackage/Data/weights/weight.bin",
        "model.mlpackage/Manifest.json",
    ]
    assert payload.manifest.model.file == "model.mlpackage"
    assert payload.size_bytes == 101


def test_the_hash_of_several_files_is_that_of_their_sorted_list() -> None:
    a, b = (ReleaseFile(file=f, sha256=s * 64, size_bytes=1) for f, s in (("a", "1"), ("b", "2")))
    golden = ReleaseFile(file="golden/inputs.bin", sha256="3" * 64, size_bytes=1)
    assert content_sha256([a, b]) == content_sha256([b, a, golden]) != content_sha256([a])
    assert content_sha256([a, golden]) == a.sha256


@pytest.mark.parametrize(
    "names",
    [
        ("model.onnx", "/etc/passwd"),
        ("model.onnx", "../up"),
        ("model.onnx", "a/.hidden"),
        ("model.onnx", "MODEL.ONNX"),
        ("model.onnx", "manifest.json"),
        ("model.onnx", "new\nline"),
        ("model.onnx", "x" * 201),
    ],
)
def test_names_that_cannot_be_files_of_a_release(names: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as caught:
        _check_names({name: Path("x") for name in names})
    assert caught.value.code == "E_NAME"


@pytest.mark.parametrize("location", ["model.onnx", "Model.ONNX", "model.onnx/weights"])
def test_weights_never_take_the_place_of_the_model(tmp_path: Path, location: str) -> None:
    """foo.onnx becomes model.onnx in the release: weights of that name would be what runs."""
    bare = ModelInfo(
        format="onnx",
        path=str(tmp_path / "foo.onnx"),
        sha256="0" * 64,
        size_bytes=1,
        external_files=(location,),
    )
    with pytest.raises(InputError, match="cannot lie beside") as caught:
        payload_of_model(bare, None, None)
    assert (caught.value.code, "another name" in (caught.value.hint or "")) == ("E_NAME", True)


def test_an_artifacts_weights_have_no_name_of_the_release(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"graph")
    (tmp_path / "w").write_bytes(b"weights")
    artifact = write_artifact(
        tmp_path / "a.ekm",
        manifest(entry(tmp_path / "m", "foo.onnx"), "onnx", entry(tmp_path / "w", "model.onnx")),
        {"foo.onnx": tmp_path / "m", "model.onnx": tmp_path / "w"},
    )
    with pytest.raises(InputError) as caught:
        payload_of_artifact(artifact, None, None)
    assert caught.value.code == "E_NAME"
