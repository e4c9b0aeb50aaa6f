"""The TFLite reader: right on real files (against the generated classes), and never more than an error on others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import ModelError
from edgekit.models import ModelInfo, open_model
from edgekit.models.flat import Damaged, Flat
from edgekit.models.inspect import inspect_tflite
from edgekit.models.tflite import DTYPES
from tests.conversion.models import DIGITS, real_models

pytestmark = pytest.mark.base
MODEL = DIGITS / "digits.tflite"


def test_the_demo_model() -> None:
    info = open_model(MODEL, use_cache=False)
    assert info.signature is not None
    assert info.signature.key == "serving_default"
    assert [(s.name, s.dtype, s.shape) for s in info.signature.inputs] == [
        ("image", "float32", (1, 28, 28, 1))
    ]
    assert [(s.name, s.dtype, s.shape) for s in info.signature.outputs] == [("logits", "float32", (1, 10))]
    assert info.parameters == 108_618  # A10: at least 100,000
    assert info.operators == {"CONV_2D": 2, "FULLY_CONNECTED": 2, "MAX_POOL_2D": 2, "RESHAPE": 1}
    assert info.quantization is not None
    assert info.quantization.kind == "float32"
    assert info.size_bytes == MODEL.stat().st_size


def _names_of(kind: Any) -> dict[int, str]:
    return {value: name for name, value in vars(kind).items() if not name.startswith("_")}


def _by_generated_classes(data: bytes) -> dict[str, Any]:
    """The same facts read by the `tflite` package alone."""
    import tflite

    model = tflite.Model.GetRootAsModel(data, 0)
    operator_names, type_names = _names_of(tflite.BuiltinOperator), _names_of(tflite.TensorType)
    operators: Counter[str] = Counter()
    dtypes: Counter[str] = Counter()
    for index in range(model.SubgraphsLength()):
        graph = model.Subgraphs(index)
        for at in range(graph.OperatorsLength()):
            code = model.OperatorCodes(graph.Operators(at).OpcodeIndex())
            name = operator_names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
            operators[code.CustomCode().decode() if name == "CUSTOM" else name] += 1
        for at in range(graph.TensorsLength()):
            dtypes[type_names[graph.Tensors(at).Type()].lower()] += 1
    graph = model.Subgraphs(0)

    def shapes(indices: list[int]) -> list[tuple[int, ...]]:
        found = []
        for at in indices:
            tensor = graph.Tensors(at)
            dynamic = not tensor.ShapeSignatureIsNone() and tensor.ShapeSignatureLength()
            count, read = (
                (tensor.ShapeSignatureLength(), tensor.ShapeSignature)
                if dynamic
                else (tensor.ShapeLength(), tensor.Shape)
            )
            found.append(tuple(int(read(i)) for i in range(count)))
        return found

    return {
        "operators": dict(operators),
        "dtypes": dict(dtypes),
        "inputs": shapes([graph.Inputs(i) for i in range(graph.InputsLength())]),
        "outputs": shapes([graph.Outputs(i) for i in range(graph.OutputsLength())]),
        "key": model.SignatureDefs(0).SignatureKey().decode() if model.SignatureDefsLength() else None,
        "subgraphs": model.SubgraphsLength(),
    }


def _by_edgekit(info: ModelInfo) -> dict[str, Any]:
    assert info.signature is not None
    return {
        "operators": info.operators,
        "dtypes": info.dtypes,
        "inputs": [spec.shape for spec in info.signature.inputs],
        "outputs": [spec.shape for spec in info.signature.outputs],
        "key": info.signature.key,
        "subgraphs": info.subgraphs,
    }


def test_agrees_with_the_generated_classes_on_every_real_model() -> None:
    files = {"digits": MODEL, **real_models()}
    assert len(files) >= 20
    for name, path in files.items():
        data = path.read_bytes()
        assert _by_edgekit(inspect_tflite(data, name)) == _by_generated_classes(data), name


def test_tensor_types_are_those_of_the_schema() -> None:
    import tflite

    known = _names_of(tflite.TensorType)
    assert {number: DTYPES[number].upper() for number in known} == known


def test_float16_behind_dequantize_is_seen_as_float16() -> None:
    info = open_model(real_models()["mediapipe/face_detection_short_range"], use_cache=False)
    assert info.quantization is not None
    assert info.quantization.kind == "float16"
    assert info.signature is not None
    assert info.signature.key is None  # no SignatureDef: tensor names are given


@pytest.mark.parametrize("sixteenth", range(16))
def test_truncated_anywhere(tmp_path: Path, sixteenth: int) -> None:
    data = MODEL.read_bytes()
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(data[: max(8, len(data) * sixteenth // 16)])
    with pytest.raises(ModelError) as caught:
        open_model(cut)
    assert caught.value.code == "E_MODEL_TRUNCATED"
    assert str(cut) in caught.value.message
    assert caught.value.hint


def _outcome(data: bytes) -> str:
    """ "ok" or the code of the error; anything else escapes and fails the test."""
    try:
        info = inspect_tflite(data, "fuzzed")
    except ModelError as error:
        code, hint = error.code, error.hint
    else:
        assert isinstance(info, ModelInfo)
        return "ok"
    assert code in ("E_MODEL_CORRUPT", "E_MODEL_TRUNCATED")
    assert hint
    return code


_DATA = MODEL.read_bytes()
_TABLES_END = 4096
"""Offsets, vtables and lengths are among the first bytes of this file; the weights follow."""


@settings(max_examples=400)
@given(
    at=st.one_of(st.integers(0, _TABLES_END), st.integers(len(_DATA) - _TABLES_END, len(_DATA) - 1)),
    value=st.integers(0, 255),
)
def test_any_byte_flipped(at: int, value: int) -> None:
    changed = bytearray(_DATA)
    changed[at] = value
    _outcome(bytes(changed))


@settings(max_examples=150)
@given(
    edits=st.lists(st.tuples(st.integers(0, _TABLES_END), st.binary(min_size=1, max_size=8)), max_size=12),
    keep=st.integers(8, len(_DATA)),
)
def test_many_bytes_changed_and_cut(edits: list[tuple[int, bytes]], keep: int) -> None:
    changed = bytearray(_DATA)
    for at, patch in edits:
        changed[at : at + len(patch)] = patch
    _outcome(bytes(changed[:keep]))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=600))
def test_random_bytes_after_the_magic(tail: bytes) -> None:
    _outcome(b"\x08\x00\x00\x00TFL3" + tail)


def test_every_offset_made_huge_is_told_quickly() -> None:
    """Each aligned 4-byte word of the tables, one at a time, set to values that mean far, negative and self."""
    began, codes = time.process_time(), Counter[str]()
    for at in range(0, 2048, 4):
        for word in (b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\x00\x00\x00\x00"):
            codes[_outcome(_DATA[:at] + word + _DATA[at + 4 :])] += 1
    assert codes["E_MODEL_CORRUPT"] > 100
    assert time.process_time() - began < 60


def test_tables_that_share_one_long_vector_are_no_work_bomb() -> None:
    """10,000 vector entries that all point at one table with one long vector: stopped by the budget."""
    import struct

    entries, numbers = 10_000, 100_000
    vtable = struct.pack("<HHH", 6, 8, 4) + b"\0\0"
    head = 8 + len(vtable)
    # A table whose only field is a vector of offsets, then the shared table with a vector of int32.
    shared_at = head + 8 + 4 + 4 * entries
    table = struct.pack("<iI", len(vtable), 4)
    offsets = b"".join(struct.pack("<I", shared_at - (head + 12 + 4 * i)) for i in range(entries))
    shared = struct.pack("<iI", shared_at - 8, 4) + struct.pack("<I", numbers) + bytes(4 * numbers)
    data = struct.pack("<I", head) + b"TFL3" + vtable + table + struct.pack("<I", entries) + offsets + shared
    root = Flat(data).root()
    began = time.process_time()
    with pytest.raises(Damaged, match="more often"):
        [child.numbers(0, "i") for child in root.children(0)]
    assert time.process_time() - began < 5


def test_a_claimed_billion_elements_allocates_nothing(tmp_path: Path) -> None:
    """A vector length of 2^30 in a small file is refused before anything of that size is made."""
    import tracemalloc

    data = MODEL.read_bytes()
    tracemalloc.start()
    try:
        for at in range(0, 1024, 4):
            _outcome(data[:at] + b"\x00\x00\x00\x40" + data[at + 4 :])
        assert tracemalloc.get_traced_memory()[1] < 16 * len(data)
    finally:
        tracemalloc.stop()


def test_a_second_look_imports_neither_numpy_nor_tflite(tmp_path: Path) -> None:
    program = (
        "import sys; from edgekit.models import open_model\n"
        "info = open_model(sys.argv[1])\n"
        "print(info.sha256, info.path, any(m in sys.modules for m in ('numpy', 'tflite', 'flatbuffers')))"
    )
    environment = {**os.environ, "EDGEKIT_CACHE_DIR": str(tmp_path)}

    def look(path: Path) -> list[str]:
        command = [sys.executable, "-c", program, str(path)]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout.split()

    first, second = look(MODEL), look(MODEL)
    assert first[2] == "True"
    assert second == [first[0], str(MODEL), "False"]
    copied = tmp_path / "elsewhere.bin"
    copied.write_bytes(MODEL.read_bytes())
    assert look(copied) == [first[0], str(copied), "False"]


def test_a_damaged_cache_entry_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(tmp_path))
    first = open_model(MODEL)
    (entry,) = (tmp_path / "models").iterdir()
    for damage in (b"", b"{", b'{"format": 3}', b"\xff\xfe", json.dumps({"format": "tflite"}).encode()):
        entry.write_bytes(damage)
        assert open_model(MODEL) == first
    assert json.loads(entry.read_bytes())["sha256"] == first.sha256


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(blocked))
    assert open_model(MODEL).parameters == 108_618


def test_the_committed_demo_is_small() -> None:
    """A10: the repository carries at most 2 MB for the demo."""
    assert sum(path.stat().st_size for path in DIGITS.iterdir()) <= 2_000_000


@pytest.mark.parametrize("dims", [(2**31 - 1, 2**31 - 1), (100_000, 100_000, 1, 1), (2**31 - 1, 4, 1, 1)])
def test_absurd_shapes_are_refused_before_a_runtime_sees_them(dims: tuple[int, ...]) -> None:
    """B1-b3: the demo model with another shape of its input: a runtime would make room for all of it."""
    import struct
    import tracemalloc

    shape = struct.pack("<5I", 4, 1, 28, 28, 1)
    sizes = [*dims, 1, 1][:4]
    assert _DATA.count(shape) >= 1
    changed = _DATA.replace(shape, struct.pack("<5I", 4, *sizes))
    tracemalloc.start()
    try:
        assert _outcome(changed) == "E_MODEL_CORRUPT"
        assert tracemalloc.get_traced_memory()[1] < 16 * len(_DATA)
    finally:
        tracemalloc.stop()
