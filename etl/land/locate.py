"""From landed rows to the lines they came from, and back; over all batches of a table."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from etl.cdm import quoted
from etl.config import Settings
from etl.engine import connection, quote_path
from etl.errors import UsageError
from etl.land.batches import batch_path
from etl.land.contract import ROW_ID, SourceTable
from etl.land.lines import lines_path, row_at_line
from etl.state import batch


@dataclass(frozen=True)
class Origin:
    """Where a landed row came from. `line_no` is None for batches that were landed before lines were kept."""

    batch_id: int
    file: str
    record_no: int
    line_no: int | None
    landed_at: datetime


@dataclass(frozen=True)
class Rejected:
    """A record that was turned away at landing."""

    reason: str


@dataclass(frozen=True)
class AtLine:
    """What a line of a landed file is: its table, and the row (numbered as in its batch), a reject, or neither."""

    batch_id: int
    table: str
    record_no: int | None
    row_id: int | None
    rejected: Rejected | None
    file_bytes: int | None


def origins(settings: Settings, engine: Engine, source: str, table: str, row_ids: Sequence[int]) -> dict[int, Origin]:
    """The origin of each of these rows, by row id as numbered in its own batch; set-based per batch."""
    with engine.connect() as state:
        batches = state.execute(
            select(batch)
            .where(batch.c.source == source, batch.c.table_name == table, batch.c.landed_rows > 0)
            .order_by(batch.c.first_source_row_id)
        ).all()
    wanted: dict[int, list[int]] = {}
    for row_id in row_ids:
        at = bisect_right(batches, row_id, key=lambda one: one.first_source_row_id) - 1
        if at >= 0 and row_id < batches[at].first_source_row_id + batches[at].landed_rows:
            wanted.setdefault(at, []).append(row_id)
    found: dict[int, Origin] = {}
    for at, ids in wanted.items():
        found |= _origins_in(settings, batches[at], ids)
    return found


def _origins_in(settings: Settings, row: Any, ids: list[int]) -> dict[int, Origin]:
    path = lines_path(settings, row.source, row.table_name, row.batch_id)
    if not path.exists():
        return _without_lines(settings, row, ids)
    with connection(threads=1) as con:
        places = con.execute(
            "SELECT wanted.row_id, place.file, place.record_no + wanted.row_id - place.source_row_id, "
            "place.line_no + wanted.row_id - place.source_row_id "
            "FROM (SELECT unnest(?::BIGINT[]) AS row_id) AS wanted "
            f"ASOF JOIN (SELECT * FROM read_parquet({quote_path(path)}) WHERE source_row_id IS NOT NULL) AS place "
            "ON wanted.row_id >= place.source_row_id",
            [ids],
        ).fetchall()
    return {row_id: Origin(row.batch_id, file, record, line, row.landed_at) for row_id, file, record, line in places}


def _without_lines(settings: Settings, row: Any, ids: list[int]) -> dict[int, Origin]:
    """Record numbers from the row's position and the rejected records before it; the lines are not known."""
    path = settings.rejects_dir / row.source / row.table_name / f"{row.batch_id}.parquet"
    rejected: list[int] = []
    if path.exists():
        with connection(threads=1) as con:
            told = con.execute(f"SELECT record_no FROM read_parquet({quote_path(path)}) ORDER BY record_no").fetchall()
            rejected = [record_no for (record_no,) in told]
    # the n-th rejected record is preceded by this many landed ones
    landed_before = [record_no - n for n, record_no in enumerate(rejected, start=1)]
    found = {}
    for row_id in ids:
        ordinal = row_id - row.first_source_row_id + 1
        record_no = ordinal + bisect_right(landed_before, ordinal - 1)
        found[row_id] = Origin(row.batch_id, row.file_name, record_no, None, row.landed_at)
    return found


def versions(table: SourceTable, current: Path, newest: Path, row_ids: Sequence[int]) -> dict[int, int]:
    """For rows of the current state (by source_row_id) the number of the same row in a newer batch, where it is there.

    By key; rows of a "whole row" table by content and, among equal ones, by order, as the current state numbers them.
    """
    return _matched(table, current, newest, row_ids)


def identities(table: SourceTable, current: Path, newest: Path, row_ids: Sequence[int]) -> dict[int, int]:
    """The way back: for rows as numbered in a batch the source_row_id that they have in the current state."""
    return _matched(table, newest, current, row_ids)


def _matched(table: SourceTable, of: Path, there: Path, row_ids: Sequence[int]) -> dict[int, int]:
    names = [quoted(name) for name in table.key or [column.lower for column in table.columns]]
    same = " AND ".join(f"one.{name} IS NOT DISTINCT FROM other.{name}" for name in names)
    columns = ", ".join(names)
    with connection() as con:
        con.execute("CREATE TEMP TABLE wanted AS SELECT unnest(?::BIGINT[]) AS row_id", [list(row_ids)])
        con.execute(
            f"CREATE TEMP TABLE identity AS SELECT DISTINCT {columns} FROM read_parquet({quote_path(of)}) "
            f"WHERE {ROW_ID} IN (SELECT row_id FROM wanted)"
        )
        numbered = (
            f"SELECT one.*, row_number() OVER (PARTITION BY {columns} ORDER BY {ROW_ID}) AS occurrence "
            f"FROM (SELECT {columns}, {ROW_ID} FROM read_parquet({{}})) AS one SEMI JOIN identity AS other ON {same}"
        )
        return dict(
            con.execute(
                f"SELECT one.{ROW_ID}, other.{ROW_ID} FROM ({numbered.format(quote_path(of))}) AS one "
                f"JOIN ({numbered.format(quote_path(there))}) AS other ON {same} AND one.occurrence = other.occurrence "
                f"WHERE one.{ROW_ID} IN (SELECT row_id FROM wanted)"
            ).fetchall()
        )


def at_line(settings: Settings, engine: Engine, batch_ids: Sequence[int], file: str, line_no: int) -> AtLine:
    """What stands on a line of a file of one of these batches. UsageError: no such file, or its lines are not kept."""
    with engine.connect() as state:
        rows = state.execute(select(batch).where(batch.c.batch_id.in_(list(batch_ids)))).all()
    unknown = False
    for row in rows:
        path = lines_path(settings, row.source, row.table_name, row.batch_id)
        if not path.exists():
            unknown = unknown or row.file_name.lower() == file.lower()
            continue
        files = _files_in(path, row.file_name)
        name = next((known for known in files if known.lower() == file.lower()), None)
        if name is None:
            continue
        found = row_at_line(path, name, line_no, row.first_source_row_id + row.landed_rows)
        record_no, row_id = (found.record_no, found.row_id) if found else (None, None)
        rejected = _reject(settings, row, name, record_no) if record_no is not None and row_id is None else None
        size = row.file_bytes if len(files) == 1 else None
        return AtLine(row.batch_id, row.table_name, record_no, row_id, rejected, size)
    if unknown:
        raise UsageError(
            f"{file} was landed before lines were kept, so line {line_no} cannot be looked up.",
            todo="Trace from the CDM row's id instead: ./cdmflow trace TABLE ID.",
        )
    names = ", ".join(sorted(row.file_name for row in rows))
    raise UsageError(f"This run landed no file {file}.", todo=f"Its files: {names}." if names else "")


def _files_in(path: Path, file_name: str) -> list[str]:
    with connection(threads=1) as con:
        rows = con.execute(f"SELECT DISTINCT file FROM read_parquet({quote_path(path)})").fetchall()
    return [name for (name,) in rows] or [file_name]


def _reject(settings: Settings, row: Any, file: str, record_no: int) -> Rejected | None:
    path = settings.rejects_dir / row.source / row.table_name / f"{row.batch_id}.parquet"
    with connection(threads=1) as con:
        found = con.execute(
            f"SELECT reason FROM read_parquet({quote_path(path)}) WHERE file = ? AND record_no = ?", [file, record_no]
        ).fetchone()
    return Rejected(found[0]) if found else None


def landed_in(settings: Settings, source: str, table: str, paths: Sequence[Path]) -> Path | None:
    """The batch file that is the table's current state by itself; None where the state was computed of several."""
    folder = batch_path(settings, source, table, 0).parent
    return paths[0] if len(paths) == 1 and paths[0].parent == folder else None


def newest_batch(settings: Settings, engine: Engine, table: str, batch_ids: Sequence[int]) -> Mapping[str, Any] | None:
    """The run's own batch of a table: its id and path."""
    with engine.connect() as state:
        row = state.execute(
            select(batch.c.batch_id, batch.c.source)
            .where(batch.c.batch_id.in_(list(batch_ids)), batch.c.table_name == table)
            .order_by(batch.c.batch_id.desc())
            .limit(1)
        ).one_or_none()
    if row is None:
        return None
    return {"batch_id": row.batch_id, "path": batch_path(settings, row.source, table, row.batch_id)}
