"""`edgekit compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.common import Session, command, device_option, profile_option
from edgekit.cli.options import Quantity, bench_options_of, measure_options

if TYPE_CHECKING:
    from edgekit.benchmarking.comparison import Compared


@click.command()
@click.argument("a")
@click.argument("b")
@device_option(multiple=True)
@profile_option
@click.option(
    "--resolution",
    type=Quantity("ratio"),
    metavar="SHARE",
    help="Measure as many pairs as finding such a difference takes, like 2%; a pilot of 5 tells.",
)
@measure_options
@command
def compare(session: Session, a: str, b: str, resolution: float | None, **values: Any) -> None:
    """Measure B against A (files, artifacts, or NAME[@VERSION] on the device) in interleaved pairs of launches.

    --launches is the number of pairs. Exit code 0 for faster, slower and no difference; 4 where it is invalid.
    """
    from edgekit.api.comparing import compare as work
    from edgekit.api.devices import connect, profile_for
    from edgekit.cli.many import on_devices

    options = bench_options_of(values, session.config)

    def one(address: str) -> Compared:
        with connect(
            address, config=session.config, privileged=options.privileged, sink=session.sink
        ) as device:
            profile = profile_for(device, session.profile, config=session.config, sink=session.sink)
            return work(
                a,
                b,
                device,
                profile=profile,
                options=options,
                resolution=resolution,
                store=session.config.results,
                sink=session.sink,
            )

    on_devices(
        session,
        one,
        lambda compared: _render(session, compared),
        document=lambda compared: compared.document(),
        exit_code=lambda compared: compared.exit_code(strict=options.strict),
    )


WORDS = {
    "faster": "[bold green]b is faster[/]",
    "slower": "[bold red]b is slower[/]",
    "no_difference": "[bold]no difference was found[/]",
    "invalid": "[bold red]invalid[/]",
}


def _render(session: Session, compared: Compared) -> None:
    from rich.markup import escape
    from rich.table import Table

    from edgekit.units import format_time

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    for name, label, record in zip("ab", (compared.a, compared.b), compared.records, strict=True):
        of = compared.ratio_of
        centre = getattr(record.latency, of)
        shown = "-" if centre is None else format_time(centre, 4)
        table.add_row(name, f"{escape(label)}  {shown} {of}, {record.verdict.state}, run {escape(record.id)}")
    found = compared.found
    if found is not None:
        interval = (
            f"  95 % interval {found.ci95_low:.4f} to {found.ci95_high:.4f}, p = {found.p_value:.2g}"
            if found.ci95_low is not None and found.ci95_high is not None and found.p_value is not None
            else ""
        )
        table.add_row("b / a", f"[bold]{found.ratio:.4f}[/]{interval}  ({found.pairs} pairs)")
    if found is not None and found.smallest_effect is not None:
        table.add_row(
            "resolution", f"a difference of {found.smallest_effect:.2%} would have been seen in 9 of 10 runs"
        )
    table.add_row("verdict", WORDS[compared.verdict])
    for reason in compared.reasons:
        table.add_row("", f"- {escape(reason)}")
    for note in compared.notes:
        table.add_row("", f"[dim]note: {escape(note)}[/]")
    session.console.print(table)
