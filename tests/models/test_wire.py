"""The protobuf reader: right on well-formed messages, never more than Damaged on others."""

from __future__ import annotations

import io
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.models.flat import Damaged
from edgekit.models.wire import MAX_FIELDS, Message, Wire, number
from tests.models.hostile import bounds, field, message, varint

pytestmark = pytest.mark.base


def root(data: bytes, max_fields: int = MAX_FIELDS) -> Message:
    return Wire(io.BytesIO(data), len(data), max_fields).root()


@given(
    st.lists(
        st.tuples(st.integers(1, 1 << 28), st.one_of(st.integers(0, (1 << 64) - 1), st.binary(max_size=99)))
    )
)
def test_reads_what_was_written(fields: list[tuple[int, int | bytes]]) -> None:
    top = root(message(*fields))
    read = [(f.number, f.value if f.kind == 0 else top.bytes(f, 99)) for f in top.fields()]
    assert read == fields


@pytest.mark.parametrize("value", [0, 1, -1, 127, 128, (1 << 63) - 1, -(1 << 63)])
def test_signed_numbers(value: int) -> None:
    (found,) = root(field(3, value)).fields()
    assert number(found) == value
    (packed,) = root(field(3, varint(value) * 3)).fields()
    assert root(field(3, varint(value) * 3)).numbers(packed, 3) == (value,) * 3


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes(data: bytes) -> None:
    try:
        for found in root(data).fields():
            assert 0 < found.start <= found.end <= len(data)
    except Damaged:
        pass


def test_a_length_past_the_end_tells_how_much_is_needed() -> None:
    with pytest.raises(Damaged) as caught:
        list(root(varint(7 << 3 | 2) + varint(1000) + b"abc").fields())
    assert caught.value.needed_bytes == 1003


def test_a_length_past_its_message_is_not_believed() -> None:
    inner = varint(1 << 3 | 2) + varint(50)
    top = root(field(1, inner) + bytes(100))
    with pytest.raises(Damaged):
        list(top.message(next(top.fields())).fields())


def test_nesting_has_an_end() -> None:
    data = b""
    for _ in range(200):
        data = field(1, data)
    level = root(data)
    for _ in range(100):
        level = level.message(next(level.fields()))
    with pytest.raises(Damaged, match="deep"):
        level.message(next(level.fields()))


def test_ten_million_tiny_fields_are_refused_in_bounded_time() -> None:
    data = b"\x08\x01" * 10_000_000
    began = time.monotonic()
    with pytest.raises(Damaged, match="more parts"):
        for _ in root(data).fields():
            pass
    assert time.monotonic() - began < 60


def test_gigabytes_are_skipped_not_read() -> None:
    class Huge(io.RawIOBase):
        """A message of one field of 8 GB and a short one behind it, without the bytes."""

        head, tail = varint(1 << 3 | 2) + varint(8 << 30), field(2, "end")
        at, read_bytes = 0, 0

        def seek(self, offset: int, whence: int = 0, /) -> int:
            self.at = offset
            return offset

        def read(self, size: int = -1, /) -> bytes:
            self.read_bytes += size
            if self.at < len(self.head):
                return self.head[self.at :]
            return self.tail[self.at - len(self.head) - (8 << 30) :]

    file = Huge()
    with bounds(seconds=2, megabytes=2):
        top = Wire(file, len(file.head) + (8 << 30) + len(file.tail)).root()  # type: ignore[arg-type]
        assert [f.number for f in top.fields()] == [1, 2]
    assert file.read_bytes < 1 << 20
