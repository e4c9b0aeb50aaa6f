"""Records for tests: of launches whose medians are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgekit.records import Device, Latency, Launch, Model, Plan, Record, Runtime, Verdict


def record(medians: Sequence[float], state: Any = "valid", **more: Any) -> Record:
    values: dict[str, Any] = {
        "id": "20260131-120000000-aaaaaa",
        "started_at": "2026-01-31T12:00:00.000Z",
        "edgekit_version": "0",
        "model": Model(name="m"),
        "device": Device(address="local:"),
        "runtime": Runtime(name="litert"),
        "plan": Plan(launches=len(medians)),
        "latency": Latency(median=sorted(medians)[len(medians) // 2] if medians else None),
        "verdict": Verdict(state=state, reasons=() if state == "valid" else ("it swapped",)),
        "launches": tuple(Launch(index=i, median_us=value) for i, value in enumerate(medians)),
        **more,
    }
    return Record(**values)
