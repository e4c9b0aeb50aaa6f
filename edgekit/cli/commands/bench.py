"""`edgekit bench`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.common import Session, command, device_option, profile_option
from edgekit.cli.options import bench_options, bench_options_of

if TYPE_CHECKING:
    from edgekit.benchmarking import Outcome


@click.command()
@click.argument("model")
@device_option(multiple=True)
@profile_option
@bench_options
@click.option(
    "--evaluation",
    "device_evaluation",
    metavar="FILE",
    help="Samples with labels or targets (.npz): the task's metric, scored on the device.",
)
@command
def bench(session: Session, model: str, junit: str | None, **values: Any) -> None:
    """Measure MODEL (a file, an artifact, or NAME[@VERSION] on the device) and keep the run."""
    from edgekit.api.devices import connect, profile_for
    from edgekit.api.pipelines import bench_outcome as work
    from edgekit.cli.ci import ci_told
    from edgekit.cli.many import on_devices
    from edgekit.cli.render import render_outcome

    options = bench_options_of(values, session.config)

    def one(address: str) -> Outcome:
        with connect(
            address, config=session.config, privileged=options.privileged, sink=session.sink
        ) as device:
            profile = profile_for(device, session.profile, config=session.config, sink=session.sink)
            outcome = work(
                model,
                device,
                profile=profile,
                options=options,
                store=session.config.results,
                sink=session.sink,
            )
        told.outcomes.append(outcome)
        return outcome

    with ci_told(junit, strict=options.strict, color=session.color) as told:
        on_devices(
            session,
            one,
            lambda outcome: render_outcome(session, outcome),
            document=lambda outcome: outcome.document(),
            exit_code=lambda outcome: outcome.exit_code(strict=options.strict),
            on_failure=lambda address, error: told.failed.append((address, error)),
        )
