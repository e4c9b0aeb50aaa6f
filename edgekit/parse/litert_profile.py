"""What edgekit's runner writes of LiteRT's profiler: its events, to one table.

Form: native/runner/litert/profile.c; schema edgekit.litert-profile/1. Kinds of events as in
tflite/core/api/profiler.h; whole microseconds. An inference goes from "LiteRT::Run[buffer registration]" to
"LiteRT::Run[Buffer sync]". XNNPACK tells its own steps instead of itself: they are rows like operators, with its
names, each mostly several of the model's operators.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from edgekit.parse import fail
from edgekit.parse.benchmark_run import MAX_VALUE
from edgekit.parse.op_profile import OpProfile, OpRow, op_profile, timed_rows, unit_of_tflite

TOOL: Final = "LiteRT's profile"
SCHEMA: Final = "edgekit.litert-profile/1"
MAX_PROFILE_BYTES: Final = 1 << 28
_BEGIN: Final = "LiteRT::Run[buffer registration]"
_END: Final = "LiteRT::Run[Buffer sync]"
_OPERATOR, _DELEGATE, _STEP = 2, 4, 8

_Micros = Annotated[int, Meta(ge=0, le=int(MAX_VALUE))]


class _Event(Struct, array_like=True, frozen=True):
    kind: int
    subgraph: int
    number: int
    took_us: int
    tag: str


class _File(Struct):
    schema: str
    events: list[_Event]


class _Key(Struct, frozen=True):
    """What one row is of: the same operator or step in every inference."""

    kind: int
    subgraph: int
    number: int
    tag: str
    turn: int
    """Steps of two parts of a graph that XNNPACK took over are numbered from 0 each: the second such one is turn 1."""


_Took = tuple[_Key, float]


def parse_litert_profile(data: bytes) -> OpProfile:
    """Operators and the delegate's steps by the time that an inference takes in them.

    The first inference is left out where there are others: tensors are made then and weights are packed. What is inside
    of another graph (a loop's body) or of a delegate that tells its own time is `inner`. Raises ParseError where the
    file is cut, is no such profile, or has no inference that ended.
    """
    if len(data) > MAX_PROFILE_BYTES:
        fail(TOOL, f"it has {len(data)} bytes")
    try:
        read = msgspec.json.decode(data, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        fail(TOOL, str(error)[:200])
    if read.schema != SCHEMA:
        fail(TOOL, f"its schema is {read.schema[:60]!r}")
    runs = _inferences(read.events)
    if not runs:
        fail(TOOL, "it has no inference")
    counted = runs[1:] or runs
    delegates = any(key.kind == _DELEGATE for run in counted for key, _ in run)

    def is_inner(key: _Key) -> bool:
        return key.subgraph > 0 or (delegates and key.kind == _STEP)

    outer = [[took for took in run if not is_inner(took[0])] for run in counted]
    inner = [[took for took in run if is_inner(took[0])] for run in counted]
    if not any(outer):
        fail(TOOL, "it has no operators")
    return op_profile(timed_rows(outer, _row), timed_rows(inner, _row), runs=len(counted))


def _inferences(events: list[_Event]) -> list[list[_Took]]:
    runs: list[list[_Took]] = []
    run: list[_Took] | None = None
    turns: Counter[tuple[int, int, str]] = Counter()
    for event in events:
        if event.tag == _BEGIN:
            run, turns = [], Counter()
        elif event.tag == _END:
            if run is not None:
                runs.append(run)
            run = None
        elif run is not None and event.kind in (_OPERATOR, _DELEGATE, _STEP):
            if not 0 <= event.took_us <= MAX_VALUE or event.number < 0 or event.subgraph < 0:
                fail(TOOL, f"'{event.tag[:60]}' took {event.took_us} us")
            run.append((_key_of(event, turns), event.took_us))
    return runs


def _key_of(event: _Event, turns: Counter[tuple[int, int, str]]) -> _Key:
    turn = 0
    if event.subgraph == 0:  # in other graphs a second time is a loop's second round
        same = (event.kind, event.number, event.tag)
        turn = turns[same]
        turns[same] += 1
    return _Key(event.kind, event.subgraph, event.number, event.tag, turn)


def _row(key: _Key) -> OpRow:
    unit = "cpu" if key.kind == _STEP else unit_of_tflite(key.tag)
    return OpRow(op=key.tag, index=key.number, unit=unit)
