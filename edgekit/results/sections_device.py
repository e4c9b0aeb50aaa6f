"""The parts of a report about how and where it was measured: memory, accuracy, energy, the device, provenance."""

from __future__ import annotations

from edgekit.records import METRICS, Conditions, Record
from edgekit.records.memory import FaultCount
from edgekit.results import wording as w
from edgekit.results.markup import Html, el
from edgekit.results.parts import card, code, facts, table
from edgekit.units import format_time


def memory(record: Record) -> Html:
    """By phase, with the page faults of each; what the numbers leave out."""
    one = record.memory
    nothing = FaultCount()
    rows = [
        ("At the start", one.rss_start, one.pss_start, nothing),
        ("Model loaded", one.rss_loaded, one.pss_loaded, one.faults.load),
        ("After the first inference", one.rss_first, one.pss_first, one.faults.first),
        ("After the last", one.rss_steady, one.peak_pss, one.faults.steady),
        ("Peak", one.peak_rss, None, nothing),
        ("Added by the model", one.model_delta, None, nothing),
        ("Arena", one.arena, None, nothing),
    ]
    body = [
        (
            name,
            _size_or_dash(rss),
            _size_or_dash(pss),
            _count_or_dash(faults.minor),
            _count_or_dash(faults.major),
        )
        for name, rss, pss, faults in rows
    ]
    notes = [f"{name}: {why}." for name, why in one.unavailable.items()]
    notes += [f"Not in it: {what}." for what in one.excludes]
    return card(
        "Memory",
        table(["", "Resident (RSS)", "Proportional (PSS)", "Minor faults", "Major faults"], body),
        *(el("p", note, class_="fine") for note in notes),
    )


def _size_or_dash(value: int | None) -> str:
    return "–" if value is None else w.size(value)


def _count_or_dash(value: int | None) -> str:
    return "–" if value is None else w.count(value)


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


def sustained(record: Record) -> Html | None:
    """The long launch minute by minute."""
    found = record.sustained
    if found is None or not found.minutes:
        return None
    rows = [
        (
            str(one.minute + 1),
            w.time(one.median_us),
            w.time(one.p95_us),
            w.UNKNOWN if one.inferences_per_s is None else f"{one.inferences_per_s:,.1f}",
            w.UNKNOWN if one.frequency_khz is None else w.frequency(one.frequency_khz),
            w.UNKNOWN if one.temperature_mc is None else w.temperature(one.temperature_mc),
        )
        for one in found.minutes
    ]
    head = ["minute", "median", "95th percentile", "inferences a second", "frequency", "temperature"]
    words = "Less than two whole minutes: nothing to compare."
    if found.last_over_first is not None:
        words = f"The last whole minute's median is {found.last_over_first:.3f} times the first's"
        worst = found.worst_over_first
        words += "." if worst is None else f", the worst minute's {worst:.3f} times."
    return card("Sustained load", el("p", words), table(head, rows))


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
                ("What it leaves out", one.excluded),
                ("A reading each", None if one.period_us is None else format_time(one.period_us)),
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
        "Screen": None if one.screen_on is None else ("on" if one.screen_on else "off"),
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
                else w.plural(plan.warmup_iterations, "iteration", "iterations"),
            ),
            ("Governor asked for", plan.governor),
            ("Frequency asked for", plan.frequency),
            ("Priority asked for", None if plan.priority is None else str(plan.priority)),
            ("Screen asked for", plan.screen),
            ("Charging asked for", plan.charging),
            (
                "Battery asked for",
                None if plan.min_battery_percent is None else f"at least {plan.min_battery_percent:g} %",
            ),
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
                ("Recipe SHA-256", code(model.recipe_sha256)),
                ("Profile SHA-256", code(record.profile.sha256 if record.profile else None)),
                ("Command", code(" ".join(runtime.argv)) if runtime.argv else None),
                ("Environment", code(settings) if settings else None),
                *_made_by(record),
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


def _made_by(record: Record) -> list[tuple[str, Html | str | None]]:
    """Rows on what asked for the run, and from where; none in older records."""
    made = record.environment
    if made is None:
        return []
    host = made.host
    return [
        ("Device build", code(record.device.build_sha256)),
        ("Agent SHA-256", code(made.agent_sha256)),
        ("Asked by", code(f"edgekit {' '.join(made.argv)}") if made.argv is not None else None),
        ("Run again", code(made.rerun_of)),
        ("Host", ", ".join(part for part in (host.os, host.kernel, host.machine, host.cpu) if part) or None),
        ("Versions", ", ".join(f"{name} {version}" for name, version in made.versions.items()) or None),
    ]


def events(record: Record) -> Html | None:
    if not record.events:
        return None
    rows = [el("li", f"{one.kind}: {one.message}") for one in record.events[:40]]
    more = len(record.events) - len(rows)
    return card("What happened", el("ul", rows), el("p", f"{more} more", class_="fine") if more else None)
