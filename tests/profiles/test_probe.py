"""A profile written from a device: it loads without findings, says its sources, and matches that device (A3)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.profiles import (
    AndroidFacts,
    CpuFacts,
    DeviceFacts,
    facts_from_texts,
    load_profile,
    match_profile,
)
from edgekit.profiles import profile_heads as heads_now
from edgekit.profiles.check import suggestion
from edgekit.profiles.probe import probe_profile
from edgekit.profiles.search import user_folder
from tests.profiles.devices import board, phone, pi5

pytestmark = pytest.mark.base


def loaded(folder: Path, text: str):  # type: ignore[no-untyped-def]
    path = folder / "probed.yaml"
    path.write_text(text, encoding="utf-8")
    return load_profile(path)


def test_of_a_board(tmp_path: Path) -> None:
    text = probe_profile(facts_from_texts(pi5()))
    profile = loaded(tmp_path, text)
    assert profile.name == "raspberry-pi-5-model-b-rev-1-0"
    assert profile.extends == "generic-linux-arm64"
    assert profile.runtimes == ("litert", "onnxruntime", "litert-python")
    assert profile.device.memory_bytes == 8 << 30
    (core,) = profile.device.cores
    assert (core.cpus, core.kind, core.max_frequency_khz) == ("0-3", "cortex-a76", 2_400_000)
    assert profile.bench.governor == "performance"
    for line in text.splitlines():
        value = line.strip()
        sourced = "#" in value or value.endswith(":") or value.startswith(("schema:", "name:", "- "))
        assert sourced, f"no source: {line}"


def test_of_a_phone_with_two_clusters(tmp_path: Path) -> None:
    facts = facts_from_texts(phone("Model [X]*", "dev", **{"ro.product.manufacturer": "Acme"}))
    cpus = (
        *(
            CpuFacts(cpu=n, part="0xd05", implementer="0x41", max_frequency_khz=1_803_000, capacity=250)
            for n in (0, 1, 3)
        ),
        CpuFacts(cpu=2, part="0x001", implementer="0x51", max_frequency_khz=2_802_400, capacity=1024),
    )
    known = DeviceFacts(os="android", abi="arm64-v8a", model=facts.model, android=facts.android, cpus=cpus)
    profile = loaded(tmp_path, probe_profile(known, name="my phone"))
    assert profile.name == "my-phone"
    assert profile.device.vendor == "Acme"
    assert [(core.cpus, core.kind, core.max_frequency_khz) for core in profile.device.cores] == [
        ("0-1,3", "cortex-a55", 1_803_000),
        ("2", "0x51/0x001", 2_802_400),
    ]
    # the model's own signs are no globs
    assert match_profile(known, [profile]).name == "my-phone"


@pytest.mark.parametrize(
    "texts",
    [
        pi5(),
        phone("Pixel 6", "oriole"),
        board(
            "NVIDIA Jetson Orin Nano Developer Kit",
            "nvidia,p3768-0000+p3767-0005 nvidia,p3767-0005 nvidia,tegra234",
        ),
    ],
    ids=["pi5", "pixel6", "orin"],
)
def test_ones_own_probed_profile_wins_over_the_shipped_one(texts: dict[str, str]) -> None:
    facts = facts_from_texts(texts)
    user_folder().mkdir(parents=True)
    (user_folder() / "mine.yaml").write_text(probe_profile(facts, name="mine"))
    assert match_profile(facts, heads_now()).name == "mine"


def test_of_a_device_that_says_nothing(tmp_path: Path) -> None:
    profile = loaded(tmp_path, probe_profile(DeviceFacts()))
    assert profile.name == "probed-device"
    assert profile.extends is None


def test_suggestions() -> None:
    assert suggestion("threds", ["threads", "cpus"]) == "; did you mean 'threads'?"
    assert suggestion("xyz", ["threads"]) == ""


TEXT = st.none() | st.text(max_size=300)
ANDROID = st.builds(AndroidFacts, model=TEXT, device=TEXT, manufacturer=TEXT, sdk=st.none(), fingerprint=TEXT)
CPUS = st.lists(
    st.builds(
        CpuFacts,
        cpu=st.integers(0, 999),
        part=st.sampled_from([None, "0xd0b", "0x001"]),
        implementer=st.sampled_from([None, "0x41", "0x51"]),
        max_frequency_khz=st.none() | st.integers(1, 10**7),
        capacity=st.none() | st.integers(0, 1024),
    ),
    max_size=6,
    unique_by=lambda cpu: cpu.cpu,
).map(tuple)
FACTS = st.builds(
    DeviceFacts,
    kind=st.sampled_from([None, "local", "board", "phone"]),
    os=st.sampled_from([None, "linux", "android"]),
    abi=st.sampled_from([None, "arm64-v8a", "armeabi-v7a", "x86_64", "x86", "mips"]),
    model=TEXT,
    soc=TEXT,
    device_tree_model=TEXT,
    device_tree_compatible=st.lists(st.text(min_size=1, max_size=60), max_size=3).map(tuple),
    android=st.none() | ANDROID,
    cpus=CPUS,
    memory_bytes=st.none() | st.integers(1, 1 << 45),
    governors=st.sampled_from([(), ("performance",)]),
)


@settings(max_examples=200, deadline=None)
@given(facts=FACTS)
def test_always_loads_without_findings(tmp_path_factory: pytest.TempPathFactory, facts: DeviceFacts) -> None:
    profile = loaded(tmp_path_factory.mktemp("probe"), probe_profile(facts))
    result = match_profile(facts, [profile])
    identified = any(
        getattr(profile.match, key) for key in ("android_device", "android_model", "device_tree_model")
    )
    assert not identified or result.name == profile.name
