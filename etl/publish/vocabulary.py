"""The vocabulary tables in PostgreSQL: one schema per vocabulary version, loaded once and never changed."""

from pathlib import Path
from typing import Any

from etl.cdm import Table, quoted, tables
from etl.config import Settings
from etl.errors import CdmflowError
from etl.postgres import Database
from etl.publish.load import Plan, Report, files_of, load
from etl.publish.retire import LEFTOVER_LOCK_TIMEOUT_MS, drop_schema
from etl.publish.session import loaders, publishing, translated

STATE = "The vocabularies and releases that are there stay as they are."


def vocabulary_tables() -> tuple[Table, ...]:
    return tuple(table for table in tables().values() if table.schema == "VOCAB")


def vocabulary_schema(vocabulary_id: int) -> str:
    return f"vocabulary_v{int(vocabulary_id)}"


def silent(_stage: str) -> None:
    """A report that nobody listens to."""


def publish_vocabulary(
    settings: Settings, database: Database, vocabulary_id: int, parquet_dir: Path, *, report: Report = silent
) -> str:
    """Load `<parquet_dir>/<table>.parquet` into schema `vocabulary_v<id>`; the schema's name.

    A version that is complete is left alone; a half-loaded one is dropped and loaded anew. Foreign keys that the bundle
    itself breaks (extracts do) stay unvalidated, with a warning. Errors: Locked, DatabaseUnavailable, CdmflowError.
    """
    with publishing(database, f"vocabulary {vocabulary_id}") as connection:
        return complete_vocabulary(settings, database, connection, vocabulary_id, parquet_dir, report)


def complete_vocabulary(
    settings: Settings, database: Database, connection: Any, vocabulary_id: int, parquet_dir: Path, report: Report
) -> str:
    """The same, on a session that already holds the publish lock."""
    schema = vocabulary_schema(vocabulary_id)
    with translated("Reading the vocabularies", state=STATE):
        if _is_complete(connection, vocabulary_id, schema):
            return schema
    _require_files(parquet_dir)
    with translated("Making the vocabulary's schema", state=STATE):
        _make_schema(connection, schema)
    plan = Plan(schema, schema, vocabulary_tables(), files_of(vocabulary_tables(), parquet_dir), lenient_keys=True)
    with loaders(database, f"vocabulary {vocabulary_id}", max(1, settings.workers)) as connections:
        load(plan, connections, report)
    with translated("Recording the vocabulary", state=STATE), connection, connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = on")
        cursor.execute("UPDATE etl.vocabulary SET schema_name = %s WHERE vocabulary_id = %s", (schema, vocabulary_id))
    return schema


def _is_complete(connection: Any, vocabulary_id: int, schema: str) -> bool:
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT schema_name FROM etl.vocabulary WHERE vocabulary_id = %s", (vocabulary_id,))
        row = cursor.fetchone()
    if row is None:
        raise CdmflowError(
            f"There is no vocabulary {vocabulary_id}.", state=STATE, todo="Load a vocabulary bundle first."
        )
    return bool(row[0] == schema)


def _require_files(parquet_dir: Path) -> None:
    if not (parquet_dir / "concept.parquet").is_file():
        raise CdmflowError(
            "The vocabulary's concept.parquet is missing in the lake.",
            state=STATE,
            todo="Load the vocabulary bundle again.",
        )


def _make_schema(connection: Any, schema: str) -> None:
    if not drop_schema(connection, schema, LEFTOVER_LOCK_TIMEOUT_MS):
        raise CdmflowError(
            f"The half-loaded schema {schema} cannot be dropped: somebody uses it.",
            state=STATE,
            todo="End the sessions or views on it, then run the same command again.",
        )
    with connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {quoted(schema)}")
