"""`edgekit run`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.common import Session, command, device_option, profile_option
from edgekit.cli.options import (
    bench_options,
    bench_options_of,
    convert_options,
    convert_wishes,
    release_options,
)

if TYPE_CHECKING:
    from edgekit.api.pipelines import RunOutcome


@click.command()
@click.argument("model")
@device_option(multiple=True)
@profile_option
@convert_options
@release_options
@bench_options
@click.option(
    "--report",
    metavar="FILE",
    help="Where the HTML report goes: a file, or a folder (default: the data folder).",
)
@command
def run(session: Session, model: str, report: str | None, junit: str | None, **values: Any) -> None:
    """Convert MODEL for the device, verify it, push it, measure it there, keep the run and write a report."""
    from edgekit.api.devices import connect, profile_for
    from edgekit.api.pipelines import run as work
    from edgekit.cli.ci import ci_told
    from edgekit.cli.many import on_devices

    options = bench_options_of(values, session.config)
    wishes = convert_wishes(values)
    if report is not None and len(session.devices) > 1 and not Path(report).is_dir():
        raise click.UsageError("with several devices, --report takes a folder that is there")

    def one(address: str) -> RunOutcome:
        with connect(
            address, config=session.config, privileged=options.privileged, sink=session.sink
        ) as device:
            profile = profile_for(device, session.profile, config=session.config, sink=session.sink)
            done = work(
                model,
                device,
                profile=profile,
                name=values["name"],
                version=values["version"],
                activate=not values["no_activate"],
                smoke=not values["no_smoke"],
                accept_inconclusive=values["accept_inconclusive"],
                options=options,
                report=report,
                store=session.config.results,
                sink=session.sink,
                **wishes,
            )
        told.outcomes.append(done.bench)
        return done

    def render(outcome: RunOutcome) -> None:
        from edgekit.cli.commands.push import render_push
        from edgekit.cli.render import render_conversion, render_outcome

        render_conversion(session, outcome.artifact)
        render_push(outcome.push)
        render_outcome(session, outcome.bench)
        click.echo(f"report: {outcome.report}")

    with ci_told(junit, strict=options.strict, color=session.color) as told:
        on_devices(
            session,
            one,
            render,
            document=lambda outcome: outcome.document(),
            exit_code=lambda outcome: outcome.bench.exit_code(strict=options.strict),
            on_failure=lambda address, error: told.failed.append((address, error)),
        )
