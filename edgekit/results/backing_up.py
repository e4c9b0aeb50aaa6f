"""A copy of the whole store, of one moment, while others write; and back.

- SQLite: its own backup interface copies pages into a new file; in WAL mode writers do not wait for it. The copy is a
  store itself.
- PostgreSQL: edgekit's own lines of JSON (see `edgekit.results.lines`), read in one snapshot; then baselines. Such a file can
  be brought into either database. `pg_dump` does its own work as well.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from sqlalchemy.exc import DBAPIError

from edgekit.cache import atomic_path, host_errors
from edgekit.errors import InputError
from edgekit.records import Samples
from edgekit.results.asking import run_ids
from edgekit.results.baselines import all_baselines
from edgekit.results.database import migrate
from edgekit.results.lines import line_of, read_line
from edgekit.results.place import Place, place_of
from edgekit.results.reading import record_bytes, samples_of
from edgekit.results.sqlite_file import damaged, mapped
from edgekit.results.store import Store

BUSY_TIMEOUT_S = 60.0
_SQLITE_MAGIC = b"SQLite format 3\0"
_BASELINES = b'{"edgekit_baselines":'


class _Baselines(msgspec.Struct, forbid_unknown_fields=True):
    """The last line of such a file: ids."""

    edgekit_baselines: list[str]


@dataclass(frozen=True)
class Restored:
    """`replaced`: the store was made what the backup was; else the backup's runs were added to it, `added` of them new."""

    added: int
    total: int
    replaced: bool


def backup(store: Store, target: Path) -> int:
    """Write the store to `target`, whole or not at all; bytes. Raises InputError E_EXISTS where there is a file."""
    if target.exists():
        raise InputError(f"{target} exists", code="E_EXISTS", hint="name another file")
    with atomic_path(target) as temporary:
        if store.path is not None:
            _copy(store.place, store.path, temporary)
        else:
            with host_errors(target), temporary.open("wb") as file:
                file.writelines(line + b"\n" for line in _lines(store))
        with host_errors(target):
            return temporary.stat().st_size


def restore(place: Place, source: Path, *, replace: bool = False) -> Restored:
    """Bring a backup into the store at `place`.

    A backup of a SQLite store takes the place of all that is in a SQLite store, in one transaction, once it was checked:
    only with `replace` where there are runs. Runs of lines of JSON are added; those that are there stay.

    Raises InputError E_STORE_NOT_EMPTY, E_RECORD; VerificationError E_SEAL; StoreError E_STORE_DAMAGED for a backup that is.
    """
    with host_errors(source), source.open("rb") as file:
        is_sqlite = file.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC
    if not is_sqlite:
        return _restore_lines(Store(place.path or _url(place)), source)
    with _checked(source) as checked:
        total = checked.count()
        if place.path is None:
            target = Store(_url(place))
            added = target.add_many(checked.entries())
            for one in checked.baselines():
                target.set_baseline(one.run, force=True)
            return Restored(added, total, False)
    if place.path.exists() and Store(place.path).count() and not replace:
        raise InputError(
            f"there are runs in {place.shown}", code="E_STORE_NOT_EMPTY", hint="--replace, if they may go"
        )
    _copy(place, source, place.path)
    migrate(place)
    return Restored(total, total, True)


def _copy(place: Place, source: Path, target: Path) -> None:
    """All pages in one step. Where the target is a store in use, its readers and writers see one or the other."""
    try:
        with (
            closing(
                sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S)
            ) as old,
            closing(sqlite3.connect(target, timeout=BUSY_TIMEOUT_S)) as new,
        ):
            old.backup(new, progress=_patience(BUSY_TIMEOUT_S))
            (said,) = new.execute("PRAGMA quick_check(1)").fetchone()
            if said != "ok":
                raise damaged(place.shown, str(said))
            if target != place.path:
                # one file, that needs no others beside it
                new.execute("PRAGMA journal_mode = DELETE").fetchone()
    except sqlite3.Error as error:
        raise mapped(DBAPIError("backup", None, error), target) from error


def _patience(seconds: float) -> Callable[[int, int, int], None]:
    """Ends a copy that waits for a lock: by itself Python tries again without end."""
    ends = time.monotonic() + seconds

    def look(status: int, _remaining: int, _total: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and time.monotonic() >= ends:
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = status
            raise error

    return look


@contextmanager
def _checked(source: Path) -> Iterator[Store]:
    """The backup as a store, in a copy: opening one may upgrade it, and a backup stays what it is."""
    with tempfile.TemporaryDirectory(prefix="edgekit-restore-") as folder:
        copy = Path(folder) / "backup.sqlite"
        _copy(place_of(copy), source, copy)
        yield Store(copy)


def _url(place: Place) -> str:
    return place.url.render_as_string(hide_password=False)


def _lines(store: Store) -> Iterator[bytes]:
    place = store.place.shown
    with store.database.reading() as connection:
        for run in run_ids(connection, ()):
            yield line_of(record_bytes(connection, run, place)[0], samples_of(connection, run, place))
        baselines = [one.run for one in all_baselines(connection)]
    yield msgspec.json.encode(_Baselines(baselines))


def _restore_lines(store: Store, source: Path) -> Restored:
    baselines: list[str] = []
    total = 0

    def entries() -> Iterator[tuple[bytes, Samples | None]]:
        nonlocal total
        with host_errors(source), source.open("rb") as file:
            for line in file:
                if line.startswith(_BASELINES):
                    baselines.extend(_ids(line, source))
                elif line.strip():
                    total += 1
                    _, data, samples = read_line(line.rstrip(b"\r\n"))
                    yield data, samples

    added = store.add_many(entries())
    for run in baselines:
        store.set_baseline(run, force=True)
    return Restored(added, total, False)


def _ids(line: bytes, source: Path) -> list[str]:
    try:
        return msgspec.json.decode(line, type=_Baselines).edgekit_baselines
    except msgspec.DecodeError as error:
        raise InputError(f"{source}: not a list of baselines: {error}", code="E_RECORD") from error
