"""Serving an older release again, as long as its tables are there: nothing is loaded, all readers see it at once."""

from typing import Any

from etl.cdm import quoted
from etl.config import Settings
from etl.errors import UsageError
from etl.postgres import Database
from etl.publish.chain import APPLIED, UNDONE, kept_as, steps_to
from etl.publish.delta import put_in_place
from etl.publish.keys import point_keys, prove_keys
from etl.publish.record import Release, current_release, release_by_id
from etl.publish.retire import schemas_like
from etl.publish.session import publishing, translated
from etl.publish.switch import PATIENCE_S, Words, between_readers, repoint, settle_views
from etl.publish.vocabulary import silent, vocabulary_schema

STATE = "The current release stays published."


def rollback(settings: Settings, database: Database, to: int | None, *, patience_s: float = PATIENCE_S) -> Release:
    """Serve release `to`, else the one before the current one, and take back all newer ones; the release.

    Deltas are undone, or done again, row by row; a full release has tables of its own. A release that was taken back is
    served again by a rollback to it. The next run starts from the release that is served. UsageError: no such release,
    or its rows are not kept any more. Locked: a publish is under way.
    """
    with publishing(database, "rollback") as connection, translated("Rolling back", state=STATE):
        current = current_release(connection)
        if current is None:
            raise UsageError("Nothing is published yet.", todo="./cdmflow run makes the first release.")
        target = _target(connection, current, to)
        undo, redo = steps_to(connection, target)
        words = vocabulary_schema(target.vocabulary_id)
        point_keys(connection, target.schema_name, words, patience_s=patience_s, report=silent)
        between_readers(
            lambda: _serve(connection, current, target, undo, redo),
            f"release {current.release_id} is still served",
            patience_s=patience_s,
            report=silent,
        )
        settle_views(connection)
    return target


def _target(connection: Any, current: Release, to: int | None) -> Release:
    if to == current.release_id:
        raise UsageError(f"Release {to} is the current one.", state="Nothing was changed.")
    found = current_release(connection, before=current.release_id) if to is None else release_by_id(connection, to)
    with connection, connection.cursor() as cursor:
        present = set(schemas_like(cursor, "^cdm_r[0-9]+$"))
        cursor.execute("SELECT release_id, schema_name FROM etl.release ORDER BY release_id")
        kept = [str(number) for number, schema in cursor.fetchall() if schema in present]
    if found is None or found.schema_name not in present:
        wanted = "before the current one" if to is None else str(to)
        raise UsageError(
            f"There is no release {wanted} to go back to.",
            state=STATE,
            todo=f"The tables of these are kept: {', '.join(kept)}.",
        )
    return found


def _serve(connection: Any, current: Release, target: Release, undo: list[int], redo: list[int]) -> None:
    with connection, connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = on")
        for number in undo:
            put_in_place(cursor, target.schema_name, kept_as(number), came="old", went="new")
            cursor.execute(f"COMMENT ON SCHEMA {quoted(kept_as(number))} IS %s", (UNDONE,))
        for number in redo:
            put_in_place(cursor, target.schema_name, kept_as(number), came="new", went="old")
            cursor.execute(f"COMMENT ON SCHEMA {quoted(kept_as(number))} IS %s", (APPLIED,))
        prove_keys(cursor, target.schema_name)
        same_tables = target.schema_name == current.schema_name
        if (target.schema_name, target.vocabulary_id) != (current.schema_name, current.vocabulary_id):
            words = [Words(of.vocabulary_id, vocabulary_schema(of.vocabulary_id)) for of in (current, target)]
            # of the same tables: a snapshot from before reads their rows as they were
            change = (words[0], words[1]) if words[0] != words[1] and same_tables else None
            repoint(cursor, target.schema_name, words[1].schema, change)
        cursor.execute(
            "UPDATE etl.release SET withdrawn_at = clock_timestamp() WHERE release_id > %s AND withdrawn_at IS NULL",
            (target.release_id,),
        )
        cursor.execute("UPDATE etl.release SET withdrawn_at = NULL WHERE release_id = %s", (target.release_id,))
