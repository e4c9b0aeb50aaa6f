"""Every slot of ONNX Runtime's table that the runner uses, called for real (D1.1).

The table has no names: a slot that is one off would call another function. So the numbers are read from the runner's
own header, and each function is shown to do what its name says, on the pinned library.
"""

from __future__ import annotations

import ctypes as c
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.runtimes.fetch import library_of
from edgekit.runtimes.pins import ONNXRUNTIME
from tests.runner import tiny_onnx
from tests.runner.launching import LOCAL_ABI

pytest.importorskip("onnx")

HEADER = Path(__file__).resolve().parents[2] / "native" / "runner" / "onnxruntime" / "ort_api.h"
LINE = re.compile(r"X\((\w+), (\d+), ([^,()]+), \(")
LAST_OF_VERSION_2 = 118
RESULTS = {"ort_status": c.c_void_p, "int": c.c_int, "const char *": c.c_char_p, "void": None}
INVALID_ARGUMENT, NO_SUCH_FILE = 2, 3
TENSOR, FLOAT32 = 1, 1


def declared() -> list[tuple[str, int, str]]:
    """Name, slot and result of each function in the runner's list."""
    text = re.sub(r"\s*\\\n\s*", " ", HEADER.read_text())
    return [(name, int(slot), result.strip()) for name, slot, result in LINE.findall(text)]


class Table:
    """The runner's functions by the names that the runner gives them; remembers which were called."""

    def __init__(self, library: Path) -> None:
        opened = c.CDLL(str(library))
        opened.OrtGetApiBase.restype = c.POINTER(c.c_void_p)
        base = opened.OrtGetApiBase()
        self.version = c.CFUNCTYPE(c.c_char_p)(base[1])().decode()
        address = c.CFUNCTYPE(c.c_void_p, c.c_uint32)(base[0])(2)
        self._table = c.cast(address, c.POINTER(c.c_void_p))
        self.slots = {name: (slot, result) for name, slot, result in declared()}
        self.called: set[str] = set()

    def call(self, name: str, *arguments: Any) -> Any:
        slot, result = self.slots[name]
        self.called.add(name)
        return c.CFUNCTYPE(RESULTS[result])(self._table[slot])(*arguments)

    def ok(self, name: str, *arguments: Any) -> None:
        status = self.call(name, *arguments)
        assert not status, self.call("error_message", c.c_void_p(status))

    def handle(self, name: str, *arguments: Any) -> c.c_void_p:
        """What a function gives through its last argument."""
        made = c.c_void_p()
        self.ok(name, *arguments, c.byref(made))
        assert made.value
        return made

    def number(self, name: str, *arguments: Any) -> int:
        found = c.c_size_t(0)
        self.ok(name, *arguments, c.byref(found))
        return found.value

    def fails(self, name: str, *arguments: Any) -> tuple[int, str]:
        """Number and words of the error that this call must give."""
        status = c.c_void_p(self.call(name, *arguments))
        assert status.value
        found = self.call("error_code", status), self.call("error_message", status).decode()
        self.call("release_status", status)
        return found


def threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def test_every_slot_does_what_its_name_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "1")
    table = Table(library_of(ONNXRUNTIME, LOCAL_ABI))
    model = tiny_onnx.build(
        tmp_path / "model",
        [tiny_onnx.node("Mul", ["a", "b"], ["y"])],
        [tiny_onnx.value("a", "float32", (2, "n", 3)), tiny_onnx.value("b", "float32", (3,))],
        [tiny_onnx.value("y", "float32", (2, "n", 3))],
    )
    environment = table.handle("create_environment", 4, b"test")
    allocator = table.handle("default_allocator")

    options = table.handle("create_options")
    number, words = table.fails("set_execution_mode", options, 99)
    assert (number, "execution" in words.lower()) == (INVALID_ARGUMENT, True), words
    table.ok("set_execution_mode", options, 0)
    number, words = table.fails("set_optimization", options, 12345)
    assert (number, "optimization" in words.lower()) == (INVALID_ARGUMENT, True), words
    table.ok("set_optimization", options, 99)
    table.ok("set_inter_threads", options, 5)
    table.ok("set_intra_threads", options, 3)
    table.ok("enable_profiling", options, bytes(tmp_path / "ops"))
    path = bytes(model)
    number, words = table.fails("create_session", environment, path + b".not", options, c.byref(c.c_void_p()))
    assert number == NO_SUCH_FILE
    assert "model.not" in words
    before = threads()
    session = table.handle("create_session", environment, path, options)
    assert threads() - before == 3 - 1  # in sequential mode only the pool inside a node is made
    table.call("release_options", options)

    assert (table.number("input_count", session), table.number("output_count", session)) == (2, 1)
    names = [table.handle("input_name", session, c.c_size_t(i), allocator) for i in (0, 1)]
    names.append(table.handle("output_name", session, c.c_size_t(0), allocator))
    assert [c.string_at(name.value or 0) for name in names] == [b"a", b"b", b"y"]
    shapes = []
    for name, index in (("input_type", 0), ("input_type", 1), ("output_type", 0)):
        model_type = table.handle(name, session, c.c_size_t(index))
        assert table.number("kind_of", model_type) == TENSOR
        shapes.append(shape_of(table, table.handle("tensor_info", model_type)))
        table.call("release_type", model_type)
    assert shapes == [[2, -1, 3], [3], [2, -1, 3]]

    a, b = np.arange(12, dtype="f4").reshape(2, 2, 3), np.array([1, 10, 100], "f4")
    values = [tensor(table, allocator, array) for array in (a, b)]
    y = c.c_void_p()
    table.ok(
        "run", session, None, (c.c_void_p * 2)(*names[:2]), (c.c_void_p * 2)(*values), c.c_size_t(2),
        (c.c_void_p * 1)(names[2]), c.c_size_t(1), c.byref(y),
    )  # fmt: skip
    info = table.handle("value_info", y)
    assert shape_of(table, info) == [2, 2, 3]
    table.call("release_info", info)
    found = c.string_at(table.handle("tensor_data", y).value or 0, a.nbytes)
    assert np.frombuffer(found, "f4").reshape(a.shape).tolist() == (a * b).tolist()

    written = Path(os.fsdecode(c.string_at(table.handle("end_profiling", session, allocator).value or 0)))
    assert written.parent == tmp_path
    assert written.name.startswith("ops_")
    assert b'"op_name" : "Mul"' in written.read_bytes()

    assert table.called == set(table.slots)


def shape_of(table: Table, info: c.c_void_p) -> list[int]:
    assert table.number("element_type", info) == FLOAT32
    rank = table.number("rank", info)
    sizes = (c.c_int64 * rank)()
    table.ok("dimensions", info, sizes, c.c_size_t(rank))
    return list(sizes)


def tensor(table: Table, allocator: c.c_void_p, array: np.ndarray[Any, Any]) -> c.c_void_p:
    shape = (c.c_int64 * array.ndim)(*array.shape)
    made = table.handle("create_tensor", allocator, shape, c.c_size_t(array.ndim), FLOAT32)
    c.memmove(table.handle("tensor_data", made), array.tobytes(), array.nbytes)
    return made


def test_the_header_is_for_the_pinned_version_and_read_whole() -> None:
    text = HEADER.read_text()
    found = re.search(r'ORT_PINNED_VERSION "([\d.]+)"', text)
    assert found is not None
    assert ONNXRUNTIME.version.startswith(found[1])
    slots = [slot for _, slot, _ in declared()]
    assert len(slots) == text.count("    X(")
    assert slots == sorted(set(slots))
    assert max(slots) <= LAST_OF_VERSION_2
