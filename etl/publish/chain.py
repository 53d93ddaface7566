"""Releases that share tables: a full one and the deltas put in place on it, each built on the one before."""

from typing import Any

from etl.cdm import Table, quoted
from etl.errors import UsageError
from etl.publish.delta import key_of
from etl.publish.record import Release, release_of_run
from etl.publish.retire import schemas_like

APPLIED, UNDONE = "applied", "undone"


def kept_as(number: int) -> str:
    """The schema with what a delta changed."""
    return f"cdm_d{number}"


def deltas_of(connection: Any, release: Release) -> list[int]:
    """The deltas that lead from the full release to this one, oldest first; none for a full one."""
    found: list[int] = []
    while release.schema_name != f"cdm_r{release.release_id}":
        found.append(release.release_id)
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT parameters ->> 'base_run' FROM etl.run WHERE run_id = %s", (release.run_id,))
            base_run = cursor.fetchone()[0]
        base = release_of_run(connection, base_run)
        if base is None or base.schema_name != release.schema_name:
            raise UsageError(f"Release {release.release_id} was built on a release that is not known any more.")
        release = base
    return found[::-1]


def in_place_now(connection: Any, schema: str) -> list[int]:
    """The deltas whose rows are in the tables of this schema now, oldest first.

    What a delta changed says itself whether it is in place. Where it is kept no more, the release tells: its rows are,
    unless it was taken back (`retire.py` drops no schema of which that would be wrong).
    """
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT release_id, withdrawn_at IS NULL FROM etl.release WHERE schema_name = %s ORDER BY release_id",
            (schema,),
        )
        releases = {number: stands for number, stands in cursor.fetchall() if schema != f"cdm_r{number}"}
        cursor.execute(
            "SELECT nspname, obj_description(oid, 'pg_namespace') FROM pg_catalog.pg_namespace "
            "WHERE nspname ~ '^cdm_d[0-9]+$'"
        )
        kept = dict(cursor.fetchall())
    return [
        number
        for number, stands in releases.items()
        if (kept[kept_as(number)] == APPLIED if kept_as(number) in kept else stands)
    ]


def steps_to(connection: Any, target: Release) -> tuple[list[int], list[int]]:
    """The deltas to undo, newest first, and those to do again, oldest first, until the tables hold this release.

    UsageError: what one of them changed is not kept any more.
    """
    wanted, now = deltas_of(connection, target), in_place_now(connection, target.schema_name)
    undo, redo = [n for n in reversed(now) if n not in wanted], [n for n in wanted if n not in now]
    with connection, connection.cursor() as cursor:
        present = set(schemas_like(cursor, "^cdm_d[0-9]+$"))
    if missing := [n for n in (*undo, *redo) if kept_as(n) not in present]:
        raise UsageError(
            f"Release {target.release_id} cannot be told any more: what release {missing[0]} changed is not kept.",
            state="Nothing was changed.",
        )
    return undo, redo


def rows_of(connection: Any, release: Release, table: Table, only: list[int] | None = None) -> str:
    """A SELECT of a table as the release had it: as it is now, with what later deltas changed taken back.

    `only`: of rows that any of these deltas touched. UsageError for a release that was taken back.
    """
    undo, redo = steps_to(connection, release)
    if redo:
        raise UsageError(
            f"Release {release.release_id} was taken back, so its rows are not in place.",
            state="Nothing was changed.",
            todo=f"Serve it first: ./cdmflow rollback --to {release.release_id}.",
        )
    here = f"{quoted(release.schema_name)}.{quoted(table.name)}"
    later = sorted(undo)
    key = key_of(table)
    if key is None:
        return f"SELECT * FROM {_kept(later[0], 'old', table) if later else here}"
    key = quoted(key)
    within = f" AND t.{key} IN ({_touched(table, key, only)})" if only else ""
    if not later:
        return f"SELECT t.* FROM {here} AS t WHERE TRUE{within}"
    touched = _touched(table, key, later)
    first = " UNION ALL ".join(f"SELECT {key}, {n} AS number FROM ({_touched(table, key, [n])}) AS k" for n in later)
    selects = [f"SELECT t.* FROM {here} AS t WHERE t.{key} NOT IN ({touched}){within}"]
    selects += [
        f"SELECT t.* FROM {_kept(number, 'old', table)} AS t WHERE {number} = "
        f"(SELECT min(first.number) FROM ({first}) AS first WHERE first.{key} = t.{key}){within}"
        for number in later
    ]
    return " UNION ALL ".join(selects)


def _touched(table: Table, key: str, deltas: list[int]) -> str:
    return " UNION ALL ".join(
        f"SELECT {key} FROM {_kept(number, side, table)}" for number in deltas for side in ("old", "new")
    )


def _kept(number: int, side: str, table: Table) -> str:
    return f"{quoted(kept_as(number))}.{quoted(f'{side}_{table.name}')}"
