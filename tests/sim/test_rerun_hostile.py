"""D3.1: records from elsewhere done again: no path, argument or command of theirs reaches a host or a device unasked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import edgekit as sdk
from edgekit.addresses import parse
from edgekit.cli.main import run
from edgekit.devices import Device
from edgekit.errors import InputError
from edgekit.records import Record, Samples
from edgekit.results.store import Store
from edgekit.transports.sim.transport import forget
from tests.sim.devices import MODEL, address
from tests.sim.test_rerun import bench, device, place  # noqa: F401 - fixtures

KNOB = "/sys/kernel/mm/transparent_hugepage/enabled"
ID = "20260131-120000000-abcdef"


def merged(value: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    nested = {
        name: merged(value[name], one) if isinstance(one, dict) and isinstance(value.get(name), dict) else one
        for name, one in change.items()
    }
    return {**value, **nested}


def imported(first: Record, place: Path, **change: Any) -> Record:  # noqa: F811
    """The same run as another one that came from elsewhere, with these fields otherwise."""
    made = msgspec.convert(merged(msgspec.to_builtins(first), {"id": ID, **change}), Record)
    Store(place).add(made, Samples())
    return made


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"plan": {"other": {"knob /root/.bashrc": "evil"}}}, "E_RERUN"),
        ({"plan": {"other": {f"knob {KNOB}": "never"}}}, "E_RERUN_TRUST"),
        ({"plan": {"other": {"privileged": True}}}, "E_RERUN_TRUST"),
        ({"environment": {"asked": {"runtime_flags": ["--runtime_path=/evil"]}}}, "E_RERUN_TRUST"),
        ({"environment": {"asked": {"gates": ["median_latency<=baseline"], "baseline": "gone"}}}, "E_NO_RUN"),
        ({"environment": {"asked": {"gates": ["no gate " + " " * 100_000]}}}, "E_GATE_SYNTAX"),
        ({"model": {"sha256": "x"}}, "E_RERUN"),
    ],
)
def test_d3_1_a_record_that_asks_for_more_than_measuring_is_refused_before_the_device_is_touched(
    device: Device,  # noqa: F811
    place: Path,  # noqa: F811
    change: dict[str, Any],
    code: str,
) -> None:
    """Nobody could connect to its address: that would be another error."""
    gone = {"device": {"address": "ssh://nobody@no-such-host.invalid"}}
    imported(bench(device, place), place, **gone, **change)
    with pytest.raises(InputError) as caught:
        sdk.rerun("abcdef", store=place)
    assert caught.value.code == code
    assert caught.value.hint
    assert Store(place).count() == 2


def test_d3_1_with_the_users_word_a_kernel_setting_is_made_again(device: Device, place: Path) -> None:  # noqa: F811
    first = imported(bench(device, place), place, plan={"other": {f"knob {KNOB}": "never"}})
    found = sdk.rerun("abcdef", trust=True, store=place)
    assert found.record.plan.other == first.plan.other


def test_d3_1_a_state_folder_is_not_made_for_a_record(device: Device, place: Path, tmp_path: Path) -> None:  # noqa: F811
    folder = tmp_path / "nothing-here"
    imported(bench(device, place), place, device={"address": address(state=str(folder))})
    with pytest.raises(InputError) as caught:
        sdk.rerun("abcdef", store=place)
    assert caught.value.code == "E_RERUN_TRUST"
    assert not folder.exists()


def test_d3_1_files_of_this_host_are_not_sent_for_a_record(
    device: Device,  # noqa: F811
    place: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Private data whose content the record cannot know, a profile by its path, and a model file that is another one."""
    private = tmp_path / "private.npz"
    np.savez(private, image=np.random.default_rng(1).random((2, 28, 28, 1), np.float32))
    asked = {"inputs": str(private), "evaluation": str(private), "model": str(private)}
    imported(
        bench(device, place),
        place,
        environment={"asked": asked},
        plan={"inputs": "own", "other": {"inputs_sha256": "ab" * 32}},
        profile={"name": str(private)},
    )
    found = sdk.rerun("abcdef", store=place)
    assert found.record.plan.inputs != "own"
    assert found.record.accuracy.scored_on != "device"
    assert found.not_repeated[0] == (
        "without a profile: the record names one by what is no name (-p FILE names it)"
    )
    assert [text.partition(":")[0] for text in found.not_repeated[1:3]] == ["inputs", "evaluation data"]
    other = address()
    with pytest.raises(InputError) as caught:
        sdk.rerun("abcdef", device=other, store=place)
    assert (caught.value.code, "is another file by now" in caught.value.message) == ("E_RERUN_MODEL", True)
    forget(parse(other))


def test_d3_1_what_a_record_is_called_steers_no_terminal_and_no_shell(
    device: Device,  # noqa: F811
    place: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    imported(
        bench(device, place),
        place,
        model={"name": "m\x1b[2J'; rm -rf ~ #", "sha256": "ab" * 32},
        device={"address": device.address + "&sensors=yes"},
    )
    assert run(["rerun", "abcdef", "--db", str(place)]) == 1
    told = capsys.readouterr().err
    assert "E_RERUN_MODEL" in told
    assert "\x1b" not in told
    assert "m\\u001b[2J" in told
    assert f"-d '{device.address}&sensors=yes'" in told
    assert str(MODEL) not in told
