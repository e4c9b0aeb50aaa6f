"""`edgekit profile list|show|check|schema|probe`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgekit.cli.common import Session, command, device_option, finding_json


@click.group()
def profile() -> None:
    """Device profiles: what a device is, what runs on it, how it is measured."""


@profile.command("list")
@command
def list_command(session: Session) -> None:
    """Every profile that has a name: your own and the shipped ones."""
    from edgekit.profiles import list_profiles
    from edgekit.profiles.search import user_folder

    entries = []
    for entry in list_profiles():
        found = entry.profile
        entries.append(
            {
                "name": entry.name,
                "description": found.description if found else None,
                "origin": entry.origin,
                "path": entry.path,
                "abi": found.device.abi if found else None,
                "runtimes": list(found.runtimes) if found else [],
                "export_only": found.export_only if found else None,
                "sha256": found.sha256 if found else None,
                "errors": [finding_json(finding) for finding in entry.findings],
            }
        )

    def render(document: dict[str, Any]) -> None:
        from rich.table import Table

        table = Table(box=None, pad_edge=False)
        table.add_column("profile", no_wrap=True)
        table.add_column("abi", no_wrap=True)
        table.add_column("")
        for entry in document["profiles"]:
            broken = f"{len(entry['errors'])} errors, see `edgekit profile check {entry['path']}`"
            note = broken if entry["errors"] else entry["description"] or ""
            own = " (yours)" if entry["origin"] == "user" else ""
            table.add_row(entry["name"] + own, entry["abi"] or "", note)
        session.console.print(table)
        click.echo(f"Your own go to {document['user_folder']}", err=True)

    session.emit({"profiles": entries, "user_folder": str(user_folder())}, render)


@profile.command()
@click.argument("name", metavar="NAME|FILE")
@command
def show(session: Session, name: str) -> None:
    """A profile with all that it extends, and where each value comes from."""
    from edgekit.profiles import load_profile, profile_json
    from edgekit.profiles.load import locate, resolve
    from edgekit.profiles.render import render_tree

    found = load_profile(name)

    def render(_: Any) -> None:
        tree = resolve(locate(name)).tree
        click.echo(f"# {name}: " + " <- ".join(found.sources))
        click.echo(f"# sha256 {found.sha256}")
        if tree is not None:
            click.echo(render_tree(tree), nl=False)

    session.emit(profile_json(found), render)


@profile.command()
@click.argument("files", metavar="FILE|NAME...", nargs=-1, required=True)
@command
def check(session: Session, files: tuple[str, ...]) -> None:
    """Every error in profiles, all at once, with file and line."""
    from edgekit.errors import ProfileError
    from edgekit.profiles import check_profile
    from edgekit.profiles.load import locate
    from edgekit.profiles.search import looks_like_path

    findings = []
    for file in files:
        findings += check_profile(file if looks_like_path(file) else locate(file))
    if findings:
        count = f"{len(findings)} error{'s' if len(findings) > 1 else ''}"
        raise ProfileError(f"{count} in {', '.join(files)}", list(dict.fromkeys(findings)))

    def render(document: dict[str, Any]) -> None:
        for file in document["checked"]:
            click.echo(f"{file}: ok")

    session.emit({"checked": list(files), "errors": []}, render)


@profile.command()
@command
def schema(session: Session) -> None:
    """The JSON Schema of profiles, for editors."""
    from edgekit.profiles.jsonschema import json_schema, schema_text

    session.emit(json_schema(), lambda _: click.echo(schema_text(), nl=False))


@profile.command()
@device_option()
@click.option("--name", metavar="NAME", help="Of the new profile (default: from the device's model).")
@click.option("-o", "--output", metavar="FILE", help="Where to write it (default: stdout).")
@command
def probe(session: Session, name: str | None, output: str | None) -> None:
    """Write a profile from what a device says about itself. Nothing is put on it."""
    from edgekit.cache import atomic_write
    from edgekit.cli.common import one_device
    from edgekit.devices import resolve
    from edgekit.devices.discovery import facts_of
    from edgekit.profiles.probe import probe_profile

    facts = facts_of(resolve(one_device(session), session.config))
    text = probe_profile(facts, name=name)
    if output is not None:
        atomic_write(Path(output), text.encode())

    def render(document: dict[str, Any]) -> None:
        click.echo(f"wrote {document['file']}" if document["file"] else text, nl=document["file"] is not None)

    session.emit({"file": output, "yaml": text, "facts": facts}, render)
