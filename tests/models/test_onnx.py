"""The ONNX reader: the same as the `onnx` package sees on real files, and never more than an error on others."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import ModelError
from edgekit.models import open_model
from edgekit.models.onnx import OnnxFacts, read_onnx
from edgekit.models.onnx_external import external_files
from tests.models.hostile import (
    SMALL_ONNX,
    bounds,
    every_byte,
    every_cut,
    field,
    message,
    onnx_model,
    onnx_node,
    onnx_tensor,
    onnx_value,
    outcome,
    varint,
)

base = pytest.mark.base


def facts(tmp_path: Path, data: bytes) -> OnnxFacts:
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    return read_onnx(path)


def code(tmp_path: Path, data: bytes) -> str:
    return outcome(lambda: facts(tmp_path, data))


@base
def test_a_small_model(tmp_path: Path) -> None:
    read = facts(tmp_path, SMALL_ONNX)
    assert [(s.name, s.dtype, s.shape) for s in read.signature.inputs] == [("x", "float32", (-1, 3))]
    assert [(s.name, s.dtype, s.shape) for s in read.signature.outputs] == [("y", "float32", (-1, 2))]
    assert read.operators == {"MatMul": 1, "Relu": 1}
    assert (read.parameters, read.dtypes, read.opsets) == (6, {"float32": 1}, {"ai.onnx": 20})
    assert (read.ir_version, read.producer, read.external) == (10, "pytest", ())


@base
def test_initializers_among_the_inputs_are_none(tmp_path: Path) -> None:
    """Files of IR version 3 list weights as inputs too."""
    data = onnx_model(
        (1, onnx_node("Add", ["x", "w"], ["y"])),
        (5, onnx_tensor("w", [2])),
        (11, onnx_value("w", [2])),
        (11, onnx_value("x", [2])),
        (12, onnx_value("y", [2])),
    )
    assert [spec.name for spec in facts(tmp_path, data).signature.inputs] == ["x"]


@base
def test_bodies_and_functions_are_counted_and_custom_domains_named(tmp_path: Path) -> None:
    body = message((1, onnx_node("Neg", ["a"], ["b"])), (1, onnx_node("Mine", ["b"], ["c"], "my.ops")))
    branch = message((1, "then_branch"), (6, body))
    function = message((1, "Twice"), (10, "my.functions"), (7, onnx_node("Add", ["p", "p"], ["q"])))
    data = onnx_model(
        (1, onnx_node("If", ["cond"], ["c"], "", branch)),
        (1, onnx_node("Twice", ["c"], ["d"], "my.functions")),
        (1, onnx_node("FusedMatMul", ["d", "d"], ["y"], "com.microsoft")),
        functions=(function,),
    )
    read = facts(tmp_path, data)
    assert read.operators == {
        "If": 1, "Neg": 1, "Add": 1, "my.ops::Mine": 1, "my.functions::Twice": 1, "com.microsoft::FusedMatMul": 1,
    }  # fmt: skip
    assert read.custom_operators == ("my.ops::Mine",)
    assert read.subgraphs == 2


@base
@pytest.mark.parametrize(
    "tensor",
    [
        onnx_tensor("w", [-1, 3], raw=b""),
        onnx_tensor("w", [1 << 31, 1 << 31], raw=bytes(4)),
        onnx_tensor("w", [1 << 62, 1 << 62, 1 << 62], raw=bytes(4)),
        onnx_tensor("w", [1 << 40], raw=bytes(64)),
        onnx_tensor("w", [2, 2], raw=bytes(15)),
        onnx_tensor("w", [2, 2], raw=b""),
        onnx_tensor("w", [1] * 65, raw=bytes(4)),
        onnx_tensor("w", [3], dtype=99, raw=bytes(12)),
        message((1, 1000), (2, 1), (8, "w")),
        message((1, 1000), (2, 7), (7, varint(1) * 10), (8, "w")),
        message((1, 3), (2, 8), (6, "one"), (8, "w")),
    ],
    ids=[
        "negative",
        "absurd",
        "overflow",
        "terabytes",
        "odd",
        "empty",
        "rank",
        "type",
        "none",
        "few",
        "text",
    ],
)
def test_weights_that_contradict_their_shape(tmp_path: Path, tensor: bytes) -> None:
    with bounds():
        assert code(tmp_path, onnx_model((5, tensor))) == "E_MODEL_CORRUPT"
        constant = message((1, "value"), (5, tensor))
        assert (
            code(tmp_path, onnx_model((1, onnx_node("Constant", [], ["c"], "", constant))))
            == "E_MODEL_CORRUPT"
        )


@base
@pytest.mark.parametrize("dims", [[(1 << 31) - 1] * 2, [1 << 62] * 8, [-5, 3], [1] * 100])
def test_absurd_inputs_are_refused(tmp_path: Path, dims: list[int]) -> None:
    with bounds():
        assert code(tmp_path, onnx_model((11, onnx_value("x", list(dims))))) == "E_MODEL_CORRUPT"


@base
@pytest.mark.parametrize("kind", ["ConstantOfShape", "Expand"])
@pytest.mark.parametrize("constant", ["initializer", "node"])
def test_a_tensor_made_out_of_nothing(tmp_path: Path, kind: str, constant: str) -> None:
    """A few bytes that ask a runtime for a terabyte."""
    shape = b"".join(value.to_bytes(8, "little") for value in (1 << 20, 1 << 20))
    tensor = onnx_tensor("shape", [2], dtype=7, raw=shape)
    maker = (
        (5, tensor)
        if constant == "initializer"
        else (1, onnx_node("Constant", [], ["shape"], "", message((1, "value"), (5, tensor))))
    )
    inputs = ["shape"] if kind == "ConstantOfShape" else ["x", "shape"]
    assert code(tmp_path, onnx_model(maker, (1, onnx_node(kind, inputs, ["y"])))) == "E_MODEL_CORRUPT"
    assert code(tmp_path, onnx_model(maker, (1, onnx_node("Reshape", ["x", "shape"], ["y"])))) == "ok"


@base
def test_graphs_in_graphs_in_graphs(tmp_path: Path) -> None:
    graph = message((1, onnx_node("Neg", ["a"], ["b"])))
    for _ in range(1000):
        graph = message((1, onnx_node("If", ["c"], ["d"], "", message((1, "then_branch"), (6, graph)))))
    with bounds():
        assert code(tmp_path, message((1, 10), (7, graph), (8, field(2, 20)))) == "E_MODEL_CORRUPT"


@base
def test_many_tiny_parts_take_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekit.models.onnx.MAX_FIELDS", 100_000)
    path = tmp_path / "m.onnx"
    path.write_bytes(message((1, 10), (7, field(1, field(4, "A")) * 100_000), (8, field(2, 20))))
    with bounds(seconds=60, megabytes=2):
        assert outcome(lambda: read_onnx(path)) == "E_MODEL_CORRUPT"


@base
def test_more_operators_than_exist(tmp_path: Path) -> None:
    nodes = b"".join(field(1, field(4, f"Op{index}")) for index in range(30_000))
    with bounds(seconds=60, megabytes=16):
        assert code(tmp_path, message((1, 10), (7, nodes), (8, field(2, 20)))) == "E_MODEL_CORRUPT"


@base
def test_cut_at_every_byte(tmp_path: Path) -> None:
    codes = every_cut(SMALL_ONNX, tmp_path / "m.onnx", lambda path: open_model(path, use_cache=False))
    assert codes >= {"E_MODEL_EMPTY", "E_MODEL_TRUNCATED"}
    every_cut(SMALL_ONNX, tmp_path / "m.onnx", read_onnx)


@base
def test_every_byte_changed(tmp_path: Path) -> None:
    with bounds(seconds=60, megabytes=8):
        codes = every_byte(SMALL_ONNX, tmp_path / "m.onnx", read_onnx)
    assert "E_MODEL_CORRUPT" in codes


@base
@settings(max_examples=300, deadline=None)
@given(
    edits=st.lists(
        st.tuples(st.integers(0, len(SMALL_ONNX) - 1), st.binary(min_size=1, max_size=6)),
        min_size=1,
        max_size=8,
    )
)
def test_many_bytes_changed(tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[int, bytes]]) -> None:
    changed = bytearray(SMALL_ONNX)
    for at, patch in edits:
        changed[at : at + len(patch)] = patch
    code(tmp_path_factory.getbasetemp(), bytes(changed))


def with_data(tmp_path: Path, location: str, **more: str) -> Path:
    tensor = onnx_tensor("w", [2, 3], external={"location": location, **more})
    path = tmp_path / "m.onnx"
    path.write_bytes(
        onnx_model((1, onnx_node("Relu", ["w"], ["y"])), (5, tensor), (12, onnx_value("y", [2, 3])))
    )
    return path


@base
def test_external_data_is_found_and_hashed(tmp_path: Path) -> None:
    path = with_data(tmp_path, "sub/w.bin", offset="8", length="24")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/w.bin").write_bytes(bytes(32))
    assert external_files(path) == (tmp_path / "sub/w.bin",)
    first = open_model(path)
    assert first.external_files == ("sub/w.bin",)
    assert first.size_bytes == path.stat().st_size + 32
    assert first.parameters == 6
    (tmp_path / "sub/w.bin").write_bytes(bytes(31) + b"x")
    assert open_model(path).sha256 != first.sha256
    (tmp_path / "sub/w.bin").write_bytes(bytes(32))
    assert open_model(path.rename(tmp_path / "renamed")).sha256 == first.sha256


@base
@pytest.mark.parametrize(
    "location",
    ["", "/etc/passwd", "../w.bin", "a/../../w.bin", "..\\w.bin", "C:\\w.bin", "w\0.bin", ".", "missing"],
)
def test_external_data_outside_of_the_folder(tmp_path: Path, location: str) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(100))
    folder = tmp_path / "model"
    folder.mkdir()
    path = with_data(folder, location)
    with pytest.raises(ModelError) as caught:
        external_files(path)
    assert caught.value.code == "E_MODEL_EXTERNAL_DATA"
    assert caught.value.hint
    assert outcome(lambda: open_model(path)) == "E_MODEL_EXTERNAL_DATA"


@base
def test_external_data_behind_links(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(100))
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    path = with_data(folder, "w.bin")
    (folder / "w.bin").symlink_to(tmp_path / "secret")
    assert outcome(lambda: external_files(path)) == "E_MODEL_EXTERNAL_DATA"
    (folder / "w.bin").unlink()
    (folder / "w.bin").symlink_to("w.bin")
    assert outcome(lambda: external_files(path)) == "E_MODEL_EXTERNAL_DATA"
    (folder / "w.bin").unlink()
    (folder / "sub/real").write_bytes(bytes(24))
    (folder / "w.bin").symlink_to("sub/real")
    assert outcome(lambda: external_files(path)) == "ok"
    (folder / "w.bin").unlink()
    os.mkfifo(folder / "w.bin")
    assert outcome(lambda: external_files(path)) == "E_MODEL_EXTERNAL_DATA"


@base
@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"offset": "0", "length": "24"}, "ok"),
        ({"offset": "4"}, "E_MODEL_TRUNCATED"),
        ({"offset": "99999999999"}, "E_MODEL_TRUNCATED"),
        ({"offset": "-4"}, "E_MODEL_CORRUPT"),
        ({"offset": "9" * 40}, "E_MODEL_CORRUPT"),
        ({"offset": "1e3"}, "E_MODEL_CORRUPT"),
        ({"length": "23"}, "E_MODEL_CORRUPT"),
        ({"length": "²"}, "E_MODEL_CORRUPT"),
    ],
)
def test_external_data_of_another_size(tmp_path: Path, more: dict[str, str], expected: str) -> None:
    path = with_data(tmp_path, "w.bin", **more)
    (tmp_path / "w.bin").write_bytes(bytes(24))
    assert outcome(lambda: external_files(path)) == expected


@base
def test_three_gigabytes_are_not_read_into_memory(tmp_path: Path) -> None:
    """Weights of 3 GB inside of the file (sparse on the disk), and the graph's inputs behind them (B1-b2)."""
    weights = 3 << 30
    head = message((1, 768), (1, 1 << 20), (2, 1), (8, "w")) + varint(9 << 3 | 2) + varint(weights)
    rest = field(11, onnx_value("x", [1])) + field(12, onnx_value("y", [1]))
    node = field(1, onnx_node("Relu", ["x"], ["y"]))
    tensor = varint(5 << 3 | 2) + varint(len(head) + weights) + head
    graph_bytes = len(node) + len(tensor) + weights + len(rest)
    path = tmp_path / "m.onnx"
    with open(path, "wb") as file:
        file.write(field(1, 10) + varint(7 << 3 | 2) + varint(graph_bytes) + node + tensor)
        file.seek(weights, 1)
        file.write(rest + field(8, field(2, 20)))
    with bounds(seconds=10, megabytes=4):
        read = read_onnx(path)
    assert read.parameters == 768 << 20
    assert [spec.name for spec in read.signature.inputs] == ["x"]
    assert outcome(lambda: open_model(path)) == "ok"


def _by_onnx(path: Path) -> dict[str, Any]:
    """The same facts read by the `onnx` package."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(path, load_external_data=False)
    operators: Counter[str] = Counter()
    dtypes: Counter[int] = Counter()

    def tensor(value: Any) -> None:
        dtypes[value.data_type] += 1

    def nodes(found: Any) -> None:
        for node in found:
            operators[
                node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}::{node.op_type}"
            ] += 1
            for attribute in node.attribute:
                for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                    walk(graph)
                for value in (*attribute.tensors, *([attribute.t] if attribute.HasField("t") else [])):
                    tensor(value)
                for sparse in (
                    *attribute.sparse_tensors,
                    *([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []),
                ):
                    tensor(sparse.values)
                    tensor(sparse.indices)

    def walk(graph: Any) -> None:
        nodes(graph.node)
        for value in graph.initializer:
            tensor(value)
        for sparse in graph.sparse_initializer:
            tensor(sparse.values)
            tensor(sparse.indices)

    walk(model.graph)
    for function in model.functions:
        nodes(function.node)
    weights = {value.name for value in model.graph.initializer}

    def shapes(values: Any) -> list[tuple[str, tuple[int, ...]]]:
        return [
            (
                value.name,
                tuple(
                    d.dim_value if d.HasField("dim_value") else -1 for d in value.type.tensor_type.shape.dim
                ),
            )
            for value in values
            if value.name not in weights or value not in model.graph.input
        ]

    names = {number: onnx.TensorProto.DataType.Name(number) for number in dtypes}
    return {
        "operators": dict(operators),
        "dtypes": {names[number]: count for number, count in dtypes.items()},
        "inputs": shapes(v for v in model.graph.input if v.name not in weights),
        "outputs": shapes(model.graph.output),
        "opsets": {entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
    }


def _by_edgekit(read: OnnxFacts) -> dict[str, Any]:
    onnx = pytest.importorskip("onnx")
    from edgekit.models.onnx import DTYPES

    names = {name: onnx.TensorProto.DataType.Name(number) for number, name in DTYPES.items()}
    return {
        "operators": read.operators,
        "dtypes": {names[name]: count for name, count in read.dtypes.items()},
        "inputs": [(spec.name, spec.shape) for spec in read.signature.inputs],
        "outputs": [(spec.name, spec.shape) for spec in read.signature.outputs],
        "opsets": read.opsets,
    }


@pytest.mark.heavy
def test_agrees_with_onnx_on_every_file_that_it_ships() -> None:
    onnx = pytest.importorskip("onnx")
    files = sorted((Path(onnx.__file__).parent / "backend/test/data").rglob("*.onnx"))
    assert len(files) > 100
    for path in files:
        assert _by_edgekit(read_onnx(path)) == _by_onnx(path), path


@pytest.mark.heavy
def test_dtypes_are_those_of_the_schema() -> None:
    onnx = pytest.importorskip("onnx")
    from edgekit.models.onnx import DTYPES

    known = {number for name, number in onnx.TensorProto.DataType.items() if name != "UNDEFINED"}
    assert set(DTYPES) == known


@pytest.mark.heavy
def test_a_torch_export_with_external_data(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")

    class Net(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(64, 32)

        def forward(self, tokens: Any) -> Any:
            return torch.relu(self.linear(tokens))

    path = tmp_path / "net.onnx"
    torch.onnx.export(
        Net().eval(), (torch.randn(2, 64),), path, dynamo=True, external_data=True,
        dynamic_shapes={"tokens": {0: torch.export.Dim("batch", min=1, max=64)}},
    )  # fmt: skip
    read = read_onnx(path)
    assert _by_edgekit(read) == _by_onnx(path)
    assert read.parameters == 64 * 32 + 32
    assert external_files(path) == (tmp_path / "net.onnx.data",)
    info = open_model(path)
    assert info.signature is not None
    assert info.signature.inputs[0].shape == (-1, 64)
    assert info.external_files == ("net.onnx.data",)
    data = (tmp_path / "net.onnx.data").read_bytes()
    (tmp_path / "net.onnx.data").write_bytes(data[:-1])
    assert outcome(lambda: open_model(path)) == "E_MODEL_TRUNCATED"
    (tmp_path / "net.onnx.data").unlink()
    assert outcome(lambda: open_model(path)) == "E_MODEL_EXTERNAL_DATA"
