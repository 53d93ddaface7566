"""Which rows of two kept releases differ, by key: found in PostgreSQL, since that is what analysts read."""

from contextlib import closing
from pathlib import Path
from typing import Any

from etl.cdm import Table, quoted, tables
from etl.errors import UsageError
from etl.postgres import Database
from etl.publish.chain import deltas_of, rows_of
from etl.publish.delta import key_of
from etl.publish.record import Release, release_by_id
from etl.publish.retire import schemas_like
from etl.publish.session import open_session, translated

STATE = "Nothing was changed."
# the columns of the file that `write_differences` writes, in its order
DIFFERENCE_COLUMNS = {"table_name": "VARCHAR", "kind": "VARCHAR", "row_id": "BIGINT", "person_id": "INTEGER"}


def write_differences(database: Database, older: int, newer: int, output: Path) -> tuple[Release, Release]:
    """Write a CSV line per row that only one of the releases has, or that they have with other values; the releases.

    `kind` is added, changed or removed, seen from the older one. A row is known by its table's key, death by its
    person; of tables without a key each different row counts as one removed and one added, without an id. Ids only.
    UsageError: no such release, or its tables are gone.
    """
    with (
        translated("Comparing the releases", state=STATE),
        closing(open_session(database, f"diff {older} {newer}")) as connection,
    ):
        pair = _kept(connection, older), _kept(connection, newer)
        touched = _touched_between(connection, *pair)
        statements = [
            _statement(table, *(rows_of(connection, release, table, touched) for release in pair))
            for table in tables().values()
            if table.schema == "CDM"
        ]
        with connection, connection.cursor() as cursor, output.open("wb") as file:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            for statement in statements:
                cursor.copy_expert(f"COPY ({statement}) TO STDOUT (FORMAT csv)", file)
    return pair


def _kept(connection: Any, number: int) -> Release:
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT release_id, schema_name FROM etl.release ORDER BY release_id")
        present = set(schemas_like(cursor, "^cdm_r[0-9]+$"))
    found = release_by_id(connection, number)
    if found is None or found.schema_name not in present:
        raise UsageError(
            f"Release {number} is not there{'' if found is None else ' any more'}.",
            state=STATE,
            todo=f"The tables of these are kept: {', '.join(sorted(present))}.",
        )
    return found


def _touched_between(connection: Any, older: Release, newer: Release) -> list[int] | None:
    """The deltas that tell all differences of two releases with the same tables; None where the tables are others."""
    if older.schema_name != newer.schema_name or older.release_id == newer.release_id:
        return None
    return sorted(set(deltas_of(connection, older)) ^ set(deltas_of(connection, newer)))


def _statement(table: Table, old: str, new: str) -> str:
    """The different rows of a table, from a SELECT of each side. 2.5 million rows by key: 4 s on two cores."""
    key = key_of(table)
    if key is None:
        return (
            f"SELECT '{table.name}', 'removed', NULL, NULL FROM (({old}) EXCEPT ALL ({new})) AS gone UNION ALL "
            f"SELECT '{table.name}', 'added', NULL, NULL FROM (({new}) EXCEPT ALL ({old})) AS came"
        )
    key = quoted(key)
    person = "coalesce(b.person_id, a.person_id)" if "person_id" in table.column_names else "NULL"
    return (
        f"SELECT '{table.name}', CASE WHEN a.{key} IS NULL THEN 'added' WHEN b.{key} IS NULL THEN 'removed' "
        f"ELSE 'changed' END, coalesce(b.{key}, a.{key}), {person} "
        f"FROM ({old}) AS a FULL JOIN ({new}) AS b ON a.{key} = b.{key} WHERE a IS DISTINCT FROM b"
    )
