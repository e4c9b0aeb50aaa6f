"""Which profile fits which device: decided from facts alone (A3)."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.profiles import DeviceFacts, facts_from_texts, load_profile, match_profile, profile_heads
from edgekit.profiles.match import WEIGHTS, Head
from edgekit.profiles.schema import Match
from edgekit.profiles.search import shipped_folder, user_folder
from tests.profiles.devices import board, phone, pi5

pytestmark = pytest.mark.base

PI4 = board("Raspberry Pi 4 Model B Rev 1.4", "raspberrypi,4-model-b brcm,bcm2711")
PI4_32 = board("Raspberry Pi 4 Model B Rev 1.4", "raspberrypi,4-model-b brcm,bcm2711", bits="32")


@pytest.mark.parametrize(
    ("texts", "kind", "name"),
    [
        (pi5(), None, "raspberry-pi-5"),
        (PI4, None, "raspberry-pi-4"),
        (PI4_32, None, "generic-linux-armv7"),
        (
            board("Raspberry Pi 3 Model B Plus Rev 1.3", "raspberrypi,3-model-b-plus brcm,bcm2837"),
            None,
            "raspberry-pi-3",
        ),
        (board("NVIDIA Jetson Nano Developer Kit", "nvidia,p3450-0000 nvidia,tegra210"), None, "jetson-nano"),
        (
            board(
                "NVIDIA Jetson Orin Nano Developer Kit",
                "nvidia,p3768-0000+p3767-0005 nvidia,p3767-0005 nvidia,tegra234",
            ),
            None,
            "jetson-orin-nano",
        ),
        (
            board("Jetson AGX Orin", "nvidia,p3737-0000+p3701-0000 nvidia,p3701-0000 nvidia,tegra234"),
            None,
            "jetson-agx-orin",
        ),
        (board("Google i.MX8MQ Phanbell", "google,imx8mq-phanbell fsl,imx8mq"), None, "coral-dev-board"),
        (board("Some Board", "acme,board"), None, "generic-linux-arm64"),
        (board("Some Board", "acme,board", machine="armv7l", bits="32"), None, "generic-linux-armv7"),
        (pi5(), "local", "raspberry-pi-5"),
        ({"uname": "Linux 6.1.0 aarch64\n"}, "local", "host-arm64"),
        ({"uname": "Linux 6.1.0 aarch64\n"}, None, "generic-linux-arm64"),
        ({"uname": "Linux 6.1.0 x86_64\n"}, "local", "host-x86-64"),
        (phone("Pixel 6", "oriole"), None, "pixel-6"),
        (phone("Pixel 8", "shiba"), None, "pixel-8"),
        (phone("Pixel 8 Pro", "husky"), None, "generic-android-arm64"),
        (phone("SM-G991B", "o1s"), None, "galaxy-s21"),
        (phone("SM-S921B", "e1s"), None, "galaxy-s24"),
        (phone("sdk_gphone64_x86_64", "emu64xa", abi="x86_64"), None, "generic-android-x86-64"),
        (phone("old", "old", abi="armeabi-v7a"), None, None),
        ({}, None, None),
        ({"uname": "Linux 6.1.0 s390x\n"}, None, None),
    ],
)
def test_shipped_profiles(texts: dict[str, str], kind: str | None, name: str | None) -> None:
    result = match_profile(facts_from_texts(texts, kind=kind), profile_heads())
    assert result.name == name
    assert result.ties == ()


def test_candidates_come_best_first_with_the_facts_that_fitted() -> None:
    result = match_profile(facts_from_texts(pi5(), kind="local"), profile_heads())
    assert [one.name for one in result.candidates] == ["raspberry-pi-5", "host-arm64", "generic-linux-arm64"]
    assert set(result.candidates[0].facts) == {"os", "abi", "device_tree_model"}


def test_ties_are_reported_and_nothing_is_chosen() -> None:
    heads = [Head("b", Match(soc="x*")), Head("a", Match(soc="?1")), Head("c", Match(os="linux"))]
    result = match_profile(DeviceFacts(soc="x1", os="linux"), heads)
    assert result.name is None
    assert result.ties == ("a", "b")
    assert [one.name for one in result.candidates] == ["a", "b", "c"]


def test_the_longer_glob_is_the_more_specific() -> None:
    heads = [
        Head("any", Match(android_model="Pixel*")),
        Head("eight", Match(android_model=("Nexus*", "Pixel 8*"))),
    ]
    facts = facts_from_texts(phone("Pixel 8", "x"))
    assert match_profile(facts, heads).name == "eight"


def test_the_users_own_wins_among_equals() -> None:
    heads = [Head("shipped", Match(soc="x1")), Head("mine", Match(soc="x1"), own=True)]
    assert match_profile(DeviceFacts(soc="x1"), heads).name == "mine"


def test_unknown_facts_and_empty_matches_fit_nothing() -> None:
    assert match_profile(DeviceFacts(), [Head("a", Match(soc="*")), Head("b", Match())]).candidates == ()


def test_any_cpu_and_any_compatible_entry_will_do() -> None:
    facts = facts_from_texts(pi5())
    assert match_profile(facts, [Head("a", Match(cpu_part="0xd0b"))]).name == "a"
    assert match_profile(facts, [Head("a", Match(device_tree_compatible="brcm,bcm2712"))]).name == "a"


def test_whole_profiles_serve_as_well() -> None:
    profiles = [load_profile("raspberry-pi-5"), load_profile("raspberry-pi-4")]
    assert match_profile(facts_from_texts(pi5()), profiles).name == "raspberry-pi-5"


def test_every_fact_that_can_be_asked_for_has_a_weight() -> None:
    assert set(WEIGHTS) == set(Match.__struct_fields__)


def test_heads_of_broken_files_are_left_out(tmp_path: Path) -> None:
    user_folder().mkdir(parents=True)
    (user_folder() / "broken.yaml").write_text(
        "schema: edgekit.profile/1\nname: broken\nmatch: {oss: linux}\n"
    )
    (user_folder() / "late.yaml").write_text(
        "schema: edgekit.profile/1\nname: late\nmatch: {soc: x}\nlimit: {}\n"
    )
    names = {head.name for head in profile_heads()}
    assert "broken" not in names
    # a mistake elsewhere in the file is told when it is loaded, with its line, not by silence here
    assert "late" in names


def test_iphone_is_never_matched() -> None:
    assert "iphone-15" not in {head.name for head in profile_heads()}
    assert (shipped_folder() / "iphone-15.yaml").is_file()
