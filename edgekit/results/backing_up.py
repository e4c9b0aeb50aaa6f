"""A copy of the whole store, of one moment, while others write; and back.

- SQLite: its own backup interface copies pages into a new file; in WAL mode writers do not wait for it. The copy is a
  store itself.
- PostgreSQL: edgekit's own lines of JSON (see `edgekit.results.lines`), read in one snapshot; then a line that says how many
  there are, baselines, and labels that were changed. Such a file can be brought into either database. `pg_dump` does its own
  work as well.
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
from edgekit.records import Samples, decode
from edgekit.results.asking import labels_of, run_ids
from edgekit.results.baselines import all_baselines
from edgekit.results.database import migrate
from edgekit.results.labelling import was_measured_with
from edgekit.results.lines import line_of, read_line
from edgekit.results.place import Place, place_of
from edgekit.results.reading import record_bytes, samples_of
from edgekit.results.sqlite_file import damaged, mapped
from edgekit.results.store import Store

BUSY_TIMEOUT_S = 60.0
_SQLITE_MAGIC = b"SQLite format 3\0"
_BASELINES = b'{"edgekit_baselines":'


class _End(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The last line of such a file, without which it was cut. `runs`: how many lines before it are runs; older edgekits did
    not say. `labels`: of runs whose labels are not those of their record."""

    edgekit_baselines: list[str]
    runs: int | None = None
    labels: dict[str, dict[str, str]] = {}


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

    Raises InputError E_STORE_NOT_EMPTY, E_RECORD, E_BACKUP_CUT; VerificationError E_SEAL; StoreError E_STORE_DAMAGED for a
    backup that is.
    """
    with host_errors(source), source.open("rb") as file:
        is_sqlite = file.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC
    if not is_sqlite:
        return _restore_lines(Store(place.path or _url(place)), source)
    with _checked(source) as checked:
        total = checked.count()
        if place.path is None:
            changed = ((run, checked.changed_labels(run)) for run in checked.ids())
            end = _End(
                [one.run for one in checked.baselines()], labels={k: v for k, v in changed if v is not None}
            )
            return Restored(_add(Store(_url(place)), checked.entries(), end), total, False)
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
    end = _End([], runs=0)
    with store.database.reading() as connection:
        runs = run_ids(connection, ())
        for run in runs:
            data = record_bytes(connection, run, place)[0]
            labels = labels_of(connection, run)
            if not was_measured_with(decode(data), labels):
                end.labels[run] = labels
            yield line_of(data, samples_of(connection, run, place))
        end.edgekit_baselines = [one.run for one in all_baselines(connection)]
        end.runs = len(runs)
    yield msgspec.json.encode(end)


def _restore_lines(store: Store, source: Path) -> Restored:
    """Nothing is added from a file that was cut."""
    total, end = _counted(source)

    def entries() -> Iterator[tuple[bytes, Samples | None]]:
        with host_errors(source), source.open("rb") as file:
            for line in file:
                if line.strip() and not line.startswith(_BASELINES):
                    _, data, samples = read_line(line.rstrip(b"\r\n"))
                    yield data, samples

    return Restored(_add(store, entries(), end), total, False)


def _counted(source: Path) -> tuple[int, _End]:
    """How many runs a file has, and its end. Raises InputError E_BACKUP_CUT where that is not there, or says otherwise."""
    count, last = 0, b""
    with host_errors(source), source.open("rb") as file:
        for line in file:
            if line.strip():
                last = line
                count += not line.startswith(_BASELINES)
    if not last.startswith(_BASELINES):
        raise _cut(source, "its last line is not there")
    try:
        end = msgspec.json.decode(last, type=_End)
    except msgspec.DecodeError as error:
        raise _cut(source, f"its last line cannot be read ({error})") from error
    if end.runs is not None and end.runs != count:
        raise _cut(source, f"it has {count} of {end.runs} runs")
    return count, end


def _add(store: Store, entries: Iterator[tuple[bytes, Samples | None]], end: _End) -> int:
    """Runs that are there stay, with the labels that they have there. How many were new."""
    there = store.seals(list(end.labels))
    added = store.add_many(entries)
    for run, labels in end.labels.items():
        if run not in there:
            store.replace_labels(run, labels)
    for run in end.edgekit_baselines:
        store.set_baseline(run, force=True)
    return added


def _cut(source: Path, why: str) -> InputError:
    return InputError(
        f"{source} is not a whole backup: {why}",
        code="E_BACKUP_CUT",
        hint="edgekit results import brings in an export, or the runs that a cut backup still has",
    )
