"""A record for people: what was measured, how far to trust it, and why."""

from __future__ import annotations

from typing import Any

from edgekit.cli.common import Session

STATE_STYLE = {"valid": "bold green", "suspect": "bold yellow", "invalid": "bold red"}


def figure(found: Any, value: float) -> str:
    """One value of the task's metric: a share for top1, a number for others."""
    return f"{value:.2%}" if found.metric == "top1" else f"{value:.6g}"


def before_and_after(found: Any) -> str:
    """What a conversion did to the task's metric."""
    text = f"{figure(found, found.source_value)} before, {figure(found, found.value)} after"
    return text if found.flips is None else f"{text}, {found.flips} of {found.samples} answers changed"


def render_record(session: Session, record: Any) -> None:
    """One benchmark run as a table, the verdict under it."""
    from rich.markup import escape
    from rich.table import Table

    from edgekit.results.wording import plural
    from edgekit.units import format_size, format_time

    latency, memory = record.latency, record.memory

    def time(value: float | None) -> str:
        return "-" if value is None else format_time(value, 4)

    def size(value: int | None) -> str:
        return "-" if value is None else format_size(value)

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    device = " ".join(escape(str(part)) for part in (record.device.model, record.device.abi) if part)
    table.add_row("device", f"{escape(record.device.address)}  {device}")
    table.add_row(
        "model", escape(f"{record.model.name}@{record.model.version} ({record.model.recipe or 'as is'})")
    )
    runtime = " ".join(filter(None, [record.runtime.name, record.runtime.version]))
    threads = plural(record.plan.threads or 1, "thread", "threads")
    table.add_row("runtime", escape(f"{runtime}, {threads}, {accelerator_words(record.runtime)}"))
    interval = (
        f"  95 % interval {time(latency.ci95_low)} to {time(latency.ci95_high)}" if latency.ci95_low else ""
    )
    centre = latency.median if latency.ci95_of == "median" else latency.mean
    table.add_row("latency", f"[bold]{time(centre)}[/] {latency.ci95_of}{interval}")
    tail = ", ".join(
        f"{name} {time(getattr(latency, name))}"
        for name in ("min", "p90", "p99", "max")
        if getattr(latency, name)
    )
    samples = "samples" if latency.source == "samples" else "inferences that the tool timed"
    launches = plural(latency.launches, "launch", "launches")
    table.add_row("", f"{tail}  ({latency.count} {samples}, {launches})".lstrip())
    if record.throughput is not None:
        table.add_row("throughput", throughput_line(record.throughput))
    table.add_row("start", f"load {time(latency.load)}, first inference {time(latency.first_inference)}")
    table.add_row("memory", f"peak {size(memory.peak_rss)}, the model adds {size(memory.model_delta)}")
    table.add_row("energy", escape(energy_line(record.energy)))
    if record.accuracy.value is not None:
        found = record.accuracy
        before = "" if found.source_value is None else f"; {figure(found, found.source_value)} before"
        flips = "" if found.flips is None else f", {found.flips} flips"
        where = ", on the device" if found.scored_on == "device" else ""
        figures = f"{figure(found, found.value)} ({found.metric}{before}{flips}{where})"
        table.add_row("accuracy", escape(figures))
    if record.sustained is not None:
        table.add_row("sustained", escape("\n".join(sustained_lines(record.sustained))))
    if record.operators is not None:
        table.add_row("operators", escape("\n".join(operator_lines(record.operators))))
    table.add_row("outputs", f"{record.accuracy.golden} against the host's")
    style = STATE_STYLE[record.verdict.state]
    table.add_row("verdict", f"[{style}]{record.verdict.state}[/]")
    for reason in record.verdict.reasons:
        table.add_row("", f"- {escape(reason)}")
    for note in (*record.verdict.notes, *record.notes):
        table.add_row("", f"[dim]note: {escape(note)}[/]")
    table.add_row("run", escape(record.id))
    session.console.print(table)


def throughput_line(found: Any) -> str:
    """Of all streams together, with its interval."""
    if found.inferences_per_second is None:
        return "not measured"
    from edgekit.results.wording import plural, significant

    interval = (
        f"  95 % interval {significant(found.ci95[0])} to {significant(found.ci95[1])}" if found.ci95 else ""
    )
    streams = plural(found.streams, "stream", "streams")
    return f"[bold]{significant(found.inferences_per_second)}[/] inferences/s, {streams}{interval}"


def energy_line(found: Any) -> str:
    """Energy of an inference, or why there is none."""
    from edgekit.units import format_energy, format_power

    if found.unavailable is not None:
        return f"not measured: {found.unavailable}"
    low, high = found.ci95_uj
    return (
        f"{format_energy(found.per_inference_uj)} an inference (95 % interval {format_energy(low)} to "
        f"{format_energy(high)}), {format_power(found.mean_power_mw)} under load, {format_power(found.idle_power_mw)} "
        f"idle; {found.meter}: {found.boundary}, leaves out {found.excluded}"
    )


def sustained_lines(found: Any) -> list[str]:
    """A line for each minute, and last against first."""
    from edgekit import units

    lines = []
    for minute in found.minutes:
        parts = [f"minute {minute.minute + 1}"]
        if minute.median_us is not None:
            parts.append(f"{units.format_quantity('time', minute.median_us)} median of {minute.count}")
        if minute.frequency_khz is not None:
            parts.append(units.format_quantity("frequency", minute.frequency_khz))
        if minute.temperature_mc is not None:
            parts.append(units.format_quantity("temperature", minute.temperature_mc))
        lines.append(", ".join(parts))
    if found.last_over_first is not None:
        lines.append(f"last minute {found.last_over_first:.3f} times the first")
    return lines


def accelerator_words(runtime: Any) -> str:
    """What ran it, and what was to, where that is another or not told."""
    asked, actual = runtime.requested_accelerator, runtime.actual_accelerator
    part = ", only a part of it" if runtime.fully_accelerated is False and actual != "cpu" else ""
    if actual == asked:
        return f"on {actual}{part}"
    return f"asked for {asked}, ran on {actual or 'unknown'}{part}"


SHOWN_OPERATORS = 8


def operator_lines(found: Any) -> list[str]:
    """The operators that take most, and what they are a part of."""
    from edgekit.units import format_quantity

    timed = sorted((row for row in found.rows if row.share is not None), key=lambda row: -row.share)
    lines = []
    for row in timed[:SHOWN_OPERATORS]:
        macs = "" if row.macs is None else f", {row.macs / 1e6:.3g} M MACs"
        node = "" if row.node is None else f" {row.node[:40]}"
        time = format_quantity("time", row.median_us if row.median_us is not None else row.avg_us)
        lines.append(f"{row.share:6.1%}  {time:>9}  {row.op}{node} on {row.unit or 'unknown'}{macs}")
    more = len(found.rows) - len(lines)
    total = "" if found.total_us is None else f", {format_quantity('time', found.total_us)} in all"
    lines.append(f"{f'and {more} more; ' if more else ''}a launch of its own{total}: shares count, not times")
    return lines


def render_outcome(session: Session, outcome: Any) -> None:
    """A benchmark's record and its gates."""
    render_record(session, outcome.record)
    render_gates(session, outcome)


def render_gates(session: Session, outcome: Any) -> None:
    """What the gates of a benchmark say, and what was measured once more for them."""
    from rich.markup import escape

    from edgekit.benchmarking.ci_report import gate_text

    if outcome.second is not None:
        verdict = outcome.second.verdict
        style = STATE_STYLE[verdict.state]
        session.console.print(f"measured again: run {escape(outcome.second.id)}, [{style}]{verdict.state}[/]")
        for reason in verdict.reasons:
            session.console.print(f"  - {escape(reason)}")
    for gate in outcome.gates:
        state = "[bold red]failed[/]" if not gate.passed else "[green]passed[/]"
        if gate.confirmed is False and gate.passed:
            state = "[bold yellow]not confirmed[/]"
        session.console.print(f"gate {state}: {escape(gate_text(gate))}")


def render_configured(session: Session, configured: Any) -> None:
    """Each configuration's record and gates, then all of them side by side."""
    from rich.markup import escape
    from rich.table import Table

    from edgekit.units import format_size, format_time

    for outcome in configured.outcomes:
        render_outcome(session, outcome)
        session.console.print()
    centres = [getattr(one.record.latency, one.record.latency.ci95_of) for one in configured.outcomes]
    base = centres[0]
    against = f"times as fast as {configured.outcomes[0].record.plan.threads}"
    table = Table("threads", "latency", "95 % interval", against, "peak memory", box=None, pad_edge=False)
    for outcome, centre in zip(configured.outcomes, centres, strict=True):
        latency, peak = outcome.record.latency, outcome.record.memory.peak_rss
        known = latency.ci95_low is not None and latency.ci95_high is not None
        table.add_row(
            str(outcome.record.plan.threads),
            "-" if centre is None else f"{format_time(centre, 4)} {latency.ci95_of}",
            f"{format_time(latency.ci95_low, 4)} to {format_time(latency.ci95_high, 4)}" if known else "-",
            f"{base / centre:.2f}" if base and centre else "-",
            "-" if peak is None else format_size(peak),
        )
    session.console.print(table)
    for threads, error in configured.failed:
        session.console.print(
            f"[bold red]not measured[/] with threads {threads}: {escape(str(error.message))}"
        )
        if error.hint:
            session.console.print(f"  hint: {escape(error.hint)}")


def render_conversion(session: Session, artifact: Any) -> None:
    """What was made, and how far it is from its source."""
    from rich.markup import escape

    from edgekit.units import format_size

    manifest = artifact.manifest
    found = manifest.verification
    session.console.print(
        f"converted {escape(manifest.source.name)} to {manifest.format} {manifest.recipe}: "
        f"{format_size(manifest.model.size_bytes)}, verification [bold]{found.state}[/]"
    )
    if found.accuracy is not None:
        session.console.print(f"  {escape(found.accuracy.metric)}: {before_and_after(found.accuracy)}")
    elif found.snr_db is not None:
        session.console.print(f"  signal to noise {found.snr_db:.1f} dB over {found.samples} samples")
    for note in manifest.notes:
        session.console.print(f"  [dim]note: {escape(note)}[/]")


def render_auto(session: Session, auto: Any) -> None:
    """What `--recipe auto` picked from: a row for each recipe, the picked one marked; then why."""
    from rich.markup import escape
    from rich.table import Table

    from edgekit.units import format_size, format_time

    table = Table("", "recipe", "size", "accuracy", "error", "latency", "memory", box=None, pad_edge=False)
    for one in auto.candidates:
        if one.failed is None:
            table.add_row(
                "[green]>[/]" if one.recipe == auto.picked.recipe else "",
                escape(one.recipe),
                format_size(one.size_bytes, 3),
                "-" if one.drop is None else f"{0.0 - one.drop:+.2%}",
                "-" if one.error is None else f"{one.error:.1e}",
                "-" if one.latency_us is None else format_time(one.latency_us, 3),
                "-" if one.peak_rss_bytes is None else format_size(one.peak_rss_bytes, 3),
            )
    session.console.print(table)
    for note in auto.picked.notes():
        session.console.print(escape(f"- {note}"))
