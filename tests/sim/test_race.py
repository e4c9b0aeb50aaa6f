"""B2.4, D1-b3: a race of releases on simulated devices, and what is left of one that is cut off."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.api.auto import convert_auto
from edgekit.benchmarking.compare import compare_releases
from edgekit.benchmarking.plan import BenchOptions
from edgekit.benchmarking.race import race
from edgekit.deployment import Release, release_on_device, releases
from edgekit.devices import Device
from edgekit.devices.layout import is_candidates
from edgekit.errors import DeviceFull, DeviceLost, InputError
from edgekit.events import Event
from edgekit.models import open_model
from edgekit.profiles import load_profile
from tests.sim.devices import DIGITS, MODEL, PROFILE, RUNTIME, address, opened, push

TOOL = BenchOptions(runtime="litert-benchmark", streams=2)


def there(device: Device) -> Release:
    push(open_model(MODEL), device, smoke=False)
    return release_on_device(device, "digits", None)


def test_a_tool_has_no_streams_in_a_race_either() -> None:
    with opened(address()) as device, pytest.raises(InputError) as caught:
        race([there(device)], device, profile=load_profile(PROFILE), options=TOOL)
    assert caught.value.code == "E_STREAMS"


def test_a_tool_has_no_streams_in_a_comparison_either() -> None:
    with opened(address()) as device:
        one = there(device)
        with pytest.raises(InputError) as caught:
            compare_releases(one, one, device, profile=load_profile(PROFILE), options=TOOL)
    assert caught.value.code == "E_STREAMS"


def raced(device: Device, folder: Path, said: list[Event]) -> str:
    profile = load_profile(PROFILE)
    done = convert_auto(
        MODEL,
        profile=profile,
        output=folder / "a.ekm",
        name=None,
        device=device,
        options=BenchOptions(runtime=RUNTIME, launches=2, seed=1, lease_wait_seconds=1.0),
        sink=said.append,
        calibration=DIGITS / "calibration.npz",
    )
    return done.artifact.manifest.recipe or ""


def test_candidates_that_a_device_which_vanishes_keeps_are_told(tmp_path: Path) -> None:
    said: list[Event] = []
    where = address(fault="vanish", after=3, state=tmp_path / "state")
    with opened(where) as device, pytest.raises(DeviceLost):
        raced(device, tmp_path, said)
    with opened(address(state=tmp_path / "state")) as device:
        (left,) = {row.name for row in releases(device)}
        assert is_candidates(left)
        assert any(f"edgekit remove {left}" in event.message for event in said if event.level == "warning")


def test_a_candidate_that_has_no_room_there_is_out_and_the_others_race(tmp_path: Path) -> None:
    """4 MiB always stay free. With them and the agent (some 210 kB) there is room for the small ones, not for float32."""
    with opened(address(disk="4810000B")) as device:
        assert raced(device, tmp_path, []) != "float32"
        assert list(releases(device)) == [], "candidates are taken away again"


def test_where_none_has_room_the_device_is_full(tmp_path: Path) -> None:
    with opened(address(disk="4300000B")) as device, pytest.raises(DeviceFull):
        raced(device, tmp_path, [])
