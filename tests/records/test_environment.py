"""D3.1: the record says what it takes to do the run again, and no secrets."""

from __future__ import annotations

import msgspec
import pytest

from edgekit.cli.argv import without_secrets
from edgekit.profiles.facts import DeviceFacts
from edgekit.profiles.facts_read import facts_from_texts

pytestmark = pytest.mark.base


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (
            ["bench", "m.tflite", "-d", "ssh://pi@board", "--label", "a=b"],
            ["bench", "m.tflite", "-d", "ssh://pi@board", "--label", "a=b"],
        ),
        (["push", "--token", "s3cr3t", "-v"], ["push", "--token", "[left out]", "-v"]),
        (["push", "--api-key=s3cr3t"], ["push", "--api-key=[left out]"]),
        (["--db", "postgresql://me:s3cr3t@db/x"], ["--db", "postgresql://me:[left out]@db/x"]),
        (
            ["--db", "postgresql://db/x?password=s3cr3t&a=1"],
            ["--db", "postgresql://db/x?password=[left out]&a=1"],
        ),
        (["--runtime-flag", "--auth-token=s3cr3t"], ["--runtime-flag", "--auth-token=[left out]"]),
        (["--db", "postgresql://me:s3/cr@3t@db/x"], ["--db", "postgresql://me:[left out]@db/x"]),
        (["--db", "postgresql://me:s3 cr3t@db/x"], ["--db", "postgresql://me:[left out]@db/x"]),
        (["--db", "https://s3cr3t@db/x"], ["--db", "https://[left out]@db/x"]),
        (["-d", "adb+ssh://pi@lab:22/x:1"], ["-d", "adb+ssh://pi@lab:22/x:1"]),
        (["--password"], ["--password"]),
    ],
)
def test_d3_1_secrets_never_stand_in_the_command_line(given: list[str], kept: list[str]) -> None:
    assert list(without_secrets(given)) == kept


UNAME = "Linux 6.6.31 aarch64"
CPUINFO = "processor\t: 0\n\nSerial\t\t: {}\nModel\t\t: Raspberry Pi 5 Model B\n"


def test_d3_1_the_build_of_a_device_changes_with_its_serial_and_its_kernel() -> None:
    """The fingerprint stays: it is the kind of device. A serial number is nowhere in the facts."""

    def facts(serial: str, uname: str = UNAME) -> DeviceFacts:
        return facts_from_texts({"uname": uname, "/proc/cpuinfo": CPUINFO.format(serial)})

    one, again, other = facts("10000000abcdef01"), facts("10000000abcdef01"), facts("10000000abcdef02")
    newer = facts("10000000abcdef01", "Linux 6.6.32 aarch64")
    assert one.build_sha256 == again.build_sha256
    assert len({one.build_sha256, other.build_sha256, newer.build_sha256}) == 3
    assert len({found.fingerprint for found in (one, other, newer)}) == 1
    assert b"abcdef01" not in msgspec.json.encode(one)
    assert facts("0000000000000000").serial_sha256 is None
    assert facts_from_texts({}).build_sha256 is None


def test_d3_1_android_tells_its_serial_and_its_build() -> None:
    properties = "[ro.build.version.sdk]: [34]\n[ro.serialno]: [{}]\n[ro.build.fingerprint]: [{}]\n"

    def build(serial: str, fingerprint: str) -> str | None:
        return facts_from_texts({"getprop": properties.format(serial, fingerprint)}).build_sha256

    assert len({build("A1", "x/1"), build("A2", "x/1"), build("A1", "x/2")}) == 3
