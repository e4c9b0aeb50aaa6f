"""Generated runs for a results store: of 18 months, 40 models, 12 devices, 2 runtimes, 3 recipes, several versions.

Each is a whole record (5 launches of 60 samples, two telemetry series), whose row says what its JSON says. To make a
million of them in minutes the JSON is put together from a template, and samples are taken from a pool.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256

from edgekit import records as r
from edgekit.records.packed import pack
from edgekit.results.rows import Entry, entry_of
from edgekit.stats import summarize

BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
MONTHS = 18
MODELS = [f"{kind}-{size}" for kind in ("detector", "segmenter", "pose", "speech") for size in range(10)]
DEVICES = [(f"ssh://pi@rpi5-{n}", "Raspberry Pi 5", "BCM2712") for n in range(4)] + [
    (f"adb:SERIAL{n:03}", f"Pixel {6 + n}", f"Tensor G{1 + n}") for n in range(8)
]
RUNTIMES = [("litert", "2.0"), ("onnxruntime", "1.22")]
RECIPES = ["float32", "int8-static", "int8-dynamic"]
LAUNCHES, SAMPLES, POOL = 5, 60, 40
_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"


def template(seed: int, model: str, device: int, runtime: int, recipe: str) -> tuple[r.Record, r.Samples]:
    """A record as a measurement makes one."""
    draw = random.Random(f"{seed} {model} {device} {runtime} {recipe}")
    level, launches, latency, samples = _measured(seed, draw.randrange(POOL))
    address, name, soc = DEVICES[device]
    named, version = RUNTIMES[runtime]
    record = r.Record(
        id="20250101-000000000-aaaaaa",
        started_at="2025-01-01T00:00:00.000Z",
        edgekit_version="0.1.0",
        model=r.Model(
            name=model, version="v0", sha256="0" * 64, format="tflite", recipe=recipe, size_bytes=draw.randrange(1 << 24)
        ),
        profile=r.Profile(name=name.lower().replace(" ", "-"), sha256="1" * 64),
        device=r.Device(address=address, model=name, soc=soc, abi="arm64-v8a", os="Linux 6.6", fingerprint=sha256(address.encode()).hexdigest(), cpu_count=4),
        runtime=r.Runtime(name=named, version=version, sha256="2" * 64, argv=("runner", "--threads", "4"), actual_accelerator="cpu"),
        plan=r.Plan(launches=LAUNCHES, threads=4, seed=7, iterations=SAMPLES, min_seconds=0.0),
        conditions=r.BeforeAfter(
            before=r.Conditions(governor="performance", frequency_khz=2_400_000, temperature_mc=48_000, throttled=False),
            after=r.Conditions(governor="performance", frequency_khz=2_400_000, temperature_mc=55_000, throttled=False),
        ),
        latency=latency,
        memory=r.Memory(peak_rss=draw.randrange(1 << 20, 1 << 28), model_delta=draw.randrange(1 << 24)),
        energy=r.Energy(meter="rpi-pmic", boundary="soc-rails", per_inference_uj=level * 3, mean_power_mw=3000.0),
        accuracy=r.Accuracy(metric="top1", value=round(draw.uniform(0.6, 0.99), 4), golden="passed"),
        verdict=r.Verdict(state="valid"),
        labels={"project": "vision", "board": "0", "commit": "0" * 12},
        launches=tuple(
            r.Launch(index=i, order=i, seed=i, exit_code=0, start_us=i * 1e6, load_us=5000.0, first_inference_us=level * 2,
                     median_us=sorted(one)[SAMPLES // 2], mean_us=sum(one) / SAMPLES, count=SAMPLES, wall_us=sum(one))
            for i, one in enumerate(launches)
        ),
    )  # fmt: skip
    return record, samples


@cache
def _measured(seed: int, which: int) -> tuple[float, list[list[float]], r.Latency, r.Samples]:
    """One of the pool: a level, launches around it, their summary, and all samples."""
    draw = random.Random(f"{seed} {which}")
    level = 10 ** draw.uniform(3, 5)
    launches = [
        [round(level * draw.lognormvariate(0, 0.02), 3) for _ in range(SAMPLES)] for _ in range(LAUNCHES)
    ]
    points = [
        r.TelemetryPoint(t * 1e5, name, value + t, unit, f"/sys/{name}")
        for name, value, unit in (("cpu-thermal", 52000.0, "mC"), ("cpu0", 2.4e6, "kHz"))
        for t in range(20)
    ]
    return level, launches, summarize(launches), r.Samples.of(launches, points)


def runs(count: int, seed: int = 1) -> Iterator[tuple[r.Record, r.Samples]]:
    """As a program of edgekit has them: for measuring `Store.add_many`."""
    draw = random.Random(seed)
    for k in range(count):
        record, samples = _template(draw, seed)
        at = BEGIN + timedelta(days=30 * MONTHS) * (k / count)
        yield _with(record, at, _tail(k + (1 << 29) + seed * 100_000)), samples


def entries(count: int, seed: int = 1, *, samples: bool = True) -> Iterator[Entry]:
    """Rows of `count` runs, oldest first, fast."""
    draw = random.Random(seed)
    pools: dict[int, tuple[r.Record, Entry, list[bytes]]] = {}
    span_s = MONTHS * 30 * 86_400.0
    for k in range(count):
        record, made, parts = _pooled(pools, draw, seed)
        at_s = BEGIN.timestamp() + span_s * k / count
        at = datetime.fromtimestamp(at_s, UTC)
        run_id = f"{at:%Y%m%d-%H%M%S}{at.microsecond // 1000:03d}-{_tail(k)}"
        started = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        factor = draw.lognormvariate(0, 0.03) * (1 + 0.05 * k / count)
        median = record.latency.median * factor  # type: ignore[operator]
        version, commit, board = f"v{k * 40 // count}", f"{k // 50:012x}", str(draw.randrange(20))
        state = draw.choices(("valid", "suspect", "invalid"), (90, 8, 2))[0]
        words = (run_id, started, version, repr(median), state, board, commit)
        data = (
            b"".join(
                piece
                for pair in zip(parts, (word.encode() for word in words), strict=False)
                for piece in pair
            )
            + parts[-1]
        )
        digest = sha256(data).hexdigest()
        fields = {**made.series, "verdict": state, "last_s": at_s}
        fields["hash"] = f"{made.series['hash']}{state}"
        label = {"project": "vision", "board": board, "commit": commit}
        yield replace(
            made,
            id=run_id,
            sha256=digest,
            series=fields,
            run={
                **made.run,
                "id": run_id,
                "tail": run_id[-6:],
                "started_at": started,
                "started_s": at_s,
                "model_version": version,
                "median_latency_us": median,
            },
            record={**made.record, "sha256": digest, "json_packed": pack(data)},
            latencies=made.latencies if samples else (),
            telemetry=made.telemetry if samples else (),
            labels=tuple({"key": key, "value": value, "started_s": at_s} for key, value in label.items()),
        )


def _pooled(
    pools: dict[int, tuple[r.Record, Entry, list[bytes]]], draw: random.Random, seed: int
) -> tuple[r.Record, Entry, list[bytes]]:
    """A record, its rows, and its JSON cut where runs differ."""
    model, device, runtime, recipe = _choice(draw)
    key = ((model * len(DEVICES) + device) * 2 + runtime) * 3 + recipe
    if key not in pools:
        record, samples = template(seed, MODELS[model], device, runtime, RECIPES[recipe])
        marked = r.encode(record)
        median = record.latency.median
        marks = [
            b'"20250101-000000000-aaaaaa"', b'"2025-01-01T00:00:00.000Z"', b'"version":"v0"',
            b'"median":' + repr(median).encode(), b'"state":"valid"', b'"board":"0"', b'"commit":"000000000000"',
        ]  # fmt: skip
        parts, rest = [], marked
        for mark in marks:
            head, sep, tail = (
                mark.rpartition(b":") if b":" in mark and mark[:2] != b'"2' else (b"", b"", mark)
            )
            quote = tail[:1] if tail[:1] == b'"' else b""
            before, found, rest = rest.partition(mark)
            assert found, mark
            parts.append(before + head + sep + quote)
            rest = quote + rest
        pools[key] = record, entry_of(record, marked, samples), [*parts, rest]
    return pools[key]


def _choice(draw: random.Random) -> tuple[int, int, int, int]:
    return draw.randrange(len(MODELS)), draw.randrange(len(DEVICES)), draw.randrange(2), draw.randrange(3)


def _template(draw: random.Random, seed: int) -> tuple[r.Record, r.Samples]:
    model, device, runtime, recipe = _choice(draw)
    return template(seed, MODELS[model], device % 2, runtime, RECIPES[recipe])


def _with(record: r.Record, at: datetime, tail: str) -> r.Record:
    import msgspec

    started = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    run_id = f"{at:%Y%m%d-%H%M%S}{at.microsecond // 1000:03d}-{tail}"
    return msgspec.structs.replace(record, id=run_id, started_at=started)


def _tail(k: int) -> str:
    """Six letters, another for every k below a billion."""
    return "".join(_LETTERS[(k * 48271 % (1 << 30)) >> (5 * i) & 31] for i in range(6))
