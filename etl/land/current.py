"""The current state of a source table: the newest version of each key over the batches that make it up."""

import os
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select

from etl.cdm import Column, quoted
from etl.config import Settings
from etl.engine import connection, duckdb_type, empty_relation, quote_path, write_parquet
from etl.errors import CdmflowError
from etl.land.batches import batch_path
from etl.land.contract import ROW_ID, Contract, SourceTable
from etl.state import batch


def landed_columns(table: SourceTable) -> tuple[Column, ...]:
    """The columns of a landed table: the contract's in lower case, and source_row_id."""
    own = (Column(name=c.lower, sql_type=c.sql_type, required=c.required) for c in table.columns)
    return (*own, Column(name=ROW_ID, sql_type="bigint", required=True))


def business_date(engine: Engine, batch_ids: Sequence[int]) -> date | None:
    """The newest business date of these batches: the data's cut-off. None when no batch tells one."""
    with engine.connect() as state:
        newest: date | None = state.execute(
            select(func.max(batch.c.business_date)).where(batch.c.batch_id.in_(list(batch_ids)))
        ).scalar_one()
    return newest


def current_tables(
    settings: Settings,
    engine: Engine,
    contract: Contract,
    batch_ids: Sequence[int],
    run_dir: Path,
    known: Sequence[int] = (),
    unchanged: Mapping[str, list[Path]] | None = None,
) -> dict[str, list[Path]]:
    """The files that hold each table's current state after these batches, oldest first.

    `known` are batches that came before and are no part of the state (replaced, refused, taken back): rows that they
    had first keep the numbers from there. One batch is its own current state; anything else is written once to
    `run_dir`/current/<table>.parquet, an empty table too. The result depends on nothing but the batches and their
    order; of tables that are the same as in an earlier run, `unchanged` has that run's files, which are taken as they
    are. CdmflowError: a batch that is not known, or whose file is missing.
    """
    by_table = batches_by_table(engine, contract.source, batch_ids)
    before = batches_by_table(engine, contract.source, [number for number in known if number not in set(batch_ids)])
    tables: dict[str, list[Path]] = {}
    with connection() as con:  # one for all tables: opening it takes 7 ms, 20 of them more than a night's rows
        con.execute("SET preserve_insertion_order = false")
        for name, table in contract.tables.items():
            if unchanged and name in unchanged:
                tables[name] = [_linked(path, run_dir / "current") for path in unchanged[name]]
                continue
            mine = by_table.get(name, [])
            older = before.get(name, []) if mine else []
            paths = [_existing(settings, contract.source, name, number) for number in (*older, *mine)]
            tables[name] = _current(con, table, paths, len(older), run_dir / "current" / f"{name}.parquet")
    return tables


def _linked(path: Path, folder: Path) -> Path:
    """A run's own file also under this run's name, so that it outlives that run; a batch's as it is."""
    if path.parent.name != "current":
        return path
    folder.mkdir(parents=True, exist_ok=True)
    linked = folder / path.name
    if not linked.exists():
        os.link(path, linked)
    return linked


def kept_batches(table: SourceTable, before: Sequence[int], landed: Sequence[int]) -> list[int]:
    """The batches that make up a table's state once `landed` came to those of the state `before`.

    A snapshot replaces all; what is appended is added, and changes nothing when it was there already.
    """
    if table.change == "snapshot":
        return [*landed[-1:]] or [*before]
    return [*before, *(number for number in landed if number not in set(before))]


def batches_by_table(engine: Engine, source: str, batch_ids: Sequence[int]) -> dict[str, list[int]]:
    """Batch ids by table in the given order; one that comes twice counts where it comes last."""
    newest_last = list(reversed(dict.fromkeys(reversed(batch_ids))))
    with engine.connect() as state:
        rows = state.execute(
            select(batch.c.batch_id, batch.c.table_name).where(
                batch.c.source == source, batch.c.batch_id.in_(newest_last)
            )
        ).all()
    table_of = {number: name for number, name in rows}
    unknown = [str(number) for number in newest_last if number not in table_of]
    if unknown:
        raise CdmflowError(
            f"{source} has no batch {', '.join(unknown)}.",
            state="Nothing was computed.",
            todo="Take the batch ids from ./cdmflow status.",
        )
    tables: dict[str, list[int]] = {}
    for number in newest_last:
        tables.setdefault(table_of[number], []).append(number)
    return tables


def _existing(settings: Settings, source: str, table: str, batch_id: int) -> Path:
    path = batch_path(settings, source, table, batch_id)
    if not path.exists():
        raise CdmflowError(
            f"The file of batch {batch_id} ({source}.{table}) is not in the lake.",
            state="Nothing was computed.",
            todo="Land its source file again (it gets the same batch and numbers), or restore the lake.",
        )
    return path


def _current(con: Any, table: SourceTable, paths: Sequence[Path], known: int, output: Path) -> list[Path]:
    columns = landed_columns(table)
    names = [c.name for c in columns]
    if not paths:
        write_parquet(con, empty_relation(columns), output)
        return [output]
    adds_up = table.change == "append" and not table.key
    as_they_are = list(paths[known:]) if adds_up else list(paths)
    if (adds_up or len(paths) == 1) and all(_columns_in(con, path) == names for path in as_they_are):
        return as_they_are
    batches = [_batch_select(con, path, columns) for path in paths]
    write_parquet(con, current_select(table, batches, known), output)
    return [output]


def _columns_in(con: Any, path: Path) -> list[str]:
    described = con.execute(f"DESCRIBE SELECT * FROM read_parquet({quote_path(path)})").fetchall()
    return [row[0] for row in described]


def _batch_select(con: Any, path: Path, columns: Sequence[Column]) -> str:
    """A batch with today's columns: one landed under an older contract has NULL where it lacks one."""
    present = set(_columns_in(con, path))
    chosen = ", ".join(
        f"CAST({quoted(c.name) if c.name in present else 'NULL'} AS {duckdb_type(c.sql_type)}) AS {quoted(c.name)}"
        for c in columns
    )
    return f"SELECT {chosen} FROM read_parquet({quote_path(path)})"


def current_select(table: SourceTable, batches: Sequence[str], known: int = 0) -> str:
    """The SELECT of the current state from one SELECT per batch, oldest first; the first `known` only lend numbers.

    A key's row comes from the newest batch that has it (with a watermark: from the one where that is highest, so an
    extract of an older time that lands later overwrites nothing), with the source_row_id of the first. A snapshot keeps
    only the keys of its newest batch. Rows of a "whole row" table are told apart by their content and, among equal
    ones, by their order; such a table that is appended to keeps every row of every batch.
    """
    columns = [c.lower for c in table.columns]
    everything = ", ".join(quoted(name) for name in columns)
    if table.change == "append" and not table.key:
        return " UNION ALL ".join(f"SELECT {everything}, {ROW_ID} FROM ({text})" for text in batches[known:])
    rows = " UNION ALL ".join(f"SELECT *, {number} AS batch_no FROM ({text})" for number, text in enumerate(batches))
    if table.key and table.change == "snapshot":
        return _newest_snapshot(table, rows, batches[-1])
    if table.key:
        identity = ", ".join(quoted(name) for name in table.key)
        numbered = rows
    else:
        identity = f"{everything}, occurrence"
        numbered = (
            f"SELECT *, row_number() OVER (PARTITION BY batch_no, {everything} ORDER BY {ROW_ID}) AS occurrence "
            f"FROM ({rows})"
        )
    first_counted = len(batches) - 1 if table.change == "snapshot" else known
    order = f"batch_no < {known}, {quoted(table.watermark)} DESC NULLS LAST, " if table.watermark else ""
    several, single = numbered, ""
    if table.key:  # only keys of several batches need a window: a night's are few
        several = f"SELECT * FROM ({rows}) SEMI JOIN again USING ({identity})"
        single = f"SELECT {everything}, {ROW_ID} FROM ({rows}) ANTI JOIN again USING ({identity}) "
        single += f"WHERE batch_no >= {first_counted} UNION ALL "
    again = f"WITH again AS (SELECT {identity} FROM ({rows}) GROUP BY ALL HAVING count(*) > 1) " if table.key else ""
    return (
        f"{again}{single}SELECT {everything}, first_row_id AS {ROW_ID} FROM ("
        f"SELECT *, min({ROW_ID}) OVER (PARTITION BY {identity}) AS first_row_id, "
        f"row_number() OVER (PARTITION BY {identity} ORDER BY {order}batch_no DESC) AS newest FROM ({several}) "
        f"QUALIFY newest = 1) WHERE batch_no >= {first_counted}"
    )


def _newest_snapshot(table: SourceTable, rows: str, newest: str) -> str:
    """The newest batch with first numbers: only the keys of the older batches are read (no window over their rows)."""
    key = ", ".join(quoted(name) for name in table.key)
    same_key = " AND ".join(f"newest.{quoted(name)} IS NOT DISTINCT FROM first.{quoted(name)}" for name in table.key)
    columns = ", ".join(f"newest.{quoted(column.lower)}" for column in table.columns)
    return (
        f"SELECT {columns}, first.first_row_id AS {ROW_ID} FROM ({newest}) AS newest "
        f"JOIN (SELECT {key}, min({ROW_ID}) AS first_row_id FROM ({rows}) GROUP BY {key}) AS first ON {same_key}"
    )
