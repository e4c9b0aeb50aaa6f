"""D3.1: what a record says of how to do its run again, and what of it cannot be had any more. Tables."""

from __future__ import annotations

from typing import Any

import pytest

from edgekit.benchmarking.again import again
from edgekit.benchmarking.difference import difference
from edgekit.benchmarking.repeated import Rerun, missing_after
from edgekit.errors import InputError
from edgekit.records import Accuracy, Energy, Environment, Model, Operators, Plan, Record, Runtime, Verdict
from edgekit.records.environment import Asked
from edgekit.records.sustained import Sustained
from tests.benchmarking.records import record

pytestmark = pytest.mark.base

HASH = "cd" * 32
FULL = Plan(
    launches=3,
    threads=4,
    cpus="4,5",
    seed=9,
    warmup_iterations=2,
    iterations=20,
    min_seconds=0.5,
    max_seconds=60.0,
    governor="performance",
    cool_to_mc=60_000,
    cool_timeout_seconds=120.0,
    inputs="random",
    streams=None,
    priority=5,
    frequency="1.8GHz",
    screen="on",
    charging="no",
    min_battery_percent=50.0,
    ready_timeout_seconds=30.0,
    other={"privileged": True, "spread_seconds": 7.0, "knob /sys/x": "1"},
)


def run(**more: Any) -> Record:
    fields: dict[str, Any] = {
        "model": Model(name="m", sha256="ab" * 32),
        "plan": FULL,
        "environment": Environment(),
        **more,
    }
    return record([10.0, 10.1, 10.2], **fields)


def asked(how: Any = "alone", **more: Any) -> Environment:
    return Environment(asked=Asked(how=how, **more))


def untold(first: Record, *files: str) -> tuple[str, ...]:
    return again(first, None, sha256_of=lambda path: HASH if path in files else None).untold


def test_d3_1_every_field_of_the_plan_is_done_again() -> None:
    """Through the plan and back it is the plan of the record."""
    from edgekit.benchmarking.assemble import plan_part

    done = again(run(), None, sha256_of=lambda _: HASH)
    assert plan_part(done.plan, "random") == FULL
    assert (done.untold, done.options.rerun_of) == ((), run().id)
    assert (done.options.privileged, done.options.runtime) == (True, "litert")
    long = run(plan=Plan(**{**_fields(FULL), "other": {"privileged": False, "sustained_minutes": 2.0}}))
    assert plan_part(again(long, None, sha256_of=lambda _: HASH).plan, "random") == long.plan


def _fields(plan: Plan) -> dict[str, Any]:
    return {name: getattr(plan, name) for name in plan.__struct_fields__}


def test_d3_1_what_was_asked_of_runtime_and_meter_is_asked_again() -> None:
    made = asked(
        meter="rail", require_accelerator=True, runtime_flags=("--a=1",), op_profile=True, evaluation="/d/e"
    )
    scored = Accuracy(scored_on="device", data_sha256=HASH)
    first = run(
        environment=made, runtime=Runtime(name="trtexec", requested_accelerator="gpu"), accuracy=scored
    )
    options = again(first, None, sha256_of=lambda path: HASH if path == "/d/e" else None).options
    assert (options.meter, options.runtime_flags, options.op_profile) == ("rail", ("--a=1",), True)
    left = run(environment=asked("unplugged", meter="b"))
    assert again(left, None, sha256_of=lambda _: None).options.meter is None
    assert (options.accelerator, options.require_accelerator, options.evaluation) == ("gpu", True, "/d/e")


@pytest.mark.parametrize(
    ("first", "told"),
    [
        (
            run(environment=asked(evaluation="/d/e.npz")),
            "evaluation data: /d/e.npz is gone; nothing is scored",
        ),
        (run(accuracy=Accuracy(scored_on="device")), "evaluation data: the record does not say which file"),
        (run(plan=Plan(**{**_fields(FULL), "inputs": "own"})), "inputs: the record does not say which file"),
        (run(environment=asked("compared")), "it was measured in pairs"),
        (run(environment=asked("unplugged")), "it was measured while the cable was out"),
        (run(environment=None), "an older record"),
        (run(plan=Plan(launches=3)), "the record does not say threads, seed, warmup_iterations"),
    ],
)
def test_d3_1_what_cannot_be_had_any_more_is_told(first: Record, told: str) -> None:
    (text,) = untold(first)
    assert text.startswith(told)


def test_d3_1_a_model_without_a_hash_cannot_be_measured_again() -> None:
    with pytest.raises(InputError) as caught:
        untold(run(model=Model(name="m")))
    assert caught.value.code == "E_RERUN"


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (
            {"energy": Energy(meter="a")},
            {"energy": Energy(unavailable="no such file")},
            "now it is not: no such",
        ),
        ({"energy": Energy(meter="a")}, {"energy": Energy(meter="b")}, "energy was measured by a; now by b"),
        (
            {"accuracy": Accuracy(scored_on="device", data_sha256="a")},
            {"accuracy": Accuracy(scored_on="device", data_sha256="b")},
            "the evaluation data are other ones",
        ),
        (
            {"accuracy": Accuracy(scored_on="device")},
            {"verdict": Verdict(state="valid", notes=("not scored on the device: E_X",))},
            "a score on the device, this one has not (not scored on the device: E_X)",
        ),
        ({"sustained": Sustained(minutes=())}, {}, "a sustained load"),
        (
            {"operators": Operators(runtime="x", rows=())},
            {},
            "operators, this one has not (no reason is known)",
        ),
        ({}, {}, None),
    ],
)
def test_d3_1_what_only_the_first_run_has_is_told(
    first: dict[str, Any], second: dict[str, Any], told: str | None
) -> None:
    found = missing_after(run(**first), run(**second))
    assert [told in text for text in found] == [True] if told else found == ()


@pytest.mark.parametrize(
    ("medians", "states", "verdict", "code", "strict"),
    [
        ([10.0, 10.1, 10.2], ("valid", "valid"), "no_difference", 0, 0),
        ([20.0, 20.1, 20.2], ("valid", "valid"), "slower", 0, 0),
        ([5.0, 5.1, 5.2], ("suspect", "valid"), "faster", 0, 4),
        ([20.0, 20.1], ("valid", "valid"), "untested", 0, 0),
        ([10.0, 10.1, 10.2], ("invalid", "valid"), "invalid", 4, 4),
        ([10.0, 10.1, 10.2], ("valid", "invalid"), "invalid", 4, 4),
    ],
)
def test_d3_1_the_verdict_is_of_latency_and_its_exit_code_is_that_of_compare(
    medians: list[float], states: tuple[str, str], verdict: str, code: int, strict: int
) -> None:
    a, b = record([10.0, 10.1, 10.2], states[0]), record(medians, states[1])
    found = Rerun(a, b, difference(a, b), ())
    assert (found.verdict, found.exit_code(), found.exit_code(strict=True)) == (verdict, code, strict)
