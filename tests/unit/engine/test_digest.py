"""The table digest: DuckDB and PostgreSQL agree, and every change of a row shows."""

from pathlib import Path

import pytest
import sqlalchemy

from etl.cdm import Column
from etl.engine import Digest, connection, digest_sql_duckdb, digest_sql_postgres
from etl.postgres import Database

COLUMNS = [
    Column("id", "bigint"),
    Column("name", "varchar(50)"),
    Column("day", "date"),
    Column("seen", "timestamp"),
    Column("value", "double precision"),
    Column("amount", "numeric(18, 2)"),
]
ROWS = """(VALUES
    (1, 'a', DATE '0001-01-01', TIMESTAMP '2024-02-29 23:59:59.999999', 1.5, 10.10),
    (2, '', DATE '9999-12-31', TIMESTAMP '1900-01-01 00:00:00', -0.0000004, 0.00),
    (3, NULL, NULL, NULL, NULL, NULL),
    (4, '서울 "대" \\ ''병원''', DATE '2024-01-01', TIMESTAMP '2024-01-01 00:00:00.5', 1e15, -1.25),
    (5, 'e', DATE '1969-12-31', TIMESTAMP '1969-12-31 23:59:59', 1234567890.123456, 99999999.99)
)"""
TYPED = (
    "(SELECT CAST(id AS bigint) AS id, CAST(name AS varchar) AS name, CAST(day AS date) AS day, "
    "CAST(seen AS timestamp) AS seen, CAST(value AS double precision) AS value, "
    'CAST(amount AS numeric(18, 2)) AS amount FROM {rows} AS v(id, name, day, seen, "value", amount)) AS typed'
)


def duckdb_digest(rows: str) -> Digest:
    with connection() as con:
        row = con.execute(digest_sql_duckdb(TYPED.format(rows=rows), COLUMNS)).fetchone()
    assert row is not None
    return Digest(*(int(part) for part in row))


def test_duckdb_and_postgresql_agree(home: Path, database: Database) -> None:
    with sqlalchemy.create_engine(database.etl_url).connect() as con:
        row = con.exec_driver_sql(digest_sql_postgres(TYPED.format(rows=ROWS), COLUMNS)).one()
    assert Digest(*(int(part) for part in row)) == duckdb_digest(ROWS)


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("(3, NULL,", "(3, '',"),
        ("'a'", "'b'"),
        ("23:59:59.999999", "23:59:59.999998"),
        ("(1, 'a'", "(1, 'a', DATE '0001-01-01', TIMESTAMP '2024-02-29 23:59:59.999999', 1.5, 10.10), (1, 'a'"),
        ("-1.25", "-1.26"),
        ("DATE '1969-12-31'", "DATE '1969-12-30'"),
    ],
)
def test_a_changed_row_changes_the_digest(was: str, becomes: str, home: Path) -> None:
    assert was in ROWS
    assert duckdb_digest(ROWS.replace(was, becomes, 1)) != duckdb_digest(ROWS)


def test_the_order_of_rows_does_not_matter(home: Path) -> None:
    backwards = f"(SELECT * FROM {ROWS} AS v(a, b, c, d, e, f) ORDER BY a DESC)"
    assert duckdb_digest(backwards) == duckdb_digest(ROWS)


def test_swapped_columns_change_the_digest(home: Path) -> None:
    two = [Column("a", "text"), Column("b", "text")]
    with connection() as con:
        forth = con.execute(digest_sql_duckdb("(SELECT 'x' AS a, 'y' AS b)", two)).fetchone()
        back = con.execute(digest_sql_duckdb("(SELECT 'y' AS a, 'x' AS b)", two)).fetchone()
    assert forth != back
