"""Packages that are damaged or hostile, and programs that the evaluator does not compute (B1-b2)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("coremltools")
pytest.importorskip("torch")

from edgekit_ios.mil import MilModel
from edgekit_ios.mil import evaluate as evaluate_module
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit.conversion.hosts.base import HostModel
from edgekit.errors import ModelError
from edgekit.models.info import Signature, TensorSpec
from tests.ios_export.table.row import Row, compiled, normal

pytestmark = pytest.mark.heavy

X = normal(2, 30)
WEIGHT = normal(40, 30, seed=1)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package with one linear layer."""
    from coremltools.converters.mil import Builder as mb  # noqa: N813

    row = Row("linear", (X,), lambda x: mb.linear(x=x, weight=WEIGHT, name="y"), lambda x: x @ WEIGHT.T)
    folder = tmp_path_factory.mktemp("good") / "good.mlpackage"
    shutil.copytree(compiled(row).package_path, folder)
    return folder


@pytest.fixture
def package(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "model.mlpackage"))


def specification(package: Path) -> Path:
    return package / "Data/com.apple.CoreML/model.mlmodel"


def weights(package: Path) -> Path:
    return package / "Data/com.apple.CoreML/weights/weight.bin"


def edited(package: Path, edit: Callable[[Any, Any], None]) -> Path:
    """The package with its program changed: `edit` is given the model and the main block."""
    from edgekit_ios.mil.protos import model_pb2

    model = model_pb2().Model()
    model.ParseFromString(specification(package).read_bytes())
    (block,) = model.mlProgram.functions["main"].block_specializations.values()
    edit(model, block)
    specification(package).write_bytes(model.SerializeToString())
    return package


def refused(package: Path, code: str = "E_MODEL_LOAD") -> str:
    with pytest.raises(ModelError) as caught:
        MilModel(package).run([X])
    assert caught.value.code == code
    return caught.value.message


def operation(block: Any, kind: str) -> Any:
    return next(item for item in block.operations if item.type == kind)


def weight_value(block: Any) -> Any:
    return next(
        o for o in block.operations if o.type == "const" and o.attributes["val"].HasField("blobFileValue")
    )


def test_the_good_one(good: Path) -> None:
    np.testing.assert_allclose(MilModel(good).run([X])[0], X @ WEIGHT.T, atol=1e-5)


def test_it_is_a_host_model(good: Path) -> None:
    assert isinstance(MilModel(good), HostModel)


def test_reading_a_model_imports_no_framework(good: Path) -> None:
    """`import coremltools` takes PyTorch and TensorFlow along, which takes up to a minute."""
    code = (
        "import sys; from edgekit_ios.mil import MilModel; MilModel(sys.argv[1]);"
        "print(*{'torch', 'tensorflow', 'coremltools'} & set(sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code, str(good)], capture_output=True, text=True, timeout=120, env=environment
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_a_package_that_is_not_there(tmp_path: Path) -> None:
    refused(tmp_path / "none.mlpackage")


@pytest.mark.parametrize("file", ["Manifest.json", "Data/com.apple.CoreML/model.mlmodel",
                                  "Data/com.apple.CoreML/weights/weight.bin"])  # fmt: skip
def test_a_file_that_is_missing_or_a_folder(file: str, package: Path) -> None:
    (package / file).unlink()
    refused(package)
    (package / file).mkdir()
    refused(package)


@pytest.mark.parametrize(
    "manifest",
    [b"", b"[]", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"itemInfoEntries": 1, "rootModelIdentifier": "a"}',
     b'{"itemInfoEntries": {"a": {"path": 7}}, "rootModelIdentifier": "a"}',
     b'{"itemInfoEntries": {"a": {"path": "a\\u0000b"}}, "rootModelIdentifier": "a"}'],
    ids=range(8),
)  # fmt: skip
def test_a_damaged_manifest(manifest: bytes, package: Path) -> None:
    (package / "Manifest.json").write_bytes(manifest)
    refused(package)


@pytest.mark.parametrize("path", ["../../other.mlmodel", "/etc/hostname"])
def test_a_manifest_that_leads_out_of_the_package(path: str, package: Path) -> None:
    shutil.copy(specification(package), package.parent / "other.mlmodel")
    entries = {"a": {"path": path}}
    (package / "Manifest.json").write_text(
        json.dumps({"itemInfoEntries": entries, "rootModelIdentifier": "a"})
    )
    assert "leads out" in refused(package)


def test_a_link_that_leads_out_of_the_package(package: Path) -> None:
    shutil.move(weights(package), package.parent / "weight.bin")
    weights(package).symlink_to(package.parent / "weight.bin")
    assert "leads out" in refused(package)


@pytest.mark.parametrize("name", ["@model_path/../../../../etc/hostname", "/etc/hostname", "weight.bin"])
def test_weights_outside_of_the_package(name: str, package: Path) -> None:
    def edit(_: Any, block: Any) -> None:
        weight_value(block).attributes["val"].blobFileValue.fileName = name

    refused(edited(package, edit))


def test_weights_that_are_truncated(package: Path) -> None:
    data = weights(package).read_bytes()
    weights(package).write_bytes(data[: len(data) // 2])
    assert "ends at" in refused(package)


def test_weights_at_an_offset_behind_the_end(package: Path) -> None:
    def edit(_: Any, block: Any) -> None:
        weight_value(block).attributes["val"].blobFileValue.offset = 1 << 40

    assert "ends at" in refused(edited(package, edit))


def test_a_model_that_is_no_protobuf(package: Path) -> None:
    specification(package).write_bytes(b"\xff" * 100)
    assert "no protobuf" in refused(package)


def test_a_model_that_is_no_program(package: Path) -> None:
    specification(package).write_bytes(b"")
    assert "not an ML program" in refused(package)


def set_constant(block: Any) -> None:
    weight_value(block).attributes["val"].type.tensorType.dimensions[0].constant.size = 1 << 60


def set_output(block: Any) -> None:
    operation(block, "linear").outputs[0].type.tensorType.dimensions[0].constant.size = 1 << 60


@pytest.mark.parametrize("edit", [set_constant, set_output])
def test_an_absurd_size_is_refused(edit: Callable[[Any], None], package: Path) -> None:
    assert "elements" in refused(edited(package, lambda _, block: edit(block)))


def test_a_shape_that_is_not_the_declared_one(package: Path) -> None:
    def edit(_: Any, block: Any) -> None:
        operation(block, "linear").outputs[0].type.tensorType.dimensions[0].constant.size = 3

    assert "the program declares [3, 40]" in refused(edited(package, edit), "E_MODEL_RUN")


def test_a_value_that_is_not_there(package: Path) -> None:
    def edit(_: Any, block: Any) -> None:
        operation(block, "linear").inputs["x"].arguments[0].name = "nowhere"

    assert "'nowhere'" in refused(edited(package, edit))


def test_an_input_that_an_operator_needs_is_missing(package: Path) -> None:
    def edit(_: Any, block: Any) -> None:
        del operation(block, "linear").inputs["x"]

    assert "'x' is missing" in refused(edited(package, edit), "E_MODEL_RUN")


def test_an_operator_that_is_not_computed_is_named(package: Path) -> None:
    def edit(_: Any, block: Any) -> None:
        operation(block, "linear").type = "non_maximum_suppression"

    assert "'non_maximum_suppression'" in refused(edited(package, edit), "E_MIL_OPERATOR")


def test_a_function_without_a_block(package: Path) -> None:
    def edit(model: Any, _: Any) -> None:
        model.mlProgram.functions["main"].opset = "CoreML99"

    assert "CoreML99" in refused(edited(package, edit))


def test_a_signature_with_other_names_is_refused(package: Path) -> None:
    spec = TensorSpec(name="z", dtype="float32", shape=(2, 30))
    with pytest.raises(ModelError, match="inputs are not those"):
        MilModel(package, Signature(key=None, inputs=(spec,), outputs=()))


@pytest.mark.parametrize("sample", [[], [X, X], [X[:1]], [X[0]], [X.astype(np.int32)]], ids=range(5))
def test_a_sample_that_does_not_fit(sample: list[Any], package: Path) -> None:
    with pytest.raises(ModelError) as caught:
        MilModel(package).run(sample)
    assert caught.value.code == "E_MODEL_RUN"


def test_a_loop_without_an_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from coremltools.converters.mil import Builder as mb  # noqa: N813

    def build(x: Any) -> Any:
        made = mb.while_loop(
            _cond=lambda y: mb.less(x=mb.reduce_sum(x=y), y=1e30),
            _body=lambda y: mb.mul(x=y, y=1.0),
            loop_vars=(x,),
        )
        return made[0] if isinstance(made, tuple | list) else made

    monkeypatch.setattr(evaluate_module, "MAX_ITERATIONS", 50)
    model = MilModel(compiled(Row("while_loop", (X,), build, None)).package_path)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="did not end after 50 rounds"):
        model.run([X])


def hostile(build: Callable[..., Any], *inputs: Any) -> str:
    model = MilModel(compiled(Row("", inputs, build, None)).package_path)  # type: ignore[arg-type]
    with pytest.raises(ModelError) as caught:
        model.run(list(inputs))
    assert caught.value.code == "E_MODEL_RUN"
    return caught.value.message


BIG = np.array([1 << 20, 1 << 20], np.int32)


def test_sizes_that_come_out_of_the_data_are_refused_before_memory_is_taken() -> None:
    from coremltools.converters.mil import Builder as mb  # noqa: N813

    assert "elements" in hostile(lambda s: mb.fill(shape=s, value=1.0), BIG)
    assert "elements" in hostile(lambda x, s: mb.tile(x=x, reps=s), X, BIG)
    assert "elements" in hostile(
        lambda s: mb.range_1d(start=np.int32(0), end=mb.reduce_max(x=s), step=np.int32(1)),
        np.array([2**31 - 1], np.int32),
    )


def test_float16_rounds_after_each_operation_and_overflows() -> None:
    from coremltools.converters.mil import Builder as mb  # noqa: N813

    x = np.array([1.0, 300.0, 1000.0], np.float16)
    row = Row("square", (x,), lambda x: mb.sub(x=mb.square(x=mb.add(x=x, y=np.float16(2**-11))), y=x), None)  # type: ignore[arg-type]
    given = MilModel(compiled(row).package_path).run([x])[0]
    half = (x + np.float16(2**-11)).astype(np.float16)
    np.testing.assert_array_equal(given, (half * half).astype(np.float16) - x)
    assert given[0] == 0.0
    assert np.isinf(given[2])


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_no_damage_to_the_model_gives_another_error(data: st.DataObject, good: Path, package: Path) -> None:
    damaged = bytearray(specification(good).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    specification(package).write_bytes(damaged[: data.draw(st.integers(len(damaged) - 40, len(damaged)))])
    try:
        MilModel(package).run([X])
    except ModelError as error:
        assert error.code in ("E_MODEL_LOAD", "E_MODEL_RUN", "E_MIL_OPERATOR")  # noqa: PT017
