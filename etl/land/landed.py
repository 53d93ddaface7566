"""A landed batch as today's contract has it."""

from pathlib import Path
from typing import Any

from etl.cdm import Column, quoted
from etl.engine import duckdb_type, quote_path
from etl.land.contract import ROW_ID, SourceTable


def landed_columns(table: SourceTable) -> tuple[Column, ...]:
    """The columns of a landed table: the contract's in lower case, and source_row_id."""
    own = (Column(name=c.lower, sql_type=c.sql_type, required=c.required) for c in table.columns)
    return (*own, Column(name=ROW_ID, sql_type="bigint", required=True))


def columns_in(con: Any, path: Path) -> list[str]:
    described = con.execute(f"DESCRIBE SELECT * FROM read_parquet({quote_path(path)})").fetchall()
    return [row[0] for row in described]


def batch_select(con: Any, table: SourceTable, path: Path) -> str:
    """A batch with today's columns: one landed under an older contract has NULL where it lacks one."""
    present = set(columns_in(con, path))
    chosen = ", ".join(
        f"CAST({quoted(c.name) if c.name in present else 'NULL'} AS {duckdb_type(c.sql_type)}) AS {quoted(c.name)}"
        for c in landed_columns(table)
    )
    return f"SELECT {chosen} FROM read_parquet({quote_path(path)})"
