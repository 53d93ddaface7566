"""Which persons a change of the landed tables concerns: found set-based, from the rows that differ."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from etl.cdm import quoted
from etl.engine import connection, relation, write_parquet
from etl.land.contract import ROW_ID, Contract, SourceTable

Files = Mapping[str, Sequence[Path]]


def write_affected_persons(
    contract: Contract,
    before: Files,
    after: Files,
    arrived: Files,
    in_place: Collection[str],
    others: Sequence[str],
    output: Path,
) -> int | None:
    """Write the person keys (`person_key`) that a change from one state to the other concerns; how many.

    They are the persons of rows that came, went or differ (a visit that moves concerns both its persons), of rows that
    refer to such a row of a table without persons, and of rows that refer to another affected person's row or are
    referred to by one; and whoever was merged with an affected person, before or after. Rows of the tables
    `in_place` concern their referrers only when they come or go. `others` are
    persons that are affected for another reason. `arrived` are the batches that made the difference: of a table that is
    appended to, only their keys are looked at. None: some change cannot be told by person, so everybody is.
    """
    with connection() as con:
        con.execute("CREATE TABLE affected (person_key VARCHAR PRIMARY KEY)")
        con.execute("CREATE TABLE touched (table_name VARCHAR, row_key VARCHAR, PRIMARY KEY (table_name, row_key))")
        con.execute("INSERT INTO affected SELECT DISTINCT unnest(?::VARCHAR[])", [list(others)])
        for name, table in contract.tables.items():
            if list(before[name]) == list(after[name]):
                continue
            if table.change == "snapshot" or name not in arrived:
                _differing_rows(con, before[name], after[name])
            else:
                _arriving_rows(con, table, before[name], after[name], arrived[name])
            if con.execute("SELECT count(*) FROM differing").fetchone() == (0,):
                continue
            if table.merges:
                _add_merged(con, table.merges, before[name], after[name])
                continue
            if table.person is None and len(table.key) != 1:
                return None
            _add_changed(con, table, before[name], after[name], name in in_place)
        _follow(con, contract, before, after, in_place)
        return write_parquet(con, "SELECT person_key FROM affected", output)


def _add_changed(con: Any, table: SourceTable, before: Sequence[Path], after: Sequence[Path], in_place: bool) -> None:
    """The persons of the rows that differ; for a table without persons, the keys."""
    wanted = table.person or table.key[0]
    both = " UNION ALL ".join(
        f"SELECT CAST({quoted(wanted)} AS VARCHAR) AS found, {ROW_ID} AS row_id FROM {relation(files)}"
        for files in (before, after)
    )
    only = "" if table.person or not in_place else " AND differing.came_or_went"
    found = f"SELECT DISTINCT found FROM ({both}) AS row JOIN differing USING (row_id) WHERE found IS NOT NULL{only}"
    if table.person:
        con.execute(f"INSERT OR IGNORE INTO affected {found}")
    else:
        con.execute(f"INSERT OR IGNORE INTO touched SELECT '{table.name}', found FROM ({found})")


def _add_merged(con: Any, merges: tuple[str, str], before: Sequence[Path], after: Sequence[Path]) -> None:
    """The persons of a merge that came, went or differs: both keys, as they were and as they are."""
    for column in merges:
        for files in (before, after):
            con.execute(
                f"INSERT OR IGNORE INTO affected SELECT DISTINCT CAST({quoted(column)} AS VARCHAR) FROM "
                f"{relation(files)} JOIN differing ON {ROW_ID} = row_id WHERE {quoted(column)} IS NOT NULL"
            )


def _differing_rows(con: Any, before: Sequence[Path], after: Sequence[Path]) -> None:
    """`differing`: every row that only one state has, or that they have with other values."""
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE differing AS "
        f"SELECT coalesce(a.{ROW_ID}, b.{ROW_ID}) AS row_id, a.{ROW_ID} IS NULL OR b.{ROW_ID} IS NULL AS came_or_went "
        f"FROM {relation(before)} AS a FULL JOIN {relation(after)} AS b ON a.{ROW_ID} = b.{ROW_ID} "
        "WHERE a IS DISTINCT FROM b"
    )


def _arriving_rows(
    con: Any, table: SourceTable, before: Sequence[Path], after: Sequence[Path], arrived: Sequence[Path]
) -> None:
    """`differing`: the rows whose keys arrived, equal ones too; of a table without a key, the rows that arrived."""
    if not table.key:
        rows = f"SELECT {ROW_ID} AS row_id, TRUE AS came_or_went FROM {relation(arrived)}"
    else:
        key = ", ".join(quoted(name) for name in table.key)
        states = [
            f"SELECT {ROW_ID} AS row_id FROM {relation(files)} SEMI JOIN {relation(arrived)} AS arrived USING ({key})"
            for files in (before, after)
        ]
        # in both states a row comes twice
        rows = f"SELECT row_id, count(*) = 1 AS came_or_went FROM ({' UNION ALL '.join(states)}) GROUP BY row_id"
    con.execute(f"CREATE OR REPLACE TEMP TABLE differing AS {rows}")


def _follow(con: Any, contract: Contract, before: Files, after: Files, in_place: Collection[str]) -> None:
    """Follow references and merges until nobody new is found; with the few that contracts have, once or twice."""
    con.execute("CREATE TABLE merge (one VARCHAR, other VARCHAR)")
    for table in contract.tables.values():
        if table.merges:
            old, new = (f"CAST({quoted(column)} AS VARCHAR)" for column in table.merges)
            rows = " UNION ALL ".join(f"SELECT * FROM {relation(files[table.name])}" for files in (before, after))
            con.execute(f"INSERT INTO merge SELECT {old}, {new} FROM ({rows}) UNION SELECT {new}, {old} FROM ({rows})")
    references = [
        (table, column.lower, contract.tables[column.references])
        for table in contract.tables.values()
        for column in table.columns
        if column.references is not None
    ]
    while True:
        known = _counted(con)
        con.execute(
            "INSERT OR IGNORE INTO affected SELECT DISTINCT merge.other FROM merge "
            "JOIN affected ON merge.one = affected.person_key WHERE merge.other IS NOT NULL"
        )
        for table, column, target in references:
            rows = relation(after[table.name])
            if target.person is None:
                _follow_to_place(con, table, column, target, rows, table.name in in_place)
            elif table.person is not None:
                _follow_between_persons(con, table, column, target, rows, relation(after[target.name]))
        if _counted(con) == known:
            return


def _follow_to_place(con: Any, table: SourceTable, column: str, target: SourceTable, rows: str, in_place: bool) -> None:
    """What refers to a touched row: its person, or, of a table without persons that is not put in place, its key."""
    referring = (
        f"FROM {rows} WHERE {quoted(column)} IN (SELECT row_key FROM touched WHERE table_name = '{target.name}')"
    )
    if table.person is not None:
        person = f"CAST({quoted(table.person)} AS VARCHAR)"
        con.execute(f"INSERT OR IGNORE INTO affected SELECT DISTINCT {person} {referring} AND {person} IS NOT NULL")
    elif not in_place and len(table.key) == 1:
        key = f"CAST({quoted(table.key[0])} AS VARCHAR)"
        con.execute(f"INSERT OR IGNORE INTO touched SELECT DISTINCT '{table.name}', {key} {referring}")


def _follow_between_persons(
    con: Any, table: SourceTable, column: str, target: SourceTable, rows: str, targets: str
) -> None:
    """Persons whose rows refer to an affected person's row, and persons to whose rows an affected person's refer."""
    assert table.person is not None and target.person is not None
    mine, theirs, key = quoted(table.person), quoted(target.person), quoted(target.key[0])
    con.execute(
        f"INSERT OR IGNORE INTO affected SELECT DISTINCT {mine} FROM {rows} WHERE {mine} IS NOT NULL "
        f"AND {quoted(column)} IN (SELECT {key} FROM {targets} WHERE {theirs} IN (SELECT person_key FROM affected))"
    )
    con.execute(
        f"INSERT OR IGNORE INTO affected SELECT DISTINCT {theirs} FROM {targets} WHERE {theirs} IS NOT NULL AND {key} "
        f"IN (SELECT {quoted(column)} FROM {rows} WHERE {mine} IN (SELECT person_key FROM affected))"
    )


def _counted(con: Any) -> tuple[int, ...]:
    row = con.execute("SELECT (SELECT count(*) FROM affected), (SELECT count(*) FROM touched)").fetchone()
    return tuple(row)


def write_rows_of(tables: Collection[SourceTable], files: Files, persons: Path, folder: Path) -> dict[str, list[Path]]:
    """Write the rows of these persons, and those of nobody, of tables that name a person; the files by table."""
    written = {}
    with connection() as con:
        con.execute("SET preserve_insertion_order = false")
        con.execute(f"CREATE TABLE affected AS SELECT person_key FROM {relation([persons])}")
        for table in tables:
            assert table.person is not None
            person = f"CAST({quoted(table.person)} AS VARCHAR)"
            chosen = f"{person} IS NULL OR {person} IN (SELECT person_key FROM affected)"
            output = folder / f"{table.name}.parquet"
            write_parquet(con, f"SELECT * FROM {relation(files[table.name])} WHERE {chosen}", output)
            written[table.name] = [output]
    return written
