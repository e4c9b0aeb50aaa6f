"""Reading a runner's answer: strictly, and with the right one at fault."""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import EdgekitError, ModelError, RemoteError
from edgekit.runtimes.result import check_launch, parse_result

pytestmark = pytest.mark.base

GOOD: dict[str, Any] = {
    "schema": "edgekit.runner/1",
    "ok": True,
    "runtime": {"name": "litert", "version": None},
    "load": {"dlopen_us": 1.5, "environment_us": None, "model_us": 2, "compile_us": 3.25},
    "first_inference_us": 10.5,
    "iterations": 3,
    "warmup_iterations": 0,
    "wall_us": 30.0,
    "cpu_us": 29.0,
    "clock_resolution_ns": 1,
    "memory": {
        "rss_start_bytes": 1,
        "rss_runtime_bytes": 2,
        "rss_loaded_bytes": 3,
        "rss_end_bytes": 4,
        "model_delta_bytes": 2,
        "peak_rss_bytes": 4,
        "pss_bytes": None,
    },
    "faults": {
        "load": {"minor": 900, "major": 2},
        "first": {"minor": 12, "major": 0},
        "steady": {"minor": 0, "major": 0},
    },
    "context_switches": {"voluntary": 0, "involuntary": 1},
    "actual_accelerator": "cpu",
    "fully_accelerated": None,
    "threads": 1,
    "inputs": [{"name": "x", "dtype": "float32", "shape": [1, 4], "bytes": 16}],
    "outputs": [],
}


def encoded(**changes: Any) -> bytes:
    return msgspec.json.encode({**copy.deepcopy(GOOD), **changes}) + b"\n"


def failure(code: str) -> bytes:
    return msgspec.json.encode({"schema": "edgekit.runner/1", "ok": False, "code": code, "message": "words"})


def test_a_good_answer() -> None:
    result = parse_result(encoded())
    assert result.inputs[0].shape == (1, 4)
    assert result.memory.pss_bytes is None
    assert result.load.model_us == 2.0


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"\n",
        b"null",
        b"[]",
        b"welcome to this board\n" + encoded(),
        encoded() + encoded(),
        encoded()[:-20],
        encoded(schema="edgekit.runner/2"),
        encoded(iterations=0),
        encoded(iterations="3"),
        encoded(wall_us=-1.0),
        encoded(cpu_us=None),
        encoded(memory={}),
        encoded(surprise=1),
        encoded(ok="yes"),
        b'{"schema": "edgekit.runner/1", "ok": true}',
        b'{"schema": "edgekit.runner/1", "ok": false}',
        failure("lower case"),
        b"\xff\xfe{}",
    ],
)
def test_anything_else_is_not_understood(wrong: bytes) -> None:
    with pytest.raises(RemoteError) as caught:
        parse_result(wrong)
    assert caught.value.code == "E_RUNNER_OUTPUT"


@pytest.mark.parametrize("key", sorted(GOOD))
def test_every_field_must_be_there(key: str) -> None:
    with pytest.raises(RemoteError):
        parse_result(msgspec.json.encode({name: value for name, value in GOOD.items() if name != key}))


@given(st.binary(max_size=200) | st.binary(max_size=20).map(lambda tail: encoded()[:-2] + tail))
def test_no_bytes_raise_anything_else(stdout: bytes) -> None:
    with suppress(ModelError, RemoteError):
        parse_result(stdout)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("E_MODEL_COMPILE", ModelError),
        ("E_MODEL_CRASH", ModelError),
        ("E_RUNNER_LIBRARY", RemoteError),
        ("E_MODELLING", RemoteError),
    ],
)
def test_who_is_at_fault(code: str, kind: type[EdgekitError]) -> None:
    with pytest.raises(kind) as caught:
        parse_result(failure(code))
    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.message) == (code, "words")


@pytest.mark.parametrize(
    ("exit_code", "code", "words"),
    [
        (139, "E_RUNNER_CRASH", "SIGSEGV"),
        (134, "E_RUNNER_CRASH", "SIGABRT"),
        (159, "E_RUNNER_CRASH", "SIGSYS"),
        (137, "E_RUNNER_KILLED", "SIGKILL"),
        (162, "E_RUNNER_CRASH", "signal 34"),
        (192, "E_RUNNER_CRASH", "signal 64"),
        (193, "E_RUNNER_OUTPUT", "printed nothing"),
        (255, "E_RUNNER_OUTPUT", "printed nothing"),  # exit(-1), no signal
        (127, "E_RUNNER_OUTPUT", "printed nothing"),
        (1, "E_RUNNER_OUTPUT", "printed nothing"),
    ],
)
def test_a_process_that_ended_without_an_answer(exit_code: int, code: str, words: str) -> None:
    with pytest.raises(RemoteError) as caught:
        check_launch(exit_code, b"", "line 1\nlast line\n", argv=["runner", "x"], device="adb:1")
    error = caught.value
    assert (error.code, error.status, error.argv, error.device) == (code, exit_code, ("runner", "x"), "adb:1")
    assert words in error.message
    assert "last line" in error.stderr


def test_an_answer_and_its_exit_code_must_agree() -> None:
    assert check_launch(0, encoded(), "").iterations == 3
    with pytest.raises(RemoteError, match="ended with 1"):
        check_launch(1, encoded(), "")
