"""What bringing nights again would do: where each comes from, its rows and persons, how long it may take."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import sqlalchemy

from etl import land, state
from etl.config import incoming, settings, source_url
from etl.engine import count_rows
from etl.errors import CdmflowError, UsageError
from etl.log import get_logger
from etl.pipeline.extract import dated_tables
from etl.pipeline.nights import (
    Nights,
    delivered_last,
    keys_of_persons,
    known_nights,
    newest_files,
    persons_of_batches,
    persons_of_files,
)
from etl.pipeline.runs import current_run, database, engine, open_runs
from etl.pipeline.scope import LARGEST_SHARE, persons_held

# A night's drop is loaded, and the night over, at this time of the day after (UTC): the schedule of the nightly DAG.
LOADED_AT = time(2, 0, tzinfo=UTC)
RUNS_COMPARED = 5

log = get_logger(__name__)


@dataclass(frozen=True)
class PlannedNight:
    """`origin`: "folder", "database" or "batches", or "nothing" where none of them has anything of the night.

    `batch_ids` are landed ones that count again. `rows` by source table and `persons` are None where only the database
    can tell, and where a folder cannot be read; `seconds` where no run tells.
    """

    night: date
    origin: str
    batch_ids: tuple[int, ...]
    rows: Mapping[str, int] | None
    persons: int | None
    seconds: float | None


@dataclass(frozen=True)
class Plan:
    """The nights, oldest first; `persons_held` by the current release's source; ids of the runs at work."""

    nights: tuple[PlannedNight, ...]
    persons_held: int
    at_work: tuple[str, ...]

    @property
    def seconds(self) -> float | None:
        """What earlier runs let expect for all nights; None where no run tells."""
        known = [night.seconds for night in self.nights if night.seconds is not None]
        return sum(known) if known else None


def plan_backfill(source: str, first: date, last: date, persons_file: Path | None = None) -> Plan:
    """Look at every night from `first` to `last`; nothing is landed or changed.

    UsageError: dates in the wrong order, a night that is not over, no release to go on from, a file without persons.
    """
    if first > last:
        raise UsageError(f"{first} is after {last}.", todo="Give the older date as --from.")
    over = newest_night(datetime.now(UTC))
    if last > over:
        raise UsageError(
            f"The night of {last} is not over: a night is loaded at {LOADED_AT:%H:%M} UTC of the day after.",
            state="Nothing was loaded.",
            todo=f"The newest night that can be brought again is {over}.",
        )
    if current_run(source) is None:
        raise UsageError(
            f"Source {source} has no release that a night could be brought to.",
            state="Nothing was loaded.",
            todo="Load everything first: ./cdmflow run --input DIR --vocabulary DIR.",
        )
    contract = land.load_contract(settings(), source)
    chosen = None if persons_file is None else len(keys_of_persons(source, persons_file))
    held, known, took = persons_held(source), known_nights(source), seconds_of_runs(source)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    nights = tuple(_planned(contract, day, known, chosen, held, took) for day in days)
    return Plan(nights, held, tuple(open_runs()))


def newest_night(now: datetime) -> date:
    """The newest night that is over: its data interval has ended."""
    today = now.astimezone(UTC)
    return today.date() - timedelta(days=1 if today.timetz() > LOADED_AT else 2)


def origin_of(contract: land.Contract, night: date, known: Nights) -> str:
    """Where a night can be brought from again: its drop folder, the source database, or what was landed of it."""
    folder = drop_folder(night)
    if folder is not None and folder.is_dir():
        return "folder"
    if source_url() is not None and dated_tables(contract).tables:
        return "database"
    return "batches" if known.of(night) else "nothing"


def drop_folder(night: date) -> Path | None:
    """The folder of a night's drop, whether it is there or not; None where no folder of drops is configured."""
    configured = incoming()
    return None if configured is None else configured / str(night)


def arguments_of_night(source: str, night: date) -> dict[str, Any]:
    """What `open_run` is given to bring a night again."""
    contract = land.load_contract(settings(), source)
    origin = origin_of(contract, night, known_nights(source))
    return {
        "input_folder": str(drop_folder(night)) if origin == "folder" else None,
        "is_live": origin == "database",
        "vocabulary_folder": None,
        "night": night,
        "is_backfill": True,
    }


def arguments_of_schedule(source: str, night: date) -> dict[str, Any]:
    """What `open_run` is given for a night of the schedule, beside the DAG's params: its drop folder, where one is set.

    The first night of all is a complete delivery. UsageError where nothing was delivered.
    """
    folder = drop_folder(night)
    if folder is None:
        return {"night": night}
    if not folder.is_dir():
        raise UsageError(
            f"Nothing was delivered for the night of {night}: there is no {folder}.",
            state="Nothing was loaded; the last release stays.",
            todo=f"Once it is there: ./cdmflow backfill --from {night} --to {night}.",
        )
    chosen = {"input_folder": str(folder), "is_live": False, "night": night}
    is_first = current_run(source) is None
    return chosen | ({"is_drop": False} if is_first else {"is_drop": True, "vocabulary_folder": None})


def _planned(
    contract: land.Contract, night: date, known: Nights, chosen: int | None, held: int, took: tuple[float | None, ...]
) -> PlannedNight:
    origin = origin_of(contract, night, known)
    replayed = delivered_last(contract.source, night)
    rows: dict[str, int] | None = {}
    persons: int | None = chosen
    if origin == "folder":
        rows, found = _told_by_folder(contract, night)
        persons = found if chosen is None else chosen
        replayed = {name: batch for name, batch in replayed.items() if name not in (rows or {})}
    elif origin == "database":
        rows = None
        replayed = {name: batch for name, batch in replayed.items() if name not in dated_tables(contract).tables}
    elif chosen is None:
        persons = len(persons_of_batches(contract, replayed))
    if rows is not None:
        rows |= _landed_rows([*replayed.values()])
    seconds = None if persons == 0 else _expected(persons, held, *took)
    return PlannedNight(night, origin, tuple(sorted(replayed.values())), rows, persons, seconds)


def _landed_rows(batch_ids: list[int]) -> dict[str, int]:
    batch = state.batch.c
    with engine(database(settings())).connect() as con:
        found = con.execute(
            sqlalchemy.select(batch.table_name, batch.landed_rows)
            .where(batch.batch_id.in_(batch_ids))
            .order_by(batch.table_name)
        ).all()
    return {table: rows for table, rows in found}


def _told_by_folder(contract: land.Contract, night: date) -> tuple[dict[str, int] | None, int | None]:
    """Rows by table and persons of a drop folder, read as landing reads it; None where landing will refuse it."""
    folder = drop_folder(night)
    assert folder is not None
    with TemporaryDirectory() as scratch:
        try:
            files = land.read_folder(contract, folder, Path(scratch))
        except CdmflowError as error:
            log.warning("%s cannot be loaded as it is: %s", folder, error.what)
            return None, None
        rows = {name: count_rows([path]) for name, path in files.items()}
        return rows, len(persons_of_files(contract, files, newest_files(contract)))


def _expected(persons: int | None, held: int, of_all: float | None, of_some: float | None) -> float | None:
    """Seconds that earlier runs took: of everybody, where many persons are concerned, else of some persons."""
    is_for_all = persons is not None and persons > LARGEST_SHARE * held
    return of_all if is_for_all or of_some is None else of_some


def seconds_of_runs(source: str) -> tuple[float | None, float | None]:
    """The median seconds of the last published runs of everybody, and of those of some persons."""
    run = state.run.c
    with engine(database(settings())).connect() as con:
        rows = con.execute(
            sqlalchemy.select(run.scope, run.ended_at - run.started_at)
            .where(run.source == source, run.status == "published", run.ended_at.is_not(None))
            .order_by(run.started_at.desc())
        ).all()
    found = {
        scope: [took.total_seconds() for known, took in rows if known == scope][:RUNS_COMPARED]
        for scope in ("all", "persons")
    }
    of_all, of_some = (median(found[scope]) if found[scope] else None for scope in ("all", "persons"))
    return of_all, of_some
