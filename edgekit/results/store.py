"""The results store: records with all their samples, in one SQLite file of this host or in a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from edgekit.records import Record, Samples, decode, encode
from edgekit.results import asking, baselines, labelling, under_way
from edgekit.results.adding import BATCH, add_entries, batches
from edgekit.results.asking import Ranked, RunRow, Trend, Weighed
from edgekit.results.database import BUSY_TIMEOUT_S, open_database
from edgekit.results.export import Format, export
from edgekit.results.filters import Filter, parse_filters
from edgekit.results.lines import one_line
from edgekit.results.naming import resolved
from edgekit.results.place import place_of
from edgekit.results.reading import record_bytes, samples_of
from edgekit.results.rows import Entry, entry_of
from edgekit.results.select import Cursor
from edgekit.results.under_way import Beat, UnderWay

Filters = Iterable[str | Filter]


class Store:
    """Open (or make) a store. `store`: a file, a postgresql:// URL, or None: `EDGEKIT_RESULTS`, else results.sqlite in the
    data folder.

    `statement_timeout_s`: what a database elsewhere may take for one question; None: five minutes. One that says nothing for
    longer, whatever it hangs on, is given up.

    Safe to use from many processes at once; a process that is killed leaves the store whole. Every method
    raises StoreError (locked, damaged, newer, not a store, not reachable) or HostDiskFull.
    """

    def __init__(
        self,
        store: str | Path | None = None,
        *,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        statement_timeout_s: float | None = None,
    ) -> None:
        self.place = place_of(store)
        self.database = open_database(self.place, busy_timeout_s, statement_timeout_s)

    @property
    def path(self) -> Path | None:
        """The file; None of a database elsewhere."""
        return self.place.path

    def check_writable(self) -> None:
        """Raises StoreError E_STORE_READ_ONLY and the like where nothing could be added."""
        with self.database.writing():
            pass

    def add(
        self,
        record: Record | bytes,
        samples: Samples | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        ends: str | None = None,
    ) -> bool:
        """Keep a record and its samples, all or nothing. False where it is there already (the same bytes).

        A record as bytes (its JSON, as `encode` or an export gave it) is kept byte for byte, so that its seal stays; one of
        several lines is kept as one line, which every export can hold. `labels`: what the run has now, where they were
        changed since; a run that is there keeps its own. `ends`: the key of the measurement under way that this is the run
        of; readers see the one or the other.
        Raises InputError: E_RECORD_CONFLICT where another record has this id, E_SAMPLES where samples and
        record do not fit together, E_RECORD where it cannot be read or `started_at` is no ISO 8601 time, E_LABEL.
        """
        entry = _entry(record, samples, labels)
        with self.database.writing() as connection:
            added = add_entries(connection, [entry])
            if ends is not None:
                under_way.end(connection, ends)
        return added == 1

    def add_many(
        self, entries: Iterable[tuple[Record | bytes, Samples | None]], *, batch: int = BATCH
    ) -> int:
        """Keep many, `batch` at a time, each batch all or nothing. How many were not there yet; raises as `add`."""
        added = 0
        for some in batches(entries, batch):
            made = [_entry(*one) for one in some]  # packed before the lock is taken
            with self.database.writing() as connection:
                added += add_entries(connection, made)
        return added

    def beat(self, said: Beat, silence_s: float) -> None:
        """Tell of a measurement under way, which is vouched for as long as `silence_s` from now."""
        with self.database.writing() as connection:
            under_way.beat(connection, said, silence_s)

    def end(self, key: str) -> None:
        """It is under way no more, and has no run."""
        with self.database.writing() as connection:
            under_way.end(connection, key)

    def under_way(self, filters: Filters = ()) -> tuple[UnderWay, ...]:
        """Measurements that are not done yet, the newest first; those that meet the filters, as far as they can be told."""
        wanted = _parsed(filters)
        with self.database.reading() as connection:
            return under_way.under_way_now(connection, wanted)

    def list(
        self,
        filters: Filters = (),
        *,
        model: str | None = None,
        device: str | None = None,
        since: datetime | None = None,
        limit: int | None = None,
        before: Cursor | None = None,
    ) -> tuple[RunRow, ...]:
        """Runs, newest first. `filters`: see `edgekit.results.filters`. `model`: part of the model's name; `device`: an
        address or a device's model; `since`: aware; runs started then or later. `before`: the `cursor` of the last row of
        the page before."""
        wanted = [*_parsed(filters)]
        if model is not None:
            wanted.append(Filter("model", "~", (model,)))
        if device is not None:
            wanted.append(Filter("device", "=", (device,)))
        if since is not None:
            wanted.append(Filter("since", "=", number=since.timestamp()))
        with self.database.reading() as connection:
            return asking.list_runs(connection, wanted, limit, before)

    def trend(self, filters: Filters = (), *, limit: int = 1000) -> tuple[Trend, ...]:
        """The newest `limit` runs, by what they have in common (model, recipe, profile, device, runtime), oldest first."""
        wanted = _parsed(filters)
        with self.database.reading() as connection:
            return asking.trends(connection, wanted, limit)

    def best(self, filters: Filters = (), *, metrics: Sequence[str] = asking.BEST_BY) -> tuple[RunRow, ...]:
        """The newest runs that no other one beats in all `metrics`: the Pareto front. Raises InputError E_METRIC."""
        return self.weighed(filters, metrics=metrics).rows

    def weighed(self, filters: Filters = (), *, metrics: Sequence[str] = asking.BEST_BY) -> Weighed:
        """As `best`, and how many runs do not tell a metric. Raises InputError E_METRIC."""
        wanted, by = _parsed(filters), asking.metrics_of(metrics)
        with self.database.reading() as connection:
            return asking.weighed(connection, wanted, by)

    def ranked(self, filters: Filters = (), *, metrics: Sequence[str], limit: int) -> Ranked:
        """What `best` chooses from, the best first: of the newest run of each model, recipe, profile, device and runtime
        (invalid ones left out) those that tell all `metrics`. Raises InputError E_METRIC."""
        wanted, by = _parsed(filters), asking.metrics_of(metrics)
        with self.database.reading() as connection:
            return asking.ranked(connection, wanted, by, limit)

    def words(self, field: str) -> tuple[str, ...]:
        """All values of `project`, `model`, `recipe`, `profile`, `device`, `soc`, `abi`, `runtime`, `runtime_version` or
        `verdict`."""
        with self.database.reading() as connection:
            return asking.words(connection, field)

    def labels(self, run: str) -> dict[str, str]:
        """A run's labels as they are now; the record says those that it was measured with."""
        with self.database.reading() as connection:
            return asking.labels_of(connection, resolved(connection, run))

    def change_labels(self, run: str, put: Mapping[str, str], remove: Collection[str] = ()) -> dict[str, str]:
        """Set and take away labels of a run; all that it has afterwards. Its record, and the seal of it, stay as they are.

        Raises InputError E_NO_RUN, E_AMBIGUOUS_RUN; E_LABEL for labels that cannot be.
        """
        labelling.checked(put)
        with self.database.writing() as connection:
            return labelling.change_labels(connection, resolved(connection, run), put, remove)

    def replace_labels(self, run: str, labels: Mapping[str, str]) -> None:
        """All labels of a run at once, as another store had them."""
        with self.database.writing() as connection:
            run_id = resolved(connection, run)
            gone = set(asking.labels_of(connection, run_id)) - set(labels)
            labelling.change_labels(connection, run_id, labels, gone)

    def changed_labels(self, run: str) -> dict[str, str] | None:
        """A run's labels where they are not those that its record says; else None."""
        with self.database.reading() as connection:
            run_id = resolved(connection, run)
            found = asking.labels_of(connection, run_id)
            record = decode(record_bytes(connection, run_id, self.place.shown)[0])
        return None if labelling.was_measured_with(record, found) else found

    def count(self) -> int:
        """How many runs there are."""
        with self.database.reading() as connection:
            return asking.count_runs(connection)

    def resolve(self, run: str) -> str:
        """The full id for an id, a unique beginning of one, the letters after its last "-", or "latest".

        Raises InputError: E_NO_RUN, E_AMBIGUOUS_RUN.
        """
        with self.database.reading() as connection:
            return resolved(connection, run)

    def get(self, run: str) -> Record:
        """The record of a run, named as `resolve` takes it, with the labels that the run has now."""
        with self.database.reading() as connection:
            run_id = resolved(connection, run)
            data, _ = record_bytes(connection, run_id, self.place.shown)
            now = asking.labels_of(connection, run_id)
        return labelling.labelled(decode(data), now)

    def get_bytes(self, run: str) -> tuple[bytes, str]:
        """A record's JSON, byte for byte as it was added, and its seal: the sha256 of these bytes, which is checked."""
        with self.database.reading() as connection:
            return record_bytes(connection, resolved(connection, run), self.place.shown)

    def seals(self, ids: Sequence[str]) -> dict[str, str]:
        """The seals of those runs of these ids that are there."""
        with self.database.reading() as connection:
            return asking.seals_of(connection, ids)

    def samples(self, run: str) -> Samples:
        """All samples of a run, named as `resolve` takes it. Empty where they were pruned."""
        with self.database.reading() as connection:
            return samples_of(connection, resolved(connection, run), self.place.shown)

    def set_baseline(self, run: str, *, force: bool = False) -> Record:
        """Make a run the baseline of its model's name, profile and runtime. Returns its record.

        Raises InputError E_BASELINE_INVALID for a run whose verdict is invalid, unless `force`.
        """
        record = self.get(run)
        if not force:
            baselines.refuse_invalid(record)
        with self.database.writing() as connection:
            baselines.set_baseline(connection, record)
        return record

    def baseline(self, model_name: str, profile: str | None, runtime: str | None = None) -> Record | None:
        """The baseline of this model, profile and runtime (None: of any runtime, the first); None where none is set."""
        with self.database.reading() as connection:
            found = baselines.baseline_ids(connection, model_name, profile or "", runtime)
        return self.get(found[0]) if found else None

    def baselines(self) -> tuple[baselines.Baseline, ...]:
        """All that are set."""
        with self.database.reading() as connection:
            return baselines.all_baselines(connection)

    def export(
        self,
        runs: Sequence[str] = (),
        *,
        format: Format = "jsonl",  # noqa: A002
        with_samples: bool = False,
    ) -> Iterator[str]:
        """Pieces of one document (see `edgekit.results.export`); no `runs`: all, oldest first. The runs are
        looked up at once, so that a wrong name fails before anything is written."""
        return export(self.entries(runs, with_samples=with_samples), format)

    def entries(
        self, runs: Sequence[str] = (), *, with_samples: bool = True
    ) -> Iterator[tuple[bytes, Samples | None]]:
        """Records as they were added, byte for byte, and their samples; of one moment; no `runs`: all, oldest first. What
        another store's `add_many` takes. Raises InputError E_NO_RUN for one of `runs` that is forgotten before it is read."""
        return self._entries(tuple(self.resolve(run) for run in runs), with_samples)

    def _entries(self, ids: Sequence[str], with_samples: bool) -> Iterator[tuple[bytes, Samples | None]]:
        place = self.place.shown
        with self.database.reading() as connection:
            for run in ids or asking.run_ids(connection, ()):
                samples = samples_of(connection, run, place) if with_samples else None
                yield record_bytes(connection, run, place)[0], samples

    def ids(self, filters: Filters = ()) -> tuple[str, ...]:
        """Ids of the runs that meet the filters, oldest first."""
        wanted = _parsed(filters)
        with self.database.reading() as connection:
            return asking.run_ids(connection, wanted)

    def latest(self) -> Record | None:
        """The newest record, None in an empty store."""
        rows = self.list(limit=1)
        return self.get(rows[0].id) if rows else None


def _entry(given: Record | bytes, samples: Samples | None, labels: Mapping[str, str] | None = None) -> Entry:
    record, data = (decode(given), one_line(given)) if isinstance(given, bytes) else (given, encode(given))
    if labels is not None:
        labelling.checked_of(record, labels)
    return entry_of(record, data, samples or Samples(), labels)


def _parsed(filters: Filters) -> tuple[Filter, ...]:
    return tuple(one if isinstance(one, Filter) else parse_filters([one])[0] for one in filters)
