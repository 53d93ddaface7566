"""What the current release holds of some persons, as Parquet: what a night will replace."""

import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from etl import engine
from etl.cdm import Table, quoted
from etl.engine import duckdb_type, quote_path, write_parquet
from etl.postgres import Database
from etl.publish.delta import delta_tables, of_scope
from etl.publish.session import open_session, translated


def write_present_rows(database: Database, run_id: str, schema: str, persons: Path, folder: Path) -> None:
    """Write `<folder>/<table>.parquet` with the rows of these persons (a file of person_ids, one a line).

    Tables of people and places are written whole. One snapshot of all tables.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (
        translated("Reading the current release", state="Nothing was changed."),
        closing(open_session(database, run_id)) as connection,
        tempfile.TemporaryDirectory(prefix=".", dir=folder) as beside,
        engine.connection(threads=1) as con,
        connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("CREATE TEMP TABLE scope (person_id integer PRIMARY KEY) ON COMMIT DROP")
        with persons.open("rb") as ids:
            cursor.copy_expert("COPY scope FROM STDIN", ids)
        cursor.execute("ANALYZE scope")  # else 2,550 persons are expected, and whole tables are read for one
        for table in delta_tables():
            rows = Path(beside) / f"{table.name}.csv"
            _copy_out(cursor, table, schema, rows)
            _to_parquet(con, table, rows, folder / f"{table.name}.parquet")


def _copy_out(cursor: Any, table: Table, schema: str, rows: Path) -> None:
    columns = ", ".join(f"here.{quoted(name)}" for name in table.column_names)
    here = f"{quoted(schema)}.{quoted(table.name)} AS here"
    chosen = f"SELECT {columns} FROM {here} WHERE {of_scope(table, schema, 'pg_temp.scope')}"
    with rows.open("wb") as file:
        cursor.copy_expert(f"COPY ({chosen}) TO STDOUT (FORMAT csv)", file)


def _to_parquet(con: Any, table: Table, rows: Path, output: Path) -> None:
    columns = ", ".join(f"'{field.name}': '{duckdb_type(field.sql_type)}'" for field in table.fields)
    write_parquet(
        con,
        f"SELECT * FROM read_csv({quote_path(rows)}, header = false, auto_detect = false, delim = ',', quote = '\"', "
        f"escape = '\"', nullstr = '', columns = {{{columns}}})",
        output,
    )
