"""`edgekit cache info|clear|prefetch`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgekit.cli.common import Session, command

OWN_PARTS = (
    "artifacts",
    "bugs",
    "conversions",
    "devices",
    "libc",
    "local-device",
    "models",
    "native",
    "runtimes",
    "scratch",
    "test-models",
    "test-passes",
    "tools",
    "unpacked",
)
"""What edgekit puts into the cache. Anything else there is not its own, and is never deleted."""


@click.group()
def cache() -> None:
    """What edgekit keeps on this host. Everything in the cache can be made again."""


def _size_bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


@cache.command()
@command
def info(session: Session) -> None:
    """Where the cache is and what takes how much."""
    from edgekit.cache import cache_dir

    folder = cache_dir()
    entries = [
        {"name": path.name, "path": str(path), "size_bytes": _size_bytes(path)}
        for path in sorted(folder.iterdir())
        if path.is_dir()
    ]

    def render(document: dict[str, Any]) -> None:
        from rich.table import Table

        from edgekit.units import format_size

        table = Table("part", "size", title=document["path"], title_justify="left", box=None, pad_edge=False)
        for entry in document["entries"]:
            table.add_row(entry["name"], format_size(entry["size_bytes"]))
        table.add_row("all", format_size(document["size_bytes"]))
        session.console.print(table)

    total = sum(int(str(entry["size_bytes"])) for entry in entries)
    session.emit({"path": str(folder), "size_bytes": total, "entries": entries}, render)


@cache.command()
@click.argument("parts", nargs=-1)
@command
def clear(session: Session, parts: tuple[str, ...]) -> None:
    """Delete the cache, or only the named parts. The device `local:` lives there and is kept unless named."""
    import shutil

    from edgekit.cache import cache_dir, host_errors
    from edgekit.errors import InputError

    folder = cache_dir()
    there = {path.name: path for path in folder.iterdir() if path.is_dir() and path.name in OWN_PARTS}
    for part in parts:
        if part not in there:
            raise InputError(
                f"no part '{part}' in the cache",
                code="E_CACHE_PART",
                hint=f"there are: {', '.join(sorted(there))}",
            )
    chosen = parts or tuple(name for name in sorted(there) if name != "local-device")
    freed = 0
    for name in chosen:
        freed += _size_bytes(there[name])
        with host_errors(there[name]):
            shutil.rmtree(there[name])

    def render(document: dict[str, Any]) -> None:
        from edgekit.units import format_size

        click.echo(
            f"deleted {', '.join(document['cleared']) or 'nothing'}: {format_size(document['freed_bytes'])}"
        )

    session.emit({"cleared": list(chosen), "freed_bytes": freed}, render)


@cache.command()
@click.option(
    "--abi",
    "abis",
    multiple=True,
    type=click.Choice(["x86_64", "arm64-v8a"]),
    help="For devices of this ABI (default: all). May be given more than once.",
)
@click.option(
    "--runtime",
    "runtimes",
    multiple=True,
    type=click.Choice(["litert", "onnxruntime"]),
    help="Only this runtime (default: all). May be given more than once.",
)
@click.option(
    "--tool",
    "tools",
    multiple=True,
    type=click.Choice(["onnx2tf"]),
    help="Make the environment of a converter that has one of its own, instead of the runtimes.",
)
@command
def prefetch(
    session: Session, abis: tuple[str, ...], runtimes: tuple[str, ...], tools: tuple[str, ...]
) -> None:
    """Fetch the runtimes for devices now, so that push and bench need no network later; or a converter (--tool).

    They come from the package index that pip is set up for (a private one, a proxy, credentials: pip's own
    settings count); EDGEKIT_INDEX_URL overrides it.
    """
    fetched: list[Path] = []
    if tools:
        from edgekit.conversion.isolated import ensure
        from edgekit.conversion.targets.onnx2tf import ONNX2TF

        fetched = [ensure({"onnx2tf": ONNX2TF}[tool], session.sink).folder for tool in tools]
    if abis or runtimes or not tools:
        from edgekit.runtimes.native import PACKAGES
        from edgekit.runtimes.native import prefetch as fetch

        fetched += fetch(runtimes or tuple(PACKAGES), abis or ("x86_64", "arm64-v8a"), session.sink)

    def render(document: dict[str, Any]) -> None:
        for path in document["fetched"]:
            click.echo(path)

    session.emit({"fetched": [str(path) for path in fetched]}, render)
