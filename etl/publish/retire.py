"""Which schemas may go: what a killed publish left behind, and releases that are older than those we keep."""

from collections.abc import Iterable, Mapping
from typing import Any

import psycopg2.errors

from etl.cdm import quoted
from etl.log import get_logger
from etl.postgres import Database
from etl.publish.session import publishing, translated

log = get_logger(__name__)

# Dropping a release drops its foreign keys, which locks the vocabulary's tables against readers for that moment;
# whoever reads them for longer than this keeps the old release alive until the next publish.
LOCK_TIMEOUT_MS = 500
LEFTOVER_LOCK_TIMEOUT_MS = 5_000  # a killed publisher's backends roll back within seconds


def schemas_like(cursor: Any, pattern: str) -> list[str]:
    """Existing schemas whose name matches the regular expression."""
    cursor.execute("SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname ~ %s ORDER BY nspname", (pattern,))
    return [row[0] for row in cursor.fetchall()]


def drop_unfinished(connection: Any, keep: Iterable[str] = ()) -> None:
    """Drop every release schema that never became a release, except `keep`. The publish lock is held."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT schema_name FROM etl.release")
        released = {row[0] for row in cursor.fetchall()}
        present = schemas_like(cursor, "^cdm_r[0-9]+$")
    for schema in present:
        if schema not in released and schema not in set(keep):
            drop_schema(connection, schema, LEFTOVER_LOCK_TIMEOUT_MS)


def drop_leftovers(database: Database) -> int:
    """Drop the schemas of releases and vocabularies that were never finished; how many. Locked during a publish."""
    with publishing(database, "clean") as connection, translated("Cleaning", state="What is served stays."):
        before = _release_and_vocabulary_schemas(connection)
        drop_unfinished(connection)
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT schema_name FROM etl.vocabulary WHERE schema_name IS NOT NULL")
            finished = {row[0] for row in cursor.fetchall()}
        for schema in sorted(before):
            if schema.startswith("vocabulary_v") and schema not in finished:
                drop_schema(connection, schema, LEFTOVER_LOCK_TIMEOUT_MS)
        return len(before - _release_and_vocabulary_schemas(connection))


def _release_and_vocabulary_schemas(connection: Any) -> set[str]:
    with connection, connection.cursor() as cursor:
        return set(schemas_like(cursor, "^(cdm_r|vocabulary_v)[0-9]+$"))


def drop_old_releases(connection: Any, keep: int) -> None:
    """Keep the schemas of the newest `keep` releases; drop the others, and the vocabularies that only those had.

    A release that was taken back counts as older than all others.
    """
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT schema_name, vocabulary_id, release_id FROM etl.release "
            "ORDER BY withdrawn_at IS NOT NULL, release_id DESC"
        )
        releases = cursor.fetchall()
        present = set(schemas_like(cursor, "^cdm_r[0-9]+$"))
    kept = {schema for schema, _, _ in releases[:keep]}
    for schema in dict.fromkeys(schema for schema, _, _ in releases[keep:] if schema in present - kept):
        if drop_schema(connection, schema, LOCK_TIMEOUT_MS):
            present.discard(schema)
    _drop_old_differences(connection, {number: schema for schema, _, number in releases[:keep]})
    # a schema that could not be dropped still needs its vocabulary
    used = [vocabulary for schema, vocabulary, _ in releases if schema in present]
    if used:
        _drop_old_vocabularies(connection, oldest_used=min(used))


def _drop_old_differences(connection: Any, kept: Mapping[int, str]) -> None:
    """Drop what deltas changed (`cdm_d<N>`) that no kept release needs: N leads back to one before it in its tables.

    One that is in place though its release was taken back, or the other way round, stays as long as its tables do:
    without it nobody could tell (`chain.in_place_now`).
    """
    with connection, connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT delta.nspname, release.release_id
            FROM pg_catalog.pg_namespace AS delta
            JOIN etl.release AS release ON delta.nspname = 'cdm_d' || release.release_id
            LEFT JOIN pg_catalog.pg_namespace AS tables ON tables.nspname = release.schema_name
            WHERE tables.nspname IS NULL
              OR (obj_description(delta.oid, 'pg_namespace') = 'applied') = (release.withdrawn_at IS NULL)
            ORDER BY release.release_id
            """
        )
        clear = cursor.fetchall()
    for schema, number in clear:
        if number not in kept or not any(k < number and kept[k] == kept[number] for k in kept):
            drop_schema(connection, schema, LOCK_TIMEOUT_MS)


def _drop_old_vocabularies(connection: Any, oldest_used: int) -> None:
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT vocabulary_id, schema_name FROM etl.vocabulary "
            "WHERE schema_name IS NOT NULL AND vocabulary_id < %s",
            (oldest_used,),
        )
        old = cursor.fetchall()
    for vocabulary_id, schema in old:
        if drop_schema(connection, schema, LOCK_TIMEOUT_MS):
            with connection, connection.cursor() as cursor:
                cursor.execute(
                    "UPDATE etl.vocabulary SET schema_name = NULL WHERE vocabulary_id = %s", (vocabulary_id,)
                )


def drop_schema(connection: Any, schema: str, lock_timeout_ms: int) -> bool:
    """Drop a schema with all its tables, unless a view reads it or somebody is busy with it; whether it is gone."""
    try:
        with connection, connection.cursor() as cursor:
            if _is_read_by_a_view(cursor, schema):
                log.warning("schema %s stays: a view reads it", schema)
                return False
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", (f"{lock_timeout_ms}ms",))
            cursor.execute(f"DROP SCHEMA IF EXISTS {quoted(schema)} CASCADE")
    except (psycopg2.errors.LockNotAvailable, psycopg2.errors.DeadlockDetected):
        log.warning("schema %s is in use and stays until the next publish", schema)
        return False
    return True


def _is_read_by_a_view(cursor: Any, schema: str) -> bool:
    """Whether a view anywhere selects from a table of the schema."""
    cursor.execute(
        """
        SELECT EXISTS (
            SELECT 1 FROM pg_catalog.pg_depend AS uses
            JOIN pg_catalog.pg_rewrite AS rule ON rule.oid = uses.objid
            JOIN pg_catalog.pg_class AS source ON source.oid = uses.refobjid
            JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = source.relnamespace
            WHERE uses.classid = 'pg_rewrite'::regclass AND uses.refclassid = 'pg_class'::regclass
              AND namespace.nspname = %s AND source.oid <> rule.ev_class)
        """,
        (schema,),
    )
    return bool(cursor.fetchone()[0])
