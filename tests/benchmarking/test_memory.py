"""Memory of a run by phase, with page faults; what is not in it (D1.7)."""

from __future__ import annotations

import pytest

from edgekit.benchmarking.memory import excludes, memory_part, memory_sum
from edgekit.records import Launch, LaunchMemory, decode, encode
from edgekit.records.memory import FaultCount, PhaseFaults
from edgekit.results.sections_device import memory as section
from tests.benchmarking.records import record

pytestmark = pytest.mark.base


def launch(peak: int, loaded: int, minor: int, *, ok: bool = True) -> Launch:
    faults = PhaseFaults(load=FaultCount(minor=minor, major=2), steady=FaultCount(minor=0, major=0))
    memory = LaunchMemory(
        peak_rss_bytes=peak, rss_loaded_bytes=loaded, rss_end_bytes=peak, pss_bytes=peak - 1, faults=faults
    )
    return Launch(index=0, ok=ok, memory=memory)


def test_peaks_are_the_largest_and_all_else_the_median() -> None:
    launches = [launch(100, 50, 7), launch(300, 60, 9), launch(200, 70, 8), launch(999, 999, 999, ok=False)]
    found = memory_part(launches)
    assert (found.peak_rss, found.peak_pss) == (300, 299)
    assert (found.rss_loaded, found.rss_steady) == (60, 200)
    assert (found.faults.load.minor, found.faults.load.major) == (8, 2)
    assert found.faults.steady == FaultCount(minor=0, major=0)


def test_what_is_not_told_is_null_and_the_arena_says_why() -> None:
    found = memory_part([launch(100, 50, 7)])
    assert found.rss_first is None
    assert found.faults.first == FaultCount()
    assert found.arena is None
    assert "model_delta" in found.unavailable["arena"]
    assert memory_part([]).peak_rss is None


def test_a_sum_over_processes_has_all_of_them() -> None:
    parts = [launch(100, 50, 7).memory, launch(200, 60, 9).memory]
    assert memory_sum(parts).peak_rss_bytes == 300
    assert memory_sum(parts).faults.load.minor == 16
    assert memory_sum([*parts, LaunchMemory()]).peak_rss_bytes is None


@pytest.mark.parametrize("asked", [None, "cpu"])
def test_on_the_processor_nothing_is_left_out(asked: str | None) -> None:
    assert excludes(asked) == ()


def test_memory_of_an_accelerator_is_said_not_to_be_in_it() -> None:
    """In the record and in the report."""
    found = memory_part([launch(100, 50, 7)], "gpu")
    assert "driver of the gpu" in found.excludes[0]
    page = str(section(record([1.0], memory=found)))
    assert "driver of the gpu" in page
    assert "Minor faults" in page
    assert "After the first inference" in page


def test_a_record_with_memory_by_phase_reads_back() -> None:
    one = launch(100, 50, 7)
    whole = record([1.0], memory=memory_part([one], "npu"), launches=(one,))
    assert decode(encode(whole)) == whole
