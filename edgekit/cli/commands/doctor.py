"""`edgekit doctor`."""

from __future__ import annotations

from typing import Any

import click

from edgekit.cli.common import Session, command, device_option

MARKS = {"ok": "[green]ok[/]  ", "warning": "[yellow]look[/]", "error": "[bold red]bad[/] "}


@click.command()
@device_option(multiple=True)
@command
def doctor(session: Session) -> None:
    """Say what is wrong with this host, or with a device (-d), and what mends each.

    Opening a device also restores the settings that a crash left changed there.
    """
    from edgekit.api.doctor import check_device, check_host

    checks = check_host(session.config)
    for address in session.devices:
        checks += check_device(address, session.config, session.sink)

    def render(_: Any) -> None:
        from rich.markup import escape

        for check in checks:
            session.console.print(f"{MARKS[check.state]} {escape(check.what)}: {escape(check.message)}")
            if check.hint:
                session.console.print(f"       {escape(check.hint)}")

    session.emit({"checks": checks}, render)
    worst = next((check for check in checks if check.state == "error"), None)
    if worst is not None:
        raise click.exceptions.Exit(worst.exit_code)
