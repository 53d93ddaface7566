"""The source rows behind a candidate's violating rows, and what a run can say of the rows that wait in quarantine."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import sqlalchemy

from etl import land, quality, state
from etl.cdm import tables
from etl.config import settings
from etl.engine import connection, quote_path, relation, write_parquet
from etl.pipeline.lineage import DERIVED, decodable_tables
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
    "derived": pyarrow.string(),  # as JSON
    "night": pyarrow.string(),  # of the run that saw it last
    "is_same": pyarrow.bool_(),  # that run has published, or its batches of the table are part of this run's state
}


@dataclass(frozen=True)
class Looked:
    """A connection with three relations, and the violating rows by check.

    `seen`: a source row that violates a check (check_id, table_name, source_row_id, rows, first_id: its smallest CDM
    row, place: its rank within the check). `known`: gate rows in quarantine, with in_state (the row is part of the
    run's state), is_concerned (and the run made its person again) and judged (what refused it is part of the state, or
    has been delivered anew). `unplaced` counts
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


def derived_rows(run: Run, found: Looked) -> dict[int, dict[str, int]]:
    """Violating eras and periods that follow from accepted rows, by quarantine id and check.

    They follow where the person has an accepted row that violates the same type of check now; of several such rows the
    first has them. Whoever accepts a record before a birth accepts the period that begins with it.
    """
    con, persons = found.con, []
    placed = relation([rows_path(run)])
    chosen = (
        f"(SELECT placed.check_id, placed.cdm_table, placed.row_id, known.quarantine_id FROM {placed} "
        "AS placed JOIN known USING (check_id, table_name, source_row_id) WHERE known.accepted)"
    )
    for (table,) in con.execute(f"SELECT DISTINCT cdm_table FROM {chosen} ORDER BY 1").fetchall():
        if table in ("person", "death"):
            persons.append(
                f"SELECT check_id, quarantine_id, row_id AS person_id FROM {chosen} WHERE cdm_table = '{table}'"
            )
        elif "person_id" in tables()[table].column_names:
            rows = relation([run.folder / "cdm" / f"{table}.parquet"])
            persons.append(
                f"SELECT check_id, quarantine_id, own.person_id FROM {chosen} JOIN {rows} AS own "
                f"ON row_id = own.{table}_id WHERE cdm_table = '{table}'"
            )
    if not persons:
        return {}
    derived = ", ".join(f"'{name}'" for name in DERIVED)
    counted = con.execute(
        "SELECT accepted.quarantine_id, violation.check_id, count(*) "
        f"FROM {relation([rows_path(run).with_name('violations.parquet')])} AS violation "
        "JOIN (SELECT split_part(check_id, '.', 2) AS check_type, person_id, min(quarantine_id) AS quarantine_id "
        f"FROM ({' UNION ALL '.join(persons)}) GROUP BY 1, 2) AS accepted "
        "ON violation.row_id // 1000000 = accepted.person_id "
        "AND split_part(violation.check_id, '.', 2) = accepted.check_type "
        f"WHERE violation.cdm_table IN ({derived}) GROUP BY 1, 2"
    ).fetchall()
    following: dict[int, dict[str, int]] = {}
    for number, check_id, rows in counted:
        following.setdefault(number, {})[check_id] = rows
    return following


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
            sqlalchemy.cast(waiting.derived, sqlalchemy.Text),
            seen_by.parameters["night"].as_string(),
            waiting.last_run,
        )
        .join_from(state.quarantine, state.run, waiting.last_run == seen_by.run_id, isouter=True)
        .where(waiting.source == run.source, waiting.source_row_id.is_not(None))
    )
    with engine(database(settings())).connect() as db:
        rows = [tuple(row) for row in db.execute(query)]
    lacking = {run_id: _lacking(run, run_id) for run_id in {row[-1] for row in rows}}
    rows = [(*row[:-1], row[1] not in lacking[row[-1]]) for row in rows]
    columns = [[row[position] for row in rows] for position in range(len(KNOWN))]
    arrays = [pyarrow.array(values, kind) for values, kind in zip(columns, KNOWN.values(), strict=True)]
    con.register("in_quarantine", pyarrow.table(arrays, names=list(KNOWN)))
    sources = sorted({row[1] for row in rows})
    renewed, arrived, same_night = _delivered(run, sources)
    con.execute(
        f"CREATE TEMP TABLE known AS SELECT *, CASE WHEN NOT in_state THEN {renewed} OR {same_night} "
        f"WHEN accepted THEN is_concerned AND (is_same OR {renewed} OR {arrived}) "
        f"ELSE is_same OR {renewed} OR ({arrived} AND is_concerned) END AS judged FROM ("
        "SELECT waits.*, standing.source_row_id IS NOT NULL AS in_state, "
        f"coalesce(standing.is_concerned OR (standing.source_row_id IS NOT NULL AND {_is_of_places()}), false) "
        f"AS is_concerned FROM in_quarantine AS waits LEFT JOIN ({_standing(run, sources)}) AS standing "
        "USING (table_name, source_row_id))"
    )


def _lacking(run: Run, last_run: str) -> set[str]:
    """Tables of which a run that did not publish landed a batch that is no part of this run's state."""
    with engine(database(settings())).connect() as con:
        found = con.execute(
            sqlalchemy.select(state.run.c.status, state.run.c.parameters).where(state.run.c.run_id == last_run)
        ).one_or_none()
    if found is None or found.status == "published":
        return set()
    gone = [number for number in found.parameters.get("landed") or [] if number not in (run.batch_ids or [])]
    return set(land.batches_by_table(engine(database(settings())), run.source, gone)) if gone else set()


def _standing(run: Run, sources: Sequence[str]) -> str:
    """The rows in quarantine that are part of the run's state, and whether the run made their person again."""
    files, contract = kept_state(run) or {}, land.load_contract(settings(), run.source)
    concerned = run.folder / "scope" / "person_key.parquet"
    selects = ["SELECT '' AS table_name, CAST(NULL AS BIGINT) AS source_row_id, false AS is_concerned WHERE false"]
    for name in sources:
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


def _delivered(run: Run, sources: Sequence[str]) -> tuple[str, str, str]:
    """Conditions on a row in quarantine: its table came whole, it came at all, its night was delivered again.

    A run that lacks a table, or adds other rows to it, says nothing of a row that a refused night brought: that one
    goes on waiting. A night that is delivered again speaks for its own rows.
    """
    contract = land.load_contract(settings(), run.source)
    arrived = land.batches_by_table(engine(database(settings())), run.source, run.parameters.get("landed") or [])
    is_complete = run.parameters.get("base_run") is None
    snapshots = {name for name, table in contract.tables.items() if table.change == "snapshot"}
    renewed = [name for name in sources if is_complete or (name in arrived and name in snapshots)]
    night = run.parameters.get("night")
    same_night = f"({_is_among(arrived)} AND coalesce(night = '{night}', false))" if night else "false"
    return _is_among(renewed), _is_among(arrived), same_night


def _is_among(names: Collection[str]) -> str:
    return f"table_name IN ({', '.join(repr(name) for name in sorted(names))})" if names else "false"
