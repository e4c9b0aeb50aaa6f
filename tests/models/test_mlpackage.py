"""The Core ML reader: the same as coremltools sees, and never more than an error on damaged packages."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from edgekit.errors import ModelError
from edgekit.models import open_model
from edgekit.models.mlpackage import read_mlpackage
from tests.models.hostile import bounds, every_byte, every_cut, field, message, outcome, varint

base = pytest.mark.base
FLOAT32 = 65568


def array(name: str, dims: list[int], *more: tuple[int, bytes]) -> bytes:
    packed = b"".join(varint(dim) for dim in dims)
    return message((1, name), (3, field(5, message((1, packed), (2, FLOAT32), *more))))


def operation(kind: str, *blocks: bytes) -> bytes:
    return message((1, kind), *((4, block) for block in blocks))


def model(*operations: bytes, inputs: tuple[bytes, ...] = (), version: int = 6) -> bytes:
    block = message(*((3, each) for each in operations))
    function = message((3, message((1, "CoreML5"), (2, block))))
    program = message((1, 1), (2, message((1, "main"), (2, function))))
    description = message(*((1, each) for each in inputs or (array("x", [1, 3]),)), (10, array("y", [1, 2])))
    return message((1, version), (2, description), (502, program))


SMALL = model(operation("const"), operation("linear"), operation("cond", message((3, operation("relu")))))


def made(folder: Path, specification: bytes = SMALL, path: str = "com.apple.CoreML/model.mlmodel") -> Path:
    target = folder / "Data/com.apple.CoreML"
    (target / "weights").mkdir(parents=True, exist_ok=True)
    (target / "model.mlmodel").write_bytes(specification)
    (target / "weights/weight.bin").write_bytes(bytes(100))
    entries = {"A": {"path": path, "name": "model.mlmodel"}}
    manifest = {"fileFormatVersion": "1.0.0", "itemInfoEntries": entries, "rootModelIdentifier": "A"}
    (folder / "Manifest.json").write_text(json.dumps(manifest))
    return folder


@base
def test_a_small_package(tmp_path: Path) -> None:
    info = open_model(made(tmp_path / "m.mlpackage"))
    assert info.format == "mlpackage"
    assert info.description == "ML program, specification 6"
    assert info.operators == {"linear": 1, "cond": 1, "relu": 1}
    assert info.signature is not None
    assert [(s.name, s.dtype, s.shape) for s in info.signature.inputs] == [("x", "float32", (1, 3))]
    assert read_mlpackage(tmp_path / "m.mlpackage").weight_bytes == 100


@base
def test_shapes_that_may_change_and_images(tmp_path: Path) -> None:
    ranges = message((1, message((1, 1), (2, 8))), (1, message((1, 3), (2, 3))))
    choice = message((1, field(1, varint(1) + varint(3))), (1, field(1, varint(1) + varint(5))))
    picture = message((1, "image"), (3, field(4, message((1, 640), (2, 480), (3, 20)))))
    inputs = (array("a", [1, 3], (31, ranges)), array("b", [1, 3], (21, choice)), picture)
    facts = read_mlpackage(made(tmp_path, model(inputs=inputs)))
    assert [(s.dtype, s.shape) for s in facts.signature.inputs] == [
        ("float32", (-1, 3)), ("float32", (1, -1)), ("uint8", (1, 3, 480, 640)),
    ]  # fmt: skip


@base
@pytest.mark.parametrize("path", ["../../secret", "/etc/passwd", "", "a\\b", "com.apple.CoreML/link"])
def test_manifests_that_name_other_files(tmp_path: Path, path: str) -> None:
    folder = made(tmp_path / "m", path=path)
    (tmp_path / "secret").write_bytes(SMALL)
    (folder / "Data/com.apple.CoreML/link").symlink_to(tmp_path / "secret")
    with pytest.raises(ModelError, match="outside"):
        read_mlpackage(folder)


@base
@pytest.mark.parametrize(
    "manifest", [b"", b"[]", b'{"itemInfoEntries": []}', b'{"itemInfoEntries": {"A": 5}, "rootModelIdentifier": "A"}',
                 b"[" * 100_000, b" " * (2 << 20)],
)  # fmt: skip
def test_manifests_that_are_none(tmp_path: Path, manifest: bytes) -> None:
    folder = made(tmp_path)
    (folder / "Manifest.json").write_bytes(manifest)
    assert outcome(lambda: read_mlpackage(folder)) == "E_MODEL_CORRUPT"


@base
def test_a_specification_that_is_missing(tmp_path: Path) -> None:
    folder = made(tmp_path, path="com.apple.CoreML/other.mlmodel")
    assert outcome(lambda: open_model(folder)) == "E_MODEL_MISSING"


@base
@pytest.mark.parametrize("dims", [[1 << 40, 1 << 40], [-3], [1] * 100])
def test_absurd_shapes(tmp_path: Path, dims: list[int]) -> None:
    with bounds():
        folder = made(tmp_path, model(inputs=(array("x", dims),)))
        assert outcome(lambda: read_mlpackage(folder)) == "E_MODEL_CORRUPT"


@base
def test_blocks_in_blocks_in_blocks(tmp_path: Path) -> None:
    deep = operation("relu")
    for _ in range(500):
        deep = operation("cond", message((3, deep)))
    with bounds():
        assert outcome(lambda: read_mlpackage(made(tmp_path, model(deep)))) == "E_MODEL_CORRUPT"


@base
def test_cut_and_changed(tmp_path: Path) -> None:
    folder = made(tmp_path)
    file = folder / "Data/com.apple.CoreML/model.mlmodel"
    assert "E_MODEL_TRUNCATED" in every_cut(SMALL, file, lambda _: read_mlpackage(folder))
    with bounds(seconds=60):
        assert "E_MODEL_CORRUPT" in every_byte(SMALL, file, lambda _: read_mlpackage(folder))


@pytest.mark.heavy
def test_agrees_with_coremltools(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    ct = pytest.importorskip("coremltools")

    class Net(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 3)
            self.linear = torch.nn.Linear(4 * 36, 5)

        def forward(self, image: Any) -> Any:
            return torch.softmax(self.linear(torch.relu(self.conv(image)).flatten(1)), 1)

    exported = torch.export.export(Net().eval(), (torch.randn(1, 3, 8, 8),)).run_decompositions({})
    path = tmp_path / "net.mlpackage"
    ct.convert(exported, convert_to="mlprogram", compute_precision=ct.precision.FLOAT16).save(str(path))
    specification = ct.models.utils.load_spec(str(path))
    (block,) = specification.mlProgram.functions["main"].block_specializations.values()
    operations = Counter(op.type for op in block.operations if op.type != "const")
    facts = read_mlpackage(path)
    assert facts.operators == dict(operations)
    assert facts.specification_version == specification.specificationVersion
    for specs, features in (
        (facts.signature.inputs, specification.description.input),
        (facts.signature.outputs, specification.description.output),
    ):
        assert [(s.name, s.shape) for s in specs] == [
            (f.name, tuple(f.type.multiArrayType.shape)) for f in features
        ]
    assert facts.weight_bytes > 2 * 4 * 36 * 5
