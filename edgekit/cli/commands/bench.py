"""`edgekit bench`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.common import Session, command, device_option, profile_option
from edgekit.cli.options import bench_options, bench_options_of

if TYPE_CHECKING:
    from edgekit.benchmarking.outcome import Configured


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
    """Measure MODEL (a file, an artifact, or NAME[@VERSION] on the device) and keep the run.

    With --threads 1,2,4 it is measured with each, launches interleaved in a random order: a run and a record for each.
    """
    from edgekit.api.configurations import bench_threads
    from edgekit.api.devices import connect, profile_for
    from edgekit.api.pipelines import bench_outcome as work
    from edgekit.benchmarking.outcome import Outcome
    from edgekit.cli.ci import ci_told
    from edgekit.cli.many import on_devices
    from edgekit.cli.render import render_configured, render_outcome

    counts: tuple[int, ...] = values["threads"] or ()
    several = len(counts) > 1
    if several:
        values["threads"] = None
    options = bench_options_of(values, session.config)

    def one(address: str) -> Outcome | Configured:
        with connect(
            address, config=session.config, privileged=options.privileged, sink=session.sink
        ) as device:
            profile = profile_for(device, session.profile, config=session.config, sink=session.sink)
            shared: Any = {
                "profile": profile,
                "options": options,
                "store": session.config.results,
                "sink": session.sink,
            }
            if not several:
                outcome = work(model, device, **shared)
                told.outcomes.append(outcome)
                return outcome
            configured = bench_threads(model, device, counts, **shared)
        told.outcomes += configured.outcomes
        told.failed += [(f"{address}, threads {count}", error) for count, error in configured.failed]
        return configured

    def render(found: Outcome | Configured) -> None:
        if isinstance(found, Outcome):
            render_outcome(session, found)
        else:
            render_configured(session, found)

    with ci_told(junit, strict=options.strict, color=session.color) as told:
        on_devices(
            session,
            one,
            render,
            document=lambda found: found.document(),
            exit_code=lambda found: found.exit_code(strict=options.strict),
            on_failure=lambda address, error: told.failed.append((address, error)),
        )
