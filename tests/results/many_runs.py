"""Many runs from a real one: scaled, on other devices, with other recipes, heat and clocks beside them."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from edgekit import records as r
from edgekit.stats import summarize

DEVICES = ("Raspberry Pi 5", "Pixel 8", "Jetson Orin Nano", "Galaxy S24")
RECIPES = ("float32", "int8-static", "int8-dynamic")
STATES = ("valid", "valid", "suspect", "invalid")


def many_runs(real: tuple[r.Record, r.Samples], count: int) -> list[tuple[r.Record, r.Samples]]:
    """`count` runs of two models; the same for the same `real` but for their ids."""
    random = np.random.default_rng(1)
    return [variant(real, i, random) for i in range(count)]


def variant(
    real: tuple[r.Record, r.Samples], i: int, random: np.random.Generator, **changes: Any
) -> tuple[r.Record, r.Samples]:
    record, samples = real
    factor = float(np.exp(random.normal(0, 0.3))) * (0.4 if i % 3 else 1)
    launches = [launch * factor * float(np.exp(random.normal(0, 0.01))) for launch in samples.launches]
    rows = tuple(
        msgspec.structs.replace(one, median_us=float(np.median(values)))
        for one, values in zip(record.launches, launches, strict=True)
    )
    latency = summarize(
        launches,
        first_inference_us=[one.first_inference_us for one in record.launches],
        load_us=[one.load_us for one in record.launches],
    )
    made = msgspec.structs.replace(
        record,
        **{
            "id": r.new_id(),
            "latency": latency,
            "launches": rows,
            "model": msgspec.structs.replace(record.model, name=f"model-{i % 2}", recipe=RECIPES[i % 3]),
            "device": msgspec.structs.replace(record.device, model=DEVICES[i // 3 % 4]),
            "verdict": r.Verdict(state=STATES[i % 4], reasons=("the device was hot",) if i % 4 > 1 else ()),  # type: ignore[arg-type]
            "energy": r.Energy(meter="sim", boundary="soc-rails", per_inference_uj=2000 * factor),
            "accuracy": r.Accuracy(
                metric="top1", value=0.9 + 0.001 * (i % 50), source_value=0.95, golden="passed"
            ),
            **changes,
        },
    )
    t_us = np.arange(0, 20e6, 5e4) + (record.launches[0].start_us or 0.0)
    heat = tuple(
        r.Series(name=f"{unit} {k}", unit=unit, path="", t_us=t_us, value=at + np.cumsum(random.normal(0, step, t_us.size)))
        for unit, at, step in (("mC", 50_000.0, 90.0), ("kHz", 1.8e6, 0.0))
        for k in range(2)
    )  # fmt: skip
    return made, r.Samples(tuple(launches), (*samples.telemetry, *heat))
