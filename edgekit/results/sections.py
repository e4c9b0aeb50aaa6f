"""The parts of a report that are words and tables. Every function gives finished HTML, or None where there is
nothing to tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgekit.records import METRICS, Accuracy, Conditions, Record, value_of
from edgekit.results import wording as w
from edgekit.results.markup import Child, Html, el, join
from edgekit.results.plots import MAX_ROWS, spread

MEBIBYTES = w.AXIS_SCALES["bytes"]


def card(title: str | None, *children: Child) -> Html:
    return el("section", el("h3", title) if title else None, *children, class_="card")


def facts(pairs: Iterable[tuple[str, Child]]) -> Html:
    """Names and values; what is None is left out."""
    return el(
        "dl",
        [[el("dt", name), el("dd", value)] for name, value in pairs if value is not None],
        class_="facts",
    )


def table(head: Sequence[Child], rows: Iterable[Sequence[Child]]) -> Html:
    body = [el("tr", el("th", row[0], scope="row"), [el("td", cell) for cell in row[1:]]) for row in rows]
    top = el("thead", el("tr", [el("th", cell, scope="col") for cell in head]))
    return el("div", el("table", top, el("tbody", body)), class_="table")


def code(value: object | None) -> Html | None:
    return None if value is None else el("code", str(value))


def badge(state: str) -> Html:
    return el("span", el("span", w.VERDICTS[state][0], aria_hidden="true"), state, class_=f"badge {state}")


def title_of(record: Record) -> str:
    version = f"@{record.model.version}" if record.model.version else ""
    return f"{record.model.name}{version} on {record.device.model or record.device.address}"


def tiles(record: Record) -> Html:
    """At a glance: the handful of numbers that most readers came for."""
    latency, memory = record.latency, record.memory
    if latency.ci95_low is not None and latency.ci95_high is not None:
        interval = f"95 % interval {_range(latency.ci95_low, latency.ci95_high)}"
    else:
        interval = latency.unavailable.get("ci95", "interval unknown")
    size = record.model.size_bytes
    every = [
        _tile("Median latency", w.time(latency.median), interval, main=True),
        _tile(
            "99th percentile", w.time(latency.p99), latency.unavailable.get("p99", "1 of 100 takes longer")
        ),
        _tile(
            "First inference",
            w.time(latency.first_inference),
            _unless_unknown("loading takes", w.time(latency.load)),
        ),
        _tile(
            "Peak memory",
            w.size(memory.peak_rss),
            _unless_unknown("the model adds", w.size(memory.model_delta)),
        ),
        _tile(
            "Model file", w.size(size), " · ".join(filter(None, [record.model.format, record.model.recipe]))
        )
        if size is not None
        else None,
        _accuracy_tile(record.accuracy),
        _tile(
            "Energy per inference",
            w.metric_value(METRICS["energy_per_inference"], record.energy.per_inference_uj),
            record.energy.boundary or "",
        )
        if record.energy.per_inference_uj is not None
        else None,
    ]
    return el("div", every, class_="tiles")


def _tile(name: str, value: str, more: str, *, main: bool = False) -> Html:
    number, space, unit = value.rpartition(" ")
    shown: Child = [number, " ", el("small", unit)] if space else value
    return el(
        "div",
        el("div", name, class_="name"),
        el("div", shown, class_="value none" if value == w.UNKNOWN else "value"),
        el("div", more, class_="more") if more else None,
        class_="tile main" if main else "tile",
    )


def _unless_unknown(words: str, value: str) -> str:
    return "" if value == w.UNKNOWN else f"{words} {value}"


def _accuracy_tile(accuracy: Accuracy) -> Html | None:
    if accuracy.value is None:
        return None
    source = "" if accuracy.source_value is None else f"source model: {w.significant(accuracy.source_value)}"
    name = "Accuracy" if accuracy.metric is None else f"Accuracy ({accuracy.metric})"
    return _tile(name, w.significant(accuracy.value), source)


def _range(low_us: float, high_us: float) -> str:
    scale = w.time_scale(high_us)
    return f"{scale.number(low_us)} to {scale.number(high_us)} {scale.unit}"


def verdict(record: Record) -> Html:
    found = record.verdict
    return el(
        "section",
        el("p", badge(found.state), " ", w.VERDICTS[found.state][1]),
        el("ul", [el("li", reason) for reason in found.reasons]) if found.reasons else None,
        el(
            "div",
            el("h3", "To know"),
            el("ul", [el("li", note) for note in (*found.notes, *record.notes)]),
            class_="notes",
        )
        if found.notes or record.notes
        else None,
        class_="card verdict",
    )


def latency_facts(record: Record) -> Html:
    """All numbers of the summary in one unit, with the reasons for those that are missing."""
    one = record.latency
    scale = w.time_scale(one.median)
    named = [
        ("Shortest", one.min),
        ("Median", one.median),
        ("Mean", one.mean),
        ("90th percentile", one.p90),
        ("95th percentile", one.p95),
        ("99th percentile", one.p99),
        ("99.9th percentile", one.p999),
        ("Longest", one.max),
        ("Standard deviation", one.stddev),
        ("Median absolute deviation", one.mad),
    ]
    keys = {
        "90th percentile": "p90",
        "95th percentile": "p95",
        "99th percentile": "p99",
        "99.9th percentile": "p999",
    }
    left = [
        (name, scale.show(value) if value is not None else one.unavailable.get(keys.get(name, ""), w.UNKNOWN))
        for name, value in named
    ]
    interval = one.unavailable.get("ci95", w.UNKNOWN)
    if one.ci95_low is not None and one.ci95_high is not None:
        interval = f"{scale.number(one.ci95_low)} to {scale.number(one.ci95_high)} {scale.unit}"
    right = [
        ("95 % interval of the median", interval),
        (
            "Samples",
            f"{w.count(one.count)} in {_plural(one.launches, 'launch', 'launches')}; every one is kept",
        ),
        (
            "Variation between launches",
            one.unavailable.get("between_launch_cv") or w.percent(one.between_launch_cv),
        ),
        ("Far-out samples", _outliers(one.outliers, one.count)),
        ("Drift within a launch", _drift(one.drift)),
        (
            "Autocorrelation",
            None if one.autocorrelation is None else f"{one.autocorrelation:.2f} at lag 1".replace("-", "−"),
        ),
    ]
    columns = el("div", facts(left), facts(right), class_="grid")
    return card("All numbers", columns)


def _outliers(found: int, total: int) -> str | None:
    if not total:
        return None
    share = f" ({w.percent(found / total, 2)})" if found else ""
    return f"{w.count(found)}{share}, counted in every number"


def _drift(ratio: float | None) -> str | None:
    if ratio is None:
        return None
    if abs(ratio - 1) < 0.0005:
        return "none"
    return f"the last half is {w.significant(abs(ratio - 1) * 100, 2)} % {'slower' if ratio > 1 else 'faster'} than the first"


def launches(record: Record) -> Html | None:
    """One row per process."""
    if not record.launches:
        return None
    scale = w.time_scale(record.latency.median)
    loading, first = w.time_scale(record.latency.load), w.time_scale(record.latency.first_inference)
    rows = [record.launches[i] for i in spread(len(record.launches), MAX_ROWS)]
    body = [
        [
            [
                str(one.index + 1),
                None if one.ok else el("small", f"failed: {one.error or 'no reason given'}"),
            ],
            w.count(one.count),
            scale.number(one.median_us),
            loading.number(one.load_us),
            first.number(one.first_inference_us),
            MEBIBYTES.number(one.memory.peak_rss_bytes),
            _or_dash(one.usage.involuntary_switches),
            _or_dash(one.usage.major_faults),
            _ended(one.exit_code, one.signal),
        ]
        for one in rows
    ]
    head = ["Launch", "Samples", f"Median, {scale.unit}", f"Load, {loading.unit}"]
    head += [f"First inference, {first.unit}", "Peak memory, MiB"]
    note = None
    if len(rows) < len(record.launches):
        note = el("p", f"{len(rows)} of {len(record.launches)} launches, spread evenly.", class_="fine")
    return card(
        "Launches, one process each", table([*head, "Preempted", "Major faults", "Ended"], body), note
    )


def _or_dash(value: int | None) -> str:
    return "–" if value is None else w.count(value)


def _ended(exit_code: int | None, signal: int | None) -> str:
    if signal is not None:
        return f"signal {signal}"
    return "–" if exit_code is None else f"exit {exit_code}"


def memory(record: Record) -> Html:
    one = record.memory
    rows = [
        ("Peak resident (RSS)", one.peak_rss),
        ("Peak proportional (PSS)", one.peak_pss),
        ("Resident at the start", one.rss_start),
        ("Resident with the model loaded", one.rss_loaded),
        ("Added by the model", one.model_delta),
    ]
    body = [(name, w.size(value), "–" if value is None else f"{value:,}") for name, value in rows]
    return card("Memory", table(["", "", "bytes"], body))


def accuracy(record: Record) -> Html:
    one = record.accuracy
    return card(
        "Accuracy and verification",
        el("p", w.GOLDEN[one.golden]),
        facts(
            [
                ("Metric", one.metric),
                ("This model", None if one.value is None else w.significant(one.value)),
                ("Source model", None if one.source_value is None else w.significant(one.source_value)),
                (
                    "Changed decisions",
                    None if one.flips is None else f"{w.count(one.flips)} of {w.count(one.samples)}",
                ),
                (
                    "Largest difference",
                    None if one.max_abs_error is None else w.significant(one.max_abs_error),
                ),
                ("RMS difference", None if one.rms_error is None else w.significant(one.rms_error)),
                ("Signal to noise", None if one.snr_db is None else f"{one.snr_db:.1f} dB"),
            ]
        ),
    )


def energy(record: Record) -> Html:
    one = record.energy
    if one.unavailable is not None:
        return card("Energy", el("p", f"Not measured: {one.unavailable}."))
    per, power = METRICS["energy_per_inference"], METRICS["mean_power"]
    interval = None
    if one.ci95_uj is not None:
        interval = " to ".join(w.metric_value(per, end) for end in one.ci95_uj)
    return card(
        "Energy",
        facts(
            [
                ("Per inference", w.metric_value(per, one.per_inference_uj)),
                ("95 % interval", interval),
                ("Mean power", w.metric_value(power, one.mean_power_mw)),
                ("Idle power", w.metric_value(power, one.idle_power_mw)),
                ("Meter", one.meter),
                ("What it includes", one.boundary),
            ]
        ),
    )


def conditions(record: Record) -> Html:
    """The device before and after, side by side; a row where at least one is known."""
    before, after = _condition_rows(record.conditions.before), _condition_rows(record.conditions.after)
    names = list(dict.fromkeys([*before, *after]))[:40]
    if not names:
        return card("Conditions", el("p", "Nothing is known about heat, clocks or load during this run."))
    rows = [(name, before.get(name, w.UNKNOWN), after.get(name, w.UNKNOWN)) for name in names]
    return card("Conditions", table(["", "before", "after"], rows))


def _condition_rows(one: Conditions) -> dict[str, str]:
    found: dict[str, str | None] = {
        "Governor": one.governor,
        "Frequency": None if one.frequency_khz is None else w.frequency(one.frequency_khz),
        "Temperature": None if one.temperature_mc is None else w.temperature(one.temperature_mc),
        "Battery": None if one.battery_percent is None else f"{one.battery_percent:g} %",
        "Charging": None if one.charging is None else w.yes_no(one.charging),
        "Throttled": None if one.throttled is None else w.yes_no(one.throttled),
        "Load, 1 min": None if one.load_1min is None else f"{one.load_1min:.2f}",
        "Free memory": None if one.available_bytes is None else w.size(one.available_bytes),
        **{name: w.frequency(value) for name, value in one.frequencies_khz.items()},
        **{name: w.temperature(value) for name, value in one.temperatures_mc.items()},
        **{name: None if value is None else str(value) for name, value in one.other.items()},
    }
    return {name: value for name, value in found.items() if value is not None}


def environment(record: Record) -> Html:
    device, runtime, plan = record.device, record.runtime, record.plan
    where = facts(
        [
            ("Device", device.model),
            ("Address", device.address),
            ("SoC", device.soc),
            ("ABI", device.abi),
            ("CPUs", None if device.cpu_count is None else w.count(device.cpu_count)),
            ("Memory", None if device.memory_bytes is None else w.size(device.memory_bytes)),
            ("System", device.os),
            ("Kernel", device.kernel),
            ("C library", device.libc),
            ("Fingerprint", code(device.fingerprint)),
            ("Profile", record.profile.name if record.profile else None),
        ]
    )
    how = facts(
        [
            ("Runtime", " ".join(filter(None, [runtime.name, runtime.version]))),
            ("Accelerator", _accelerator(record)),
            ("Launches", w.count(plan.launches)),
            ("Threads", None if plan.threads is None else w.count(plan.threads)),
            ("CPUs used", plan.cpus),
            (
                "Iterations",
                None if plan.iterations is None else f"at least {w.count(plan.iterations)} a launch",
            ),
            ("Shortest launch", None if plan.min_seconds is None else f"{plan.min_seconds:g} s"),
            (
                "Warm-up",
                None
                if plan.warmup_iterations is None
                else _plural(plan.warmup_iterations, "iteration", "iterations"),
            ),
            ("Governor asked for", plan.governor),
            ("Cooled to", None if plan.cool_to_mc is None else w.temperature(plan.cool_to_mc)),
            ("Inputs", plan.inputs),
            ("Seed", None if plan.seed is None else str(plan.seed)),
            *((name, None if value is None else str(value)) for name, value in plan.other.items()),
        ]
    )
    return el("div", card("Where", where), card("How", how), class_="grid")


def _accelerator(record: Record) -> str:
    asked, used = record.runtime.requested_accelerator, record.runtime.actual_accelerator
    whole = "" if record.runtime.fully_accelerated is not False else ", only part of the model"
    return f"{used or w.UNKNOWN}{whole}" + (f" (asked for: {asked})" if asked and asked != used else "")


def provenance(record: Record) -> Html:
    """What was measured with what, to the byte."""
    model, runtime = record.model, record.runtime
    settings = " ".join(f"{key}={value}" for key, value in runtime.env.items())
    labels = [(key, value) for key, value in list(record.labels.items())[:40]]
    return card(
        "Provenance",
        facts(
            [
                ("Run", code(record.id)),
                ("Started", record.started_at),
                ("Model SHA-256", code(model.sha256)),
                ("Runtime SHA-256", code(runtime.sha256)),
                ("Profile SHA-256", code(record.profile.sha256 if record.profile else None)),
                ("Command", code(" ".join(runtime.argv)) if runtime.argv else None),
                ("Environment", code(settings) if settings else None),
                ("edgekit", record.edgekit_version),
                ("Schema", record.schema),
                *((f"Label {key}", value) for key, value in labels),
            ]
        ),
        el(
            "p",
            "Every sample is in the results store: ",
            el("code", f"edgekit results export {record.id} --samples --format csv"),
            class_="fine",
        ),
    )


def events(record: Record) -> Html | None:
    if not record.events:
        return None
    rows = [el("li", f"{one.kind}: {one.message}") for one in record.events[:40]]
    more = len(record.events) - len(rows)
    return card("What happened", el("ul", rows), el("p", f"{more} more", class_="fine") if more else None)


def comparison(records: Sequence[Record], names: Sequence[str]) -> Html:
    """Runs as columns, the metrics that any of them has as rows."""
    first = value_of(records[0], "median_latency")
    head: list[Child] = [
        "",
        *([name, el("small", title_of(one))] for name, one in zip(names, records, strict=True)),
    ]
    rows: list[list[Child]] = [["Verdict", *(badge(one.verdict.state) for one in records)]]
    for metric in METRICS.values():
        values = [value_of(one, metric) for one in records]
        if any(value is not None for value in values):
            cells: list[Child] = [w.metric_value(metric, value) for value in values]
            if metric.name == "median_latency":
                cells = [_with_interval(one, first) for one in records]
            rows.append([metric.title, *cells])
    return card("Side by side", table(head, rows))


def _with_interval(record: Record, first_us: float | None) -> Html:
    one = record.latency
    if one.ci95_low is not None and one.ci95_high is not None:
        interval = _range(one.ci95_low, one.ci95_high)
    else:
        interval = "no interval"
    ratio = None
    if one.median is not None and first_us:
        ratio = el("small", f"{w.significant(one.median / first_us, 3)} × the first run's")
    return join([w.time(one.median), el("small", interval), ratio])


def _plural(number: int, one: str, many: str) -> str:
    return f"{w.count(number)} {one if number == 1 else many}"
