"""Operator profiles of ExecuTorch's event tracer, whole and damaged (D1.8)."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.parse import ParseError
from edgekit.runtimes.etdump import parse_etdump
from tests.parse.outputs import output

pytestmark = pytest.mark.base

DELEGATED = base64.b64decode(output("executorch_etdump_delegated"))
PORTABLE = base64.b64decode(output("executorch_etdump_portable"))


def test_operators_by_their_kernels() -> None:
    profile = parse_etdump(PORTABLE)
    assert profile.runs == 2
    assert [(row.op, row.index, row.unit, row.calls) for row in profile.rows] == [
        (op, index, "cpu", 1.0)
        for index, op in enumerate(
            (
                "convolution.out",
                "relu.out",
                "convolution.out",
                "relu.out",
                "mean.out",
                "permute_copy.out",
                "addmm.out",
                "tanh.out",
                "permute_copy.out",
                "addmm.out",
            )
        )
    ]
    # nanoseconds, of the second and third inference: (39577198 + 45936579) / 2
    assert profile.rows[0].avg_us == 42756.8885
    assert sum(row.share or 0 for row in profile.rows) == pytest.approx(1)
    assert profile.inner == ()


def test_steps_of_a_delegate_are_inside_of_its_call() -> None:
    profile = parse_etdump(DELEGATED)
    assert [(row.op, row.unit) for row in profile.rows] == [("DELEGATE_CALL", None)]
    assert [row.op for row in profile.inner][:2] == [
        "Transpose (ND, X32) #1",
        "Convolution (NHWC, F32) IGEMM #1",
    ]
    inside = sum(row.avg_us or 0 for row in profile.inner)
    assert 0 < inside <= (profile.rows[0].avg_us or 0)


@pytest.mark.parametrize("data", [DELEGATED, PORTABLE], ids=["delegated", "portable"])
def test_cut_anywhere_it_is_an_error(data: bytes) -> None:
    for cut in range(len(data)):
        with pytest.raises(ParseError):
            parse_etdump(data[:cut])
    with pytest.raises(ParseError):
        parse_etdump(data + b"\0")


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"ED00", b"ED01"), (b"Execute\0", b"Executo\0"), (b"DELEGATE_CALL", b"DELEGATE_CULL")],
)
def test_what_is_no_profile(old: bytes, new: bytes) -> None:
    assert old in DELEGATED
    with pytest.raises(ParseError):
        parse_etdump(DELEGATED.replace(old, new))


@settings(max_examples=400, deadline=None)
@given(data=st.data(), good=st.sampled_from([DELEGATED, PORTABLE]))
def test_any_bytes_changed_are_a_value_or_a_parse_error(data: st.DataObject, good: bytes) -> None:
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(4, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        profile = parse_etdump(bytes(damaged))
    except ParseError as error:
        assert error.code == "E_PARSE"  # noqa: PT017
    else:
        assert all((row.avg_us or 0) >= 0 for row in profile.rows)
