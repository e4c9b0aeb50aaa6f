"""`edgekit gc`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.common import Session, command, device_option
from edgekit.cli.options import Quantity

if TYPE_CHECKING:
    from edgekit.deployment.collect import GcResult

SECONDS_OF = {"d": 86_400.0, "w": 7 * 86_400.0}


class Age(Quantity):
    """A span of time in seconds; also in days and weeks."""

    def __init__(self) -> None:
        super().__init__("time")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        days = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]+)?) ?([dw])", str(value).strip())
        if days is None:
            return super().convert(value, param, ctx) / 1e6
        return float(days[1]) * SECONDS_OF[days[2]]


@click.command()
@click.argument("name", required=False)
@device_option(multiple=True)
@click.option(
    "--keep",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    metavar="N",
    help="The newest N releases of each name stay; of the failed ones too.",
)
@click.option("--older-than", "older_than_s", type=Age(), metavar="AGE", help="Only what is older: 30d, 12h.")
@click.option(
    "--max-size",
    "max_bytes",
    type=Quantity("size"),
    metavar="SIZE",
    help="Then the oldest releases too, until all of it fits: 2GiB.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be deleted; change nothing.")
@command
def gc(
    session: Session,
    name: str | None,
    keep: int,
    older_than_s: float | None,
    max_bytes: float | None,
    dry_run: bool,
) -> None:
    """Free space on a device: old releases, or those of one NAME.

    Never deleted are the active version of each name, the one that a rollback would go to, and what a process
    uses. Without NAME it also takes runtimes and agents that nothing uses any more, and what pushes left that were
    cut off more than a day ago.
    """
    from edgekit.cli.commands.releases import opened
    from edgekit.cli.many import on_devices
    from edgekit.deployment.collect import gc as work

    def one(address: str) -> GcResult:
        with opened(session, address) as device:
            return work(
                device,
                name,
                keep=keep,
                older_than_s=older_than_s,
                max_bytes=int(max_bytes) if max_bytes is not None else None,
                dry_run=dry_run,
            )

    on_devices(session, one, lambda result: _render(session, result))


def _render(session: Session, result: GcResult) -> None:
    from edgekit.cli.commands.releases import shown
    from edgekit.units import format_size

    if result.removed:
        from rich.table import Table

        table = Table(
            "", "deleted" if not result.dry_run else "would go", "size", "why", box=None, pad_edge=False
        )
        for each in result.removed:
            name = re.sub(r"([0-9a-f]{12})[0-9a-f]{52}", r"\1", each.name)
            table.add_row(each.kind, shown(name), format_size(each.size_bytes), each.why)
        session.console.print(table)
    kept = ", ".join(_counted(count, kind) for kind, count in result.kept.items()) or "nothing"
    freed = "would free" if result.dry_run else "freed"
    click.echo(
        f"{result.device.removesuffix(':')}: {freed} {format_size(result.freed_bytes)}; "
        f"kept {format_size(result.kept_bytes)}: {kept}"
    )
    for note in result.notes:
        click.echo(f"  {note}")


def _counted(count: int, kind: str) -> str:
    return f"{count} {kind}s" if count > 1 and kind in ("release", "runtime", "agent") else f"{count} {kind}"
