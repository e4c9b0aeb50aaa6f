"""What `export --redact` takes out, whatever a user, a host or a serial is called. (D3.2)"""

from __future__ import annotations

import time

import msgspec
import pytest

from benchmarks.store_runs import runs
from edgekit.records import Device, Record, to_builtins
from edgekit.results.redacting import REDACTED, redacted

pytestmark = pytest.mark.base


def shared(address: str, *notes: str) -> Record:
    record, _ = next(runs(1))
    changed = msgspec.structs.replace(record, device=Device(address=address), notes=notes)
    return redacted(changed, b"key")


@pytest.mark.parametrize(
    "address",
    [
        "ssh://dev@lab",
        "ssh://mem@run",
        "ssh://samples@median",
        "adb:valid",
        "ssh://user@model:22",
        "ssh://rec@us",
    ],
)
def test_names_that_are_words_of_the_record_leave_it_a_record(address: str) -> None:
    """A user `dev` is in "device", one called `samples` is a word of the schema."""
    found = shared(address, "all is well")
    record, _ = next(runs(1))
    assert (found.latency.median, found.latency.source) == (record.latency.median, "samples")
    assert found.verdict.state == record.verdict.state
    assert list(to_builtins(found)) == list(to_builtins(record))


@pytest.mark.parametrize(
    ("address", "note", "plain"),
    [
        (
            "ssh://dev@rpi5.lab.example.org:2222",
            "dev on rpi5: a device",
            f"{REDACTED} on {REDACTED}: a device",
        ),
        ("ssh://bob@[fe80::1%25eth0]:22", "cannot reach fe80::1%eth0", f"cannot reach {REDACTED}"),
        ("adb:R58M12ABCDE", "r58m12abcde, R58M12ABCDE_x", f"{REDACTED}, {REDACTED}_x"),
        ("adb:10.0.0.7:5555", "10.0.0.7 and 10.0.0.7:5555", f"{REDACTED} and {REDACTED}"),
        (
            "local:",
            "[2001:db8::7]:22, fe80::1%wlan0: gone. At ::ffff:10.0.0.7, 2001:DB8:0:0:1:2:3:4.",
            f"[{REDACTED}]:22, {REDACTED}: gone. At {REDACTED}, {REDACTED}.",
        ),
        (
            "local:",
            "std::add, face::begin, ::1, 12:30:45:07, a::z",
            "std::add, face::begin, ::1, 12:30:45:07, a::z",
        ),
        (
            "local:",
            "2001:db8::5: refused; 2001:db8:0:0:0:0:0:7:. fe80::, fe80::1%eth0: no, ::1: no",
            f"{REDACTED}: refused; {REDACTED}:. {REDACTED}, {REDACTED}: no, ::1: no",
        ),
        ("local:", "me@lab.example.org, a.b+c@d-e.org", f"{REDACTED}, {REDACTED}"),
        ("local:", "dc:a6:32:01:02:03 at 12:34:56", f"{REDACTED} at 12:34:56"),
    ],
)
def test_hosts_users_and_serials_are_found_in_text(address: str, note: str, plain: str) -> None:
    found = shared(address, note)
    assert found.notes == (plain,)
    assert found.device.address.startswith(address.partition(":")[0])


@pytest.mark.parametrize("folder", ["/home/alice/board", "%2Fhome%2Falice%2Fboard", "~/alice-s-board"])
def test_the_folder_of_a_simulated_device_names_its_user(folder: str) -> None:
    """What its numbers were drawn by stays; where this host keeps it does not."""
    plain = shared(f"sim:pixel-8?median_us=4000&state={folder}&seed=7", f"the folder {folder} is in use")
    assert plain.device.address == "sim:pixel-8?median_us=4000&seed=7"
    assert "alice" not in str(to_builtins(plain))
    assert shared(f"sim:pixel-8?state={folder}").device.address == "sim:pixel-8"


@pytest.mark.parametrize("part", [":", "a:", ".", "a", "%", ":%a."])
def test_no_text_takes_long(part: str) -> None:
    """A record that was imported says what it likes; the time goes with its length, not with a power of it."""
    note = part * (40_000 // len(part)) + "g"
    begun_s = time.process_time()
    assert shared("local:", "::" + note, note).notes == ("::" + note, note)
    assert time.process_time() - begun_s < 5
