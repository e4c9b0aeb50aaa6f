"""Opening a store and transactions in it, on SQLite and PostgreSQL alike; foreign errors mapped once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, inspect, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from edgekit.errors import EdgekitError, StoreError
from edgekit.results import postgres, sqlite_file
from edgekit.results.place import Place
from edgekit.results.tables import HEAD, SCHEMA_VERSION, VIEWS, metadata, schema_table

BUSY_TIMEOUT_S = 15.0


@dataclass(frozen=True)
class Database:
    """An open store."""

    place: Place
    engine: Engine

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One write transaction, all or nothing."""
        with self.errors(), self.engine.connect() as connection, _writing(self.place, connection):
            yield connection

    @contextmanager
    def reading(self, timeout_s: float | None = None) -> Iterator[Connection]:
        """One read transaction: everything read in it is of one moment; the database refuses to write in it."""
        with self.errors(), self.engine.connect() as connection:
            side = sqlite_file.reading if self.place.is_sqlite else postgres.reading
            with side(connection, timeout_s):
                yield connection

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Map the driver's errors to edgekit's."""
        with _errors(self.place):
            yield


def open_database(
    place: Place, busy_timeout_s: float = BUSY_TIMEOUT_S, statement_timeout_s: float | None = None
) -> Database:
    """A file's store is made where there is none, and one of an older edgekit is upgraded. `statement_timeout_s`: of
    PostgreSQL; None: five minutes.

    Raises StoreError: E_STORE_NEWER for a store of a newer edgekit, E_STORE_OLDER for one in PostgreSQL that was not
    upgraded or made yet, E_STORE_FOREIGN for a database that is no store, E_STORE_DAMAGED, E_STORE_LOCKED,
    E_STORE_READ_ONLY, E_STORE_ACCESS, E_STORE_UNREACHABLE, E_STORE; HostDiskFull.
    """
    path = place.path
    if path is not None and not path.exists():
        with _errors(place):
            sqlite_file.create(path, initialise)
    with _errors(place), _looking(place, busy_timeout_s, statement_timeout_s).connect() as connection:
        version = _version(connection, place)
    database = _unchecked(place, busy_timeout_s, statement_timeout_s)
    if version == SCHEMA_VERSION:
        if place.is_sqlite:
            # the last that only reads leaves -wal and -shm behind; one that writes takes them away
            with database.errors(), database.engine.connect() as connection:
                connection.execute(select(schema_table.c.version)).scalar()
        return database
    if not place.is_sqlite:
        raise _older(place, version)
    migrate(place, busy_timeout_s)
    return database


def migrate(place: Place, busy_timeout_s: float = BUSY_TIMEOUT_S) -> tuple[int | None, int]:
    """Make the store's tables, or bring those of an older edgekit up to date, all or nothing: the versions before (None:
    there were none) and after. Raises StoreError as `open_database` does."""
    if place.path is not None and place.path.exists():
        with _errors(place), _looking(place, busy_timeout_s).connect() as connection:
            _version(connection, place)
    database = _unchecked(place, busy_timeout_s)
    with database.writing() as connection:
        if not place.is_sqlite:
            # two that migrate at once would both see what is there before the other is done
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('edgekit migrate'))"))
        version = _version(connection, place)
        if version is None:
            initialise(connection)
        elif version < SCHEMA_VERSION:
            from edgekit.results.migrating import upgrade

            upgrade(connection)
    return version, SCHEMA_VERSION


def initialise(connection: Connection) -> None:
    """All tables and views, in a transaction."""
    metadata.create_all(connection)
    for name, query in VIEWS.items():
        connection.execute(text(f"CREATE VIEW {name} AS {query}"))
    connection.execute(schema_table.insert().values(version=SCHEMA_VERSION))
    # what Alembic keeps, so that it need not be loaded to make a store
    connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
    connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})


def _unchecked(place: Place, busy_timeout_s: float, statement_timeout_s: float | None = None) -> Database:
    if place.path is not None:
        return Database(place, sqlite_file.make_engine(place.path, busy_timeout_s))
    return Database(place, postgres.make_engine(place, busy_timeout_s, statement_timeout_s))


def _looking(place: Place, busy_timeout_s: float, statement_timeout_s: float | None = None) -> Engine:
    """To see what is there. A file that is no store, or a newer one, must stay as it is: setting up a connection that writes
    would change its header."""
    if place.path is not None:
        return sqlite_file.make_reader(place.path, busy_timeout_s)
    return postgres.make_engine(place, busy_timeout_s, statement_timeout_s)


@contextmanager
def _writing(place: Place, connection: Connection) -> Iterator[None]:
    if place.is_sqlite:
        with sqlite_file.transaction(connection, "BEGIN IMMEDIATE"):
            yield
    else:
        with postgres.writing(connection):
            yield


@contextmanager
def _errors(place: Place) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise _mapped(error, place) from error
    except PoolTimeout as error:  # no DBAPIError: the pool's own
        raise StoreError(
            f"results store {place.shown}: {error}",
            code="E_STORE_TIMEOUT",
            hint="too much is asked at once; try again",
            transient=True,
        ) from error


def _mapped(error: DBAPIError, place: Place) -> EdgekitError:
    return sqlite_file.mapped(error, place.path) if place.path is not None else postgres.mapped(error, place)


def _version(connection: Connection, place: Place) -> int | None:
    """The schema's, None where there are no tables at all. Raises StoreError E_STORE_FOREIGN, E_STORE_NEWER."""
    tables = set(inspect(connection).get_table_names())
    if not tables:
        return None
    if schema_table.name not in tables:
        raise StoreError(
            f"{place.shown} is a database, but not a results store",
            code="E_STORE_FOREIGN",
            hint="set EDGEKIT_RESULTS to another file",
        )
    version = connection.execute(select(schema_table.c.version)).scalar()
    if version is None or version > SCHEMA_VERSION:
        raise StoreError(
            f"the results store {place.shown} has schema {version}; this edgekit knows {SCHEMA_VERSION}",
            code="E_STORE_NEWER",
            hint="upgrade edgekit, or set EDGEKIT_RESULTS to another file",
        )
    return int(version)


def _older(place: Place, version: int | None) -> StoreError:
    what = "has no results store yet" if version is None else f"has schema {version}, not {SCHEMA_VERSION}"
    return StoreError(
        f"{place.shown} {what}",
        code="E_STORE_OLDER",
        hint="edgekit results migrate --db URL, by a user who may make tables",
    )
