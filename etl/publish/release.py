"""A release from a run's candidate: load, prove, switch. Until the switch readers see all of the last release."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from etl.cdm import Table, ddl, primary_key_ddl, quoted, tables
from etl.config import Settings
from etl.errors import CdmflowError, DatabaseUnavailable
from etl.log import get_logger
from etl.postgres import Database
from etl.postgres.roles import READER
from etl.publish.dashboard import ensure_dashboard_results
from etl.publish.load import STATE, Plan, Report, files_of, load, records
from etl.publish.record import Release, release_of_run, write_release_files
from etl.publish.retire import drop_old_releases, drop_schema, drop_unfinished, schemas_like
from etl.publish.session import loaders, publishing, translated
from etl.publish.switch import PATIENCE_S, Candidate, switch
from etl.publish.vocabulary import complete_vocabulary, silent

log = get_logger(__name__)


def cdm_tables() -> tuple[Table, ...]:
    return tuple(table for table in tables().values() if table.schema == "CDM")


def publish_release(
    settings: Settings,
    database: Database,
    run_id: str,
    cdm_dir: Path,
    vocabulary_id: int,
    verdict: Mapping[str, object],
    *,
    base_run: str | None = None,
    patience_s: float = PATIENCE_S,
    report: Report = silent,
) -> Release:
    """Publish `<cdm_dir>/<table>.parquet` as the next release and return it. The run's row says `running`.

    `base_run`: the run on whose release this candidate builds, which must still be the current one.
    Publishing a run twice returns its release. A killed publish leaves the last release served; the next call drops
    what it left, or only switches when everything was loaded and proven. `report` hears of each stage, from any thread:
    `locked`, `loaded <table>`, `indexed`, `proven`, `switch waits`, `switched`.
    Errors: Locked (another publish), DatabaseUnavailable, CdmflowError. In all of them the last release stays.
    """
    with publishing(database, run_id) as connection:
        report("locked")
        with translated("Publishing", state=STATE):
            release = release_of_run(connection, run_id)
            if release is None:
                _require_person(cdm_dir)
                ensure_dashboard_results(connection)
                parquet_dir = settings.vocabulary_dir / str(vocabulary_id)
                vocabulary = complete_vocabulary(settings, database, connection, vocabulary_id, parquet_dir, report)
                schema, proven = _candidate(settings, database, connection, run_id, cdm_dir, vocabulary, report)
                number = release_number(schema)
                candidate = Candidate(number, run_id, vocabulary_id, schema, vocabulary, proven, verdict, base_run)
                release = switch(connection, candidate, patience_s=patience_s, report=report)
                report("switched")
        with translated("Tidying up", state=f"Release {release.release_id} is published.", todo="Publish it again."):
            drop_old_releases(connection, settings.kept_releases)
            write_release_files(settings, connection)
    return release


def release_number(schema: str) -> int:
    return int(schema.removeprefix("cdm_r"))


def _require_person(cdm_dir: Path) -> None:
    """A run without its person table is no candidate, however empty its other tables may be."""
    if not (cdm_dir / "person.parquet").is_file():
        raise CdmflowError(
            "The run has no person table to publish.", state=STATE, todo="Run the run's CDM stage first."
        )


def _candidate(
    settings: Settings, database: Database, connection: Any, run_id: str, cdm_dir: Path, vocabulary: str, report: Report
) -> tuple[str, dict[str, Any]]:
    """The schema of this run's proven candidate and its tables' records; loaded now unless it is there already."""
    found = _proven_schema(connection, run_id, vocabulary)
    drop_unfinished(connection, keep=[found[0]] if found else [])
    if found:
        log.info("schema %s of run %s was loaded and proven before", found[0], run_id)
        return found
    schema = _next_schema(connection)
    plan = Plan(schema, vocabulary, cdm_tables(), files_of(cdm_tables(), cdm_dir))
    try:
        with loaders(database, run_id, max(1, settings.workers)) as connections:
            proven = records(load(plan, connections, report))
    except DatabaseUnavailable:
        raise  # there is no session to clean up with; the next publish does it
    except Exception:
        drop_schema(connection, schema, lock_timeout_ms=5_000)
        raise
    _mark_proven(connection, schema, run_id, vocabulary, proven)
    report("proven")
    return schema, proven


def _next_schema(connection: Any) -> str:
    """Create the schema of the next release: above all releases and all schemas that could not be dropped yet."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(release_id), 0) FROM etl.release")
        newest = cursor.fetchone()[0]
        present = [release_number(schema) for schema in schemas_like(cursor, "^cdm_r[0-9]+$")]
        schema = f"cdm_r{max([newest, *present]) + 1}"
        cursor.execute(f"CREATE SCHEMA {quoted(schema)}")
        _ensure_results_tables(cursor)
    return schema


def _ensure_results_tables(cursor: Any) -> None:
    """cohort and cohort_definition in schema `results`: made once, the analysts' own, kept over all releases.

    Without foreign keys: a vocabulary version that they pointed to could never be dropped.
    """
    for table in tables().values():
        if table.schema != "RESULTS":
            continue
        cursor.execute("SELECT to_regclass(%s)", (f"results.{table.name}",))
        if cursor.fetchone()[0] is None:
            cursor.execute(ddl(table, "results"))
            if (key := primary_key_ddl(table, "results")) is not None:
                cursor.execute(key)
            cursor.execute(f"GRANT SELECT ON results.{quoted(table.name)} TO {quoted(READER)}")


def _mark_proven(connection: Any, schema: str, run_id: str, vocabulary: str, proven: Mapping[str, object]) -> None:
    """Note on the schema itself that it is whole, so that a switch that found no gap can be tried again on its own."""
    note = json.dumps({"run_id": run_id, "vocabulary": vocabulary, "tables": proven})
    with connection, connection.cursor() as cursor:
        cursor.execute(f"COMMENT ON SCHEMA {quoted(schema)} IS %s", (note,))


def _proven_schema(connection: Any, run_id: str, vocabulary: str) -> tuple[str, dict[str, Any]] | None:
    """The schema that an earlier attempt of this run loaded and proved, with its records."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT nspname, obj_description(oid, 'pg_namespace') FROM pg_catalog.pg_namespace "
            "WHERE nspname ~ '^cdm_r[0-9]+$' AND obj_description(oid, 'pg_namespace') IS NOT NULL "
            "AND substr(nspname, 6)::integer > (SELECT coalesce(max(release_id), 0) FROM etl.release)"
        )
        for schema, text in cursor.fetchall():
            note = json.loads(text)
            if note.get("run_id") == run_id and note.get("vocabulary") == vocabulary:
                return schema, note["tables"]
    return None
