"""weight.bin, written by coremltools' own writer and damaged in every way (B1-b2)."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import ModelError

pytest.importorskip("coremltools")

from edgekit_ios.mil.blobs import BlobFile
from edgekit_ios.mil.dtypes import BY_NAME, KINDS, unpack
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.heavy

WRITERS = {
    "fp16": "write_fp16_data", "fp32": "write_float_data", "int8": "write_int8_data", "int16": "write_int16_data",
    "int32": "write_int32_data", "int4": "write_int4_data", "uint8": "write_uint8_data", "uint16": "write_uint16_data",
    "uint32": "write_uint32_data", "uint4": "write_uint4_data", "uint2": "write_uint2_data",
    "uint1": "write_uint1_data", "uint6": "write_uint6_data", "uint3": "write_uint3_data",
}  # fmt: skip


def written(kind: str, values: Any, path: Path) -> int:
    from coremltools.libmilstoragepython import _BlobStorageWriter

    writer = _BlobStorageWriter(str(path))
    stored = values.view(np.uint16) if kind == "fp16" else values
    offset = int(getattr(writer, WRITERS[kind])(stored))
    del writer
    return offset


def values_of(kind: str, count: int) -> Any:
    of = BY_NAME[kind]
    rng = np.random.default_rng(1)
    if of.numpy.kind == "f":
        return rng.standard_normal(count).astype(of.numpy)
    low = -(1 << (of.bits - 1)) if of.signed else 0
    return rng.integers(low, low + (1 << of.bits), count).astype(of.numpy)


def test_every_type_that_a_blob_can_have_is_known() -> None:
    assert {kind.name for kind in KINDS.values() if kind.blob is not None} == set(WRITERS)


@pytest.mark.parametrize("count", [1, 5, 8, 37])
@pytest.mark.parametrize("kind", sorted(WRITERS))
def test_what_coremltools_writes_is_read(kind: str, count: int, tmp_path: Path) -> None:
    values = values_of(kind, count)
    offset = written(kind, values, tmp_path / "w.bin")
    np.testing.assert_array_equal(BlobFile(tmp_path / "w.bin").read(offset, BY_NAME[kind], count), values)


def test_bits_are_taken_from_the_least_significant_on() -> None:
    """The example in the documentation of constexpr_lut_to_dense, and one that crosses bytes."""
    assert unpack(bytes([0b01101100, 0b11]), 2, 5, signed=False).tolist() == [0, 3, 2, 1, 3]
    assert unpack(bytes([0b11_000001, 0b0000_0110]), 6, 2, signed=False).tolist() == [1, 0b011011]
    assert unpack(bytes([0b1000_0111]), 4, 2, signed=True).tolist() == [7, -8]


def blob(tmp_path: Path) -> tuple[Path, int, bytes]:
    path = tmp_path / "w.bin"
    offset = written("fp32", values_of("fp32", 10), path)
    return path, offset, path.read_bytes()


def refused(path: Path, offset: int, count: int = 10, kind: str = "fp32") -> str:
    with pytest.raises(ModelError) as caught:
        BlobFile(path).read(offset, BY_NAME[kind], count)
    assert caught.value.code == "E_MODEL_LOAD"
    return caught.value.message


@pytest.mark.parametrize("length", [0, 63, 64, 100, 127, 128, 167])
def test_a_truncated_file_is_refused(length: int, tmp_path: Path) -> None:
    path, offset, data = blob(tmp_path)
    path.write_bytes(data[:length])
    assert "ends at" in refused(path, offset)


@pytest.mark.parametrize("offset", [0, 1, 65, 192, 1 << 20, 2**64 - 64])
def test_an_offset_where_no_blob_is_is_refused(offset: int, tmp_path: Path) -> None:
    path, _, _ = blob(tmp_path)
    refused(path, offset)


@pytest.mark.parametrize(
    ("at", "form", "value"),
    [(4, "<I", 3), (0, "<I", 2**31), (64, "<I", 0), (68, "<I", 1), (72, "<Q", 39), (72, "<Q", 2**63), (80, "<Q", 2**63),
     (80, "<Q", 140), (88, "<Q", 8)],
)  # fmt: skip
def test_a_damaged_number_is_refused(at: int, form: str, value: int, tmp_path: Path) -> None:
    path, offset, data = blob(tmp_path)
    damaged = bytearray(data)
    struct.pack_into(form, damaged, at, value)
    path.write_bytes(damaged)
    refused(path, offset)


def test_another_count_or_type_than_the_blob_has_is_refused(tmp_path: Path) -> None:
    path, offset, _ = blob(tmp_path)
    refused(path, offset, count=11)
    refused(path, offset, kind="int32")
    refused(path, offset, count=2**62)


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_no_damage_gives_another_error(data: st.DataObject, tmp_path: Path) -> None:
    path, offset, good = blob(tmp_path)
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged[: data.draw(st.integers(0, len(good)))])
    try:
        assert BlobFile(path).read(offset, BY_NAME["fp32"], 10).shape == (10,)
    except ModelError as error:
        assert error.code == "E_MODEL_LOAD"  # noqa: PT017
