"""The SavedModel reader: the same as TensorFlow sees, and operators that touch files are named (B1-b3)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from edgekit.models import open_model
from edgekit.models.saved_model import file_operators, read_saved_model
from tests.models.hostile import bounds, every_byte, every_cut, field, message, outcome

base = pytest.mark.base


def node(name: str, kind: str, *inputs: str, **attributes: bytes) -> bytes:
    out = message((1, name), (2, kind), *((3, each) for each in inputs))
    return out + b"".join(field(5, message((1, key), (2, value))) for key, value in attributes.items())


def calls(function: str) -> bytes:
    """An AttrValue that names a function."""
    return field(10, field(1, function))


def function(name: str, *nodes: bytes) -> bytes:
    return message((1, field(1, name)), *((3, each) for each in nodes))


def info(tensor: str, dims: list[int]) -> bytes:
    return message((1, tensor), (2, 1), (3, b"".join(field(2, field(1, dim)) for dim in dims)))


def signature(
    name: str = "serving_default", output: str = "call:0", dims: tuple[int, ...] = (-1, 3)
) -> bytes:
    definition = message(
        (1, message((1, "x"), (2, info("x:0", list(dims))))),
        (2, message((1, "y"), (2, info(output, [-1, 2])))),
    )
    return message((1, name), (2, definition))


def model(
    nodes: tuple[bytes, ...],
    functions: tuple[bytes, ...] = (),
    signatures: tuple[bytes, ...] = (signature(),),
) -> bytes:
    graph = message(*((1, each) for each in nodes), (2, message(*((1, each) for each in functions))))
    meta = message((1, message((4, "serve"), (5, "2.21.0"))), (2, graph), *((5, each) for each in signatures))
    return message((1, 1), (2, meta))


SAVER = (
    node("saver_filename", "Placeholder"),
    node("saver", "StatefulPartitionedCall", "saver_filename", f=calls("__inference__traced_save_1")),
)
SAVE = function("__inference__traced_save_1", node("SaveV2", "SaveV2"), node("m", "MergeV2Checkpoints"))
SMALL = model(
    (node("x", "Placeholder"), node("call", "StatefulPartitionedCall", "x", "^x", f=calls("serve")), *SAVER),
    (function("serve", node("mul", "Mul")), SAVE),
)


def made(folder: Path, data: bytes = SMALL) -> Path:
    (folder / "saved_model.pb").write_bytes(data)
    return folder


@base
def test_a_small_model(tmp_path: Path) -> None:
    read = open_model(made(tmp_path))
    assert read.format == "saved_model"
    assert read.description == "TensorFlow 2.21.0"
    assert read.operators["Mul"] == 1
    assert read.operators["StatefulPartitionedCall"] == 2
    assert read.signature is not None
    assert [(s.name, s.dtype, s.shape) for s in read.signature.inputs] == [("x", "float32", (-1, 3))]
    assert read.trust == ()
    assert read.subgraphs == 3


@base
@pytest.mark.parametrize(
    "kind", ["WriteFile", "ReadFile", "PyFunc", "EagerPyFunc", "MatchingFiles", "DebugIdentityV2"]
)
def test_operators_that_touch_files_or_run_python(tmp_path: Path, kind: str) -> None:
    evil = node("n", kind)
    call = node("call", "StatefulPartitionedCall", f=calls("f"))
    assert file_operators(made(tmp_path, model((call,), (function("f", evil),)))) == (kind,)
    assert file_operators(made(tmp_path, model((call, evil)))) == (kind,)
    assert file_operators(made(tmp_path, model((call,), (function("nobody calls it", evil),)))) == (kind,)
    assert kind in open_model(tmp_path, use_cache=False).trust[0]


@base
def test_printing_to_a_file(tmp_path: Path) -> None:
    def printing(stream: str) -> bytes:
        return model((node("p", "PrintV2", output_stream=field(2, stream)),))

    assert file_operators(made(tmp_path, printing("stderr"))) == ()
    assert file_operators(made(tmp_path, printing("file:///etc/passwd"))) == ("PrintV2",)


@base
def test_the_saver_counts_where_a_signature_reaches_it(tmp_path: Path) -> None:
    through_a_name = node("call", "__inference__traced_save_1", "x")
    through_two = (function("a", node("b", "If", then_branch=calls("__inference__traced_save_1"))), SAVE)
    in_a_list = node("call", "Case", branches=field(1, field(9, field(1, "__inference__traced_save_1"))))
    for data in (
        model((node("call", "StatefulPartitionedCall", f=calls("__inference__traced_save_1")),), (SAVE,)),
        model((through_a_name,), (SAVE,)),
        model((node("call", "PartitionedCall", f=calls("a")),), through_two),
        model((in_a_list,), (SAVE,)),
        model((node("SaveV2", "SaveV2"), node("call", "Identity", "^SaveV2"))),
    ):
        assert "SaveV2" in file_operators(made(tmp_path, data))


@base
@pytest.mark.parametrize("dims", [(1 << 40, 1 << 40), (-2,), (1,) * 100])
def test_absurd_shapes(tmp_path: Path, dims: tuple[int, ...]) -> None:
    data = model((node("call", "Identity"),), signatures=(signature(dims=dims),))
    assert outcome(lambda: read_saved_model(made(tmp_path, data))) == "E_MODEL_CORRUPT"


@base
def test_functions_that_call_each_other_in_a_circle(tmp_path: Path) -> None:
    functions = tuple(function(f"f{i}", node("c", "P", f=calls(f"f{(i + 1) % 500}"))) for i in range(500))
    with bounds():
        assert file_operators(made(tmp_path, model((node("call", "P", f=calls("f0")),), functions))) == ()


@base
def test_cut_and_changed(tmp_path: Path) -> None:
    file = tmp_path / "saved_model.pb"
    assert "E_MODEL_TRUNCATED" in every_cut(SMALL, file, lambda _: read_saved_model(tmp_path))
    with bounds(seconds=60):
        assert "E_MODEL_CORRUPT" in every_byte(SMALL, file, lambda _: read_saved_model(tmp_path))


def _operators(meta: Any) -> Counter[str]:
    graph = meta.graph_def
    found = Counter(each.op for each in graph.node)
    for each in graph.library.function:
        found.update(inner.op for inner in each.node_def)
    return found


@pytest.mark.heavy
def test_agrees_with_tensorflow(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    keras = pytest.importorskip("keras")
    from tensorflow.core.protobuf import saved_model_pb2

    layers = [
        keras.Input((8, 8, 1), name="image"),
        keras.layers.Conv2D(2, 3),
        keras.layers.Flatten(),
        keras.layers.Dense(3),
    ]
    keras.Sequential(layers).export(tmp_path)
    parsed = saved_model_pb2.SavedModel()
    parsed.ParseFromString((tmp_path / "saved_model.pb").read_bytes())
    (meta,) = parsed.meta_graphs
    facts = read_saved_model(tmp_path)
    assert facts.operators == dict(_operators(meta))
    assert facts.tensorflow_version == tf.__version__
    assert facts.file_operators == ()
    assert facts.signature is not None
    expected = meta.signature_def["serving_default"]
    for specs, said in (
        (facts.signature.inputs, expected.inputs),
        (facts.signature.outputs, expected.outputs),
    ):
        assert {s.name: (s.tensor, s.shape) for s in specs} == {
            name: (value.name, tuple(d.size for d in value.tensor_shape.dim)) for name, value in said.items()
        }


@pytest.mark.heavy
def test_a_model_that_writes_a_file(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")

    class Evil(tf.Module):  # type: ignore[misc,name-defined]
        @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32)])  # type: ignore[misc]
        def serve(self, x):  # type: ignore[no-untyped-def]
            tf.io.write_file(str(tmp_path / "written"), "x")
            return {"y": x * 2}

    evil = Evil()
    tf.saved_model.save(evil, tmp_path / "m", signatures=evil.serve)
    assert file_operators(tmp_path / "m") == ("WriteFile",)
    assert open_model(tmp_path / "m").trust
