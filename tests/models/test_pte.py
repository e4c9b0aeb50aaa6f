"""The ExecuTorch reader: the same as ExecuTorch's runtime sees, and never more than an error on damaged files."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.models import open_model
from edgekit.models.pte import DTYPES, read_pte
from tests.models.hostile import bounds, every_byte, every_cut, outcome

base = pytest.mark.base


class Maker:
    """Writes a small program with the FlatBuffers builder."""

    def __init__(self) -> None:
        import flatbuffers

        self.builder = flatbuffers.Builder(1024)

    def table(self, slots: int, **fields: tuple[str, int, int]) -> int:
        """A table; every field is (kind, slot, value), offsets are made already."""
        self.builder.StartObject(slots)
        for kind, slot, value in fields.values():
            add = {
                "offset": self.builder.PrependUOffsetTRelativeSlot,
                "i8": self.builder.PrependInt8Slot,
                "u8": self.builder.PrependUint8Slot,
                "i32": self.builder.PrependInt32Slot,
                "u64": self.builder.PrependUint64Slot,
            }[kind]
            add(slot, value, 0)
        return int(self.builder.EndObject())

    def offsets(self, values: list[int]) -> int:
        self.builder.StartVector(4, len(values), 4)
        for value in reversed(values):
            self.builder.PrependUOffsetTRelative(value)
        return int(self.builder.EndVector())

    def ints(self, values: list[int]) -> int:
        self.builder.StartVector(4, len(values), 4)
        for value in reversed(values):
            self.builder.PrependInt32(value)
        return int(self.builder.EndVector())

    def text(self, value: str) -> int:
        return int(self.builder.CreateString(value))


def program(
    sizes: tuple[int, ...] = (1, 3),
    dtype: int = 6,
    inputs: tuple[int, ...] = (0,),
    operator: int = 0,
    segment: int = 0,
) -> bytes:
    """forward(x) = relu(x), then a delegate."""
    make = Maker()
    shape = make.ints(list(sizes))
    tensor = make.table(10, scalar_type=("i8", 0, dtype), sizes=("offset", 2, shape))
    value = make.table(2, kind=("u8", 0, 5), tensor=("offset", 1, tensor))
    kernel = make.table(2, op_index=("i32", 0, operator))
    delegate_call = make.table(2, delegate_index=("i32", 0, 0))
    calls = [
        make.table(2, kind=("u8", 0, 1), arguments=("offset", 1, kernel)),
        make.table(2, kind=("u8", 0, 2), arguments=("offset", 1, delegate_call)),
    ]
    chain = make.table(4, instructions=("offset", 2, make.offsets(calls)))
    name, overload = make.text("aten::relu"), make.text("out")
    operators = make.offsets([make.table(2, name=("offset", 0, name), overload=("offset", 1, overload))])
    backend = make.text("XnnpackBackend")
    delegates = make.offsets([make.table(3, id=("offset", 0, backend))])
    values, chains = make.offsets([value, value]), make.offsets([chain])
    ins, outs, method = make.ints(list(inputs)), make.ints([1]), make.text("forward")
    plan = make.table(
        10, name=("offset", 0, method), values=("offset", 2, values), inputs=("offset", 3, ins),
        outputs=("offset", 4, outs), chains=("offset", 5, chains), operators=("offset", 6, operators),
        delegates=("offset", 7, delegates),
    )  # fmt: skip
    segments = make.offsets([make.table(2, size=("u64", 1, segment))])
    plans = make.offsets([plan])
    root = make.table(8, plans=("offset", 1, plans), segments=("offset", 4, segments))
    make.builder.Finish(root, file_identifier=b"ET12")
    return bytes(make.builder.Output())


SMALL = program()


def code(tmp_path: Path, data: bytes) -> str:
    path = tmp_path / "m.pte"
    path.write_bytes(data)
    return outcome(lambda: read_pte(path))


@base
def test_a_small_program(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(SMALL)
    info = open_model(tmp_path / "m")
    assert info.format == "pte"
    assert info.operators == {"aten::relu.out": 1, "delegate::XnnpackBackend": 1}
    assert info.signature is not None
    assert [(s.name, s.dtype, s.shape) for s in info.signature.inputs] == [("input_0", "float32", (1, 3))]
    assert [(s.name, s.dtype, s.shape) for s in info.signature.outputs] == [("output_0", "float32", (1, 3))]


@base
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (program(sizes=((1 << 31) - 1, (1 << 31) - 1)), "E_MODEL_CORRUPT"),
        (program(sizes=(-1, 3)), "E_MODEL_CORRUPT"),
        (program(sizes=(1,) * 100), "E_MODEL_CORRUPT"),
        (program(dtype=99), "E_MODEL_CORRUPT"),
        (program(inputs=(7,)), "E_MODEL_CORRUPT"),
        (program(inputs=(-1,)), "E_MODEL_CORRUPT"),
        (program(operator=5), "E_MODEL_CORRUPT"),
        (program(operator=-1), "E_MODEL_CORRUPT"),
        (program(segment=100), "E_MODEL_TRUNCATED"),
        (program(segment=1 << 60), "E_MODEL_CORRUPT"),
        (SMALL[:8] + b"eh00" + struct.pack("<IQQ", 24, 1 << 62, 0) + SMALL, "E_MODEL_CORRUPT"),
    ],
)
def test_programs_that_contradict_themselves(tmp_path: Path, data: bytes, expected: str) -> None:
    with bounds():
        assert code(tmp_path, data) == expected


@base
def test_cut_at_every_byte(tmp_path: Path) -> None:
    codes = every_cut(SMALL, tmp_path / "m", lambda path: open_model(path, use_cache=False))
    assert "E_MODEL_TRUNCATED" in codes
    assert "ok" not in codes


@base
def test_every_byte_changed(tmp_path: Path) -> None:
    with bounds(seconds=100):
        assert "E_MODEL_CORRUPT" in every_byte(SMALL, tmp_path / "m", read_pte)


@base
@settings(max_examples=300, deadline=None)
@given(
    edits=st.lists(
        st.tuples(st.integers(8, len(SMALL) - 1), st.binary(min_size=1, max_size=4)), min_size=1, max_size=6
    )
)
def test_many_bytes_changed(tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[int, bytes]]) -> None:
    changed = bytearray(SMALL)
    for at, patch in edits:
        changed[at : at + len(patch)] = patch
    code(tmp_path_factory.getbasetemp(), bytes(changed))


def _exported(path: Path, delegate: bool) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("executorch")
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    class Net(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Embedding(11, 8)
            self.norm = torch.nn.LayerNorm(8)
            self.linear = torch.nn.Linear(8, 5)

        def forward(self, tokens: Any, scale: Any) -> Any:
            x = self.norm(self.table(tokens)) * scale
            return self.linear(x), x.sum()

    example = (torch.randint(0, 11, (1, 6)), torch.randn(8))
    exported = torch.export.export(Net().eval(), example)
    partitioner = [XnnpackPartitioner()] if delegate else []
    path.write_bytes(to_edge_transform_and_lower(exported, partitioner=partitioner).to_executorch().buffer)


@pytest.mark.heavy
@pytest.mark.parametrize("delegate", [True, False])
def test_agrees_with_the_runtime(tmp_path: Path, delegate: bool) -> None:
    path = tmp_path / "net.pte"
    _exported(path, delegate)
    from executorch.runtime import Runtime

    loaded = Runtime.get().load_program(path)
    meta = loaded.load_method("forward").metadata

    def said(number: int, get: Any) -> list[tuple[str, tuple[int, ...]]]:
        infos = [get(index) for index in range(number)]
        return [(DTYPES[int(info.dtype())], tuple(info.sizes())) for info in infos]

    facts = read_pte(path)
    assert set(facts.methods) == set(loaded.method_names)
    ins, outs = facts.signature.inputs, facts.signature.outputs
    assert [(s.dtype, s.shape) for s in ins] == said(meta.num_inputs(), meta.input_tensor_meta)
    assert [(s.dtype, s.shape) for s in outs] == said(meta.num_outputs(), meta.output_tensor_meta)
    assert ("delegate::XnnpackBackend" in facts.operators) is delegate
    assert "aten::embedding.out" in facts.operators
    assert facts.constant_bytes >= 4 * (11 * 8 + 8 * 5)


@pytest.mark.heavy
def test_operators_are_those_of_the_exporter(tmp_path: Path) -> None:
    path = tmp_path / "net.pte"
    _exported(path, delegate=False)
    from collections import Counter

    from executorch.exir._serialize._program import deserialize_pte_binary

    (plan,) = deserialize_pte_binary(path.read_bytes()).program.execution_plan
    names = [f"{op.name}.{op.overload}" if op.overload else op.name for op in plan.operators]
    calls = [i.instr_args for chain in plan.chains for i in chain.instructions]
    counted = Counter(names[call.op_index] for call in calls if hasattr(call, "op_index"))
    assert read_pte(path).operators == dict(sorted(counted.items()))


@pytest.mark.heavy
def test_a_real_file_cut_anywhere(tmp_path: Path) -> None:
    _exported(tmp_path / "net.pte", delegate=True)
    data = (tmp_path / "net.pte").read_bytes()
    codes = every_cut(data, tmp_path / "cut", lambda path: open_model(path, use_cache=False), 97)
    assert codes == {"E_MODEL_EMPTY", "E_MODEL_TRUNCATED"}
