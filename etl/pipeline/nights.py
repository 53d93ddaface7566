"""Nights: which batches each delivered, in what order they make up a table's state, whom one concerns.

A night is a date. A drop folder named after its date (`incoming/2026-03-01`) is that night's delivery, whenever it is
landed: delivered again it takes the place of what it delivered before, and an old night never goes over a newer one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import sqlalchemy

from etl import land, state
from etl.cdm import quoted
from etl.config import settings
from etl.engine import connection, relation
from etl.errors import UsageError
from etl.pipeline.runs import Run, database, engine

NO_DATE = date.min


@dataclass(frozen=True)
class Delivered:
    """What one run landed: `night` is its data's date, `is_dated` that it was a dated drop folder."""

    night: date
    is_dated: bool
    batch_ids: tuple[int, ...]


@dataclass(frozen=True)
class Nights:
    """Every delivery of a source, oldest run first."""

    deliveries: tuple[Delivered, ...]

    def newest(self, batch_id: int) -> date:
        """The newest night that delivered a batch; before all others where that is not known."""
        return self._newest.get(batch_id, NO_DATE)

    def is_only_of(self, batch_id: int, night: date) -> bool:
        """Whether dated folders of this night, and nothing else, delivered the batch."""
        return self._told.get(batch_id) == {(night, True)}

    def of(self, night: date) -> list[int]:
        """The batches that a night delivered, in the order in which they came, the last delivery last."""
        found = [batch for delivered in self.deliveries if delivered.night == night for batch in delivered.batch_ids]
        return list(reversed(dict.fromkeys(reversed(found))))

    @cached_property
    def _told(self) -> dict[int, set[tuple[date, bool]]]:
        told: dict[int, set[tuple[date, bool]]] = {}
        for delivered in self.deliveries:
            for batch in delivered.batch_ids:
                told.setdefault(batch, set()).add((delivered.night, delivered.is_dated))
        return told

    @cached_property
    def _newest(self) -> dict[int, date]:
        return {batch: max(night for night, _ in told) for batch, told in self._told.items()}


def known_nights(source: str) -> Nights:
    """Every delivery of this source that ended its landing, whatever became of its run."""
    run = state.run.c
    with engine(database(settings())).connect() as con:
        rows = con.execute(
            sqlalchemy.select(run.parameters, run.cutoff_date)
            .where(run.source == source, run.parameters["landed"].as_string().is_not(None))
            .order_by(run.started_at, run.run_id)
        ).all()
    deliveries = []
    for parameters, cutoff in rows:
        night = parameters.get("night")
        told = date.fromisoformat(night) if night else cutoff or NO_DATE
        deliveries.append(Delivered(told, is_dated(parameters), tuple(parameters["landed"])))
    return Nights(tuple(deliveries))


def is_dated(parameters: Mapping[str, Any]) -> bool:
    """Whether a run brought a dated drop folder: all that its night delivered."""
    return parameters.get("night") is not None and parameters["input_folder"] is not None


def night_of(run: Run) -> date | None:
    """The night whose data a run brings, where that is known."""
    told = run.parameters.get("night")
    return date.fromisoformat(told) if told else None


def placed(
    table: land.SourceTable, before: Sequence[int], landed: Sequence[int], night: date, *, is_dated: bool, known: Nights
) -> list[int]:
    """The batches that make up a table's state, oldest first, once a night's `landed` came to those of `before`.

    A snapshot counts unless a newer night's is there. What is appended stands before newer nights; what the same dated
    folder delivered before goes.
    """
    if not landed:
        return [*before]
    if table.change == "snapshot":
        return [*before] if any(known.newest(batch) > night for batch in before) else [landed[-1]]
    arrived = [batch for batch in dict.fromkeys(landed) if batch not in before or known.newest(batch) <= night]
    kept = [
        batch
        for batch in before
        if batch not in arrived and not (is_dated and batch not in landed and known.is_only_of(batch, night))
    ]
    place = next((at for at, batch in enumerate(kept) if known.newest(batch) > night), len(kept))
    return [*kept[:place], *arrived, *kept[place:]]


def delivered_last(source: str, night: date) -> dict[str, int]:
    """The last batch of each table that a night delivered."""
    by_table = land.batches_by_table(engine(database(settings())), source, known_nights(source).of(night))
    return {name: batches[-1] for name, batches in by_table.items()}


def persons_of_batches(contract: land.Contract, batch_ids: Mapping[str, int]) -> list[str]:
    """Keys of the persons that batches tell something of; of a snapshot, what it changed in the one landed before."""
    files = {name: _file(contract, name, batch) for name, batch in batch_ids.items()}
    previous = {name: _landed_before(contract.source, name, batch) for name, batch in batch_ids.items()}
    before = {name: _file(contract, name, batch) for name, batch in previous.items() if batch is not None}
    return persons_of_files(contract, files, before)


def persons_of_files(contract: land.Contract, files: Mapping[str, Path], before: Mapping[str, Path]) -> list[str]:
    """Keys of the persons of rows in Parquet files by table; of a snapshot, of what it changed in the one before."""
    selects = []
    for name, path in files.items():
        table = contract.tables[name]
        told = [column for column in (table.person, *(table.merges or ())) if column]
        if told and path.exists():
            rows = _rows(table, path)
            if table.change == "snapshot" and name in before and before[name].exists():
                other = _rows(table, before[name])
                rows = f"(({rows}) EXCEPT ALL ({other})) UNION ALL (({other}) EXCEPT ALL ({rows}))"
            for key in map(quoted, told):
                selects.append(f"SELECT CAST({key} AS VARCHAR) AS person_key FROM ({rows}) WHERE {key} IS NOT NULL")
    if not selects:
        return []
    with connection() as con:
        return [key for (key,) in con.execute(" UNION ".join(selects)).fetchall()]


def newest_files(contract: land.Contract) -> dict[str, Path]:
    """The file of the batch landed last, by table."""
    last = {name: _landed_before(contract.source, name, None) for name in contract.tables}
    return {name: _file(contract, name, batch) for name, batch in last.items() if batch is not None}


def _file(contract: land.Contract, table: str, batch_id: int) -> Path:
    return land.batch_path(settings(), contract.source, table, batch_id)


def _rows(table: land.SourceTable, path: Path) -> str:
    columns = ", ".join(quoted(column.lower) for column in table.columns)
    return f"SELECT {columns} FROM {relation([path])}"


def _landed_before(source: str, table: str, batch_id: int | None) -> int | None:
    """The batch of a table that was landed before this one; without one, the last."""
    batch = state.batch.c
    query = sqlalchemy.select(sqlalchemy.func.max(batch.batch_id)).where(
        batch.source == source, batch.table_name == table
    )
    with engine(database(settings())).connect() as con:
        found: int | None = con.execute(query if batch_id is None else query.where(batch.batch_id < batch_id)).scalar()
    return found


def keys_of_persons(source: str, file: Path) -> list[str]:
    """The person keys of a file of CDM person_ids, one a line. UsageError for anything else in it."""
    try:
        ids = {int(line) for line in file.read_text(encoding="utf-8").split()}
    except (OSError, ValueError):
        raise UsageError(
            f"{file} is not a list of persons.", state="Nothing was loaded.", todo="One person_id of the CDM a line."
        ) from None
    person = state.person.c
    with engine(database(settings())).connect() as con:
        rows = con.execute(
            sqlalchemy.select(person.person_id, person.person_key).where(
                person.source == source, person.person_id.in_(sorted(ids))
            )
        ).all()
    if len(rows) < len(ids):
        raise UsageError(
            f"{len(ids) - len(rows)} of {len(ids)} person_ids in {file} are none of source {source}.",
            state="Nothing was loaded.",
        )
    return sorted({key for _, key in rows})
