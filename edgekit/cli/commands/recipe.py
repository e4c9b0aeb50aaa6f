"""`edgekit recipe list|show|check|schema`."""

from __future__ import annotations

from typing import Any

import click

from edgekit.cli.common import Session, command, finding_json


@click.group()
def recipe() -> None:
    """Recipes: how weights and activations are stored, and which operators are an exception."""


@recipe.command("list")
@command
def list_command(session: Session) -> None:
    """Every recipe that has a name, and the formats that are made with it here."""
    from edgekit.conversion.recipes.listing import list_recipes
    from edgekit.conversion.recipes.load import user_folder

    entries = [
        {
            "name": entry.name,
            "description": entry.recipe.description if entry.recipe else None,
            "origin": entry.origin,
            "path": entry.path,
            "kind": entry.recipe.kind if entry.recipe else None,
            "calibrated": any(entry.recipe.calibrated(target) for target in entry.made_by)
            if entry.recipe
            else None,
            "made_by": list(entry.made_by),
            "sha256": entry.recipe.sha256 if entry.recipe else None,
            "errors": [finding_json(finding) for finding in entry.findings],
        }
        for entry in list_recipes()
    ]

    def render(document: dict[str, Any]) -> None:
        from rich.table import Table

        table = Table(box=None, pad_edge=False)
        table.add_column("recipe", no_wrap=True)
        table.add_column("--to", no_wrap=True)
        table.add_column("data", no_wrap=True)
        table.add_column("")
        for entry in document["recipes"]:
            broken = f"{len(entry['errors'])} errors, see `edgekit recipe check {entry['path']}`"
            note = broken if entry["errors"] else entry["description"] or ""
            own = " (yours)" if entry["origin"] == "user" else ""
            data = "needed" if entry["calibrated"] else ""
            table.add_row(entry["name"] + own, " ".join(entry["made_by"]), data, note)
        session.console.print(table)
        click.echo(f"Your own go to {document['user_folder']}", err=True)

    session.emit({"recipes": entries, "user_folder": str(user_folder())}, render)


@recipe.command()
@click.argument("name", metavar="NAME|FILE")
@command
def show(session: Session, name: str) -> None:
    """A recipe's file, and with --json all that it leaves to defaults."""
    from edgekit.conversion.recipes.load import load_recipe, locate, recipe_json

    found = load_recipe(name)

    def render(_: Any) -> None:
        path = locate(name)
        click.echo(f"# {path}")
        click.echo(f"# sha256 {found.sha256}")
        click.echo(path.read_text(encoding="utf-8"), nl=False)

    session.emit(recipe_json(found), render)


@recipe.command()
@click.argument("files", metavar="FILE|NAME...", nargs=-1, required=True)
@command
def check(session: Session, files: tuple[str, ...]) -> None:
    """Every error in recipes, all at once, with file and line."""
    from edgekit.conversion.recipes.load import locate, resolve
    from edgekit.errors import RecipeError

    findings = [finding for file in files for finding in resolve(locate(file)).findings]
    if findings:
        count = f"{len(findings)} error{'s' if len(findings) > 1 else ''}"
        raise RecipeError(f"{count} in {', '.join(files)}", list(dict.fromkeys(findings)))

    def render(document: dict[str, Any]) -> None:
        for file in document["checked"]:
            click.echo(f"{file}: ok")

    session.emit({"checked": list(files), "errors": []}, render)


@recipe.command()
@command
def schema(session: Session) -> None:
    """The JSON Schema of recipes, for editors."""
    from edgekit.conversion.recipes.listing import json_schema, schema_text

    session.emit(json_schema(), lambda _: click.echo(schema_text(), nl=False))
