"""The `etl` schema: what was landed, run, published and decided."""

import sqlalchemy
from sqlalchemy.exc import OperationalError

from etl.errors import DatabaseUnavailable
from etl.state.locks import CREATE_TABLES_LOCK
from etl.state.tables import (
    batch,
    check_result,
    dqd_check,
    gate_override,
    metadata,
    person,
    quarantine,
    reject_count,
    release,
    row_account,
    run,
    run_step,
    vocabulary,
)

__all__ = [
    "batch",
    "check_result",
    "connect",
    "create_tables",
    "dqd_check",
    "gate_override",
    "person",
    "quarantine",
    "reject_count",
    "release",
    "row_account",
    "run",
    "run_step",
    "vocabulary",
]


# Columns that homes made by an older version lack.
LATER_COLUMNS = (
    "ALTER TABLE etl.release ADD COLUMN IF NOT EXISTS withdrawn_at timestamptz",
    "ALTER TABLE etl.run ADD COLUMN IF NOT EXISTS drift_verdict json",
    "ALTER TABLE etl.batch ADD COLUMN IF NOT EXISTS numbered_by text",
    "ALTER TABLE etl.check_result ADD COLUMN IF NOT EXISTS origin text NOT NULL DEFAULT 'cdm', "
    "ADD COLUMN IF NOT EXISTS category text NOT NULL DEFAULT '', "
    "ADD COLUMN IF NOT EXISTS allowed_percent double precision NOT NULL DEFAULT 0, "
    "ADD COLUMN IF NOT EXISTS reason text NOT NULL DEFAULT ''",
)


def connect(url: str) -> sqlalchemy.Engine:
    """An engine on the ETL role's URL (`postgresql+psycopg2://…`), which never shows bound values in errors."""
    return sqlalchemy.create_engine(url, pool_pre_ping=True, hide_parameters=True)


def create_tables(engine: sqlalchemy.Engine) -> None:
    """Create the tables of schema `etl` that are missing. Schema and role exist (`etl.postgres`)."""
    try:
        with engine.begin() as connection:
            connection.execute(sqlalchemy.select(sqlalchemy.func.pg_advisory_xact_lock(CREATE_TABLES_LOCK)))
            metadata.create_all(connection)
            if _lacks_columns(connection):
                for statement in LATER_COLUMNS:
                    connection.exec_driver_sql(statement)
    except OperationalError as error:
        raise DatabaseUnavailable(
            "The database of the `etl` schema cannot be reached.",
            state="Nothing was changed.",
            todo="Start it with ./cdmflow start, or check CDMFLOW_DATABASE_URL.",
        ) from error


def _lacks_columns(connection: sqlalchemy.Connection) -> bool:
    """Whether a table lacks a column. ALTER TABLE, even in vain, waits for every reader of a view over the table."""
    found = connection.exec_driver_sql(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'etl'"
    )
    present = {(row.table_name, row.column_name) for row in found}
    return any((table.name, column.name) not in present for table in metadata.sorted_tables for column in table.columns)
