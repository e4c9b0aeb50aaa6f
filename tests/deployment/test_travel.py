"""How a file gets to a device: tables over pure functions (C1.1)."""

from __future__ import annotations

import pytest

from edgekit.deployment.looking import available_memory, part_of
from edgekit.deployment.release import ReleaseFile
from edgekit.deployment.travel import (
    PATCH_MAX_BYTES,
    Base,
    Link,
    Travel,
    best_base,
    patch_may_pay,
    patch_pays,
    summary,
    zstd_may_pay,
    zstd_pays,
)

pytestmark = pytest.mark.base

MB = 1_000_000


def a_file(size_bytes: int = 25 * MB, sha256: str = "new") -> ReleaseFile:
    return ReleaseFile(file="model.tflite", sha256=sha256, size_bytes=size_bytes)


def a_base(size_bytes: int = 25 * MB, sha256: str = "old") -> Base:
    return Base("/r/models/m/1/model.tflite", sha256, size_bytes, "m@1")


SLOW, FAST, UNKNOWN = Link(12.5e6), Link(500e6), Link()


@pytest.mark.parametrize(
    ("size", "link", "pays"),
    [
        (25 * MB, SLOW, True),
        (25 * MB, UNKNOWN, True),
        (25 * MB, FAST, False),
        (1000, SLOW, False),
        (PATCH_MAX_BYTES + 1, SLOW, False),
        (25 * MB, Link(12.5e6, memory_bytes=400 * MB), True),
        (25 * MB, Link(12.5e6, memory_bytes=100 * MB), False),
    ],
)
def test_whether_a_patch_is_worth_making(size: int, link: Link, pays: bool) -> None:
    assert patch_may_pay(a_file(size), a_base(), link) is pays


def test_a_patch_that_is_made_competes_with_what_is_left() -> None:
    assert patch_pays(a_file(), a_base(), 1 * MB, SLOW)
    assert not patch_pays(a_file(), a_base(), 24 * MB, SLOW)
    assert not patch_pays(a_file(), a_base(), 1 * MB, SLOW, offset=24 * MB + 900_000)


def test_a_patch_is_never_chosen_where_the_file_is_there_sooner() -> None:
    """For every rate and size: what is chosen has the least time by the same constants."""
    for rate in (1e5, 1e6, 1e7, 5e7, 1e8, 1e9):
        for patch in (10_000, 1 * MB, 10 * MB, 25 * MB):
            if patch_pays(a_file(), a_base(), patch, Link(rate)):
                assert patch / rate < 25 * MB / rate


@pytest.mark.parametrize(
    ("ratio", "link", "pays"),
    [(1.08, SLOW, True), (1.02, SLOW, False), (1.5, Link(50e6), False), (1.5, Link(1e6), True)],
)
def test_whether_compressing_pays(ratio: float, link: Link, pays: bool) -> None:
    assert zstd_pays(ratio, link) is pays


def test_compressing_is_not_tried_on_a_fast_link() -> None:
    assert [zstd_may_pay(25 * MB, link) for link in (SLOW, UNKNOWN, FAST)] == [True, True, False]


def test_the_base_is_the_active_one_then_the_nearest_in_size() -> None:
    near, far, active = a_base(25 * MB, "a"), a_base(5 * MB, "b"), a_base(1 * MB, "c")
    kept = frozenset("abc")
    assert best_base(a_file(), [(far, False), (near, False), (active, True)], kept) is active
    assert best_base(a_file(), [(far, False), (near, False)], kept) is near
    assert best_base(a_file(), [(near, False), (far, False)], frozenset("b")) is far
    assert best_base(a_file(), [(near, True)], frozenset()) is None


def test_the_method_of_a_push_is_that_of_most_of_its_bytes() -> None:
    big = Travel(a_file(), "patch", 100, "", a_base())
    small = Travel(a_file(5000), "raw", 5000, "")
    there = Travel(a_file(), "there", 0, "")
    assert summary([big, small]) == ("patch", 5100)
    assert summary([there, small]) == ("raw", 5000)
    assert summary([there]) == ("unchanged", 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"MemTotal: 100 kB\nMemAvailable:    2048 kB\n", 2 << 20),
        (b"MemTotal: 100 kB\n", None),
        (b"MemAvailable: many kB\n", None),
        (b"\xff\x00", None),
        (None, None),
    ],
)
def test_free_memory(text: bytes | None, expected: int | None) -> None:
    assert available_memory(text) == expected


def test_where_a_part_lies() -> None:
    assert part_of("model.tflite") == ".model.tflite.ek-tmp"
    assert part_of("a/b/c.bin") == "a/b/.c.bin.ek-tmp"
