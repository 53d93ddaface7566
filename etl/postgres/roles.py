"""Accounts, databases and schemas: who may do what.

cdmflow_etl owns the database and all its schemas. cdm_reader sees `cdm` and `results` only; the views in `cdm` read the
release schemas with their owner's rights, so the reader needs none there.
"""

from collections.abc import Mapping
from typing import Any

from psycopg2 import sql

from etl.postgres.database import Database, session

ETL = "cdmflow_etl"
READER = "cdm_reader"
AIRFLOW = "airflow"
DATABASE = "cdmflow"
SCHEMAS = ("etl", "cdm", "results")
READABLE_SCHEMAS = ("cdm", "results")

# a reader's forgotten transaction keeps old releases alive and can hold up a publish; a lost query stops at night's end
READER_SETTINGS = {
    "default_transaction_read_only": "on",
    "statement_timeout": "6h",
    "idle_in_transaction_session_timeout": "1h",
    "search_path": "cdm, results",
}
# a backend whose client was killed must not go on publishing
ETL_SETTINGS = {"client_connection_check_interval": "1s", "jit": "off"}


def ensure_login(cursor: Any, role: str, password: str, settings: Mapping[str, str] | None = None) -> None:
    """Creates the role where it is missing, and sets its password and settings."""
    cursor.execute("SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = %s", (role,))
    verb = sql.SQL("ALTER" if cursor.fetchone() else "CREATE")
    statement = sql.SQL("{} ROLE {} LOGIN PASSWORD {}")
    cursor.execute(statement.format(verb, sql.Identifier(role), sql.Literal(password)))
    for name, value in (settings or {}).items():
        values = sql.SQL(", ").join(sql.Literal(word.strip()) for word in value.split(","))
        cursor.execute(sql.SQL("ALTER ROLE {} SET {} = {}").format(sql.Identifier(role), sql.Identifier(name), values))


def ensure_database(cursor: Any, name: str, owner: str, *, readers: tuple[str, ...] = ()) -> None:
    """Creates the database where it is missing; only its owner and the named readers may connect."""
    cursor.execute("SELECT 1 FROM pg_catalog.pg_database WHERE datname = %s", (name,))
    if cursor.fetchone():
        return
    identifier = sql.Identifier(name)
    cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(identifier, sql.Identifier(owner)))
    cursor.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(identifier))
    for reader in readers:
        cursor.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(identifier, sql.Identifier(reader)))


def ensure_schemas(cursor: Any) -> None:
    """Run as cdmflow_etl in its database: the schemas, and what the reader may see of everything made in them later."""
    cursor.execute("ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC")
    for schema in missing_schemas(cursor):
        identifier = sql.Identifier(schema)
        cursor.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(identifier))
        if schema in READABLE_SCHEMAS:
            names = {"schema": identifier, "reader": sql.Identifier(READER)}
            cursor.execute(sql.SQL("GRANT USAGE ON SCHEMA {schema} TO {reader}").format(**names))
            statement = "ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO {reader}"
            cursor.execute(sql.SQL(statement).format(**names))


def missing_schemas(cursor: Any) -> list[str]:
    cursor.execute("SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname = ANY(%s)", (list(SCHEMAS),))
    present = {row[0] for row in cursor.fetchall()}
    return [schema for schema in SCHEMAS if schema not in present]


def prepare_embedded(admin: Database, passwords: Mapping[str, str]) -> None:
    """All accounts and the database of the embedded server; changes nothing that is as it should be."""
    with session(admin.named("postgres").admin_url) as cursor:
        cursor.execute("REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC")
        ensure_login(cursor, ETL, passwords[ETL], ETL_SETTINGS)
        ensure_login(cursor, READER, passwords[READER], READER_SETTINGS)
    create_database(admin.named(DATABASE), DATABASE)


def create_database(server: Database, name: str) -> Database:
    """A database of its own inside the server, ready like the main one; needs an account that may create databases."""
    database = server.named(name)
    with session(server.named("postgres").admin_url) as cursor:
        ensure_database(cursor, name, ETL, readers=(READER,))
    with session(database.admin_url) as cursor:
        cursor.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    with session(database.etl_url) as cursor:
        ensure_schemas(cursor)
    return database


def drop_database(database: Database) -> None:
    """Erases the database and ends its sessions."""
    with session(database.named("postgres").admin_url) as cursor:
        cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database.dbname)))
