"""Facts from texts: right where they are whole, unknown where they are not, never guessed (A3)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.profiles import FACT_COMMANDS, FACT_FILES, DeviceFacts, facts_from_texts
from tests.parse.outputs import output
from tests.profiles.devices import POLICY, board, phone, pi5

pytestmark = pytest.mark.base


def test_a_board() -> None:
    facts = facts_from_texts(pi5())
    assert (facts.kind, facts.os, facts.abi, facts.machine) == ("board", "linux", "arm64-v8a", "aarch64")
    assert (facts.os_name, facts.os_version, facts.kernel) == ("debian", "12", "6.12.25+rpt-rpi-2712")
    assert (facts.model, facts.soc) == ("Raspberry Pi 5 Model B Rev 1.0", "bcm2712")
    assert facts.glibc_version == "2.36"
    assert facts.memory_bytes == 8245568 * 1024
    assert facts.memory_class_gib == 8
    assert [cpu.cpu for cpu in facts.cpus] == [0, 1, 2, 3]
    assert {(cpu.part, cpu.max_frequency_khz, cpu.capacity) for cpu in facts.cpus} == {
        ("0xd0b", 2_400_000, None)
    }
    assert facts.governors[-1] == "schedutil"
    assert [(zone.type, zone.path) for zone in facts.thermal_zones] == [
        ("cpu-thermal", "/sys/class/thermal/thermal_zone0")
    ]
    assert facts.unread == ()


def test_a_phone() -> None:
    facts = facts_from_texts({"uname": "Linux 5.15.1 aarch64\n", "getprop": output("getprop_pixel8pro")})
    assert (facts.kind, facts.os, facts.os_version, facts.abi) == ("phone", "android", "14", "arm64-v8a")
    assert (facts.model, facts.soc) == ("Pixel 8 Pro", "Tensor G3")
    assert facts.android is not None
    assert (facts.android.sdk, facts.android.manufacturer, facts.android.device) == (34, "Google", None)
    assert facts.glibc_version is None


def test_soc_of_a_phone_without_ro_soc() -> None:
    facts = facts_from_texts({"getprop": output("getprop_galaxy_old")})
    assert (facts.soc, facts.abi) == ("exynos2100", "arm64-v8a")


def test_32_bit_programs_on_a_64_bit_kernel() -> None:
    facts = facts_from_texts(
        board("Raspberry Pi 4 Model B Rev 1.4", "raspberrypi,4-model-b brcm,bcm2711", bits="32")
    )
    assert (facts.machine, facts.abi) == ("aarch64", "armeabi-v7a")


def test_big_and_little_clusters() -> None:
    texts = {
        "uname": "Linux 5.10.0 aarch64\n",
        "/sys/devices/system/cpu/online": "0-5\n",
        f"{POLICY}0/related_cpus": "0 1 2 3\n",
        f"{POLICY}0/cpuinfo_max_freq": "1803000\n",
        f"{POLICY}0/scaling_available_governors": "powersave performance schedutil \n",
        f"{POLICY}4/related_cpus": "4 5\n",
        f"{POLICY}4/cpuinfo_max_freq": "2802000\n",
        f"{POLICY}4/scaling_available_governors": "schedutil performance userspace \n",
        **{f"/sys/devices/system/cpu/cpu{n}/cpu_capacity": "250\n" if n < 4 else "1024\n" for n in range(6)},
    }
    facts = facts_from_texts(texts)
    assert [cpu.max_frequency_khz for cpu in facts.cpus] == [1_803_000] * 4 + [2_802_000] * 2
    assert [cpu.capacity for cpu in facts.cpus] == [250] * 4 + [1024] * 2
    assert facts.governors == ("performance", "schedutil")


def test_nothing_known() -> None:
    facts = facts_from_texts({})
    assert facts == DeviceFacts()
    assert facts.memory_class_gib is None


def test_what_makes_no_sense_is_unknown_and_named() -> None:
    texts = {**pi5(), "/proc/meminfo": "MemTotal:        8245", "/proc/cpuinfo": "Permission denied\n"}
    facts = facts_from_texts(texts)
    assert facts.memory_bytes is None
    assert facts.model == "Raspberry Pi 5 Model B Rev 1.0"
    assert [line.partition(":")[0] for line in facts.unread] == ["/proc/cpuinfo", "/proc/meminfo"]


def test_kind_is_what_the_caller_knows() -> None:
    assert facts_from_texts(pi5(), kind="local").kind == "local"


def test_fingerprint_is_of_the_hardware() -> None:
    facts = facts_from_texts(pi5())
    updated = {
        **pi5(),
        "uname": "Linux 6.18.0 aarch64\n",
        "/etc/os-release": "ID=debian\nVERSION_ID=13\n",
        "/proc/meminfo": "MemTotal:        8245000 kB\n",
        f"{POLICY}0/scaling_available_governors": "performance \n",
    }
    assert facts_from_texts(updated).fingerprint == facts.fingerprint
    smaller = {**pi5(), "/proc/meminfo": "MemTotal:        4045000 kB\n"}
    assert facts_from_texts(smaller).fingerprint != facts.fingerprint
    assert facts_from_texts(phone("Pixel 6", "oriole")).fingerprint != facts.fingerprint
    assert len(facts.fingerprint) == 16


@pytest.mark.parametrize(
    ("total_kib", "gib"),
    [
        (430_000, 1),
        (948_000, 1),
        (3_884_000, 4),
        (5_800_000, 6),
        (7_600_000, 8),
        (11_500_000, 12),
        (15_000_000, 16),
    ],
)
def test_memory_as_sold(total_kib: int, gib: int) -> None:
    assert DeviceFacts(memory_bytes=total_kib * 1024).memory_class_gib == gib


def test_this_machine() -> None:
    """The real files of FACT_FILES and the real commands, on the machine that runs the tests."""
    texts = {}
    for pattern in FACT_FILES:
        for path in Path("/").glob(pattern.lstrip("/")):
            texts[str(path)] = path.read_text(errors="replace")
    for key, argv in FACT_COMMANDS.items():
        try:
            texts[key] = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False).stdout
        except FileNotFoundError:
            continue
    facts = facts_from_texts(texts, kind="local")
    assert facts.unread == ()
    assert facts.os == "linux"
    assert facts.machine is not None
    assert facts.abi is not None
    assert facts.memory_bytes is not None
    assert facts.memory_bytes > 100 << 20
    assert len(facts.cpus) == os.cpu_count()


def test_facts_go_through_json() -> None:
    facts = facts_from_texts(pi5())
    assert msgspec.json.decode(msgspec.json.encode(facts), type=DeviceFacts) == facts


KEYS = [
    "uname",
    "getprop",
    "getconf LONG_BIT",
    "getconf GNU_LIBC_VERSION",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/device-tree/model",
    "/proc/device-tree/compatible",
    "/etc/os-release",
    f"{POLICY}0/related_cpus",
    f"{POLICY}0/cpuinfo_max_freq",
    f"{POLICY}0/scaling_available_governors",
    "/sys/devices/system/cpu/cpu0/cpu_capacity",
    "/sys/devices/system/cpu/online",
    "/sys/class/thermal/thermal_zone0/type",
]


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), st.text(max_size=60)))
def test_never_raises_for_what_a_device_says(texts: dict[str, str]) -> None:
    facts = facts_from_texts(texts)
    assert facts.fingerprint == facts_from_texts(texts).fingerprint
