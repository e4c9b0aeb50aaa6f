"""What ExecuTorch's event tracer writes (an ETDump): the instructions of every inference, to one table.

Form: executorch/devtools/etdump/etdump_schema_flatcc.fbs, with its own size in front; field numbers are that
schema's. Times are nanoseconds on Linux. Each inference is a run called "Execute". An instruction is an
OPERATOR_CALL, whose kernel is named just before it ("native_call_add.out"), or a DELEGATE_CALL, whose steps the
delegate may tell before it; which delegate it is, is not told. Read with the checked reader of model files, as it
comes from a device.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from edgekit.models.flat import Damaged, Flat, Table
from edgekit.parse import fail
from edgekit.parse.op_profile import OpProfile, OpRow, op_profile, timed_rows

TOOL: Final = "ExecuTorch's ETDump"
MAX_PROFILE_BYTES: Final = 1 << 28
_SIZE_BYTES = 4
_IDENTIFIER: Final = b"ED00"
_RUN: Final = "Execute"
_KERNEL: Final = "native_call_"
_OPERATOR, _DELEGATE = "OPERATOR_CALL", "DELEGATE_CALL"


class _Key(Struct, frozen=True):
    """An instruction of the program, or (`step`) what a delegate tells of one."""

    op: str
    instruction: int
    step: bool = False


_Took = tuple[_Key, float]


def parse_etdump(data: bytes) -> OpProfile:
    """Instructions by the time that an inference takes in them; a delegate's own steps are `inner`.

    The first inference is left out where there are others. Raises ParseError where the file is cut or damaged, is
    none, or has no inference.
    """
    if len(data) > MAX_PROFILE_BYTES:
        fail(TOOL, f"it has {len(data)} bytes")
    if data[8:12] != _IDENTIFIER or int.from_bytes(data[:_SIZE_BYTES], "little") != len(data) - _SIZE_BYTES:
        fail(TOOL, "it has no mark, or another size than it says")
    try:
        dump = Flat(data[_SIZE_BYTES:]).root()
        runs = [list(_events(run)) for run in dump.children(1) if run.text(0) == _RUN]
    except Damaged as damage:
        fail(TOOL, str(damage))
    if not runs:
        fail(TOOL, "it has no inference")
    counted = runs[1:] or runs
    outer = [[took for took in run if not took[0].step] for run in counted]
    inner = [[took for took in run if took[0].step] for run in counted]
    if not any(outer):
        fail(TOOL, "it has no instructions")
    return op_profile(timed_rows(outer, _row), timed_rows(inner, _row), runs=len(counted))


def _events(run: Table) -> Iterator[_Took]:
    kernels: dict[int, str] = {}
    for holder in run.children(3):
        event = holder.child(0)
        if event is None:
            continue
        name, instruction = event.text(0), event.scalar(2, "i", -1)
        step = event.text(4)
        took_us = (event.scalar(7, "Q") - event.scalar(6, "Q")) / 1000
        if took_us < 0:
            fail(TOOL, f"'{(name or step)[:60]}' ends before it begins")
        if name.startswith(_KERNEL):
            kernels[instruction] = name.removeprefix(_KERNEL)
        elif name == _OPERATOR:
            yield _Key(kernels.pop(instruction, name), instruction), took_us
        elif name == _DELEGATE:
            yield _Key(name, instruction), took_us
        elif step:
            yield _Key(step, instruction, step=True), took_us


def _row(key: _Key) -> OpRow:
    return OpRow(op=key.op, index=key.instruction, unit=None if key.step or key.op == _DELEGATE else "cpu")
