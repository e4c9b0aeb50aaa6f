"""The .pt2 reader: the same as torch sees, and every way to run code that torch leaves open is named (B1-b3)."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.models import open_model
from edgekit.models.pt2 import pickles_in, read_pt2
from edgekit.models.pt2_trust import safe_expression, unsafe_pickle
from tests.models.hostile import bounds, every_byte, every_cut, outcome, zipped

base = pytest.mark.base


def sizes(*dims: int | str) -> list[dict[str, Any]]:
    return [{"as_int": d} if isinstance(d, int) else {"as_expr": {"expr_str": d, "hint": None}} for d in dims]


def program() -> dict[str, Any]:
    """y = relu(x), as torch writes it."""
    x = {"dtype": 7, "sizes": sizes("Symbol('s0', positive=True, integer=True)", 3), "strides": sizes(3, 1)}
    node = {
        "target": "torch.ops.aten.relu.default",
        "inputs": [{"name": "self", "arg": {"as_tensor": {"name": "x"}}, "kind": 1}],
        "outputs": [{"as_tensor": {"name": "relu"}}],
        "metadata": {},
        "name": "relu",
    }
    graph = {
        "inputs": [{"as_tensor": {"name": "x"}}],
        "outputs": [{"as_tensor": {"name": "relu"}}],
        "nodes": [node],
        "tensor_values": {"x": x, "relu": x},
        "sym_int_values": {},
    }
    signature = {
        "input_specs": [{"user_input": {"arg": {"as_tensor": {"name": "x"}}}}],
        "output_specs": [{"user_output": {"arg": {"as_tensor": {"name": "relu"}}}}],
    }
    return {
        "graph_module": {"graph": graph, "signature": signature},
        "opset_version": {"aten": 10},
        "torch_version": "2.13.0",
        "guards_code": [],
    }


def saved(protocol: int = 2, value: object = (1, 2)) -> bytes:
    """What torch.save writes, as far as it is a zip with a pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(value, protocol))
    return buffer.getvalue()


def made(path: Path, edit: Callable[[dict[str, Any]], object] = id, **members: bytes) -> Path:
    document = program()
    edit(document)
    entries = {
        "m/archive_format": b"pt2",
        "m/models/model.json": json.dumps(document).encode(),
        "m/data/weights/model_weights_config.json": b'{"config": {}}',
        "m/data/constants/model_constants_config.json": b'{"config": {}}',
        "m/data/sample_inputs/model.pt": saved(),
    }
    return zipped(path, entries | {name.replace("__", "/"): data for name, data in members.items()})


@base
def test_a_small_model(tmp_path: Path) -> None:
    info = open_model(made(tmp_path / "m"))
    assert info.format == "pt2"
    assert info.signature is not None
    assert [(s.name, s.dtype, s.shape) for s in info.signature.inputs] == [("x", "float32", (-1, 3))]
    assert [(s.name, s.dtype, s.shape) for s in info.signature.outputs] == [("relu", "float32", (-1, 3))]
    assert (info.operators, info.opsets, info.trust) == ({"aten.relu.default": 1}, {"aten": 10}, ())
    assert pickles_in(tmp_path / "m") == ("m/data/sample_inputs/model.pt",)


CODE = "__import__('os').system('true')"


def _set(*path: str | int, value: object) -> Callable[[dict[str, Any]], None]:
    def edit(document: dict[str, Any]) -> None:
        at: Any = document
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value

    return edit


NODE = ("graph_module", "graph", "nodes", 0)
EDITS = {
    "size": _set("graph_module", "graph", "tensor_values", "x", "sizes", value=sizes(CODE, 3)),
    "guard": _set("guards_code", value=[f"{CODE} == 0"]),
    "quotes": _set("guards_code", value=["L['a\"+f()+\"'].size()[0] == 1"]),
    "value": _set("graph_module", "graph", "inputs", value=[{"as_tensor": {"name": f"x={CODE}"}}]),
    "node": _set(*NODE, "name", value=f"x;{CODE}"),
    "keyword": _set(*NODE, "inputs", 0, "name", value=f"a={CODE}, b"),
    "map": _set("graph_module", "graph", "sym_int_values", value={f"s={CODE}": {"as_int": 1}}),
    "weight": _set(
        "graph_module", "signature", "input_specs", 0,
        value={"parameter": {"arg": {"name": "p"}, "parameter_name": f'w")+{CODE}+("'}},
    ),
    "target": _set(*NODE, "target", value="torch.hub.os.system"),
    "operator": _set(*NODE, "inputs", 0, "arg", value={"as_operator": "torch.hub.load"}),
    "caller": _set(*NODE, "target", value="_operator.methodcaller"),
}  # fmt: skip


@base
@pytest.mark.parametrize("which", EDITS)
def test_what_would_be_run_is_named(tmp_path: Path, which: str) -> None:
    assert read_pt2(made(tmp_path / "m", EDITS[which])).trust


@base
@pytest.mark.parametrize(
    "member",
    [
        "m/data/constants/opaque_obj_0", "m/data/constants/custom_obj_0", "m/data/weights/model.pt",
        "m/data/aotinductor/model/x.so", "m/data.pkl",
    ],
)  # fmt: skip
def test_members_that_run_code_are_named(tmp_path: Path, member: str) -> None:
    path = made(tmp_path / "m")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(member, b"x")
    assert read_pt2(path).trust


@base
def test_weights_that_are_pickles_are_named(tmp_path: Path) -> None:
    config = {
        "config": {"w": {"path_name": "weight_0", "is_param": True, "use_pickle": True, "tensor_meta": None}}
    }
    path = made(
        tmp_path / "m",
        m__data__weights__weight_0=b"x",
        **{"m/data/weights/model_weights_config.json": json.dumps(config).encode()},
    )
    assert read_pt2(path).trust == ("weight_0 is a pickle",)
    assert "m/data/weights/weight_0" in pickles_in(path)


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("true",))


@base
@pytest.mark.parametrize("protocol", range(6))
def test_sample_inputs_that_run_code_are_named(tmp_path: Path, protocol: int) -> None:
    data = saved(protocol, (_Evil(),))
    assert unsafe_pickle(data, "it")
    path = made(tmp_path / "m", **{"m/data/sample_inputs/model.pt": data})
    assert read_pt2(path).trust


@base
@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"PK\x03\x04",
        saved()[:-1],
        saved(2, b"")[:40],
        zipfile.__doc__.encode() if zipfile.__doc__ else b"y",
    ],
    ids=["a letter", "a zip's head", "cut short", "cut to its head", "a text"],
)
def test_sample_inputs_that_cannot_be_judged(data: bytes) -> None:
    assert unsafe_pickle(data, "it")


@base
@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("Symbol('s0', positive=True, integer=True)", True),
        ("2*Symbol('s0') + FloorDiv(Symbol('s1'), 2)**2 - Max(1, s3)", True),
        ("((Mod(s0, 2)) <= 3) & Eq(s1, 4)", True),
        ("GreaterThan(Symbol('u0', integer=True), Integer(0))", True),
        ("Mul(Rational(1, 2), Pow(Symbol('s0'), Integer(-2)), Float('0.5', precision=53))", True),
        ("Pow(Integer(9), Pow(Integer(9), Integer(9)))", False),
        ("Pow(Integer(9), Integer(99999999))", False),
        ("9**9**9", False),
        ("1 << 100000000", False),
        ("s0**s1", False),
        ("eval('1')", False),
        ("Symbol('a.b')", False),
        ("(lambda: 1)()", False),
        ("[x for x in ()]", False),
        ("s0.__class__", False),
        ("Symbol('s0').free_symbols", False),
        ("__import__", False),
        ("f'{s0}'", False),
        ("a[0]", False),
        ("(" * 3000, False),
        ("-" * 4000 + "1", False),
        ("1\n2", False),
        ("factorial(99999999)", False),
        (5, False),
    ],
)
def test_expressions(text: object, safe: bool) -> None:
    assert safe_expression(text) is safe


@base
def test_guards() -> None:
    assert safe_expression("((L['x'].size()[1]*L['x'].size()[0]) % (L['x'].size()[0] // 2)) == 0", guard=True)
    assert not safe_expression("L['x'].size()[0].__class__ == 1", guard=True)
    assert not safe_expression("L['x'].size.__globals__['os'] == 1", guard=True)


@base
@pytest.mark.parametrize(
    "edit",
    [
        _set("graph_module", value=None),
        _set("graph_module", "graph", "nodes", value={}),
        _set("graph_module", "graph", "tensor_values", value={}),
        _set("graph_module", "graph", "tensor_values", "x", "sizes", value=sizes(1 << 40, 1 << 40)),
        _set("graph_module", "graph", "tensor_values", "x", "sizes", value=sizes(-1, 3)),
        _set("graph_module", "graph", "tensor_values", "x", "dtype", value=77),
        _set(*NODE, "target", value=5),
    ],
)
def test_programs_that_contradict_themselves(
    tmp_path: Path, edit: Callable[[dict[str, Any]], object]
) -> None:
    assert outcome(lambda: read_pt2(made(tmp_path / "m", edit))) == "E_MODEL_CORRUPT"


@base
def test_graphs_in_graphs_in_graphs(tmp_path: Path) -> None:
    def nest(document: dict[str, Any]) -> None:
        graph: dict[str, Any] = {"nodes": [], "tensor_values": {}}
        for _ in range(60):
            given = [{"name": "", "arg": {"as_graph": {"name": "g", "graph": graph}}}]
            graph = {
                "nodes": [{"target": "torch.ops.higher_order.cond", "inputs": given}],
                "tensor_values": {},
            }
        document["graph_module"]["graph"]["nodes"] += graph["nodes"]

    with bounds():
        assert outcome(lambda: read_pt2(made(tmp_path / "m", nest))) == "E_MODEL_CORRUPT"


@base
def test_an_archive_without_a_program(tmp_path: Path) -> None:
    path = zipped(tmp_path / "m", {"m/archive_format": b"pt2", "m/data/x": b"y"})
    assert outcome(lambda: read_pt2(path)) == "E_MODEL_FORMAT"


@base
def test_cut_and_changed(tmp_path: Path) -> None:
    data = made(tmp_path / "whole").read_bytes()
    assert "ok" not in every_cut(data, tmp_path / "m", lambda path: open_model(path, use_cache=False), 11)
    with bounds(seconds=100):
        every_byte(data, tmp_path / "m", read_pt2, 23)


_JSON = json.dumps(program()).encode()


@base
@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(_JSON) - 1),
            st.sampled_from([b"[", b"{", b'"', b"9", b"null", b":", b",", b"}", b"-"]),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_a_changed_program(tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[int, bytes]]) -> None:
    changed = bytearray(_JSON)
    for at, patch in edits:
        changed[at : at + 1] = patch
    path = made(tmp_path_factory.getbasetemp() / "m.pt2", **{"m/models/model.json": bytes(changed)})
    outcome(lambda: read_pt2(path))


def _exported(path: Path) -> Any:
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(6, 3)
            self.register_buffer("scale", torch.ones(3))

        def forward(self, image: Any, extra: Any) -> Any:
            flat = torch.cat([image, extra], 1)
            halves = flat.reshape(flat.shape[0] // 2, -1).sum()
            return {"logits": self.linear(flat[:, :6]) * self.scale, "sum": halves}

    batch = torch.export.Dim("batch", min=2, max=64)
    example = (torch.randn(4, 6), torch.randn(4, 6))
    shapes = {"image": {0: 2 * batch}, "extra": {0: 2 * batch}}
    exported = torch.export.export(Net().eval(), example, dynamic_shapes=shapes)
    torch.export.save(exported, path)
    return exported


@pytest.mark.heavy
def test_agrees_with_torch(tmp_path: Path) -> None:
    exported = _exported(tmp_path / "net.pt2")
    facts = read_pt2(tmp_path / "net.pt2")
    values = {node.name: node.meta["val"] for node in exported.graph.nodes if "val" in node.meta}

    def shapes(names: Any) -> list[tuple[str, str, tuple[int, ...]]]:
        found = [(name, values[name]) for name in names]
        return [
            (n, str(v.dtype).removeprefix("torch."), tuple(d if isinstance(d, int) else -1 for d in v.shape))
            for n, v in found
        ]

    assert [(s.name, s.dtype, s.shape) for s in facts.signature.inputs] == shapes(
        exported.graph_signature.user_inputs
    )
    assert [(s.name, s.dtype, s.shape) for s in facts.signature.outputs] == shapes(
        exported.graph_signature.user_outputs
    )
    targets = Counter(str(n.target) for n in exported.graph.nodes if n.op == "call_function")
    aten = {name: count for name, count in facts.operators.items() if name.startswith("aten.")}
    assert aten == {name: count for name, count in targets.items() if name.startswith("aten.")}
    assert facts.parameters == sum(p.numel() for p in exported.parameters())
    assert facts.trust == ()
    assert len(facts.pickles) == 1


@pytest.mark.heavy
def test_what_torch_exports_is_not_called_unsafe(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    dynamic = torch.export.Dim.DYNAMIC

    class Encoder(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Embedding(50, 32)
            layer = torch.nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
            self.layers = torch.nn.TransformerEncoder(layer, 2)
            self.heads = torch.nn.ModuleDict({"a": torch.nn.Linear(32, 4)})

        def forward(self, tokens: Any) -> Any:
            return self.heads["a"](self.layers(self.table(tokens)))

    class Recurrent(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.lstm = torch.nn.LSTM(8, 16, 2, batch_first=True)

        def forward(self, x: Any) -> Any:
            return self.lstm(x)[0][:, -1]

    class Branches(torch.nn.Module):  # type: ignore[misc,name-defined]
        def forward(self, x: Any, more: Any) -> Any:
            some = torch.nonzero(x).flatten()
            return (
                torch.cond(x.sum() > 0, torch.sin, torch.cos, (x,)),
                x[some],
                (x > 0) & (x > 1),
                more["k"] * x.shape[0],
            )

    class Item(torch.nn.Module):  # type: ignore[misc,name-defined]
        def forward(self, x: Any) -> Any:
            count = x[0].item()
            torch._check(count >= 0)
            torch._check(count < 100)
            return torch.zeros(count + 1)

    cases = [
        (Encoder(), (torch.randint(0, 50, (2, 8)),), ({0: dynamic},)),
        (Recurrent(), (torch.randn(2, 5, 8),), ({0: dynamic},)),
        (Branches(), (torch.randn(4), {"k": torch.randn(3)}), ({0: dynamic}, {"k": {0: dynamic}})),
        (Item(), (torch.tensor([3, 2]),), None),
    ]
    for model, example, shapes in cases:
        exported = torch.export.export(model.eval(), example, dynamic_shapes=shapes)
        for each in (exported, exported.run_decompositions({})):
            torch.export.save(each, tmp_path / "m.pt2")
            assert read_pt2(tmp_path / "m.pt2").trust == ()


@pytest.mark.heavy
def test_torch_runs_code_where_edgekit_says_so(tmp_path: Path) -> None:
    """Why a .pt2 file is looked into before torch gets it: what it runs while it loads one. Should torch close one
    of these ways, the test fails and edgekit need not refuse it any more."""
    torch = pytest.importorskip("torch")
    _exported(tmp_path / "net.pt2")
    mark = tmp_path / "was-run"
    code = f"__import__('pathlib').Path({str(mark)!r}).touch()"

    class Touch:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (mark,))

    def size(text: str) -> str:
        document = json.loads(text)
        for meta in document["graph_module"]["graph"]["tensor_values"].values():
            for dim in meta["sizes"]:
                if "as_expr" in dim:
                    dim["as_expr"]["expr_str"] = f"({code} or 2)"
        return json.dumps(document)

    def guard(text: str) -> str:
        return json.dumps({**json.loads(text), "guards_code": [f"({code} or 1) == 1"]})

    def name(text: str) -> str:
        return text.replace('"extra"', json.dumps(f"extra={code}"))

    buffer = io.BytesIO()
    torch.save((Touch(),), buffer)
    tricks: dict[str, Callable[[str, bytes], bytes]] = {
        "size": lambda member, data: size(data.decode()).encode() if member.endswith("model.json") else data,
        "guard": lambda member, data: (
            guard(data.decode()).encode() if member.endswith("model.json") else data
        ),
        "name": lambda member, data: name(data.decode()).encode() if member.endswith("model.json") else data,
        "samples": lambda member, data: buffer.getvalue() if "sample_inputs" in member else data,
    }
    for trick, change in tricks.items():
        path = tmp_path / f"{trick}.pt2"
        with zipfile.ZipFile(tmp_path / "net.pt2") as source, zipfile.ZipFile(path, "w") as target:
            for member in source.namelist():
                target.writestr(member, change(member, source.read(member)))
        assert read_pt2(path).trust, trick
        with suppress(Exception):  # it breaks in many ways, after the code has run
            torch.export.load(path).module()(torch.randn(4, 6), torch.randn(4, 6))
        assert mark.exists(), trick
        mark.unlink()
