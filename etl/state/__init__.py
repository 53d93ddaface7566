"""The `etl` schema: what was landed, run, published and decided."""

import sqlalchemy
from sqlalchemy.exc import OperationalError

from etl.errors import DatabaseUnavailable
from etl.state.locks import CREATE_TABLES_LOCK
from etl.state.tables import (
    batch,
    check_result,
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
            for statement in LATER_COLUMNS:
                connection.exec_driver_sql(statement)
    except OperationalError as error:
        raise DatabaseUnavailable(
            "The database of the `etl` schema cannot be reached.",
            state="Nothing was changed.",
            todo="Start it with ./cdmflow start, or check CDMFLOW_DATABASE_URL.",
        ) from error
