"""What a runner's samples file may not be (D1-b3): never a wrong number."""

from __future__ import annotations

import struct

import pytest

from edgekit.benchmarking.samples import read_samples
from edgekit.errors import RemoteError

pytestmark = pytest.mark.base


SECOND_NS = 1e9


def floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}d", *values)


def test_samples_are_little_endian_doubles() -> None:
    assert list(read_samples(floats(1.5, 2.5), 2, SECOND_NS, "local:")) == [1.5, 2.5]
    assert read_samples(b"", 0, SECOND_NS, "local:").size == 0


@pytest.mark.parametrize(
    ("data", "iterations"),
    [
        (floats(1.0), 2),
        (floats(1.0)[:-1], 1),
        (floats(float("nan"), 1.0), 2),
        (floats(float("inf")), 1),
        (floats(-1.0, 5.0), 2),
        (floats(1e300), 1),
        (floats(1e7, 1.0), 2),  # ten seconds in a process of one
    ],
)
def test_what_no_launch_gives_is_the_devices_fault(data: bytes, iterations: int) -> None:
    with pytest.raises(RemoteError) as caught:
        read_samples(data, iterations, SECOND_NS, "ssh://board")
    assert caught.value.code == "E_RUNNER_OUTPUT"
    assert caught.value.exit_code == 3
