"""The source rows behind a candidate's violating rows, and what a run can say of the rows that wait in quarantine."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import sqlalchemy

from etl import land, quality, state
from etl.config import settings
from etl.engine import connection, quote_path, relation, write_parquet
from etl.pipeline.lineage import decodable_tables
from etl.pipeline.models import models, source_parts
from etl.pipeline.runs import Run, database, engine, kept_state, vocabulary_folder
from etl.publish import IN_PLACE

# A broken night must not write millions of rows: the first of each check, by source row, with all of them counted.
MOST_ROWS = 10_000

KNOWN = {
    "quarantine_id": pyarrow.int64(),
    "table_name": pyarrow.string(),
    "check_id": pyarrow.string(),
    "source_row_id": pyarrow.int64(),
    "rows": pyarrow.int64(),
    "accepted": pyarrow.bool_(),
    "night": pyarrow.string(),  # of the run that saw it last
}


@dataclass(frozen=True)
class Looked:
    """A connection with three relations, and the violating rows by check.

    `seen`: a source row that violates a check (check_id, table_name, source_row_id, rows, first_id: its smallest CDM
    row, place: its rank within the check). `known`: gate rows in quarantine, with in_state (the row is part of the
    run's state) and judged (the run made its person again, or delivered its table without it). `unplaced` counts
    violating CDM rows that lead to no source row: eras, periods, tables without ids of their own.
    """

    con: Any
    violating: dict[str, int]
    unplaced: dict[str, int]


def rows_path(run: Run) -> Path:
    """Where a run keeps which CDM rows violated a check: check_id, cdm_table, row_id, table_name, source_row_id."""
    return run.folder / "quarantine" / "rows.parquet"


@contextmanager
def looked(run: Run, check_ids: Collection[str]) -> Iterator[Looked]:
    """Select the rows that violate these checks now, decode them to source rows, and look at what is in quarantine."""
    assert run.vocabulary_id is not None
    found = rows_path(run).with_name("violations.parquet")
    counted = quality.write_violations(settings(), run.folder, vocabulary_folder(run.vocabulary_id), check_ids, found)
    with connection() as con:
        write_parquet(con, _placed(run, found), rows_path(run))
        con.execute(
            "CREATE TEMP TABLE seen AS SELECT *, row_number() OVER (PARTITION BY check_id ORDER BY first_id) AS place "
            "FROM (SELECT check_id, table_name, source_row_id, count(*) AS rows, min(row_id) AS first_id "
            f"FROM {relation([rows_path(run)])} GROUP BY ALL)"
        )
        placed = dict(con.execute("SELECT check_id, CAST(sum(rows) AS BIGINT) FROM seen GROUP BY 1").fetchall())
        _look_at_known(con, run)
        unplaced = {check_id: rows - placed.get(check_id, 0) for check_id, rows in counted.items()}
        yield Looked(con, counted, {check_id: rows for check_id, rows in unplaced.items() if rows})


def _placed(run: Run, violations: Path) -> str:
    """The violating rows with table and number of their source row; ids say it, persons and deaths are looked up."""
    parts = ", ".join(
        f"({number}, '{part['table']}')" for number, part in source_parts().items() if part["source"] == run.source
    )
    rows = f"(SELECT * FROM read_parquet({quote_path(violations)}))"
    decodable = ", ".join(f"'{name}'" for name in decodable_tables())
    selects = [
        "SELECT check_id, cdm_table, row_id, row_id // 100000 AS source_row_id, row_id // 100 % 1000 AS part_no "
        f"FROM {rows} WHERE cdm_table IN ({decodable})"
    ]
    for table, chosen in (("person", "is_survivor"), ("death", "is_kept")):
        files = [path for path in models(run.source)[f"map.{table}"].outputs(run.folder) if path.exists()]
        if files:
            selects.append(
                "SELECT check_id, cdm_table, row_id, mapped.source_row_id, mapped.source_part_no AS part_no "
                f"FROM {rows} JOIN {relation(files)} AS mapped ON row_id = mapped.person_id "
                f"WHERE cdm_table = '{table}' AND mapped.{chosen}"
            )
    return (
        "SELECT check_id, cdm_table, row_id, part.table_name, CAST(source_row_id AS BIGINT) AS source_row_id "
        f"FROM ({' UNION ALL '.join(selects)}) JOIN (VALUES {parts}) AS part(part_no, table_name) USING (part_no)"
    )


def _look_at_known(con: Any, run: Run) -> None:
    waiting, seen_by = state.quarantine.c, state.run.c
    query = (
        sqlalchemy.select(
            waiting.quarantine_id,
            waiting.table_name,
            waiting.check_id,
            waiting.source_row_id,
            waiting.rows,
            waiting.accepted_at.is_not(None),
            seen_by.parameters["night"].as_string(),
        )
        .join_from(state.quarantine, state.run, waiting.last_run == seen_by.run_id, isouter=True)
        .where(waiting.source == run.source, waiting.source_row_id.is_not(None))
    )
    with engine(database(settings())).connect() as db:
        rows = db.execute(query).all()
    columns = [[row[position] for row in rows] for position in range(len(KNOWN))]
    arrays = [pyarrow.array(values, kind) for values, kind in zip(columns, KNOWN.values(), strict=True)]
    con.register("in_quarantine", pyarrow.table(arrays, names=list(KNOWN)))
    tables = sorted({row.table_name for row in rows})
    con.execute(f"CREATE TEMP TABLE standing AS {_standing(con, run, tables)}")
    con.execute(
        "CREATE TEMP TABLE known AS SELECT waits.*, standing.source_row_id IS NOT NULL AS in_state, "
        f"CASE WHEN standing.source_row_id IS NULL THEN {_is_delivered(run, tables)} "
        f"ELSE standing.is_concerned OR {_is_of_places()} END AS judged "
        "FROM in_quarantine AS waits LEFT JOIN standing USING (table_name, source_row_id)"
    )


def _standing(con: Any, run: Run, tables: Sequence[str]) -> str:
    """The rows in quarantine that are part of the run's state, and whether the run made their person again."""
    files, contract = kept_state(run) or {}, land.load_contract(settings(), run.source)
    concerned = run.folder / "scope" / "person_key.parquet"
    selects = ["SELECT '' AS table_name, CAST(NULL AS BIGINT) AS source_row_id, false AS is_concerned WHERE false"]
    for name in tables:
        person = contract.tables[name].person if name in contract.tables else None
        if not files.get(name):
            continue
        of = "true" if run.scope == "all" else "false"
        if run.scope != "all" and person is not None:
            of = f"CAST({person} AS VARCHAR) IN (SELECT person_key FROM {relation([concerned])})"
        selects.append(
            f"SELECT '{name}', source_row_id, {of} FROM {relation(files[name])} WHERE source_row_id IN "
            f"(SELECT source_row_id FROM in_quarantine WHERE table_name = '{name}')"
        )
    return " UNION ALL ".join(selects)


def _is_of_places() -> str:
    """Rows of places are checked in every run, whoever it concerns."""
    places = ", ".join(f"'{name}'" for name in IN_PLACE)
    return f"split_part(waits.check_id, '.', 1) IN ({places})"


def _is_delivered(run: Run, tables: Sequence[str]) -> str:
    """Whether the run brought the table of a row anew, so that the row is gone where it is not among them.

    A drop that lacks a table, or adds other rows to it, says nothing of a row that a refused night brought: that one
    goes on waiting. A night that is delivered again speaks for its own rows.
    """
    contract = land.load_contract(settings(), run.source)
    arrived = land.batches_by_table(engine(database(settings())), run.source, run.parameters.get("landed") or [])
    is_complete = run.parameters.get("base_run") is None
    whole = [
        name
        for name in tables
        if is_complete or (name in arrived and name in contract.tables and contract.tables[name].change == "snapshot")
    ]
    conditions = [f"waits.table_name IN ({', '.join(repr(name) for name in whole)})"] if whole else []
    if run.parameters.get("night") and arrived:
        told = ", ".join(repr(name) for name in arrived)
        conditions.append(f"(waits.table_name IN ({told}) AND waits.night = '{run.parameters['night']}')")
    return f"coalesce({' OR '.join(conditions)}, false)" if conditions else "false"
