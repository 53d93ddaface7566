"""The current state of a source table: the newest version of each key over the batches that make it up."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select

from etl.cdm import quoted
from etl.config import Settings
from etl.engine import connection, empty_relation, relation, write_parquet, written_beside
from etl.errors import CdmflowError
from etl.land.batches import batch_path
from etl.land.contract import Contract, SourceTable
from etl.land.landed import batch_select, columns_in, landed_columns
from etl.land.numbers import first_numbers, identified, numbered
from etl.state import batch

# Files of a state beyond which it is written as one again: each costs every step of a run that reads the table a look.
MOST_FILES = 20


def business_date(engine: Engine, batch_ids: Sequence[int]) -> date | None:
    """The newest business date of these batches: the data's cut-off. None when no batch tells one."""
    with engine.connect() as state:
        newest: date | None = state.execute(
            select(func.max(batch.c.business_date)).where(batch.c.batch_id.in_(list(batch_ids)))
        ).scalar_one()
    return newest


@dataclass(frozen=True)
class Earlier:
    """An earlier run's files of a table's state, and the batches that they were made of."""

    files: Sequence[Path]
    batches: Sequence[int]


def current_tables(
    settings: Settings,
    engine: Engine,
    contract: Contract,
    batch_ids: Sequence[int],
    run_dir: Path,
    earlier: Mapping[str, Earlier] | None = None,
) -> dict[str, list[Path]]:
    """The files that hold each table's current state after these batches.

    A key's row comes from the newest batch that has it (with a watermark: from the one where that is highest, so an
    extract of an older time that lands later overwrites nothing). A snapshot keeps only the rows of its newest batch;
    rows of a "whole row" table that is appended to are all kept. A row has the number of its first arrival in this
    home, whatever became of that batch (`numbers`).

    A batch that nothing came before is its own current state; otherwise files are written to `run_dir`/current, of an
    empty table too. The result depends on nothing but the home's batches and the order of the given ones: what an
    `earlier` run of the same contract has found is taken as it is, or added to. CdmflowError: a batch that is not
    known, or whose file is missing.
    """
    by_table = batches_by_table(engine, contract.source, batch_ids)
    present = _batches_of_home(engine, contract.source)
    tables: dict[str, list[Path]] = {}
    with connection() as con:  # one for all tables: opening it takes 7 ms, 20 of them more than a night's rows
        con.execute("SET preserve_insertion_order = false")
        for name, table in contract.tables.items():
            mine, before = by_table.get(name, []), (earlier or {}).get(name)
            if before is not None and list(before.batches) == mine:
                tables[name] = _linked(before.files, run_dir / "current")
                continue
            paths = {number: batch_path(settings, contract.source, name, number) for number in present.get(name, [])}
            tables[name] = _current(con, settings, contract.source, table, mine, paths, before, run_dir / "current")
    return tables


def _linked(paths: Sequence[Path], folder: Path) -> list[Path]:
    """A run's own files also under this run's name, so that they outlive that run; batches as they are.

    A file of that name from an earlier attempt of the run may hold another state: it gives way.
    """
    found = []
    for path in paths:
        linked = folder / path.name if path.parent.name == "current" else path
        if not (linked.exists() and linked.samefile(path)):
            folder.mkdir(parents=True, exist_ok=True)
            with written_beside(linked) as beside:
                os.link(path, beside)
        found.append(linked)
    return found


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


def _batches_of_home(engine: Engine, source: str) -> dict[str, list[int]]:
    """All batches by table, oldest first."""
    with engine.connect() as state:
        rows = state.execute(
            select(batch.c.table_name, batch.c.batch_id).where(batch.c.source == source).order_by(batch.c.batch_id)
        ).all()
    found: dict[str, list[int]] = {}
    for name, number in rows:
        found.setdefault(name, []).append(number)
    return found


def _current(
    con: Any,
    settings: Settings,
    source: str,
    table: SourceTable,
    mine: Sequence[int],
    present: Mapping[int, Path],
    earlier: Earlier | None,
    folder: Path,
) -> list[Path]:
    output = folder / f"{table.name}.parquet"
    for number in mine:
        _refuse_missing(present[number], source, table.name, number)
    if not mine:
        write_parquet(con, empty_relation(landed_columns(table)), output)
        return [output]
    adds_up = table.change == "append" and not table.key
    if (adds_up or len(present) == 1) and all(_has_todays_columns(con, table, present[number]) for number in mine):
        return [present[number] for number in mine]
    if adds_up:
        everything = " UNION ALL ".join(batch_select(con, table, present[number]) for number in mine)
        write_parquet(con, everything, output)
        return [output]
    for number, path in present.items():
        _refuse_missing(path, source, table.name, number)
    numbers = first_numbers(con, settings, source, table, present)
    if table.change == "snapshot":
        newest = identified(table, batch_select(con, table, present[mine[-1]]))
        write_parquet(con, numbered(table, newest, numbers), output)
        return [output]
    if earlier is not None and earlier.batches and list(mine[: len(earlier.batches)]) == list(earlier.batches):
        arrived = [batch_select(con, table, present[number]) for number in mine[len(earlier.batches) :]]
        return _added(con, table, earlier.files, arrived, numbers, folder, mine[-1])
    batches = [batch_select(con, table, present[number]) for number in mine]
    write_parquet(con, numbered(table, _newest(table, batches), numbers), output)
    return [output]


def _added(
    con: Any,
    table: SourceTable,
    before: Sequence[Path],
    arrived: Sequence[str],
    numbers: Sequence[Path],
    folder: Path,
    number: int,
) -> list[Path]:
    """The state `before` with newer batches: what it has of their keys gives way, all else stays in its files.

    Only keys are read of it as long as they are new, so a night costs what it brings. After a few such nights, and
    where keys come again, the state is written anew.
    """
    key = " AND ".join(f"before.{quoted(name)} IS NOT DISTINCT FROM arrived.{quoted(name)}" for name in table.key)
    con.execute(f"CREATE OR REPLACE TEMP TABLE arrived AS {' UNION ALL '.join(arrived)}")
    known = f"SELECT before.* FROM {relation(before)} AS before"
    con.execute(f"CREATE OR REPLACE TEMP TABLE again AS {known} SEMI JOIN arrived ON {key}")
    newest = numbered(table, _newest(table, ["SELECT * FROM again", *arrived]), numbers)
    [(are_new,)] = con.execute("SELECT count(*) = 0 FROM again").fetchall()
    if are_new and len(before) < MOST_FILES:
        output = folder / f"{table.name}.{number}.parquet"
        write_parquet(con, newest, output)
        return [*_linked(before, folder), output]
    output = folder / f"{table.name}.parquet"
    write_parquet(con, f"{known} ANTI JOIN arrived ON {key} UNION ALL ({newest})", output)
    return [output]


def _newest(table: SourceTable, batches: Sequence[str]) -> str:
    """The identified rows of the newest version of each key, from a SELECT of each batch, oldest first."""
    rows = " UNION ALL ".join(f"SELECT *, {place} AS batch_no FROM ({rows})" for place, rows in enumerate(batches))
    order = f"{quoted(table.watermark)} DESC NULLS LAST, " if table.watermark else ""
    chosen = f"row_number() OVER (PARTITION BY content ORDER BY {order}batch_no DESC) = 1"
    return f"SELECT * FROM ({identified(table, rows)}) QUALIFY {chosen}"


def _has_todays_columns(con: Any, table: SourceTable, path: Path) -> bool:
    return columns_in(con, path) == [column.name for column in landed_columns(table)]


def _refuse_missing(path: Path, source: str, table: str, batch_id: int) -> None:
    if not path.exists():
        raise CdmflowError(
            f"The file of batch {batch_id} ({source}.{table}) is not in the lake.",
            state="Nothing was computed.",
            todo="Land its source file again (it gets the same batch and numbers), or restore the lake.",
        )
